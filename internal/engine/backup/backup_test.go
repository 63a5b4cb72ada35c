package backup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
)

var seenOptions = cmp.AllowUnexported(boxSeen{}, seen{})

// fill puts small and large messages into an account.
func (h *house) fill(a mail.AccountID, small, large int) {
	h.t.Helper()
	for n := range small + large {
		size := 3000
		if n >= small {
			size = store.InlineMax + 40_000*(n-small+1)
		}
		f := h.inbox(a)
		f.Flags, f.Keywords = mail.Flags(n%32), "$Label1"
		h.deliver(text(fmt.Sprintf("m%d.%d", a, n), size), f)
	}
}

// TestRestoreEqual: everything is as it was, other files too, and for the
// owner only.
func TestRestoreEqual(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 40, 4)
	must(t, os.MkdirAll(h.folder.Path("tls"), 0o700))
	must(t, os.WriteFile(h.folder.Path("tls/key.pem"), []byte("secret\n"), 0o600))
	must(t, os.WriteFile(h.folder.Path("empty"), nil, 0o600))
	path := filepath.Join(t.TempDir(), "backup")
	s := h.backup(path, nil)
	if len(s.Faults) > 0 {
		t.Errorf("faults: %q", s.Faults)
	}
	got := restore(t, h, path)
	if d := cmp.Diff(h.read(a), got.read(a), seenOptions); d != "" {
		t.Errorf("it differs (-was +is):\n%.2000s", d)
	}
	for name, want := range map[string]string{"tls/key.pem": "secret\n", "empty": ""} {
		if text, err := os.ReadFile(got.folder.Path(name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	modes(t, path)
	modes(t, got.path)
	if _, err := got.directory.Account(ctx, address("alice")); err != nil {
		t.Error(err)
	}
	// New mail gets the UIDs that the old store would have given.
	if was, is := h.deliver(text("next", 100), h.inbox(a)), got.deliver(text("next", 100), got.inbox(a)); was[0].UID != is[0].UID || was[0].UIDValidity != is[0].UIDValidity {
		t.Errorf("the next message has %v, would have %v", is, was)
	}
}

// TestIncremental: an unchanged store costs nearly nothing, a few changes a
// little, and large messages are never written twice.
func TestIncremental(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 800, 10)
	path := filepath.Join(t.TempDir(), "backup")
	first := h.backup(path, nil)
	all := size(t, path)
	if first.Written < 3_000_000/2 || first.Written > all || all > first.Written+100_000 {
		t.Errorf("the first snapshot says %d octets, the folder has %d", first.Written, all)
	}
	h.backup(path, nil)
	if n := size(t, path) - all; n > 9<<10 {
		t.Errorf("a snapshot without a change took %d octets", n)
	}
	all = size(t, path)
	for n := range 3 {
		h.deliver(text(fmt.Sprintf("new%d", n), 3000), h.inbox(a))
	}
	last := h.backup(path, nil)
	if n := size(t, path) - all; n > all/8 || n < 5000 || last.Written > n {
		t.Errorf("three messages took %d octets of %d, it says %d", n, all, last.Written)
	} else {
		t.Logf("first snapshot %d octets, three messages later %d", all, n)
	}
}

// TestFilesAreHeld: what the snapshot names and the store removes while it is
// copied is in the snapshot, and gone afterwards.
func TestFilesAreHeld(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 1, 3)
	was := h.read(a)
	removed := false
	path := filepath.Join(t.TempDir(), "backup")
	s := h.backup(path, func(p backup.Progress) {
		if removed || p.Phase != "database" {
			return
		}
		removed = true
		box, err := h.store.Mailbox(ctx, a, mail.Inbox)
		must(t, err)
		_, err = h.store.ExpungeAny(ctx, box.ID, mail.UIDSet{{First: 1, Last: 100}})
		must(t, err)
		for range 2 {
			h.advance(8 * 24 * time.Hour)
			must(t, h.store.Sweep(ctx))
			must(t, h.store.SweepOrphans(ctx))
		}
	})
	if !removed || len(s.Faults) > 0 {
		t.Fatalf("removed %v, faults %q", removed, s.Faults)
	}
	if n := size(t, h.folder.Path(blobFolder)); n != 0 {
		t.Errorf("after the backup %d octets of removed messages are still there", n)
	}
	if d := cmp.Diff(was, restore(t, h, path).read(a), seenOptions); d != "" {
		t.Errorf("it differs (-was +is):\n%.2000s", d)
	}
}

