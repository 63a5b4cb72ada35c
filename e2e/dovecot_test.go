package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
)

// dovecot is how Dovecot is set up.
type dovecot struct {
	UID                   int
	Host, Domain, Address string
}

// The password of Dovecot's people: friend and other at dovecot.test and
// passed at postfix.test, who have mailboxes, and smart, for whom it answers when
// Postfix asks.
const secret = "a secret of Dovecot's"

// startDovecot runs Debian's Dovecot for dovecot.test.
func (n *corner) startDovecot() *peer {
	n.t.Helper()
	p := n.newPeer("dovecot", "mx.dovecot.test")
	p.file("etc/dovecot/dovecot.conf", fill(n.t, "dovecot.conf", dovecot{readerUID, p.host, p.domain(), p.address()}))
	var users strings.Builder
	for _, user := range []string{"friend@dovecot.test", "other@dovecot.test", "passed@postfix.test", "smart"} {
		fmt.Fprintf(&users, "%s:{PLAIN}%s::::::\n", user, secret)
	}
	p.file("etc/dovecot/users", users.String())
	p.start("/usr/sbin/dovecot", "-F")
	for _, port := range []int{24, 110, 143, 12345} {
		p.await(port)
	}
	return p
}

// TestPeerDovecot: a route carries by LMTP into Dovecot, where each recipient
// has an answer of his own, and what is read there is what was sent.
func TestPeerDovecot(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startDovecot()
	o.must("", "route", "set", "lmtp", "--to", p.domain(), "--lmtp", p.host)
	l := eightBit(t, o.person("alice"), "friend@dovecot.test", "nobody@dovecot.test", "other@dovecot.test")
	l.octets = append(l.octets, body(1<<20)...)
	o.post(l)
	for _, user := range []string{"friend", "other"} {
		p.arrived(user, l)
		got := p.inbox(user + "@" + p.domain())
		compare(t, got, l.octets)
		for _, want := range []string{"Return-Path: <alice@first.test>", "with LMTP"} {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("no %q in\n%.1500s", want, got)
			}
		}
	}
	o.report("alice", l).check(t, told{"Action": "failed", "Status": "5.1.1", "Final-Recipient": "nobody@dovecot.test",
		"Remote-Mta": p.host, "Diagnostic-Code": "550 5.1.1 <nobody@dovecot.test> User doesn't exist"})
	out := p.run("doveadm", "fetch", "-u", "other@dovecot.test", "hdr.message-id", "mailbox", "INBOX")
	if strings.Count(out, l.id()) != 1 {
		t.Errorf("doveadm finds\n%s", out)
	}
}

// inbox reads the one message of a user by IMAP.
func (p *peer) inbox(user string) (got []byte) {
	p.t.Helper()
	c, err := mailclient.Dial(p.address(), 143, false)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Line(); err != nil {
		p.t.Fatal(err)
	}
	for _, command := range []string{fmt.Sprintf("LOGIN %s %q", user, secret), "EXAMINE INBOX"} {
		if _, err := c.IMAP(false, nil, "%s", command); err != nil {
			p.t.Fatal(err)
		}
	}
	var all [][]byte
	_, err = c.IMAP(true, func(r mailclient.Response) { all = append(all, r.Literals...) }, "FETCH 1:* BODY.PEEK[]")
	if err != nil || len(all) != 1 {
		p.t.Fatalf("%d messages of %s, %v; want one", len(all), user, err)
	}
	return all[0]
}
