package crashfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"yubin/internal/testkit/straceread"
)

// recorded are the calls that matter to a disk, and those in which clients ask
// and are answered. Those with ? are not on every machine.
const recorded = "read,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range," +
	"?open,openat,?creat,?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat," +
	"ftruncate,truncate,fallocate,sendfile,splice,copy_file_range"

const (
	maxString = "16777216" // octets of a write that strace keeps
	endGap    = 20 * time.Millisecond
)

// Recorder is a process whose calls are written down.
type Recorder struct {
	Cmd    *exec.Cmd // the process itself; strace is its child
	root   string
	trace  string
	before map[string]*file
	fault  bool
}

// Record prepares to run a program on the folder root and to write its calls
// into scratch; the caller sets Cmd's output, starts it, and calls Finish when
// it has ended. What is in root now counts as safe on disk. A fault happens
// from the start, on all files; the zero Fault is none.
func Record(ctx context.Context, scratch, root string, f Fault, program string, args ...string) (*Recorder, error) {
	if len(f.Paths) > 0 {
		return nil, errors.New("a recording sees all files, so that its faults cannot be on some")
	}
	r := &Recorder{root: filepath.Clean(root), trace: filepath.Join(scratch, "trace"), fault: f.Calls != ""}
	var err error
	if r.before, err = readAll(r.root); err != nil {
		return nil, err
	}
	// With -D the tracer is the grandchild, and the child the program itself.
	options := []string{"-D", "-f", "--seccomp-bpf", "-yy", "-s", maxString, "-o", r.trace}
	if r.fault {
		options = append(options, f.args()...)
	}
	options = append(options, "-e", "trace="+recorded, "-e", "signal=KILL", program) // It says that of the end, too.
	r.Cmd = exec.CommandContext(ctx, "strace", append(options, args...)...)
	return r, nil
}

// Finish reads the trace once the process has ended.
func (r *Recorder) Finish(ctx context.Context) (*Disk, error) {
	last := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +\+\+\+ (exited with|killed by) .* \+\+\+$`, r.Cmd.Process.Pid))
	for {
		end, err := tail(r.trace)
		if err != nil {
			return nil, err
		}
		if last.MatchString(end) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("strace does not end its trace")
		case <-time.After(endGap):
		}
	}
	f, err := os.Open(r.trace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	calls, err := straceread.Parse(f)
	if err != nil {
		return nil, err
	}
	return newDisk(r.root, r.before, calls)
}

func tail(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	b := make([]byte, min(info.Size(), 4096))
	_, err = f.ReadAt(b, info.Size()-int64(len(b)))
	return string(b), err
}

// readAll reads the files and folders below root. A folder that is not there is empty.
func readAll(root string) (map[string]*file, error) {
	all := map[string]*file{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == root:
			return nil
		case err != nil:
			return err
		case d.IsDir():
			all[name] = &file{folder: true}
		case d.Type().IsRegular() && !left(name):
			b, err := os.ReadFile(name)
			all[name] = &file{safe: b}
			return err
		}
		return nil
	})
	return all, err
}

// left reports whether a file is left out: the next process makes it anew.
func left(name string) bool { return strings.HasSuffix(name, "-shm") }
