package courier

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/dns"
	"yubin/internal/engine/hosts"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/session/smtpc"
	"yubin/internal/session/smtpd"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/netx"
)

// office is the accounts behind a server of our own: whatever arrives is kept
// in memory.
type office struct {
	mu   sync.Mutex
	kept []string
	ids  int
}

func (o *office) Begin(taps ...intake.Tap) *intake.Message {
	return intake.NewMessage(new(store.Store).NewIncoming(), taps...)
}

func (o *office) Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error) {
	return intake.New(intake.Options{}).Plan(ctx, m, e, to)
}

func (o *office) Commit(_ context.Context, p *intake.Plan, _ ...intake.Also) (intake.Receipt, error) {
	c, err := p.Message.Content()
	if err != nil {
		return intake.Receipt{}, err
	}
	defer c.Close()
	var b strings.Builder
	if _, err := c.WriteTo(&b); err != nil {
		return intake.Receipt{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b.String())
	return intake.Receipt{Plan: p, Filed: make([]store.Filed, len(p.Filings))}, nil
}

func (o *office) Route(_ context.Context, _ *smtpd.Client, to mail.Address) (route.Routed, error) {
	switch to.Local {
	case "nobody":
		return route.Routed{}, mail.Errorf(mail.NotFound, "nobody here")
	case "full":
		return route.Routed{}, mail.Errorf(mail.OverQuota, "full")
	}
	return route.Routed{Accounts: []mail.AccountID{1}}, nil
}

func (o *office) MayUse(context.Context, mail.Principal, mail.Address) (bool, error) {
	return true, nil
}

func (o *office) Login(_ context.Context, user, password string) (mail.Principal, error) {
	if user != "user@example.net" || password != "secret" {
		return mail.Principal{}, mail.Errorf(mail.Forbidden, "wrong")
	}
	return mail.Principal{Account: 1, Address: mail.Address{Local: "user", Domain: "example.net"}}, nil
}

func (o *office) Bearer(context.Context, string, string) (mail.Principal, error) {
	return mail.Principal{}, mail.Errorf(mail.Forbidden, "no tokens here")
}

func (o *office) Scram(context.Context, string) (sasl.StoredKeys, sasl.Finish, error) {
	client, err := scram.SHA256.NewClient("user@example.net", "secret", "")
	if err != nil {
		return sasl.StoredKeys{}, nil, err
	}
	k, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	keys := sasl.StoredKeys{Salt: []byte("salt"), Iterations: 4096, Keys: []sasl.Key{{StoredKey: k.StoredKey, ServerKey: k.ServerKey}}}
	return keys, func(_ context.Context, proved func() int) (mail.Principal, error) {
		proved()
		return mail.Principal{Account: 1, Address: mail.Address{Local: "user", Domain: "example.net"}}, nil
	}, err
}

func (o *office) id() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids++
	return strconv.Itoa(o.ids)
}

// serve runs a server of our own on loopback until the test ends.
func (o *office) serve(t *testing.T, profile smtpd.Profile) (uint16, *netx.Server) {
	t.Helper()
	cfg := smtpd.Config{
		Profile: profile, Hostname: "mx1.example.net", TLS: cert.Server, Router: o, Identities: o,
		Intake: o,
		Log:    slog.New(slog.DiscardHandler), Now: time.Now, NewID: o.id,
	}
	if profile == smtpd.Submission {
		cfg.Auth = func(netip.Addr) sasl.Authenticator { return o }
	}
	listener := netx.NewServer(netx.Listener{Name: "test", Addr: "127.0.0.1:0"}, smtpd.New(cfg).Serve, cfg.Log)
	if err := listener.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- listener.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := strings.Cut(listener.Addr().String(), ":")
	n, _ := strconv.Atoi(port)
	return uint16(n), listener
}

// nobody is Ourselves without names or addresses.
type nobody struct{}

func (nobody) IsOurName(dns.Name) bool          { return false }
func (nobody) IsOurAddress(netip.AddrPort) bool { return false }

