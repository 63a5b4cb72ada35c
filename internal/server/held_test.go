package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/config"
)

// TestHeld: while a server is held for a move, who changes anything is told by every
// protocol to come again, and nothing is changed; reading goes on; afterwards all is as
// before. Nothing is carried meanwhile.
func TestHeld(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	addr := func(p config.Protocol, profile config.Profile) net.Addr {
		for i, l := range c.Listeners {
			if l.Protocol == p && l.Profile == profile && l.TLS != config.TLSImplicit {
				return s.Addrs()[i]
			}
		}
		t.Fatalf("no listener for %s %s", p, profile)
		return nil
	}
	lmtp, imap, pop := dial(t, addr(config.SMTP, config.ProfileLMTP)), dial(t, addr(config.IMAP, "")), dial(t, addr(config.POP3, ""))
	send := func() string {
		t.Helper()
		lmtp.say("MAIL FROM:<a@example.org>", "250")
		lmtp.say("RCPT TO:<bob@yubin.test>", "250")
		lmtp.say("DATA", "354")
		return lmtp.say("Subject: x\r\n\r\ntext\r\n.", "")
	}
	lmtp.say("", "220")
	lmtp.say("LHLO here", "250 ")
	if got := send(); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	imap.say("", "*")
	imap.say("a LOGIN bob@yubin.test secret", "a OK")
	imap.say("b SELECT INBOX", "b OK")
	pop.say("", "+OK")
	pop.say("USER bob@yubin.test", "+OK")
	pop.say("PASS secret", "+OK")
	pop.say("DELE 1", "+OK")

	hold := moves{s: s.store, d: deps()}.hold
	release, err := hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold(t.Context()); mail.KindOf(err) != mail.Conflict {
		t.Errorf("a second hold: %v", err)
	}
	for who, got := range map[string]string{
		"LMTP 4": send(),
		"IMAP c NO [UNAVAILABLE] the post office is moving; try again": imap.say(`c STORE 1 +FLAGS (\Flagged)`, "c "),
		"POP3 -ERR [SYS/TEMP]": pop.say("QUIT", ""),
	} {
		if protocol, want, _ := strings.Cut(who, " "); !strings.HasPrefix(got, want) {
			t.Errorf("%s says %q, want %s", protocol, got, want)
		}
	}
	if got := imap.say("d FETCH 1 (FLAGS BODY.PEEK[TEXT])", "d "); !strings.Contains(got, "text") || !strings.Contains(got, "d OK") {
		t.Errorf("reading while it is held: %q", got)
	}
	release()
	if got := imap.say(`e STORE 1 +FLAGS (\Flagged)`, "e "); !strings.Contains(got, `\Flagged`) || !strings.Contains(got, "e OK") {
		t.Errorf("afterwards: %q", got)
	}
	if got := send(); !strings.HasPrefix(got, "250") {
		t.Errorf("afterwards: %s", got)
	}
	if got := imap.say("f STATUS INBOX (MESSAGES)", "f "); !strings.Contains(got, "MESSAGES 2") {
		t.Errorf("in the end: %q", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestCarriage: a pause waits until what is carried is at its end, nothing begins
// before the pause is over, and the end of all ends a pause too.
func TestCarriage(t *testing.T) {
	var c carriage
	var running atomic.Int32
	began := make(chan bool, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	carry := func(ctx context.Context) error {
		running.Add(1)
		began <- true
		<-ctx.Done()
		running.Add(-1)
		return nil
	}
	go func() { done <- c.run(ctx, carry) }()
	for range 3 {
		<-began
		resume, err := c.pause(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if running.Load() != 0 || len(began) > 0 {
			t.Error("something is carried during a pause")
		}
		resume()
	}
	<-began
	if _, err := c.pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := new(carriage).run(t.Context(), func(context.Context) error { return broken }); err != broken {
		t.Errorf("got %v", err)
	}
}
