package transfer

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/mbox"
)

// stateFile tells which mailboxes have been written, as they stood.
const stateFile = ".yubin-export.json"

// written is a mailbox that was written.
type written struct {
	UIDValidity mail.UIDValidity `json:"uidvalidity"`
	ModSeq      mail.ModSeq      `json:"modseq"`
}

// ToMbox is a folder of mbox files as a Target.
type ToMbox struct {
	dir   *files.Folder
	state map[mail.MailboxName]written
}

// maxState is how many octets the list of mailboxes written may have.
const maxState = 64 << 20

// NewMbox makes the folder at root, or goes on with one. Conflict if it has files
// that no export wrote.
func NewMbox(root *files.Place) (*ToMbox, error) {
	dir, err := root.Make()
	if err != nil {
		return nil, unwritable(err)
	}
	t := &ToMbox{dir: dir, state: make(map[mail.MailboxName]written)}
	if err := t.begin(root.Path()); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return t, nil
}

func (t *ToMbox) begin(root string) error {
	text, err := t.dir.Read(stateFile, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		there, err := t.dir.List(".")
		if err == nil && len(there) > 0 {
			return mail.Errorf(mail.Conflict, "%s has files that no export wrote; choose a new folder", root)
		}
		if err != nil {
			return unwritable(err)
		}
		return t.save()
	}
	if err != nil {
		return unwritable(err)
	}
	if json.Unmarshal(text, &t.state) != nil {
		t.state = make(map[mail.MailboxName]written)
	}
	return nil
}

// save writes down what was written.
func (t *ToMbox) save() error {
	text, err := json.Marshal(t.state)
	if err == nil {
		err = t.dir.Replace(stateFile, text)
	}
	if err != nil {
		return unwritable(err)
	}
	return nil
}

// Close implements Target.
func (t *ToMbox) Close() error { return t.dir.Close() }

// unwritable is of kind Exists if it is about one name only, else Unavailable.
func unwritable(err error) error {
	kind := mail.Unavailable
	if files.InTheWay(err) {
		kind = mail.Exists
	}
	return &mail.Error{Kind: kind, Text: "cannot write: " + err.Error(), Err: err}
}

func (t *ToMbox) path(name mail.MailboxName) (string, error) {
	for l := range strings.SplitSeq(string(name), mail.MailboxSeparator) {
		if strings.HasPrefix(l, ".") || len(l) > 200 {
			return "", mail.Errorf(mail.Invalid, "%q cannot be the name of a file", l)
		}
	}
	return string(name) + ".mbox", nil
}

// Box implements Target.
func (t *ToMbox) Box(m store.Mailbox) (TargetBox, bool, error) {
	name, err := t.path(m.Name)
	if err != nil {
		return nil, false, err
	}
	now := written{m.UIDValidity, m.ModSeq}
	before, ours := t.state[m.Name]
	if ours && before == now && t.dir.IsFile(name) {
		return nil, true, nil
	}
	if _, err := t.dir.Stat(name); err == nil && !ours {
		return nil, false, mail.Errorf(mail.Exists, "the file %s is there, and no export wrote it", name)
	}
	if err := t.dir.MakeFolders(path.Dir(name)); err != nil {
		return nil, false, unwritable(err)
	}
	if !ours { // What a crash leaves under the name is ours then.
		t.state[m.Name] = written{}
		if err := t.save(); err != nil {
			return nil, false, err
		}
	}
	f, err := t.dir.Create(name + ".tmp")
	if err != nil {
		return nil, false, unwritable(err)
	}
	return &toMboxBox{t: t, name: m.Name, now: now, path: name, file: f, w: mbox.NewWriter(f, m.UIDValidity, m.UIDNext)}, false, nil
}

// Subscribe implements Target: mbox files do not tell it.
func (t *ToMbox) Subscribe([]mail.MailboxName) error { return nil }

// toMboxBox is a file that takes its name when it is whole.
type toMboxBox struct {
	t    *ToMbox
	name mail.MailboxName
	now  written
	path string
	file *os.File
	w    *mbox.Writer
	lost bool // not all of it could be read
}

func (b *toMboxBox) Has(store.Row) bool { return false }

// Add reads a message to its end before it writes it: one that is damaged must
// not stand in the file by half.
func (b *toMboxBox) Add(r store.Row, write func(io.Writer) error) error {
	text := &spool{limit: 1 << 20}
	if err := write(text); err != nil {
		b.lost = true
		return err
	}
	if text.over {
		return b.w.Add(r.UID, r.Flags, r.Keywords.Names(), r.Received, write)
	}
	return b.w.Add(r.UID, r.Flags, r.Keywords.Names(), r.Received, func(w io.Writer) error {
		_, err := w.Write(text.octets)
		return err
	})
}

// spool reads a message to its end before it is written; one that is larger
// than limit is only verified.
type spool struct {
	octets []byte
	limit  int
	over   bool
}

func (s *spool) Write(p []byte) (int, error) {
	if s.over = s.over || len(s.octets)+len(p) > s.limit; s.over {
		s.octets = nil
		return len(p), nil
	}
	s.octets = append(s.octets, p...)
	return len(p), nil
}

func (b *toMboxBox) Close() ([]string, error) {
	err := b.w.Flush()
	if err == nil {
		err = b.file.Sync()
	}
	if err = errors.Join(err, b.file.Close()); err == nil {
		err = b.t.dir.Rename(b.path+".tmp", b.path)
	}
	if err != nil {
		b.Drop()
		return nil, unwritable(err)
	}
	if b.lost {
		return nil, nil
	}
	b.t.state[b.name] = b.now
	return nil, b.t.save()
}

func (b *toMboxBox) Drop() {
	_ = b.file.Close()
	_ = b.t.dir.Remove(b.path + ".tmp")
}
