package backup_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/password"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

const (
	dbName     = datadir.Database
	blobFolder = datadir.Blobs
)

// house is a data folder with its engines and a clock that tests move.
type house struct {
	t         testing.TB
	folder    *datadir.Dir
	path      string
	db        *sqldb.DB
	blobs     *blob.Dir
	store     *store.Store
	directory *directory.Directory
	damaged   bool // by the test: it need not check clean

	mu    sync.Mutex
	clock time.Time
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return openHouse(t, filepath.Join(t.TempDir(), "data"))
}

// openHouse opens the data folder at path; at the end of the test it must check
// clean.
func openHouse(t testing.TB, path string) *house {
	t.Helper()
	h := &house{t: t, path: path, clock: time.Unix(1_800_000_000, 0)}
	var err error
	h.folder, err = datadir.Make(ctx, path, 0)
	must(t, err)
	h.db, err = sqldb.Open(ctx, sqldb.Options{Path: h.folder.Path(dbName)})
	must(t, err)
	h.blobs, err = blob.Open(h.folder.Path(blobFolder), rand.Reader)
	must(t, err)
	h.store, err = store.Open(ctx, store.Options{DB: h.db, Blobs: h.blobs, Now: h.now, Holders: []store.Holder{spool.Held}})
	must(t, err)
	_, err = spool.Open(ctx, spool.Options{DB: h.db, Store: h.store})
	must(t, err)
	h.directory, err = directory.Open(ctx, directory.Options{NoFloor: true, DB: h.db, Accounts: h.store, Now: h.now, Cost: password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 4096})
	must(t, err)
	t.Cleanup(func() {
		must(t, h.store.CheckDeep(ctx, func(p string) {
			if !h.damaged {
				t.Error("check: " + p)
			}
		}))
		must(t, h.db.Close())
		must(t, h.folder.Close())
	})
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v (%v)", err, mail.KindOf(err))
	}
}

func wantKind(t testing.TB, err error, kind mail.Kind, text string) {
	t.Helper()
	if err == nil || mail.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want kind %v with %q", err, kind, text)
	}
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

// account makes an account of example.org.
func (h *house) account(local string) mail.AccountID {
	h.t.Helper()
	_, err := h.directory.AddDomain(ctx, "example.org")
	if mail.KindOf(err) != mail.Exists {
		must(h.t, err)
	}
	a, err := h.directory.AddAccount(ctx, directory.NewAccount{Address: address(local), Password: "correct horse"})
	must(h.t, err)
	return a.ID
}

func address(local string) mail.Address { return mail.Address{Local: local, Domain: "example.org"} }

// text makes a message of about n octets.
func text(id string, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: a@example.org\r\nMessage-ID: <%s@example.org>\r\nSubject: %s\r\n\r\n", id, id)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%s line %d %s\r\n", id, i, rand.Text())
	}
	return b.Bytes()
}

func (h *house) deliver(octets []byte, to ...store.Filing) []store.Filed {
	h.t.Helper()
	filed, err := h.tryDeliver(octets, to...)
	must(h.t, err)
	return filed
}

func (h *house) tryDeliver(octets []byte, to ...store.Filing) ([]store.Filed, error) {
	in := h.store.NewIncoming()
	defer in.Close()
	if _, err := in.Write(octets); err != nil {
		return nil, err
	}
	return h.store.Deliver(ctx, store.Posting{Message: in, Filings: to})
}

func (h *house) intake() *intake.Intake { return intake.New(intake.Options{Store: h.store}) }

func (h *house) inbox(a mail.AccountID) store.Filing {
	return store.Filing{Account: a, Role: mail.RoleInbox, Received: h.now().In(time.FixedZone("", 7200)), Prefix: []byte(fmt.Sprintf("Delivered-To: %d\r\n", a))}
}

func (h *house) source() backup.Source {
	return backup.Source{Folder: h.path, DB: h.db, Blobs: h.blobs}
}

func (h *house) options(p func(backup.Progress)) backup.Options {
	return backup.Options{Now: h.now, Version: "test", Progress: p}
}

// openDepot opens the depot at path until the test ends or close is called.
func openDepot(t testing.TB, path string, step func(string) error) *depot.Depot {
	t.Helper()
	d, err := depot.Open(depot.Options{Place: files.Into(path), Write: true, Make: true, Step: step})
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// backup makes a snapshot and closes the depot.
func (h *house) backup(path string, p func(backup.Progress)) backup.Snapshot {
	h.t.Helper()
	d := openDepot(h.t, path, nil)
	s, err := backup.Make(ctx, d, h.source(), h.options(p))
	must(h.t, err)
	must(h.t, d.Close())
	return s
}

// restore makes a data folder of the newest snapshot and opens it.
func restore(t testing.TB, h *house, path string) *house {
	t.Helper()
	d := openDepot(t, path, nil)
	defer d.Close()
	s, err := backup.Find(d, "")
	must(t, err)
	to := filepath.Join(t.TempDir(), "restored")
	r, err := backup.Restore(ctx, d, s, backup.Destination{Folder: to}, h.options(nil))
	must(t, err)
	for _, p := range r.Problems {
		t.Error("restored with a problem:", p)
	}
	return openHouse(t, to)
}

// seen is a message as it can be read.
type seen struct {
	flags    mail.Flags
	keywords mail.Keywords
	received string
	octets   string
}

// boxSeen is a mailbox as it can be read.
type boxSeen struct {
	validity mail.UIDValidity
	next     mail.UID
	messages map[mail.UID]seen
}

// read reads a whole account.
func (h *house) read(a mail.AccountID) map[mail.MailboxName]boxSeen {
	h.t.Helper()
	boxes, err := h.store.Mailboxes(ctx, a)
	must(h.t, err)
	all := make(map[mail.MailboxName]boxSeen)
	for _, b := range boxes {
		one := boxSeen{b.UIDValidity, b.UIDNext, map[mail.UID]seen{}}
		view, err := h.store.View(ctx, b.ID)
		must(h.t, err)
		for _, e := range view.All() {
			rows, _, err := h.store.Rows(ctx, b.ID, []mail.UID{e.UID}, store.NeedContent)
			must(h.t, err)
			var octets strings.Builder
			_, err = rows[0].Content.WriteTo(&octets)
			must(h.t, err)
			must(h.t, rows[0].Content.Close())
			one.messages[e.UID] = seen{rows[0].Flags, rows[0].Keywords, rows[0].Received.Format(time.RFC3339), octets.String()}
		}
		all[b.Name] = one
	}
	return all
}

// size sums up the octets of the files below path.
func size(t testing.TB, path string) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(path, func(_ string, f fs.DirEntry, err error) error {
		if err == nil && !f.IsDir() {
			var info fs.FileInfo
			if info, err = f.Info(); err == nil {
				n += info.Size()
			}
		}
		return err
	}))
	return n
}

// modes fails for each file that others may read.
func modes(t testing.TB, path string) {
	t.Helper()
	must(t, filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	}))
}

func withCancel() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
