package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
	"yubin/internal/world/sqldb"
)

// house is a store with the account 1, which must check clean at the end.
type house struct {
	*Transfer
	t   testing.TB
	ctx context.Context
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, ctx: context.Background()}
	dir := t.TempDir()
	db := dbtest.Open(t)
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	h.must(err)
	s, err := store.Open(h.ctx, store.Options{DB: db, Blobs: blobs})
	h.must(err)
	h.must(db.Write(h.ctx, func(tx *sqldb.Tx) error { return errors.Join(s.CreateAccount(tx, 1), s.CreateAccount(tx, 2)) }))
	h.Transfer, err = Open(h.ctx, db, s, intake.New(intake.Options{Store: s}))
	h.must(err)
	t.Cleanup(func() {
		h.must(s.CheckDeep(h.ctx, func(p string) { t.Error("check: " + p) }))
	})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// names takes names of folders as they are.
func names() maildir.Codec {
	return maildir.Codec{Decode: func(b []byte) (string, bool) { return string(b), true }, Encode: func(s string) string { return s }}
}

// take imports and returns the report.
func (h *house) take(from Source, p Plan) Report {
	h.t.Helper()
	if p.Account == 0 {
		p.Account = 1
	}
	r, err := h.Import(h.ctx, from, p, func(Progress) {})
	h.must(err)
	return r
}

// show lists a mailbox: "UID flags subject".
func (h *house) show(account mail.AccountID, name mail.MailboxName) (lines []string) {
	h.t.Helper()
	m, err := h.store.Mailbox(h.ctx, account, name)
	h.must(err)
	v, err := h.store.View(h.ctx, m.ID)
	h.must(err)
	for _, e := range v.All() {
		rows, _, err := h.store.Rows(h.ctx, m.ID, []mail.UID{e.UID}, store.NeedContent)
		h.must(err)
		var b strings.Builder
		_, err = rows[0].Content.WriteTo(&b)
		h.must(err)
		rows[0].Content.Close()
		lines = append(lines, fmt.Sprintf("%d %v%v %s", e.UID, e.Flags.AppendNames(nil), e.Keywords.Names(), b.String()))
	}
	return lines
}

func (h *house) box(name mail.MailboxName) store.Mailbox {
	h.t.Helper()
	m, err := h.store.Mailbox(h.ctx, 1, name)
	h.must(err)
	return m
}

func (h *house) want(about string, got any, want string) {
	h.t.Helper()
	if g := fmt.Sprint(got); g != want {
		h.t.Errorf("%s: %.400s\nwant %.400s", about, g, want)
	}
}

// making is a Maildir in the making.
type making struct {
	t    testing.TB
	root string
}

func newFiles(t testing.TB) *making { return &making{t, t.TempDir()} }

func (f *making) source() *Maildir { return &Maildir{Root: files.From(f.root), Codec: names()} }

func (f *making) put(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1_600_000_000, 0)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *making) rename(from, to string) {
	f.t.Helper()
	if err := os.Rename(filepath.Join(f.root, from), filepath.Join(f.root, to)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *making) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.root, name)); err != nil {
		f.t.Fatal(err)
	}
}

// numbered is a Maildir whose INBOX has n messages with UIDs 10, 20, ...
func numbered(t testing.TB, n int) *making {
	f := newFiles(t)
	list := fmt.Sprintf("3 V77 N%d\n", n*10+5)
	for i := 1; i <= n; i++ {
		f.put(fmt.Sprintf("cur/%d.a:2,S", i), fmt.Sprintf("A: %d\n\n", i))
		list += fmt.Sprintf("%d :%d.a\n", i*10, i)
	}
	f.put("dovecot-uidlist", list)
	return f
}

// deliver files a message that comes by itself.
func (h *house) deliver(name mail.MailboxName, text string) {
	h.t.Helper()
	in := h.store.NewIncoming()
	defer in.Close()
	_, err := io.WriteString(in, text)
	h.must(err)
	_, err = h.store.Deliver(h.ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: 1, Mailbox: h.box(name).ID, Received: time.Unix(1, 0)}}})
	h.must(err)
}
