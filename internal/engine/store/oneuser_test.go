package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// TestOneUserIsNotAll: one user has very many messages with 64 keywords each and
// copies, moves, tags and expunges all of them, while others deliver to fifty
// accounts. The writer is never held for long, so that deliveries wait little;
// and memory does not follow the size of the mailbox. With YUBIN_LONG there are
// 300,000 messages.
func TestOneUserIsNotAll(t *testing.T) {
	many, holds := 10_000, 500*time.Millisecond // Beside other tests even a moment can be long.
	if os.Getenv("YUBIN_LONG") != "" {
		many, holds = 300_000, 100*time.Millisecond
	}
	var mu sync.Mutex
	var held, synced []time.Duration // the writer, by each batch; of that, its commit
	dir := t.TempDir()
	db := dbtest.Open(t, func(o *sqldb.Options) {
		o.Observe = func(c sqldb.Commit) {
			mu.Lock()
			defer mu.Unlock()
			held, synced = append(held, c.Took), append(synced, c.Sync)
		}
	})
	h := &house{t: t, db: db, dir: dir, clock: time.Unix(1_700_000_000, 0)}
	var err error
	h.blobs, err = blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	h.must(err)
	h.Store, err = store.Open(ctx, store.Options{DB: db, Blobs: h.blobs, Now: h.now})
	h.must(err)
	run, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(run) })
	defer wg.Wait()
	defer stop()

	const others = 50
	for a := range others + 1 {
		h.account(mail.AccountID(a + 1))
	}
	inbox, archive := h.box(1, mail.Inbox).ID, h.box(1, "Archive").ID
	for done := 0; done < many; done += store.MaxFilings {
		f := store.Filing{Account: 1, Role: mail.RoleInbox, Received: h.now()}
		for i := range 10 { // Ten emails, each in a hundred places.
			f.Prefix = fmt.Appendf(nil, "X-Number: %d\r\n", done+i)
			h.deliver(fmt.Sprint("m", done), slices.Repeat([]store.Filing{f}, store.MaxFilings/10)...)
		}
	}
	h.view(inbox)
	var names []string
	for i := range mail.MaxKeywords {
		names = append(names, fmt.Sprintf("%0124d", i))
	}
	words, err := mail.ParseKeywords(names...)
	h.must(err)
	all := mail.UIDSet{{First: 1, Last: 1<<32 - 1}}

	var waits []time.Duration
	quit := make(chan struct{})
	var deliverers sync.WaitGroup
	for w := range 4 {
		deliverers.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-quit:
					return
				default:
				}
				begun := time.Now()
				h.deliver(fmt.Sprint("news ", i), h.inbox(mail.AccountID(i%others+2)))
				mu.Lock()
				waits = append(waits, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	for _, op := range []struct {
		name string
		run  func() error
	}{
		{"STORE", func() error { _, err := h.SetFlags(ctx, inbox, all, store.FlagChange{Keywords: words}); return err }},
		{"COPY", func() error { _, err := h.Copy(ctx, inbox, all, archive); return err }},
		{"MOVE", func() error { _, err := h.Move(ctx, inbox, all, archive); return err }},
		{"EXPUNGE", func() error { _, err := h.ExpungeAny(ctx, archive, all); return err }},
	} {
		mu.Lock()
		held, synced, waits = nil, nil, nil
		mu.Unlock()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
		begun, cpu := time.Now(), cpuTime()
		h.must(op.run())
		took := time.Since(begun)
		cpu = cpuTime() - cpu
		mu.Lock()
		h, w := quantile(held, 0.999), quantile(waits, 0.999)
		t.Logf("%s of %d: %v, %v of processors; writer held %v (most %v), for commits %v, by %d batches; %d deliveries waited %v (most %v); resident %d MiB",
			op.name, many, took.Round(time.Millisecond), cpu.Round(time.Millisecond), h, quantile(held, 1), quantile(synced, 0.999), len(held),
			len(waits), w, quantile(waits, 1), resident())
		if h > holds {
			t.Errorf("%s: the writer is held for %v", op.name, h)
		}
		if len(waits) == 0 && took > holds {
			t.Errorf("%s: nobody else's mail came in", op.name)
		}
		mu.Unlock()
	}
	close(quit)
	deliverers.Wait()
	if n := h.view(archive).Len() + h.view(inbox).Len(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	h.check()
}

func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[min(int(float64(len(list))*q), len(list)-1)].Round(100 * time.Microsecond)
}

// resident is the most memory that the process had since clear_refs, in MiB.
func resident() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return n >> 10
}
