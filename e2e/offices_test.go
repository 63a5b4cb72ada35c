package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestPeerYubin: two yubins exchange mail, also for a domain whose first
// exchanger is dead, and say at once what can never be delivered.
func TestPeerYubin(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	a, b := n.open("mx.first.test"), n.open("mx.second.test")
	b.must("", "domain", "add", "backup.test")
	b.must("", "alias", "add", "friend@backup.test", b.person("bob"))
	for name, test := range map[string]func(*testing.T, *office, *office){
		"there":             yubinSends,
		"and back":          func(t *testing.T, a, b *office) { yubinSends(t, b, a) },
		"a success":         yubinReports,
		"an unknown":        yubinBounces,
		"by the second":     yubinGoesOn,
		"no mail, RFC 7505": hopeless("nobody@null.test", "5.1.10", "the domain null.test takes no mail"),
		"no such domain":    hopeless("nobody@nowhere.example", "5.1.2", "the domain nowhere.example does not exist"),
		"nobody there":      yubinWaits,
		"a loop":            yubinLoops,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := *a, *b
			a.t, b.t = t, t
			test(t, &a, &b)
		})
	}
}

func yubinSends(t *testing.T, a, b *office) {
	l := eightBit(t, a.person("alice"), b.person("alice"), b.person("bob"))
	l.octets = append(l.octets, body(5<<20)...)
	a.post(l)
	for _, account := range []string{"alice", "bob"} {
		got := b.arrived(account, l)
		for _, want := range []string{"Return-Path: <" + a.person("alice") + ">\r\n", "with ESMTPS (TLS1.3)", "with ESMTPA"} {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("no %q in\n%.1500s", want, got)
			}
		}
	}
}

func yubinReports(t *testing.T, a, b *office) {
	l := newLetter(t, a.person("alice"), b.person("bob"))
	l.options, l.notify = " RET=HDRS ENVID=e"+l.id(), " NOTIFY=SUCCESS ORCPT=rfc822;first+2Bname@second.test"
	a.post(l)
	b.arrived("bob", l)
	r := a.report("alice", l)
	r.check(t, told{"Action": "delivered", "Status": "2.", "Final-Recipient": b.person("bob"), "Original-Recipient": "first+name@second.test"})
	if got := r.message.Get("Original-Envelope-Id"); got != "e"+l.id() {
		t.Errorf("the report is about envelope %q", got)
	}
	if strings.Contains(r.returned, "one with a dot") {
		t.Errorf("RET=HDRS, and the text came back:\n%s", r.returned)
	}
}

func yubinBounces(t *testing.T, a, b *office) {
	l := newLetter(t, a.person("alice"), b.person("nobody"))
	a.post(l)
	r := a.report("alice", l)
	r.check(t, told{"Action": "failed", "Status": "5.1.1", "Remote-Mta": b.host, "Diagnostic-Code": "smtp; 550 5.1.1 there is no mailbox"})
	if !strings.Contains(r.text, "nobody@second.test") || !strings.Contains(r.text, "there is no mailbox") {
		t.Errorf("the text does not say who and why:\n%s", r.text)
	}
	if !strings.Contains(r.returned, strings.TrimSpace(string(l.octets))) {
		t.Errorf("the message did not come back whole:\n%s", r.returned)
	}
}

func yubinGoesOn(t *testing.T, a, b *office) {
	l := newLetter(t, a.person("alice"), "friend@backup.test")
	a.post(l)
	b.arrived("bob", l)
}

// hopeless sends to an address that no host takes mail for.
func hopeless(to, status, reason string) func(*testing.T, *office, *office) {
	return func(t *testing.T, a, _ *office) {
		l := newLetter(t, a.person("bob"), to)
		a.post(l)
		a.report("bob", l).check(t, told{"Action": "failed", "Status": status, "Final-Recipient": to, "Diagnostic-Code": reason})
	}
}

func yubinWaits(t *testing.T, a, _ *office) {
	l := newLetter(t, a.person("alice"), "friend@late.test")
	a.post(l)
	a.waits(l, "4.4.1")
}

// yubinLoops: mail for a domain that leads to ourselves comes back at once (RFC
// 5321 §5.1).
func yubinLoops(t *testing.T, a, _ *office) {
	a.must("", "route", "set", "loop", "--to", "local.test", "--mx", "--port", fmt.Sprint(a.mail))
	l := newLetter(t, a.person("alice"), "friend@local.test")
	a.post(l)
	a.report("alice", l).check(t, told{"Action": "failed", "Status": "5.4.6", "Final-Recipient": "friend@local.test"})
}

// TestPeerBackup: strangers may send to what a route relays, and to nothing
// else that is not ours.
func TestPeerBackup(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	a, b := n.open("mx.first.test"), n.open("mx.second.test")
	l := eightBit(t, "stranger@postfix.test", b.person("bob"))
	if err := l.hand(a.at, a.mail); err == nil || !strings.Contains(err.Error(), "550 5.7.1") {
		t.Errorf("relaying for a stranger: %v", err)
	}
	a.must("", "route", "set", "backup", "--to", b.domain(), "--relay", "--mx")
	if err := l.hand(a.at, a.mail); err != nil {
		t.Fatal(err)
	}
	got := b.arrived("bob", l)
	if !bytes.HasPrefix(got, []byte("Return-Path: <stranger@postfix.test>\r\n")) {
		t.Errorf("it arrived as\n%.1500s", got)
	}
	l.to = []string{"nobody@opensmtpd.test"}
	if err := l.hand(a.at, a.mail); err == nil || !strings.Contains(err.Error(), "550 5.7.1") {
		t.Errorf("relaying to a third: %v", err)
	}
}

// TestPeerDeliverPort: --deliver-port is where mail hosts are looked for, so
// that two post offices for trying reach each other on the same address.
func TestPeerDeliverPort(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	b := n.open("mx.second.test")
	a := n.open("mx.first.test", "--deliver-port", fmt.Sprint(b.mail))
	b.must("", "domain", "add", "local.test")
	b.must("", "alias", "add", "friend@local.test", b.person("bob"))
	l := newLetter(t, a.person("alice"), "friend@local.test")
	a.post(l)
	b.arrived("bob", l)
}
