package heap

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// beside is what the process takes at most besides Go's heap, in octets: the
// caches of the database and the program itself.
const beside = 96 << 20

// Limit returns what Go's memory limit should be, in octets, so that a process
// in a control group that may have only so much memory is not killed; 0 if there is
// no such bound. root is the file system, "/".
func Limit(root fs.FS) int64 {
	most := bound(root)
	if most == 0 {
		return 0
	}
	return max(most/4, most/10*9-beside)
}

// bound is the least bound of the control groups that the process is in,
// version 2 or 1.
func bound(root fs.FS) (least int64) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		folder, file := "sys/fs/cgroup", "memory.max"
		if controllers != "" {
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if controllers != "" && controllers != "memory" {
			continue
		}
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			text, _ := fs.ReadFile(root, path.Join(folder, dir, file))
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
			if err == nil && n > 0 && n < unbounded && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// unbounded is more than any machine has: what version 1 says for no bound.
const unbounded = 1 << 60
