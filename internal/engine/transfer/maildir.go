package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/maildir"
)

// Maildir is a Maildir as a Source.
type Maildir struct {
	Root  *files.Place
	Codec maildir.Codec
	at    map[string]maildir.Folder // by Folder.Origin
}

// maildirReaders is how many files are read at a time.
const maildirReaders = 4

// Kind implements Source.
func (d *Maildir) Kind() string { return "maildir" }

// Parallel implements Source.
func (d *Maildir) Parallel() int { return maildirReaders }

// Folders implements Source.
func (d *Maildir) Folders(context.Context) (list []Folder, problems []Failure, err error) {
	tree, err := maildir.Read(d.Root, d.Codec)
	if err != nil {
		return nil, nil, err
	}
	d.at = make(map[string]maildir.Folder)
	problems = failures(tree.Problems)
	for _, f := range tree.Folders {
		levels := f.Levels
		if len(levels) == 0 {
			levels = []string{string(mail.Inbox)}
		}
		name, origin := strings.Join(levels, mail.MailboxSeparator), strings.Join(levels, "\x1f")
		if _, twice := d.at[origin]; twice {
			problems = append(problems, Failure{Folder: f.Path, Reason: "its name is that of another folder"})
			continue
		}
		d.at[origin] = f
		list = append(list, Folder{Levels: levels, Source: name, Origin: origin, Subscribed: f.Subscribed})
	}
	return list, problems, nil
}

func failures(problems []maildir.Problem) (list []Failure) {
	for _, p := range problems {
		list = append(list, Failure{Folder: p.Path, Reason: p.Reason})
	}
	return list
}

// Open implements Source.
func (d *Maildir) Open(_ context.Context, f Folder) (Mailbox, error) {
	root, err := d.Root.Open()
	if err != nil {
		return nil, unreadable(err)
	}
	defer root.Close()
	dir, err := root.Folder(d.at[f.Origin].At)
	if err != nil {
		return nil, unreadable(err)
	}
	l, err := maildir.List(dir)
	if err != nil {
		return nil, errors.Join(unreadable(err), dir.Close())
	}
	b := &maildirBox{dir: dir, listing: l, files: make(map[string]maildir.File, len(l.Files))}
	for _, f := range l.Files {
		b.files[f.Base] = f
	}
	return b, nil
}

// unreadable makes an error of the file system one about a folder or message.
func unreadable(err error) error {
	var known *mail.Error
	var path *fs.PathError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission):
		return mail.Errorf(mail.Forbidden, "%s cannot be read: %w", path.Path, path.Err)
	case errors.As(err, &path):
		return mail.Errorf(mail.Forbidden, "%s cannot be read: %w", filepath.Base(path.Path), path.Err)
	}
	return mail.Errorf(mail.Forbidden, "it cannot be read: %w", err)
}

type maildirBox struct {
	dir     *files.Folder
	listing maildir.Listing
	files   map[string]maildir.File
}

func (b *maildirBox) Numbering() (mail.UIDValidity, mail.UID) {
	return b.listing.UIDValidity, b.listing.UIDNext
}

func (b *maildirBox) Problems() []Failure { return failures(b.listing.Problems) }

func (b *maildirBox) Messages(context.Context) ([]Message, error) {
	list := make([]Message, len(b.listing.Files))
	for i, f := range b.listing.Files {
		list[i] = Message{Key: f.Base, UID: f.UID, Flags: f.Flags, Keywords: f.Keywords, Received: f.Received, Size: f.Size, Where: f.Name()}
	}
	return list, nil
}

func (b *maildirBox) Read(ctx context.Context, list []Message, each func(int, func(io.Writer) error) error) error {
	files := make([]maildir.File, len(list))
	for i, m := range list {
		files[i] = b.files[m.Key]
	}
	err := maildir.Each(b.dir, files, func(i int, f *os.File, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Deleted meanwhile.
		}
		return each(i, func(w io.Writer) error { return copyFile(w, f, err) })
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}

// copyFile writes a file with CRLF and closes it; err is why it is not open.
func copyFile(w io.Writer, f *os.File, err error) error {
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	buf := make([]byte, 32<<10)
	_, err = io.CopyBuffer(struct{ io.Writer }{&maildir.CRLF{W: w}}, struct{ io.Reader }{f}, buf)
	if err != nil {
		return unreadable(err)
	}
	return nil
}

func (b *maildirBox) Close() error { return b.dir.Close() }
