package move

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/datadir"
	"yubin/internal/world/files"
	"yubin/internal/world/sqldb"
)

// messages brings the files of large messages that the target has not. A file that
// stands there under its name is whole: it never changes.
func (m *mover) messages(read func(func(*sqldb.Tx) error) error) error {
	var list []store.File
	err := read(func(tx *sqldb.Tx) error {
		list = nil
		return store.Files(tx, func(f store.File) error {
			list = append(list, f)
			if m.at.Round == 1 {
				m.at.Total += f.Size
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	m.moved.Files = len(list)
	for _, f := range list {
		if err := m.message(f); err != nil {
			return err
		}
		m.tell(f.Size, 0)
	}
	return nil
}

func (m *mover) message(f store.File) error {
	if there, err := m.blobs.Open(f.Name); err == nil {
		info, err := there.Stat()
		if err = errors.Join(err, there.Close()); err == nil && info.Size() == f.Size {
			return nil
		}
	}
	in, err := m.s.Blobs.Open(f.Name)
	if kind := mail.KindOf(err); err != nil && (kind == mail.NotFound || kind == mail.Invalid) {
		m.problem("a message of %d octets has lost its file %s: it is without its octets in the new place too", f.Size, f.Name)
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := m.step("write a message"); err != nil {
		return err
	}
	sum, err := m.copyMessage(f, in)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, f.SHA256) {
		m.problem("the file %s of a message does not have the octets that it was stored with; it was copied as it is", f.Name)
	}
	m.at.New += f.Size
	return nil
}

// copyMessage copies a file, reads it again, and returns the checksum of what was read.
func (m *mover) copyMessage(f store.File, in io.Reader) ([]byte, error) {
	out, err := m.blobs.CreateAs(f.Name)
	if err != nil {
		return nil, err
	}
	defer out.Drop()
	sum := sha256.New()
	buf := make([]byte, copyBuffer)
	if _, err := copyAll(out, io.TeeReader(in, sum), buf); err != nil {
		return nil, copying(f.Name, err)
	}
	if _, err := out.Keep(); err != nil {
		return nil, err
	}
	return sum.Sum(nil), m.compareMessage(f, sum, buf)
}

func (m *mover) compareMessage(f store.File, want hash.Hash, buf []byte) error {
	again, err := m.blobs.Open(f.Name)
	if err != nil {
		return err
	}
	defer again.Close()
	have := sha256.New()
	if _, err := copyAll(have, again, buf); err != nil {
		return copying(f.Name, err)
	}
	if !bytes.Equal(have.Sum(nil), want.Sum(nil)) {
		return mail.Errorf(mail.Unavailable, "the file %s is not read as it was written in the new data folder; look at its disk", f.Name)
	}
	return nil
}

// copying is a failure to copy a file.
func copying(name string, err error) error {
	if known := (*mail.Error)(nil); errors.As(err, &known) {
		return err
	}
	return &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("cannot copy the file %s", name), Err: err}
}

// fileMark tells that a file has not changed.
type fileMark struct {
	size int64
	at   time.Time
}

// others brings what else stands in the data folder, as it is when it is read. In the
// last round the target has no other files in the end.
func (m *mover) others() error {
	from, err := files.Open(m.s.Folder)
	if err != nil {
		return copying("of the old data folder", err)
	}
	defer from.Close()
	there := map[string]bool{}
	err = datadir.Each(m.s.Folder, m.s.Skip, func(name string, f fs.DirEntry) error {
		if !f.Type().IsRegular() {
			m.problem("%s is a link and was left out", name)
			return nil
		}
		there[name] = true
		m.moved.Files++
		return m.other(from, name)
	})
	if err != nil {
		return copying("of the old data folder", err)
	}
	if !m.at.Held {
		return nil
	}
	return datadir.Each(m.t.Folder, nil, func(name string, _ fs.DirEntry) error {
		if there[name] {
			return nil
		}
		return m.to.Folder().Root().Remove(name)
	})
}

func (m *mover) other(from *files.Folder, name string) error {
	in, err := from.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // It went meanwhile.
	}
	if err != nil {
		return copying(name, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return copying(name, err)
	}
	mark := fileMark{info.Size(), info.ModTime()}
	if m.kept[name] == mark && !m.at.Held {
		return nil
	}
	if err := m.step("write a file"); err != nil {
		return err
	}
	root := m.to.Folder().Root()
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return copying(name, err)
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return copying(name, err)
	}
	n, err := copyAll(out, in, make([]byte, copyBuffer))
	if err = errors.Join(err, out.Sync(), out.Close(), m.to.Folder().Sync(path.Dir(name))); err != nil {
		return copying(name, err)
	}
	m.kept[name] = mark
	m.at.New += n
	return nil
}
