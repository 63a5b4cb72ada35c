package sqldb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"yubin/internal/mail"
)

const rewritePiece = 1 << 20 // octets at a time

// rewrite writes a file again as it is and syncs it: what is read from it is on
// the disk then, even if the process before could not sync it. A file that is
// not there is left so. Like checkHeader it must not be called while SQLite has
// the file open.
func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(rewriteFile(f), f.Close())
	}
	if err != nil {
		return diskFailure(path, err)
	}
	return nil
}

func rewriteFile(f *os.File) error {
	piece := make([]byte, rewritePiece)
	for at := int64(0); ; {
		n, err := f.ReadAt(piece, at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			break
		}
		if _, err := f.WriteAt(piece[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return diskFailure(path, err)
	}
	return nil
}

// diskFailure is a file that cannot be made durable; nobody has written yet.
func diskFailure(path string, err error) error {
	what := "cannot be made durable"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		what = "cannot be written again, the disk is full"
	}
	return wrap(mail.Unavailable, fmt.Sprintf("%s %s: %v", path, what, err), err)
}
