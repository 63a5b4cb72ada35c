package main

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// head says when, on what and how.
func (b *bench) head() string {
	var s strings.Builder
	fmt.Fprintf(&s, "# Results\n\nWritten by `go run ./bench run`: measured, not edited. %s, %s, %s after its start.\n\n",
		b.began.UTC().Format(time.DateOnly), plural(b.Rounds, "round"), time.Since(b.began).Round(time.Second))
	fmt.Fprintf(&s, "%s/%s, %d cores (%s), %s of memory, Linux %s, scratch on %s, %s.\n\n", runtime.GOOS, runtime.GOARCH, b.cores, processor(), memory(), kernel(), filesystem(b.dir), runtime.Version())
	s.WriteString("A figure is the median of the rounds, then the least and the most of them. \"times X\" is how many times better yubin is than X: " +
		"more of what is wanted, less of what is not. In every round each contestant has its turn with the same load; the others run and are idle.\n\n")
	for _, v := range b.versions {
		fmt.Fprintf(&s, "- %s\n", v)
	}
	if len(b.shares) > 0 {
		s.WriteString("\nThe load generator shares the machine. It took at most")
		for i, name := range slices.Sorted(maps.Keys(b.shares)) {
			if i > 0 {
				s.WriteString(",")
			}
			fmt.Fprintf(&s, " %.0f %% of the processors' time against %s", b.shares[name], name)
		}
		s.WriteString(".\n")
	}
	return s.String()
}

func processor() string { return field("/proc/cpuinfo", "model name") }

func memory() string { return field("/proc/meminfo", "MemTotal") }

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

// field is what stands after "key ...:" in a file of lines.
func field(name, key string) string {
	b, _ := os.ReadFile(name)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func filesystem(dir string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return "an unknown file system"
	}
	switch st.Type {
	case 0xEF53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683E:
		return "btrfs"
	case 0x01021994:
		return "tmpfs: nothing here is durable"
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
