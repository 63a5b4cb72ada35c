// Package office is the back room of a post office for tests of what operators
// see: a store, a directory, a queue whose couriers answer as the recipient's
// domain says, and a journal, in one folder and without listeners.
//
//	domain        the next hop
//	ok.test       takes it
//	later.test    says 450
//	no.test       says 550
//	down.test     cannot be reached
package office

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// Office is a back room.
type Office struct {
	Journal   *journal.Journal
	Queue     *queue.Queue
	Intake    *intake.Intake
	Store     *store.Store
	Directory *directory.Directory
	Now       func() time.Time
	MessageID string // of messages that are accepted; "" for one of its own each

	fatal   func(...any)
	db      *sqldb.DB
	spool   *spool.Spool
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	tried   int
	told    int
	named   int
}

// Open opens a back room in a folder with the account bob@here.test. Nothing
// goes out before Run. fatal ends the test.
func Open(folder string, now func() time.Time, fatal func(...any)) *Office {
	o := &Office{Now: now, fatal: fatal, stop: func() {}}
	o.changed = sync.NewCond(&o.mu)
	ctx := context.Background()
	var err error
	o.db, err = sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(folder, "yubin.db")})
	o.must(err)
	blobs, err := blob.Open(filepath.Join(folder, "blobs"), rand.Reader)
	o.must(err)
	o.Store, err = store.Open(ctx, store.Options{DB: o.db, Blobs: blobs, Holders: []store.Holder{spool.Held}, Now: now, Rand: rand.Reader})
	o.must(err)
	o.Directory, err = directory.Open(ctx, directory.Options{NoFloor: true, DB: o.db, Accounts: o.Store, Now: now})
	o.must(err)
	o.spool, err = spool.Open(ctx, spool.Options{DB: o.db, Store: o.Store})
	o.must(err)
	o.Queue, err = queue.Open(ctx, queue.Options{DB: o.db, Store: o.Store, Spool: o.spool, Courier: o, Router: o, Reporter: o,
		Now: now, Rand: func() float64 { return 0.5 }, Observe: o.observe, Name: "office", Alone: true,
		Schedule: queue.Schedule{Gather: time.Millisecond}})
	o.must(err)
	o.Intake = intake.New(intake.Options{Store: o.Store, Queue: o.Queue})
	o.Journal, err = journal.Open(filepath.Join(folder, "journal"), journal.Options{Now: now})
	o.must(err)
	o.populate(ctx)
	return o
}

// New is Open for a test, with the clock of the system.
func New(t testing.TB) *Office {
	o := Open(t.TempDir(), time.Now, t.Fatal)
	t.Cleanup(o.Close)
	return o
}

func (o *Office) populate(ctx context.Context) {
	_, err := o.Directory.AddDomain(ctx, "here.test")
	o.must(err)
	_, err = o.Directory.AddAccount(ctx, directory.NewAccount{Address: Address("bob@here.test"), Password: "secret"})
	o.must(err)
}

func (o *Office) must(err error) {
	if err != nil {
		o.fatal(err)
	}
}

// Admin is the administration of it.
func (o *Office) Admin() http.Handler {
	return admin.New(admin.Config{Domains: o.Directory, Accounts: o.Directory, Aliases: o.Directory, Groups: o.Directory, Store: o.Store,
		Queue: o.Queue, Journal: o.Journal, Log: slog.New(slog.DiscardHandler)})
}

// Run lets mail out until Close.
func (o *Office) Run() {
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.running.Go(func() { o.must(o.Queue.Run(ctx)) })
	o.running.Go(func() { o.Journal.Run(ctx) })
}

// Close ends it.
func (o *Office) Close() {
	o.stop()
	o.running.Wait()
	o.must(o.db.Close())
}

// Accept takes a message from a sender, "" for <>, as a client on 192.0.2.1
// that speaks TLS would bring it, and records it. Recipients at here.test must
// be bob.
func (o *Office) Accept(sender string, recipients ...string) spool.ItemID {
	o.mu.Lock()
	o.named++
	n := o.named
	o.mu.Unlock()
	e := journal.Entry{At: o.Now(), Kind: journal.Accepted, Service: "mx", Session: fmt.Sprint("SESSION", n), Transaction: fmt.Sprint("TX", n),
		Remote: netip.MustParseAddrPort("192.0.2.1:4711"), Hello: "client.test", TLS: "TLS1.3", ReversePath: mail.ReversePath(Address(sender)),
		MessageID: cmp.Or(o.MessageID, fmt.Sprintf("<m%d@client.test>", n)), Took: 12 * time.Millisecond, Code: 250, Enhanced: "2.0.0", Text: fmt.Sprint("accepted as TX", n)}
	m := o.Intake.Begin()
	defer m.Close()
	text := "Message-ID: " + e.MessageID + "\r\nSubject: hello\r\n\r\nbody\r\n"
	_, err := m.Write([]byte(text))
	o.must(err)
	e.Size = int64(len(text))
	p := &intake.Plan{Message: m}
	var it intake.Item
	it.ReversePath, it.Transaction, it.MessageID, it.Arrived = e.ReversePath, e.Transaction, e.MessageID, e.At
	for _, r := range recipients {
		a := Address(r)
		e.Recipients = append(e.Recipients, a)
		if a.Domain != "here.test" {
			it.Recipients = append(it.Recipients, queue.Recipient{OutgoingRecipient: mail.OutgoingRecipient{Address: a}})
			continue
		}
		p.Filings = append(p.Filings, o.forBob())
	}
	if len(it.Recipients) > 0 {
		p.Items = []intake.Item{it}
	}
	r, err := o.Intake.Commit(context.Background(), p)
	o.must(err)
	if len(r.Items) > 0 {
		e.Item = r.Items[0]
	}
	for i, f := range r.Filed {
		e.Filed = append(e.Filed, journal.Filed{Account: p.Filings[i].Account, Mailbox: f.Mailbox, UID: f.UID})
	}
	o.Journal.Add(e)
	return e.Item
}

