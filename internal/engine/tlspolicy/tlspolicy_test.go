package tlspolicy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/sqldb"
	"yubin/internal/world/web"
)

var start = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// world is a database, a DNS, a web and a clock.
type world struct {
	*testing.T
	p   *Policies
	db  *sqldb.DB
	dns *dnstest.Fake
	log bytes.Buffer

	mu      sync.Mutex
	now     time.Time
	pages   map[mail.Domain]page
	fetched []mail.Domain
	hold    chan struct{} // if not nil, a fetch waits until it is closed
}

type page struct {
	web.Page
	err error
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, db: dbtest.Open(t), dns: dnstest.NewFake("other.example. A 192.0.2.1\n"), now: start, pages: map[mail.Domain]page{}}
	w.p = w.open()
	return w
}

func (w *world) open() *Policies {
	p, err := Open(w.Context(), Options{DB: w.db, Resolver: w.dns, Fetcher: w, Now: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Get makes this the web.
func (w *world) Get(ctx context.Context, host mail.Domain, path string, most int64) (web.Page, error) {
	w.mu.Lock()
	w.fetched = append(w.fetched, host)
	p, known := w.pages[host]
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return web.Page{}, ctx.Err()
		}
	}
	switch {
	case path != mtasts.Path || most != mtasts.MaxSize:
		return web.Page{}, fmt.Errorf("asked for %s, %d", path, most)
	case !known:
		return web.Page{}, mail.Errorf(mail.Unavailable, "%s answers 404 Not Found", host)
	}
	return p.Page, p.err
}

// until waits for something.
func (w *world) until(done func() bool) {
	for !done() {
		if w.Context().Err() != nil {
			w.Fatal("it never came")
		}
		runtime.Gosched()
	}
}

// fetches are how many there were since the last call.
func (w *world) fetches() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.fetched)
	w.fetched = nil
	return n
}

// publish gives a domain a record and a policy.
func (w *world) publish(d mail.Domain, id string, p mtasts.Policy) {
	w.Helper()
	w.record(d, id)
	w.serve(d, page{Page: web.Page{Type: "text/plain", Body: []byte(p.String())}})
}

func (w *world) record(d mail.Domain, id string) {
	w.Helper()
	name, err := mtasts.RecordName(d)
	if err != nil {
		w.Fatal(err)
	}
	w.dns.Remove(name)
	if id == "" {
		return
	}
	if err := w.dns.Add(fmt.Sprintf("%s. TXT %q", name, mtasts.Record(id))); err != nil {
		w.Fatal(err)
	}
}

func (w *world) serve(d mail.Domain, p page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages["mta-sts."+d] = p
}

// want asks for the policy of a domain, which is to be so after so many fetches.
func (w *world) want(what string, d mail.Domain, holds bool, mode mtasts.Mode, fetches int) Found {
	w.Helper()
	f, err := w.p.Policy(w.Context(), d)
	n := w.fetches()
	if err != nil || f.Domain != d || f.Holds != holds || holds && f.Policy.Mode != mode || n != fetches {
		w.Errorf("%s: %+v, %v, after %d fetches; want holds %v, %s, after %d", what, f, err, n, holds, mode, fetches)
	}
	return f
}

func policy(mode mtasts.Mode, age time.Duration) mtasts.Policy {
	return mtasts.Policy{Mode: mode, MX: []string{"mx.a.example"}, MaxAge: age}
}

