package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fillingFile marks a folder that is being filled. It is no data folder before
// that is over: no server takes it for an empty one.
const (
	fillingFile = "yubin-restoring"
	fillingText = "This folder is not complete: a restore is writing it, or was cut short.\n"
)

// Filling is a data folder that is being made from a copy; this process alone
// has it until Close.
type Filling struct{ dir *Dir }

// Fill begins to fill the folder at path, which must not exist, be empty, or be
// left from a Fill that was cut short: what that left is deleted.
func Fill(path string) (*Filling, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, cause(err))
	}
	if err := checkOwner(path); err != nil {
		return nil, err
	}
	if err := mayFill(path); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(path, fillingFile), []byte(fillingText), 0o600); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be written: %w", path, cause(err))
	}
	d, err := take(path)
	if err != nil {
		return nil, err
	}
	f := &Filling{d}
	if err := errors.Join(tighten(path), f.clear(), f.sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func mayFill(path string) error {
	if _, err := os.Stat(filepath.Join(path, fillingFile)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(path)
	switch {
	case err != nil:
		return fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty; a restore goes into a new folder", path)
	}
	return nil
}

func (f *Filling) clear() error {
	entries, err := os.ReadDir(f.dir.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == fillingFile || e.Name() == lockFile {
			continue
		}
		if err := os.RemoveAll(f.dir.Path(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Path returns the path of name in the folder.
func (f *Filling) Path(name string) string { return f.dir.Path(name) }

// Done makes the folder a data folder. What is in it must be durable.
func (f *Filling) Done() error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := os.WriteFile(f.Path(markerFile), []byte(markerText), 0o600); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", f.dir.path, cause(err))
	}
	if err := os.Remove(f.Path(fillingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder %s cannot be written: %w", f.dir.path, cause(err))
	}
	return f.sync()
}

func (f *Filling) sync() error {
	folder, err := os.Open(f.dir.path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// Close lets other processes have the folder.
func (f *Filling) Close() error { return f.dir.Close() }

// Own lists the names in a data folder that are this package's: a copy of the
// folder has its own.
func Own() []string { return []string{markerFile, lockFile, fillingFile} }
