package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/mbox"
)

// Mbox is mbox files as a Source: each of Paths is a file, or a folder of files
// and folders.
type Mbox struct {
	Paths   []string
	Mailbox string // what the only file is called; "" for its name
	Quoting mbox.Quoting
	files   map[string]string // by Folder.Origin
}

// maxMboxFiles is how many files are taken.
const maxMboxFiles = 10_000

// Kind implements Source.
func (s *Mbox) Kind() string { return "mbox" }

// Parallel implements Source.
func (s *Mbox) Parallel() int { return maildirReaders }

// Folders implements Source.
func (s *Mbox) Folders(context.Context) (list []Folder, problems []string, err error) {
	s.files = make(map[string]string)
	for _, path := range s.Paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, nil, mail.Errorf(mail.NotFound, "%s cannot be read: %w", path, err)
		case info.IsDir() && s.Mailbox != "":
			return nil, nil, mail.Errorf(mail.Invalid, "%s is a folder; a mailbox can be named for one file only", path)
		case info.IsDir():
			err = s.walk(path, nil, &list)
		default:
			err = s.add(path, s.levels(path), &list)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return list, nil, nil
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

func (s *Mbox) add(path string, levels []string, list *[]Folder) error {
	origin := strings.Join(levels, "\x1f")
	if _, twice := s.files[origin]; twice {
		return mail.Errorf(mail.Invalid, "%s and %s are both called %s; take them one by one, each with --mailbox",
			s.files[origin], path, strings.Join(levels, mail.MailboxSeparator))
	}
	if len(s.files) >= maxMboxFiles {
		return mail.Errorf(mail.TooLarge, "at most %d files are taken at once", maxMboxFiles)
	}
	s.files[origin] = path
	*list = append(*list, Folder{Levels: levels, Source: path, Origin: origin})
	return nil
}

// notMail are files that stand beside mbox files: indexes and lists.
var notMail = []string{".msf", ".dat", ".json", ".lock", ".index"}

// walk takes the files of a folder. Quirk: Thunderbird's folders of folders end
// in .sbd; Apple Mail's mailboxes are folders with a file mbox.
func (s *Mbox) walk(dir string, above []string, list *[]Folder) error {
	if len(above) > mail.MaxMailboxDepth {
		return mail.Errorf(mail.TooLarge, "%s is too deep", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return unreadable(err)
	}
	for _, e := range entries {
		path, name := filepath.Join(dir, e.Name()), e.Name()
		if strings.HasPrefix(name, ".") || containsSuffix(name, notMail) {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return unreadable(err)
		case !info.IsDir():
			err = s.add(path, append(above[:len(above):len(above)], mboxName(name)), list)
		case isFile(filepath.Join(path, "mbox")):
			err = s.add(filepath.Join(path, "mbox"), append(above[:len(above):len(above)], mboxName(name)), list)
		default:
			err = s.walk(path, append(above[:len(above):len(above)], strings.TrimSuffix(name, ".sbd")), list)
		}
		if err != nil {
			return err
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

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Open implements Source. It reads the whole file.
func (s *Mbox) Open(_ context.Context, f Folder) (Mailbox, error) {
	file, err := os.Open(s.files[f.Origin])
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
