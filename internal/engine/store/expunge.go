package store

import (
	"cmp"
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Expunge removes the messages with \Deleted, of those in only unless that is
// nil, in slices, and returns their UIDs, ascending. If it fails, the UIDs tell
// how far it came.
func (s *Store) Expunge(ctx context.Context, id mail.MailboxID, only mail.UIDSet) ([]mail.UID, error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return nil, err
	}
	var set mail.UIDSet
	for _, e := range v.All() {
		if e.Flags&mail.Deleted != 0 && (only == nil || only.Contains(e.UID)) {
			set.Add(e.UID)
		}
	}
	return s.expunge(ctx, id, set, func(m *member) bool { return m.Flags&mail.Deleted != 0 })
}

// ExpungeAny is Expunge whatever the flags of the messages are.
func (s *Store) ExpungeAny(ctx context.Context, id mail.MailboxID, set mail.UIDSet) ([]mail.UID, error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.expunge(ctx, id, head(set, uint64(v.lastUID())+1), everyMember)
}

// everyMember is a due for expungeSlice.
func everyMember(*member) bool { return true }

// expunge removes those of a set that are due, slice by slice.
func (s *Store) expunge(ctx context.Context, id mail.MailboxID, set mail.UIDSet, due func(*member) bool) (gone []mail.UID, err error) {
	op := s.db.Slices()
	for len(set) > 0 {
		var removed []mail.UID
		var next mail.UID
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			removed, next, err = s.expungeSlice(tx, id, set, due, 0)
			return err
		})
		if err != nil {
			return gone, err
		}
		gone = append(gone, removed...)
		if next == 0 {
			break
		}
		set = tail(set, next)
	}
	return gone, nil
}

// expungeSlice returns what it removed, and the UID to go on from, or 0. What is kept
// of how the messages left has the flags as too.
func (s *Store) expungeSlice(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, due func(*member) bool, as mail.Flags) (removed []mail.UID, next mail.UID, err error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, 0, err
	}
	box.changes = make([]change, 0, min(set.Len(), maxSlice))
	r := releaser{tx: tx, account: l.account, box: box, at: s.now().Unix(), as: as, l: l}
	next, err = revise(tx, id, set, func(m *member) (verdict, error) {
		if !due(m) {
			return same, nil
		}
		r.list = append(r.list, *m)
		removed = append(removed, m.UID)
		return gone, nil
	}, r.some)
	if err == nil {
		err = r.rest()
	}
	if err != nil {
		return nil, 0, err
	}
	return removed, next, l.close()
}

// releaser releases emails as they are found.
type releaser struct {
	tx      *sqldb.Tx
	account mail.AccountID
	box     *tally
	at      int64
	as      mail.Flags // of tombstones, beside their own
	l       *ledger    // nil if the account is gone
	list    []member
	count   int // released
}

// some releases what was found, if it is worth it.
func (r *releaser) some() error {
	if len(r.list) < settleEvery {
		return nil
	}
	return r.rest()
}

func (r *releaser) rest() error {
	list := r.list
	r.list, r.count = r.list[:0], r.count+len(list)
	if !r.box.doomed {
		r.l.bury(r.box.id, list, r.as)
	}
	left := make([]placing, 0, len(list))
	for i := range list {
		left = append(left, placing{email: list[i].email, from: Place{r.box.id, list[i].UID}})
	}
	gone, err := movePlaces(r.tx, r.account, left)
	if err != nil {
		return err
	}
	last := list
	if slices.Contains(gone, false) {
		last = nil
		for i := range list {
			if gone[i] {
				last = append(last, list[i])
			}
		}
	}
	expungeEmails(r.tx, r.account, r.box.id, last, r.at)
	if r.l == nil {
		return nil
	}
	for i := range list {
		kind := EmailRemoved
		if gone[i] {
			kind = EmailDestroyed
		}
		r.l.removed(r.box, &list[i], kind)
	}
	return nil
}

// expungeEmails notes that the emails of members, which were the last they had, are
// expunged at a time.
func expungeEmails(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID, list []member, at int64) {
	for _, r := range emailRuns(list) {
		tx.Do(`INSERT INTO expunged (at, email, account, mailbox, flags, keywords)
			SELECT $1, id, $2, $3, $4, $5 FROM email WHERE id BETWEEN $6 AND $7`, at, int64(account),
			int64(id), int64(r.like.Flags), []byte(r.like.words), int64(r.first), int64(r.last))
	}
}

// emailRun are emails that are neighbours, so that one statement reaches them
// all, and only them. Their flags and keywords are alike.
type emailRun struct {
	first, last mail.EmailID
	like        *member
}

// emailRuns makes as few runs of a list as there can be. Of an email that the
// list has several times, the last counts for what is alike.
func emailRuns(list []member) []emailRun {
	byEmail := func(a, b member) int { return cmp.Compare(a.email, b.email) }
	if !slices.IsSortedFunc(list, byEmail) {
		list = slices.Clone(list)
		slices.SortStableFunc(list, byEmail)
	}
	var runs []emailRun
	for i := range list {
		m, n := &list[i], len(runs)-1
		if i+1 < len(list) && list[i+1].email == m.email {
			continue
		}
		if n >= 0 && m.email == runs[n].last+1 && m.Flags == runs[n].like.Flags && m.words == runs[n].like.words {
			runs[n].last = m.email
			continue
		}
		runs = append(runs, emailRun{m.email, m.email, m})
	}
	return runs
}

// settleEvery is how many members wait for what one statement does for many of
// them: more make it cheaper, fewer keep a slice to its time.
const settleEvery = 480
