package imapd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/memnet"
)

// client is a naive IMAP client: it believes what it is told, and keeps the
// list of messages from untagged responses alone.
type client struct {
	t     testing.TB
	name  string
	conn  net.Conn
	in    *bufio.Reader
	uids  []mail.UID // by sequence number; 0 where the client was not told yet
	flags map[mail.UID]string
	log   []string
	tag   int
	watch func(line string) // sees every untagged response, after it was believed; or nil
}

func (h *house) client(t *testing.T, name string) *client {
	ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.serve(theirs)
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-done
	})
	c := &client{t: t, name: name, conn: ours, in: bufio.NewReader(ours), flags: map[mail.UID]string{}}
	c.line()
	c.run("LOGIN alice@example.org secret")
	return c
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", c.name, err, strings.Join(c.log, "\n"))
	}
	s = strings.TrimRight(s, "\r\n")
	c.log = append(c.log, c.name+"< "+s)
	if open := strings.LastIndexByte(s, '{'); open >= 0 && strings.HasSuffix(s, "}") {
		n, err := strconv.Atoi(strings.TrimPrefix(s[open+1:len(s)-1], "~"))
		if err == nil { // A literal, and what follows it.
			octets := make([]byte, n)
			if _, err := io.ReadFull(c.in, octets); err != nil {
				c.t.Fatalf("%s: %v", c.name, err)
			}
			return s + string(octets) + c.line()
		}
	}
	return s
}

// run sends a command and believes its responses; it returns the tagged one.
func (c *client) run(format string, args ...any) string {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("t%d", c.tag)
	cmd := fmt.Sprintf(format, args...)
	c.log = append(c.log, c.name+"> "+cmd)
	if _, err := fmt.Fprintf(c.conn, "%s %s\r\n", tag, cmd); err != nil {
		c.t.Fatal(err)
	}
	for {
		l := c.line()
		if rest, mine := strings.CutPrefix(l, tag+" "); mine {
			return rest
		}
		c.believe(l, cmd)
		if c.watch != nil {
			c.watch(l)
		}
	}
}

// believe does what an untagged response says, and fails where it breaks the
// rules of RFC 3501 §7.4.1.
func (c *client) believe(l, cmd string) {
	c.t.Helper()
	var n int
	switch {
	case scanned(l, "* %d EXPUNGE", &n):
		verb, _, _ := strings.Cut(cmd, " ")
		if verb == "FETCH" || verb == "STORE" || verb == "SEARCH" {
			c.fatal("EXPUNGE during " + cmd)
		}
		if n < 1 || n > len(c.uids) {
			c.fatal("EXPUNGE of a message there is not")
		}
		c.uids = slices.Delete(c.uids, n-1, n)
	case scanned(l, "* %d EXISTS", &n):
		if n < len(c.uids) {
			c.fatal("EXISTS makes the mailbox smaller")
		}
		for len(c.uids) < n {
			c.uids = append(c.uids, 0)
		}
	case strings.Contains(l, " FETCH ("):
		c.fetched(l)
	}
}

func scanned(l, format string, n *int) bool {
	var word string
	want := strings.TrimPrefix(format, "* %d ")
	_, err := fmt.Sscanf(l, "* %d %s", n, &word)
	return err == nil && word == want && len(strings.Fields(l)) == 3
}

func (c *client) fetched(l string) {
	c.t.Helper()
	var seq int
	var uid mail.UID
	fmt.Sscanf(l, "* %d FETCH", &seq)
	if i := strings.Index(l, "UID "); i >= 0 {
		fmt.Sscanf(l[i:], "UID %d", &uid)
	}
	if seq < 1 || seq > len(c.uids) {
		c.fatal("FETCH of a message there is not")
	}
	if uid != 0 {
		if c.uids[seq-1] != 0 && c.uids[seq-1] != uid {
			c.fatal("a message changes its UID")
		}
		c.uids[seq-1] = uid
	}
	if i := strings.Index(l, "FLAGS ("); i >= 0 && c.uids[seq-1] != 0 {
		text := l[i+len("FLAGS ("):]
		c.flags[c.uids[seq-1]] = text[:strings.Index(text, ")")]
	}
}

func (c *client) fatal(why string) {
	c.t.Helper()
	c.t.Fatalf("%s\n%s", why, strings.Join(c.log, "\n"))
}

