package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// TestCrash kills the server with SIGKILL at random, 50 times, or 1,000 times
// with YUBIN_LONG, while four connections deliver by SMTP and two sessions
// append, flag, move and expunge by IMAP. What was acknowledged must be there,
// once. If YUBIN_TEST_DATABASE names a database on a server, that is where it is, and
// every third time PostgreSQL is killed, too, all of it, and started again.
func TestCrash(t *testing.T) {
	rounds, verifyEvery := 50, 10
	if os.Getenv("YUBIN_LONG") != "" {
		rounds, verifyEvery = 1000, 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	s := startServer(t, onDatabase()...)
	l := &ledger{messages: map[string]*record{}}
	for round := range rounds {
		crashOnce(s, l, round, rng)
		if round%verifyEvery == verifyEvery-1 {
			l.verify(t, s)
		}
		if t.Failed() {
			return
		}
	}
	s.check()
	s.stop()
	s.check()
	t.Logf("ledger: %d kills: %d deliveries and %d IMAP commands acknowledged, all kept", rounds, l.delivered, l.commands)
}

// crashOnce puts load on the server, kills it in the midst and starts it again.
func crashOnce(s *server, l *ledger, round int, rng *rand.Rand) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { l.deliverUntilDeath(s, fmt.Sprintf("s%d.%d", round, i), uint64(round*10+i)) })
	}
	for i := range 2 {
		wg.Go(func() { l.readUntilDeath(s, fmt.Sprintf("i%d.%d", round, i), uint64(round*10+5+i)) })
	}
	<-time.After(time.Duration(30+rng.IntN(250)) * time.Millisecond)
	if os.Getenv("YUBIN_TEST_DATABASE") != "" && round%3 == 2 {
		killPostgres(s.t)
		<-time.After(time.Duration(rng.IntN(500)) * time.Millisecond) // It goes on, or is about to.
	}
	s.kill()
	wg.Wait()
	s.start()
}

// record is what the ledger knows of one copy of a message in one account.
type record struct {
	body    []byte
	mailbox string // where it is; "" while it was never acknowledged, or once it was expunged
	flagged bool   // \Flagged was acknowledged
	// maybe is a mailbox it may be in instead, because the command that would
	// put it there was never answered; "gone" for an expunge.
	maybe string
}

// ledger holds one record a copy, by account and message-id.
type ledger struct {
	mu                  sync.Mutex
	messages            map[string]*record
	delivered, commands int
}

func (l *ledger) begin(key string, body []byte, maybe string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages[key] == nil {
		l.messages[key] = &record{body: body}
	}
	l.messages[key].maybe = maybe
}

func (l *ledger) acknowledge(key string, change func(*record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.messages[key])
}

// testMessage is recognized by its Message-ID and makes up its own body; one
// in eight is too large for the database and becomes a file.
func testMessage(id string, rng *rand.Rand) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <sender@example.org>\r\nMessage-ID: <%s@crash.test>\r\nSubject: crash %s\r\n\r\n", id, id)
	lines := 1 + rng.IntN(60)
	if rng.IntN(8) == 0 {
		lines = 1500
	}
	for i := range lines {
		fmt.Fprintf(&b, "%s line %d %x and some words to fill it\r\n", id, i, rng.Uint64())
	}
	return b.Bytes()
}

// deliverUntilDeath sends messages to alice, to bob, or to both, until the
// connection breaks.
func (l *ledger) deliverUntilDeath(s *server, name string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	c, err := mailclient.Dial("127.0.0.1", s.port(portMX), false)
	if err != nil {
		return
	}
	defer c.Close()
	if c.Reply("220") != nil || c.Command("250", "EHLO crash.test") != nil {
		return
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		to := [][]string{{"alice"}, {"bob"}, {"alice", "bob"}}[rng.IntN(3)]
		body := testMessage(id, rng)
		for _, account := range to {
			l.begin(account+" "+id, body, "INBOX")
		}
		if deliver(c, to, body) != nil {
			return
		}
		for _, account := range to {
			l.acknowledge(account+" "+id, func(r *record) { r.mailbox, r.maybe = "INBOX", "" })
		}
		l.mu.Lock()
		l.delivered++
		l.mu.Unlock()
	}
}

func deliver(c *mailclient.Conn, to []string, body []byte) error {
	addresses := make([]string, len(to))
	for i, account := range to {
		addresses[i] = account + "@yubin.test"
	}
	return relay(c, "sender@example.org", addresses, body)
}

var appendUID = regexp.MustCompile(`APPENDUID \d+ (\d+)`)

// readUntilDeath appends messages to carol's INBOX and does something to each:
// flag it, move it to Archive, or expunge it.
func (l *ledger) readUntilDeath(s *server, name string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	c, err := login(s, "carol")
	if err != nil {
		return
	}
	defer c.Close()
	for n := 0; ; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		key := "carol " + id
		body := testMessage(id, rng)
		l.begin(key, body, "INBOX")
		ok, err := c.Append("INBOX", "", body)
		if err != nil {
			return
		}
		l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = "INBOX", "" })
		if l.change(c, key, appendUID.FindStringSubmatch(ok)[1], rng.IntN(4)) != nil {
			return
		}
		l.mu.Lock()
		l.commands += 2
		l.mu.Unlock()
	}
}

