package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// long reports whether the long form of the tests is asked for.
func long() bool { return os.Getenv("YUBIN_LONG") != "" }

// choose is the one for the long form, or the one for the short.
func choose[T any](forLong, forShort T) T {
	if long() {
		return forLong
	}
	return forShort
}

// seeded is a source of randomness whose seed the log has.
func seeded(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// within polls until what is asked for is so, or fails the test.
func within(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !so(); {
		select {
		case <-end:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}

// traffic delivers by SMTP and appends, flags, moves and expunges by IMAP until it
// is stopped, whatever the server says: what is refused is tried no more, and
// broken connections are made again. All is in the ledger.
type traffic struct {
	s    *server
	l    *ledger
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	refused  map[string]string // by key: what the server said
	broken   int               // connections
	acked    int               // deliveries and appends
	slowest  time.Duration     // that an acknowledgement took
	quickest time.Duration
	lastErr  error
}

func newLedger() *ledger { return &ledger{messages: map[string]*record{}} }

// Traffics are told apart by a number.
func startTraffic(s *server, l *ledger, number, smtp, imap int) *traffic {
	w := &traffic{s: s, l: l, stop: make(chan struct{}), refused: map[string]string{}}
	for i := range smtp {
		w.keepOn(func(n int) error { return w.delivers(fmt.Sprintf("s%d.%d.%d", number, i, n), uint64(number*1000+i)) })
	}
	for i := range imap {
		w.keepOn(func(n int) error { return w.appends(fmt.Sprintf("i%d.%d.%d", number, i, n), uint64(number*1000+500+i)) })
	}
	return w
}

func (w *traffic) stopped() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

// keepOn runs one connection after another. n is their number.
func (w *traffic) keepOn(connection func(n int) error) {
	w.wg.Go(func() {
		for n := 0; !w.stopped(); n++ {
			if err := connection(n); err != nil && !w.stopped() {
				w.mu.Lock()
				w.broken++
				w.lastErr = err
				w.mu.Unlock()
				<-time.After(20 * time.Millisecond)
			}
		}
	})
}

// finish stops the traffic and waits for it.
func (w *traffic) finish() {
	close(w.stop)
	w.wg.Wait()
}

// progress is how many were acknowledged.
func (w *traffic) progress() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// goesOn waits until so many more are acknowledged.
func (w *traffic) goesOn(t testing.TB, more int, limit time.Duration, when string) {
	t.Helper()
	from := w.progress()
	within(t, limit, fmt.Sprintf("%d acknowledgements %s; last: %v", more, when, w.last()), func() bool { return w.progress() >= from+more })
}

func (w *traffic) last() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastErr
}

// answered takes what the server said to one message.
func (w *traffic) answered(began time.Time, err error, keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		took := time.Since(began)
		w.slowest = max(w.slowest, took)
		if w.acked == 0 || took < w.quickest {
			w.quickest = took
		}
		w.acked++
		return
	}
	if strings.Contains(err.Error(), "the server said") {
		for _, key := range keys {
			w.refused[key] = err.Error()
		}
	}
}

// delivers sends messages to alice, to bob or to both over one connection.
func (w *traffic) delivers(name string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	c, err := mailclient.Dial("127.0.0.1", w.s.port(portMX), false)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	if err := c.Command("250", "EHLO crash.test"); err != nil {
		return err
	}
	for n := 0; !w.stopped(); n++ {
		if err := w.deliverOne(c, fmt.Sprintf("%s.%d", name, n), rng); err != nil {
			return err
		}
	}
	return nil
}

func (w *traffic) deliverOne(c *mailclient.Conn, id string, rng *rand.Rand) error {
	to := [][]string{{"alice"}, {"bob"}, {"alice", "bob"}}[rng.IntN(3)]
	body := testMessage(id, rng)
	var keys []string
	for _, account := range to {
		keys = append(keys, account+" "+id)
		w.l.begin(account+" "+id, body, "INBOX")
	}
	began := time.Now()
	err := deliver(c, to, body)
	w.answered(began, err, keys...)
	if err != nil {
		return err
	}
	for _, key := range keys {
		w.l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = "INBOX", "" })
	}
	w.l.count(1, 0)
	return nil
}

func (l *ledger) count(delivered, commands int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered += delivered
	l.commands += commands
}

// appends puts messages into carol's INBOX and does something to each.
func (w *traffic) appends(name string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	c, err := login(w.s, "carol")
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 0; !w.stopped(); n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		key := "carol " + id
		body := testMessage(id, rng)
		w.l.begin(key, body, "INBOX")
		began := time.Now()
		ok, err := c.Append("INBOX", "", body)
		w.answered(began, err, key)
		if err != nil {
			return err
		}
		w.l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = "INBOX", "" })
		if err := w.l.change(c, key, appendUID.FindStringSubmatch(ok)[1], rng.IntN(4)); err != nil {
			return err
		}
		w.l.count(0, 2)
	}
	return nil
}

// refusedAreGone checks that nothing is visible of what was refused.
func (w *traffic) refusedAreGone(t *testing.T) {
	t.Helper()
	all := map[string]found{}
	for _, account := range []string{"alice", "bob", "carol"} {
		if err := collect(t, w.s, account, "INBOX", all); err != nil {
			t.Fatalf("reading INBOX of %s: %v", account, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, said := range w.refused {
		if _, there := all[key]; there {
			t.Errorf("%s is visible; it was refused: %s", key, said)
		}
	}
}

// refusals is how many were refused so far.
func (w *traffic) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.refused)
}
