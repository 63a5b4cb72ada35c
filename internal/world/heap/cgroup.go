package heap

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

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
