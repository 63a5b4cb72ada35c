package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
)

// flip changes one octet of a file.
func flip(t *testing.T, file string, at int64) {
	t.Helper()
	octets, err := os.ReadFile(file)
	must(t, err)
	octets[at] ^= 0x40
	must(t, os.WriteFile(file, octets, 0o600))
}

// verify returns what is wrong.
func verify(t *testing.T, h *house, path string) []string {
	t.Helper()
	d := openDepot(t, path, nil)
	defer d.Close()
	var found []string
	v, err := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Report: func(p string) { found = append(found, p) }})
	must(t, err)
	if v.Problems != len(found) {
		t.Errorf("%d problems were counted, %d told", v.Problems, len(found))
	}
	return found
}

func onePack(t *testing.T, path string) string {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(path, "packs", "*.pack"))
	must(t, err)
	if len(packs) != 1 {
		t.Fatalf("%d packs", len(packs))
	}
	return packs[0]
}

// TestDamagedMessage: an octet that flips in a large message is found, and the
// message is named; nothing else of the snapshot is.
func TestDamagedMessage(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 5, 0)
	marker := bytes.Repeat([]byte("abcdefgh"), 4)
	path := filepath.Join(t.TempDir(), "backup")
	octets := append(text("large", 70_000), marker...) // Its random lines hardly shrink.
	h.deliver(octets, h.inbox(a))
	h.backup(path, nil)
	if found := verify(t, h, path); len(found) > 0 {
		t.Fatalf("a good backup has problems: %q", found)
	}
	pack := onePack(t, path)
	info, err := os.Stat(pack)
	must(t, err)
	for at := info.Size() - 5000; ; at -= 3000 { // Messages stand behind the database.
		flip(t, pack, at)
		found := verify(t, h, path)
		all := strings.Join(found, "\n")
		if strings.Contains(all, "file blobs/") {
			if !strings.Contains(all, "object ") || !strings.Contains(all, ".pack: its octets do not match") ||
				!strings.Contains(all, "alice@example.org, mailbox INBOX, UID 6 cannot be read") || len(found) != 3 {
				t.Errorf("found:\n%s", all)
			}
			break
		}
		flip(t, pack, at)
		if at < 5000 {
			t.Fatal("no octet of the message was hit")
		}
	}
	d := openDepot(t, path, nil)
	defer d.Close()
	s, err := backup.Find(d, "")
	must(t, err)
	_, err = backup.Restore(ctx, d, s, backup.Destination{Folder: filepath.Join(t.TempDir(), "new")}, h.options(nil))
	wantKind(t, err, mail.Conflict, "is damaged and was not restored")
	// The messages that are whole can be put back.
	back, err := backup.Return(ctx, d, s, h.store, h.intake(), a, backup.Wanted{Address: address("alice")}, h.options(nil))
	must(t, err)
	list := back.Mailboxes
	if len(list) != 1 || list[0].Restored != 5 || list[0].Failed != 1 || len(list[0].Problems) != 1 {
		t.Errorf("put back: %+v", list)
	}
}

// TestDamagedAnywhere: whatever octet of a pack flips, verify finds it and no
// more than says so; a restore never succeeds with what is not what was saved.
func TestDamagedAnywhere(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 30, 1)
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	pack := onePack(t, path)
	info, err := os.Stat(pack)
	must(t, err)
	for n := range int64(24) {
		at := 8 + n*(info.Size()-8)/24
		flip(t, pack, at)
		if found := verify(t, h, path); len(found) == 0 {
			t.Errorf("octet %d of %d: nothing was found", at, info.Size())
		}
		d := openDepot(t, path, nil)
		s, err := backup.Find(d, "")
		must(t, err)
		to := filepath.Join(t.TempDir(), fmt.Sprint("new", n))
		if _, err := backup.Restore(ctx, d, s, backup.Destination{Folder: to}, h.options(nil)); err == nil {
			t.Errorf("octet %d of %d: it was restored", at, info.Size())
		}
		must(t, d.Close())
		flip(t, pack, at)
	}
}

// TestRepair: what is damaged is forgotten and stored anew by the next backup;
// the old snapshot is whole again too.
func TestRepair(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 30, 1)
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	pack := onePack(t, path)
	info, err := os.Stat(pack)
	must(t, err)
	for _, at := range []int64{info.Size() / 4, info.Size() / 2} {
		flip(t, pack, at)
	}
	d := openDepot(t, path, nil)
	v, err := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Repair: true, Report: func(string) {}})
	must(t, err)
	if v.Problems == 0 || v.Forgotten != 2 {
		t.Errorf("verified: %+v", v)
	}
	must(t, d.Close())
	if found := verify(t, h, path); !strings.Contains(strings.Join(found, "\n"), "it is missing") {
		t.Errorf("before the next backup: %q", found)
	}
	h.backup(path, nil)
	if found := verify(t, h, path); len(found) > 0 {
		t.Errorf("after the next backup: %q", found)
	}
}

// TestDamagedPack: a pack that is cut short or gone is told, a backup on top of
// it heals what the store still has, and a damaged record is named.
func TestDamagedPack(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 30, 1)
	path := filepath.Join(t.TempDir(), "backup")
	s := h.backup(path, nil)
	pack := onePack(t, path)
	octets, err := os.ReadFile(pack)
	must(t, err)
	for _, left := range []int{0, 7, len(octets) / 2, len(octets) - 1} {
		must(t, os.WriteFile(pack, octets[:left], 0o600))
		if all := strings.Join(verify(t, h, path), "\n"); !strings.Contains(all, "nothing of it can be read") || !strings.Contains(all, "of the database") && !strings.Contains(all, "is missing") {
			t.Errorf("with %d octets left: %.300s", left, all)
		}
	}
	d := openDepot(t, path, nil)
	v, err := backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Repair: true, Report: func(string) {}})
	must(t, err)
	must(t, d.Close())
	if _, err := os.Stat(pack); v.Forgotten != 1 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("repair forgot %d; the pack: %v", v.Forgotten, err)
	}
	if all := strings.Join(verify(t, h, path), "\n"); !strings.Contains(all, "is missing") {
		t.Errorf("without the pack: %.300s", all)
	}
	healed := h.backup(path, nil)
	if healed.Written < int64(len(octets))/2 {
		t.Errorf("the next backup wrote %d octets of %d", healed.Written, len(octets))
	}
	if found := verify(t, h, path); len(found) > 0 {
		t.Errorf("afterwards: %.300q", found)
	}
	flip(t, filepath.Join(path, "records", s.ID+".json"), 30)
	if all := strings.Join(verify(t, h, path), "\n"); !strings.Contains(all, "snapshot "+s.ID+": it does not match its checksum") {
		t.Errorf("found %.300s", all)
	}
}