// realCourier is a courier on the real network, with a zone on loopback.
func realCourier(t *testing.T) *Courier {
	c := New(Config{
		Name: "client.example",
		Finder: &hosts.Finder{Resolver: dnstest.NewFake("example.net. MX 10 mx1.example.net.\nmx1.example.net. A 127.0.0.1\n"),
			Ourselves: nobody{}, Shuffle: rand.Shuffle},
		Dialer: netx.Dialer{}, Now: time.Now,
		Converse: func(c *netx.Conn) Conversation {
			return smtpc.New(c, smtpc.Config{TLS: &tls.Config{RootCAs: cert.Client("", 0).RootCAs}, Now: time.Now})
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

// TestToOurOwnServer: many messages at once, each arrives once and as it was.
func TestToOurOwnServer(t *testing.T) {
	const messages, hands = 200, 6
	o := &office{}
	port, listener := o.serve(t, smtpd.MX)
	c := realCourier(t)
	hop := mail.NextHop{Domain: "example.net", Port: port, TLS: mail.TLSVerified}
	sent := map[string]int{}
	work := make(chan string)
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			for text := range work {
				m := withContent(post("b", "nobody", "c", "full"), text)
				m.UTF8, m.Body = true, mail.Body8BitMIME
				got := c.Carry(t.Context(), hop, m)
				if want := []mail.Outcome{mail.Delivered, mail.Failed, mail.Delivered, mail.Deferred}; fmt.Sprint(outcomes(got)) != fmt.Sprint(want) {
					t.Errorf("%v: %s", outcomes(got), tell(got[0]))
				}
				if a := got[0].Decisive(); a.TLS == "" || !a.Verified {
					t.Errorf("%+v", a)
				}
			}
		})
	}
	for i := range messages {
		text := fmt.Sprintf("Subject: Grüße %d\r\n\r\n.\r\n..x\r\n%s", i, strings.Repeat("line of text\r\n", i*37%2000))
		sent[text]++
		work <- text
	}
	close(work)
	wg.Wait()
	for _, got := range o.kept {
		sent[got]--
	}
	for text, n := range sent {
		if n != 0 {
			t.Errorf("%.30q arrived %d times more or less", text, n)
		}
	}
	if st := listener.Stats(); st.Accepted > messages/10 {
		t.Errorf("%d connections for %d messages", st.Accepted, messages)
	}
}

func outcomes(results []mail.Result) []mail.Outcome {
	var all []mail.Outcome
	for _, r := range results {
		all = append(all, r.Outcome)
	}
	return all
}

func TestToOurOwnLMTP(t *testing.T) {
	o := &office{}
	port, _ := o.serve(t, smtpd.LMTP)
	hop := mail.NextHop{Kind: mail.HopLMTP, Hosts: []mail.HostPort{{Host: "[127.0.0.1]", Port: port}}}
	got := realCourier(t).Carry(t.Context(), hop, post("b", "nobody", "c"))
	if want := []mail.Outcome{mail.Delivered, mail.Failed, mail.Delivered}; fmt.Sprint(outcomes(got)) != fmt.Sprint(want) {
		t.Errorf("%v: %s", outcomes(got), tell(got[0]))
	}
}

func TestToOurOwnSubmission(t *testing.T) {
	o := &office{}
	port, _ := o.serve(t, smtpd.Submission)
	c := realCourier(t)
	hop := mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "mx1.example.net", Port: port}}}
	for password, want := range map[string]string{
		"secret": "delivered; 127.0.0.1 answer 250 2.0.0",
		"wrong":  "deferred; 127.0.0.1 auth 535 5.7.8 deferred",
	} {
		hop.Auth = &mail.Credentials{User: "user@example.net", Password: password}
		if got := tell(c.Carry(t.Context(), hop, post("b"))[0]); got != want {
			t.Errorf("%s: %s", password, got)
		}
	}
}
