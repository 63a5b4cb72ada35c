package e2e

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/straceread"
)

// witness writes down what each connection did, step by step, so that a trace
// of the server tells later how far each was at any moment: the answers are in
// the trace, in the same order.
type witness struct {
	mu    sync.Mutex
	steps map[string][]step // by connection

	after func(submitted int) // nil for none
}

// step is one thing that the server answers with yes or no.
type step struct {
	begin func(*ledger) // from when it was asked for
	done  func(*ledger) // once it was acknowledged
	out   string        // or a message for elsewhere, by the local part of its recipient
}

func (w *witness) will(name string, s step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps[name] = append(w.steps[name], s)
}

// delivers sends messages to alice, bob or both until stop, and says its name in EHLO.
func (w *witness) delivers(s *server, name string, seed uint64, stop <-chan struct{}) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	return w.converse(s, name, stop, func(c *mailclient.Conn, id string) error {
		to := [][]string{{"alice"}, {"bob"}, {"alice", "bob"}}[rng.IntN(3)]
		body := testMessage(id, rng)
		w.will(name, stepInto(id, body, to...))
		return deliver(c, to, body)
	})
}

// converse says its name in EHLO and sends one message after the other.
func (w *witness) converse(s *server, name string, stop <-chan struct{}, send func(c *mailclient.Conn, id string) error) error {
	c, err := mailclient.Dial("127.0.0.1", s.port(portMX), false)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	if err := c.Command("250", "EHLO %s.test", name); err != nil {
		return err
	}
	for n := 0; !isClosed(stop); n++ {
		if err := send(c, fmt.Sprintf("%s.%d", name, n)); err != nil && !isRefusal(err) {
			return err
		}
	}
	return nil
}

// deliversBulk sends messages to bob that are as large as the database takes.
func (w *witness) deliversBulk(s *server, name string, stop <-chan struct{}) error {
	body := strings.Repeat("as much as the database keeps itself, of each message\r\n", 1000)
	return w.converse(s, name, stop, func(c *mailclient.Conn, id string) error {
		m := withID(id, []byte(body))
		w.will(name, stepInto(id, m, "bob"))
		return deliver(c, []string{"bob"}, m)
	})
}

// stepInto files a message in INBOXes.
func stepInto(id string, body []byte, accounts ...string) step {
	return step{
		begin: func(l *ledger) {
			for _, a := range accounts {
				l.begin(a+" "+id, body, "INBOX")
			}
		},
		done: func(l *ledger) {
			for _, a := range accounts {
				l.acknowledge(a+" "+id, func(r *record) { r.mailbox, r.maybe = "INBOX", "" })
			}
		},
	}
}

func isClosed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// isRefusal reports whether the server said no, and the connection is whole.
func isRefusal(err error) bool { return strings.Contains(err.Error(), "the server said") }

// submits sends messages for elsewhere, each to a recipient of its own. Their
// sender is an account that the ledger does not look at.
func (w *witness) submits(s *server, name string, stop <-chan struct{}) error {
	c, err := mailclient.Dial("127.0.0.1", s.port(portSubmission), false)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	if err := c.Command("250", "EHLO %s.test", name); err != nil {
		return err
	}
	if err := c.Command("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00captured@yubin.test\x00"+password))); err != nil {
		return err
	}
	for n := 0; !isClosed(stop); n++ {
		out := fmt.Sprintf("%s.%d", name, n)
		w.will(name, step{out: out})
		for _, line := range [][2]string{{"250", "MAIL FROM:<captured@yubin.test>"}, {"250", "RCPT TO:<" + out + "@elsewhere.example>"}, {"354", "DATA"},
			{"250", "From: <captured@yubin.test>\r\nSubject: " + out + "\r\n\r\nbody\r\n."}} {
			if err := c.Command(line[0], "%s", line[1]); err != nil {
				return err
			}
		}
		if w.after != nil {
			w.after(n + 1)
		}
	}
	return nil
}

