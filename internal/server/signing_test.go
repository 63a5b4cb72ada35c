package server

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/smtpsink"
	"yubin/internal/world/resolver"
)

// TestSigned: mail of a principal leaves with two signatures that verify at the next
// hop, as it is and converted for a host without 8BITMIME; what stays here has none.
func TestSigned(t *testing.T) {
	letters := make(chan *smtpsink.Letter, 16)
	host := &smtpsink.Host{Offers: []string{"8BITMIME"}, Keep: true, Heard: func(l *smtpsink.Letter) { letters <- l }}
	old := &smtpsink.Host{Keep: true, Heard: host.Heard}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(ln.Addr())
	second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	for l, h := range map[net.Listener]*smtpsink.Host{ln: host, second: old} {
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go h.Serve(c)
			}
		}()
	}
	zone := dnstest.NewZone("sink.example. MX 10 mx.sink.example.\nmx.sink.example. A 127.0.0.1\nold.example. MX 10 mx.old.example.\nmx.old.example. A 127.0.0.2\n")
	ns, err := dnstest.Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	c := local(t)
	c.Hostname, c.Capture, c.DeliverPort = "mx.near.example", mail.Address{}, port
	c.DNS.Servers = []netip.AddrPort{ns.Addr()}
	s, stop := start(t, c)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	client := admin.InProcess(s.Admin())
	if _, err := client.AddDomain(t.Context(), "near.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "alice@near.example", Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	out := listenerOf(s, c, "submission")
	const eight = "From: alice@near.example\r\nTo: bob@sink.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe  \r\n.dot\r\n\r\n"

	submitEight(t, out, eight, "bob@sink.example") // The keys are there, but not in the DNS.
	if l := sunk(t, letters); strings.Contains(string(l.Octets), "DKIM-Signature") {
		t.Errorf("signed with a key that nobody can see:\n%s", l.Octets)
	}
	list, err := client.DKIMRecords(t.Context(), "near.example")
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, r := range list {
		half := len(r.Value) / 2
		if err := zone.Add(fmt.Sprintf("%s. TXT %q %q", r.Name, r.Value[:half], r.Value[half:])); err != nil {
			t.Fatal(err)
		}
	}
	if list, err = client.DKIMRecords(t.Context(), "near.example"); err != nil || list[0].State != "active" || list[1].State != "active" {
		t.Fatal(list, err)
	}

	r, err := resolver.New(resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{ns.Addr()}}})
	if err != nil {
		t.Fatal(err)
	}
	submitEight(t, out, eight, "bob@sink.example", "bob@old.example", "alice@near.example")
	fields := map[bool]string{}
	for range 2 {
		l := sunk(t, letters)
		verdicts, err := dkim.Verify(t.Context(), r, strings.NewReader(string(l.Octets)), dkim.Options{Now: time.Now()})
		if err != nil || len(verdicts) != 2 {
			t.Fatal(verdicts, err)
		}
		for _, v := range verdicts {
			if v.Result != dkim.Pass || v.Signature.Domain != "near.example" {
				t.Errorf("%v: %v (%s)\n%s", l.To, v.Result, v.Reason, l.Octets)
			}
		}
		is8, converted := strings.Contains(string(l.Octets), "ü"), !strings.Contains(string(l.Octets), "Content-Transfer-Encoding: 8bit")
		if is8 == converted || converted != (l.To[0] == "bob@old.example") {
			t.Errorf("%v has it 8-bit %v, converted %v", l.To, is8, converted)
		}
		fields[converted] = string(l.Octets[:strings.Index(string(l.Octets), "Received:")])
	}
	if fields[true] == fields[false] {
		t.Error("the converted message has the signatures of the other")
	}
	who, err := s.store.directory.Account(t.Context(), mail.Address{Local: "alice", Domain: "near.example"})
	if err != nil {
		t.Fatal(err)
	}
	if mine := newest(t, s, who.ID); strings.Contains(mine, "DKIM-Signature") {
		t.Errorf("a copy that never left is signed:\n%s", mine)
	}
}

func sunk(t *testing.T, letters chan *smtpsink.Letter) *smtpsink.Letter {
	t.Helper()
	select {
	case l := <-letters:
		return l
	case <-time.After(time.Minute):
		t.Fatal("nothing was sent")
	}
	return nil
}

// submitEight sends an 8-bit message as alice.
func submitEight(t *testing.T, a net.Addr, text string, to ...string) {
	t.Helper()
	p := dial(t, a)
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00alice@near.example\x00secret")), "235 ")
	p.say("MAIL FROM:<alice@near.example> BODY=8BITMIME", "250 ")
	for _, one := range to {
		p.say("RCPT TO:<"+one+">", "250 ")
	}
	p.say("DATA", "354 ")
	p.say(strings.ReplaceAll(text, "\r\n.", "\r\n..")+".", "250 ")
	p.say("QUIT", "221 ")
}
