package imapd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/mail"
)

// fillText puts n messages of size octets of text in INBOX.
func (h *house) fillText(n, size int) {
	box, err := h.store.Mailbox(h.ctx, h.alice, mail.Inbox)
	h.must(err)
	line := "Lorem ipsum dolor sit amet, consectetur adipiscing elit sed.\n"
	h.deliver(mail.Inbox, simple("text")+strings.Repeat(line, size/len(line)), 0)
	for range n - 1 {
		_, err := h.store.Copy(h.ctx, box.ID, mail.UIDs(1), box.ID)
		h.must(err)
	}
}

// dear is a SEARCH for many texts that nothing has.
func dear(texts int) string {
	var b strings.Builder
	b.WriteString("SEARCH NOT TEXT consecrated")
	for i := range texts {
		fmt.Fprintf(&b, " NOT TEXT amen%d", i)
	}
	return b.String()
}

// A command whose time is over says so, and the session goes on.
func TestTimeOfACommand(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxWork = time.Nanosecond })
	h.fillText(2, 200<<10)
	h.deliver(mail.Inbox, large(1<<20, 0), 0)
	for i := range 200 {
		_, err := h.store.CreateMailbox(h.ctx, h.alice, mail.MailboxName(fmt.Sprint("box ", i)), "")
		h.must(err)
	}
	c := h.plainClient(t)
	over := func(cmd string) {
		t.Helper()
		_, err := io.WriteString(c.c, "u "+cmd+"\r\n")
		h.must(err)
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "u NO [LIMIT] ") || !strings.Contains(line, "1ns of work") {
			t.Errorf("%.40s: %q, %v", cmd, line, err)
		}
	}
	over(dear(1))
	over("FETCH 3 (UID BINARY.SIZE[2])")
	over(`LIST "" (` + strings.Repeat("*x ", 60) + "*)")
	c.run("SEARCH FROM sender")
	c.run("FETCH 1:* (UID BODY.PEEK[HEADER])")
	_, err := io.WriteString(c.c, "u FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]\r\n")
	h.must(err)
	for responses := 0; ; responses++ {
		line, err := c.r.ReadString('\n')
		h.must(err)
		if !strings.HasPrefix(line, "u ") {
			continue
		}
		if !strings.HasPrefix(line, "u NO [LIMIT] ") || responses == 0 {
			t.Errorf("HEADER.FIELDS: %q after %d lines", line, responses)
		}
		break
	}
	c.run(`LIST "" *`)
}

// Commands end when their client has left, those that it sent before too; but
// not when it only sends no more.
func TestClientThatLeaves(t *testing.T) {
	h := newHouse(t)
	h.fillText(40, 1<<20)
	const commands = 40
	start := func() (c *net.TCPConn, r *bufio.Reader, ended chan struct{}) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		h.must(err)
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		h.must(err)
		server, err := l.Accept()
		h.must(err)
		ended = make(chan struct{})
		go func() {
			h.serve(server)
			close(ended)
		}()
		r = bufio.NewReader(client)
		_, err = io.WriteString(client, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\n")
		h.must(err)
		return client.(*net.TCPConn), r, ended
	}
	wait := func(r *bufio.Reader, tag string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("while waiting for %s: %v", tag, err)
			}
			if strings.HasPrefix(line, tag+" OK") {
				return
			}
		}
	}
	ends := func(ended chan struct{}) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("the session goes on")
		}
	}

	c, r, ended := start()
	wait(r, "b")
	_, err := io.WriteString(c, strings.Repeat("s "+dear(40)+"\r\n", commands))
	h.must(err)
	h.must(c.Close())
	ends(ended)
	var ran int
	_, at, _ := strings.Cut(h.log.String(), "commands=")
	if _, err := fmt.Sscan(at, &ran); err != nil || ran < 3 || ran > 3+commands/2 {
		t.Errorf("%d commands ran, %v; the log: %s", ran, err, h.log)
	}

	c, r, ended = start()
	wait(r, "b")
	_, err = io.WriteString(c, "s "+dear(40)+"\r\nt "+dear(40)+"\r\nz LOGOUT\r\n")
	h.must(err)
	h.must(c.CloseWrite())
	wait(r, "s")
	wait(r, "t")
	wait(r, "z")
	ends(ended)
	h.must(c.Close())
}

// Fifty searches of one account do not keep another waiting.
func TestOneAccountIsNotAll(t *testing.T) {
	h := newHouse(t)
	h.fillText(2, 1<<20)
	var stop atomic.Bool
	var done sync.WaitGroup
	var most, searches atomic.Int32
	for range 50 {
		c := h.plainClient(t)
		done.Go(func() {
			for !stop.Load() {
				c.run(dear(40))
				searches.Add(1)
			}
		})
	}
	bob := h.plainClientOf(t, "bob@example.org")
	var took []time.Duration
	for begun := time.Now(); time.Since(begun) < 2*time.Second; {
		start := time.Now()
		bob.run("STATUS INBOX (MESSAGES)")
		bob.run("SEARCH TEXT nothing")
		took = append(took, time.Since(start))
		most.Store(max(most.Load(), int32(h.srv.turns.Taken(h.alice))))
	}
	stop.Store(true)
	done.Wait()
	slices.Sort(took)
	late := took[len(took)*99/100]
	t.Logf("%d times: in the middle %v, 99 of 100 within %v; %d searches meanwhile", len(took), took[len(took)/2], late, searches.Load())
	if middle := took[len(took)/2]; middle > 500*time.Millisecond {
		t.Errorf("another account waits %v", middle)
	}
	if all := runtime.GOMAXPROCS(0); int(most.Load()) > all || most.Load() == 0 {
		t.Errorf("one account has %d turns, not 1 to %d", most.Load(), all)
	}
}
