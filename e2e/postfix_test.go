package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// postfix is how Postfix is set up.
type postfix struct {
	UID                   int
	Host, Domain, Address string
	ServerTLS, ClientTLS  string
	Restrictions          string // of recipients
	Login                 string // address and port of a Dovecot that knows passwords
	Room                  int    // octets of a message
	Transport             string // to mailboxes
	Filter                string // a milter, or none
	Aliases               string // a table of addresses that stand for others, or none
}

// startPostfix runs Debian's Postfix for postfix.test, where friend, other, 郵便
// and passed have mailboxes.
func (n *corner) startPostfix(set func(*postfix)) *peer {
	n.t.Helper()
	p := n.newPeer("postfix", "mx.postfix.test")
	c := postfix{UID: readerUID, Host: p.host, Domain: p.domain(), Address: p.address(), ServerTLS: "may", ClientTLS: "may",
		Restrictions: "permit_mynetworks, reject_unauth_destination", Login: n.address("mx.dovecot.test") + ":12345", Room: 30_000_000, Transport: "virtual"}
	if set != nil {
		set(&c)
	}
	// What the package keeps beside the configuration, postfix-files and the like.
	if err := os.CopyFS(p.path("etc/postfix"), os.DirFS("/etc/postfix")); err != nil {
		n.t.Fatal(err)
	}
	p.file("etc/postfix/main.cf", fill(n.t, "main.cf", c))
	p.file("etc/postfix/master.cf", fill(n.t, "master.cf", c))
	p.folder("var/spool/postfix", 0, 0o755)
	p.folder("var/lib/postfix", 0, 0o755)
	p.own("postfix", "var/lib/postfix")
	p.start("/usr/sbin/postfix", "start-fg")
	p.await(25)
	return p
}

// logged waits until a file of the peer's /var/log has lines of these forms.
func (p *peer) logged(file string, forms ...string) {
	p.t.Helper()
	for _, form := range forms {
		eventually(p.t, func() error {
			if !regexp.MustCompile(form).MatchString(read(p.t, p.path("var/log/"+file))) {
				return fmt.Errorf("%s has no line like %q", file, form)
			}
			return nil
		})
	}
}

// own gives a folder to a user that the peer knows by name.
func (p *peer) own(user, name string) {
	p.t.Helper()
	p.run("chown", user, "/"+name)
}

// run runs a program that sees the peer's /etc and /var, and returns what it
// prints.
func (p *peer) run(program string, args ...string) string {
	p.t.Helper()
	out, err := p.inside(program, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestPeerPostfixSends: what Postfix carries to yubin comes there unchanged,
// with TLS whose certificate Postfix verifies, and in clear.
func TestPeerPostfixSends(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ offered, demanded, with string }{
		"verified TLS": {"starttls", "secure", "with ESMTPS"},
		"clear":        {"none", "may", "with ESMTP "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newCorner(t)
			o := n.openProperly("mx.first.test", tc.offered)
			p := n.startPostfix(func(c *postfix) { c.ClientTLS = tc.demanded })
			l := eightBit(t, "friend@postfix.test", "alice@first.test", "bob@first.test")
			if err := l.hand(p.address(), 25); err != nil {
				t.Fatal(err)
			}
			for _, account := range []string{"alice", "bob"} {
				got := o.arrived(account, l)
				for _, want := range []string{"Return-Path: <friend@postfix.test>\r\n", "from mx.postfix.test ", tc.with} {
					if !bytes.Contains(got, []byte(want)) {
						t.Errorf("no %q in\n%s", want, got)
					}
				}
			}
		})
	}
}

