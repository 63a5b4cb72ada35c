package queue

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

// house is a queue over a store in a folder, with a courier, a router and a
// reporter that tests direct. All methods are safe for concurrent use.
type house struct {
	*Queue
	t   testing.TB
	dir string
	on  sqldb.Options // where the database is

	shared bool // other processes could have the database too

	db    *sqldb.DB
	store *store.Store
	spool *spool.Spool

	mu      sync.Mutex
	rng     *rand.Rand
	answer  func(hop mail.NextHop, to mail.OutgoingRecipient) mail.Attempt // what a remote says; nil takes all
	during  func(mail.NextHop, mail.Transaction)                           // runs while a job is carried
	routes  map[mail.Domain]error                                          // what the router refuses
	via     map[string]string                                              // names of routes
	carried []string                                                       // "time recipient outcome"
	taken   map[string]int                                                 // by subject and recipient
	reports []Report
	made    func(Report, io.Writer) (letter, error)
	seen    []Observation
	stop    func() // ends Run

	after    func()                                         // runs when a remote has answered
	tried    func(subject string, r mail.OutgoingRecipient) // a recipient is carried; the lock is held
	answered func(subject string, r mail.OutgoingRecipient, a mail.Attempt)
	options  func(*Options)
	observe  func(Observation)
}

// inBubble runs fn with a house in a bubble where time is ours: once with a queue
// that is alone, and once with one that shares its database. At the end everything
// must check clean.
func inBubble(t *testing.T, fn func(h *house)) {
	t.Helper()
	t.Run("alone", func(t *testing.T) { bubble(t, false, fn) })
	if testing.Short() { // Days of a lease that is renewed take long under the race detector.
		return
	}
	t.Run("shared", func(t *testing.T) { bubble(t, true, fn) })
}

// bubble is inBubble with a queue of one kind.
func bubble(t *testing.T, shared bool, fn func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, shared)
		h.open()
		defer h.close()
		fn(h)
	})
}

// newHouse is a house with a database of its own, which is not open yet.
func newHouse(t testing.TB, shared bool) *house {
	return &house{t: t, dir: t.TempDir(), on: dbtest.Options(t), shared: shared}
}

func (h *house) open() {
	h.t.Helper()
	var err error
	h.db, err = sqldb.Open(ctx, h.on)
	h.must(err)
	blobs, err := blob.Open(filepath.Join(h.dir, "blobs"), crand.Reader)
	h.must(err)
	h.store, err = store.Open(ctx, store.Options{DB: h.db, Blobs: blobs, Holders: []store.Holder{spool.Held}, Now: time.Now})
	h.must(err)
	h.spool, err = spool.Open(ctx, spool.Options{DB: h.db, Store: h.store})
	h.must(err)
	if h.taken == nil {
		h.taken = map[string]int{}
		h.rng = rand.New(rand.NewPCG(1, 2))
	}
	h.Queue = h.queue("node", !h.shared)
}

// queue opens a queue over the house; there can be several.
func (h *house) queue(name string, alone bool) *Queue {
	o := Options{DB: h.db, Store: h.store, Spool: h.spool, Courier: h, Router: h, Reporter: h, Now: time.Now,
		Rand: h.random, Observe: h.observed, Name: name, Alone: alone}
	if h.options != nil {
		h.options(&o)
	}
	q, err := Open(ctx, o)
	h.must(err)
	return q
}

// lives bounds how long mail is tried, before anything is sent: days of it take a queue that
// is shared, and renews its leases, long.
func (h *house) lives(d time.Duration) {
	h.options = func(o *Options) { o.Schedule.Lifetime = d }
	h.Queue = h.queue("node", !h.shared)
}

func (h *house) random() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.Float64()
}

func (h *house) observed(o Observation) {
	h.mu.Lock()
	h.seen = append(h.seen, o)
	h.mu.Unlock()
	if h.observe != nil {
		h.observe(o)
	}
}

func (h *house) close() {
	h.t.Helper()
	if h.stop != nil {
		h.stop()
	}
	h.check()
	h.must(h.db.Close())
}

// full has the database refuse to remove deliveries, as if its disk were full, or no
// longer do so.
func (h *house) full(yes bool) {
	h.t.Helper()
	statements := []string{`CREATE TRIGGER full BEFORE DELETE ON queue_delivery BEGIN SELECT raise(ABORT, 'disk full'); END`}
	switch {
	case dbtest.OnServer() && yes:
		statements = []string{
			`CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''disk full''; END'`,
			`CREATE TRIGGER no_room BEFORE DELETE ON queue_delivery FOR EACH ROW EXECUTE FUNCTION no_room()`}
	case dbtest.OnServer():
		statements = []string{`DROP TRIGGER no_room ON queue_delivery`}
	case !yes:
		statements = []string{`DROP TRIGGER full`}
	}
	for _, s := range statements {
		h.damage(s)
	}
}

