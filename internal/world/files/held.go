package files

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"yubin/internal/mail"
)

// held are the files that this process has open for itself. It is the one state
// of the package that all share, as the locks of the system that it guards are
// the whole process's: whichever descriptor of a file is closed, all POSIX locks
// that the process has on the file are gone (close(2), fcntl(2)).
var held = struct {
	sync.Mutex
	files map[identity]*hold
}{files: make(map[identity]*hold)}

// identity is which file a file is, whatever its name.
type identity struct{ device, inode uint64 }

// hold is why nothing else here may open a file.
type hold struct {
	name  string
	times int
	late  []*os.File // opened all the same, as somebody exchanged files: to be closed with the hold
}

// Hold keeps all else in this process from opening the files and folders at
// paths, under any name, until release. SQLite works with POSIX locks: somebody
// who closed a descriptor of its file would let others in, who then take the
// WAL away under it. What is not there is not held.
func Hold(paths ...string) (release func()) {
	held.Lock()
	defer held.Unlock()
	var mine []identity
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		id := identify(info)
		if held.files[id] == nil {
			held.files[id] = &hold{name: path}
		}
		held.files[id].times++
		mine = append(mine, id)
	}
	return sync.OnceFunc(func() {
		held.Lock()
		defer held.Unlock()
		for _, id := range mine {
			h := held.files[id]
			if h.times--; h.times > 0 {
				continue
			}
			for _, f := range h.late {
				_ = f.Close()
			}
			delete(held.files, id)
		}
	})
}

func identify(info fs.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{uint64(st.Dev), uint64(st.Ino)}
}

// free reports an error if what info is of is held.
func free(path string, info fs.FileInfo) error {
	held.Lock()
	defer held.Unlock()
	return heldError(path, held.files[identify(info)])
}

func heldError(path string, h *hold) error {
	if h == nil {
		return nil
	}
	return mail.Errorf(mail.Forbidden, "%s is %s, which this server works with", path, h.name)
}

// opened returns file if it is not held and info is of it, else closes it; one that
// is held stays open as long as it is.
func opened(path string, info fs.FileInfo, file *os.File) (*os.File, error) {
	now, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	held.Lock()
	h := held.files[identify(now)]
	if h != nil {
		h.late = append(h.late, file)
	}
	held.Unlock()
	if h != nil {
		return nil, heldError(path, h)
	}
	if !os.SameFile(info, now) {
		return nil, errors.Join(mail.Errorf(mail.Forbidden, "%s was exchanged while it was opened", path), file.Close())
	}
	return file, nil
}

// OpenInput opens what the operator named to be read, a pipe too, but nothing that
// is held.
func OpenInput(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &mail.Error{Kind: mail.NotFound, Text: "there is no file " + path, Err: err}
	}
	if err != nil {
		return nil, err
	}
	if err := free(path, info); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return opened(path, info, file)
}

// Adopt takes over a file that another process opened under a name and handed to this
// one. It is a regular one, and none that is held: that stays open as long as it is.
func Adopt(name string, file *os.File) (*os.File, error) {
	info, err := file.Stat()
	if err == nil {
		err = notRegular(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return opened(name, info, file)
}
