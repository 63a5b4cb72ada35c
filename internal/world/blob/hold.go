package blob

import (
	"errors"
	"io"
	"os"

	"yubin/internal/mail"
)

// Hold keeps every file that is there from now on until release, although it
// is removed meanwhile: who copies the files that a snapshot names needs them
// longer than the store does. What was removed goes with the last release;
// what a crash keeps from going is an orphan.
func (d *Dir) Hold() (release func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds++
	released := false
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if released {
			return nil
		}
		released = true
		d.holds--
		if d.holds > 0 {
			return nil
		}
		var err error
		for _, name := range d.removed {
			err = errors.Join(err, d.remove(name))
		}
		d.removed = nil
		return err
	}
}

// putOff reports whether the removal of a file has to wait.
func (d *Dir) putOff(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holds > 0 {
		d.removed = append(d.removed, name)
	}
	return d.holds > 0
}

// Elsewhere returns a folder without files of its own: Open has fetch write the
// octets of a name, which may be NotFound, and keeps them in scratch for as long
// as the file is open.
func Elsewhere(scratch string, fetch func(name string, to io.Writer) error) *Dir {
	return &Dir{path: scratch, fetch: fetch}
}

// fetched opens a file that is elsewhere.
func (d *Dir) fetched(name string) (*os.File, error) {
	f, err := os.CreateTemp(d.path, "blob-")
	if err != nil {
		return nil, failure("cannot write a message file", err)
	}
	err = os.Remove(f.Name())
	if err == nil {
		err = d.fetch(name, f)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if known := (*mail.Error)(nil); errors.As(err, &known) {
		return nil, err
	}
	return nil, failure("cannot write a message file", err)
}
