// Package datadir is the data folder: the one place where a yubin keeps all it
// knows. A marker file says that a folder is one, so nothing else is ever taken
// for it or deleted; a lock keeps two processes from using it at once. The
// folder is for its owner only (0700).
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"yubin/internal/mail"
)

// What stands in the folder.
const (
	Database = "yubin.db" // the database, if it is a file; with -wal, -shm, -journal and .lock beside it
	Blobs    = "blobs"    // the folder of large messages
)

// What stands in it beside the store's own files.
const (
	markerFile = "yubin-data"
	lockFile   = "lock"
	markerText = "yubin data folder, format 1\n"
	markerHead = "yubin data folder, "
)

// retryEvery is how often Open tries again for a lock that is held.
const retryEvery = 50 * time.Millisecond

// InUseError says that another process has the folder.
type InUseError struct {
	Path string
	PID  string // of the other process, if it is known
}

func (e *InUseError) Error() string {
	other := "another yubin"
	if e.PID != "" {
		other += " (process " + e.PID + ")"
	}
	return fmt.Sprintf("data folder %s is in use by %s; stop it or choose another folder", e.Path, other)
}

// Dir is an open data folder; this process alone has it until Close.
type Dir struct {
	path string
	lock *os.File
}

// MissingError says that there is no data folder.
type MissingError struct{ Path string }

func (e *MissingError) Error() string {
	return "there is no yubin data folder at " + e.Path
}

// Make is Open for a folder that is made a data folder if it does not exist or is
// empty: for a server that starts, and not for who only looks at one, who would
// find a mistyped folder in good order.
func Make(ctx context.Context, path string, wait time.Duration) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, cause(err))
	}
	if err := prepare(path, mark); err != nil {
		return nil, err
	}
	return lock(ctx, path, wait)
}

// Open takes the data folder at path; *MissingError if there is none. If another
// process has it, Open waits for up to wait and then returns *InUseError.
func Open(ctx context.Context, path string, wait time.Duration) (*Dir, error) {
	missing := func(path string) error { return &MissingError{path} }
	if err := prepare(path, missing); err != nil {
		return nil, err
	}
	return lock(ctx, path, wait)
}

func lock(ctx context.Context, path string, wait time.Duration) (*Dir, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		d, err := take(path)
		if inUse := (*InUseError)(nil); !errors.As(err, &inUse) {
			if err == nil {
				_ = os.RemoveAll(d.Path(scratchFolder)) // What stays is in nobody's way.
			}
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// Path returns the path of name in the folder.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Close lets other processes have the folder.
func (d *Dir) Close() error { return d.lock.Close() }

// Clear deletes all that the folder holds, but not the folder.
func (d *Dir) Clear() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == markerFile || e.Name() == lockFile {
			continue
		}
		if err := os.RemoveAll(d.Path(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Is reports whether path is a data folder.
func Is(path string) bool {
	text, err := os.ReadFile(filepath.Join(path, markerFile))
	return err == nil && strings.HasPrefix(string(text), markerHead)
}

// prepare makes sure that path is a data folder that we can use; unmarked is
// called for what has no mark of one.
func prepare(path string, unmarked func(path string) error) error {
	err := checkOwner(path)
	if errors.Is(err, fs.ErrNotExist) {
		return unmarked(path)
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(path, markerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if done, err := finish(path); err != nil || done {
			return err
		}
		return unmarked(path)
	case err != nil:
		return fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	case string(text) == markerText:
		to, err := movedTo(path)
		if err == nil && to != "" {
			err = &MovedError{path, to}
		}
		return errors.Join(err, tighten(path))
	case strings.HasPrefix(string(text), markerHead):
		return fmt.Errorf("data folder %s is of a newer yubin (%q); use that version", path, strings.TrimSpace(string(text)))
	}
	return notOurs(path)
}

func notOurs(path string) error {
	return fmt.Errorf("%s is not a yubin data folder and not empty; choose another folder", path)
}

// checkOwner keeps root from leaving files that the server's own user cannot open.
func checkOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && os.Geteuid() == 0 && st.Uid != 0 {
		return fmt.Errorf("data folder %s belongs to %s; run this as that user, with sudo -u %s", path, userName(st.Uid), sudoName(st.Uid))
	}
	return nil
}

// userName is a user for people: the name, if this machine has one for the number.
func userName(uid uint32) string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", uid)
}

// sudoName is a user as sudo -u takes one.
func sudoName(uid uint32) string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("'#%d'", uid)
}

// mark makes an empty folder a data folder.
func mark(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("data folder %s cannot be read: %w", path, cause(err))
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err != io.EOF {
		return notOurs(path)
	}
	if err := writeMarker(filepath.Join(path, markerFile)); err != nil {
		return fmt.Errorf("data folder %s cannot be written: %w", path, cause(err))
	}
	return errors.Join(f.Sync(), syncFolder(filepath.Dir(filepath.Clean(path))), tighten(path))
}

// writeMarker is durable but for the name of the file.
func writeMarker(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(markerText)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func tighten(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(path, 0o700)
	}
	if err != nil {
		return fmt.Errorf("data folder %s cannot be closed to others: %w", path, cause(err))
	}
	return nil
}

// take tries once for the lock.
func take(path string) (*Dir, error) {
	name := filepath.Join(path, lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be locked: %w", path, cause(err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		return nil, errors.Join(&InUseError{path, strings.TrimSpace(string(pid))}, f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s cannot be locked: %w", path, err), f.Close())
	}
	return &Dir{path, f}, nil
}

// cause is the system's own word on why a file operation failed.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// scratchFolder is for what is needed for a while, and is empty when the folder is opened.
const scratchFolder = "scratch"

// Scratch makes sure that there is a folder for what is needed for a while. Who makes
// something there removes it; what a crash leaves goes when the data folder is opened.
func (d *Dir) Scratch() (string, error) {
	path := d.Path(scratchFolder)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", mail.Errorf(mail.Unavailable, "data folder %s cannot be written: %w", d.path, cause(err))
	}
	return path, nil
}