// TestPeerPostfix sends all kinds of mail both ways.
func TestPeerPostfix(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o, p := n.open("mx.first.test"), n.startPostfix(nil)
	t.Run("mail", func(t *testing.T) {
		exchange(t, o, p, abilities{utf8: true, orcpt: "first+name", trace: []string{"with ESMTPS id", "using TLSv1.3 with cipher"},
			unknown: told{"Status": "5.1.1", "Diagnostic-Code": "smtp; 550 5.1.1 <"},
			refused: told{"Status": "5.1.1", "Diagnostic-Code": "smtp; 550 5.1.1 there is no mailbox", "Remote-Mta": o.host}})
	})
	o.close() // It keeps connections, and Postfix tells what was done in one at its end.
	p.logged("postfix.log", `disconnect from \S+ ehlo=2 starttls=1 .*bdat=[1-9]`, `Using ESMTP PIPELINING`,
		`> mx\.first\.test\S+ RCPT TO:<alice@first\.test>.* NOTIFY=SUCCESS`)
}

// TestPeerReportHasRoom: a report about a message that Postfix has no room for is
// sent there again with the header of the message alone, and about mail to and
// from nobody there the postmaster here is told.
func TestPeerReportHasRoom(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	o := n.open("mx.first.test")
	p := n.startPostfix(func(c *postfix) { c.Room = 20_000 })
	o.must("", "alias", "add", "elsewhere@first.test", "friend@postfix.test")
	o.must("", "alias", "add", "postmaster@first.test", o.person("alice"))
	l := newLetter(t, "other@postfix.test", "elsewhere@first.test")
	l.octets = append(l.octets, strings.Repeat("A line of many.\r\n", 10_000)...)
	if err := l.hand(o.at, o.mail); err != nil {
		t.Fatal(err)
	}
	r := p.report("other", l, abilities{})
	r.check(t, told{"Final-Recipient": "friend@postfix.test", "Action": "failed", "Status": "5.3.4"})
	if strings.Contains(r.returned, "A line of many") || !strings.Contains(r.returned, "<"+l.id()+">") {
		t.Errorf("returned:\n%.2000s", r.returned)
	}

	l = newLetter(t, "nobody@postfix.test", "elsewhere@first.test")
	l.octets = append(l.octets, strings.Repeat("A line of many.\r\n", 10_000)...)
	if err := l.hand(o.at, o.mail); err != nil {
		t.Fatal(err)
	}
	r = o.report("alice", l)
	r.check(t, told{"Final-Recipient": "nobody@postfix.test", "Action": "failed", "Status": "5.1.1", "Diagnostic-Code": "smtp; 550 5.1.1 <nobody@postfix.test>"})
	if !strings.Contains(r.returned, "Final-Recipient: rfc822; friend@postfix.test") {
		t.Errorf("the report about the report has\n%s", r.returned)
	}
}

// TestPeerGreylist: who is told 450 waits, and gets through later.
func TestPeerGreylist(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	p := n.startPostfix(func(c *postfix) {
		c.Restrictions = "check_policy_service inet:" + greylist(t, n.address("policy.example.test")) + ", permit_mynetworks, reject_unauth_destination"
	})
	o := n.open("mx.first.test")
	l := newLetter(t, o.person("alice"), "friend@postfix.test")
	o.post(l)
	o.waits(l, "450 4.7.1")
	o.retry()
	p.arrived("friend", l)
	if all, err := o.inbox("alice"); err != nil || len(all) != 0 {
		t.Errorf("the sender was sent %d messages, %v", len(all), err)
	}
}

// greylist answers Postfix's policy requests: the first for a recipient is put
// off.
func greylist(t testing.TB, host string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var seen sync.Map
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerPolicy(c, &seen)
		}
	}()
	return l.Addr().String()
}

func answerPolicy(c net.Conn, seen *sync.Map) {
	defer c.Close()
	recipient := ""
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "recipient="); ok {
			recipient = value
		}
		if lines.Text() != "" {
			continue
		}
		answer := "DUNNO"
		if _, again := seen.LoadOrStore(recipient, true); !again {
			answer = "450 4.7.1 come back later"
		}
		if _, err := fmt.Fprintf(c, "action=%s\n\n", answer); err != nil {
			return
		}
	}
}