// any picks a sequence number.
func (c *client) any(r *rand.Rand) int { return 1 + r.IntN(len(c.uids)) }

var someFlags = []string{`\Seen`, `\Flagged`, `\Deleted`, `\Answered`, `Word`}

// act does something random.
func (c *client) act(r *rand.Rand) {
	flag := someFlags[r.IntN(len(someFlags))]
	if len(c.uids) == 0 {
		c.run("NOOP")
		return
	}
	switch r.IntN(12) {
	case 0:
		c.run("NOOP")
	case 1:
		c.run("STORE %d +FLAGS (%s)", c.any(r), flag)
	case 2:
		c.run("UID STORE %d:%d -FLAGS (%s)", 1+r.IntN(30), 1+r.IntN(30), flag)
	case 3:
		c.storeSilent(c.any(r), flag)
	case 4:
		c.run("EXPUNGE")
	case 5:
		c.run("FETCH %d:%d (UID FLAGS)", c.any(r), c.any(r))
	case 6:
		c.run("UID FETCH 1:* (FLAGS RFC822.SIZE)")
	case 7:
		c.run("FETCH %d (UID BODY[9])", c.any(r)) // There is no part 9; it sets \Seen all the same.
	case 8:
		c.run("SEARCH UNSEEN")
	case 9:
		c.run("UID SEARCH RETURN (COUNT) DELETED")
	case 10:
		c.run("MOVE %d Trash", c.any(r))
	case 11:
		c.run("COPY %d INBOX", c.any(r))
	}
}

// storeSilent does to its own flags what it asks of the server.
func (c *client) storeSilent(seq int, flag string) {
	uid := c.uids[seq-1]
	have, known := c.flags[uid]
	got := c.run("STORE %d +FLAGS.SILENT (%s)", seq, flag)
	if !known || uid == 0 || !strings.HasPrefix(got, "OK done") {
		return
	}
	if now := c.flags[uid]; now == have && !slices.Contains(strings.Fields(have), flag) {
		c.flags[uid] = strings.TrimSpace(have + " " + flag)
	}
}

// state is what the client believes, sorted.
func (c *client) state() string {
	var b strings.Builder
	for _, u := range c.uids {
		names := strings.Fields(c.flags[u])
		names = slices.DeleteFunc(names, func(n string) bool { return n == `\Recent` })
		slices.Sort(names)
		fmt.Fprintf(&b, "%d%v ", u, names)
	}
	return b.String()
}

// truth is what the store has.
func (h *house) truth() string {
	box, err := h.store.Mailbox(context.Background(), h.alice, mail.Inbox)
	h.must(err)
	v, err := h.store.View(context.Background(), box.ID)
	h.must(err)
	var b strings.Builder
	for _, e := range v.All() {
		names := e.Flags.AppendNames(e.Keywords.Names())
		slices.Sort(names)
		fmt.Fprintf(&b, "%d%v ", e.UID, names)
	}
	return b.String()
}

// Clients that do random things to one mailbox at the same time as each other
// agree with the store whenever they have been told everything.
func TestSessionsAgree(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHouse(t)
			r := rand.New(rand.NewPCG(seed, 7))
			clients := []*client{h.client(t, "A"), h.client(t, "B"), h.client(t, "C")}
			if _, err := h.do("fill", "5"); err != nil {
				t.Fatal(err)
			}
			for _, c := range clients {
				c.run("SELECT INBOX")
				c.run("FETCH 1:5 (UID FLAGS)")
			}
			for range 120 {
				if r.IntN(6) == 0 {
					h.deliver(mail.Inbox, simple("more"), 0)
				}
				clients[r.IntN(len(clients))].act(r)
				if r.IntN(10) == 0 {
					h.agree(clients)
				}
			}
			h.agree(clients)
		})
	}
}

// agree compares what the clients believe, after each has been told, with the
// store. New messages are fetched as a client does.
func (h *house) agree(clients []*client) {
	for _, c := range clients {
		c.run("NOOP")
		for i, u := range c.uids {
			if u == 0 {
				c.run("FETCH %d:* (UID FLAGS)", i+1)
				break
			}
		}
		c.run("NOOP")
		if got, want := c.state(), h.truth(); got != want {
			c.fatal(fmt.Sprintf("%s believes\n  %s\nbut the store has\n  %s", c.name, got, want))
		}
	}
}
