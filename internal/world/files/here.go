package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"yubin/internal/mail"
)

// here does what is asked for in a folder that this process has open.
type here struct {
	root     *os.Root
	path     string
	info     fs.FileInfo
	readOnly bool
}

func openHere(path string, readOnly bool) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, denied("open", path, err)
	}
	h := &here{root: root, path: path, readOnly: readOnly}
	if h.info, err = root.Stat("."); err == nil {
		err = trusted(path, h.info)
	}
	if err == nil {
		err = free(path, h.info)
	}
	if err != nil {
		return nil, errors.Join(denied("open", path, err), root.Close())
	}
	return FolderOf(path, h), nil
}

// Close implements Doer.
func (h *here) Close() error { return h.root.Close() }

// Do implements Doer.
func (h *here) Do(asks ...Ask) []Answer {
	out := make([]Answer, len(asks))
	for i, a := range asks {
		out[i] = h.do(a)
		if out[i].Err != nil {
			out[i].Err = denied(a.Op.verb(), filepath.Join(h.path, a.Name), out[i].Err)
		}
	}
	return out
}

func (h *here) do(a Ask) (out Answer) {
	if h.readOnly && a.Op.writes() {
		out.Err = &fs.PathError{Op: a.Op.verb(), Path: filepath.Join(h.path, a.Name), Err: syscall.EROFS}
		return out
	}
	switch a.Op {
	case OpStat:
		info, err := h.root.Lstat(a.Name)
		if out.Err = err; err == nil {
			out.Entry = EntryOf(info)
		}
	case OpOpen:
		out.File, out.Err = h.open(a.Name, a.Strict)
	case OpCreate:
		if out.Err = h.root.Remove(a.Name); out.Err == nil || errors.Is(out.Err, fs.ErrNotExist) {
			out.File, out.Err = h.root.OpenFile(a.Name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
	case OpLock:
		out.File, out.Err = h.lock(a.Name)
	case OpList:
		out.Err = h.list(a.Name, func(some []fs.DirEntry) error {
			out.List = append(out.List, some...)
			return nil
		})
	case OpFolder:
		out.Folder, out.Err = h.folder(a.Name)
	case OpMakeFolder:
		out.Err = h.root.Mkdir(a.Name, 0o700)
	case OpMakeFolders:
		out.Err = h.root.MkdirAll(a.Name, 0o700)
	case OpRename:
		out.Err = h.rename(a.Name, a.To, a.Time)
	case OpRemove:
		out.Err = h.root.Remove(a.Name)
	case OpRemoveAll:
		out.Err = h.root.RemoveAll(a.Name)
	case OpRestrict:
		out.Err = h.root.Chmod(a.Name, 0o700)
	case OpSync:
		out.Err = h.sync(a.Name)
	default:
		out.Err = mail.Errorf(mail.Invalid, "nothing of the number %d can be done with files", a.Op)
	}
	return out
}

func (h *here) open(name string, owned bool) (*os.File, error) {
	info, err := h.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := notRegular(name, info); err != nil {
		return nil, err
	}
	if owned && owner(info) != owner(h.info) {
		return nil, mail.Errorf(mail.Forbidden, "%s belongs to user %d, not to the owner of the folder", name, owner(info))
	}
	return regular(name, info, func() (*os.File, error) {
		return h.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	})
}

func (h *here) lock(name string) (*os.File, error) {
	if info, err := h.root.Lstat(name); err == nil {
		if err := notRegular(name, info); err != nil {
			return nil, err
		}
	}
	file, err := h.root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = notRegular(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return opened(name, info, file)
}

// listPiece is how many names are read at a time.
const listPiece = 512

// list calls fn for the entries of a folder, some at a time.
func (h *here) list(name string, fn func([]fs.DirEntry) error) error {
	if name != "." {
		info, err := h.root.Lstat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return mail.Errorf(mail.Forbidden, "%s is no folder", name)
		}
	}
	dir, err := h.root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil {
		err = free(filepath.Join(h.path, name), info)
	}
	for n := 0; err == nil; {
		var some []fs.DirEntry
		some, err = dir.ReadDir(listPiece)
		if n += len(some); n > MaxNames {
			return mail.Errorf(mail.TooLarge, "%s has over %d names", filepath.Join(h.path, name), MaxNames)
		}
		if fnErr := fn(some); fnErr != nil {
			return fnErr
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func (h *here) folder(name string) (*Folder, error) {
	info, err := h.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, mail.Errorf(mail.Forbidden, "%s is no folder", name)
	}
	path := filepath.Join(h.path, name)
	if err := free(path, info); err != nil {
		return nil, err
	}
	root, err := h.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	now, err := root.Stat(".")
	if err == nil && !os.SameFile(info, now) {
		err = mail.Errorf(mail.Forbidden, "%s was exchanged while it was opened", path)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return FolderOf(path, &here{root: root, path: path, info: now, readOnly: h.readOnly}), nil
}

func (h *here) rename(name, to string, at time.Time) error {
	if !at.IsZero() {
		if err := h.root.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	return h.root.Rename(name, to)
}

func (h *here) sync(name string) error {
	dir, err := h.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ListPieces is List, or ListSized, for who passes the names on: some at a time. The
// folder is one that this process has open.
func (f *Folder) ListPieces(name string, fn func([]fs.DirEntry) error) error {
	h, ok := f.doer.(*here)
	if !ok {
		return mail.Errorf(mail.Internal, "%s is not open in this process", f.path)
	}
	if err := h.list(name, fn); err != nil {
		return denied("list", filepath.Join(f.path, name), err)
	}
	return nil
}
