package feedback_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/feedback"
	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

const me mail.AccountID = 1

var ctx = context.Background()

// house is a store with an account, and who follows what its owner does.
type house struct {
	*feedback.Follower
	t       testing.TB
	db      *sqldb.DB
	store   *store.Store
	history *history.History
	pupil   *pupil
	boxes   map[mail.MailboxName]mail.MailboxID
	serial  int
}

func newHouse(t testing.TB, change ...func(*store.Options)) *house {
	h := &house{t: t, db: dbtest.Open(t), pupil: &pupil{knows: map[mail.EmailID]bool{}}}
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	h.must(err)
	o := store.Options{DB: h.db, Blobs: blobs, Publish: func(e store.Event) {
		if h.Follower != nil {
			h.Heard(e)
		}
	}}
	for _, c := range change {
		c(&o)
	}
	h.store, err = store.Open(ctx, o)
	h.must(err)
	h.history, err = history.Open(ctx, history.Options{DB: h.db})
	h.must(err)
	h.begin()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, me) }))
	h.boxes = make(map[mail.MailboxName]mail.MailboxID)
	list, err := h.store.Mailboxes(ctx, me)
	h.must(err)
	for _, m := range list {
		h.boxes[m.Name] = m.ID
	}
	for _, name := range []mail.MailboxName{"Friends", "Spam"} {
		m, err := h.store.CreateMailbox(ctx, me, name, "")
		h.must(err)
		h.boxes[name] = m.ID
	}
	t.Cleanup(func() { h.must(h.store.Check(ctx, func(p string) { t.Error("check: " + p) })) })
	return h
}

// begin follows anew, as after a restart.
func (h *house) begin() {
	h.t.Helper()
	f, err := feedback.Open(ctx, feedback.Options{DB: h.db, Store: h.store, Lessons: h.pupil, Acquaintances: h.history})
	h.must(err)
	h.Follower = f
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) look() {
	h.t.Helper()
	h.must(h.Look(ctx, me))
}

// pupil knows which emails are junk and which are not. It is told what it knows once
// in a while, and fails when it should.
type pupil struct {
	mu    sync.Mutex
	knows map[mail.EmailID]bool
	calls int
	fails func() bool
}

var errSlow = errors.New("the pupil is slow today")

func (p *pupil) Learn(_ context.Context, account mail.AccountID, emails []mail.EmailID, junk bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range emails {
		if p.calls++; p.fails != nil && p.fails() {
			return errSlow
		}
		p.knows[id] = junk
	}
	return nil
}

// LearnKept learns as Learn does: it doubts everything.
func (p *pupil) LearnKept(ctx context.Context, account mail.AccountID, emails []mail.EmailID) error {
	return p.Learn(ctx, account, emails, false)
}

func (p *pupil) Unlearn(_ context.Context, account mail.AccountID, emails []mail.EmailID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range emails {
		if p.calls++; p.fails != nil && p.fails() {
			return errSlow
		}
		delete(p.knows, id)
	}
	return nil
}

// said lists what was learned: "junk 1, ham 2".
func (p *pupil) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for _, id := range slices.Sorted(maps.Keys(p.knows)) {
		words = append(words, fmt.Sprintf("%s %d", map[bool]string{true: "junk", false: "ham"}[p.knows[id]], id))
	}
	return strings.Join(words, ", ")
}

// letter is an email and where it is.
type letter struct {
	h     *house
	email mail.EmailID
	at    map[mail.MailboxName]mail.UID
}

const prefix = "Return-Path: <bob@example.org>\r\nReceived: from mail.example.org ([192.0.2.7])\r\n\tby mx.example.net with ESMTP id 1;\r\n\tTue, 1 Dec 2026 01:00:00 +0000\r\n"

// comes has a letter come into a mailbox.
func (h *house) comes(to mail.MailboxName, flags mail.Flags, words mail.Keywords) *letter {
	h.t.Helper()
	h.serial++
	in := h.store.NewIncoming()
	defer in.Close()
	_, err := fmt.Fprintf(in, "From: Bob <bob@example.org>\r\nMessage-ID: <%d@example.org>\r\nSubject: letter\r\n\r\n%d\r\n", h.serial, h.serial)
	h.must(err)
	filed, err := h.store.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: me, Mailbox: h.boxes[to],
		Prefix: []byte(prefix), Flags: flags, Keywords: words, Received: time.Unix(1_800_000_000, 0)}}})
	h.must(err)
	return &letter{h, filed[0].Email, map[mail.MailboxName]mail.UID{to: filed[0].UID}}
}

func (l *letter) move(from, to mail.MailboxName) {
	l.h.t.Helper()
	c, err := l.h.store.Move(ctx, l.h.boxes[from], mail.UIDs(l.at[from]), l.h.boxes[to])
	l.h.must(err)
	delete(l.at, from)
	l.at[to] = c.Dest[0]
}

func (l *letter) copy(from, to mail.MailboxName) {
	l.h.t.Helper()
	c, err := l.h.store.Copy(ctx, l.h.boxes[from], mail.UIDs(l.at[from]), l.h.boxes[to])
	l.h.must(err)
	l.at[to] = c.Dest[0]
}

func (l *letter) expunge(from mail.MailboxName) {
	l.h.t.Helper()
	_, err := l.h.store.ExpungeAny(ctx, l.h.boxes[from], mail.UIDs(l.at[from]))
	l.h.must(err)
	delete(l.at, from)
}

func (l *letter) flag(in mail.MailboxName, mode store.FlagMode, flags mail.Flags, words mail.Keywords) {
	l.h.t.Helper()
	_, err := l.h.store.SetFlags(ctx, l.h.boxes[in], mail.UIDs(l.at[in]), store.FlagChange{Mode: mode, Flags: flags, Keywords: words})
	l.h.must(err)
}
