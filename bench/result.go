package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// result is what one row measured.
type result struct {
	Row     string
	Count   int           // messages, or operations where the row says so
	Elapsed time.Duration // from the first connection to the last answer
	P50     time.Duration // of the time one message took
	P99     time.Duration
	RSS     int64 // octets the server had in memory at the end; 0 if not known
	Peak    int64 // the most it had since it started
}

func (r result) perSecond() float64 { return float64(r.Count) / r.Elapsed.Seconds() }

// samples collects durations from many goroutines.
type samples struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	s.all = append(s.all, d)
	s.mu.Unlock()
}

// result sorts the samples and makes the row.
func (s *samples) result(row string, elapsed time.Duration, pid int) result {
	slices.Sort(s.all)
	r := result{Row: row, Count: len(s.all), Elapsed: elapsed, P50: s.at(0.50), P99: s.at(0.99)}
	r.RSS, r.Peak = memory(pid)
	return r
}

func (s *samples) at(q float64) time.Duration {
	if len(s.all) == 0 {
		return 0
	}
	return s.all[min(int(q*float64(len(s.all))), len(s.all)-1)]
}

// memory reads the resident set of a process and its peak, in octets.
func memory(pid int) (rss, peak int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if pid == 0 || err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d", &kib); n == 1 {
			rss = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d", &kib); n == 1 {
			peak = kib << 10
		}
	}
	return rss, peak
}

func printHeader(w io.Writer) {
	fmt.Fprintf(w, "| %-44s | %9s | %9s | %9s | %9s | %8s | %8s |\n", "row", "messages", "per s", "p50", "p99", "RSS MiB", "peak MiB")
	fmt.Fprintf(w, "|%s|%s|%s|%s|%s|%s|%s|\n", dashes(46), dashes(11), dashes(11), dashes(11), dashes(11), dashes(10), dashes(10))
}

func dashes(n int) string { return strings.Repeat("-", n) }

func (r result) print(w io.Writer) {
	fmt.Fprintf(w, "| %-44s | %9d | %9.0f | %9s | %9s | %8s | %8s |\n", r.Row, r.Count, r.perSecond(),
		short(r.P50), short(r.P99), mib(r.RSS), mib(r.Peak))
}

func short(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func mib(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n >> 20)
}
