package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/hosts"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/session/smtpc"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/smtppeer"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/netx"
)

var cert = certstest.New("mx1.example.net", "mx2.example.net", "signed.example", "relay.example")

// zone is the world of these tests.
const zone = `
example.net.        MX 10 mx1.example.net.
example.net.        MX 20 mx2.example.net.
mx1.example.net.    A 192.0.2.1
mx2.example.net.    A 192.0.2.2
same.example.       MX 10 mx1.example.net.
same.example.       MX 10 mx2.example.net.
two.example.        MX 10 dual.example.
dual.example.       A 192.0.2.1
dual.example.       AAAA 2001:db8::1
null.example.       MX 0 .
implicit.example.   A 192.0.2.1
noaddr.example.     TXT "nothing else"
half.example.       MX 10 nowhere.example.
half.example.       MX 20 mx2.example.net.
unusable.example.   MX 10 nowhere.example.
unusable.example.   MX 20 192.0.2.1.
alias.example.      CNAME example.net.
mxalias.example.    MX 10 cname.example.
cname.example.      CNAME mx1.example.net.
loop.example.       CNAME pool.example.
pool.example.       CNAME loop.example.
ours.example.       MX 10 mail.client.example.
backup.example.     MX 10 mx1.example.net.
backup.example.     MX 20 mail.client.example.
backup.example.     MX 30 mx2.example.net.
byaddress.example.  MX 10 mx1.example.net.
byaddress.example.  MX 20 disguise.example.
byaddress.example.  MX 20 mx2.example.net.
disguise.example.   A 203.0.113.25
loopback.example.   A 127.0.0.1
any.example.        A 0.0.0.0
signed.example.     MX 10 signed.example.
signed.example.     A 192.0.2.1
relay.example.      A 192.0.2.9
`

// world is a network in memory with hosts that follow scripts.
type world struct {
	t       *testing.T
	dns     *dnstest.Fake
	mu      sync.Mutex
	hosts   map[string][]string // scripts by address and port, one a connection, the last one stays
	dialed  []string
	playing sync.WaitGroup
	failed  []error

	policies policies             // of MTA-STS
	observed []tlsrpt.Observation // by this TLSObserver
}

// policies are what domains ask for.
type policies map[mail.Domain]mtasts.Policy

func (p policies) Policy(_ context.Context, d mail.Domain) (tlspolicy.Found, error) {
	policy, ok := p[d]
	return tlspolicy.Found{Domain: d, Holds: ok, Policy: policy}, nil
}

func (w *world) ObserveTLS(o tlsrpt.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observed = append(w.observed, o)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dns: dnstest.NewFake(zone), hosts: map[string][]string{}}
	w.dns.Sign("signed.example")
	t.Cleanup(func() {
		w.playing.Wait()
		for _, err := range w.failed {
			t.Error(err)
		}
	})
	return w
}

// host gives an address its scripts; without a port it is 25.
func (w *world) host(addr string, scripts ...string) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 25).String()
	}
	w.hosts[addr] = scripts
}

// Words in place of a script.
const (
	refuses = "refuses"
	silent  = "silent"
)

// Dial connects to the next script of an address.
func (w *world) Dial(ctx context.Context, to netip.AddrPort, from netip.Addr) (*netx.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, to.String())
	script := refuses
	if list := w.hosts[to.String()]; len(list) > 0 {
		if script = list[0]; len(list) > 1 {
			w.hosts[to.String()] = list[1:]
		}
	}
	w.mu.Unlock()
	switch script {
	case refuses:
		return nil, &netx.DialError{Reason: "connection refused"}
	case silent:
		timer := time.NewTimer(netx.ConnectTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil, &netx.DialError{Reason: "no answer in time", Timeout: true}
		case <-ctx.Done():
			return nil, &netx.DialError{Reason: "given up", Err: ctx.Err()}
		}
	}
	source := memnet.DefaultClient
	if from.IsValid() {
		source = netip.AddrPortFrom(from, 49152)
	}
	ours, theirs := memnet.Pipe(source, to)
	w.playing.Go(func() { w.play(to, theirs, script) })
	return netx.NewOutgoing(ours), nil
}

func (w *world) play(to netip.AddrPort, conn net.Conn, script string) {
	if err := smtppeer.New(conn, cert.Server()).Play(script); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed = append(w.failed, fmt.Errorf("%v: %w", to, err))
	}
}

// IsOurName and IsOurAddress make this Ourselves.
func (w *world) IsOurName(n dns.Name) bool { return n == "mail.client.example" }
func (w *world) IsOurAddress(a netip.AddrPort) bool {
	return a.Addr() == netip.MustParseAddr("203.0.113.25") || a.Addr().IsLoopback()
}

func (w *world) courier(limits IdleLimits) *Courier {
	random := rand.New(rand.NewPCG(1, 2))
	return New(Config{
		Name: "client.example", Dialer: w, Now: time.Now, Idle: limits, Observer: w,
		Finder: &hosts.Finder{Resolver: w.dns, Ourselves: w, Policies: w.policies, Shuffle: random.Shuffle},
		Converse: func(c *netx.Conn) Conversation {
			return smtpc.New(c, smtpc.Config{TLS: &tls.Config{RootCAs: cert.Client("", 0).RootCAs}, Now: time.Now})
		},
	})
}

const letter = "Subject: x\r\n\r\nHello\r\n"

// message is a Transaction to recipients, which are local parts.
func post(to ...string) mail.Transaction {
	t := mail.Transaction{}
	t.ReversePath = mail.ReversePath{Local: "a", Domain: "client.example"}
	for _, local := range to {
		t.Recipients = append(t.Recipients, mail.OutgoingRecipient{Address: mail.Address{Local: local, Domain: "example.net"}})
	}
	return withContent(t, letter)
}

func withContent(t mail.Transaction, text string) mail.Transaction {
	t.Size = int64(len(text))
	t.Content = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	return t
}

func mx(d mail.Domain) mail.NextHop { return mail.NextHop{Domain: d} }

// Parts of scripts.
const (
	hello = "S: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250 PIPELINING\n"
	one   = "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 21\n"
	bye   = "C: QUIT\nS: 221 bye\n"
	takes = hello + one + "S: 250 2.0.0 taken\nhold"
)

// tell writes a result on a line: its outcome, then each attempt.
func tell(r mail.Result) string {
	var b strings.Builder
	b.WriteString(r.Outcome.String())
	for _, a := range r.Attempts {
		b.WriteString("; " + tellAttempt(a))
	}
	return b.String()
}

func tellAttempt(a mail.Attempt) string {
	words := []string{}
	if a.Remote.IsValid() {
		words = append(words, a.Remote.Addr().String())
	}
	words = append(words, a.Phase.String())
	if a.Code != 0 {
		words = append(words, fmt.Sprint(a.Code))
	}
	if a.Enhanced != "" {
		words = append(words, a.Enhanced)
	}
	if a.Outcome != mail.Delivered {
		words = append(words, a.Outcome.String())
	}
	if a.AnswerLost {
		words = append(words, "lost")
	}
	return strings.Join(words, " ")
}

var errDisk = errors.New("disk")
