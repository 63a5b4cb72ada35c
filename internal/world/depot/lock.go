package depot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"yubin/internal/mail"
)

// take takes the lock. Who only reads a folder that has none and cannot make one does
// without it: on a read-only disk nobody else can write either, and elsewhere who
// writes makes one.
func (d *Depot) take(write bool) error {
	if e, err := d.dir.Stat(lockName); err == nil && !e.Mode().IsRegular() {
		return mail.Errorf(mail.Forbidden, "%s is no regular file; remove it", d.dir.Path(lockName))
	}
	f, err := d.dir.Lock(lockName)
	if err != nil && !write {
		if f, err = d.dir.Open(lockName); err != nil {
			return nil
		}
	}
	if err != nil {
		return d.failure("cannot lock", err)
	}
	how := syscall.LOCK_SH
	if write {
		how = syscall.LOCK_EX
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.Join(mail.Errorf(mail.Conflict, "another yubin uses %s; wait for it to end", d.path), f.Close())
	}
	if err != nil {
		return errors.Join(d.failure("cannot lock", err), f.Close())
	}
	d.lock = f
	return nil
}

// failure makes an error of kind Unavailable in the system's own words; a full
// disk is named.
func (d *Depot) failure(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &mail.Error{Kind: mail.Unavailable, Err: err,
			Text: fmt.Sprintf("the disk of %s is full; make room and run this again: what was written already is kept", d.path)}
	}
	if known := (*mail.Error)(nil); errors.As(err, &known) {
		return &mail.Error{Kind: known.Kind, Text: fmt.Sprintf("%s %s: %v", what, d.path, known), Err: err}
	}
	cause := err
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		cause = p.Err
	}
	if l := (*os.LinkError)(nil); errors.As(err, &l) {
		cause = l.Err
	}
	return &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("%s %s: %v", what, d.path, cause), Err: err}
}