// run starts the queue; stop or close ends it.
func (h *house) run() {
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Queue.Run(run); err != nil {
			h.t.Error(err)
		}
	})
	h.stop = func() { cancel(); wg.Wait(); h.stop = nil }
}

// pass lets time pass until all that is due by then is done.
func (h *house) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (h *house) check() {
	h.t.Helper()
	report := func(p string) { h.t.Error("check: " + p) }
	h.must(h.Queue.Check(ctx, report))
	h.must(h.spool.Check(ctx, report))
	h.must(h.store.CheckDeep(ctx, report))
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v (%v)", err, mail.KindOf(err))
	}
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func to(addresses ...string) (list []Recipient) {
	for _, a := range addresses {
		list = append(list, Recipient{OutgoingRecipient: mail.OutgoingRecipient{Address: address(a)}})
	}
	return list
}

func notify(n mail.Notify, list []Recipient) []Recipient {
	for i := range list {
		list[i].Notify = n
	}
	return list
}

// from is an item without anything unusual.
func from(sender string) (it spool.Item) {
	if sender != "" {
		it.ReversePath = mail.ReversePath(address(sender))
	}
	return it
}

// send spools a message with a subject.
func (h *house) send(subject string, it spool.Item, list []Recipient) spool.ItemID {
	h.t.Helper()
	in := h.store.NewIncoming()
	defer in.Close()
	_, err := in.Write([]byte("Subject: " + subject + "\r\n\r\nbody\r\n"))
	h.must(err)
	it.MessageID = "<" + subject + "@test>"
	_, id, err := h.accept(in, nil, it, list)
	h.must(err)
	return id
}

// accept does what engine/intake does for one item.
func (h *house) accept(in *store.Incoming, filings []store.Filing, it spool.Item, list []Recipient) (filed []store.Filed, id spool.ItemID, err error) {
	_, err = in.Finish()
	h.must(err)
	known, err := OctetsOf(in)
	h.must(err)
	it.Prefix = in.Before(it.Prefix)
	it.Size = int64(len(it.Prefix)) + in.Size()
	filed, err = h.store.Deliver(ctx, store.Posting{Message: in, Filings: filings,
		Decide: func(store.Refused) (int, error) { return 1, nil },
		Also: func(tx *sqldb.Tx, _ []store.Filed, held []store.BlobRef) (err error) {
			it.Blob = held[0]
			id, err = h.Add(tx, it, list, known)
			return err
		}})
	return filed, id, err
}

// NextHop is the exchangers of the domain, or "via" as a host.
func (h *house) NextHop(_ context.Context, q Question) (Hop, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.routes[q.Recipient.Domain]; err != nil {
		return Hop{}, err
	}
	if q.Via == "nowhere" {
		return Hop{}, mail.Errorf(mail.NotFound, "there is no route nowhere")
	}
	if q.Via != "" {
		return Hop{NextHop: mail.NextHop{Kind: mail.HopLMTP, Hosts: []mail.HostPort{{Host: mail.Domain(q.Via), Port: 24}}}, Route: "via-" + q.Via}, nil
	}
	return Hop{NextHop: mail.NextHop{Kind: mail.HopMX, Domain: q.Recipient.Domain}, Route: h.via[string(q.Recipient.Domain)]}, nil
}

// Carry answers as the test says.
func (h *house) Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) (results []mail.Result) {
	subject := h.read(t)
	h.mu.Lock()
	during := h.during
	h.mu.Unlock()
	if during != nil {
		during(hop, t)
	}
	if ctx.Err() != nil {
		return nil
	}
	defer func() {
		if h.after != nil {
			h.after()
		}
	}()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range t.Recipients {
		if h.tried != nil {
			h.tried(subject, r)
		}
		a := delivered()
		if h.answer != nil {
			a = h.answer(hop, r)
		}
		if a.Outcome == 0 {
			results = append(results, mail.Result{})
			continue
		}
		a.At = time.Now()
		h.carried = append(h.carried, fmt.Sprintf("%s %s %s", time.Now().Format("15:04:05"), r.Address, a.Outcome))
		if a.Outcome == mail.Delivered {
			h.taken[subject+" "+r.Address.String()]++
		}
		if h.answered != nil {
			h.answered(subject, r, a)
		}
		results = append(results, mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}})
	}
	return results
}

