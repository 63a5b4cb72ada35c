package backup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/world/depot"
)

// record is a snapshot's record as somebody else may write it.
type record map[string]any

func (r record) part(name string) record { return record(r[name].(map[string]any)) }

// keep puts an object.
func keep(t *testing.T, d *depot.Depot, octets []byte) depot.Hash {
	t.Helper()
	h, _, err := d.Put(octets)
	must(t, err)
	return h
}

// lists makes the files of a snapshot those of lines.
func (r record) lists(t *testing.T, d *depot.Depot, lines ...string) {
	files := r.part("files")
	h := keep(t, d, []byte(strings.Join(lines, "\n")+"\n"))
	files["lists"] = []any{h.String()}
	files["count"], files["octets"] = len(lines), 5*len(lines)
}

// file is a line of a list: five octets under a name.
func file(t *testing.T, d *depot.Depot, name string) string {
	quoted, err := json.Marshal(name)
	must(t, err)
	return fmt.Sprintf(`{"path":%s,"size":5,"pieces":["%s"]}`, quoted, keep(t, d, []byte("owned")))
}

// hostileRecords are what a record may say that must do no harm.
var hostileRecords = map[string]func(*testing.T, *depot.Depot, record){
	"base outside":         func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "../outside" },
	"base absolute":        func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "/tmp/yubin-outside.db" },
	"base of two levels":   func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "blobs/yubin.db" },
	"base empty":           func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "" },
	"base is the marker":   func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "yubin-data" },
	"base is the lock":     func(_ *testing.T, _ *depot.Depot, r record) { r["base"] = "lock" },
	"blobs outside":        func(_ *testing.T, _ *depot.Depot, r record) { r["blobFolder"] = "../victim" },
	"blobs are the folder": func(_ *testing.T, _ *depot.Depot, r record) { r["blobFolder"] = "." },
	"blobs are the base":   func(_ *testing.T, _ *depot.Depot, r record) { r["blobFolder"] = "yubin.db" },
	"blobs are the WAL":    func(_ *testing.T, _ *depot.Depot, r record) { r["blobFolder"] = "yubin.db-wal" },
	"blobs with a NUL":     func(_ *testing.T, _ *depot.Depot, r record) { r["blobFolder"] = "b\x00lobs" },
	"another ID":           func(_ *testing.T, _ *depot.Depot, r record) { r["id"] = "../../victim/file" },
	"huge database":        func(_ *testing.T, _ *depot.Depot, r record) { r.part("database")["size"] = int64(1) << 62 },
	"negative database":    func(_ *testing.T, _ *depot.Depot, r record) { r.part("database")["size"] = -5 },
	"no pieces":            func(_ *testing.T, _ *depot.Depot, r record) { r.part("database")["piece"] = 0 },
	"negative pieces":      func(_ *testing.T, _ *depot.Depot, r record) { r.part("database")["piece"] = -65536 },
	"small database":       func(_ *testing.T, _ *depot.Depot, r record) { r.part("database")["size"] = 65536 },
	"huge count":           func(_ *testing.T, _ *depot.Depot, r record) { r.part("files")["count"] = int64(1) << 60 },
	"negative octets":      func(_ *testing.T, _ *depot.Depot, r record) { r.part("files")["octets"] = -1 },
	"an index a million times": func(_ *testing.T, _ *depot.Depot, r record) {
		db := r.part("database")
		one := db["indexes"].([]any)[0]
		all := make([]any, 0, 1<<19)
		for range 1 << 19 {
			all = append(all, one)
		}
		db["indexes"] = all
	},
	"an index too long": func(t *testing.T, d *depot.Depot, r record) {
		piece := keep(t, d, make([]byte, 65536))
		r.part("database")["indexes"] = []any{keep(t, d, bytes.Repeat(piece[:], 4097)).String()}
	},
	"an index of halves": func(t *testing.T, d *depot.Depot, r record) {
		r.part("database")["indexes"] = []any{keep(t, d, make([]byte, 33)).String()}
	},
	"pieces too long": func(t *testing.T, d *depot.Depot, r record) {
		piece := keep(t, d, make([]byte, 1<<20))
		r.part("database")["indexes"] = []any{keep(t, d, piece[:]).String()}
	},
	"file outside": func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "../victim/file")) },
	"file absolute": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, file(t, d, "/etc/cron.d/owned"))
	},
	"file around a corner": func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a/../../victim/file")) },
	"file without a name":  func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "")) },
	"file is the base":     func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin.db")) },
	"file is the WAL":      func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin.db-wal")) },
	"file is the marker":   func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin-data")) },
	"file with a line end": func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a\nb")) },
	"file that speaks":     func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a\u009b2Jb")) },
	"file twice":           func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a"), file(t, d, "a")) },
	"file below a file":    func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a"), file(t, d, "a/b")) },
	"more files than said": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, file(t, d, "a"), file(t, d, "b"), file(t, d, "c"))
		r.part("files")["count"] = 1
	},
	"more octets than said": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, file(t, d, "a"))
		r.part("files")["octets"] = 1
	},
	"file longer than said": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, strings.Replace(file(t, d, "a"), `"size":5`, `"size":4`, 1))
	},
	"file of negative size": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, strings.Replace(file(t, d, "a"), `"size":5`, `"size":-1`, 1))
	},
}