// TestMissingFile: a store that lacks a file can be backed up; that it does is told.
func TestMissingFile(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 1, 2)
	var name string
	for k, err := range h.blobs.Names() {
		must(t, err)
		name = k.Name
	}
	file := filepath.Join(h.folder.Path(blobFolder), name[:2], name)
	octets, err := os.ReadFile(file)
	must(t, err)
	must(t, os.Remove(file))
	s := h.backup(filepath.Join(t.TempDir(), "backup"), nil)
	if len(s.Faults) != 1 || !strings.Contains(s.Faults[0], name) {
		t.Errorf("faults: %q", s.Faults)
	}
	must(t, os.WriteFile(file, octets, 0o600)) // The house must check clean.
}

var errCrash = errors.New("crash")

// TestInterrupted: a backup that ends at any of its durable steps leaves no
// snapshot or a whole one, and the next one goes on where it was.
func TestInterrupted(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 200, 3)
	for crashAt := 1; ; crashAt++ {
		path := filepath.Join(t.TempDir(), "backup")
		steps, last := 0, ""
		d := openDepot(t, path, func(name string) error {
			if steps++; steps == crashAt {
				last = name
				return errCrash
			}
			return nil
		})
		_, err := backup.Make(ctx, d, h.source(), h.options(nil))
		must(t, d.Close())
		if err == nil {
			if crashAt < 5 {
				t.Errorf("there were only %d steps", steps)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		d = openDepot(t, path, nil)
		list, damaged, err := backup.Snapshots(d)
		must(t, err)
		if whole := last == "record named"; len(damaged) > 0 || (len(list) == 1) != whole {
			t.Errorf("after %q: %d snapshots, damaged %q", last, len(list), damaged)
		}
		must(t, d.Close())
		s := h.backup(path, nil)
		if kept := last != "pack synced"; kept && s.Written > 20_000 {
			t.Errorf("after %q the next backup wrote %d octets again", last, s.Written)
		}
		if d := cmp.Diff(h.read(a), restore(t, h, path).read(a), seenOptions); d != "" {
			t.Errorf("after %q it differs:\n%.1000s", last, d)
		}
	}
}

// TestRestoreInterrupted: a folder that a restore did not finish is no data
// folder, and the next restore makes it whole.
func TestRestoreInterrupted(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 20, 3)
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	d := openDepot(t, path, nil)
	s, err := backup.Find(d, "")
	must(t, err)
	to := filepath.Join(t.TempDir(), "new")
	stopped, stop := withCancel()
	_, err = backup.Restore(stopped, d, s, backup.Destination{Folder: to}, h.options(func(backup.Progress) { stop() }))
	if !errors.Is(err, stopped.Err()) {
		t.Fatalf("got %v", err)
	}
	_, err = os.Stat(filepath.Join(to, "yubin-data"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a restore is a data folder: %v", err)
	}
	_, err = backup.Restore(ctx, d, s, backup.Destination{Folder: to}, h.options(nil))
	must(t, err)
	if d := cmp.Diff(h.read(a), openHouse(t, to).read(a), seenOptions); d != "" {
		t.Errorf("it differs:\n%.1000s", d)
	}
	_, err = backup.Restore(ctx, d, s, backup.Destination{Folder: to}, h.options(nil))
	wantKind(t, err, mail.Conflict, "is not empty")
}

// TestRefusals: what cannot be is told before anything is written.
func TestRefusals(t *testing.T) {
	h := newHouse(t)
	wantKind(t, backup.Check(filepath.Join(h.path, "backup"), h.source()), mail.Invalid, "must not be in each other")
	wantKind(t, backup.Check(filepath.Dir(h.path), h.source()), mail.Invalid, "must not be in each other")
	wantKind(t, backup.Check("backup", h.source()), mail.Invalid, "absolute")
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(h.path, link))
	wantKind(t, backup.Check(filepath.Join(link, "new", "backup"), h.source()), mail.Invalid, "must not be in each other")
	must(t, backup.Check(h.path+"-backup", h.source()))

	path := filepath.Join(t.TempDir(), "backup")
	s := h.backup(path, nil)
	d := openDepot(t, path, nil)
	_, err := backup.Find(d, "1999")
	wantKind(t, err, mail.NotFound, "no snapshot 1999")
	if again, err := backup.Find(d, s.ID[:8]); err != nil || again.ID != s.ID {
		t.Errorf("found %v, %v", again.ID, err)
	}
	_, err = backup.Prune(d, 0)
	wantKind(t, err, mail.Invalid, "at least one")
	must(t, d.Save("20990101T000000Z", []byte(`{"format": 9, "version": "9.0"}`+"\n")))
	_, err = backup.Find(d, "")
	wantKind(t, err, mail.Conflict, "newer yubin (9.0, format 9)")
}

