package transfer

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
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
	root  string
	state map[mail.MailboxName]written
}

// NewMbox makes the folder at root, or goes on with one.
func NewMbox(root string) (*ToMbox, error) {
	t := &ToMbox{root: root, state: make(map[mail.MailboxName]written)}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, unwritable(err)
	}
	text, err := os.ReadFile(filepath.Join(root, stateFile))
	if err == nil && json.Unmarshal(text, &t.state) != nil {
		t.state = make(map[mail.MailboxName]written)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unwritable(err)
	}
	return t, nil
}

func unwritable(err error) error {
	return &mail.Error{Kind: mail.Unavailable, Text: "cannot write: " + err.Error(), Err: err}
}

func (t *ToMbox) path(name mail.MailboxName) (string, error) {
	for l := range strings.SplitSeq(string(name), mail.MailboxSeparator) {
		if strings.HasPrefix(l, ".") || len(l) > 200 {
			return "", mail.Errorf(mail.Invalid, "%q cannot be the name of a file", l)
		}
	}
	return filepath.Join(t.root, filepath.FromSlash(string(name))+".mbox"), nil
}

// Box implements Target.
func (t *ToMbox) Box(m store.Mailbox) (TargetBox, bool, error) {
	path, err := t.path(m.Name)
	if err != nil {
		return nil, false, err
	}
	now := written{m.UIDValidity, m.ModSeq}
	if t.state[m.Name] == now && isFile(path) {
		return nil, true, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, unwritable(err)
	}
	f, err := os.OpenFile(path+".lock", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, false, unwritable(err)
	}
	return &toMboxBox{t: t, name: m.Name, now: now, path: path, file: f, w: mbox.NewWriter(f, m.UIDValidity, m.UIDNext)}, false, nil
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
		err = os.Rename(b.file.Name(), b.path)
	}
	if err != nil {
		b.Drop()
		return nil, unwritable(err)
	}
	if b.lost {
		return nil, nil
	}
	b.t.state[b.name] = b.now
	text, err := json.Marshal(b.t.state)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.t.root, stateFile), text, 0o600)
	}
	if err != nil {
		return nil, unwritable(err)
	}
	return nil, nil
}

func (b *toMboxBox) Drop() {
	_ = b.file.Close()
	_ = os.Remove(b.file.Name())
}
