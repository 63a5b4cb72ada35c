package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"yubin/internal/testkit/mailclient"
)

// leaps are where the clock is set to under load, from what it should be.
var leaps = []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 0, 3650 * 24 * time.Hour, -3650 * 24 * time.Hour, 0}

var uidValidity = regexp.MustCompile(`UIDVALIDITY (\d+)`)

// TestClockJumps sets the clock of a server forwards and backwards under load.
// Mail goes on, UIDs ascend, UIDVALIDITY stays, sessions live, and mail for
// elsewhere waits or has been returned, as the clock has it; none is gone.
func TestClockJumps(t *testing.T) {
	s := startServer(t)
	s.stop()
	var off atomic.Int64
	h, err := openHouse(t, s.data, func() time.Time { return stepped(time.Now(), time.Duration(off.Load())) })
	if err != nil {
		t.Fatal(err)
	}
	idle := beginIdle(t, h.server)
	before := validity(t, h.server, "carol")
	l := newLedger()
	w := startTraffic(h.server, l, 1, 4, 2)
	var out []string
	far := false
	for i, leap := range leaps {
		out = append(out, submitOut(t, h.server, fmt.Sprintf("leap%d", i))...)
		off.Store(int64(leap))
		w.goesOn(t, choose(500, 30), 60*time.Second, fmt.Sprint("with the clock off by ", leap))
		if far = far || leap.Abs() > 5*24*time.Hour; !far { // Nothing is old enough to be given up.
			stillWaits(t, h, out)
		}
	}
	w.finish()
	if len(w.refused) > 0 || w.broken > 0 {
		t.Errorf("%d messages were refused and %d connections broke: %v", len(w.refused), w.broken, w.last())
	}
	if after := validity(t, h.server, "carol"); after != before {
		t.Errorf("UIDVALIDITY was %s and is %s", before, after)
	}
	if err := idle(); err != nil {
		t.Errorf("a session in IDLE: %v", err)
	}
	l.verify(t, h.server)
	waiting, returned := accounted(t, h, out)
	h.sound()
	if err := h.end(); err != nil {
		t.Error(err)
	}
	s.check()
	t.Logf("ledger: clock: %d jumps of up to 10 years; %d deliveries and %d commands acknowledged, all kept; %d messages for elsewhere wait, %d were returned",
		len(leaps), l.delivered, l.commands, waiting, returned)
}

// stepped is t as the system tells it after its clock was set: the wall clock
// jumps, the monotonic one beside it does not. Time.Add would move both.
func stepped(t time.Time, by time.Duration) time.Time {
	const monotonic, second = 1 << 63, 30 // package time: of the first word, a flag and the bit of a second
	words := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	if words.wall&monotonic == 0 {
		return t.Add(by)
	}
	words.wall += uint64(by/time.Second) << second
	return t
}

// TestStepped holds the trick to what it says.
func TestStepped(t *testing.T) {
	now := time.Now()
	for _, leap := range leaps {
		then := stepped(now, leap)
		if then.Sub(now) != 0 || then.Round(0).Sub(now.Round(0)) != leap {
			t.Errorf("off by %v: the clocks differ by %v, monotonic %v", leap, then.Round(0).Sub(now.Round(0)), then.Sub(now))
		}
	}
}

// beginIdle begins a session in IDLE. The function returned ends it.
func beginIdle(t *testing.T, s *server) func() error {
	t.Helper()
	c, err := login(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send("x IDLE"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var last string
	ended := make(chan error, 1)
	go func() {
		for {
			line, err := c.Line()
			mu.Lock()
			last = line
			mu.Unlock()
			if err != nil || strings.HasPrefix(line, "x ") {
				ended <- err
				return
			}
		}
	}()
	return func() error {
		defer c.Close()
		if err := c.Send("DONE"); err != nil {
			return err
		}
		err := <-ended
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !strings.HasPrefix(last, "x OK") {
			err = fmt.Errorf("it ended with %q", last)
		}
		return err
	}
}

func validity(t *testing.T, s *server, account string) string {
	t.Helper()
	c, err := login(s, account)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := ""
	if _, err := c.IMAP(false, func(r mailclient.Response) {
		if m := uidValidity.FindStringSubmatch(r.Text); m != nil {
			got = m[1]
		}
	}, "SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	return got
}

// submitOut submits three messages for elsewhere and returns their local parts.
func submitOut(t *testing.T, s *server, name string) []string {
	t.Helper()
	w := &witness{steps: map[string][]step{}}
	stop := make(chan struct{})
	w.after = func(n int) {
		if n == 3 {
			close(stop)
		}
	}
	if err := w.submits(s, name, stop); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, st := range w.steps[name] {
		out = append(out, st.out)
	}
	return out
}

// stillWaits checks that no mail was given up.
func stillWaits(t *testing.T, h *house, out []string) {
	t.Helper()
	there := h.queued()
	for _, local := range out {
		if !there[local] {
			t.Errorf("the message for %s waits no more", local)
		}
	}
}

// accounted checks that each message waits, or that a report of it came back.
func accounted(t *testing.T, h *house, out []string) (waiting, returned int) {
	t.Helper()
	there := h.queued()
	reports := ""
	for _, m := range h.messages("captured", "INBOX") {
		if strings.Contains(string(m), "multipart/report") {
			reports += string(m)
		}
	}
	for _, local := range out {
		switch {
		case there[local]:
			waiting++
		case strings.Contains(reports, local+"@elsewhere.example"):
			returned++
		default:
			t.Errorf("the message for %s neither waits nor was returned", local)
		}
	}
	return waiting, returned
}
