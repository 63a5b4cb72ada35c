package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
	yubin "yubin/internal/server"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/crashfs"
	"yubin/internal/world/config"
)

// house is a server in this process, on the data folder of s.
type house struct {
	*server
	client *admin.Client
	end    func() error
}

// openHouse starts a server in this process. It carries nothing: its resolver
// does not answer.
func openHouse(t *testing.T, data string, now func() time.Time) (*house, error) {
	h := &house{server: &server{t: t, data: data, offset: freeOffset(t), log: &lockedBuffer{}}}
	c := config.Local(data, h.offset)
	c.Admin.Address, c.Capture = "", mail.Address{}
	c.DNS.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	s, err := yubin.New(context.Background(), c, yubin.Deps{Log: slog.New(slog.NewJSONHandler(h.log, nil)), Now: now, Version: "test"})
	if err != nil {
		return nil, err
	}
	h.client = admin.InProcess(s.Admin())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	h.end = func() error {
		cancel()
		return <-done
	}
	return h, nil
}

// sound runs the deep check, which must find nothing.
func (h *house) sound() {
	h.t.Helper()
	if err := h.client.Check(context.Background(), true, func(p string) { h.t.Errorf("check: %s", p) }); err != nil {
		h.t.Errorf("check: %v", err)
	}
}

// queued is the local parts of the recipients that mail waits for.
func (h *house) queued() map[string]bool {
	h.t.Helper()
	all := map[string]bool{}
	for after := ""; ; {
		page, err := h.client.QueueList(context.Background(), admin.QueueFilter{}, after, 500)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, d := range page.Items {
			a, err := mail.ParseAddress(d.Recipient)
			if err != nil {
				h.t.Fatal(err)
			}
			all[a.Local] = true
		}
		if after = page.Next; after == "" {
			return all
		}
	}
}

// recorded is a server that ran with load under strace.
type recorded struct {
	disk *crashfs.Disk
	w    *witness
}

// recordServer lets a server on a new folder make its first start, and then records
// it under load.
func recordServer(t *testing.T, f crashfs.Fault, spell time.Duration, seed uint64) recorded {
	t.Helper()
	s := startServer(t)
	s.stop()
	r, err := crashfs.Record(t.Context(), t.TempDir(), s.data, f, binary, "localserve", "--data", s.data,
		"--listen-offset", strconv.Itoa(s.offset), "--resolver", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = r.Cmd
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.waitForPort(portPOP3S); err != nil {
		t.Fatalf("%v\n%s", err, tail(s.log.String(), 2000))
	}
	w := &witness{steps: map[string][]step{}}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	tell := func(err error) {
		if err != nil && !isClosed(stop) && f.Calls == "" {
			t.Error(err)
		}
	}
	for i := range 4 {
		wg.Go(func() { tell(w.delivers(s, fmt.Sprintf("s%d", i), seed+uint64(i), stop)) })
	}
	wg.Go(func() { tell(w.submits(s, "o0", stop)) })
	wg.Go(func() { tell(w.appends(s, seed, stop)) })
	if long() { // Enough for checkpoints under way.
		wg.Go(func() { tell(w.deliversBulk(s, "bulk", stop)) })
	}
	<-time.After(spell)
	close(stop)
	wg.Wait()
	if f.Calls == "" {
		s.stop() // With a checkpoint.
	} else {
		s.stopOnBadDisk()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	disk, err := r.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return recorded{disk, w}
}

// TestPowerLoss records a server under load and works out what power losses at
// many moments would leave: what was synced, and of the rest nothing, all, or
// any part. From each state the server must start with everything that it had
// acknowledged by then.
func TestPowerLoss(t *testing.T) {
	losses, acked := 0, 0
	for range choose(6, 1) {
		losses, acked = losePower(t, crashfs.Fault{}, choose(6*time.Second, 1500*time.Millisecond), choose(60, 20), losses, acked)
	}
	t.Logf("ledger: power loss: %d states, at most %d acknowledgements before one, all kept", losses, acked)
}

// TestPowerLossAfterFailedSync is the same where every sixth sync fails. The
// octets that it should have made safe are lost, as on Linux, although later
// syncs succeed.
func TestPowerLossAfterFailedSync(t *testing.T) {
	faults := []crashfs.Fault{
		{Calls: "fdatasync,fsync", Error: "EIO", When: "40+6"},
		{Calls: "fdatasync", Error: "EIO", When: "20+3"}, // Of the WAL.
		{Calls: "fsync", Error: "EIO", When: "20+3"},     // Of the database, message files and folders.
	}
	losses, acked := 0, 0
	for _, f := range faults[:choose(3, 1)] {
		losses, acked = losePower(t, f, choose(6*time.Second, 1500*time.Millisecond), choose(100, 20), losses, acked)
	}
	t.Logf("ledger: power loss after failed syncs: %d states, at most %d acknowledgements before one, all kept", losses, acked)
}

// losePower records once and tries so many moments, in order.
func losePower(t *testing.T, f crashfs.Fault, spell time.Duration, moments, losses, acked int) (int, int) {
	t.Helper()
	rng := seeded(t)
	r := recordServer(t, f, spell, rng.Uint64())
	calls := r.disk.Calls
	heard := newTestimony()
	next := 0
	for _, line := range r.disk.Moments(moments, rng) {
		for ; next < len(calls) && calls[next].Begin < line; next++ {
			heard.hear(calls[next])
		}
		luck := crashfs.Luck(rng.IntN(int(crashfs.Lucks)))
		l, outgoing := r.w.ledger(heard)
		if !r.survives(t, line, luck, rng, l, outgoing) {
			t.Fatalf("power loss at line %d of %d, %s", line, calls[len(calls)-1].End, luck)
		}
		losses++
		acked = max(acked, l.delivered)
	}
	if acked == 0 {
		t.Error("nothing was acknowledged: the test tells nothing")
	}
	return losses, acked
}

// survives starts a server from the state after a power loss.
func (r recorded) survives(t *testing.T, line int, luck crashfs.Luck, rng *rand.Rand, l *ledger, outgoing []string) bool {
	t.Helper()
	state, err := r.disk.After(line, luck, rng)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	defer func() { _ = os.RemoveAll(data) }()
	if err := state.Write(data); err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t, data, time.Now)
	if err != nil {
		t.Errorf("the server does not start: %v", err)
		return false
	}
	defer func() {
		if t.Failed() {
			t.Logf("the log of the server after the power loss:\n%s", tail(h.log.String(), 4000))
		}
	}()
	l.verify(t, h.server)
	there := h.queued()
	for _, out := range outgoing {
		if !there[out] {
			t.Errorf("the message for %s was acknowledged, and is not in the queue", out)
		}
	}
	h.sound()
	if err := h.end(); err != nil {
		t.Error(err)
	}
	return !t.Failed()
}
