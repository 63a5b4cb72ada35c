package files

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Owner is the user whom a file or folder belongs to; false if there is none.
func Owner(name string) (uid int, ok bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// Readable reports whether a user, of these groups, may open the file and read it. It
// is known to root, and to that user.
func Readable(name string, uid, gid int, groups []int) (may, known bool) {
	if os.Geteuid() == uid {
		return opens(name)
	}
	if os.Geteuid() != 0 {
		return false, false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // Never unlocked: the thread that became somebody else ends with this goroutine.
		if become(uid, gid, groups) == nil {
			may, known = opens(name)
		}
	}()
	<-done
	return may, known
}

// become makes this thread the user's as far as files go. The kernel then takes root's
// rights over files from it.
func become(uid, gid int, groups []int) error {
	list := make([]uint32, 0, len(groups)+1)
	for _, g := range groups {
		list = append(list, uint32(g))
	}
	list = append(list, uint32(gid))
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	if err := unix.Setfsgid(gid); err != nil {
		return err
	}
	return unix.Setfsuid(uid)
}

func opens(name string) (may, known bool) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		_ = f.Close()
		return true, true
	}
	return false, errors.Is(err, fs.ErrPermission)
}
