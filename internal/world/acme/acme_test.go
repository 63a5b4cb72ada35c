package acme_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/acmetest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/acme"
)

// stage shows challenges on loopback: by HTTP, in TLS handshakes, in the DNS.
type stage struct {
	t    *testing.T
	zone *dnstest.Zone
	http *httptest.Server
	tls  net.Listener
	dns  *dnstest.Server

	mu    sync.Mutex
	shown map[string]acme.Challenge // by token or name
	seen  int                       // Present
	back  int                       // Withdraw
	deaf  bool                      // nothing is shown
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, shown: map[string]acme.Challenge{}, zone: dnstest.NewZone(`
mail.example.org. A 127.0.0.1
imap.example.org. A 127.0.0.1
`)}
	s.http = httptest.NewServer(http.HandlerFunc(s.serveHTTP))
	t.Cleanup(s.http.Close)
	var err error
	if s.tls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.tls.Close() })
	go s.serveTLS()
	if s.dns, err = dnstest.Listen(s.zone); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.dns.Close() })
	return s
}

func (s *stage) options() acmetest.Options {
	return acmetest.Options{HTTPPort: s.http.Listener.Addr().(*net.TCPAddr).Port, TLSPort: s.tls.Addr().(*net.TCPAddr).Port,
		Resolver: s.dns.Addr().String()}
}

func (s *stage) find(key string) (acme.Challenge, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.shown[key]
	return ch, ok
}

func (s *stage) serveHTTP(w http.ResponseWriter, r *http.Request) {
	ch, ok := s.find(strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/"))
	if !ok || r.Host != ch.Name && !strings.HasPrefix(r.Host, ch.Name+":") {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, ch.KeyAuthorization)
}

func (s *stage) serveTLS() {
	cfg := &tls.Config{NextProtos: []string{acme.ALPN}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		ch, ok := s.find(h.ServerName)
		if !ok {
			return nil, errors.New("nothing is shown")
		}
		return acme.Shown(ch.Name, ch.KeyAuthorization, time.Now())
	}}
	for {
		c, err := s.tls.Accept()
		if err != nil {
			return
		}
		go func() { _ = tls.Server(c, cfg).Handshake(); c.Close() }()
	}
}

func (s *stage) Present(_ context.Context, ch acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if s.deaf {
		return nil
	}
	s.shown[ch.Token], s.shown[ch.Name] = ch, ch
	if ch.Kind == acme.DNS01 {
		return s.zone.Add(ch.DNSName() + `. TXT "` + ch.DNSText() + `"`)
	}
	return nil
}

func (s *stage) Withdraw(_ context.Context, ch acme.Challenge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back++
	delete(s.shown, ch.Token)
	delete(s.shown, ch.Name)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func client(a *acmetest.Authority) *acme.Client {
	return acme.New(acme.Options{Directory: a.Directory, Roots: a.Roots, Agent: "yubin/test", Poll: 50 * time.Millisecond})
}

var owner = mail.Address{Local: "postmaster", Domain: "example.org"}

// TestIssue: each kind of challenge gets a certificate for two names, though the authority
// rejects a third of all good nonces; and one that replaces it.
func TestIssue(t *testing.T) {
	for _, kind := range []acme.Kind{acme.HTTP01, acme.TLSALPN01, acme.DNS01} {
		t.Run(string(kind), func(t *testing.T) {
			s := newStage(t)
			o := s.options()
			o.BadNonces = 30
			authority := acmetest.Start(t, o)
			c := client(authority)
			defer c.Close()
			account, err := c.Register(t.Context(), newKey(t), owner, acme.Binding{})
			if err != nil {
				t.Fatal(err)
			}
			if account.Issuer != "ca.test" {
				t.Errorf("the authority is %q to CAA records", account.Issuer)
			}
			order := acme.Order{Names: []string{"mail.example.org", "imap.example.org"}, Key: newKey(t), Kind: kind}
			if kind == acme.DNS01 {
				order.Names[1] = "*.mail.example.org"
			}
			chain, err := c.Issue(t.Context(), account, order, s)
			if err != nil {
				t.Fatal(err)
			}
			leaf := verify(t, chain, authority, order)
			if s.seen != 2 || s.back != 2 {
				t.Errorf("shown %d times and taken back %d times, want 2", s.seen, s.back)
			}
			again, err := c.Register(t.Context(), account.Key, owner, acme.Binding{})
			if err != nil || again.URL != account.URL {
				t.Errorf("the account of the same key: %q, %v; want %q", again.URL, err, account.URL)
			}
			order.Replaces = leaf
			if chain, err = c.Issue(t.Context(), account, order, s); err != nil {
				t.Fatal("a renewal: ", err)
			}
			second := verify(t, chain, authority, order)
			if second.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				t.Error("the same certificate again")
			}
			// A certificate is replaced once; who forgot that gets one all the same.
			if _, err = c.Issue(t.Context(), account, order, s); err != nil {
				t.Error("a second renewal of the same: ", err)
			}
		})
	}
}

