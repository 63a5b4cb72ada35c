package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Layout is how folders stand in the file system.
type Layout uint8

// The layouts.
const (
	PlusPlus Layout = iota // ".Work.Plans" beside each other
	Nested                 // Work/Plans in each other; Dovecot's LAYOUT=fs
)

// Writer writes one Maildir.
type Writer struct {
	dir    *files.Folder
	layout Layout
	codec  Codec
}

// Create makes a Maildir at root, or goes on with one that a Writer made.
// Conflict if the folder has other things, or a mail server uses it. The caller
// closes the Writer.
func Create(root *files.Place, layout Layout, c Codec) (*Writer, error) {
	dir, err := root.Make()
	if err != nil {
		return nil, failure("cannot make a folder", err)
	}
	w := &Writer{dir, layout, c}
	if err := w.claim(root.Path()); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return w, nil
}

// claim makes sure that what is in the folder is a Writer's, and marks it.
func (w *Writer) claim(root string) error {
	there, err := w.dir.List(".")
	if err != nil {
		return failure("cannot read a folder", err)
	}
	for _, e := range there {
		if strings.HasPrefix(e.Name(), "dovecot.") {
			return mail.Errorf(mail.Conflict, "%s is in use by Dovecot: it has %s; choose another folder", root, e.Name())
		}
	}
	if len(there) == 0 {
		return w.replace(exportMark, "yubin exports to this folder\n")
	}
	if _, err := w.dir.Read(exportMark, MaxListLine); err != nil {
		return mail.Errorf(mail.Conflict, "%s has files that no export wrote; choose a new folder", root)
	}
	return nil
}

// Close ends the work.
func (w *Writer) Close() error { return w.dir.Close() }

// failure is an error of kind Exists if it is of one name only, of the kind that
// it has, else Unavailable.
func failure(text string, err error) error {
	kind := mail.Unavailable
	var known *mail.Error
	switch {
	case errors.As(err, &known):
		kind = known.Kind
	case files.InTheWay(err):
		kind = mail.Exists
	}
	return &mail.Error{Kind: kind, Text: text + ": " + err.Error(), Err: err}
}

// Message is one to be written.
type Message struct {
	UID      mail.UID
	Flags    mail.Flags
	Keywords []string
	Received time.Time
}

// Box is a folder being written. Not safe for concurrent use.
type Box struct {
	w        *Writer
	at       string // below the root
	validity mail.UIDValidity
	have     map[string]string // base without sizes: the name in cur
	names    []string          // keywords with a letter
	lines    []string          // of the list of UIDs
	kept     map[string]bool   // names in cur that stay
	drafts   *files.Drafts
	Left     map[string]bool // keywords that found no letter
}

// Folder makes the folder called levels, none for the INBOX, or goes on with it.
// Invalid if a level cannot be the name of a folder in this layout.
func (w *Writer) Folder(levels []string, v mail.UIDValidity) (*Box, error) {
	at, err := w.path(levels)
	if err != nil {
		return nil, err
	}
	for _, sub := range own {
		if err := w.dir.MakeFolders(path.Join(at, sub)); err != nil {
			return nil, failure("cannot make a folder", err)
		}
	}
	if len(levels) > 0 && w.layout == PlusPlus {
		if err := w.replace(path.Join(at, folderMark), ""); err != nil {
			return nil, err
		}
	}
	b := &Box{w: w, at: at, validity: v, have: make(map[string]string), kept: make(map[string]bool), Left: make(map[string]bool)}
	if b.names, err = readKeywords(w.dir, at); err != nil {
		return nil, failure("cannot read "+keywordsFile, err)
	}
	b.drafts = w.dir.Drafts(b.name("tmp", "yubin-export."))
	entries, err := w.dir.ListSized(path.Join(at, "cur"))
	if err != nil {
		return nil, failure("cannot read a folder", err)
	}
	for _, e := range entries {
		base, _ := splitName(e.Name())
		stem, sizes, _ := strings.Cut(base, ",")
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && strings.HasPrefix(sizes, fmt.Sprintf("S=%d,", info.Size())) {
			b.have[stem] = e.Name() // One that a crash left short is written anew.
		}
	}
	return b, nil
}

func (w *Writer) path(levels []string) (string, error) {
	encoded := make([]string, len(levels))
	for i, l := range levels {
		encoded[i] = w.codec.Encode(l)
		switch {
		case w.layout == PlusPlus && strings.Contains(encoded[i], "."):
			return "", mail.Errorf(mail.Invalid, "%q has a dot, which parts levels in Maildir++; choose the nested layout", l)
		case w.layout == Nested && taken(encoded[i]):
			return "", mail.Errorf(mail.Invalid, "%q is the name of a file or folder of the Maildir itself; choose the layout maildir++, or rename the mailbox", l)
		case w.layout == Nested && strings.HasPrefix(encoded[i], "."), strings.ContainsAny(encoded[i], "/\x00"), len(encoded[i]) > 255:
			return "", mail.Errorf(mail.Invalid, "%q cannot be the name of a folder", l)
		}
	}
	switch {
	case len(levels) == 0:
		return ".", nil
	case w.layout == Nested:
		return path.Join(encoded...), nil
	}
	name := "." + strings.Join(encoded, ".")
	if len(name) > 255 {
		return "", mail.Errorf(mail.Invalid, "the name %q is too long for a Maildir", strings.Join(levels, mail.MailboxSeparator))
	}
	return name, nil
}

