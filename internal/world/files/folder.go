package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"yubin/internal/mail"
)

// Folder is an open folder. Safe for concurrent use.
type Folder struct {
	doer Doer
	path string
}

// Limits.
const (
	MaxNames = 8 << 20 // names in one folder; one that has more is not listed
	atOnce   = 16      // files that Each opens before it needs them
)

// Open opens the folder at path, which the operator named.
func Open(path string) (*Folder, error) { return openHere(path, false) }

// Make makes the folder at path, for its owner only, if it is not there, and
// opens it.
func Make(path string) (*Folder, error) { return Into(path).Make() }

// FolderOf is the folder at path in which d does what is asked for.
func FolderOf(path string, d Doer) *Folder { return &Folder{d, path} }

// Close closes the folder; files of it stay open.
func (f *Folder) Close() error { return f.doer.Close() }

// Path returns where name is, for people and for programs that take paths.
func (f *Folder) Path(name string) string { return filepath.Join(f.path, name) }

// Root is the folder itself, if this process has it open; nil if another one has.
func (f *Folder) Root() *os.Root {
	if h, ok := f.doer.(*here); ok {
		return h.root
	}
	return nil
}

func (f *Folder) ask(a Ask) Answer { return f.doer.Do(a)[0] }
func (f *Folder) tell(a Ask) error { return f.ask(a).Err }

// Open opens a regular file to be read; fs.ErrNotExist if there is none.
func (f *Folder) Open(name string) (*os.File, error) {
	a := f.ask(Ask{Op: OpOpen, Name: name})
	return a.File, a.Err
}

// OpenOwned is Open for a file that the owner of the folder must own.
func (f *Folder) OpenOwned(name string) (*os.File, error) {
	a := f.ask(Ask{Op: OpOpen, Name: name, Strict: true})
	return a.File, a.Err
}

// EachOwned is OpenOwned for many files, of which it opens some before they are
// needed. An error of fn, which closes its file, ends it.
func (f *Folder) EachOwned(names []string, fn func(i int, file *os.File, err error) error) error {
	for done := 0; done < len(names); {
		asks := make([]Ask, 0, atOnce)
		for _, name := range names[done:min(done+atOnce, len(names))] {
			asks = append(asks, Ask{Op: OpOpen, Name: name, Strict: true})
		}
		answers := f.doer.Do(asks...)
		for i, a := range answers {
			if err := fn(done+i, a.File, a.Err); err != nil {
				closeAll(answers[i+1:])
				return err
			}
		}
		done += len(asks)
	}
	return nil
}

func closeAll(answers []Answer) {
	for _, a := range answers {
		if a.File != nil {
			_ = a.File.Close()
		}
	}
}

// Read reads a regular file of at most limit octets.
func (f *Folder) Read(name string, limit int64) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, name, limit)
}

func readAll(file *os.File, name string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, mail.Errorf(mail.TooLarge, "%s has over %d octets", name, limit)
	}
	return text, err
}

// List lists a folder in this one, in no order. name is "." for this one. Info of an
// entry is for who asked for ListSized.
func (f *Folder) List(name string) ([]fs.DirEntry, error) {
	a := f.ask(Ask{Op: OpList, Name: name})
	return a.List, a.Err
}

// ListSized is List with sizes and times.
func (f *Folder) ListSized(name string) ([]fs.DirEntry, error) {
	a := f.ask(Ask{Op: OpList, Name: name, Strict: true})
	return a.List, a.Err
}

// Folder opens a folder in this one, that no link leads to; "." is this one.
func (f *Folder) Folder(name string) (*Folder, error) {
	a := f.ask(Ask{Op: OpFolder, Name: name})
	return a.Folder, a.Err
}

// Stat tells what name is, and not what a link leads to.
func (f *Folder) Stat(name string) (Entry, error) {
	a := f.ask(Ask{Op: OpStat, Name: name})
	return a.Entry, a.Err
}

// IsFolder reports whether name is a folder, and not a link to one.
func (f *Folder) IsFolder(name string) bool {
	e, err := f.Stat(name)
	return err == nil && e.IsDir()
}

// IsFile reports whether name is a regular file, and not a link to one.
func (f *Folder) IsFile(name string) bool {
	e, err := f.Stat(name)
	return err == nil && e.Mode().IsRegular()
}

// Create makes a new file for its owner only; what has the name already, which
// must be a file that is nobody's any more, is removed.
func (f *Folder) Create(name string) (*os.File, error) {
	a := f.ask(Ask{Op: OpCreate, Name: name})
	return a.File, a.Err
}

// Lock opens the regular file name, or makes it, to be read, written and locked.
func (f *Folder) Lock(name string) (*os.File, error) {
	a := f.ask(Ask{Op: OpLock, Name: name})
	return a.File, a.Err
}

// Replace writes a file durably and all at once: who reads it meanwhile reads
// the old or the new one.
func (f *Folder) Replace(name string, text []byte) error {
	temp := name + ".tmp"
	file, err := f.Create(temp)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.Rename(temp, name)
	}
	if err != nil {
		_ = f.Remove(temp)
	}
	return err
}

// MakeFolder makes a folder for its owner only; fs.ErrExist if the name is taken.
func (f *Folder) MakeFolder(name string) error { return f.tell(Ask{Op: OpMakeFolder, Name: name}) }

// MakeFolders makes a folder and those above it, as far as they are not there.
func (f *Folder) MakeFolders(name string) error { return f.tell(Ask{Op: OpMakeFolders, Name: name}) }

// Rename gives a file another name, which another one may have had.
func (f *Folder) Rename(name, to string) error {
	return f.tell(Ask{Op: OpRename, Name: name, To: to})
}

// Remove removes a file, or a folder that is empty.
func (f *Folder) Remove(name string) error { return f.tell(Ask{Op: OpRemove, Name: name}) }

// RemoveAll removes a file, or a folder with all that is in it.
func (f *Folder) RemoveAll(name string) error { return f.tell(Ask{Op: OpRemoveAll, Name: name}) }

// Restrict lets nobody but its owner look into a folder.
func (f *Folder) Restrict(name string) error { return f.tell(Ask{Op: OpRestrict, Name: name}) }

// Sync makes the names in a folder in this one durable.
func (f *Folder) Sync(name string) error { return f.tell(Ask{Op: OpSync, Name: name}) }

// Do does what is asked for in the folder, for who passes it on.
func (f *Folder) Do(asks ...Ask) []Answer { return f.doer.Do(asks...) }
