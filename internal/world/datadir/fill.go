package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"yubin/internal/world/files"
)

// fillingFile marks a folder that is being filled. It is no data folder before
// that is over: no server takes it for an empty one.
const (
	fillingFile = "yubin-restoring"
	fillingText = "This folder is not complete: a restore is writing it, or was cut short.\n"
)

// Filling is a data folder that is being made from a copy; this process alone
// has it until Close.
type Filling struct {
	dir    *Dir
	folder *files.Folder
}

// Fill begins to fill the folder at path, which must not exist, be empty, or be
// left from a Fill that was cut short: what that left is deleted.
func Fill(path string) (*Filling, error) {
	folder, err := files.Make(path)
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, cause(err))
	}
	f := &Filling{folder: folder}
	if err := f.begin(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Filling) begin(path string) error {
	if err := f.mayFill(path); err != nil {
		return err
	}
	if err := checkOwner(path); err != nil {
		return err
	}
	if err := f.folder.Replace(fillingFile, []byte(fillingText)); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", path, cause(err))
	}
	d, err := take(path)
	if err != nil {
		return err
	}
	f.dir = d
	return errors.Join(tighten(path), f.clear(), f.sync())
}

func (f *Filling) mayFill(path string) error {
	if _, err := f.folder.Root().Lstat(fillingFile); err == nil {
		return nil
	}
	entries, err := f.folder.List(".")
	switch {
	case err != nil:
		return fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty; a restore goes into a new folder", path)
	}
	return nil
}

func (f *Filling) clear() error {
	entries, err := f.folder.List(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == fillingFile || e.Name() == lockFile {
			continue
		}
		if err := f.folder.Root().RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Folder is the folder, to write in.
func (f *Filling) Folder() *files.Folder { return f.folder }

// Path returns the path of name in the folder.
func (f *Filling) Path(name string) string { return f.dir.Path(name) }

// Done makes the folder a data folder. What is in it must be durable.
func (f *Filling) Done() error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := f.folder.Replace(markerFile, []byte(markerText)); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", f.dir.path, cause(err))
	}
	if err := f.folder.Root().Remove(fillingFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder %s cannot be written: %w", f.dir.path, cause(err))
	}
	return f.sync()
}

func (f *Filling) sync() error { return f.folder.Sync(".") }

// Close lets other processes have the folder.
func (f *Filling) Close() error {
	err := f.folder.Close()
	if f.dir != nil {
		err = errors.Join(err, f.dir.Close())
	}
	return err
}

// IsDatabase reports whether a name in a data folder is one of the database's files.
func IsDatabase(name string) bool {
	rest, of := strings.CutPrefix(name, Database)
	return of && slices.Contains([]string{"", "-wal", "-shm", "-journal", ".lock"}, rest)
}

// Give makes the data folder at path, with all that is in it, that of a user and group; no
// link is followed. It must not be in use.
func Give(path string, uid, gid int) error {
	folder, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return fs.WalkDir(folder.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return folder.Lchown(name, uid, gid)
	})
}

// Owner is to whom the folder or file at path belongs.
func Owner(path string) (uid, gid int, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.New("this system does not say whose it is")
	}
	return int(st.Uid), int(st.Gid), nil
}

// Named is a user for people.
func Named(uid int) string { return userName(uint32(uid)) }

// Each calls fn for every file of a data folder that is neither the database's, nor a
// large message, nor this package's, nor in skip, and for every link; by name, with
// slashes. A file may go meanwhile.
func Each(path string, skip []string, fn func(name string, f fs.DirEntry) error) error {
	return filepath.WalkDir(path, func(at string, f fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(path, at)
		if err != nil || name == "." {
			return err
		}
		ours := name == Blobs || IsDatabase(name) || slices.Contains(Own(), name) || slices.Contains(skip, name)
		switch {
		case ours && f.IsDir():
			return filepath.SkipDir
		case ours, !f.Type().IsRegular() && f.Type()&fs.ModeSymlink == 0:
			return nil // A folder, whose files follow, or a socket.
		}
		return fn(filepath.ToSlash(name), f)
	})
}

// Own lists the names in a data folder that are this package's: a copy of the
// folder has its own.
func Own() []string {
	return []string{markerFile, lockFile, fillingFile, movedFile, databaseFile, secretsFile, scratchFolder}
}
