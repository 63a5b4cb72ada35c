package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"yubin/internal/mailauth/authres"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/smtpsink"
)

// journey is the way of mail over several hosts: from Postfix, which signs it with
// opendkim, to first.test, a yubin, whose aliases lead to second.test, another one, and to
// lists.
type journey struct {
	t             *testing.T
	net           *corner
	zone          *dnstest.Zone
	resolver      string // address and port of a name server that knows zone
	post          *peer
	first, second *office
	key           string                // a file with the key of Postfix's domain and of the lists
	lists         chan *smtpsink.Letter // what the lists were sent
}

// hopConfig is what the yubins have more: the clients here are strangers to them, too, and
// the seals of these domains are believed.
const hopConfig = `
[dns]
servers = [%q]
[judge]
local = true
trusted_arc = ["first.test", "lists.test"]
`

// hopZone says that each host may send for its own domain and for nothing else; the lists
// send from 127.0.0.1. What is of first.test or postfix.test and not proven is to be refused.
const hopZone = `
first.test. TXT "v=spf1 mx -all"
second.test. TXT "v=spf1 mx -all"
postfix.test. TXT "v=spf1 mx -all"
lists.test. TXT "v=spf1 ip4:127.0.0.1 -all"
others.test. TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.first.test. TXT "v=DMARC1; p=reject"
_dmarc.postfix.test. TXT "v=DMARC1; p=reject"
k._domainkey.postfix.test. TXT %[1]s
k._domainkey.lists.test. TXT %[1]s
k._domainkey.others.test. TXT %[1]s
`

func newJourney(t *testing.T) *journey {
	n := newCorner(t)
	j := &journey{t: t, net: n, lists: make(chan *smtpsink.Letter, 4)}
	record := j.makeKey()
	j.zone = dnstest.NewZone(strings.Join(zone, "\n") + fmt.Sprintf(hopZone, record))
	for host := range names {
		if err := j.zone.Add(host + ". A " + n.address(host)); err != nil {
			t.Fatal(err)
		}
	}
	server, err := dnstest.Listen(j.zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	j.resolver = server.Addr().String()
	j.startLists()
	j.first = j.open("mx.first.test", "second.test", "postfix.test", "lists.test", "others.test")
	j.second = j.open("mx.second.test", "first.test", "postfix.test")
	signer := j.startSigner()
	j.post = n.startPostfix(func(c *postfix) {
		c.Filter, c.Aliases = "inet:"+signer, "inline:{forwarded@postfix.test=bob@second.test}"
	})
	return j
}

// makeKey makes the key and returns its record, as strings of a zone.
func (j *journey) makeKey() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		j.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		j.t.Fatal(err)
	}
	j.key = write(j.t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	return fmt.Sprintf("%q %q", record[:200], record[200:])
}

// open starts a yubin that sends to these domains, and publishes its keys.
func (j *journey) open(host string, domains ...string) *office {
	j.t.Helper()
	o := j.net.openProperly(host, "starttls", fmt.Sprintf(hopConfig, j.resolver))
	for _, domain := range domains {
		mx := "mx." + domain
		if domain == "others.test" {
			mx = "mx.lists.test"
		}
		o.must("", "route", "set", strings.TrimSuffix(domain, ".test"), "--to", domain, "--smtp", mx, "--source-ipv4", o.at)
	}
	for line := range strings.Lines(o.must("", "dkim", "show-dns", o.domain())) {
		if strings.Contains(line, " TXT ") && !strings.HasPrefix(line, ";") {
			if err := j.zone.Add(line); err != nil {
				j.t.Fatal(err)
			}
		}
	}
	if seen := o.must("", "dkim", "show-dns", o.domain()); strings.Count(seen, "key, active") != 2 {
		j.t.Fatalf("%s does not sign:\n%s", host, seen)
	}
	return o
}