// TestPolicy: what is fetched when, and what holds (RFC 8461 §3.3, §5.1).
func TestPolicy(t *testing.T) {
	w := newWorld(t)
	const d, week = mail.Domain("a.example"), 7 * 24 * time.Hour
	if f := w.want("no record", d, false, 0, 0); f.Unsure {
		t.Error("it is sure that there is none")
	}
	w.publish(d, "1", policy(mtasts.Testing, week))
	f := w.want("the first", d, true, mtasts.Testing, 1)
	if f.ID != "1" || !f.Fetched.Equal(start) || !f.Expires.Equal(start.Add(week)) || !f.Next.Equal(start.Add(RefreshEvery)) || f.Trouble != NoTrouble {
		t.Errorf("%+v", f)
	}
	w.want("it is known", d, true, mtasts.Testing, 0)
	w.publish(d, "2", policy(mtasts.Enforce, week))
	w.want("another id, at once", d, true, mtasts.Testing, 0)
	w.pass(FailAgain)
	w.want("another id", d, true, mtasts.Enforce, 1)
	w.record(d, "")
	w.want("no record any more", d, true, mtasts.Enforce, 0)
	w.dns.Fail("_mta-sts.a.example", dns.TypeTXT, dns.ServFail)
	if f := w.want("the DNS does not answer", d, true, mtasts.Enforce, 0); f.Unsure {
		t.Error("what holds holds")
	}
	w.dns.Fail("_mta-sts.a.example", dns.TypeTXT, dns.None)
	w.record(d, "3")
	w.serve(d, page{err: mail.Errorf(mail.Unavailable, "mta-sts.a.example answers 500 Internal Server Error")})
	w.pass(FailAgain)
	f = w.want("a new one that cannot be fetched", d, true, mtasts.Enforce, 1)
	if f.Trouble != Unfetched || f.ID != "2" || f.Why != "mta-sts.a.example answers 500 Internal Server Error" || !f.Failed.Equal(w.now) {
		t.Errorf("%+v", f)
	}
	if list, err := w.p.Failing(t.Context(), w.now.Add(-time.Minute)); err != nil || len(list) != 0 {
		t.Errorf("failing for a minute: %v, %v", list, err)
	}
	if list, err := w.p.Failing(t.Context(), w.now); err != nil || len(list) != 1 || list[0].Domain != d || list[0].Why == "" {
		t.Errorf("failing: %v, %v", list, err)
	}
	w.pass(RefreshAgain - time.Second)
	w.want("not again so soon", d, true, mtasts.Enforce, 0)
	w.pass(time.Second)
	w.want("again", d, true, mtasts.Enforce, 1)
	w.pass(week)
	f = w.want("it is over, and there is no other", d, false, 0, 1)
	if !f.Unsure || f.Trouble != Unfetched {
		t.Errorf("%+v", f)
	}
	w.publish(d, "3", policy(mtasts.None, week))
	w.want("soon", d, false, 0, 0)
	w.pass(FailAgain)
	if f := w.want("at last", d, true, mtasts.None, 1); f.Trouble != NoTrouble || f.Why != "" || !f.Failed.IsZero() {
		t.Errorf("%+v", f)
	}
}

// TestNone: what is no policy, and what is remembered of it.
func TestNone(t *testing.T) {
	w := newWorld(t)
	text := []byte(policy(mtasts.Enforce, time.Hour).String())
	for i, c := range []struct {
		page    page
		trouble Trouble
		why     string
	}{
		{page{err: mail.Errorf(mail.Unavailable, "no answer")}, Unfetched, "no answer"},
		{page{err: &mail.Error{Kind: mail.Forbidden, Text: "not \x1bits", Err: web.ErrCertificate}}, Uncertified, "not \\u001bits"},
		{page{err: mail.Errorf(mail.Unavailable, "%s", strings.Repeat("x", 10_000))}, Unfetched, strings.Repeat("x", maxWhy)},
		{page{Page: web.Page{Type: "text/html", Body: text}}, Unreadable, "what mta-sts.d3.example has there is not text/plain"},
		{page{Page: web.Page{Body: text}}, Unreadable, "what mta-sts.d4.example has there is not text/plain"},
		{page{Page: web.Page{Type: "text/plain", Body: []byte("version: STSv2\n")}}, Unreadable, "line 1 of the policy: the version is not STSv1"},
	} {
		d := mail.Domain(fmt.Sprintf("d%d.example", i))
		w.record(d, "1")
		w.serve(d, c.page)
		f := w.want(c.why, d, false, 0, 1)
		if f.Trouble != c.trouble || f.Why != c.why || !f.Unsure {
			t.Errorf("%+v", f)
		}
		w.want(c.why+" (not again)", d, false, 0, 0)
	}
	for _, bad := range []string{"v=STSv1; id=a-b", "v=STSv2; id=1", "hello"} {
		w.dns.Remove("_mta-sts.other.example")
		if err := w.dns.Add(fmt.Sprintf("_mta-sts.other.example. TXT %q", bad)); err != nil {
			t.Fatal(err)
		}
		if f := w.want(bad, "other.example", false, 0, 0); f.Unsure {
			t.Errorf("%q is no record", bad)
		}
	}
	w.dns.Fail("_mta-sts.ill.example", dns.TypeTXT, dns.Timeout)
	if f := w.want("the DNS does not answer", "ill.example", false, 0, 0); !f.Unsure {
		t.Error("who knows")
	}
	w.want("an address", "[192.0.2.1]", false, 0, 0)
}