func verify(t *testing.T, chain [][]byte, a *acmetest.Authority, o acme.Order) *x509.Certificate {
	t.Helper()
	above := x509.NewCertPool()
	var leaf *x509.Certificate
	for i, der := range chain {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			leaf = one
		} else {
			above.AddCert(one)
		}
	}
	for _, name := range o.Names {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: strings.Replace(name, "*", "x", 1), Roots: a.Issuers, Intermediates: above}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !key.Equal(o.Key.Public()) {
		t.Error("it is for another key")
	}
	return leaf
}

// TestRefusals: what the authority says no with is told in its words, and of the right kind.
func TestRefusals(t *testing.T) {
	s := newStage(t)
	o := s.options()
	o.Blocked = []string{"blocked.example"}
	authority := acmetest.Start(t, o)
	c := client(authority)
	defer c.Close()
	account, err := c.Register(t.Context(), newKey(t), mail.Address{}, acme.Binding{})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(names ...string) error {
		_, err := c.Issue(t.Context(), account, acme.Order{Names: names, Key: newKey(t), Kind: acme.HTTP01}, s)
		return err
	}
	expect := func(what string, err error, kind mail.Kind, typ string, words ...string) {
		t.Helper()
		var r *acme.Refusal
		if mail.KindOf(err) != kind || typ != "" && (!errors.As(err, &r) || r.Type != typ) {
			t.Errorf("%s: %v (%v), want kind %v of type %q", what, err, mail.KindOf(err), kind, typ)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
	}
	expect("a blocked name", issue("blocked.example"), mail.Forbidden, "rejectedIdentifier", "a certificate cannot be ordered: the authority says: ")
	s.deaf = true
	expect("nothing is shown", issue("mail.example.org"), mail.Forbidden, "unauthorized", "it could not be shown that mail.example.org is ours: the authority says: ", "404")
	s.deaf = false
	expect("not in the DNS", issue("none.example.org"), mail.Forbidden, "", "none.example.org is ours: the authority says: ")
	_, err = c.Issue(t.Context(), acme.Account{Key: newKey(t), URL: account.URL + "0"}, acme.Order{Names: []string{"mail.example.org"}, Key: newKey(t), Kind: acme.HTTP01}, s)
	expect("an account that is not there", err, mail.Forbidden, "")
	expect("no name", issue(), mail.TooLarge, "", "1 to 100 names")
	if s.seen != s.back {
		t.Errorf("shown %d times, taken back %d times", s.seen, s.back)
	}
}

// TestBinding: an authority that wants accounts to be bound gets that, and says what is wrong
// with a wrong one.
func TestBinding(t *testing.T) {
	s := newStage(t)
	o := s.options()
	o.Accounts = map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
	c := client(acmetest.Start(t, o))
	defer c.Close()
	if _, err := c.Register(t.Context(), newKey(t), owner, acme.Binding{KeyID: "kid-1", MAC: o.Accounts["kid-1"]}); err != nil {
		t.Error(err)
	}
	for name, b := range map[string]acme.Binding{"none": {}, "another key": {KeyID: "kid-1", MAC: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "unknown": {KeyID: "kid-2", MAC: o.Accounts["kid-1"]}} {
		if _, err := c.Register(t.Context(), newKey(t), owner, b); mail.KindOf(err) != mail.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Register(t.Context(), newKey(t), owner, acme.Binding{KeyID: "kid-1", MAC: "no base64!"}); err == nil {
		t.Error("a key that is none is taken")
	}
}

// TestWindow: the authority says when to renew.
func TestWindow(t *testing.T) {
	s := newStage(t)
	c := client(acmetest.Start(t, s.options()))
	defer c.Close()
	account, err := c.Register(t.Context(), newKey(t), owner, acme.Binding{})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := c.Issue(t.Context(), account, acme.Order{Names: []string{"mail.example.org"}, Key: newKey(t), Kind: acme.HTTP01}, s)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(chain[0])
	w, err := c.Window(t.Context(), leaf)
	if err != nil || w.Start.Before(leaf.NotBefore) || !w.End.Before(leaf.NotAfter) || !w.End.After(w.Start) || w.Again.IsZero() {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := c.Window(t.Context(), &x509.Certificate{SerialNumber: leaf.SerialNumber}); !errors.Is(err, acme.ErrNoWindow) {
		t.Errorf("one that has no name there: %v", err)
	}
	if terms, err := c.Terms(t.Context()); err != nil || terms == "" {
		t.Errorf("terms: %q, %v", terms, err)
	}
}

// hostile is a server that answers as a directory, then as f says.
func hostile(t *testing.T, f func(w http.ResponseWriter, r *http.Request, base string)) *acme.Client {
	t.Helper()
	var base string
	directory, roots := acmetest.Hostile(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/":
			fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce","newAccount":"%[1]s/account","newOrder":"%[1]s/order","renewalInfo":"%[1]s/info"}`, base)
		case "/nonce":
		default:
			f(w, r, base)
		}
	}))
	base = directory
	c := acme.New(acme.Options{Directory: directory + "/", Roots: roots, Poll: time.Millisecond})
	t.Cleanup(c.Close)
	return c
}

// TestHostile: whatever a server does comes to an end, with the reason in words.
func TestHostile(t *testing.T) {
	order := func(w http.ResponseWriter, base string) {
		w.Header().Set("Location", base+"/order/1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"status":"pending","identifiers":[{"type":"dns","value":"mail.example.org"}],"authorizations":["%[1]s/auth"],"finalize":"%[1]s/final"}`, base)
	}
	auth := func(w http.ResponseWriter, base, name, token string) {
		fmt.Fprintf(w, `{"status":"pending","identifier":{"type":"dns","value":%q},"challenges":[{"type":"http-01","url":"%s/challenge","status":"pending","token":%q}]}`, name, base, token)
	}
	for name, tt := range map[string]struct {
		f    func(w http.ResponseWriter, r *http.Request, base string)
		want string
	}{
		"a huge answer": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			_, _ = w.Write(bytes.Repeat([]byte("["), acme.MaxAnswer+1))
		}, "an answer has over 262144 octets"},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
		}, "makes no sense"},
		"leads elsewhere": {func(w http.ResponseWriter, r *http.Request, base string) {
			http.Redirect(w, r, base+"/loop", http.StatusTemporaryRedirect)
		}, "leads elsewhere"},
		"no https": {func(w http.ResponseWriter, r *http.Request, base string) {
			w.Header().Set("Location", base+"/order/1")
			fmt.Fprint(w, `{"status":"pending","authorizations":["http://127.0.0.1:1/"],"finalize":"x"}`)
		}, "not https"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>")
		}, "makes no sense"},
		"wrong types": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			fmt.Fprint(w, `{"status":7,"authorizations":{}}`)
		}, "makes no sense"},
		"nonces that are never right": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"no"}`)
		}, "the authority says: no (badNonce)"},
		"many proofs": {func(w http.ResponseWriter, _ *http.Request, base string) {
			w.Header().Set("Location", base+"/order/1")
			fmt.Fprintf(w, `{"status":"pending","authorizations":["%s/a"%s],"finalize":"x"}`, base, strings.Repeat(`,"x"`, 1000))
		}, "1001 proofs for 1 names"},
		"another name": {func(w http.ResponseWriter, r *http.Request, base string) {
			if r.URL.Path == "/order" {
				order(w, base)
				return
			}
			auth(w, base, "bank.example", "token")
		}, `"bank.example" is ours: the authority asks for a name that was not ordered`},
		"a token that leads elsewhere": {func(w http.ResponseWriter, r *http.Request, base string) {
			if r.URL.Path == "/order" {
				order(w, base)
				return
			}
			auth(w, base, "mail.example.org", "../../etc/passwd")
		}, "token is none"},
		"a challenge that is not offered": {func(w http.ResponseWriter, r *http.Request, base string) {
			if r.URL.Path == "/order" {
				order(w, base)
				return
			}
			fmt.Fprint(w, `{"status":"pending","identifier":{"type":"dns","value":"mail.example.org"},"challenges":[]}`)
		}, "does not offer http-01"},
		"words without end": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":%q}`, strings.Repeat("long ", 10_000))
		}, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostile(t, tt.f)
			s := &stage{shown: map[string]acme.Challenge{}}
			_, err := c.Issue(t.Context(), acme.Account{Key: newKey(t), URL: "https://example.org/1"},
				acme.Order{Names: []string{"mail.example.org"}, Key: newKey(t), Kind: acme.HTTP01}, s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1000 {
				t.Errorf("%v, want %q in few words", err, tt.want)
			}
			if k := mail.KindOf(err); k != mail.Unavailable && k != mail.Forbidden {
				t.Errorf("kind %v", k)
			}
			if s.seen != s.back {
				t.Errorf("shown %d times, taken back %d times", s.seen, s.back)
			}
		})
	}
}

