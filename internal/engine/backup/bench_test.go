package backup_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"yubin/internal/engine/backup"
)

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMake backs up 4,000 messages of 3,000 octets: into a new folder, and into one
// that has them all.
func BenchmarkMake(b *testing.B) {
	h := newHouse(b)
	h.fill(h.account("alice"), 4000, 0)
	for _, name := range []string{"first", "unchanged"} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "backup")
			h.backup(path, nil)
			var s backup.Snapshot
			var used time.Duration
			for b.Loop() {
				if name == "first" {
					path = filepath.Join(b.TempDir(), "backup")
				}
				began := processorTime(b)
				s = h.backup(path, nil)
				used += processorTime(b) - began
			}
			b.SetBytes(s.Octets())
			b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
