package store

import (
	"context"
	"errors"
	"math"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// How often Run looks for work, and how long a file stays for readers that
// found its row before the row went.
const (
	sweepEvery   = time.Minute
	orphansEvery = 60 // rounds
	threadsEvery = 24 * orphansEvery
	garbageGrace = 10 * time.Minute
	nameBatch    = 256 // file names looked up in one transaction
	rowSlice     = 512 // rows that one statement of a sweep reads or removes
	purgeSlice   = 128 // emails that are purged in one transaction
)

// dropped is a file whose row is gone.
type dropped struct {
	name string
	at   time.Time
}

// Run sweeps until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for round := 0; ; round++ {
		err := s.Sweep(ctx)
		if err == nil {
			err = s.keepRecents(ctx)
		}
		if err == nil && round%orphansEvery == 0 {
			err = s.SweepOrphans(ctx)
		}
		if err == nil && round%orphansEvery == 0 {
			err = errors.Join(s.sweepKeywords(ctx), s.sweepTombstones(ctx), s.sweepFormer(ctx), s.joinBundles(ctx))
		}
		if err == nil && round%threadsEvery == 0 {
			err = errors.Join(s.sweepThreads(ctx), s.sweepChanges(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("sweep failed; it goes on at the next round", "err", err)
		}
		select {
		case <-ctx.Done():
			return s.keepRecents(context.WithoutCancel(ctx))
		case <-tick.C:
		}
	}
}

// Sweep removes, in slices, what is left of copies that were cut short, of
// deleted mailboxes and accounts, the emails expunged for longer than Retention.Expunged, and the files
// that nobody can be reading any more.
func (s *Store) Sweep(ctx context.Context) error {
	if err := s.sweepCopies(ctx); err != nil {
		return err
	}
	if err := s.sweepDoomed(ctx); err != nil {
		return err
	}
	if err := s.repeat(ctx, s.purge); err != nil {
		return err
	}
	return s.removeGarbage()
}

// repeat runs step in slices until it says that there is no more.
func (s *Store) repeat(ctx context.Context, step func(*sqldb.Tx) (more bool, err error)) error {
	op := s.db.Slices()
	for more := true; more; {
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			more, err = step(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepDoomed works off deleted mailboxes and accounts. One that cannot be read is
// left as it is, and harms none of the others.
func (s *Store) sweepDoomed(ctx context.Context) error {
	below := int64(math.MaxInt64)
	for {
		at := below
		err := s.repeat(ctx, func(tx *sqldb.Tx) (bool, error) { return s.sweepDoomedBelow(tx, below, &at) })
		if !s.aside.Takes(err) || at == below || at == 0 {
			return err
		}
		below = at
	}
}

// sweepDoomedBelow works off a slice of the last deleted mailbox below one, which it
// names, or of an account.
func (s *Store) sweepDoomedBelow(tx *sqldb.Tx, below int64, mailbox *int64) (more bool, err error) {
	var account, purge int64
	// A mailbox before its account, which is mailbox 0.
	err = tx.QueryRow(`SELECT mailbox, account FROM doomed WHERE mailbox < $1 ORDER BY mailbox DESC LIMIT 1`, below).
		Scan(mailbox, &account)
	if err == sqldb.ErrNoRows {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lockAccount(tx, mail.AccountID(account))
	err = tx.QueryRow(`SELECT purge FROM doomed WHERE account = $1 AND mailbox = $2`, account, *mailbox).Scan(&purge)
	if err == sqldb.ErrNoRows { // Another sweep was here first.
		return true, nil
	}
	if err != nil {
		return false, err
	}
	at := s.now().Unix()
	if purge != 0 {
		at = 0
	}
	var n int64
	if *mailbox == 0 {
		n, err = sweepAccount(tx, account)
	} else {
		n, err = s.sweepMailbox(tx, mail.AccountID(account), mail.MailboxID(*mailbox), at)
	}
	if err == nil && n == 0 {
		_, err = tx.Exec(`DELETE FROM doomed WHERE account = $1 AND mailbox = $2`, account, *mailbox)
	}
	return true, err
}

// sweepMailbox expunges a slice of what was in a mailbox, then its tombstones.
func (s *Store) sweepMailbox(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID, at int64) (int64, error) {
	l, err := s.openLedger(tx, account)
	if mail.KindOf(err) == mail.NotFound && err != nil {
		l, err = nil, nil
	}
	if err != nil {
		return 0, err
	}
	r := releaser{tx: tx, account: account, box: &tally{id: id, doomed: true}, at: at, l: l}
	_, err = revise(tx, id, mail.UIDSet{{First: 1, Last: maxUID}}, func(m *member) (verdict, error) {
		r.list = append(r.list, *m)
		return gone, nil
	}, r.some)
	if err == nil {
		err = r.rest()
	}
	if err == nil && l != nil && r.count > 0 {
		l.boxes = append(l.boxes, r.box)
		l.listed = true
		err = l.close()
	}
	if err != nil || r.count > 0 {
		return int64(r.count), err
	}
	return tx.Exec(`DELETE FROM tombstone WHERE mailbox = $1 AND (modseq, uid) IN
		(SELECT modseq, uid FROM tombstone WHERE mailbox = $1 LIMIT $2)`, id, rowSlice)
}

// sweepAccount removes a slice of an account's indexes, changes and threads, then gives its expunged
// emails to purge.
func sweepAccount(tx *sqldb.Tx, account int64) (int64, error) {
	n, err := tx.Exec(`DELETE FROM email_index WHERE account = $1 AND (kind, first, second, third) IN
		(SELECT kind, first, second, third FROM email_index WHERE account = $1 LIMIT $2)`, account, rowSlice)
	if err != nil || n > 0 {
		return n, err
	}
	n, err = tx.Exec(`DELETE FROM change WHERE account = $1 AND modseq IN
		(SELECT modseq FROM change WHERE account = $1 LIMIT $2)`, account, rowSlice)
	if err != nil || n > 0 {
		return n, err
	}
	n, err = tx.Exec(`DELETE FROM threadref WHERE account = $1 AND ref IN
		(SELECT ref FROM threadref WHERE account = $1 LIMIT $2)`, account, rowSlice)
	if err != nil || n > 0 {
		return n, err
	}
	return tx.Exec(`UPDATE expunged SET at = 0 WHERE (at, email) IN
		(SELECT at, email FROM expunged WHERE account = $1 AND at > 0 LIMIT $2)`, account, rowSlice)
}

// purge removes a slice of the emails that can no longer be restored.
func (s *Store) purge(tx *sqldb.Tx) (more bool, err error) {
	tx.Lock(sqldb.Name, "purge") // Another one would want the same.
	due, read, err := s.selectExpunged(tx, `WHERE x.at <= $1 ORDER BY x.at, x.email LIMIT $2`,
		s.now().Add(-s.retention.Load().Expunged).Unix(), purgeSlice)
	if err != nil {
		return false, err
	}
	mine, err := takeExpunged(tx, due)
	if err != nil {
		return false, err
	}
	var blobs []BlobRef
	for _, x := range mine {
		tx.Do(`DELETE FROM email WHERE id = $1`, x.email)
		blobs = append(blobs, BlobRef(x.blob))
	}
	thinned := make(map[mail.AccountID]bool)
	for _, x := range mine {
		if !thinned[x.account] {
			thinned[x.account] = true
			noteThinned(tx, x.account)
		}
	}
	return read == purgeSlice && len(due) > 0, s.ReleaseBlobs(tx, blobs)
}

func (s *Store) discard(file string) {
	s.garbageMu.Lock()
	defer s.garbageMu.Unlock()
	s.garbage = append(s.garbage, dropped{file, s.now()})
}

// removeGarbage removes the files whose rows went a while ago. Those that a
// crash makes it forget are orphans.
func (s *Store) removeGarbage() error {
	for {
		name := s.nextGarbage()
		if name == "" {
			return nil
		}
		if err := s.blobs.Remove(name); err != nil {
			return err
		}
	}
}

func (s *Store) nextGarbage() string {
	s.garbageMu.Lock()
	defer s.garbageMu.Unlock()
	if len(s.garbage) == 0 || s.now().Sub(s.garbage[0].at) < garbageGrace {
		return ""
	}
	name := s.garbage[0].name
	s.garbage = s.garbage[1:]
	return name
}

// SweepOrphans removes the files that no row names and that are older than
// OrphanGrace. Those of messages on their way are known, whatever the clock says.
func (s *Store) SweepOrphans(ctx context.Context) error {
	old := s.now().Add(-s.opt.OrphanGrace)
	return s.eachFileBatch(ctx, func(names []string, written []time.Time, known map[string]bool) error {
		for i, name := range names {
			if known[name] || written[i].After(old) {
				continue
			}
			s.log.Info("a message file without a message is removed", "file", name)
			if err := s.blobs.Remove(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachFileBatch calls fn with all files, some at a time, and which of them a row names.
func (s *Store) eachFileBatch(ctx context.Context, fn func(names []string, written []time.Time, known map[string]bool) error) error {
	var names []string
	var written []time.Time
	flush := func() error {
		known, err := s.knownFiles(ctx, names)
		if err == nil {
			err = fn(names, written, known)
		}
		names, written = nil, nil
		return err
	}
	for kept, err := range s.blobs.Names() {
		if err != nil {
			return err
		}
		names, written = append(names, kept.Name), append(written, kept.Written)
		if len(names) == nameBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// knownFiles says which files a row names or are of a message on its way. The
// latter are looked at first: a message that is not on its way any more has its row.
func (s *Store) knownFiles(ctx context.Context, names []string) (map[string]bool, error) {
	known := make(map[string]bool)
	s.arriving.Range(func(name, _ any) bool {
		known[name.(string)] = true
		return true
	})
	err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
		for _, name := range names {
			err := tx.QueryRow(`SELECT id FROM blob WHERE file = $1 AND file IS NOT NULL`, name).Scan(new(int64))
			if err == nil {
				known[name] = true
			} else if err != sqldb.ErrNoRows {
				return err
			}
		}
		return nil
	})
	return known, err
}