// tree is all that stands below path, with what the files hold.
func tree(t *testing.T, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(path, func(name string, f fs.DirEntry, err error) error {
		if err == nil && f.Type().IsRegular() {
			text, err := os.ReadFile(name)
			all[name] = string(text)
			return err
		}
		all[name] = f.Type().String()
		return err
	}))
	return all
}

// TestHostileDepot: whatever names, sizes and counts a depot has, restoring it,
// putting mail of it back, verifying and pruning it touch nothing outside the
// new folder and the depot; and a record that lies is refused as damaged.
func TestHostileDepot(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 5, 2)
	for name, change := range hostileRecords {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			path, victim := filepath.Join(top, "backup"), filepath.Join(top, "victim")
			must(t, os.MkdirAll(filepath.Join(victim, "tmp"), 0o700))
			for _, file := range []string{"file", "tmp/file", "zz"} {
				must(t, os.WriteFile(filepath.Join(victim, file), []byte("precious"), 0o600))
			}
			before := tree(t, victim)
			s := h.backup(path, nil)
			d := openDepot(t, path, nil)
			defer d.Close()
			text, err := d.Load(s.ID)
			must(t, err)
			r := make(record)
			must(t, json.Unmarshal(text, &r))
			id := "20990101T000000Z"
			r["id"] = id
			change(t, d, r)
			text, err = json.Marshal(r)
			must(t, err)
			must(t, d.Save(id, append(text, '\n')))

			new := filepath.Join(top, "new")
			if found, err := backup.Find(d, id); err == nil {
				_, err = backup.Restore(ctx, d, found, new, false, h.options(nil))
				if mail.KindOf(err) != mail.Conflict && !strings.Contains(fmt.Sprint(err), "not a directory") {
					t.Errorf("restored: %v (%v)", err, mail.KindOf(err))
				}
				_, err = backup.Return(ctx, d, found, h.store, a, backup.Wanted{Address: address("alice"), Into: "Back"}, h.options(nil))
				t.Log("put back:", err)
			} else if bad := (*depot.Damaged)(nil); !errors.As(err, &bad) {
				t.Errorf("found: %v", err)
			}
			problems := 0
			_, err = backup.Verify(ctx, d, backup.Verification{Options: h.options(nil), Report: func(string) { problems++ }})
			must(t, err)
			if problems == 0 && name != "file twice" && name != "file below a file" { // These show when they are restored.
				t.Error("verify finds nothing")
			}
			_, err = backup.Prune(d, 1)
			t.Log("pruned:", err)
			after := tree(t, victim)
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("outside: %v", after)
			}
			for file := range tree(t, top) {
				rel, _ := filepath.Rel(top, file)
				if first := strings.Split(rel, "/")[0]; first != "." && first != "backup" && first != "victim" && first != "new" {
					t.Errorf("%s was made", file)
				}
			}
			_, err = os.Lstat("/tmp/yubin-outside.db")
			if err == nil {
				t.Error("a file stands outside")
			}
		})
	}
}

