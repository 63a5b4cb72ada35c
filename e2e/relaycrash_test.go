package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/smtpsink"
)

// TestRelayCrash kills a server that relays with SIGKILL at random, 50 times, or
// 1,000 times with YUBIN_LONG. Two hosts take what it carries. Every message
// that was acknowledged must come to them; twice only if the server was killed
// before it had kept the first answer.
func TestRelayCrash(t *testing.T) {
	rounds := 50
	if os.Getenv("YUBIN_LONG") != "" {
		rounds = 1000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &relayCrash{t: t, rng: rand.New(rand.NewPCG(seed, 4)), acknowledged: map[string]bool{}}
	for i := range c.hosts {
		c.hosts[i] = startFarHost(t)
	}
	c.hosts[0].sink.Behave = answerSlowly
	c.server = startServer(t, "--deliver")
	c.setRoutes()
	for round := range rounds {
		c.once(round)
	}
	emptyQueue(t, 2*time.Minute, func() (string, error) { return c.server.yubin("queue", "count", "--json") })
	c.verify()
	c.server.check()
	c.server.stop()
	c.server.check()
}

// answerSlowly takes a while for the answer to a message, so that a kill may come
// in between.
func answerSlowly(e smtpsink.Event) smtpsink.Say {
	if e.Moment == smtpsink.End {
		return smtpsink.Say{Text: "250 taken", Drip: time.Millisecond}
	}
	return smtpsink.Say{}
}

// relayCrash is one such test.
type relayCrash struct {
	t      *testing.T
	server *server
	hosts  [2]*farHost // of far0.test and far1.test
	rng    *rand.Rand
	kills  []time.Time
	traced int           // messages that came twice
	window time.Duration // the longest between a message and the kill because of which it came again

	mu           sync.Mutex
	acknowledged map[string]bool // recipient and id
	sent         int             // messages
}

// setRoutes makes one domain that anybody may relay to, and one for those who
// log in.
func (c *relayCrash) setRoutes() {
	for i, more := range [][]string{{"--relay"}, nil} {
		args := []string{"route", "set", fmt.Sprint("far", i), "--to", domainOf(i), "--smtp", c.hosts[i].address()}
		if out, err := c.server.yubin(append(args, more...)...); err != nil {
			c.t.Fatalf("%v: %s", err, out)
		}
	}
}

func domainOf(i int) string { return fmt.Sprintf("far%d.test", i) }

// once puts load on the server, kills it in the midst and starts it again.
func (c *relayCrash) once(round int) {
	var wg sync.WaitGroup
	for i := range 4 {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), 5))
		wg.Go(func() { c.sendUntilDeath(fmt.Sprintf("r%d.%d", round, i), i%2 == 0, rng) })
	}
	<-time.After(time.Duration(50+c.rng.IntN(350)) * time.Millisecond)
	c.server.kill()
	c.kills = append(c.kills, time.Now())
	wg.Wait()
	c.server.start()
}

// sendUntilDeath sends messages, as alice or as a stranger to the domain that is
// relayed for, until the connection breaks.
func (c *relayCrash) sendUntilDeath(name string, stranger bool, rng *rand.Rand) {
	conn, err := c.connect(stranger)
	if err != nil {
		return
	}
	defer conn.Close()
	from, domains := "alice@yubin.test", 2
	if stranger {
		from, domains = "stranger@far1.test", 1
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		var to []string
		for k := range 1 + rng.IntN(3) {
			to = append(to, fmt.Sprintf("r%d@%s", k, domainOf(rng.IntN(domains))))
		}
		if relay(conn, from, to, testMessage(id, rng)) != nil {
			return
		}
		c.acknowledge(id, to)
	}
}

func (c *relayCrash) acknowledge(id string, to []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	for _, address := range to {
		c.acknowledged[address+" "+id+"@crash.test"] = true
	}
}