// change does one thing to the message with that UID.
func (l *ledger) change(c *mailclient.Conn, key, uid string, what int) error {
	switch what {
	case 0:
		_, err := c.IMAP(false, nil, `UID STORE %s +FLAGS (\Flagged)`, uid)
		if err == nil {
			l.acknowledge(key, func(r *record) { r.flagged = true })
		}
		return err
	case 1:
		l.begin(key, nil, "Archive")
		_, err := c.IMAP(false, nil, "UID MOVE %s Archive", uid)
		if err == nil {
			l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = "Archive", "" })
		}
		return err
	case 2:
		if _, err := c.IMAP(false, nil, `UID STORE %s +FLAGS.SILENT (\Deleted)`, uid); err != nil {
			return err
		}
		l.begin(key, nil, "gone")
		_, err := c.IMAP(false, nil, "UID EXPUNGE %s", uid)
		if err == nil {
			l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = "", "" })
		}
		return err
	}
	return nil
}

// login opens an IMAP session with INBOX selected.
func login(s *server, account string) (*mailclient.Conn, error) {
	c, err := mailclient.Dial("127.0.0.1", s.port(portIMAP), false)
	if err != nil {
		return nil, err
	}
	if _, err := c.Line(); err != nil {
		return nil, err
	}
	for _, line := range []string{fmt.Sprintf("LOGIN %s@yubin.test %s", account, password), "SELECT INBOX"} {
		if _, err := c.IMAP(false, nil, "%s", line); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// found is a message as a client sees it after the crash.
type found struct {
	mailbox, uid, flags string
	body                []byte
}

var (
	idField    = regexp.MustCompile(`(?m)^Message-ID: <(.*)@crash\.test>`)
	uidItem    = regexp.MustCompile(`UID (\d+)`)
	flagsItem  = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	uidOrder   = "UIDs of %s in %s do not ascend: %d after %d"
	onlyOnce   = "%s is in %s and again in %s"
	neverGiven = "%s in %s was never sent"
)

// verify reads every mailbox and compares it with the ledger.
func (l *ledger) verify(t *testing.T, s *server) {
	t.Helper()
	all := map[string]found{}
	for _, account := range []string{"alice", "bob", "carol"} {
		for _, mailbox := range []string{"INBOX", "Archive"} {
			if err := collect(t, s, account, mailbox, all); err != nil {
				t.Fatalf("reading %s of %s: %v", mailbox, account, err)
			}
		}
	}
	for key, f := range all {
		if l.messages[key] == nil {
			t.Errorf(neverGiven, key, f.mailbox)
		}
	}
	for key, r := range l.messages {
		f, ok := all[key]
		if problem := r.compare(f, ok); problem != "" {
			t.Errorf("%s: %s", key, problem)
		}
		r.settle(f, ok)
	}
}

func collect(t *testing.T, s *server, account, mailbox string, all map[string]found) error {
	c, err := login(s, account)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.IMAP(false, nil, "EXAMINE %s", mailbox); err != nil {
		return err
	}
	last := 0
	_, err = c.IMAP(true, func(r mailclient.Response) {
		if !strings.Contains(r.Text, " FETCH ") || len(r.Literals) != 1 {
			return
		}
		f := found{mailbox: mailbox, uid: uidItem.FindStringSubmatch(r.Text)[1], flags: flagsItem.FindStringSubmatch(r.Text)[1], body: r.Literals[0]}
		uid, _ := strconv.Atoi(f.uid)
		if uid <= last {
			t.Errorf(uidOrder, account, mailbox, uid, last)
		}
		last = uid
		id := idField.FindSubmatch(f.body)
		if id == nil {
			t.Errorf("UID %d in %s of %s has lost its header", uid, mailbox, account)
			return
		}
		key := account + " " + strings.TrimSpace(string(id[1]))
		if other, twice := all[key]; twice {
			t.Errorf(onlyOnce, key, other.mailbox, mailbox)
		}
		all[key] = f
	}, "UID FETCH 1:* (FLAGS BODY.PEEK[])")
	return err
}

// compare says what is wrong with a message as it was found, or "".
func (r *record) compare(f found, ok bool) string {
	switch {
	case !ok && r.mailbox != "" && r.maybe != "gone":
		return "acknowledged in " + r.mailbox + ", and lost"
	case !ok:
		return ""
	case f.mailbox != r.mailbox && f.mailbox != r.maybe:
		return fmt.Sprintf("is in %s; it was put into %q, perhaps %q", f.mailbox, r.mailbox, r.maybe)
	case !bytes.HasSuffix(f.body, r.body):
		return "came back with other octets"
	case r.flagged && !strings.Contains(f.flags, `\Flagged`):
		return `lost its \Flagged`
	}
	return ""
}

// settle takes what was found as the truth of what was in doubt.
func (r *record) settle(f found, ok bool) {
	r.maybe = ""
	r.mailbox = ""
	if ok {
		r.mailbox = f.mailbox
	}
}
