package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/mbox"
)

// Mbox is mbox files as a Source: each of Places is a file, or a folder of files
// and folders. Files of a folder must be its owner's; links are not followed.
type Mbox struct {
	Places  []*files.Place
	Mailbox string // what the only file is called; "" for its name
	Quoting mbox.Quoting
	files   map[string]mboxFile // by Folder.Origin
	full    bool                // there are more than maxMboxFiles, which was told
}

// mboxFile is a file that was named, or one below a folder that was.
type mboxFile struct {
	place *files.Place
	name  string // "" for the place itself
}

func (f mboxFile) open() (*os.File, error) {
	if f.name == "" {
		return f.place.OpenFile()
	}
	dir, err := f.place.Open()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.OpenOwned(f.name)
}

func (f mboxFile) path() string { return filepath.Join(f.place.Path(), f.name) }

// maxMboxFiles is how many files are taken.
const maxMboxFiles = 10_000

// Kind implements Source.
func (s *Mbox) Kind() string { return "mbox" }

// Parallel implements Source.
func (s *Mbox) Parallel() int { return maildirReaders }

// Folders implements Source.
func (s *Mbox) Folders(context.Context) (list []Folder, problems []Failure, err error) {
	s.files = make(map[string]mboxFile)
	for _, place := range s.Places {
		is, err := place.Stat()
		switch {
		case err != nil:
			return nil, nil, unfound(place, err)
		case is.IsDir() && s.Mailbox != "":
			return nil, nil, mail.Errorf(mail.Invalid, "%s is a folder; a mailbox can be named for one file only", place.Path())
		case is.IsDir():
			err = s.folder(place, &list, &problems)
		default:
			err = s.add(mboxFile{place: place}, s.levels(place.Path()), &list)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return list, problems, nil
}

// unfound says why nothing is seen at a place.
func unfound(place *files.Place, err error) error {
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return mail.Errorf(mail.NotFound, "there is no file or folder %s", place.Path())
	}
	return mail.Errorf(mail.Forbidden, "%s cannot be read: %w", place.Path(), err)
}

func (s *Mbox) folder(place *files.Place, list *[]Folder, problems *[]Failure) error {
	dir, err := place.Open()
	if err != nil {
		return unreadable(err)
	}
	defer dir.Close()
	w := &mboxWalk{s, place, dir, list, problems}
	return w.walk(".", nil)
}

// levels is the name for a single file.
func (s *Mbox) levels(path string) []string {
	if s.Mailbox != "" {
		return strings.Split(s.Mailbox, mail.MailboxSeparator)
	}
	return []string{mboxName(filepath.Base(path))}
}

// mboxName names a mailbox after its file.
func mboxName(file string) string {
	name := strings.TrimSuffix(file, ".mbox")
	if name == "mbox" || strings.EqualFold(name, string(mail.Inbox)) {
		return string(mail.Inbox)
	}
	return name
}

func (s *Mbox) add(file mboxFile, levels []string, list *[]Folder) error {
	origin := strings.Join(levels, "\x1f")
	if _, twice := s.files[origin]; twice {
		return mail.Errorf(mail.Invalid, "%s and %s are both called %s; take them one by one, each with --mailbox",
			s.files[origin].path(), file.path(), strings.Join(levels, mail.MailboxSeparator))
	}
	if s.full = len(s.files) >= maxMboxFiles; s.full {
		return mail.Errorf(mail.TooLarge, "at most %d files are taken at once", maxMboxFiles)
	}
	s.files[origin] = file
	*list = append(*list, Folder{Levels: levels, Source: file.path(), Origin: origin})
	return nil
}

// notMail are files that stand beside mbox files: indexes and lists.
var notMail = []string{".msf", ".dat", ".json", ".lock", ".index", ".tmp"}

// mboxWalk looks through a folder for files.
type mboxWalk struct {
	mbox     *Mbox
	place    *files.Place
	dir      *files.Folder // of place
	list     *[]Folder
	problems *[]Failure
}

// walk takes the files of a folder. Quirk: Thunderbird's folders of folders end
// in .sbd; Apple Mail's mailboxes are folders with a file mbox.
func (w *mboxWalk) walk(at string, above []string) error {
	s, dir := w.mbox, w.dir
	tell := func(path string, err error) {
		*w.problems = append(*w.problems, Failure{Folder: dir.Path(path), Reason: err.Error()})
	}
	if len(above) > mail.MaxMailboxDepth {
		tell(at, mail.Errorf(mail.TooLarge, "folders may be %d deep", mail.MaxMailboxDepth))
		return nil
	}
	entries, err := dir.List(at)
	if err != nil && at == "." {
		return unreadable(err)
	}
	if err != nil {
		tell(at, unreadable(err))
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		path, name := path.Join(at, e.Name()), e.Name()
		if strings.HasPrefix(name, ".") || containsSuffix(name, notMail) {
			continue
		}
		var err error
		switch {
		case e.Type().IsRegular():
			err = s.add(mboxFile{w.place, path}, append(above[:len(above):len(above)], mboxName(name)), w.list)
		case !e.IsDir():
			err = mail.Errorf(mail.Forbidden, "it is no regular file")
		case dir.IsFile(path + "/mbox"):
			err = s.add(mboxFile{w.place, path + "/mbox"}, append(above[:len(above):len(above)], mboxName(name)), w.list)
		default:
			err = w.walk(path, append(above[:len(above):len(above)], strings.TrimSuffix(name, ".sbd")))
		}
		if err != nil {
			tell(path, err)
		}
		if s.full {
			return nil
		}
	}
	return nil
}

func containsSuffix(name string, suffixes []string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// Open implements Source. It reads the whole file.
func (s *Mbox) Open(_ context.Context, f Folder) (Mailbox, error) {
	file, err := s.files[f.Origin].open()
	if err != nil {
		return nil, unreadable(err)
	}
	b := &mboxBox{file: file, quoting: s.Quoting}
	info, err := file.Stat()
	if err == nil {
		b.index, err = mbox.Index(file, info.Size())
	}
	if err != nil {
		_ = file.Close()
		return nil, unreadable(err)
	}
	b.messages = make(map[string]mbox.Message, len(b.index.Messages))
	for _, m := range b.index.Messages {
		b.messages[m.Key] = m
	}
	return b, nil
}

type mboxBox struct {
	file     *os.File
	quoting  mbox.Quoting
	index    mbox.File
	messages map[string]mbox.Message
}

func (b *mboxBox) Numbering() (mail.UIDValidity, mail.UID) {
	return b.index.UIDValidity, b.index.UIDNext
}

func (b *mboxBox) Problems() []Failure { return nil }

func (b *mboxBox) Messages(context.Context) ([]Message, error) {
	list := make([]Message, len(b.index.Messages))
	for i, m := range b.index.Messages {
		list[i] = Message{Key: m.Key, UID: m.UID, Flags: m.Flags, Keywords: m.Keywords, Received: m.Received,
			Size: m.End - m.Offset, Where: fmt.Sprintf("at octet %d", m.Offset)}
	}
	return list, nil
}

func (b *mboxBox) Read(ctx context.Context, list []Message, each func(int, func(io.Writer) error) error) error {
	for i, m := range list {
		err := each(i, func(w io.Writer) error {
			var begin [5]byte
			if _, err := b.file.ReadAt(begin[:], 0); err != nil || !bytes.Equal(begin[:], []byte("From ")) {
				return mail.Errorf(mail.Conflict, "the file was changed while it was read; do it again")
			}
			if err := mbox.Copy(w, b.file, b.messages[m.Key], b.quoting); err != nil {
				return unreadable(err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *mboxBox) Close() error { return b.file.Close() }