func (c *relayCrash) connect(stranger bool) (*mailclient.Conn, error) {
	port, steps := portSubmission, []string{"EHLO crash.test", "AUTH PLAIN " +
		base64.StdEncoding.EncodeToString([]byte("\x00alice@yubin.test\x00"+password))}
	if stranger {
		port, steps = portMX, steps[:1]
	}
	conn, err := mailclient.Dial("127.0.0.1", c.server.port(port), false)
	if err != nil {
		return nil, err
	}
	err = conn.Reply("220")
	for _, line := range steps {
		if err == nil {
			err = conn.Command("2", "%s", line)
		}
	}
	return conn, err
}

// emptyQueue waits until the queue holds nothing, which count, the result of
// `yubin queue count --json`, says.
func emptyQueue(t *testing.T, limit time.Duration, count func() (string, error)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); ; {
		out, err := count()
		var counts struct{ Total *int }
		if err == nil {
			err = json.Unmarshal([]byte(out), &counts)
		}
		if err != nil || counts.Total == nil {
			t.Fatalf("yubin queue count: %v: %s", err, out)
		}
		if *counts.Total == 0 {
			return
		}
		select {
		case <-end:
			t.Fatalf("the queue does not empty: %s", out)
		case <-tick.C:
		}
	}
}

// verify compares what was acknowledged with what came.
func (c *relayCrash) verify() {
	again, untold := 0, 0
	for key := range c.acknowledged {
		list := c.receipts(key)
		if len(list) == 0 {
			c.t.Errorf("acknowledged and lost: %s", key)
		}
	}
	for _, h := range c.hosts {
		for key, list := range h.receipts {
			for i, r := range list {
				if !r.told {
					untold++
				}
				if i > 0 {
					again++
					c.explain(key, list[i-1], r)
				}
			}
		}
		if len(h.reports) > 0 {
			c.t.Errorf("bounces went to %q", h.reports)
		}
	}
	if n := len(c.server.messages("alice", "INBOX")); n > 0 {
		c.t.Errorf("%d bounces for alice", n)
	}
	c.t.Logf("%d kills: %d messages acknowledged, for %d recipients, all came; %d came twice, each at most %v before a kill; %d answers broke off",
		len(c.kills), c.sent, len(c.acknowledged), again, c.window.Round(time.Millisecond), untold)
}

func (c *relayCrash) receipts(key string) []*receipt {
	for i, h := range c.hosts {
		if strings.Contains(key, "@"+domainOf(i)+" ") {
			return h.of(key)
		}
	}
	c.t.Fatalf("%s goes nowhere", key)
	return nil
}

// maxTraced is how many messages are asked for: each is a process.
const maxTraced = 100

// explain wants a kill between two receipts, and only one answer to have been
// kept.
func (c *relayCrash) explain(key string, first, second *receipt) {
	i, _ := slices.BinarySearchFunc(c.kills, first.at, time.Time.Compare)
	if i == len(c.kills) || !c.kills[i].Before(second.at) {
		c.t.Errorf("%s came twice, without a kill in between: %v and %v", key, first.at, second.at)
		return
	}
	c.window = max(c.window, c.kills[i].Sub(first.at))
	if c.traced++; c.traced > maxTraced {
		return
	}
	to, id, _ := strings.Cut(key, " ")
	out, err := c.server.yubin("trace", id, "--json")
	if err != nil {
		c.t.Errorf("yubin trace: %v: %s", err, out)
	}
	if n := keptDeliveries(c.t, out, to); n != 1 {
		c.t.Errorf("%s came twice, and %d deliveries were kept:\n%s", key, n, out)
	}
}

// keptDeliveries counts the attempts that `yubin trace` knows to have delivered
// to a recipient.
func keptDeliveries(t *testing.T, out, to string) (n int) {
	t.Helper()
	var told struct {
		Messages []struct {
			Queue struct {
				Events []struct {
					Recipient string
					Attempt   struct{ Outcome string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil {
		t.Errorf("yubin trace: %v: %s", err, out)
	}
	for _, m := range told.Messages {
		for _, e := range m.Queue.Events {
			if e.Recipient == to && e.Attempt.Outcome == "delivered" {
				n++
			}
		}
	}
	return n
}
