package backup_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
)

// record is a snapshot's record as somebody else may write it.
type record map[string]any

func (r record) part(name string) record { return record(r[name].(map[string]any)) }

// table is what the record says of a table.
func (r record) table(name string) record {
	for _, t := range r["tables"].([]any) {
		if one := record(t.(map[string]any)); one["name"] == name {
			return one
		}
	}
	panic("no table " + name)
}

// first is the first index of the table of emails.
func (r record) first(t *testing.T) (h depot.Hash) {
	must(t, h.UnmarshalText([]byte(r.table("email")["indexes"].([]any)[0].(string))))
	return h
}

// index makes octets the only index of the table of emails.
func (r record) index(t *testing.T, d *depot.Depot, octets []byte) {
	r.table("email")["indexes"] = []any{keep(t, d, octets).String()}
}

// entry names one piece in an index.
func entry(h depot.Hash, rows, octets uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(h[:], rows), octets)
}

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
	"another ID":      func(_ *testing.T, _ *depot.Depot, r record) { r["id"] = "../../victim/file" },
	"another format":  func(_ *testing.T, _ *depot.Depot, r record) { r["format"] = 1 },
	"huge table":      func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["octets"] = int64(1) << 62 },
	"negative table":  func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["octets"] = -5 },
	"small table":     func(_ *testing.T, _ *depot.Depot, r record) { r.table("content")["octets"] = 65536 },
	"huge rows":       func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["rows"] = int64(1) << 62 },
	"negative rows":   func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["rows"] = -1 },
	"a row less":      func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["rows"] = 6 },
	"a row more":      func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["rows"] = 8 },
	"another sum":     func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["sum"] = strings.Repeat("0", 64) },
	"numbered to end": func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["lastID"] = int64(math.MaxInt64) },
	"a table twice": func(_ *testing.T, _ *depot.Depot, r record) {
		r["tables"] = append(r["tables"].([]any), map[string]any(r.table("email")))
	},
	"a table of others": func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["name"] = "sqlite_schema" },
	"a table that speaks SQL": func(_ *testing.T, _ *depot.Depot, r record) {
		r.table("email")["name"] = "email\"; DROP TABLE blob; --"
	},
	"the table of versions": func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["name"] = "schema_version" },
	"no table":              func(_ *testing.T, _ *depot.Depot, r record) { r["tables"] = []any{} },
	"other columns":         func(_ *testing.T, _ *depot.Depot, r record) { r.table("email")["columns"] = []any{"id int"} },
	"a newer engine": func(_ *testing.T, _ *depot.Depot, r record) {
		r["engines"].([]any)[0].(map[string]any)["version"] = 99
	},
	"an unknown engine": func(_ *testing.T, _ *depot.Depot, r record) {
		r["engines"] = append(r["engines"].([]any), map[string]any{"name": "calendar", "version": 1})
	},
	"an engine twice": func(_ *testing.T, _ *depot.Depot, r record) {
		r["engines"] = append(r["engines"].([]any), r["engines"].([]any)[0])
	},
	"an engine of no version": func(_ *testing.T, _ *depot.Depot, r record) {
		r["engines"].([]any)[0].(map[string]any)["version"] = -1
	},
	"huge count":      func(_ *testing.T, _ *depot.Depot, r record) { r.part("files")["count"] = int64(1) << 60 },
	"negative octets": func(_ *testing.T, _ *depot.Depot, r record) { r.part("files")["octets"] = -1 },
	"an index a million times": func(_ *testing.T, _ *depot.Depot, r record) {
		r.table("content")["rows"] = 1 << 20
		one := r.table("content")["indexes"].([]any)[0]
		all := make([]any, 0, 1<<19)
		for range 1 << 19 {
			all = append(all, one)
		}
		r.table("content")["indexes"] = all
	},
	"an index too long": func(t *testing.T, d *depot.Depot, r record) {
		r.index(t, d, bytes.Repeat(entry(keep(t, d, []byte{1, 2}), 1, 2), 4097))
	},
	"an index of halves": func(t *testing.T, d *depot.Depot, r record) { r.index(t, d, make([]byte, 41)) },
	"an index of none":   func(t *testing.T, d *depot.Depot, r record) { r.index(t, d, nil) },
	"pieces too long": func(t *testing.T, d *depot.Depot, r record) {
		r.index(t, d, entry(keep(t, d, make([]byte, 1<<20)), 7, 1<<20))
	},
	"pieces of no rows": func(t *testing.T, d *depot.Depot, r record) { r.index(t, d, entry(keep(t, d, nil), 0, 0)) },
	"a piece twice": func(t *testing.T, d *depot.Depot, r record) {
		octets, err := d.Get(r.first(t), nil)
		must(t, err)
		r.index(t, d, append(bytes.Clone(octets), octets...))
		r.table("email")["rows"] = 14
		r.table("email")["octets"] = 1 << 20
	},
	"rows of another table": func(t *testing.T, d *depot.Depot, r record) {
		r.table("email")["indexes"] = r.table("mailbox")["indexes"]
		r.table("mailbox")["indexes"] = []any{}
	},
	"rows that are noise": func(t *testing.T, d *depot.Depot, r record) {
		r.index(t, d, entry(keep(t, d, []byte("noise")), 7, 5))
	},
	"file outside": func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "../victim/file")) },
	"file absolute": func(t *testing.T, d *depot.Depot, r record) {
		r.lists(t, d, file(t, d, "/etc/cron.d/owned"))
	},
	"file around a corner":           func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a/../../victim/file")) },
	"file without a name":            func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "")) },
	"file is the base":               func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin.db")) },
	"file is the WAL":                func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin.db-wal")) },
	"file is the folder of messages": func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "blobs")) },
	"file is the marker":             func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "yubin-data")) },
	"file with a line end":           func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a\nb")) },
	"file that speaks":               func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a\u009b2Jb")) },
	"file twice":                     func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a"), file(t, d, "a")) },
	"file below a file":              func(t *testing.T, d *depot.Depot, r record) { r.lists(t, d, file(t, d, "a"), file(t, d, "a/b")) },
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
				_, err = backup.Restore(ctx, d, found, backup.Destination{Folder: new}, h.options(nil))
				if mail.KindOf(err) != mail.Conflict && !strings.Contains(fmt.Sprint(err), "not a directory") {
					t.Errorf("restored: %v (%v)", err, mail.KindOf(err))
				}
				_, err = backup.Return(ctx, d, found, h.store, h.intake(), a, backup.Wanted{Address: address("alice"), Into: "Back"}, h.options(nil))
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
			d, err := depot.Open(depot.Options{Place: files.Into(path), Write: true, Make: true})
			if err == nil {
				var s backup.Snapshot
				if s, err = backup.Find(d, ""); err == nil {
					_, err = backup.Restore(ctx, d, s, backup.Destination{Folder: filepath.Join(top, "new")}, h.options(nil))
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
	f.Add(bytes.ReplaceAll(text, []byte(`"rows":`), []byte(`"rows":9`)), []byte(`{"path":"../../a","size":-1,"pieces":[]}`))
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
		if err == nil && found.Octets() < 0 {
			t.Errorf("%+v", found)
		}
		_, err = backup.Prune(d, 2)
		if err != nil && mail.KindOf(err) != mail.Conflict {
			t.Error(err)
		}
		must(t, d.Remove(s.ID+"-2"))
	})
}
