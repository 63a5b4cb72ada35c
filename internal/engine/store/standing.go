package store

import (
	"cmp"
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// What people made of emails is read here, for who learns from it: where an email
// stands and with which flags, how it was when it left, and who wrote it.

// MaxStandings is how many emails one call of Standings, LeftWith or Origins is asked for.
const MaxStandings = MaxChanges

// Standing is a membership of an email: where it is, and with which flags.
type Standing struct {
	Place
	Flags    mail.Flags
	Keywords mail.Keywords
}

// Standings says of emails of an account where they are, by mailbox and UID. Those
// that are nowhere are left out.
func (s *Store) Standings(ctx context.Context, account mail.AccountID, emails []mail.EmailID) (all map[mail.EmailID][]Standing, err error) {
	if len(emails) > MaxStandings {
		return nil, errTooMany()
	}
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		all = make(map[mail.EmailID][]Standing, len(emails))
		places, err := placesOf(tx, account, emails)
		if err != nil {
			return err
		}
		in := make(map[mail.MailboxID][]mail.UID)
		for _, list := range places {
			for _, p := range list {
				in[p.Mailbox] = append(in[p.Mailbox], p.UID)
			}
		}
		for id, uids := range in {
			slices.Sort(uids)
			if err := s.standIn(tx, id, uids, all); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b Standing) int { return cmp.Or(cmp.Compare(a.Mailbox, b.Mailbox), cmp.Compare(a.UID, b.UID)) })
	}
	return all, nil
}

func errTooMany() error {
	return mail.Errorf(mail.TooLarge, "at most %d emails are asked for at once", MaxStandings)
}

// standIn adds the memberships of UIDs of a mailbox, which ascend.
func (s *Store) standIn(tx *sqldb.Tx, id mail.MailboxID, uids []mail.UID, all map[mail.EmailID][]Standing) error {
	for len(uids) > 0 {
		r := reader{s: s, mailbox: id, uids: uids}
		if err := r.readMembers(tx); err != nil {
			return err
		}
		for _, row := range r.rows {
			all[row.Email] = append(all[row.Email], Standing{Place{id, row.UID}, row.Flags, row.Keywords})
		}
		uids = r.uids
	}
	return nil
}

// LeftWith says with which flags emails left a mailbox, given changes that say so.
// What is not known any more is left out, as all is of a mailbox that was deleted.
func (s *Store) LeftWith(ctx context.Context, list []Change) (flags map[mail.EmailID]mail.Flags, err error) {
	if len(list) > MaxStandings {
		return nil, errTooMany()
	}
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		flags = make(map[mail.EmailID]mail.Flags, len(list))
		asked := make([]*sqldb.Answer, len(list))
		for i, c := range list {
			asked[i] = tx.Ask(`SELECT uid, entries FROM tombstone WHERE mailbox = $1 AND modseq = $2 AND uid <= $3 AND last >= $3`,
				int64(c.Mailbox), int64(c.ModSeq), int64(c.UID))
		}
		var members []member
		for i, c := range list {
			var first mail.UID
			var octets []byte
			err := asked[i].Scan(&first, &octets)
			if err == sqldb.ErrNoRows {
				continue
			}
			if err == nil {
				members, err = appendMembers(members[:0], place(c.Mailbox, first), octets)
			}
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.UID == c.UID {
					flags[c.Email] = m.Flags
				}
			}
		}
		return nil
	})
	return flags, err
}

// Origin is what tells who wrote an email.
type Origin struct {
	Form   message.Form
	Prefix []byte // the fields that stand before what was received
}

// Origins reads the origins of emails of an account, wherever they are, also of those
// that were expunged and can be restored. Others are left out.
func (s *Store) Origins(ctx context.Context, account mail.AccountID, emails []mail.EmailID) (all map[mail.EmailID]Origin, err error) {
	if len(emails) > MaxStandings {
		return nil, errTooMany()
	}
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		all = make(map[mail.EmailID]Origin, len(emails))
		asked := make([]*sqldb.Answer, len(emails))
		for i, id := range emails {
			asked[i] = tx.Ask(`SELECT e.prefix, b.form FROM email e JOIN blob b ON b.id = e.blob WHERE e.id = $1 AND e.account = $2`,
				int64(id), int64(account))
		}
		for i, id := range emails {
			var prefix, octets []byte
			err := asked[i].Scan(&prefix, &octets)
			if err == sqldb.ErrNoRows {
				continue
			}
			if err != nil {
				return err
			}
			form, err := message.ParseForm(octets)
			if err != nil {
				return s.internal("email %d has an unreadable form: %w", id, err)
			}
			all[id] = Origin{form, prefix[:message.PrefixSize(prefix)]}
		}
		return nil
	})
	return all, err
}

// OpenEmail opens the octets of an email as they were received, without a prefix, with
// their form; wherever the email is, also one that was expunged and can be restored.
// NotFound if there is none; the caller closes the Content.
func (s *Store) OpenEmail(ctx context.Context, account mail.AccountID, email mail.EmailID) (*Content, message.Form, error) {
	var b blobPart
	err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
		b = blobPart{}
		return tx.QueryRow(`SELECT b.id, b.size, b.crc32c, b.file, b.sums, b.form, c.octets
			FROM email e JOIN blob b ON b.id = e.blob LEFT JOIN content c ON c.blob = b.id WHERE e.id = $1 AND e.account = $2`,
			int64(email), int64(account)).Scan(&b.id, &b.size, &b.crc, &b.file, &b.sums, &b.form, &b.octets)
	})
	if err == sqldb.ErrNoRows {
		return nil, message.Form{}, mail.Errorf(mail.NotFound, "no such email")
	}
	if err != nil {
		return nil, message.Form{}, err
	}
	form, err := message.ParseForm(b.form)
	if err != nil {
		return nil, form, s.internal("blob %d has an unreadable form: %w", b.id, err)
	}
	c, err := s.content(&b, new(Content))
	return c, form, err
}

// content makes c the content of b.
func (s *Store) content(b *blobPart, c *Content) (*Content, error) {
	*c = Content{s: s, blob: b.id, prefix: b.prefix, octets: b.octets, size: b.size, sums: b.sums}
	return c, c.open(b.file, b.crc)
}

// Roles lists the mailboxes of an account that have a role.
func (s *Store) Roles(ctx context.Context, account mail.AccountID) (roles map[mail.MailboxID]mail.Role, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		roles = make(map[mail.MailboxID]mail.Role)
		rows, err := tx.Query(`SELECT id, role FROM mailbox WHERE account = $1 AND role <> ''`, int64(account))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id mail.MailboxID
			var role mail.Role
			if err := rows.Scan(&id, &role); err != nil {
				return err
			}
			roles[id] = role
		}
		return rows.Err()
	})
	return roles, err
}

// AccountState is how far the changes of an account are.
type AccountState struct {
	Account mail.AccountID
	ModSeq  mail.ModSeq
}

// AccountStates lists accounts after one by their numbers, at most limit, with their
// ModSeqs.
func (s *Store) AccountStates(ctx context.Context, after mail.AccountID, limit int) (list []AccountState, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT n.account, t.modseq FROM naming n JOIN tally t ON t.account = n.account AND t.mailbox = 0
			WHERE n.account > $1 ORDER BY n.account LIMIT $2`, int64(after), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a AccountState
			if err := rows.Scan(&a.Account, &a.ModSeq); err != nil {
				return err
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, err
}
