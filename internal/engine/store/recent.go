package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// recents are the claims of \Recent (RFC 3501 §2.3.2) that the rows do not have
// yet: whoever is told of new mail must not wait for the disk. A row follows
// with the next change of its mailbox, or when Run looks. What a crash forgets
// is told as \Recent once more, which is what the RFC asks for when in doubt.
type recents struct {
	mu    sync.Mutex
	taken map[mail.MailboxID]uint64 // the first UID that is \Recent still
}

// take claims the UIDs from first, or from what others have claimed, up to next,
// and returns the first.
func (r *recents) take(id mail.MailboxID, first, next uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = max(first, r.taken[id])
	if first < next {
		if r.taken == nil {
			r.taken = make(map[mail.MailboxID]uint64)
		}
		r.taken[id] = next
	}
	return first
}

// from returns the first UID that is \Recent still in a mailbox whose row says first.
func (r *recents) from(id mail.MailboxID, first uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(first, r.taken[id])
}

// kept forgets a claim if the row has it.
func (r *recents) kept(id mail.MailboxID, row uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[id] <= row {
		delete(r.taken, id)
	}
}

// claims lists the mailboxes with claims that their rows do not have.
func (r *recents) claims() []mail.MailboxID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.taken))
}

// TakeRecent gives the caller what is \Recent: messages with UID first or
// higher, which nobody else will be told are. It writes nothing.
func (s *Store) TakeRecent(ctx context.Context, id mail.MailboxID) (first mail.UID, err error) {
	var row, next uint64
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		err := tx.QueryRow(`SELECT t.recent, t.uidnext FROM mailbox m
			JOIN tally t ON t.account = m.account AND t.mailbox = m.id WHERE m.id = $1`, id).Scan(&row, &next)
		if err == sqldb.ErrNoRows {
			return errNoMailbox()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return mail.UID(s.recents.take(id, row, next)), nil
}

// recentSlice is how many claims are written in one transaction.
const recentSlice = 1000

// keepRecents writes the claims that the rows do not have.
func (s *Store) keepRecents(ctx context.Context) error {
	for ids := range slices.Chunk(s.recents.claims(), recentSlice) {
		owned, err := s.owners(ctx, ids)
		if err != nil {
			return err
		}
		err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
			for _, of := range owned {
				lockAccount(tx, of.account)
			}
			for _, of := range owned {
				first := s.recents.from(of.id, 0)
				tx.Do(`UPDATE tally SET recent = $1 WHERE account = $2 AND mailbox = $3 AND recent < $1`, int64(first), int64(of.account), int64(of.id))
				tx.OnCommit(func() { s.recents.kept(of.id, first) })
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// owned is a mailbox of an account.
type owned struct {
	account mail.AccountID
	id      mail.MailboxID
}

// owners finds the accounts of mailboxes, in the order in which those are locked.
// Mailboxes that are gone are left out.
func (s *Store) owners(ctx context.Context, ids []mail.MailboxID) (list []owned, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = list[:0]
		asked := make([]*sqldb.Answer, len(ids))
		for i, id := range ids {
			asked[i] = tx.Ask(`SELECT account FROM mailbox WHERE id = $1`, id)
		}
		for i, id := range ids {
			of := owned{id: id}
			if err := asked[i].Scan(&of.account); err == nil {
				list = append(list, of)
			} else if err != sqldb.ErrNoRows {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b owned) int { return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.id, b.id)) })
	return list, err
}