// TestPendingForEver: an authorization that stays pending ends by the limit on requests or
// with the caller's patience, and what was shown is taken back.
func TestPendingForEver(t *testing.T) {
	asked := 0
	c := hostile(t, func(w http.ResponseWriter, r *http.Request, base string) {
		switch r.URL.Path {
		case "/order":
			w.Header().Set("Location", base+"/order/1")
			fmt.Fprintf(w, `{"status":"pending","authorizations":["%[1]s/auth"],"finalize":"%[1]s/final"}`, base)
		case "/auth":
			asked++
			w.Header().Set("Retry-After", "0")
			fmt.Fprintf(w, `{"status":"pending","identifier":{"type":"dns","value":"mail.example.org"},"challenges":[{"type":"http-01","url":"%s/challenge","status":"pending","token":"t"}]}`, base)
		default:
			fmt.Fprint(w, `{"type":"http-01","status":"processing"}`)
		}
	})
	s := &stage{shown: map[string]acme.Challenge{}}
	_, err := c.Issue(t.Context(), acme.Account{Key: newKey(t), URL: "https://example.org/1"},
		acme.Order{Names: []string{"mail.example.org"}, Key: newKey(t), Kind: acme.HTTP01}, s)
	if err == nil || !strings.Contains(err.Error(), "has us ask over 1000 times") || mail.KindOf(err) != mail.Unavailable {
		t.Errorf("%v", err)
	}
	if asked > acme.MaxRequests || s.seen != 1 || s.back != 1 {
		t.Errorf("asked %d times, shown %d times, taken back %d times", asked, s.seen, s.back)
	}
}

