// Package files works in folders that others can write to: a home folder, a
// mail spool, a disk with backups. Whoever owns such a folder must not have
// this program, which may read and write more than they can, do it for them.
//
// A Place is a path that somebody named, a Folder is one that is open. What is to
// be done in them is asked of a Doer: in this process, by os.Root, or in another one
// (package lending), so that a server works on the files of who called it, with
// their rights and where they see them, and not with its own.
//
//   - All names go through os.Root: no link leads out of the folder.
//   - What is read is a regular file: a link is not followed and a FIFO or a
//     device is not opened. OpenOwned wants the owner of the folder to own the
//     file too: a hard link to another one's file is refused.
//   - What is written is a new file (O_EXCL) that takes its name by a rename.
//   - What this process itself works with is never opened (Hold), whatever name
//     or link leads to it: closing it would undo the locks of the database.
//   - The path of the folder itself is its caller's word, but a link in it
//     counts only if root, this user or the owner of the folder made it.
//
// Refusals are of kind Forbidden and say which file it is and why.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"yubin/internal/mail"
)

// maxLinks is how many links the path of a folder may have.
const maxLinks = 40

// OpenFile opens the regular file at path, which the operator named, to be read.
func OpenFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := trusted(path, info); err != nil {
		return nil, err
	}
	return regular(path, info, func() (*os.File, error) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	})
}

// ReadFile reads the regular file of at most limit octets at path, which the
// operator named: with links, if there are any.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	file, err := regular(path, info, func() (*os.File, error) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, path, limit)
}

// WriteFile makes the file at path, for its owner only, of what write writes: a new
// one, which takes the place of the regular file that was there once it is whole.
// What is there and is no regular file, such as a link, stays.
func WriteFile(path string, write func(io.Writer) error) error {
	if info, err := os.Lstat(path); err == nil {
		if err := notRegular(path, info); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	if err = errors.Join(write(file), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// regular opens what info was of, if it is a regular file, and makes sure that
// it is what was opened.
func regular(name string, info fs.FileInfo, open func() (*os.File, error)) (*os.File, error) {
	if err := notRegular(name, info); err != nil {
		return nil, err
	}
	if err := free(name, info); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return opened(name, info, file)
}

func notRegular(name string, info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		return mail.Errorf(mail.Forbidden, "%s is a link, which is not followed", name)
	case info.IsDir():
		return mail.Errorf(mail.Forbidden, "%s is a folder", name)
	}
	return mail.Errorf(mail.Forbidden, "%s is no regular file", name)
}

// owner is the user who owns a file; without owners all files are one user's.
func owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}

// trusted reports an error if path leads to what info is of over a link of
// somebody who owns neither that nor this program.
func trusted(path string, info fs.FileInfo) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	real, err := followTrusted(path, info, new(int))
	if err != nil {
		return err
	}
	now, err := os.Lstat(real)
	if err == nil && !os.SameFile(info, now) {
		err = mail.Errorf(mail.Forbidden, "%s was exchanged while it was opened", path)
	}
	return err
}

func followTrusted(path string, info fs.FileInfo, links *int) (string, error) {
	at := string(filepath.Separator)
	for part := range strings.SplitSeq(strings.TrimPrefix(filepath.Clean(path), at), at) {
		next := filepath.Join(at, part)
		here, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if here.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if by := owner(here); by != 0 && by != uint32(os.Geteuid()) && by != owner(info) {
			return "", mail.Errorf(mail.Forbidden, "%s is a link that user %d made to what is not theirs", next, by)
		}
		if *links++; *links > maxLinks {
			return "", fmt.Errorf("%s has too many links", path)
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(at, to)
		}
		if at, err = followTrusted(to, info, links); err != nil {
			return "", err
		}
	}
	return at, nil
}