// TestHostileDepotFolder: links and FIFOs where a depot has folders and files are
// not followed and not waited for.
func TestHostileDepotFolder(t *testing.T) {
	h := newHouse(t)
	h.fill(h.account("alice"), 3, 1)
	for name, change := range map[string]func(t *testing.T, path, victim string){
		"tmp is a link": func(t *testing.T, path, victim string) {
			must(t, os.RemoveAll(path+"/tmp"))
			must(t, os.Symlink(victim, path+"/tmp"))
		},
		"tmp is a near link": func(t *testing.T, path, _ string) {
			must(t, os.RemoveAll(path+"/tmp"))
			must(t, os.Symlink("records", path+"/tmp"))
		},
		"packs is a link": func(t *testing.T, path, victim string) {
			must(t, os.Rename(path+"/packs", victim+"/packs"))
			must(t, os.Symlink(victim+"/packs", path+"/packs"))
		},
		"records is a link": func(t *testing.T, path, victim string) {
			must(t, os.Rename(path+"/records", victim+"/records"))
			must(t, os.Symlink(victim+"/records", path+"/records"))
		},
		"a pack is a link": func(t *testing.T, path, victim string) {
			pack := onePack(t, path)
			must(t, os.Rename(pack, victim+"/pack"))
			must(t, os.Symlink(victim+"/pack", pack))
		},
		"a pack is a FIFO": func(t *testing.T, path, _ string) {
			must(t, os.Remove(onePack(t, path)))
			must(t, syscall.Mkfifo(path+"/packs/00000000000000000000000000000000.pack", 0o600))
		},
		"a record is a FIFO": func(t *testing.T, path, _ string) {
			must(t, syscall.Mkfifo(path+"/records/20990101T000000Z.json", 0o600))
		},
		"a record is a link": func(t *testing.T, path, victim string) {
			must(t, os.Symlink(victim+"/file", path+"/records/20990101T000000Z.json"))
		},
		"the lock is a link": func(t *testing.T, path, victim string) {
			must(t, os.Remove(path+"/lock"))
			must(t, os.Symlink(victim+"/lock", path+"/lock"))
		},
		"the lock is a FIFO": func(t *testing.T, path, _ string) {
			must(t, os.Remove(path+"/lock"))
			must(t, syscall.Mkfifo(path+"/lock", 0o600))
		},
		"the marker is a link": func(t *testing.T, path, victim string) {
			must(t, os.Rename(path+"/yubin-backup", victim+"/marker"))
			must(t, os.Symlink(victim+"/marker", path+"/yubin-backup"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			path, victim := filepath.Join(top, "backup"), filepath.Join(top, "victim")
			must(t, os.Mkdir(victim, 0o700))
			must(t, os.WriteFile(victim+"/file", []byte("precious"), 0o600))
			h.backup(path, nil)
			change(t, path, victim)
			before := tree(t, victim)
			d, err := depot.Open(depot.Options{Path: path, Write: true, Make: true})
			if err == nil {
				var s backup.Snapshot
				if s, err = backup.Find(d, ""); err == nil {
					_, err = backup.Restore(ctx, d, s, filepath.Join(top, "new"), false, h.options(nil))
				}
				must(t, d.Close())
			}
			if err == nil {
				t.Error("the depot was taken as it is")
			}
			t.Log(err)
			if after := tree(t, victim); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("outside: %v", after)
			}
		})
	}
}

// FuzzSnapshot: whatever a record and a list of files say, they are refused as
// damaged, or what they name is looked through without harm.
func FuzzSnapshot(f *testing.F) {
	h := newHouse(f)
	h.fill(h.account("alice"), 3, 1)
	path := filepath.Join(f.TempDir(), "backup")
	s := h.backup(path, nil)
	d := openDepot(f, path, nil)
	text, err := d.Load(s.ID)
	must(f, err)
	list, err := d.Get(s.Files.Lists[0], nil)
	must(f, err)
	f.Add(text, list)
	f.Add(bytes.ReplaceAll(text, []byte(`"blobs"`), []byte(`"../victim"`)), []byte(`{"path":"../../a","size":-1,"pieces":[]}`))
	f.Fuzz(func(t *testing.T, text, list []byte) {
		if len(list) > depot.MaxObject {
			return
		}
		h, _, err := d.Put(list)
		must(t, err)
		must(t, d.Flush())
		text = bytes.ReplaceAll(text, []byte(s.Files.Lists[0].String()), []byte(h.String()))
		must(t, d.Save(s.ID+"-2", append(bytes.ReplaceAll(text, []byte(s.ID), []byte(s.ID+"-2")), '\n')))
		found, err := backup.Find(d, s.ID+"-2")
		if bad := (*depot.Damaged)(nil); err != nil && mail.KindOf(err) != mail.Conflict && !errors.As(err, &bad) {
			t.Error(err)
		}
		if err == nil && (!filepath.IsLocal(found.Base.String()) || !filepath.IsLocal(found.BlobFolder.String()) || found.Octets() < 0) {
			t.Errorf("%+v", found)
		}
		_, err = backup.Prune(d, 2)
		if err != nil && mail.KindOf(err) != mail.Conflict {
			t.Error(err)
		}
		must(t, d.Remove(s.ID+"-2"))
	})
}
