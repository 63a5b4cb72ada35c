package main

import (
	"fmt"
	"os"
	"time"

	"yubin/internal/world/obs"
)

// How often progress is shown.
const (
	terminalEvery = 200 * time.Millisecond
	plainEvery    = 10 * time.Second // when the output is no terminal: a line each
)

// progress shows on the standard error output how far a long command is: on a
// terminal in one line that changes.
type progress struct {
	out      *os.File
	terminal bool
	now      func() time.Time
	started  time.Time
	shown    time.Time
}

func newProgress(e *env, now func() time.Time) *progress {
	t := now()
	return &progress{out: e.console, terminal: isTerminal(e.console), now: now, started: t, shown: t}
}

// show tells that n are done, if it is time to.
func (p *progress) show(n int) {
	p.tell(func(running time.Duration) string {
		return fmt.Sprintf("%d done, %.0f a second", n, float64(n)/running.Seconds())
	})
}

// tell shows a text, if it is time to.
func (p *progress) tell(text func(running time.Duration) string) {
	now := p.now()
	every := plainEvery
	if p.terminal {
		every = terminalEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	p.clear()
	fmt.Fprint(p.out, obs.Printable(text(now.Sub(p.started))))
	if !p.terminal {
		fmt.Fprintln(p.out)
	}
}

// clear takes the line away, so that another can be written.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) end() { p.clear() }
