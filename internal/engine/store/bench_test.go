package store_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

const benchAccounts = 1000

// benchBody is about 4 KiB of lines that no other message has.
func benchBody(n int64) string {
	var b [3000]byte
	_, _ = rand.Read(b[:])
	s := base64.StdEncoding.EncodeToString(b[:])
	var lines []string
	for len(s) > 76 {
		lines, s = append(lines, s[:76]), s[76:]
	}
	return text(fmt.Sprintf("bench%d", n), "Minutes of the meeting", strings.Join(lines, "\r\n"))
}

func benchHouse(b *testing.B) *house {
	h := newHouse(b)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range benchAccounts {
			if err := h.CreateAccount(tx, mail.AccountID(i+1)); err != nil {
				return err
			}
		}
		return nil
	}))
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.db.Run(run) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return h
}

// BenchmarkDeliver files 4 KiB messages, each for one of 1000 accounts.
// Compare with BenchmarkRawCommit: the same disk and writer, one insert each.
func BenchmarkDeliver(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			h := benchHouse(b)
			messages := make([]string, min(b.N, 4096))
			for i := range messages {
				messages[i] = benchBody(int64(i))
			}
			var n atomic.Int64
			b.ResetTimer()
			cpu := cpuTime()
			each(callers, b.N, func() {
				i := n.Add(1)
				h.deliver(messages[int(i)%len(messages)][:4000]+fmt.Sprint(i), h.inbox(mail.AccountID(i*7919%benchAccounts+1)))
			})
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-cpu)/1000/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkDeliverReply files 4 KiB messages that answer earlier ones, so that each
// joins a thread.
func BenchmarkDeliverReply(b *testing.B) {
	h := benchHouse(b)
	octets := benchBody(0)[:4000]
	for i := range benchAccounts {
		h.deliver(text("first", "Minutes of the meeting", "b"), h.inbox(mail.AccountID(i+1)))
	}
	var n atomic.Int64
	b.ResetTimer()
	cpu := cpuTime()
	each(8, b.N, func() {
		i := n.Add(1)
		h.deliver(fmt.Sprintf("In-Reply-To: <first@example.org>\r\nX-Number: %d\r\n%s", i, octets), h.inbox(mail.AccountID(i*7919%benchAccounts+1)))
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-cpu)/1000/float64(b.N), "cpu-µs/op")
}

// BenchmarkRawCommit is the limit that group commit sets on this disk.
func BenchmarkRawCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			h := benchHouse(b)
			h.must(h.db.Migrate(ctx, "raw", []string{`CREATE TABLE raw (id {id}, octets {blob} NOT NULL)`}))
			octets := []byte(benchBody(0))[:4096]
			b.ResetTimer()
			cpu := cpuTime()
			each(callers, b.N, func() {
				h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
					_, err := tx.Insert(`INSERT INTO raw (octets) VALUES ($1)`, octets)
					return err
				}))
			})
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-cpu)/1000/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// each has callers goroutines call fn n times in all.
func each(callers, n int, fn func()) {
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n; i += callers {
				fn()
			}
		})
	}
	wg.Wait()
}

// cpuTime is the processor time that this process took.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
