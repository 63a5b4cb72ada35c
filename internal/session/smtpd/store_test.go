package smtpd

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	queue  *queue.Queue
	faults *cupboard
}

// letter is a message of the store that a test can make fail.
type letter struct {
	*store.Incoming
	faults *cupboard
}

func (l letter) Write(p []byte) (int, error) {
	l.faults.mu.Lock()
	defer l.faults.mu.Unlock()
	if l.faults.broken != nil {
		return 0, l.faults.broken
	}
	return l.Incoming.Write(p)
}

func (s shelf) create() letter { return letter{s.NewIncoming(), s.faults} }

func (s shelf) accept(ctx context.Context, l letter, filings []store.Filing, it spool.Item, to []queue.Recipient) ([]store.Filed, spool.ItemID, error) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.refuse != nil {
		return nil, 0, s.faults.refuse
	}
	filed, id, err := s.queue.Accept(ctx, l.Incoming, filings, it, to)
	if err != nil || id == 0 {
		return filed, id, err
	}
	s.faults.queue(id, it, to)
	c, err := l.Content()
	if err != nil {
		return nil, 0, err
	}
	var octets strings.Builder
	_, err = c.WriteTo(&octets)
	s.faults.relayed = octets.String()
	return filed, id, errors.Join(err, c.Close())
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
	return shelf{s, q, faults}
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
		p.server.cfg.Acceptor = Into(s.create, s.accept)
		p.look = s.stored
		return transcript.Server{Serve: p.serve, Do: p.do}
	})
}
