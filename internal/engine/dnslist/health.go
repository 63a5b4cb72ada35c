package dnslist

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"yubin/internal/dns"
)

// When a list is believed. It takes several trials to come back, so that a list
// that answers now and then is not asked now and then.
const (
	Passes    = 3                // trials in a row that bring a list back
	Failures  = 10               // lookups in a row without an answer that put it out of use
	Interval  = 10 * time.Minute // between trials of a list that is in order
	Doubtful  = time.Minute      // between trials of one that is not
	TrialTime = 10 * time.Second // of all lookups of one trial
)

// health is what is known of a list.
type health struct {
	mu       sync.Mutex
	tried    time.Time // zero: never
	out      bool
	reason   string
	passes   int // in a row, while it is out
	failures int // lookups in a row without an answer
}

// change is what is to be told.
type change struct {
	happened, asked bool
	reason          string
}

func (h *health) inOrder() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.out && !h.tried.IsZero()
}

// used takes the outcome of a lookup for a message.
func (h *health) used(o Outcome, trouble string) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o {
	case Refused:
		return h.putOut(trouble)
	case NoAnswer:
		if h.failures++; h.failures >= Failures {
			return h.putOut(trouble)
		}
	default:
		h.failures = 0
	}
	return change{}
}

func (h *health) putOut(reason string) change {
	h.passes, h.failures, h.reason = 0, 0, reason
	if h.out {
		return change{}
	}
	h.out = true
	return change{happened: true, reason: reason}
}

// trialled takes the outcome of a trial; trouble is "" if it passed.
func (h *health) trialled(now time.Time, trouble string) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = now
	if trouble != "" {
		return h.putOut(trouble)
	}
	h.passes++
	if !h.out || h.passes < Passes {
		return change{}
	}
	h.out, h.reason, h.failures = false, "", 0
	return change{happened: true, asked: true}
}

func (h *health) state(name string) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := State{List: name, Asked: !h.out && !h.tried.IsZero(), Reason: h.reason, Tried: h.tried}
	if h.tried.IsZero() {
		s.Reason = "it was not tried yet"
	}
	return s
}

// Try tries all lists once. Who asks for a single message calls it before.
func (l *Lists) Try(ctx context.Context, now time.Time) {
	var all sync.WaitGroup
	for _, list := range l.lists {
		all.Go(func() { l.try(ctx, list, now) })
	}
	all.Wait()
}

func (l *Lists) try(ctx context.Context, list *listed, now time.Time) {
	bounded, cancel := context.WithTimeout(ctx, TrialTime)
	defer cancel()
	trouble := ""
	for _, t := range list.trials() {
		if trouble = l.trial(bounded, list, t); trouble != "" {
			break
		}
	}
	if ctx.Err() == nil { // We stop: that says nothing about the list.
		l.tell(list, list.health.trialled(now, trouble))
	}
}

// trial asks for one entry. It returns what is wrong, or "".
func (l *Lists) trial(ctx context.Context, list *listed, t trial) string {
	name, err := list.Zone.Under(t.name)
	if err != nil {
		return fmt.Sprintf("%s is no name below %s", t.name, list.Zone)
	}
	answer, err := l.o.Resolver.A(ctx, name)
	found := err == nil
	switch {
	case err != nil && !dns.FailureOf(err).NotFound():
		return "it does not answer: " + dns.FailureOf(err).String()
	case found && t.listed:
		return firstRefusal(answer.Records)
	case found:
		if trouble := firstRefusal(answer.Records); trouble != "" {
			return trouble
		}
		return fmt.Sprintf("it lists %s: it may list everything", t.name)
	case t.listed:
		return fmt.Sprintf("it does not list %s, which every list has for trials: it may be empty", t.name)
	}
	return ""
}

func firstRefusal(records []netip.Addr) string {
	for _, a := range records[:min(len(records), MaxCodes)] {
		if trouble := refusal(a); trouble != "" {
			return trouble
		}
	}
	return ""
}

// Run tries the lists until ctx ends: at once, then each after its interval.
func (l *Lists) Run(ctx context.Context) {
	if len(l.lists) == 0 {
		return
	}
	l.Try(ctx, time.Now())
	ticks := time.NewTicker(Doubtful)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			var all sync.WaitGroup
			for _, list := range l.lists {
				if s := list.health.state(list.Name); !s.Asked || now.Sub(s.Tried) >= Interval {
					all.Go(func() { l.try(ctx, list, now) })
				}
			}
			all.Wait()
		}
	}
}
