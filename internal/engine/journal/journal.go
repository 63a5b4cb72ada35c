// Package journal is the memory of what came in: every message that was taken
// and every recipient or message that was refused, found again by an address, a
// Message-ID or a session. It answers "why did it not arrive" also for mail
// that never was in the queue.
//
// It is a memory aid, not custody: entries gather in a buffer that Run writes
// each second and at its end, and are not synced. A crash may lose the last
// second of the journal, never mail. When the disk cannot follow, entries are
// dropped and counted, and nobody waits.
//
// # Files
//
// The folder has files of JSON lines, named for the day in UTC on which they
// were written and a number: 2026-07-25-0001.jsonl. One that grows over
// maxFile is followed by the next number. Files whose day is longer ago than
// Options.Keep are removed, and the oldest when all are over MaxSize or over one
// part in FreeShare of what the disk has free without them: strangers, whose
// refusals stand here, must not fill the disk that mail needs.
//
//	state                     a crash leaves                who cleans up
//	added                     nothing                       -
//	written, not synced       all, or after a power loss a  the next write begins a new line; Find
//	                          torn line or zeros            passes over what is not an entry, and the
//	                                                        log says over how much
//
// Find reads the files backwards and looks for the octets of what is sought
// before it decodes a line: there is no index to keep.
//
// It deliberately knows no protocol, and says nothing of what becomes of a
// message later; that is the queue's and the store's to tell.
package journal

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"yubin/internal/world/files"
)

// DefaultKeep is how long entries are remembered.
const DefaultKeep = 30 * 24 * time.Hour

// Limits and sizes, in octets.
const (
	MaxSize       = 8 << 30 // of all files; beyond it the oldest go
	MaxText       = 1024    // of one text of an entry; what is longer is cut
	MaxVerdict    = 4096    // of the verdict of an entry
	MaxRecipients = 1000    // of one entry
	FreeShare     = 20      // the files are at most so small a part of the free space of their disk
	maxFile       = 256 << 20
	minFile       = 64 << 10
	sweepAt       = 16 << 20  // written since the last look at the free space
	maxBuffer     = 4 << 20   // entries that wait for the disk
	flushAt       = 256 << 10 // Run writes before its second is over
)

// Times.
const (
	flushEvery = time.Second
	tellEvery  = time.Minute // of entries that were dropped
	sweepEvery = time.Hour
)

// Options say what a Journal is made of.
type Options struct {
	Now  func() time.Time
	Log  *slog.Logger  // nil drops
	Keep time.Duration // 0 means DefaultKeep
	// Free tells how much may still be written where the folder is, if that is
	// known; nil asks the system.
	Free func(path string) (octets uint64, ok bool)
}

// Journal is the memory of what came in. Safe for concurrent use.
type Journal struct {
	o    Options
	full chan struct{} // the buffer is worth writing

	mu      sync.Mutex
	buf     []byte // lines not written yet
	spare   []byte // the other buffer, empty
	dropped int64  // not told yet

	// One writer at a time.
	writing  sync.Mutex
	files    folder
	told     time.Time // of dropped entries
	failures error     // the last, not told yet
}

// Open takes the folder, making it if it is not there. It starts nothing; see
// Run. Without Run it can be searched.
func Open(path string, o Options) (*Journal, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.Free == nil {
		o.Free = files.Free
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return &Journal{o: o, full: make(chan struct{}, 1), files: folder{path: path, max: maxFile}}, nil
}

// Keep is how long entries are remembered.
func (j *Journal) Keep() time.Duration { return j.o.Keep }

// Add remembers e. It never waits for the disk: entries beyond what the buffer
// holds are dropped, and the log says how many.
func (j *Journal) Add(e Entry) {
	j.mu.Lock()
	before := len(j.buf)
	if before < maxBuffer {
		j.buf = appendLine(j.buf, &e)
	}
	after := len(j.buf)
	if before == after || after > maxBuffer {
		j.buf = j.buf[:before]
		j.dropped++
	}
	j.mu.Unlock()
	if before < flushAt && after >= flushAt {
		select {
		case j.full <- struct{}{}:
		default:
		}
	}
}

// Run writes what was added, until ctx ends and all of it is written.
func (j *Journal) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	j.sweep()
	for swept := j.o.Now(); ; {
		select {
		case <-ctx.Done():
			j.flush()
			j.end()
			return
		case <-tick.C:
		case <-j.full:
		}
		written := j.flush()
		now := j.o.Now()
		if since := now.Sub(swept); since >= sweepEvery || since < 0 || written >= sweepAt {
			j.sweep()
			swept = now
		}
	}
}

// flush writes what waits, and says how many octets were written since the last
// sweep.
func (j *Journal) flush() (written int64) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	lines := j.buf
	j.buf, j.spare = j.spare[:0], nil
	j.mu.Unlock()
	now := j.o.Now()
	err := j.files.write(now, lines)
	j.mu.Lock()
	j.spare = lines[:0]
	if err != nil {
		j.failures = err
		j.dropped += countLines(lines)
	}
	j.mu.Unlock()
	j.tell(now)
	return j.files.written
}

// tell logs what was dropped, not too often. j.writing is held.
func (j *Journal) tell(now time.Time) {
	if since := now.Sub(j.told); since >= 0 && since < tellEvery {
		return
	}
	j.mu.Lock()
	n := j.dropped
	j.dropped = 0
	j.mu.Unlock()
	if n == 0 {
		return
	}
	j.told = now
	j.o.Log.Warn("entries of the journal were dropped; mail is not harmed", "entries", n, "err", j.failures)
	j.failures = nil
}

// end closes the file.
func (j *Journal) end() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.told = time.Time{}
	j.tell(j.o.Now())
	j.files.close()
}

// limit is how many octets the files may have that have so many now.
func (j *Journal) limit(now int64) int64 {
	free, ok := j.o.Free(j.files.path)
	if !ok {
		return MaxSize
	}
	return int64(min(MaxSize, (free+uint64(now))/FreeShare))
}

// sweep removes old files.
func (j *Journal) sweep() {
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.files.sweep(j.o.Now().Add(-j.o.Keep), j.limit); err != nil {
		j.o.Log.Warn("old files of the journal cannot be removed", "err", err)
	}
}
