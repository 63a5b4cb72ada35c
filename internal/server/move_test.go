package server

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/move"
	"yubin/internal/engine/schemas"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
)

// mover is a post office that is to move.
type mover struct {
	t        *testing.T
	st       *Store
	accounts []mail.AccountID
	rng      *rand.Rand
}

func newMover(t *testing.T) *mover {
	t.Helper()
	st, err := MakeStore(t.Context(), local(t).Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	m := &mover{t: t, st: st, rng: rand.New(rand.NewPCG(1, 2))}
	t.Cleanup(func() { _ = m.st.Close() })
	client := admin.InProcess(st.Admin())
	_, err = client.AddDomain(t.Context(), "example.net")
	m.must(err)
	for _, name := range []string{"alice", "bob"} {
		_, err := client.AddAccount(t.Context(), admin.NewAccount{Address: name + "@example.net", Password: "correct horse"})
		m.must(err)
		a, err := st.directory.Account(t.Context(), mail.Address{Local: name, Domain: "example.net"})
		m.must(err)
		m.accounts = append(m.accounts, a.ID)
	}
	m.must(os.MkdirAll(st.folder.Path("tls"), 0o700))
	m.must(os.WriteFile(st.folder.Path("tls/key.pem"), []byte("secret"), 0o600))
	return m
}

func (m *mover) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// deliver files a message of some size for all accounts.
func (m *mover) deliver(id string, size int) error {
	in := m.st.mail.NewIncoming()
	defer in.Close()
	text := fmt.Appendf(nil, "From: a@example.org\r\nMessage-ID: <%s@example.org>\r\nSubject: %s\r\n\r\n", id, id)
	for len(text) < size {
		text = fmt.Appendf(text, "%x\r\n", m.rng.Uint64())
	}
	if _, err := in.Write(text); err != nil {
		return err
	}
	var to []store.Filing
	for _, a := range m.accounts {
		to = append(to, store.Filing{Account: a, Role: mail.RoleInbox, Received: time.Now(), Flags: mail.Flags(len(text) % 32), Keywords: "$Label1"})
	}
	_, err := m.st.mail.Deliver(context.Background(), store.Posting{Message: in, Filings: to})
	return err
}

// fill gives the accounts mail, renames a mailbox, and expunges some.
func (m *mover) fill(small, large int) {
	m.t.Helper()
	for i := range small {
		m.must(m.deliver(fmt.Sprintf("small%d.%d", m.rng.IntN(1e9), i), 500+m.rng.IntN(4000)))
	}
	for i := range large {
		m.must(m.deliver(fmt.Sprintf("large%d.%d", m.rng.IntN(1e9), i), store.InlineMax+1000*(i+1)))
	}
	box, err := m.st.mail.Mailbox(m.t.Context(), m.accounts[0], mail.Inbox)
	m.must(err)
	_, err = m.st.mail.ExpungeAny(m.t.Context(), box.ID, mail.UIDSet{{First: 2, Last: 4}})
	m.must(err)
}

// seenIn is all that can be read of the accounts of a store.
func (m *mover) seenIn(st *Store) map[string]string {
	m.t.Helper()
	all := map[string]string{}
	for _, a := range m.accounts {
		boxes, err := st.mail.Mailboxes(m.t.Context(), a)
		m.must(err)
		for _, b := range boxes {
			all[fmt.Sprint(a, b.Name)] = fmt.Sprintf("%+v", b)
			view, err := st.mail.View(m.t.Context(), b.ID)
			m.must(err)
			for _, e := range view.All() {
				rows, _, err := st.mail.Rows(m.t.Context(), b.ID, []mail.UID{e.UID}, store.NeedContent)
				m.must(err)
				var octets bytes.Buffer
				_, err = rows[0].Content.WriteTo(&octets)
				m.must(errors.Join(err, rows[0].Content.Close()))
				all[fmt.Sprint(a, b.Name, e.UID)] = fmt.Sprintf("%v %v %v %v %q", rows[0].Flags, rows[0].Keywords, rows[0].Received, e.ModSeq, octets.String())
			}
		}
	}
	return all
}

// opened opens the post office at path, which must be whole.
func (m *mover) opened(path string) *Store {
	m.t.Helper()
	st, err := OpenStore(m.t.Context(), path, deps())
	m.must(err)
	m.must(checked{st.mail, st}.CheckDeep(m.t.Context(), func(p string) { m.t.Error(p) }))
	return st
}

// TestMove: while mail comes, everything is carried; nobody loses what was
// acknowledged; the old place refuses to open and says where the post office is; the new
// one shows the same in every answer, and moves on just so.
func TestMove(t *testing.T) {
	m := newMover(t)
	m.fill(150, 3)
	var acknowledged []string
	var refused error
	var coming sync.WaitGroup
	coming.Go(func() {
		for n := 0; refused == nil; n++ {
			id := fmt.Sprintf("coming.%d", n)
			if refused = m.deliver(id, 300+n%5000); refused == nil {
				acknowledged = append(acknowledged, id)
			}
		}
	})
	to := filepath.Join(t.TempDir(), "new")
	lines := 0
	moved, err := admin.InProcess(m.st.Admin()).Move(t.Context(), admin.NewMove{Folder: to}, func(move.Progress) { lines++ })
	m.must(err)
	coming.Wait()
	if mail.KindOf(refused) != mail.Unavailable || !strings.Contains(refused.Error(), "the post office is moving; try again") {
		t.Errorf("who came while it moved heard %v", refused)
	}
	t.Logf("%+v; %d messages came meanwhile", moved, len(acknowledged))
	if moved.Rows < 300 || moved.Files < 4 || len(moved.Problems) > 0 {
		t.Errorf("moved %+v", moved)
	}
	was := m.seenIn(m.st)
	for _, id := range acknowledged {
		if !strings.Contains(fmt.Sprint(was), id+"@") {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	old := m.st.folder.Path("")
	m.must(m.st.Close())
	_, err = OpenStore(t.Context(), old, deps())
	if gone := (*datadir.MovedError)(nil); !errors.As(err, &gone) || gone.To != to {
		t.Errorf("the old place says %v", err)
	}
	m.st = m.opened(to)
	if d := cmp.Diff(was, m.seenIn(m.st)); d != "" {
		t.Errorf("it differs (-was +is):\n%.2000s", d)
	}
	if text, err := os.ReadFile(filepath.Join(to, "tls/key.pem")); string(text) != "secret" {
		t.Errorf("the key: %q, %v", text, err)
	}
	m.must(m.deliver("next", 400))
	again := filepath.Join(t.TempDir(), "again")
	_, err = admin.InProcess(m.st.Admin()).Move(t.Context(), admin.NewMove{Folder: again}, func(move.Progress) {})
	m.must(err)
	was = m.seenIn(m.st)
	m.must(m.st.Close())
	m.st = m.opened(again)
	if d := cmp.Diff(was, m.seenIn(m.st)); d != "" {
		t.Errorf("moved on, it differs (-was +is):\n%.2000s", d)
	}
}

// TestMoveThroughServer: a post office moves into a database on a server, if there is one
// to test with, and from there back into a file, while it has rows of every table; all
// is equal then.
func TestMoveThroughServer(t *testing.T) {
	m := newMover(t)
	m.fill(60, 3)
	middle, back := filepath.Join(t.TempDir(), "middle"), filepath.Join(t.TempDir(), "back")
	o := dbtest.Options(t)
	was := m.seenIn(m.st)
	carry := func(s move.Source, to move.Target) {
		t.Helper()
		s.Hold = func(context.Context) (func(), error) { return s.DB.Hold(mail.Errorf(mail.Unavailable, "held")), nil }
		moved, err := move.Run(t.Context(), s, to, move.Options{Now: time.Now, Log: deps().Log})
		m.must(err)
		if moved.Rows < 100 || len(moved.Problems) > 0 {
			t.Errorf("moved %+v", moved)
		}
	}
	carry(moves{s: m.st, d: deps(), blobs: m.st.blobs}.source(), move.Target{Folder: middle, Database: o})
	folder, err := datadir.Open(t.Context(), middle, 0)
	m.must(err)
	db, err := schemas.Open(t.Context(), filepath.Join(middle, datadir.Database), o)
	m.must(err)
	blobs, err := blob.Open(filepath.Join(middle, datadir.Blobs), crand.Reader)
	m.must(err)
	carry(move.Source{Folder: middle, Dir: folder, DB: db, Blobs: blobs}, move.Target{Folder: back})
	m.must(errors.Join(db.Close(), folder.Close()))
	st := m.opened(back)
	defer st.Close()
	if d := cmp.Diff(was, m.seenIn(st)); d != "" {
		t.Errorf("it differs (-was +is):\n%.2000s", d)
	}
}

var errKilled = errors.New("killed")

// TestMoveKilled: a move that ends before any of its steps leaves one place that opens,
// never two, never none; run again, if it is to be, it goes on, and all is there.
func TestMoveKilled(t *testing.T) {
	m := newMover(t)
	m.fill(20, 2)
	// Of each kind of step the first and the last one are enough.
	var names []string
	kill := func(n int) bool {
		return slices.Index(names, names[n]) == n || !slices.Contains(names[n+1:], names[n])
	}
	for at := -1; at < len(names); at++ {
		if at >= 0 && !kill(at) {
			continue
		}
		to := filepath.Join(t.TempDir(), "new")
		steps, name, release := 0, "", func() {}
		run := func(kill int) (move.Moved, error) {
			steps = -1
			source := moves{m.st, deps(), m.st.blobs, new(sync.Mutex)}.source()
			source.Hold = func(ctx context.Context) (func(), error) {
				release = m.st.db.Hold(mail.Errorf(mail.Unavailable, "held"))
				return release, nil
			}
			return move.Run(t.Context(), source, move.Target{Folder: to}, move.Options{Now: time.Now, Log: deps().Log, Step: func(step string) error {
				if steps++; steps == kill {
					name = step
					return errKilled
				}
				if at < 0 {
					names = append(names, step)
				}
				if step == "hold" { // There is something to carry in the last round.
					return m.deliver("late", 400)
				}
				return nil
			}})
		}
		_, err := run(at)
		if killed := name != "" && name != "marked"; (err != nil) != killed || killed && !errors.Is(err, errKilled) {
			t.Fatalf("%q: %v", name, err)
		}
		if m.serves(to, name) {
			release()
			m.fill(3, 0) // Mail comes before the move is run again.
			if _, err := run(-2); err != nil {
				t.Fatalf("after %q: %v", name, err)
			}
			if m.serves(to, "the end") {
				t.Errorf("after %q, both would serve", name)
			}
		}
		moved := m.opened(to)
		if d := cmp.Diff(m.seenIn(m.st), m.seenIn(moved)); d != "" {
			t.Errorf("after %q it differs (-was +is):\n%.2000s", name, d)
		}
		m.must(moved.Close())
		release()
		m.must(os.Remove(m.st.folder.Path("yubin-moved")))
	}
	t.Logf("steps: %q", slices.Compact(names))
}

// serves reports whether a server would start on the old place; on the new one it would
// if not.
func (m *mover) serves(to, after string) bool {
	m.t.Helper()
	_, err := OpenStore(m.t.Context(), m.st.folder.Path(""), deps())
	gone, inUse := (*datadir.MovedError)(nil), (*datadir.InUseError)(nil)
	old := errors.As(err, &inUse) // By this test.
	if !old && !errors.As(err, &gone) {
		m.t.Errorf("after %q, the old place says %v", after, err)
	}
	st, err := OpenStore(m.t.Context(), to, deps())
	if err == nil {
		m.must(st.Close())
	}
	if old == (err == nil) {
		m.t.Errorf("after %q, the old place serves: %v; the new one: %v", after, old, err)
	}
	return old
}
