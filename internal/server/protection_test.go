package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/bans"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/history"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/sending"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

// guarded is a local configuration with bans, limits and the breaker.
func guarded(t *testing.T) config.Config {
	c := local(t)
	c.Bans.Off = false
	c.Sending, c.Watch.Mail = config.Default().Sending, true
	return c
}

// submission is a client that logged in on the submission port.
func submission(t *testing.T, s *Server, c config.Config, address, password string) *peer {
	t.Helper()
	for i, l := range c.Listeners {
		if l.Profile == config.ProfileSubmission && l.TLS != config.TLSImplicit {
			p := dial(t, s.Addrs()[i])
			p.say("", "220")
			p.say("EHLO client.example", "250 ")
			p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+address+"\x00"+password)), "235")
			return p
		}
	}
	t.Fatal("no submission")
	return nil
}

// write sends a message to all of to, and returns the last reply.
func (p *peer) write(from string, to ...string) string {
	p.t.Helper()
	p.say("MAIL FROM:<"+from+">", "250")
	for _, a := range to {
		if got := p.say("RCPT TO:<"+a+">", ""); !strings.HasPrefix(got, "250") {
			p.say("RSET", "250")
			return got
		}
	}
	p.say("DATA", "354")
	return p.say("From: <"+from+">\r\nSubject: x\r\n\r\ntext\r\n.", "")
}

// until waits for something that happens in the background.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("in vain waited for: " + what)
		}
	}
}