// startSigner starts opendkim as a filter that signs for postfix.test, and returns its
// address and port.
func (j *journey) startSigner() string {
	p := j.net.newPeer("opendkim", "policy.example.test")
	p.file("etc/key.pem", read(j.t, j.key))
	p.file("etc/opendkim.conf", fmt.Sprintf("Socket inet:8891@%s\nMode s\nDomain postfix.test\nSelector k\nKeyFile /etc/key.pem\nInternalHosts 0.0.0.0/0\n"+
		"RequireSafeKeys no\nCanonicalization relaxed/simple\nOversignHeaders From\nBackground no\nUserID root\nTemporaryDirectory /run\n", p.address()))
	p.start("/usr/sbin/opendkim", "-f", "-x", "/etc/opendkim.conf")
	p.await(8891)
	return fmt.Sprintf("%s:8891", p.address())
}

// startLists starts the host of the lists, which takes all mail.
func (j *journey) startLists() {
	l, err := net.Listen("tcp", j.net.address("mx.lists.test")+":25")
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { _ = l.Close() })
	host := &smtpsink.Host{Offers: []string{"8BITMIME"}, Keep: true, Heard: func(l *smtpsink.Letter) { j.lists <- l }}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go host.Serve(c)
		}
	}()
}

// distribute is a list at work: it verifies what it was sent, changes the subject and
// adds a footer, seals that (RFC 8617 §5.1) and sends it on to its members at first.test.
func (j *journey) distribute(domain string) {
	j.t.Helper()
	var in *smtpsink.Letter
	select {
	case in = <-j.lists:
	case <-time.After(patience):
		j.t.Fatal("the list was sent nothing")
	}
	text := string(in.Octets)
	if said := run(j.t, text, binary, "arc", "verify", "-", "--resolver", j.resolver); !strings.HasPrefix(said, "pass") {
		j.t.Errorf("the list sees ARC %s", said)
	}
	if said := run(j.t, text, binary, "dkim", "verify", "-", "--resolver", j.resolver); !strings.HasPrefix(said, "pass") || !strings.Contains(said, "postfix.test") {
		j.t.Errorf("the list sees DKIM %s", said)
	}
	text = strings.Replace(text, "\r\nSubject: ", "\r\nSubject: [list] ", 1) + "-- \r\nThe list of " + domain + "\r\n"
	text = "Authentication-Results: " + domain + "; arc=pass;\r\n dkim=pass header.d=postfix.test; dmarc=pass header.from=postfix.test\r\n" +
		"List-Id: <list." + domain + ">\r\n" + text
	text = run(j.t, text, binary, "arc", "seal", "-", "--domain", domain, "--selector", "k", "--key", j.key, "--authserv-id", domain, "--resolver", j.resolver) + text
	out := letter{from: "list-bounces@" + domain, to: []string{"members@first.test"}, octets: []byte(text)}
	if err := out.hand(j.first.at, j.first.mail); err != nil {
		j.t.Fatal(err)
	}
}

// results are those that host put into a message that arrived: "method=value" and a
// property each.
func results(t testing.TB, host string, octets []byte) (list []string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range m.Header[authres.FieldName] {
		f, err := authres.Parse([]byte(value))
		if err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		if f.ServID != host {
			continue
		}
		for _, r := range f.Results {
			about := ""
			for _, p := range r.Properties {
				switch p.Type + "." + p.Name {
				case "smtp.mailfrom", "header.d", "header.from":
					about = " " + p.Value
				}
			}
			list = append(list, r.Method+"="+r.Value+about)
		}
	}
	return list
}

// expect checks that results have each of want.
func expect(t testing.TB, octets []byte, want ...string) {
	t.Helper()
	all := "\n" + strings.Join(results(t, "mx.second.test", octets), "\n") + "\n"
	for _, w := range want {
		if !strings.Contains(all, "\n"+w+"\n") {
			t.Errorf("second.test does not say %q:%sof\n%.6000s", w, all, octets)
		}
	}
}