// taken reports whether Maildirs, or servers that keep mail in them, have a use for a
// name: Dovecot writes "dovecot-uidlist", "dovecot.index", "subscriptions.lock"
// and others beside the messages, and so do we.
func taken(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	return slices.Contains(own, name) || slices.Contains([]string{subscriptionFile, folderMark, "maildirsize", "dovecot"}, first) ||
		strings.HasPrefix(name, "dovecot-")
}

// stem is the part of a file's name that says which message it is.
func (b *Box) stem(m Message) string {
	return fmt.Sprintf("%d.U%dV%d.yubin", m.Received.Unix(), m.UID, b.validity)
}

// Has reports whether the folder has the octets of a message.
func (b *Box) Has(m Message) bool { return b.have[b.stem(m)] != "" }

// Add writes a message, which write gives with CRLF, or only brings the flags up
// to date if the folder has it. UIDs must ascend. An error of write is returned
// as it is, and the message is left out.
func (b *Box) Add(m Message, write func(io.Writer) error) (written bool, err error) {
	text, left := letters(m.Flags, m.Keywords, &b.names)
	for _, k := range left {
		b.Left[k] = true
	}
	stem := b.stem(m)
	old, there := b.have[stem]
	base, _ := splitName(old)
	if !there {
		if base, err = b.write(stem, text, m, write); err != nil {
			return false, err
		}
	}
	name := base + ":2," + text
	if there && name != old {
		if err := b.w.dir.Rename(b.name("cur", old), b.name("cur", name)); err != nil {
			return false, failure("cannot rename a message file", err)
		}
	}
	b.kept[name] = true
	b.lines = append(b.lines, fmt.Sprintf("%d :%s\n", m.UID, name))
	return !there, nil
}

// write puts the octets into cur, with the letters of its flags, and returns the name
// before ":".
func (b *Box) write(stem, letters string, m Message, write func(io.Writer) error) (base string, err error) {
	f, err := b.drafts.Next()
	if err != nil {
		return "", failure("cannot write a message file", err)
	}
	size, virtual, err := fill(f, write)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = failure("cannot write a message file", closeErr)
	}
	if err != nil {
		b.drafts.Drop()
		return "", err
	}
	base = fmt.Sprintf("%s,S=%d,W=%d", stem, size, virtual)
	b.drafts.Keep(b.name("cur", base+":2,"+letters), m.Received)
	return base, nil
}

// fill writes a message with LF, or as it is if LF would lose something.
func fill(f *os.File, write func(io.Writer) error) (size, virtual int64, err error) {
	for _, exact := range [...]bool{false, true} {
		out := &counter{w: bufio.NewWriterSize(f, 64<<10)}
		in := &counter{w: out}
		lf := &LF{W: out}
		if !exact {
			in.w = lf
		}
		if err := write(in); err != nil {
			return 0, 0, err
		}
		if err := errors.Join(lf.Close(), out.w.(*bufio.Writer).Flush()); err != nil {
			return 0, 0, failure("cannot write a message file", err)
		}
		if lf.Exact() {
			return out.n, in.n, nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, 0, failure("cannot write a message file", err)
		}
		if err := f.Truncate(0); err != nil {
			return 0, 0, failure("cannot write a message file", err)
		}
	}
	return 0, 0, mail.Errorf(mail.Internal, "a message has changed while it was read")
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Flush gives all that was added its name.
func (b *Box) Flush() error {
	if err := b.drafts.Flush(); err != nil {
		return failure("cannot write a message file", err)
	}
	return nil
}

// Close writes the list of UIDs and keywords, and removes what an earlier export
// wrote and the mailbox has no longer. Next is the UID that comes next.
func (b *Box) Close(next mail.UID) error {
	if err := b.Flush(); err != nil {
		return err
	}
	for _, name := range b.have {
		if strings.Contains(name, ".yubin,") && !b.kept[name] && !b.renamed(name) {
			if err := b.w.dir.Remove(b.name("cur", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return failure("cannot remove a message file", err)
			}
		}
	}
	var keywords strings.Builder
	for i, k := range b.names {
		fmt.Fprintf(&keywords, "%d %s\n", i, k)
	}
	if err := b.w.replace(b.name(keywordsFile), keywords.String()); err != nil {
		return err
	}
	head := fmt.Sprintf("3 V%d N%d\n", b.validity, next)
	return b.w.replace(b.name(uidListFile), head+strings.Join(b.lines, ""))
}

// renamed reports whether a file has another name by now.
func (b *Box) renamed(name string) bool {
	_, err := b.w.dir.Stat(b.name("cur", name))
	return errors.Is(err, fs.ErrNotExist)
}

// name is the name of a file of the folder, below the root.
func (b *Box) name(parts ...string) string { return path.Join(b.at, path.Join(parts...)) }

// replace writes a file all at once.
func (w *Writer) replace(name, text string) error {
	if err := w.dir.Replace(name, []byte(text)); err != nil {
		return failure("cannot write "+path.Base(name), err)
	}
	return nil
}

// Subscribe writes which folders are subscribed.
func (w *Writer) Subscribe(folders [][]string) error {
	text := "V\t2\n\n"
	for _, levels := range folders {
		var encoded []string
		for _, l := range levels {
			encoded = append(encoded, w.codec.Encode(l))
		}
		text += strings.Join(encoded, "\t") + "\n"
	}
	return w.replace(subscriptionFile, text)
}
