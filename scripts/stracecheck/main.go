// Command stracecheck watches a yubin with strace and checks that it never says
// that something is done before it is on disk: no 250 after a message, no
// tagged OK, no +OK on QUIT, no EXISTS leaves before the sync that makes it
// true has ended. scripts/strace-durable runs it.
//
//	stracecheck ./yubin
//
// It drives one command after another, notes what yubin answered, and finds in
// the trace the write of each answer, the writes to the WAL that hold the
// message or the change, the frame that commits them, and the fsync of the WAL
// between that frame and the answer. A large message is a file: this must be
// synced, named, and its folder synced before the WAL names it. At the end the
// syncs are taken out of the trace; then every single promise must be found
// broken, or the check would be worth nothing.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// limit bounds the whole run.
const limit = 2 * time.Minute

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: stracecheck YUBIN")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "stracecheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, yubin string) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "yubin-strace-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	hop, err := listenSink()
	if err != nil {
		return err
	}
	defer hop.Close()
	began := time.Now()
	s, err := start(ctx, strace, yubin, dir, hop.flags())
	if err != nil {
		return err
	}
	d := &drive{offset: s.offset, sink: hop}
	driven := d.all()
	trace, err := s.stop(ctx)
	if driven != nil {
		return driven
	}
	if err != nil {
		return err
	}
	return judge(trace, d.promises, time.Since(began))
}

// judge tells what the trace says of the promises.
func judge(trace []byte, promises []promise, took time.Duration) error {
	calls, err := parseTrace(bytes.NewReader(trace))
	if err != nil {
		return err
	}
	h, err := newHouse(calls)
	if err != nil {
		return err
	}
	if wrong := h.check(promises); len(wrong) > 0 {
		return fmt.Errorf("%d of %d promises were made before they were true:\n  %s", len(wrong), len(promises), strings.Join(wrong, "\n  "))
	}
	if found := len(withoutSyncs(h).check(promises)); found != len(promises) {
		return fmt.Errorf("without any sync only %d of %d promises are found broken: this check is worth nothing", found, len(promises))
	}
	fmt.Printf("%d promises by %d syncs among %d calls, all kept; without the syncs all would be broken (%.1f s)\n",
		len(promises), len(h.syncs), len(calls), took.Seconds())
	return nil
}

// withoutSyncs is the negative control.
func withoutSyncs(h *house) *house {
	return &house{calls: slices.Clone(h.calls), frames: h.frames}
}