// TestWrongCertificates: a chain is taken only if it is what was asked for.
func TestWrongCertificates(t *testing.T) {
	other, key := newKey(t), newKey(t)
	make := func(k crypto.Signer, name string, until time.Time) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template(name, until), template(name, until), k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	year := time.Now().AddDate(1, 0, 0)
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"another key":  {pemOf(make(other, "mail.example.org", year)), "for another key"},
		"another name": {pemOf(make(key, "bank.example", year)), "not for mail.example.org"},
		"over":         {pemOf(make(key, "mail.example.org", time.Now().Add(-time.Hour))), "is the clock of this machine right?"},
		"no relation":  {pemOf(make(key, "mail.example.org", year), make(other, "ca.example", year)), "part 1 of the chain is not signed by the next"},
		"nothing":      {"", "there is none"},
		"a key":        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "part 1 of the chain cannot be read"},
		"endless":      {strings.Repeat(pemOf(make(key, "mail.example.org", year)), acme.MaxChain+1), "longer than 10"},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostile(t, func(w http.ResponseWriter, r *http.Request, base string) {
				switch r.URL.Path {
				case "/order":
					w.Header().Set("Location", base+"/order/1")
					fmt.Fprintf(w, `{"status":"ready","authorizations":[],"finalize":"%s/final"}`, base)
				case "/info/AQID.Bw": // Which is asked for with the chain.
					fmt.Fprint(w, `{"suggestedWindow":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}}`)
				case "/final":
					fmt.Fprintf(w, `{"status":"valid","certificate":"%s/cert"}`, base)
				default:
					w.Header().Set("Content-Type", "application/pem-certificate-chain")
					fmt.Fprint(w, tt.text)
				}
			})
			_, err := c.Issue(t.Context(), acme.Account{Key: key, URL: "https://example.org/1"},
				acme.Order{Names: []string{"mail.example.org"}, Key: key, Kind: acme.HTTP01}, &stage{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestRetryAfter: how long the authority wants us to wait comes with its refusal, a week at
// most.
func TestRetryAfter(t *testing.T) {
	for field, want := range map[string]time.Duration{"120": 2 * time.Minute, "999999999": 7 * 24 * time.Hour, "": 0, "soon": 0, "-1": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour} {
		c := hostile(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", field)
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`)
		})
		_, err := c.Register(t.Context(), newKey(t), owner, acme.Binding{})
		var r *acme.Refusal
		if mail.KindOf(err) != mail.RateLimited || !errors.As(err, &r) {
			t.Errorf("%q: %v", field, err)
			continue
		}
		got := time.Duration(0)
		if !r.Again.IsZero() {
			got = time.Until(r.Again)
		}
		if got < want-5*time.Second || got > want+5*time.Second {
			t.Errorf("%q: wait %s, want %s", field, got, want)
		}
	}
}