// appends puts messages into the INBOX of carol, and flags, moves or expunges them.
func (w *witness) appends(s *server, seed uint64, stop <-chan struct{}) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	c, err := login(s, "carol")
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 0; !isClosed(stop); n++ {
		id := fmt.Sprintf("i.%d", n)
		body := testMessage(id, rng)
		w.will("carol", stepInto(id, body, "carol"))
		ok, err := c.Append("INBOX", "", body)
		if err != nil && !isRefusal(err) {
			return err
		}
		if err != nil {
			continue
		}
		for _, st := range stepsOn("carol "+id, appendUID.FindStringSubmatch(ok)[1], rng.IntN(4)) {
			w.will("carol", st.step)
			if _, err := c.IMAP(false, nil, "%s", st.command); err != nil {
				if isRefusal(err) {
					break
				}
				return err
			}
		}
	}
	return nil
}

// commanded is a step by an IMAP command.
type commanded struct {
	command string
	step
}

// stepsOn does one thing to the message with that UID.
func stepsOn(key, uid string, what int) []commanded {
	none := func(*ledger) {}
	maybe := func(where string) func(*ledger) { return func(l *ledger) { l.begin(key, nil, where) } }
	into := func(where string) func(*ledger) {
		return func(l *ledger) { l.acknowledge(key, func(r *record) { r.mailbox, r.maybe = where, "" }) }
	}
	switch what {
	case 0:
		return []commanded{{"UID STORE " + uid + ` +FLAGS (\Flagged)`, step{begin: none, done: func(l *ledger) {
			l.acknowledge(key, func(r *record) { r.flagged = true })
		}}}}
	case 1:
		return []commanded{{"UID MOVE " + uid + " Archive", step{begin: maybe("Archive"), done: into("Archive")}}}
	case 2:
		return []commanded{
			{"UID STORE " + uid + ` +FLAGS.SILENT (\Deleted)`, step{begin: none, done: none}},
			{"UID EXPUNGE " + uid, step{begin: maybe("gone"), done: into("")}},
		}
	}
	return nil
}

// testimony is the answers that have left the server up to a line of a trace.
type testimony struct {
	names   map[string]string // by TCP connection
	inData  map[string]bool
	answers map[string][]bool // by name
}

func newTestimony() *testimony {
	return &testimony{names: map[string]string{}, inData: map[string]bool{}, answers: map[string][]bool{}}
}

// hear takes one call of the server.
func (y *testimony) hear(c straceread.Call) {
	if !strings.HasPrefix(c.On, "TCP:") {
		return
	}
	data := c.Data()
	switch c.Name {
	case "read":
		if _, rest, ok := strings.Cut(data, "EHLO "); ok && y.names[c.On] == "" {
			y.names[c.On] = strings.TrimSuffix(strings.TrimSpace(rest), ".test")
		} else if strings.Contains(data, " LOGIN carol@") {
			y.names[c.On] = "carol"
		}
	case "write":
		if name := y.names[c.On]; name == "carol" {
			y.tagged(name, data)
		} else if name != "" {
			y.replied(c.On, name, data)
		}
	}
}

// tagged takes the end of a command, but for LOGIN and SELECT.
func (y *testimony) tagged(name, data string) {
	for line := range strings.Lines(data) {
		tag, rest, _ := strings.Cut(line, " ")
		if len(tag) > 1 && tag[0] == 't' && tag != "t1" && tag != "t2" {
			y.answers[name] = append(y.answers[name], strings.HasPrefix(rest, "OK"))
		}
	}
}

// replied takes the reply to a message; one whose MAIL, RCPT or DATA is refused
// is answered by that.
func (y *testimony) replied(conn, name, data string) {
	switch {
	case strings.HasPrefix(data, "354"):
		y.inData[conn] = true
	case y.inData[conn] || data[0] == '4':
		y.inData[conn] = false
		y.answers[name] = append(y.answers[name], data[0] == '2')
	}
}

// ledger is what must be and what may be after the answers so far: each
// connection may have asked for one thing more.
func (w *witness) ledger(y *testimony) (l *ledger, outgoing []string) {
	l = newLedger()
	for name, steps := range w.steps {
		answers := y.answers[name]
		for i, s := range steps[:min(len(steps), len(answers)+1)] {
			acknowledged := i < len(answers) && answers[i]
			switch {
			case s.out != "" && acknowledged:
				outgoing = append(outgoing, s.out)
			case s.out != "":
			case acknowledged:
				s.begin(l)
				s.done(l)
			default:
				s.begin(l)
			}
			if acknowledged {
				l.delivered++
			}
		}
	}
	return l, outgoing
}
