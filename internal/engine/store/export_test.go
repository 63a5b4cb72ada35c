package store

import (
	"context"
	"errors"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// SweepCopies is the part of Sweep that takes copies back.
func (s *Store) SweepCopies(ctx context.Context) error { return s.sweepCopies(ctx) }

// SweepKeywords is the part of Sweep that removes keywords of mailboxes that are gone.
func (s *Store) SweepKeywords(ctx context.Context) error { return s.sweepKeywords(ctx) }

// RenameReplanning is RenameMailbox when other changes overtook its plans.
func (s *Store) RenameReplanning(ctx context.Context, account mail.AccountID, from, to mail.MailboxName) error {
	return s.renameReplanning(ctx, account, from, to)
}

// RenameStep is for how many mailboxes a slice of a renaming writes at least.
const RenameStep = renameStep

// Tidy does what Run does once in an hour or a day with rows that are no longer wanted.
func (s *Store) Tidy(ctx context.Context) error {
	return errors.Join(s.sweepKeywords(ctx), s.sweepTombstones(ctx), s.sweepFormer(ctx), s.joinBundles(ctx), s.sweepThreads(ctx), s.sweepChanges(ctx))
}

// Announce has fn called with each announcement of a commit instead of making it.
func (s *Store) Announce(fn func(announce func())) { s.announces = fn }

// FileChanges writes the latest changes of an account to a row of their own, however
// few they are.
func (s *Store) FileChanges(tx *sqldb.Tx, account mail.AccountID) error {
	l, err := s.openLedger(tx, account)
	if err != nil {
		return err
	}
	p, now, err := loadPending(tx, account)
	if err != nil {
		return err
	}
	l.modseq, p.applied = now, p.applied-arrivalsEvery
	if err := l.fileChanges(&p); err != nil {
		return err
	}
	l.changes = p.append(nil)
	l.writeTotal()
	return nil
}

// NoChanges is what the account's row has of changes if none after since are known.
func NoChanges(since mail.ModSeq) []byte { return (&pending{since: since, indexed: since}).append(nil) }

// CheckBlobs is the part of Check about blobs.
func (s *Store) CheckBlobs(ctx context.Context, report func(problem string)) error {
	c := &checker{s: s, ctx: ctx, report: report, told: map[string]bool{}}
	return c.blobs()
}

// EmailRuns is how many statements reach members with these emails, and how many
// emails those are.
func EmailRuns(emails ...mail.EmailID) (runs, reached int) {
	var list []member
	for _, e := range emails {
		list = append(list, member{email: e})
	}
	all := emailRuns(list)
	for _, r := range all {
		reached += int(r.last-r.first) + 1
	}
	return len(all), reached
}

// ChunkOctets is what the chunks take that are reachable from the views in memory
// and those that are kept, each counted once.
func (s *Store) ChunkOctets() int64 {
	vs := s.views
	vs.mu.Lock()
	defer vs.mu.Unlock()
	chunks := map[*entry]bool{}
	add := func(v *View) {
		for c := range v.numChunks() {
			chunks[&v.chunk(c)[0]] = true
		}
	}
	for _, sl := range vs.slots {
		if sl.view != nil {
			add(sl.view)
		}
	}
	for _, k := range vs.keepers {
		for l := range k.lines {
			for _, kept := range l.kept {
				add(kept.view)
			}
		}
	}
	return int64(len(chunks)) * chunkOctets
}
