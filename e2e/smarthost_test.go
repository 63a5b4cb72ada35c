package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestPeerSmarthost: a route leads to Postfix's submission port, which takes
// nothing but from who logged in over TLS; Dovecot knows the password.
func TestPeerSmarthost(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	n.startDovecot()
	o, p := n.open("mx.first.test"), n.startPostfix(nil)
	route := func(password string) {
		t.Helper()
		o.must(password+"\n", "route", "set", "smart", "--to", "*", "--smtp", p.host+":587", "--tls", "verified", "--user", "smart", "--password-stdin")
	}
	route(secret)
	l := newLetter(t, o.person("alice"), "friend@postfix.test")
	o.post(l)
	got := p.arrived("friend", l)
	for _, want := range []string{"(Authenticated sender: smart)", "with ESMTPSA", "using TLSv1.3"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("no %q in\n%.1500s", want, got)
		}
	}

	// A password that is wrong is the operator's to mend: the mail waits.
	route("not " + secret)
	l = newLetter(t, o.person("alice"), "other@postfix.test")
	o.post(l)
	o.waits(l, "535 5.7.8")
	route(secret)
	o.retry()
	p.arrived("other", l)
}

// waits waits until the letter, which has one recipient, was tried and waits
// because of reason: code, enhanced code and words.
func (o *office) waits(l letter, reason string) {
	o.t.Helper()
	eventually(o.t, func() error {
		out := o.must("", "queue", "list", "--recipient", l.to[0], "--json")
		var d struct {
			State string
			Last  struct {
				Code                    int
				Outcome, Enhanced, Text string
			}
		}
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			return fmt.Errorf("%w:\n%s", err, out)
		}
		why := fmt.Sprint(d.Last.Code, " ", d.Last.Enhanced, " ", d.Last.Text)
		if d.State != "waiting" || d.Last.Outcome != "deferred" || !strings.Contains(why, reason) {
			return fmt.Errorf("it does not wait because of %q:\n%s", reason, out)
		}
		return nil
	})
}

// retry has everything that waits tried now.
func (o *office) retry() {
	o.t.Helper()
	o.must("", "queue", "retry", "--state", "waiting")
}

// TestPeerUnverified: a route that demands a certificate of the host's name
// sends nothing to a host without one; one that demands TLS does.
func TestPeerUnverified(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startPostfix(nil)
	for _, host := range []string{"impostor.example.test", "mx.postfix.test"} {
		t.Run(host, func(t *testing.T) {
			o, p := *o, *p
			o.t, p.t = t, t
			o.must("", "route", "set", "strict", "--to", "postfix.test", "--smtp", host, "--tls", "verified")
			l := newLetter(t, o.person("alice"), "friend@postfix.test")
			o.post(l)
			if host == p.host {
				p.arrived("friend", l)
				return
			}
			o.waits(l, "certificate")
			if got, err := single(p.mailbox("friend"), l.id()); err == nil {
				t.Errorf("it was sent all the same:\n%s", got)
			}
			o.must("", "route", "set", "strict", "--to", "postfix.test", "--smtp", host, "--tls", "required")
			o.retry()
			if got := p.arrived("friend", l); !bytes.Contains(got, []byte("with ESMTPS id")) {
				t.Errorf("not by TLS:\n%s", got)
			}
		})
	}
}

// TestPeerWithoutTLS: a host without TLS gets mail in clear, but not by a route
// that demands TLS.
func TestPeerWithoutTLS(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startPostfix(func(c *postfix) { c.ServerTLS = "none" })
	l := eightBit(t, o.person("alice"), "friend@postfix.test", "other@postfix.test")
	o.post(l)
	for _, user := range []string{"friend", "other"} {
		if got := p.arrived(user, l); !bytes.Contains(got, []byte("(Postfix) with ESMTP id")) {
			t.Errorf("not in clear:\n%.1500s", got)
		}
	}
	o.must("", "route", "set", "strict", "--to", "postfix.test", "--mx", "--tls", "required")
	l = newLetter(t, o.person("alice"), "friend@postfix.test")
	o.post(l)
	o.waits(l, "TLS")
	if got, err := single(p.mailbox("friend"), l.id()); err == nil {
		t.Errorf("it was sent all the same:\n%s", got)
	}
}
