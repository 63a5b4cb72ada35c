package queue

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// image is what a crash would leave on the disk, and what was known outside.
type image struct {
	step  string
	dir   string
	acked map[string]bool // by what is to arrive: sites
	taken map[string]int  // by site
	open  map[string]bool // sites whose remote may have answered what is not settled
}

// camera takes images of a house at every step.
type camera struct {
	shared bool

	h      *house
	mu     sync.Mutex
	acked  map[string]bool
	taken  map[string]int
	open   map[string]bool
	images []image
	root   string
}

// shoot copies the files. The database only appends to its WAL while it is open,
// so the copy is what the disk has at one instant.
func (c *camera) shoot(step string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := filepath.Join(c.root, fmt.Sprint(len(c.images)))
	c.h.must(os.MkdirAll(dir, 0o700))
	for _, f := range []string{"yubin.db", "yubin.db-wal"} {
		b, err := os.ReadFile(filepath.Join(c.h.dir, f))
		c.h.must(err)
		c.h.must(os.WriteFile(filepath.Join(dir, f), b, 0o600))
	}
	c.images = append(c.images, image{step, dir, maps.Clone(c.acked), maps.Clone(c.taken), maps.Clone(c.open)})
}

func siteOf(a mail.Address) string { return "mx:" + string(a.Domain) }

// answersBySite: the first word of the domain says what a remote answers: no, or
// first later and then ok.
func answersBySite(seen map[string]int) func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt {
	return func(hop mail.NextHop, _ mail.OutgoingRecipient) mail.Attempt {
		switch {
		case strings.HasPrefix(string(hop.Domain), "no"):
			return refused()
		case strings.HasPrefix(string(hop.Domain), "later") && seen[string(hop.Domain)] == 0:
			seen[string(hop.Domain)]++
			return tempfail()
		}
		return delivered()
	}
}

// crashMail is what the test sends: recipients, and what must arrive where. Each
// site is in it once.
var crashMail = []struct {
	sender string
	notify mail.Notify
	to     []string
	arrive []string
}{
	{"s@s1.test", 0, []string{"a@ok1.test", "a@no1.test", "a@later1.test"}, []string{"ok1", "later1", "s1"}},
	{"s@s2.test", 0, []string{"a@no2.test"}, []string{"s2"}},
	{"s@s3.test", 0, []string{"a@ok3.test", "a@ok33.test"}, []string{"ok3", "ok33"}},
	{"", 0, []string{"a@no4.test", "a@ok4.test"}, []string{"ok4"}},
	{"s@s5.test", mail.NotifySuccess, []string{"a@ok5.test"}, []string{"ok5", "s5"}},
	{"s@s6.test", 0, []string{"a@no6.test", "a@no66.test"}, []string{"s6"}},
}

// TestCrash stops after every durable step and before every step outside: each
// time all that was acknowledged arrives or is reported, and nothing twice, save
// what a remote took whose answer was not settled.
func TestCrash(t *testing.T) {
	t.Run("alone", func(t *testing.T) { crash(t, false, 1) })
	t.Run("shared", func(t *testing.T) { crash(t, true, 4) })
}

// crash replays one of so many images.
func crash(t *testing.T, shared bool, every int) {
	c := &camera{acked: map[string]bool{}, taken: map[string]int{}, open: map[string]bool{}, root: t.TempDir(), shared: shared}
	synctest.Test(t, func(t *testing.T) { c.record(t) })
	if len(c.images) < 40 {
		t.Fatalf("only %d images", len(c.images))
	}
	for i, im := range c.images {
		if i%every != 0 {
			continue
		}
		synctest.Test(t, func(t *testing.T) { im.replay(t, shared) })
		if t.Failed() {
			t.Fatalf("after a crash at: %s", im.step)
		}
	}
	t.Logf("%d crashes", len(c.images))
}

// onFile is a house whose database is a file whatever the other tests have: images are
// taken of files. Servers are killed in package e2e.
func onFile(t *testing.T, dir string, shared bool) *house {
	return &house{t: t, dir: dir, on: sqldb.Options{Path: filepath.Join(dir, "yubin.db"), CheckLocks: true}, shared: shared}
}

func (c *camera) record(t *testing.T) {
	h := onFile(t, t.TempDir(), c.shared)
	c.h = h
	h.observe = c.observe
	h.answer = answersBySite(map[string]int{})
	h.during = func(_ mail.NextHop, tr mail.Transaction) {
		c.shoot("a job begins for " + tr.Recipients[0].Address.String())
	}
	h.answered = c.answered
	h.after = func() { c.shoot("a remote answered") }
	h.made = func(r Report, w io.Writer) (letter, error) {
		c.shoot("a report is made")
		return spooledReport(r, w)
	}
	h.open()
	h.run()
	for i, m := range crashMail {
		h.send(fmt.Sprint(i), from(m.sender), notify(m.notify, to(m.to...)))
		c.mu.Lock()
		for _, a := range m.arrive {
			c.acked["mx:"+a+".test"] = true
		}
		c.mu.Unlock()
		c.shoot("250 for " + fmt.Sprint(i))
	}
	h.pass(time.Hour)
	h.close()
	for site := range c.acked {
		if c.taken[site] != 1 {
			t.Errorf("without a crash %s got %d", site, c.taken[site])
		}
	}
}

func (c *camera) answered(_ string, r mail.OutgoingRecipient, a mail.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Outcome == mail.Delivered {
		c.taken[siteOf(r.Address)]++
	}
	c.open[siteOf(r.Address)] = true
}

func (c *camera) observe(o Observation) {
	c.mu.Lock()
	if o.Kind == ObservedAttempt {
		delete(c.open, o.Site)
	}
	c.mu.Unlock()
	c.shoot(fmt.Sprintf("durable: %d %s %v", o.Kind, o.Site, o.Outcome))
}

// replay starts anew from an image and lets all come to an end.
func (im image) replay(t *testing.T, shared bool) {
	h := onFile(t, im.dir, shared)
	taken := maps.Clone(im.taken)
	var mu sync.Mutex
	h.answer = answersBySite(map[string]int{"later1.test": 1})
	h.answered = func(_ string, r mail.OutgoingRecipient, a mail.Attempt) {
		mu.Lock()
		defer mu.Unlock()
		if a.Outcome == mail.Delivered {
			taken[siteOf(r.Address)]++
		}
	}
	h.open()
	h.check()
	h.run()
	h.pass(3 * time.Hour)
	h.want("left", h.count(Filter{}).Total(), 0)
	h.close()
	for site := range im.acked {
		if taken[site] == 0 {
			t.Errorf("%s got nothing", site)
		}
	}
	for site, n := range taken {
		most := 1 + btoi(im.open[site])
		if shared && site == "mx:s6.test" {
			most++ // What was active waits for its lease: there is a report for each recipient.
		}
		if n > most {
			t.Errorf("%s got it %d times; in the open: %v", site, n, im.open)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestSettlementThatFails: what the database does not take for a while is
// settled later, and not sent again.
func TestSettlementThatFails(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		h.during = func(mail.NextHop, mail.Transaction) {
			h.full(true)
		}
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(10 * time.Minute)
		h.want("active", h.count(Filter{}).Active, 1)
		h.full(false)
		h.pass(time.Minute)
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("taken", h.gotBy("one x@b.test"), 1)
	})
}
