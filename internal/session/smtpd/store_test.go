package smtpd

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// shelf is the store behind the faults of a cupboard.
type shelf struct {
	*store.Store
	door   *intake.Intake
	faults *cupboard
}

func (s shelf) Begin(taps ...intake.Tap) *intake.Message {
	return s.faults.begin(s.door.Begin(append(taps, s.faults)...))
}

func (s shelf) Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error) {
	return s.door.Plan(ctx, m, e, to)
}

func (s shelf) Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.refuse != nil {
		return intake.Receipt{}, s.faults.refuse
	}
	r, err := s.door.Commit(ctx, p, also...)
	for i, id := range r.Items {
		octets, err := contentOf(p.Message)
		if err != nil {
			return r, err
		}
		s.faults.queue(id, r.Plan.Items[i], octets)
	}
	return r, err
}

// newShelf opens a store with the accounts of alice and bob. It must check
// clean at the end.
func newShelf(t *testing.T, faults *cupboard) shelf {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(dir, "mail.db")})
	must(err)
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	must(err)
	s, err := store.Open(ctx, store.Options{DB: db, Blobs: blobs, Holders: []store.Holder{spool.Held}})
	must(err)
	items, err := spool.Open(ctx, spool.Options{DB: db, Store: s})
	must(err)
	q, err := queue.Open(ctx, queue.Options{DB: db, Store: s, Spool: items, Now: time.Now, Rand: func() float64 { return 0 }})
	must(err)
	for _, id := range []mail.AccountID{alice, bob} {
		must(db.Write(ctx, func(tx *sqldb.Tx) error { return s.CreateAccount(tx, id) }))
	}
	t.Cleanup(func() {
		for _, check := range []func(context.Context, func(string)) error{s.Check, items.Check, q.Check} {
			must(check(ctx, func(problem string) { t.Error("check: " + problem) }))
		}
		must(db.Close())
	})
	return shelf{s, intake.New(intake.Options{Store: s, Queue: q}), faults}
}

// stored returns the octets of all that an account has in its inbox.
func (s shelf) stored(id mail.AccountID) ([]string, error) {
	ctx := context.Background()
	inbox, err := s.MailboxByRole(ctx, id, mail.RoleInbox)
	if err != nil {
		return nil, err
	}
	view, err := s.View(ctx, inbox.ID)
	if err != nil {
		return nil, err
	}
	var uids []mail.UID
	for _, e := range view.All() {
		uids = append(uids, e.UID)
	}
	rows, _, err := s.Rows(ctx, inbox.ID, uids, store.NeedContent)
	var all []string
	for _, r := range rows {
		var b strings.Builder
		if _, err := r.Content.WriteTo(&b); err != nil {
			return nil, err
		}
		if err := r.Content.Close(); err != nil {
			return nil, err
		}
		all = append(all, b.String())
	}
	return all, err
}

// The same transcripts, with mail that goes to disk. Those in which time
// passes are of sessions only, and stay in memory.
func TestTranscriptsWithStore(t *testing.T) {
	transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
		p := newPost(t, f)
		if f.Setting("clock", "still") == "real" {
			return transcript.Server{Serve: p.serve, Do: p.do}
		}
		s := newShelf(t, p.cupboard)
		p.server.cfg.Intake = s
		p.look = s.stored
		return transcript.Server{Serve: p.serve, Do: p.do}
	})
}
