package store

import (
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// member is what a change needs to know of a membership.
type member struct {
	Entry
	email   mail.EmailID
	size    int64
	follows bool // no other message of the mailbox is between the one before in the list and this
}

// run is a range of UIDs in which every message belongs to an operation: those
// from start on of what was found.
type run struct {
	mail.UIDRange
	start int
}

// runs puts neighbours together.
func runs(found []member) []run {
	var list []run
	for i, m := range found {
		if n := len(list); n > 0 && m.follows {
			list[n-1].Last = m.UID
			continue
		}
		list = append(list, run{mail.UIDRange{First: m.UID, Last: m.UID}, i})
	}
	return list
}

// spanGap is how many UIDs two ranges may be apart to be read by one query that
// skips what is between.
const spanGap = 32

// span is a range of UIDs to read, and the members of the set in it.
type span struct {
	mail.UIDRange
	only mail.UIDSet
}

// spans cuts a set into ranges worth a query each.
func spans(set mail.UIDSet) []span {
	var list []span
	for i, r := range set {
		if n := len(list); n > 0 && r.First-list[n-1].Last <= spanGap {
			s := &list[n-1]
			s.Last = r.Last
			s.only = set[i-len(s.only) : i+1]
			continue
		}
		list = append(list, span{r, set[i : i+1]})
	}
	return list
}

// tail returns the part of a set from a UID on.
func tail(set mail.UIDSet, from mail.UID) mail.UIDSet {
	for i, r := range set {
		if r.Last < from {
			continue
		}
		if r.First >= from {
			return set[i:]
		}
		rest := append(mail.UIDSet{{First: from, Last: r.Last}}, set[i+1:]...)
		return rest
	}
	return nil
}

// selectMembers reads the memberships of a set, ascending, at most limit of
// them (0: all); next is the UID to go on from, or 0 if that was all.
func selectMembers(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, limit int) (found []member, next mail.UID, err error) {
	for _, sp := range spans(set) {
		if found, err = selectSpan(tx, id, sp, limit, found); err != nil {
			return nil, 0, err
		}
		if limit > 0 && len(found) >= limit {
			last := found[len(found)-1].UID
			if last == maxUID || len(tail(set, last+1)) == 0 {
				return found, 0, nil
			}
			return found, last + 1, nil
		}
	}
	return found, 0, nil
}

func selectSpan(tx *sqldb.Tx, id mail.MailboxID, sp span, limit int, found []member) ([]member, error) {
	rows, err := tx.Query(`SELECT uid, modseq, flags, nullif(keywords, ''), email, size FROM membership
		WHERE mailbox = $1 AND uid BETWEEN $2 AND $3 ORDER BY uid`, id, sp.First, sp.Last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	follows := false
	for (limit == 0 || len(found) < limit) && rows.Next() {
		var uid, modseq, flags int64
		var m member
		if err := rows.Scan(&uid, &modseq, &flags, (*string)(&m.Keywords), (*int64)(&m.email), &m.size); err != nil {
			return nil, err
		}
		m.UID, m.ModSeq, m.Flags = mail.UID(uid), mail.ModSeq(modseq), mail.Flags(flags)
		for len(sp.only) > 0 && sp.only[0].Last < m.UID {
			sp.only = sp.only[1:]
		}
		if len(sp.only) == 0 || sp.only[0].First > m.UID {
			follows = false
			continue
		}
		m.follows = follows || len(found) > 0 && found[len(found)-1].UID+1 == m.UID
		found = append(found, m)
		follows = true
	}
	return found, rows.Err()
}
