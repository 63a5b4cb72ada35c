package backup_test

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
)

// TestRestoreCutShort: a database that a restore did not fill wholly is nobody else's;
// the same restore begins it anew.
func TestRestoreCutShort(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 50, 2)
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	d := openDepot(t, path, nil)
	s, err := backup.Find(d, "")
	must(t, err)
	dest := backup.Destination{Folder: filepath.Join(t.TempDir(), "new"), Database: dbtest.Options(t)}
	stopped, stop := withCancel()
	_, err = backup.Restore(stopped, d, s, dest, h.options(func(p backup.Progress) {
		if p.Done > s.Files.Octets+50_000 {
			stop()
		}
	}))
	if !errors.Is(err, stopped.Err()) {
		t.Fatalf("got %v", err)
	}
	if other := dest; dbtest.OnServer() {
		other.Folder = filepath.Join(t.TempDir(), "other")
		_, err = backup.Restore(ctx, d, s, other, h.options(nil))
		wantKind(t, err, mail.Conflict, "is being filled by a restore into "+dest.Folder)
	}
	_, err = backup.Restore(ctx, d, s, dest, h.options(nil))
	must(t, err)
	if !dbtest.OnServer() {
		if d := cmp.Diff(h.read(a), openHouse(t, dest.Folder).read(a), seenOptions); d != "" {
			t.Errorf("it differs (-was +is):\n%.2000s", d)
		}
	}
}

// TestFromOneToTheOther: a snapshot of a database in a file is restored into one on a
// server, if there is one to test with; a snapshot of that has the same rows, by count
// and checksum, in pieces that are there already; and restored into a file it is equal in
// every answer.
func TestFromOneToTheOther(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 300, 3)
	path := filepath.Join(t.TempDir(), "backup")
	first := h.backup(path, nil)
	folder, o := filepath.Join(t.TempDir(), "server"), dbtest.Options(t)
	d := openDepot(t, path, nil)
	_, err := backup.Restore(ctx, d, first, backup.Destination{Folder: folder, Database: o}, h.options(nil))
	must(t, err)

	at, err := datadir.Open(ctx, folder, 0)
	must(t, err)
	db, err := schemas.Open(ctx, filepath.Join(folder, datadir.Database), o)
	must(t, err)
	blobs, err := blob.Open(filepath.Join(folder, datadir.Blobs), rand.Reader)
	must(t, err)
	second, err := backup.Make(ctx, d, backup.Source{Folder: folder, DB: db, Blobs: blobs}, h.options(nil))
	must(t, err)
	if len(second.Faults) > 0 {
		t.Errorf("faults: %q", second.Faults)
	}
	had := map[string]backup.Table{}
	for _, was := range first.Tables {
		had[was.Name] = was
	}
	for _, is := range second.Tables { // Those of the queue, which this one has not, are made by who restores.
		was := had[is.Name]
		delete(had, is.Name)
		if is.Rows != was.Rows || is.Octets != was.Octets || was.Columns != nil && is.Sum != was.Sum || is.LastID < was.LastID {
			t.Errorf("table %s: %d rows of %d octets, numbered to %d, were %d of %d, to %d", is.Name, is.Rows, is.Octets, is.LastID, was.Rows, was.Octets, was.LastID)
		}
	}
	if len(had) > 0 {
		t.Errorf("tables are gone: %v", had)
	}
	if second.Written > 100_000 {
		t.Errorf("the second snapshot wrote %d octets", second.Written)
	}
	_, err = backup.Restore(ctx, d, first, backup.Destination{Folder: filepath.Join(t.TempDir(), "again"), Database: o}, h.options(nil))
	if dbtest.OnServer() {
		wantKind(t, err, mail.Conflict, "is not empty")
	} else {
		must(t, err)
	}
	must(t, db.Close())
	must(t, at.Close())
	must(t, d.Close())
	if d := cmp.Diff(h.read(a), restore(t, h, path).read(a), seenOptions); d != "" {
		t.Errorf("it differs (-was +is):\n%.2000s", d)
	}
}