// TestPeerHops: mail that Postfix sends goes on through aliases and lists, arrives with
// SPF, DKIM and ARC that pass, and what fails is told to whom it may be told.
func TestPeerHops(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	for alias, to := range map[string]string{
		"info": "bob@second.test", "gone": "nobody@second.test", "members": "bob@second.test", "full": "full@second.test",
		"further": "onward@second.test", "list": "list@lists.test", "rumours": "list@others.test",
	} {
		j.first.must("", "alias", "add", alias+"@first.test", to)
	}
	j.second.must("", "alias", "add", "onward@second.test", "nobody@postfix.test")
	j.second.must(password+"\n", "account", "add", "full@second.test", "--password-stdin")
	j.second.must("", "account", "quota", "full@second.test", "--messages", "1")
	for _, step := range []struct {
		name string
		test func(*testing.T, *journey)
	}{
		{"an alias", hopAlias},
		{"Postfix sends it on", hopPostfix},
		{"a list that is believed", hopList},
		{"a list that is not", hopOtherList},
		{"a failure comes home", hopBounce},
		{"a mailbox that is full", hopFull},
		{"a failure behind two aliases", hopFurther},
		{"a failure of what was forged", hopForged},
		{"a forged report", hopForgedReport},
	} {
		t.Run(step.name, func(t *testing.T) {
			j := *j
			first, second, post := *j.first, *j.second, *j.post
			first.t, second.t, post.t = t, t, t
			j.t, j.first, j.second, j.post = t, &first, &second, &post
			step.test(t, &j)
		})
	}
}

// srs0 is the reverse-path of mail of friend@postfix.test that first.test sends on.
var srs0 = regexp.MustCompile(`^Return-Path: <SRS0=[^=@>]+=[^=@>]+=postfix\.test=friend@first\.test>\r\n`)

func hopAlias(t *testing.T, j *journey) {
	l := eightBit(t, "friend@postfix.test", "info@first.test")
	j.post.post(l)
	got := j.second.awaits("bob", l.id())
	expect(t, got, "spf=pass first.test", "dkim=pass postfix.test", "dkim=pass first.test", "arc=pass", "dmarc=pass postfix.test")
	if !srs0.Match(got) {
		t.Errorf("it came from\n%.300s", got)
	}
	if !bytes.HasSuffix(got, l.octets) {
		t.Errorf("it did not arrive as it was sent:\n%s", got)
	}
}

// hopPostfix: Postfix leaves reverse-paths and signatures as they are, so what first.test
// signed proves who wrote it, and SPF does not.
func hopPostfix(t *testing.T, j *journey) {
	l := newLetter(t, "alice@first.test", "forwarded@postfix.test")
	j.first.post(l)
	got := j.second.awaits("bob", l.id())
	expect(t, got, "spf=fail first.test", "dkim=pass first.test", "dmarc=pass first.test")
}

func hopList(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "list@first.test")
	j.post.post(l)
	j.distribute("lists.test")
	got := j.second.awaits("bob", l.id())
	expect(t, got, "spf=pass first.test", "dkim=fail postfix.test", "dkim=pass first.test", "arc=pass", "dmarc=fail postfix.test")
	for _, want := range []string{"ARC-Authentication-Results: i=3; mx.first.test;", "lists.test, which sent it on, is believed here", "Subject: [list] "} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// hopOtherList: the chain of a list that nobody believes is whole, and proves nothing.
func hopOtherList(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "rumours@first.test")
	j.post.post(l)
	j.distribute("others.test")
	got := j.second.awaitsIn("bob", "Junk", l.id())
	expect(t, got, "spf=pass first.test", "dkim=fail postfix.test", "arc=pass", "dmarc=fail postfix.test")
	if !bytes.Contains(got, []byte("dmarc-reject")) {
		t.Errorf("why?\n%.3000s", got)
	}
}

// hopBounce: who sent it is told by first.test, and the postmaster there is not.
func hopBounce(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "gone@first.test")
	j.post.post(l)
	r := j.post.report("friend", l, abilities{})
	r.check(t, told{"Action": "failed", "Status": "5.1.1", "Final-Recipient": "nobody@second.test", "Remote-Mta": "mx.second.test"})
	j.nobodyElse(l)
}

