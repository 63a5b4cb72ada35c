package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

// local is a local configuration on free ports.
func local(t *testing.T) config.Config {
	t.Helper()
	c := config.Local(filepath.Join(t.TempDir(), "data"), 0)
	for i := range c.Listeners {
		c.Listeners[i].Address = "127.0.0.1:0"
	}
	c.Admin.Address = "127.0.0.1:0"
	return c
}

func deps() Deps {
	return Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, Version: "test"}
}

// start opens and runs a server with one account until stop is called.
func start(t *testing.T, c config.Config) (s *Server, stop func() error) {
	t.Helper()
	return startWith(t, c, deps())
}

func startWith(t *testing.T, c config.Config, d Deps) (s *Server, stop func() error) {
	t.Helper()
	s, err := New(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() error {
		cancel()
		return <-done
	}
	client := admin.InProcess(s.Admin())
	if _, err := client.AddDomain(t.Context(), "yubin.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "bob@yubin.test", Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

// peer is a client that speaks lines.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, a net.Addr) *peer {
	t.Helper()
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, c)
}

func newPeer(t *testing.T, c net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, c, bufio.NewReader(c)}
}

// send sends octets and waits for nothing.
func (p *peer) send(octets string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, octets); err != nil {
		p.t.Fatal(err)
	}
}

// say sends a line, unless it is empty, and returns the answer up to the line
// that begins with end.
func (p *peer) say(line, end string) string {
	p.t.Helper()
	if line != "" {
		p.send(line + "\r\n")
	}
	var all strings.Builder
	for {
		got, err := p.in.ReadString('\n')
		all.WriteString(got)
		if err != nil {
			p.t.Fatalf("after %q: %q, %v; want %q", line, all.String(), err, end)
		}
		if strings.HasPrefix(got, end) {
			return all.String()
		}
	}
}

// listenerOf returns the address of the first listener of that service.
func listenerOf(s *Server, c config.Config, service string) net.Addr {
	for i, l := range c.Listeners {
		if l.Service() == service {
			return s.Addrs()[i]
		}
	}
	return nil
}

// send delivers a message to bob over SMTP.
func send(t *testing.T, a net.Addr, subject string) {
	t.Helper()
	p := dial(t, a)
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("MAIL FROM:<x@example.org>", "250 ")
	p.say("RCPT TO:<bob@yubin.test>", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: "+subject+"\r\n\r\nHello.\r\n.", "250 ")
	p.say("QUIT", "221 ")
}

// TestEndToEnd: a message that comes by SMTP is read by IMAP and POP3, and is
// there after a restart.
func TestEndToEnd(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	send(t, listenerOf(s, c, "smtp"), "first")

	p := dial(t, listenerOf(s, c, "imap"))
	p.say("", "* OK")
	p.say("a LOGIN bob@yubin.test secret", "a OK")
	if got := p.say("b SELECT INBOX", "b OK"); !strings.Contains(got, "* 1 EXISTS") {
		t.Errorf("SELECT: %s", got)
	}
	if got := p.say("c FETCH 1 (ENVELOPE BODY.PEEK[TEXT])", "c OK"); !strings.Contains(got, `"first"`) || !strings.Contains(got, "Hello.") {
		t.Errorf("FETCH: %s", got)
	}
	pop := dial(t, listenerOf(s, c, "pop3"))
	pop.say("", "+OK")
	pop.say("USER bob@yubin.test", "+OK")
	pop.say("PASS secret", "+OK")
	if got := pop.say("STAT", "+OK"); !strings.HasPrefix(got, "+OK 1 ") {
		t.Errorf("STAT: %s", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	again, err := OpenStore(t.Context(), c.Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	client := admin.InProcess(again.Admin())
	bob, err := client.Account(t.Context(), "bob@yubin.test")
	if err != nil || bob.Holds.Messages != 1 {
		t.Errorf("after a restart: %+v, %v", bob, err)
	}
	if err := client.Check(t.Context(), true, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestTwoServers run in one process and know nothing of each other.
func TestTwoServers(t *testing.T) {
	one, two := local(t), local(t)
	s1, stop1 := start(t, one)
	s2, stop2 := start(t, two)
	send(t, listenerOf(s1, one, "smtp"), "for one")
	for i, s := range []*Server{s1, s2} {
		bob, err := admin.InProcess(s.Admin()).Account(t.Context(), "bob@yubin.test")
		if want := int64(1 - i); err != nil || bob.Holds.Messages != want {
			t.Errorf("server %d: %+v, %v", i, bob.Holds, err)
		}
	}
	if err := stop1(); err != nil {
		t.Error(err)
	}
	send(t, listenerOf(s2, two, "smtp"), "for two")
	if err := stop2(); err != nil {
		t.Error(err)
	}
}

// TestNoRelay: mail to other domains is refused to who has not logged in, and
// unknown addresses here to everybody.
func TestNoRelay(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	for service, elsewhere := range map[string]string{"smtp": "550 5.7.1 ", "lmtp": "550 5.7.1 ", "submission": "250 2.1.5 "} {
		p := dial(t, listenerOf(s, c, service))
		p.say("", "220 ")
		hello := "EHLO"
		if service == "lmtp" {
			hello = "LHLO"
		}
		p.say(hello+" client.test", "250 ")
		if service == "submission" {
			p.say("AUTH PLAIN AGJvYkB5dWJpbi50ZXN0AHNlY3JldA==", "235 ")
		}
		p.say("MAIL FROM:<bob@yubin.test>", "250 ")
		p.say("RCPT TO:<x@example.org>", elsewhere)
		if got := p.say("RCPT TO:<nobody@yubin.test>", "550 "); !strings.HasPrefix(got, "550 5.1.1 ") {
			t.Errorf("%s: %s", service, got)
		}
		p.say("RCPT TO:<Postmaster>", "250 ")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestReloadLimits: new connections get the new limits, open ones keep theirs.
func TestReloadLimits(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	p := dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	changed := c
	changed.Limits.MessageSize = 100 << 10
	changed.Hostname = "other.test"
	done, err := s.Reload(changed)
	if err != nil || fmt.Sprint(done) != "{[limits] [hostname]}" {
		t.Errorf("Reload: %v, %v", done, err)
	}
	if got := p.say("EHLO client.test", "250 "); !strings.Contains(got, fmt.Sprintf("SIZE %d\r", c.Limits.MessageSize)) {
		t.Errorf("the old connection: %s", got)
	}
	q := dial(t, listenerOf(s, c, "smtp"))
	q.say("", "220 ")
	if got := q.say("EHLO client.test", "250 "); !strings.Contains(got, "SIZE 102400\r") {
		t.Errorf("a new connection: %s", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestDrain: a session that waits for a command hears goodbye.
func TestDrain(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	smtp := dial(t, listenerOf(s, c, "smtp"))
	smtp.say("", "220 ")
	imap := dial(t, listenerOf(s, c, "imap"))
	imap.say("", "* OK")
	done := make(chan error)
	go func() { done <- stop() }()
	smtp.say("", "421 ")
	imap.say("", "* BYE")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
