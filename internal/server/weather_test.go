package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/hosts"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/server/admin"
	"yubin/internal/session/courier"
	"yubin/internal/session/smtpc"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// The size of TestWeather.
const (
	oldMessages   = 9000 // sent six days before the end, so all are settled
	youngMessages = 1000 // sent half a day before
	writers       = 8    // who send at the same time, each with an account
	// maxHeap is what may be in use at any time, as the last collection found it:
	// how much garbage there is depends on what else the machine does.
	maxHeap = 40 << 20
)

// TestWeather sends 10,000 messages to near fifty domains, few of which have a
// host that behaves, and lets six days pass. Every recipient of every message
// is accounted for: delivered once, or bounced once, or still waiting with its
// reason; and twice at a host only if its final answer was cut.
func TestWeather(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		o := newPostOffice(t, seed, weather())
		runtime.GC() // Passwords were hashed, which takes much memory.
		before := runtime.NumGoroutine()
		o.run()
		o.send(oldMessages)
		o.pass(5*24*time.Hour + 12*time.Hour)
		o.send(youngMessages)
		o.pass(12 * time.Hour)
		o.stop()
		time.Sleep(2 * time.Minute) // A host that drips says an octet a minute, and then notices that nobody listens.
		if after := runtime.NumGoroutine(); after > before {
			stacks := make([]byte, 1<<20)
			t.Errorf("%d goroutines are left of %d:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
		}
		o.account()
		if o.heap > maxHeap {
			t.Errorf("%d MiB were in use, more than %d MiB", o.heap>>20, maxHeap>>20)
		}
		t.Logf("at most %d MiB were in use", o.heap>>20)
		o.close()
	})
}

// postOffice is all of yubin that carries mail, in a world of hosts in memory.
type postOffice struct {
	t     *testing.T
	world *world
	store *Store
	stop  func()
	ctx   context.Context
	rng   *rand.Rand

	accounts []mail.AccountID
	mu       sync.Mutex
	sent     map[string]*sent // by Message-ID
	fates    map[string]*fate // by Message-ID and recipient
	attempts map[string]int   // by site
	heap     uint64
}

// sent is one message of the ledger.
type sent struct {
	item    spool.ItemID
	sum     uint32 // of the body
	encoded uint32 // of the body as hosts get it that take no octets over 127
	size    int
	body    mail.Body
	utf8    bool
	young   bool
	null    bool // it is from <>: nobody is told
}

// fate is what became of one recipient, as is seen from outside.
type fate struct {
	*sent
	hop       *hop
	to        mail.Address
	n         int           // of the delivery
	taken     int           // the host's answer was 250, and it could be heard
	cut       int           // the host had all of it, and its answer was lost
	after     int           // the host had all of it once more after a definite answer
	bounced   int           // reports of a failure
	late      int           // reports of a delay
	isWaiting *queue.Listed // or nil
}

// lot is the last digit of the recipient.
func (f *fate) lot() byte { return f.to.Local[len(f.to.Local)-1] }

func newPostOffice(t *testing.T, seed uint64, hops []*hop) *postOffice {
	o := &postOffice{t: t, world: newWorld(seed, hops), rng: rand.New(rand.NewPCG(seed, 2)), ctx: context.Background(),
		sent: map[string]*sent{}, fates: map[string]*fate{}, attempts: map[string]int{}}
	o.world.heard, o.world.said = o.heard, o.said
	cfg := config.Config{Data: filepath.Join(quickFolder(t), "data"), Hostname: "mx.near.example"}
	cfg.Limits.DSN = config.DSNAll // What strangers bring asks for reports.
	var err error
	o.store, err = makeStore(o.ctx, cfg, cfg, 0, deps())
	o.must(err)
	options := o.store.queueOptions(cfg, deps()) // With a courier that would talk to the real world.
	o.store.outgoing.courier = o.courier(cfg)
	// Without jitter what was deferred at the same time comes again at the same
	// time, and one sync is for all of it: no test waits for the disk for days.
	options.Rand = func() float64 { return 0.5 }
	options.Courier, options.Observe = o.store.outgoing.courier, o.observe
	o.store.outgoing.queue, err = queue.Open(o.ctx, options)
	o.must(err)
	o.store.intake = intake.New(intake.Options{Store: o.store.mail, Queue: o.store.outgoing.queue})
	o.furnish()
	return o
}

// quickFolder is on a file system in memory, if there is one: this test is not
// about disks, and waits for thousands of syncs.
func quickFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "yubin-weather")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// courier talks to the world.
func (o *postOffice) courier(cfg config.Config) *courier.Courier {
	talk := smtpc.Config{TLS: &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions)}, Now: time.Now}
	return courier.New(courier.Config{
		Name: cfg.Hostname, Finder: &hosts.Finder{Resolver: o.world.dns, Ourselves: o.world, Shuffle: o.world.shuffle},
		Dialer: o.world, Now: time.Now,
		Converse: func(c *netx.Conn) courier.Conversation { return smtpc.New(c, talk) },
	})
}

