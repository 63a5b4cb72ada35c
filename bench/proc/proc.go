// Package proc reads from /proc what processes cost: processor time, octets
// written, memory. A tree is a process with all its descendants; what children
// that have ended cost is in the figures of the parent that waited for them.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of processor time in /proc/PID/stat: Linux shows hundredths
// of a second on every architecture that Go knows.
const tick = 10 * time.Millisecond

// Usage is what a tree has cost since it began, and the memory it has now.
type Usage struct {
	CPU       time.Duration // user and system
	Written   int64         // octets handed to the disk's write-back (write_bytes)
	RSS       int64         // resident; pages that processes share are counted in each
	PSS       int64         // resident; pages that processes share are counted once in all
	Peak      int64         // the most that was resident, of each process (VmHWM)
	Processes int
}

// Sub returns what was spent between an earlier reading and u; memory and
// processes are those of u.
func (u Usage) Sub(earlier Usage) Usage {
	u.CPU -= earlier.CPU
	u.Written -= earlier.Written
	return u
}

// Spent reads processor time and octets written of the trees under roots.
func Spent(roots ...int) Usage {
	var u Usage
	for _, pid := range Tree(roots...) {
		u.CPU += cpu(pid)
		u.Written += written(pid)
		u.Processes++
	}
	return u
}

// Memory reads the memory of the trees under roots. It walks every page table,
// so it is no thing to do while a clock runs.
func Memory(roots ...int) Usage {
	var u Usage
	for _, pid := range Tree(roots...) {
		rss, pss := memory(pid)
		u.RSS += rss
		u.PSS += pss
		u.Peak += number(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:") << 10
		u.Processes++
	}
	return u
}

// Tree lists roots and their descendants that run.
func Tree(roots ...int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		if pid, f := fields(name); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	var all []int
	seen := map[int]bool{}
	var walk func(int)
	walk = func(pid int) {
		if pid <= 0 || seen[pid] {
			return
		}
		seen[pid] = true
		all = append(all, pid)
		for _, c := range children[pid] {
			walk(c)
		}
	}
	for _, r := range roots {
		walk(r)
	}
	return all
}

// fields splits a stat file after the name of the program, which may have
// spaces in it: state, parent and so on.
func fields(name string) (pid int, f []string) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, nil
	}
	pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(name)))
	return pid, strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

func cpu(pid int) time.Duration {
	_, f := fields(fmt.Sprintf("/proc/%d/stat", pid))
	if len(f) < 15 {
		return 0
	}
	var sum int64
	for _, s := range f[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(s, 10, 64)
		sum += n
	}
	return time.Duration(sum) * tick
}

func written(pid int) int64 {
	return number(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:")
}

func memory(pid int) (rss, pss int64) {
	name := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	return number(name, "Rss:") << 10, number(name, "Pss:") << 10
}

// number finds the value of a key in a file of lines.
func number(name, key string) int64 {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// SelfCPU is the processor time that this process has used, without children.
func SelfCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// FolderSize sums the octets that the files of a folder take on the disk.
func FolderSize(folder string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			sum += blocks(info)
		}
		return ignoreGone(err)
	})
	return sum, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// blocks is what a file takes on the disk.
func blocks(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