// forBob is a copy for bob.
func (o *Office) forBob() intake.Filing {
	bob, err := o.Directory.Account(context.Background(), Address("bob@here.test"))
	o.must(err)
	return intake.Filing{Filing: store.Filing{Account: bob.ID, Role: mail.RoleInbox, Received: o.Now()}}
}

// Refuse records that a recipient was refused.
func (o *Office) Refuse(sender, recipient string) {
	o.Journal.Add(journal.Entry{At: o.Now(), Kind: journal.Refused, Service: "mx", Session: "REFUSED", Remote: netip.MustParseAddrPort("192.0.2.66:25"),
		Hello: "spam.test", ReversePath: mail.ReversePath(Address(sender)), Recipients: []mail.Address{Address(recipient)},
		Code: 550, Enhanced: "5.1.1", Text: "there is no mailbox " + recipient + " here"})
}

// Shout records that a recipient was refused to a client that wrote words into
// all that a client can write.
func (o *Office) Shout(sender, words string) {
	o.Journal.Add(journal.Entry{At: o.Now(), Kind: journal.Refused, Service: "mx", Session: "SHOUT", Remote: netip.MustParseAddrPort("192.0.2.66:25"),
		Hello: words, ReversePath: mail.ReversePath(Address(sender)), Recipients: []mail.Address{Address("nobody@here.test")},
		MessageID: "<" + words + ">", Code: 550, Enhanced: "5.1.1", Text: "there is no mailbox " + words + " here"})
}

// AwaitAttempts waits until so many recipients were tried, and settled or put
// off, in all; AwaitReports until so many reports were made.
func (o *Office) AwaitAttempts(n int) { o.await(func() bool { return o.tried >= n }) }

// AwaitReports waits until so many reports were made in all.
func (o *Office) AwaitReports(n int) { o.await(func() bool { return o.told >= n }) }

func (o *Office) await(done func() bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !done() {
		o.changed.Wait()
	}
}

func (o *Office) observe(ob queue.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch ob.Kind {
	case queue.ObservedAttempt:
		o.tried++
	case queue.ObservedReport:
		o.told++
	}
	o.changed.Broadcast()
}

// Carry answers for the next hop.
func (o *Office) Carry(_ context.Context, hop mail.NextHop, t mail.Transaction) (results []mail.Result) {
	for range t.Recipients {
		a := answer(hop.Domain)
		a.At, a.Took = o.Now(), 250*time.Millisecond
		results = append(results, mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}})
	}
	return results
}

func answer(domain mail.Domain) mail.Attempt {
	a := mail.Attempt{Host: "mx." + string(domain), Remote: netip.MustParseAddrPort("192.0.2.25:25"), TLS: "TLS1.3", Verified: true}
	switch domain {
	case "later.test":
		a.Outcome, a.Phase, a.Code, a.Enhanced, a.Text = mail.Deferred, mail.PhaseRcpt, 450, "4.2.1", "try again\nlater"
	case "no.test":
		a.Outcome, a.Phase, a.Code, a.Enhanced, a.Text = mail.Failed, mail.PhaseRcpt, 550, "5.1.1", "nobody has that name"
	case "down.test":
		a.TLS, a.Verified = "", false
		a.Outcome, a.Phase, a.Enhanced, a.Text, a.Ours = mail.Deferred, mail.PhaseConnect, "4.4.1", "connection refused", true
	case "shout.test":
		a.Host, a.Outcome, a.Phase, a.Code, a.Enhanced, a.Text = "mx\u009b2J.shout.test", mail.Deferred, mail.PhaseRcpt, 450, "4.2.1", "\x1b[2J\u009b31m\u202ewait\u2028"
	default:
		a.Outcome, a.Phase, a.Code, a.Enhanced, a.Text = mail.Delivered, mail.PhaseAnswer, 250, "2.0.0", "taken"
	}
	return a
}

// NextHop is the exchangers of the domain, or the route that is chosen: there
// is one, spare, to ok.test.
func (o *Office) NextHop(_ context.Context, q queue.Question) (queue.Hop, error) {
	switch q.Via {
	case "":
		return queue.Hop{NextHop: mail.NextHop{Kind: mail.HopMX, Domain: q.Recipient.Domain}}, nil
	case "spare":
		return queue.Hop{NextHop: mail.NextHop{Kind: mail.HopMX, Domain: "ok.test"}, Route: "spare"}, nil
	}
	return queue.Hop{}, mail.Errorf(mail.NotFound, "there is no route %s", q.Via)
}

// Tell files reports for bob.
func (o *Office) Tell(ctx context.Context, _ queue.Report, also func(*sqldb.Tx, queue.Made) error) (queue.Made, error) {
	m := o.Intake.Begin()
	defer m.Close()
	if _, err := io.WriteString(m, "Subject: report\r\n\r\n"); err != nil {
		return queue.Made{}, err
	}
	made := queue.Made{Filed: true}
	_, err := o.Intake.Commit(ctx, &intake.Plan{Message: m, Filings: []intake.Filing{o.forBob()}},
		func(tx *sqldb.Tx, _ intake.Receipt) error { return also(tx, made) })
	return made, err
}

// Address parses s; "" is no address.
func Address(s string) mail.Address {
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}