// furnish makes the accounts and the route.
func (o *postOffice) furnish() {
	o.t.Helper()
	client := admin.InProcess(o.store.Admin())
	_, err := client.AddDomain(o.ctx, "near.example")
	o.must(err)
	for i := range writers {
		a := mail.Address{Local: fmt.Sprintf("writer%d", i), Domain: "near.example"}
		_, err := client.AddAccount(o.ctx, admin.NewAccount{Address: a.String(), Password: "secret", AllowWeakPassword: true})
		o.must(err)
		who, err := o.store.directory.Account(o.ctx, a)
		o.must(err)
		o.accounts = append(o.accounts, who.ID)
	}
	_, err = o.store.outgoing.router.SetRoute(o.ctx, route.Route{Name: "lmtp", To: []route.Pattern{{Domain: "lmtp.example"}},
		Action: route.LMTP, Hosts: []mail.HostPort{{Host: "mx.lmtp.example"}}})
	o.must(err)
}

func (o *postOffice) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// run works until stop.
func (o *postOffice) run() {
	ctx, cancel := context.WithCancel(o.ctx)
	var g sync.WaitGroup
	g.Go(func() { o.check(o.store.db.Run(ctx)) })
	g.Go(func() { o.check(o.store.mail.Run(ctx)) })
	g.Go(func() { o.check(o.store.outgoing.run(ctx)) })
	g.Go(func() { o.watch(ctx) })
	o.stop = func() {
		cancel()
		g.Wait()
		synctest.Wait()
	}
}

func (o *postOffice) check(err error) {
	if err != nil {
		o.t.Error(err)
	}
}

// watch looks at the heap now and then.
func (o *postOffice) watch(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.weigh()
		case <-ctx.Done():
			return
		}
	}
}

func (o *postOffice) weigh() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heap = max(o.heap, live[0].Value.Uint64())
}

func (o *postOffice) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (o *postOffice) close() {
	all := checked{o.store.mail, o.store}
	o.check(all.CheckDeep(o.ctx, func(problem string) { o.t.Error("check: " + problem) }))
	o.check(o.store.Close())
}

// send gives so many messages in custody.
func (o *postOffice) send(messages int) {
	o.t.Helper()
	o.weigh()
	first := len(o.sent)
	var g sync.WaitGroup
	for w := range writers {
		rng := rand.New(rand.NewPCG(o.rng.Uint64(), uint64(w)))
		g.Go(func() {
			for n := first + w; n < first+messages; n += writers {
				o.accept(w, n, rng)
			}
		})
	}
	g.Wait()
	o.weigh()
}

// accept gives one message, for up to four recipients at any hops, in custody.
func (o *postOffice) accept(writer, n int, rng *rand.Rand) {
	id := fmt.Sprintf("m%d@near.example", n)
	m := &sent{young: n >= oldMessages, null: rng.IntN(30) == 0}
	text := m.text(rng)
	header := fmt.Sprintf("From: <writer@near.example>\r\nMessage-ID: <%s>\r\nSubject: weather\r\n\r\n", id)
	m.sum, m.size = crc32.ChecksumIEEE([]byte(text)), len(header)+len(text)
	if m.body != mail.Body7Bit {
		m.encoded = o.encoded(header + text)
	}
	var to []queue.Recipient
	o.mu.Lock()
	o.sent[id] = m
	for k := range 1 + max(0, rng.IntN(6)-2) {
		h := o.world.choose(rng)
		a := mail.Address{Local: fmt.Sprintf("r%d.%d", k, rng.IntN(10)), Domain: mail.Domain(h.domain())}
		o.fates[id+" "+a.String()] = &fate{sent: m, hop: h, to: a, n: k + 1}
		to = append(to, queue.Recipient{OutgoingRecipient: mail.OutgoingRecipient{Address: a}})
	}
	o.mu.Unlock()
	in := o.store.intake.Begin()
	defer in.Close()
	_, err := io.WriteString(in, header+text)
	it := spool.Item{MessageID: "<" + id + ">", Account: o.accounts[writer], Outgoing: mail.Outgoing{
		ReversePath: mail.ReversePath{Local: fmt.Sprintf("writer%d", writer), Domain: "near.example"},
		EnvID:       id, Ret: mail.RetHeaders, Body: m.body, UTF8: m.utf8}}
	if m.null {
		it.Account, it.ReversePath = 0, mail.ReversePath{}
	}
	if err == nil {
		var r intake.Receipt
		if r, err = o.store.intake.Commit(o.ctx, &intake.Plan{Message: in, Items: []intake.Item{{Item: it, Recipients: to}}}); err == nil {
			m.item = r.Items[0]
		}
	}
	o.check(err)
}

// encoded is the sum of a message's body as it is converted.
func (o *postOffice) encoded(text string) uint32 {
	c, err := message.PlanConversion(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, true)
	o.check(err)
	if c == nil {
		return 0
	}
	all, err := io.ReadAll(c.Reader(strings.NewReader(text)))
	o.check(err)
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return crc32.ChecksumIEEE([]byte(body))
}

// text makes up a body: mostly short, some long, some of eight bits, some that
// only say so.
func (m *sent) text(rng *rand.Rand) string {
	word := "and a line that begins with a dot\r\n.like this\r\n"
	switch rng.IntN(10) {
	case 0:
		m.body, word = mail.Body8BitMIME, "Grüße\r\n"
	case 1:
		m.body, m.utf8, word = mail.Body8BitMIME, true, "Grüße\r\n"
	case 2:
		m.body, m.utf8 = mail.Body8BitMIME, true
	}
	lines := 1 + rng.IntN(80)
	if rng.IntN(100) == 0 {
		lines = 2000
	}
	return strings.Repeat(word, lines)
}