// subjects are those of the messages in the INBOX of an account.
func subjects(t *testing.T, s *Server, c config.Config, address string) string {
	t.Helper()
	for i, l := range c.Listeners {
		if l.Protocol == config.IMAP && l.TLS != config.TLSImplicit {
			p := dial(t, s.Addrs()[i])
			p.say("", "*")
			p.say("a LOGIN "+address+" secret", "a OK")
			p.say("b SELECT INBOX", "b ")
			got := p.say("c FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "c ")
			p.say("d LOGOUT", "d OK")
			return got
		}
	}
	return ""
}

// TestBreaker: an account that suddenly writes to 2,000 strangers is held, with what waits of
// its mail already; its owner and the postmaster are told; the postmaster can still be written to;
// release lets all of it go, and drop removes it.
func TestBreaker(t *testing.T) {
	c := guarded(t)
	c.Sending.NewHour, c.Sending.NewDay = 0, 0
	c.Postmaster = mail.Address{Local: "boss", Domain: "yubin.test"}
	s, stop := start(t, c)
	client := admin.InProcess(s.Admin())
	for _, a := range []string{"boss@yubin.test", c.Capture.String()} {
		if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: a, Password: "secret", AllowWeakPassword: true}); err != nil {
			t.Fatal(err)
		}
	}
	resume, err := s.store.carriage.pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bob := submission(t, s, c, "bob@yubin.test", "secret")
	made := 0
	flood := func(n int) {
		t.Helper()
		for n > 0 {
			var to []string
			for range min(n, 100) {
				made++
				to = append(to, fmt.Sprintf("n%d@strangers.example", made))
			}
			n -= len(to)
			if got := bob.write("bob@yubin.test", to...); !strings.HasPrefix(got, "250") {
				t.Fatalf("after %d: %s", made, got)
			}
		}
	}
	held := func() int {
		t.Helper()
		n, err := s.store.outgoing.queue.Count(t.Context(), queue.Filter{HeldBy: queue.HeldBySending})
		if err != nil {
			t.Fatal(err)
		}
		return n.Held
	}
	flood(2000)
	resume()
	until(t, "all is held", func() bool { return held() == 2000 })
	if got := bob.write("bob@yubin.test", "postmaster@yubin.test", "boss@yubin.test"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	until(t, "what is for a colleague is held", func() bool { return held() == 2001 })
	until(t, "the letters", func() bool {
		return strings.Contains(subjects(t, s, c, "bob@yubin.test"), "Mail that you send is being held back") &&
			strings.Contains(subjects(t, s, c, "boss@yubin.test"), "localhost needs a hand: sending")
	})
	if got := subjects(t, s, c, "boss@yubin.test"); strings.Count(got, "Subject: x\r\n") != 1 {
		t.Errorf("the postmaster has %q, want one message of bob's", got)
	}
	o, err := client.Overview(t.Context())
	if err != nil || o.State != admin.Warning || len(o.Concerns) != 1 || !strings.Contains(o.Concerns[0].Text, "mail from bob@yubin.test is kept in the queue since") ||
		!strings.Contains(o.Concerns[0].Text, "300 new recipients today; an account that sent on less than 7 days before may write to 200") {
		t.Errorf("%+v, %v", o.Concerns, err)
	}
	status, err := client.SendingOf(t.Context(), "bob@yubin.test")
	if err != nil || status.Usage.Held == nil || status.Usage.Held.Queued != 2001 || status.Usage.Today.New != 2000 {
		t.Errorf("%+v, %v", status.Usage, err)
	}
	page, err := client.QueueList(t.Context(), admin.QueueFilter{Recipient: "n1@strangers.example"}, "", 1)
	if err != nil || len(page.Items) != 1 || page.Items[0].HeldBy != "sending" {
		t.Errorf("%+v, %v", page, err)
	}

	released, err := client.ReleaseSending(t.Context(), "bob@yubin.test", false)
	if err != nil || released.Recipients != 2001 {
		t.Fatalf("%+v, %v", released, err)
	}
	until(t, "the queue is empty", func() bool {
		n, err := s.store.outgoing.queue.Count(t.Context(), queue.Filter{})
		return err == nil && n.Total() == 0
	})
	if got := subjects(t, s, c, "boss@yubin.test"); strings.Count(got, "Subject: x\r\n") != 2 {
		t.Errorf("after the release the postmaster has %q", got)
	}
	if _, err := client.ReleaseSending(t.Context(), "bob@yubin.test", false); mail.KindOf(err) != mail.NotFound {
		t.Errorf("released twice: %v", err)
	}

	flood(300)
	until(t, "it is held again", func() bool { return held() >= 100 })
	released, err = client.ReleaseSending(t.Context(), "bob@yubin.test", true)
	if err != nil || released.Recipients < 100 || !released.Dropped || held() != 0 {
		t.Errorf("%+v, %v, %d held", released, err, held())
	}
	if o, err := client.Overview(t.Context()); err != nil || len(o.Concerns) != 0 {
		t.Errorf("%+v, %v", o.Concerns, err)
	}
	if err := s.store.Admin().Store.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestBreakerEndsSessions: where the configuration says so, the sessions of an account that is
// held end.
func TestBreakerEndsSessions(t *testing.T) {
	c := guarded(t)
	c.Sending.EndSessions = true
	s, stop := start(t, c)
	bob := submission(t, s, c, "bob@yubin.test", "secret")
	var to []string
	for i := range 201 {
		to = append(to, fmt.Sprintf("n%d@strangers.example", i))
	}
	bob.write("bob@yubin.test", to...)
	if line, err := bob.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "421 4.7.0 this account sends much more than usual") {
		t.Errorf("%q, %v", line, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestSendingLimit: an account at its bound hears 451 with the time; a restart does not forget.
func TestSendingLimit(t *testing.T) {
	c := guarded(t)
	s, stop := start(t, c)
	two := int64(2)
	if _, err := admin.InProcess(s.Admin()).SetSending(t.Context(), "bob@yubin.test", admin.SendingChange{MessagesDay: &two}); err != nil {
		t.Fatal(err)
	}
	bob := submission(t, s, c, "bob@yubin.test", "secret")
	for range 2 {
		if got := bob.write("bob@yubin.test", "bob@yubin.test"); !strings.HasPrefix(got, "250") {
			t.Fatal(got)
		}
	}
	refused := func(bob *peer) {
		t.Helper()
		if got := bob.write("bob@yubin.test", "bob@yubin.test"); !strings.HasPrefix(got, "451 4.7.1 this account sent 2 messages in 24 hours, as many as it may; go on at 20") {
			t.Error(got)
		}
		if got := bob.write("bob@yubin.test", "postmaster@yubin.test"); !strings.HasPrefix(got, "250") {
			t.Errorf("to the postmaster: %s", got)
		}
	}
	refused(bob)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), c, deps())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	refused(submission(t, s, c, "bob@yubin.test", "secret"))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBans: over a proxy come strangers who do what is counted. Who does too much of it is turned
// away on every port, before TLS, with the words of the protocol; who logged in rightly, is trusted or
// administrates is not.
func TestBans(t *testing.T) {
	c := guarded(t)
	c.Open = false
	c.TLS.SelfSigned = true
	for i := range c.Listeners {
		c.Listeners[i].Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	s, stop := start(t, c)
	client := admin.InProcess(s.Admin())
	if _, err := client.TrustNetwork(t.Context(), "198.51.100.0/24"); err != nil {
		t.Fatal(err)
	}
	client.From = netip.MustParseAddr("192.0.2.77")
	if _, err := client.Networks(t.Context()); err != nil { // An administrator at work.
		t.Fatal(err)
	}
	// via connects as somebody to a listener.
	via := func(from string, is func(config.Listener) bool) (net.Conn, *bufio.Reader) {
		t.Helper()
		for i, l := range c.Listeners {
			if is(l) {
				p := dial(t, s.Addrs()[i])
				p.send("PROXY TCP4 " + from + " 203.0.113.1 4711 25\r\n")
				return p.conn, p.in
			}
		}
		t.Fatal("no such listener")
		return nil, nil
	}
	mx := func(l config.Listener) bool { return l.Profile == config.ProfileMX }
	web := func(from string) {
		t.Helper()
		for range 2 {
			conn, in := via(from, mx)
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
				t.Fatalf("%s: %q, %v", from, line, err)
			}
			fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "554 5.5.1") {
				t.Fatalf("%s: %q, %v", from, line, err)
			}
		}
	}
	// Bob logged in from here once, so his network is known.
	if _, err := s.store.directory.Login(t.Context(), "bob@yubin.test", "secret", directory.Client{Protocol: directory.IMAP, Addr: netip.MustParseAddr("203.0.113.50")}); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"203.0.113.7", "203.0.113.50", "198.51.100.7", "192.0.2.77", "127.0.0.1"} {
		web(from)
	}
	until(t, "the ban", func() bool { return s.store.bans.Active() == 1 })
	for name, one := range map[string]struct {
		is   func(config.Listener) bool
		want string
	}{
		"MX":         {mx, "554 5.7.1 your network is banned until 20"},
		"submission": {func(l config.Listener) bool { return l.Profile == config.ProfileSubmission && l.TLS == config.TLSStart }, "554 5.7.1 your network is banned until 20"},
		"IMAP":       {func(l config.Listener) bool { return l.Protocol == config.IMAP && l.TLS == config.TLSStart }, "* BYE your network is banned until 20"},
		"POP3":       {func(l config.Listener) bool { return l.Protocol == config.POP3 && l.TLS == config.TLSStart }, "-ERR your network is banned until 20"},
		"IMAPS":      {func(l config.Listener) bool { return l.Protocol == config.IMAP && l.TLS == config.TLSImplicit }, ""},
	} {
		_, in := via("203.0.113.7", one.is)
		line, err := in.ReadString('\n')
		if !strings.HasPrefix(line, one.want) || one.want == "" && (line != "" || err == nil) {
			t.Errorf("%s: %q, %v, want %q", name, line, err, one.want)
		}
		if _, err := in.ReadString('\n'); err == nil {
			t.Errorf("%s: it is not closed", name)
		}
	}
	for _, from := range []string{"203.0.113.8", "203.0.113.50", "198.51.100.7", "192.0.2.77", "127.0.0.1"} {
		if _, in := via(from, mx); in != nil {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
				t.Errorf("%s: %q, %v", from, line, err)
			}
		}
	}
	for address, want := range map[string]string{"203.0.113.50": "owner of an account", "198.51.100.7": "a trusted network: 198.51.100.0/24",
		"192.0.2.77": "administrator is logged in from: 192.0.2.77", "127.0.0.1": "this machine itself", "203.0.113.7": ""} {
		why, err := client.WhyBanned(t.Context(), address)
		if err != nil || !strings.Contains(why.Exempt, want) || want == "" && (why.Exempt != "" || why.Ban == nil || !strings.HasPrefix(why.Ban.Reason, "2 web requests since")) {
			t.Errorf("%s: %+v, %v", address, why, err)
		}
	}
	if _, err := client.AddBan(t.Context(), admin.NewBan{Network: "192.0.2.0/24"}); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("an administrator locks himself out: %v", err)
	}
	if _, err := client.LiftBan(t.Context(), "203.0.113.7"); err != nil || s.store.bans.Active() != 0 {
		t.Errorf("lifting: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestGuessesAreCounted: logins that fail count by what they were, on any way in.
func TestGuessesAreCounted(t *testing.T) {
	c := guarded(t)
	c.Open = false
	s, stop := start(t, c)
	from := netip.MustParseAddr("203.0.113.7")
	until(t, "it counts", s.store.bans.Counts)
	login := &authenticator{store: s.store, from: directory.Client{Protocol: directory.IMAP, Addr: from}}
	for _, password := range []string{"one", "two", "two"} { // The same one again is no guess.
		if _, err := login.Login(t.Context(), "bob@yubin.test", password); err == nil {
			t.Fatal("a wrong password is right")
		}
	}
	if _, err := login.Login(t.Context(), "nobody@yubin.test", "x"); err == nil {
		t.Fatal("nobody logged in")
	}
	why, err := s.store.bans.Why(t.Context(), from)
	if want := "2 wrong passwords, 1 login of an unknown user"; err != nil || why.Counts != want {
		t.Errorf("%+v, %v, want %s", why, err, want)
	}
	if bans.WrongPassword.Weight() >= bans.WebRequest.Weight() {
		t.Error("a wrong password weighs as much as a web request")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestAcquainted: to whom one wrote, and from whom one heard, are no strangers.
func TestAcquainted(t *testing.T) {
	s, stop := start(t, guarded(t))
	a, err := s.store.directory.Account(t.Context(), mail.Address{Local: "bob", Domain: "yubin.test"})
	if err != nil {
		t.Fatal(err)
	}
	to := mail.Address{Local: "x", Domain: "elsewhere.example"}
	who := sending.Sender{Account: a.ID, Domain: "yubin.test"}
	if isNew, err := s.store.sending.IsNew(t.Context(), who.Account, to); err != nil || !isNew {
		t.Errorf("before: new %t, %v", isNew, err)
	}
	of := func(proven mail.Domain) history.Correspondent {
		return history.Correspondent{Address: to, Authenticated: proven}
	}
	s.store.learning.history.Received(a.ID, of(""))
	if err := s.store.learning.history.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if isNew, err := s.store.sending.IsNew(t.Context(), who.Account, to); err != nil || !isNew {
		t.Errorf("after a letter that may be forged: new %t, %v", isNew, err)
	}
	s.store.learning.history.Received(a.ID, of("elsewhere.example"))
	if err := s.store.learning.history.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if isNew, err := s.store.sending.IsNew(t.Context(), who.Account, to); err != nil || isNew {
		t.Errorf("after one that is proven: new %t, %v", isNew, err)
	}
	to.Local = "y"
	s.store.learning.history.WroteTo(a.ID, to)
	if err := s.store.learning.history.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if isNew, err := s.store.sending.IsNew(t.Context(), who.Account, to); err != nil || isNew {
		t.Errorf("after: new %t, %v", isNew, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
