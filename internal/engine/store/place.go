package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// The row of an email has the mailbox and UID that it came with. One that was never
// copied or moved is there, or nowhere; of all others the index byEmail has every
// place where they are. So a delivery writes nothing for it, and a move of thousands
// writes the index alone.

// Place is where an email is: a membership.
type Place struct {
	Mailbox mail.MailboxID
	UID     mail.UID
}

// placing is one change of where an email is: from a place, or from nowhere; to
// another, or to nowhere; or to one more.
type placing struct {
	email    mail.EmailID
	from, to Place
	copies   bool // it stays at from as well
}

// movePlaces makes changes of where emails are, in their order, and tells which of
// them left their email in no mailbox, now that all are made.
func movePlaces(tx *sqldb.Tx, account mail.AccountID, list []placing) (gone []bool, err error) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	byEmailID := func(a, b int) int { return cmp.Compare(list[a].email, list[b].email) }
	if !slices.IsSortedFunc(order, byEmailID) {
		slices.SortStableFunc(order, byEmailID)
	}
	emails := make([]int64, 0, len(list))
	for _, i := range order {
		emails = append(emails, int64(list[i].email))
	}
	x := index{tx, account, byEmail}
	known, err := x.find(slices.Compact(emails))
	if err != nil {
		return nil, err
	}
	gone = make([]bool, len(list))
	ops := make([]indexOp, 0, len(list))
	for len(order) > 0 {
		email, same, n := list[order[0]].email, 1, 0 // n: in how many places it is that the index has
		for same < len(order) && list[order[same]].email == email {
			same++
		}
		for ; len(known) > 0 && known[0][0] == int64(email); known = known[1:] {
			n++
		}
		for _, i := range order[:same] {
			p := &list[i]
			from, to := point{int64(email), int64(p.from.Mailbox), int64(p.from.UID)}, point{int64(email), int64(p.to.Mailbox), int64(p.to.UID)}
			switch {
			case p.copies && n == 0:
				ops, n = append(ops, indexOp{from, false}), 1
			case !p.copies && n > 0 && p.from != Place{}:
				ops, n = append(ops, indexOp{from, true}), n-1
			}
			if p.to != (Place{}) {
				ops, n = append(ops, indexOp{to, false}), n+1
			}
		}
		for _, i := range order[:same] {
			gone[i] = n == 0
		}
		order = order[same:]
	}
	return gone, x.change(ops)
}

// Places says where emails of an account are: of each the mailboxes that it is in,
// with its UIDs there. Emails that are in none are left out.
func (s *Store) Places(ctx context.Context, account mail.AccountID, emails []mail.EmailID) (places map[mail.EmailID][]Place, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		places, err = placesOf(tx, account, emails)
		return err
	})
	return places, err
}

func placesOf(tx *sqldb.Tx, account mail.AccountID, emails []mail.EmailID) (map[mail.EmailID][]Place, error) {
	sorted := make([]int64, 0, len(emails))
	for _, id := range emails {
		sorted = append(sorted, int64(id))
	}
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	found, err := index{tx, account, byEmail}.find(sorted)
	if err != nil {
		return nil, err
	}
	places := make(map[mail.EmailID][]Place, len(sorted))
	for _, p := range found {
		places[mail.EmailID(p[0])] = append(places[mail.EmailID(p[0])], Place{mail.MailboxID(p[1]), mail.UID(p[2])})
	}
	for _, id := range sorted {
		id := mail.EmailID(id)
		if places[id] != nil {
			continue
		}
		p, err := firstPlace(tx, account, id)
		if err != nil {
			return nil, err
		}
		if p != (Place{}) {
			places[id] = []Place{p}
		}
	}
	// Of a mailbox that was just deleted the memberships are there a little longer.
	boxes := make(map[mail.MailboxID]bool)
	for id, list := range places {
		for _, p := range list {
			if _, known := boxes[p.Mailbox]; known {
				continue
			}
			there := false
			if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM mailbox WHERE id = $1)`, int64(p.Mailbox)).Scan(&there); err != nil {
				return nil, err
			}
			boxes[p.Mailbox] = there
		}
		if list = slices.DeleteFunc(list, func(p Place) bool { return !boxes[p.Mailbox] }); len(list) == 0 {
			delete(places, id)
		} else {
			places[id] = list
		}
	}
	return places, nil
}

// firstPlace is where an email came to be, if it is there; zero if it is not.
func firstPlace(tx *sqldb.Tx, account mail.AccountID, id mail.EmailID) (p Place, err error) {
	err = tx.QueryRow(`SELECT mailbox, uid FROM email WHERE id = $1 AND account = $2`, int64(id), int64(account)).Scan(&p.Mailbox, &p.UID)
	if err == sqldb.ErrNoRows {
		return Place{}, nil
	}
	if err != nil {
		return Place{}, err
	}
	there := false
	err = eachMember(tx, p.Mailbox, mail.UIDRange{First: p.UID, Last: p.UID}, func(m *member) error {
		there = there || m.UID == p.UID && m.email == id
		return nil
	})
	if !there {
		p = Place{}
	}
	return p, err
}

// ThreadEmails lists the emails of a thread that are in a mailbox, in the order of
// their INTERNALDATEs, then of their EmailIDs.
func (s *Store) ThreadEmails(ctx context.Context, account mail.AccountID, thread mail.ThreadID) (list []Arrival, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT id, received FROM email WHERE id = $1 AND thread = 0 AND account = $2
			UNION ALL SELECT id, received FROM email WHERE thread = $1 AND thread <> 0 AND account = $2`, int64(thread), int64(account))
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []mail.EmailID
		for rows.Next() {
			var a Arrival
			var received int64
			if err := rows.Scan(&a.Email, &received); err != nil {
				return err
			}
			a.Received = time.Unix(received, 0).UTC()
			list, ids = append(list, a), append(ids, a.Email)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows.Close()
		places, err := placesOf(tx, account, ids)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(a Arrival) bool { return places[a.Email] == nil })
		slices.SortFunc(list, func(a, b Arrival) int { return cmp.Or(a.Received.Compare(b.Received), cmp.Compare(a.Email, b.Email)) })
		return nil
	})
	return list, err
}