// TestPrune: what only removed snapshots need goes, the others stay whole.
func TestPrune(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	path := filepath.Join(t.TempDir(), "backup")
	var sizes []int64
	for n := range 4 {
		h.fill(a, 50, 2)
		if n == 2 {
			box, err := h.store.Mailbox(ctx, a, mail.Inbox)
			must(t, err)
			_, err = h.store.ExpungeAny(ctx, box.ID, mail.UIDSet{{First: 1, Last: 1000}})
			must(t, err)
			h.advance(8 * 24 * time.Hour)
			must(t, h.store.Sweep(ctx))
		}
		h.backup(path, nil)
		h.advance(time.Hour)
		sizes = append(sizes, size(t, path))
	}
	d := openDepot(t, path, nil)
	p, err := backup.Prune(d, 2)
	must(t, err)
	if p.Kept != 2 || len(p.Removed) != 2 || p.Freed <= 0 || size(t, path) > sizes[3]-p.Freed {
		t.Errorf("pruned %+v; %d octets, were %d", p, size(t, path), sizes[3])
	}
	again, err := backup.Prune(d, 2)
	must(t, err)
	if again.Freed != 0 || len(again.Removed) != 0 {
		t.Errorf("again: %+v", again)
	}
	must(t, d.Close())
	d = openDepot(t, path, nil)
	v, err := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Each: true, Report: func(p string) { t.Error(p) }})
	must(t, err)
	if v.Opened != 2 {
		t.Errorf("%d databases were checked", v.Opened)
	}
	must(t, d.Close())
	if d := cmp.Diff(h.read(a), restore(t, h, path).read(a), seenOptions); d != "" {
		t.Errorf("it differs:\n%.1000s", d)
	}
}

// TestPruneInterrupted: a prune that ends at any step loses nothing that is wanted.
func TestPruneInterrupted(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	for crashAt := 1; ; crashAt++ {
		path := filepath.Join(t.TempDir(), "backup")
		for range 3 {
			h.fill(a, 10, 1)
			h.backup(path, nil)
			h.advance(time.Hour)
		}
		steps := 0
		d := openDepot(t, path, func(string) error {
			if steps++; steps == crashAt {
				return errCrash
			}
			return nil
		})
		_, err := backup.Prune(d, 1)
		must(t, d.Close())
		d, openErr := depot.Open(depot.Options{Place: files.Into(path), Write: true})
		must(t, openErr)
		_, verifyErr := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Each: true, Report: func(p string) { t.Errorf("step %d: %s", crashAt, p) }})
		must(t, verifyErr)
		_, againErr := backup.Prune(d, 1)
		must(t, againErr)
		must(t, d.Close())
		if err == nil {
			return
		}
	}
}