// read reads the message, as the remote does, and returns its subject.
func (h *house) read(t mail.Transaction) string {
	c, err := t.Content()
	if err != nil {
		h.t.Error("content:", err)
		return ""
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil || int64(len(b)) != t.Size {
		h.t.Errorf("content has %d octets of %d: %v", len(b), t.Size, err)
	}
	_, rest, _ := bytes.Cut(b, []byte("Subject: "))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(line)
}

// letter is a report that the house wrote.
type letter struct {
	Filings    []store.Filing
	Item       spool.Item
	Recipients []Recipient
}

// Tell reports in a line to the sender.
func (h *house) Tell(_ context.Context, r Report, also func(*sqldb.Tx, Made) error) (Made, error) {
	in := h.store.NewIncoming()
	defer in.Close()
	l, err := h.write(r, in)
	if err != nil {
		return Made{}, err
	}
	l.Item.Priority, l.Item.About = r.Item.Priority, r.Item.ID
	if r.Item.Report != spool.NoReport {
		l.Item.About = r.Item.About
	}
	made := Made{Form: l.Item.Report, Filed: len(l.Filings) > 0}
	_, err = h.store.Deliver(ctx, store.Posting{Message: in, Filings: l.Filings,
		Decide: func(store.Refused) (int, error) { return min(len(l.Recipients), 1), nil },
		Also: func(tx *sqldb.Tx, _ []store.Filed, held []store.BlobRef) (err error) {
			if len(l.Recipients) > 0 {
				l.Item.Blob, l.Item.Size = held[0], in.Size()
				if made.Item, err = h.Add(tx, l.Item, l.Recipients, nil); err != nil {
					return err
				}
			}
			return also(tx, made)
		}})
	return made, err
}

func (h *house) write(r Report, w io.Writer) (letter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.made != nil {
		return h.made(r, w)
	}
	h.reports = append(h.reports, r)
	return spooledReport(r, w)
}

func spooledReport(r Report, w io.Writer) (letter, error) {
	_, err := io.WriteString(w, "Subject: report "+words(r)+"\r\n\r\n")
	return letter{Recipients: []Recipient{{
		OutgoingRecipient: mail.OutgoingRecipient{Address: mail.Address(r.Item.ReversePath), Notify: mail.NotifyNever}}}}, err
}

var actionNames = [...]string{"", "failed", "delayed", "delivered", "relayed", "expanded"}

// words sums up a report: "failed a@x.test expired, delayed b@x.test".
func words(r Report) string {
	var parts []string
	for _, t := range r.Recipients {
		s := actionNames[t.Action] + " " + t.Address.String()
		if t.Expired {
			s += " expired"
		}
		parts = append(parts, s)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// told lists the reports made so far.
func (h *house) told() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.reports {
		list = append(list, words(r))
	}
	return list
}

// got counts what was taken, by subject and recipient; gotBy how often one was.
func (h *house) got() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.taken)
}

func (h *house) gotBy(subjectAndRecipient string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[subjectAndRecipient]
}

func (h *house) log() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.carried)
}

func (h *house) answers(fn func(hop mail.NextHop, to mail.OutgoingRecipient) mail.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = fn
}

func (h *house) count(f Filter) Counts {
	h.t.Helper()
	c, err := h.Count(ctx, f)
	h.must(err)
	return c
}

func (h *house) want(what string, got, want any) {
	h.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		h.t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// What remotes say.
func delivered() mail.Attempt {
	return mail.Attempt{Outcome: mail.Delivered, Phase: mail.PhaseAnswer, Code: 250, Enhanced: "2.0.0", Text: "taken", Host: "mx.test"}
}

func tempfail() mail.Attempt {
	return mail.Attempt{Outcome: mail.Deferred, Phase: mail.PhaseRcpt, Code: 450, Enhanced: "4.2.1", Text: "later", Host: "mx.test"}
}

func refused() mail.Attempt {
	return mail.Attempt{Outcome: mail.Failed, Phase: mail.PhaseRcpt, Code: 550, Enhanced: "5.1.1", Text: "nobody", Host: "mx.test"}
}

func unreachable() mail.Attempt {
	return mail.Attempt{Outcome: mail.Deferred, Phase: mail.PhaseConnect, Enhanced: "4.4.1", Ours: true, Text: "refused", Host: "mx.test"}
}

// always answers alike.
func always(a mail.Attempt) func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt {
	return func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt { return a }
}

// byLocal answers by the first word of the local part: ok, no, later, down, none.
func byLocal(_ mail.NextHop, to mail.OutgoingRecipient) mail.Attempt {
	word, _, _ := strings.Cut(to.Address.Local, ".")
	switch word {
	case "no":
		return refused()
	case "later":
		return tempfail()
	case "down":
		return unreachable()
	case "none":
		return mail.Attempt{}
	}
	return delivered()
}