// TestShortAge: a policy that is over at once counts for the mail that waited for it, and
// is fetched for the next.
func TestShortAge(t *testing.T) {
	w := newWorld(t)
	w.publish("a.example", "1", policy(mtasts.Enforce, 0))
	w.want("the first", "a.example", true, mtasts.Enforce, 1)
	w.want("the second", "a.example", true, mtasts.Enforce, 1)
}

// TestFetchIsShared by all who wait, and there are MaxFetches at a time.
func TestFetchIsShared(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.hold = hold
	var g sync.WaitGroup
	for i := range MaxFetches {
		d := mail.Domain(fmt.Sprintf("d%d.example", i))
		w.publish(d, "1", policy(mtasts.Enforce, time.Hour))
		for range 3 {
			g.Go(func() {
				if f, err := w.p.Policy(t.Context(), d); err != nil || !f.Holds {
					t.Errorf("%+v, %v", f, err)
				}
			})
		}
	}
	w.until(func() bool { return len(w.p.turns) == MaxFetches }) // All of them wait for the web.
	w.publish("late.example", "1", policy(mtasts.Enforce, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	g.Go(func() {
		if f, err := w.p.Policy(ctx, "late.example"); err != nil || f.Holds || !f.Unsure || f.Trouble != NoTrouble {
			t.Errorf("one more: %+v, %v", f, err)
		}
	})
	w.until(func() bool {
		w.p.mu.Lock()
		defer w.p.mu.Unlock()
		return len(w.p.flights) == MaxFetches+1
	})
	cancel()
	w.until(func() bool {
		w.p.mu.Lock()
		defer w.p.mu.Unlock()
		return len(w.p.flights) == MaxFetches
	})
	close(hold)
	g.Wait()
	if n := w.fetches(); n != MaxFetches {
		t.Errorf("%d fetches", n)
	}
	w.want("when there is room", "late.example", true, mtasts.Enforce, 1)
}

// TestDue: what is used is fetched anew before it is over, by one of several nodes.
func TestDue(t *testing.T) {
	w := newWorld(t)
	const month = 31 * 24 * time.Hour
	due := func(what string, p *Policies, fetches int) {
		t.Helper()
		if err := p.Due(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.fetches(); n != fetches {
			t.Errorf("%s: %d fetches, want %d", what, n, fetches)
		}
	}
	w.publish("a.example", "1", policy(mtasts.Enforce, 2*month))
	w.want("the first", "a.example", true, mtasts.Enforce, 1)
	due("fresh", w.p, 0)
	w.pass(RefreshEvery)
	w.record("a.example", "") // It is fetched whatever the DNS says.
	hold := make(chan struct{})
	w.hold = hold
	other := w.open()
	done := make(chan error, 1)
	go func() { done <- w.p.Due(t.Context()) }()
	w.until(func() bool { return len(w.p.turns) > 0 })
	if err := other.Due(t.Context()); err != nil { // It has it not, or this would wait for ever.
		t.Fatal(err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := w.fetches(); n != 1 {
		t.Errorf("%d nodes fetched it", n)
	}
	f, err := w.p.Known(t.Context(), "a.example")
	if err != nil || !f.Fetched.Equal(w.now) || f.ID != "1" || !f.Expires.Equal(w.now.Add(2*month)) {
		t.Errorf("%+v, %v", f, err)
	}

	w.serve("a.example", page{err: mail.Errorf(mail.Unavailable, "out of order")})
	for range 50 { // Two days of failures.
		w.pass(RefreshAgain)
		if err := w.p.Due(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.fetches(); n < 24 || n > 30 {
		t.Errorf("%d fetches in two days of failures, the first of them without", n)
	}
	if n := strings.Count(w.log.String(), "cannot be fetched anew"); n != 2 {
		t.Errorf("told %d times:\n%s", n, w.log.String())
	}
	w.want("it holds all the same", "a.example", true, mtasts.Enforce, 0)
	w.pass(KeepUnused + time.Hour)
	due("nobody wrote there for a month", w.p, 0)
	w.pass(2 * month)
	due("over", w.p, 0)
	if f, err := w.p.Known(t.Context(), "a.example"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestByHand: what an administrator sees and does.
func TestByHand(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if f, err := w.p.Refresh(ctx, "a.example"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("%+v, %v", f, err)
	}
	for _, d := range []mail.Domain{"b.example", "a.example", "xn--bcher-kva.example"} {
		w.publish(d, "7", policy(mtasts.Enforce, time.Hour))
		if f, err := w.p.Refresh(ctx, d); err != nil || !f.Holds {
			t.Errorf("%+v, %v", f, err)
		}
	}
	list, err := w.p.List(ctx, "")
	if err != nil || len(list) != 3 || list[0].Domain != "a.example" || list[2].Domain != "xn--bcher-kva.example" {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := w.p.List(ctx, "a.example"); err != nil || len(list) != 2 || list[0].Domain != "b.example" {
		t.Errorf("%v, %v", list, err)
	}
	if err := w.p.Forget(ctx, "a.example"); err != nil {
		t.Error(err)
	}
	if err := w.p.Forget(ctx, "a.example"); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
	w.serve("b.example", page{err: mail.Errorf(mail.Unavailable, "out of order")})
	if f, err := w.p.Refresh(ctx, "b.example"); err != nil || !f.Holds || f.Why != "out of order" {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestTrim: what holds nothing goes first, then what was least recently used.
func TestTrim(t *testing.T) {
	w := newWorld(t)
	for i, d := range []mail.Domain{"a.example", "b.example", "c.example", "d.example"} {
		w.publish(d, "1", policy(mtasts.Enforce, 100*24*time.Hour))
		if d == "c.example" {
			w.serve(d, page{err: mail.Errorf(mail.Unavailable, "out of order")})
		}
		w.want("a row", d, i != 2, mtasts.Enforce, 1)
		w.pass(time.Hour)
	}
	w.pass(usedEvery)
	w.want("used again", "a.example", true, mtasts.Enforce, 0)
	w.trimTo(4, "a b c d")
	w.trimTo(3, "a b d")
	w.trimTo(2, "a d")
	w.trimTo(1, "a")
}

func (w *world) trimTo(most int, want string) {
	w.Helper()
	if err := w.db.Write(w.Context(), func(tx *sqldb.Tx) error { return trim(tx, most) }); err != nil {
		w.Fatal(err)
	}
	list, err := w.p.List(w.Context(), "")
	var names []string
	for _, f := range list {
		names = append(names, strings.TrimSuffix(string(f.Domain), ".example"))
	}
	if got := strings.Join(names, " "); err != nil || got != want {
		w.Errorf("trimmed to %d: %q, %v, want %q", most, got, err, want)
	}
}

// TestUnwritable: a database that cannot be written keeps no mail from its way, nor has
// it go where it must not.
func TestUnwritable(t *testing.T) {
	w := newWorld(t)
	w.publish("a.example", "1", policy(mtasts.Enforce, 100*24*time.Hour))
	w.want("the first", "a.example", true, mtasts.Enforce, 1)
	w.publish("b.example", "1", policy(mtasts.Enforce, time.Hour))
	w.record("c.example", "1")
	release := w.db.Hold(mail.Errorf(mail.Unavailable, "the disk is full"))
	w.pass(usedEvery)
	w.want("what is kept", "a.example", true, mtasts.Enforce, 0)
	w.want("what is fetched", "b.example", true, mtasts.Enforce, 1)
	w.want("what cannot be fetched", "c.example", false, 0, 1)
	if n := strings.Count(w.log.String(), "cannot be written"); n != 2 {
		t.Errorf("told %d times:\n%s", n, w.log.String())
	}
	release()
	w.want("again", "b.example", true, mtasts.Enforce, 1)
	w.want("it is known", "b.example", true, mtasts.Enforce, 0)
}

// TestDamagedRow: what cannot be read is fetched again.
func TestDamagedRow(t *testing.T) {
	w := newWorld(t)
	w.publish("a.example", "1", policy(mtasts.Enforce, time.Hour))
	w.want("the first", "a.example", true, mtasts.Enforce, 1)
	if err := w.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		tx.Do(`UPDATE tlspolicy SET policy = 'version: 9', trouble = 77`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.want("again", "a.example", true, mtasts.Enforce, 1)
}

// TestRun ends with its context, after what is due.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.publish("a.example", "1", policy(mtasts.Enforce, time.Hour))
	w.want("the first", "a.example", true, mtasts.Enforce, 1)
	w.pass(time.Hour / 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.p.Run(ctx); close(done) }()
	w.until(func() bool { return w.fetches() > 0 })
	cancel()
	<-done
}