// hopFull: the mailbox takes one message and refuses the second for good.
func hopFull(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "full@first.test")
	j.post.post(l)
	j.second.awaits("full", l.id())
	l = newLetter(t, "friend@postfix.test", "full@first.test")
	j.post.post(l)
	r := j.post.report("friend", l, abilities{})
	r.check(t, told{"Action": "failed", "Status": "5.2.2", "Final-Recipient": "full@second.test", "Remote-Mta": "mx.second.test"})
	j.nobodyElse(l)
}

// hopFurther: second.test sends it on again, and its report goes back the same way.
func hopFurther(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "further@first.test")
	j.post.post(l)
	r := j.post.report("friend", l, abilities{})
	r.check(t, told{"Action": "failed", "Status": "5.1.1", "Final-Recipient": "nobody@postfix.test", "Remote-Mta": "mx.postfix.test"})
	if by := r.message.Get("Reporting-MTA"); !strings.Contains(by, "mx.second.test") {
		t.Errorf("the report is of %q", by)
	}
	j.nobodyElse(l)
}

// nobodyElse checks that neither post office has told its own postmaster of the letter.
func (j *journey) nobodyElse(l letter) {
	j.t.Helper()
	for _, o := range []*office{j.first, j.second} {
		all, err := o.inbox("alice")
		if err != nil {
			j.t.Fatal(err)
		}
		if _, err := single(all, l.id()); err == nil {
			j.t.Errorf("%s told its postmaster, too", o.host)
		}
	}
}

// hopForged: a stranger writes in the name of somebody elsewhere, or here. The postmaster
// of the alias' domain is told that it failed, and who wrote nothing is not.
func hopForged(t *testing.T, j *journey) {
	for _, sender := range []string{"friend@postfix.test", j.first.person("bob")} {
		l := newLetter(t, sender, "gone@first.test")
		if err := l.hand(j.first.at, j.first.mail); err != nil {
			t.Fatal(err)
		}
		r := j.first.report("alice", l)
		r.check(t, told{"Action": "failed", "Status": "5.1.1", "Final-Recipient": "nobody@second.test"})
		ours, err := j.first.inbox("bob")
		if err != nil {
			t.Fatal(err)
		}
		if m, err := single(append(ours, j.post.mailbox("friend")...), l.id()); err == nil {
			t.Errorf("%s, who wrote nothing, was told:\n%s", sender, m)
		}
	}
}

// hopForgedReport: only reports come home, and only to addresses that were made here.
func hopForgedReport(t *testing.T, j *journey) {
	l := newLetter(t, "friend@postfix.test", "info@first.test")
	j.post.post(l)
	path := strings.TrimPrefix(string(j.second.awaits("bob", l.id())), "Return-Path: <")
	path, _, _ = strings.Cut(path, ">")
	for _, try := range []struct{ from, to, want string }{
		{"", path, "250"},
		{"stranger@second.test", path, "550 5.7.1"},
		{"", strings.Replace(path, "=friend@", "=other@", 1), "550 5.7.1"},
	} {
		err := j.askFirst(try.from, try.to)
		if try.want == "250" && err != nil || try.want != "250" && (err == nil || !strings.Contains(err.Error(), try.want)) {
			t.Errorf("from <%s> to <%s>: %v, want %s", try.from, try.to, err, try.want)
		}
	}
}

// askFirst asks first.test whether it would take mail.
func (j *journey) askFirst(from, to string) error {
	c, err := mailclient.Dial(j.first.at, j.first.mail, false)
	if err != nil {
		return err
	}
	defer c.Close()
	return errors.Join(ask(c, "220", ""), ask(c, "250", "EHLO desk.test"), ask(c, "250", "MAIL FROM:<"+from+">"), ask(c, "250", "RCPT TO:<"+to+">"))
}
