// Package blob keeps the octets of large messages as files: written once,
// never changed, named at random.
//
// # States
//
//	file                        what it is                       after a crash
//	tmp/NAME                    being written; nobody's          Open removes it
//	NA/NAME, no row names it    synced, its row not committed    an orphan: swept after a grace
//	                            yet, or its row gone already
//	NA/NAME, a row names it     a message                        stays
//
// Keep syncs the file, moves it and syncs the folder before it returns, so a
// row that is written afterwards never dangles. Names are not derived from the
// content: a file about to be removed cannot be wanted again.
//
// It knows nothing of rows; the store says which names are in use.
package blob

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"yubin/internal/mail"
)

const (
	tempDir    = "tmp"
	nameOctets = 16 // of randomness in a name
)

// Dir is a folder of blob files. Safe for concurrent use.
type Dir struct {
	path  string
	rand  io.Reader
	fetch func(name string, to io.Writer) error // see Elsewhere; nil for a folder of its own
	sync  func(folder string) error             // syncDir, save in tests

	mu      sync.Mutex
	holds   int             // see Hold
	removed []string        // meanwhile
	shelves map[string]bool // subfolders whose names are durable, by path
}

// Open makes the folder if need be and removes what earlier processes left
// unfinished. Names are drawn from rand.
func Open(path string, rand io.Reader) (*Dir, error) {
	d := &Dir{path: path, rand: rand, sync: syncDir}
	if err := os.MkdirAll(filepath.Join(path, tempDir), 0o700); err != nil {
		return nil, failure("cannot make the folder for blobs", err)
	}
	if err := d.findShelves(); err != nil {
		return nil, err
	}
	if err := errors.Join(syncDir(path), syncDir(filepath.Dir(filepath.Clean(path)))); err != nil {
		return nil, err
	}
	left, err := os.ReadDir(filepath.Join(path, tempDir))
	if err != nil {
		return nil, failure("cannot read the folder of blobs", err)
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(path, tempDir, e.Name())); err != nil {
			return nil, failure("cannot remove an unfinished blob", err)
		}
	}
	return d, nil
}

// File is a blob being written. Not safe for concurrent use.
type File struct {
	dir  *Dir
	f    *os.File
	name string
	kept bool
}

// Create starts a new blob.
func (d *Dir) Create() (*File, error) {
	var b [nameOctets]byte
	if _, err := io.ReadFull(d.rand, b[:]); err != nil {
		return nil, failure("no randomness for a name", err)
	}
	return d.create(hex.EncodeToString(b[:]))
}

// CreateAs is Create for a file that has its name already: a copy of one of another
// folder. A kept file of the name is replaced.
func (d *Dir) CreateAs(name string) (*File, error) {
	if !validName(name) {
		return nil, mail.Errorf(mail.Invalid, "%q is not the name of a blob", name)
	}
	return d.create(name)
}

func (d *Dir) create(name string) (*File, error) {
	f, err := os.OpenFile(filepath.Join(d.path, tempDir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, failure("cannot write a message file", err)
	}
	return &File{dir: d, f: f, name: name}, nil
}

// Name is the name that Keep will give it.
func (f *File) Name() string { return f.name }

// Write appends p. Errors are of kind Unavailable.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	if err != nil {
		return n, failure("cannot write a message file", err)
	}
	return n, nil
}

// Keep makes the file durable under its name and returns that. The File is
// closed; Drop afterwards does nothing.
func (f *File) Keep() (name string, err error) {
	if err := f.f.Sync(); err != nil {
		return "", failure("cannot sync a message file", err)
	}
	if err := f.f.Close(); err != nil {
		return "", failure("cannot close a message file", err)
	}
	to := f.dir.file(f.name)
	if err := f.dir.makeShelf(filepath.Dir(to)); err != nil {
		return "", err
	}
	if err := os.Rename(f.f.Name(), to); err != nil {
		return "", failure("cannot move a message file", err)
	}
	f.kept = true
	return f.name, f.dir.sync(filepath.Dir(to))
}

// Drop removes the file unless it was kept.
func (f *File) Drop() {
	if !f.kept {
		f.f.Close()
		os.Remove(f.f.Name())
	}
}

// findShelves notes the subfolders that are there; Open syncs their names.
func (d *Dir) findShelves() error {
	there, err := os.ReadDir(d.path)
	if err != nil {
		return failure("cannot read the folder of blobs", err)
	}
	d.shelves = make(map[string]bool, len(there))
	for _, e := range there {
		d.shelves[filepath.Join(d.path, e.Name())] = true
	}
	return nil
}

// makeShelf makes the subfolder, durably. That it is there does not say so:
// somebody else may be about to sync its name, or have failed to.
func (d *Dir) makeShelf(path string) error {
	d.mu.Lock()
	durable := d.shelves[path]
	d.mu.Unlock()
	if durable {
		return nil
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return failure("cannot make a folder for message files", err)
	}
	if err := d.sync(d.path); err != nil {
		return err
	}
	d.mu.Lock()
	d.shelves[path] = true
	d.mu.Unlock()
	return nil
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return failure("cannot sync a folder", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return failure("cannot sync a folder", err)
	}
	return nil
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name[:2], name) }

// Open opens a kept file for reading. NotFound if there is none.
func (d *Dir) Open(name string) (*os.File, error) {
	if !validName(name) {
		return nil, mail.Errorf(mail.Invalid, "%q is not the name of a blob", name)
	}
	if d.fetch != nil {
		return d.fetched(name)
	}
	f, err := os.Open(d.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, mail.Errorf(mail.NotFound, "the blob file %s is missing", d.file(name))
	}
	if err != nil {
		return nil, failure("cannot open a message file", err)
	}
	return f, nil
}

// Remove removes a kept file. One that is gone already is no error.
func (d *Dir) Remove(name string) error {
	if !validName(name) {
		return mail.Errorf(mail.Invalid, "%q is not the name of a blob", name)
	}
	if d.putOff(name) {
		return nil
	}
	return d.remove(name)
}

func (d *Dir) remove(name string) error {
	err := os.Remove(d.file(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return failure("cannot remove a message file", err)
	}
	return nil
}

// Names yields the kept files and when each was last written, in no order. An
// error ends it.
func (d *Dir) Names() iter.Seq2[Kept, error] {
	return func(yield func(Kept, error) bool) {
		shelves, err := os.ReadDir(d.path)
		if err != nil {
			yield(Kept{}, failure("cannot read the folder of blobs", err))
			return
		}
		for _, shelf := range shelves {
			if shelf.Name() != tempDir && shelf.IsDir() && !d.shelfNames(shelf.Name(), yield) {
				return
			}
		}
	}
}

// Kept is a kept file.
type Kept struct {
	Name    string
	Written time.Time
}

func (d *Dir) shelfNames(shelf string, yield func(Kept, error) bool) bool {
	files, err := os.ReadDir(filepath.Join(d.path, shelf))
	if err != nil {
		yield(Kept{}, failure("cannot read the folder of blobs", err))
		return false
	}
	for _, e := range files {
		info, err := e.Info()
		if err != nil || !validName(e.Name()) {
			continue // Removed meanwhile, or not ours.
		}
		if !yield(Kept{e.Name(), info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

func validName(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == nameOctets
}

// failure makes an error of kind Unavailable; a full disk is named.
func failure(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		what = "the disk is full"
	}
	return &mail.Error{Kind: mail.Unavailable, Text: what, Err: fmt.Errorf("blob: %w", err)}
}
