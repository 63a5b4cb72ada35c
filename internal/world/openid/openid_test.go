package openid_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/openidtest"
	"yubin/internal/world/openid"
)

type claims = openidtest.Claims

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is a provider, and who asks it.
type bench struct {
	*openidtest.Provider
	asks  *openid.Provider
	clock *clock
	log   *bytes.Buffer
}

func newBench(t *testing.T, change func(*openid.Options)) *bench {
	t.Helper()
	b := &bench{Provider: openidtest.New(), clock: &clock{at: time.Unix(1_800_000_000, 0)}, log: new(bytes.Buffer)}
	t.Cleanup(b.Close)
	b.Now = b.clock.now
	o := openid.Options{Issuer: b.Issuer, Audience: []string{"other", openidtest.Audience}, Scope: openidtest.Scope, Roots: b.Roots, Agent: "yubin/test",
		Now: b.clock.now, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	if change != nil {
		change(&o)
	}
	var err error
	if b.asks, err = openid.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.asks.Close)
	return b
}

func introspecting(o *openid.Options) {
	o.Introspect, o.ClientID, o.Secret = true, openidtest.ClientID, openidtest.Secret
}

// why is what came of a token: "" if it is taken.
func (b *bench) why(t *testing.T, token string) string {
	t.Helper()
	c, err := b.asks.Check(t.Context(), token)
	r := (*openid.Refusal)(nil)
	switch {
	case err == nil && c.Text("email") != "alice@example.org":
		t.Errorf("a token of %q", c.Text("email"))
	case err != nil && errors.As(err, &r) != (mail.KindOf(err) == mail.Forbidden):
		t.Errorf("%v, %v", err, r)
	case r != nil && r.Genuine:
		return "genuine: " + r.Why
	case r != nil:
		return r.Why
	case err != nil:
		return mail.KindOf(err).String() + ": " + fmt.Sprint(errors.Unwrap(err))
	}
	return ""
}

func unsigned(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "."
}

func TestTokens(t *testing.T) {
	b := newBench(t, nil)
	ec, ed, rsa := openidtest.NewKey("ec", "EC"), openidtest.NewKey("ed", "Ed25519"), openidtest.NewKey("1", "RSA")
	b.SetKeys(rsa, ec, ed)
	right := b.Claims("alice@example.org", nil)
	now := b.clock.now().Unix()
	impostor := openidtest.NewKey("1", "RSA")
	secret := openidtest.NewKey("1", "Ed25519")
	for _, c := range []struct{ name, token, want string }{
		{"right", b.Token("alice@example.org", nil), ""},
		{"EC", ec.Sign(right, nil), ""},
		{"Ed25519", ed.Sign(right, nil), ""},
		{"no name of a key", ec.Sign(right, claims{"kid": ""}), ""},
		{"type JWT", rsa.Sign(right, claims{"typ": "JWT"}), ""},
		{"whole type", rsa.Sign(right, claims{"typ": "application/at+jwt"}), ""},
		{"audiences", b.Token("alice@example.org", claims{"aud": []string{"x", "mail"}}), ""},
		{"scopes of Microsoft", b.Token("alice@example.org", claims{"scope": nil, "scp": "a " + openidtest.Scope}), ""},
		{"scopes of Okta", b.Token("alice@example.org", claims{"scope": nil, "scp": []string{"a", openidtest.Scope}}), ""},
		{"clocks that differ", b.Token("alice@example.org", claims{"exp": now - 59, "nbf": now + 59}), ""},

		{"nothing", "", "genuine: no token"},
		{"opaque", "abcdef", "the token is no JWT: if the provider makes others, introspection = true has it asked about them"},
		{"encrypted", "e30.a.b.c.d", "the token is no JWT: if the provider makes others, introspection = true has it asked about them"},
		{"no JSON", "AAAA.e30.AAAA", "the token is no JWT: if the provider makes others, introspection = true has it asked about them"},
		{"long", strings.Repeat("x", openid.MaxToken+1), "the token has over 9216 octets"},
		{"alg none", unsigned(`{"alg":"none"}`, "{}"), "nobody has signed the token (alg none)"},
		{"alg NONE", unsigned(`{"alg":"NoNe","kid":"1"}`, "{}"), "nobody has signed the token (alg none)"},
		{"two algs", unsigned(`{"alg":"RS256","alg":"none","kid":"1"}`, "{}"), "nobody has signed the token (alg none)"},
		{"alg twice, otherwise", unsigned(`{"alg":"none","ALG":"RS256","kid":"1"}`, "{}"), "the token is no signed JWT"},
		{"HS256 with a public key", rsa.Sign(right, claims{"alg": "HS256"}), `the token is signed by "HS256", which is not taken`},
		{"another algorithm of the key", rsa.Sign(right, claims{"alg": "PS256"}), `the token is signed with a key that the provider does not publish (kid "1", alg PS256)`},
		{"a key of another kind", secret.Sign(right, nil), `the token is signed with a key that the provider does not publish (kid "1", alg EdDSA)`},
		{"a logout", rsa.Sign(right, claims{"typ": "logout+jwt"}), `the token is a "logout+jwt", not an access token`},
		{"critical", rsa.Sign(right, claims{"crit": []string{"x"}, "x": 1}), "the signature of the token is wrong"},
		{"an impostor", impostor.Sign(right, nil), "the signature of the token is wrong"},
		{"an impostor with his key", impostor.Sign(right, claims{"jwk": impostor.JWK()}), "the signature of the token is wrong"},
		{"changed", rsa.Sign(right, nil)[:40] + "A" + rsa.Sign(right, nil)[41:], ""},
		{"unknown key", openidtest.NewKey("2", "RSA").Sign(right, nil), `the token is signed with a key that the provider does not publish (kid "2", alg RS256)`},
		{"claims that are none", rsa.Sign(nil, nil), "genuine: the claims of the token cannot be read"},
		{"another issuer", b.Token("alice@example.org", claims{"iss": "https://id.example"}), `genuine: the token is of another issuer: "https://id.example"`},
		{"no issuer", b.Token("alice@example.org", claims{"iss": nil}), `genuine: the token is of another issuer: ""`},
		{"another audience", b.Token("alice@example.org", claims{"aud": "calendar"}), `genuine: the token is for another audience: "calendar"`},
		{"no audience", b.Token("alice@example.org", claims{"aud": nil}), `genuine: the token is for another audience: ""`},
		{"expired", b.Token("alice@example.org", claims{"exp": now - 60}), "genuine: the token has expired at 2027-01-15T07:59:00Z"},
		{"no end", b.Token("alice@example.org", claims{"exp": nil}), "genuine: the token has no end"},
		{"an end that is none", b.Token("alice@example.org", claims{"exp": "never"}), "genuine: the token has no end"},
		{"the end of days", b.Token("alice@example.org", claims{"exp": 1e300}), "genuine: the token has no end"},
		{"not yet", b.Token("alice@example.org", claims{"nbf": now + 61}), "genuine: the token is not valid before 2027-01-15T08:01:01Z"},
		{"bound", b.Token("alice@example.org", claims{"cnf": claims{"jkt": "x"}}), "genuine: the token is bound to a key of its owner, which cannot be shown here"},
		{"no scope", b.Token("alice@example.org", claims{"scope": "mail.accessory"}), `genuine: the token lacks the scope "mail.access"`},
	} {
		if c.name == "changed" {
			if b.why(t, c.token) == "" {
				t.Error("a token that was changed is taken")
			}
			continue
		}
		if got := b.why(t, c.token); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if n := b.Asked(openidtest.KeysPath); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	c, err := b.asks.Check(t.Context(), b.Token("alice@example.org", nil))
	if err != nil || c.Subject != "subject of alice@example.org" || c.Client != "a mail program" || c.Until.Unix() != now+3600 ||
		c.Denies("email_verified") || !c.Denies("iss") || c.Denies("none") || c.Text("email_verified") != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// A key that is not known is looked for, once in a while, also if many ask for it at once.
func TestKeysChange(t *testing.T) {
	b := newBench(t, nil)
	second := openidtest.NewKey("2", "RSA")
	if why := b.why(t, b.Token("alice@example.org", nil)); why != "" {
		t.Fatal(why)
	}
	b.SetKeys(second)
	token := b.Token("alice@example.org", nil)
	if why := b.why(t, token); !strings.Contains(why, `does not publish (kid "2"`) || b.Asked(openidtest.KeysPath) != 1 {
		t.Errorf("%s, fetched %d times", why, b.Asked(openidtest.KeysPath))
	}
	b.clock.pass(openid.AnewGap)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if why := b.why(t, token); why != "" {
				t.Error(why)
			}
		})
	}
	all.Wait()
	if n := b.Asked(openidtest.KeysPath); n != 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
	for i := range 20 {
		if b.why(t, openidtest.NewKey(fmt.Sprint("x", i), "Ed25519").Sign(claims{}, nil)) == "" {
			t.Error("taken")
		}
	}
	if n := b.Asked(openidtest.KeysPath); n != 2 {
		t.Errorf("unknown keys had them fetched: %d times", n)
	}
	b.clock.pass(openid.KeysAge)
	if why := b.why(t, b.Token("alice@example.org", nil)); why != "" || b.Asked(openidtest.KeysPath) != 3 {
		t.Errorf("%s, fetched %d times", why, b.Asked(openidtest.KeysPath))
	}
}

// While the provider is away its keys count for a day. What they do not tell is for later.
func TestProviderIsAway(t *testing.T) {
	b := newBench(t, nil)
	away := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }
	b.Answer(openidtest.MetadataPath, away)
	const why = "unavailable: /.well-known/openid-configuration answers 503 Service Unavailable"
	want := strings.Replace(why, "/", strings.TrimPrefix(b.Issuer, "https://")+"/", 1)
	for range 3 {
		if got := b.why(t, b.Token("alice@example.org", nil)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := b.Asked(openidtest.MetadataPath); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	b.clock.pass(openid.RetryGap)
	b.Answer(openidtest.MetadataPath, nil)
	if got := b.why(t, b.Token("alice@example.org", nil)); got != "" {
		t.Error(got)
	}
	b.Answer(openidtest.KeysPath, away)
	b.clock.pass(openid.KeysAge)
	for range 3 {
		if got := b.why(t, b.Token("alice@example.org", nil)); got != "" {
			t.Error(got)
		}
	}
	if n := b.Asked(openidtest.KeysPath); n != 2 {
		t.Errorf("it was asked %d times", n)
	}
	if got := b.why(t, openidtest.NewKey("2", "EC").Sign(claims{}, nil)); !strings.HasPrefix(got, "unavailable: ") {
		t.Errorf("a key that may be new: %q", got)
	}
	b.clock.pass(openid.KeysEnd)
	if got := b.why(t, b.Token("alice@example.org", nil)); !strings.HasPrefix(got, "unavailable: ") {
		t.Errorf("old keys: %q", got)
	}
	told := b.log.String()
	if strings.Count(told, "level=WARN msg=\"the identity provider does not answer as one\"") != 2 || strings.Count(told, "answers again") != 1 || !strings.Contains(told, "503") {
		t.Errorf("the log:\n%s", told)
	}
}

func TestIntrospection(t *testing.T) {
	b := newBench(t, introspecting)
	now := b.clock.now().Unix()
	for _, c := range []struct{ name, token, want string }{
		{"right", b.Opaque("alice@example.org", nil), ""},
		{"no issuer", b.Opaque("alice@example.org", claims{"iss": nil, "exp": nil}), ""},
		{"unknown", "abc", "the provider says that the token is not active"},
		{"inactive", b.Opaque("alice@example.org", claims{"active": false}), "the provider says that the token is not active"},
		{"active in words", b.Opaque("alice@example.org", claims{"active": "true"}), "the provider says that the token is not active"},
		{"another issuer", b.Opaque("alice@example.org", claims{"iss": "x"}), `genuine: the token is of another issuer: "x"`},
		{"another audience", b.Opaque("alice@example.org", claims{"aud": "x"}), `genuine: the token is for another audience: "x"`},
		{"no audience", b.Opaque("alice@example.org", claims{"aud": nil}), `genuine: the token is for another audience: ""`},
		{"expired", b.Opaque("alice@example.org", claims{"exp": now - 60}), "genuine: the token has expired at 2027-01-15T07:59:00Z"},
		{"no scope", b.Opaque("alice@example.org", claims{"scope": nil}), `genuine: the token lacks the scope "mail.access"`},
	} {
		for range 2 {
			if got := b.why(t, c.token); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
	if n := b.Asked(openidtest.IntrospectionPath); n != 10 {
		t.Errorf("it was asked %d times about 10 tokens", n)
	}
	if n := b.Asked(openidtest.KeysPath); n != 0 {
		t.Errorf("the keys were fetched %d times", n)
	}
	token := b.Opaque("alice@example.org", nil)
	b.why(t, token)
	b.Revoke(token)
	if got := b.why(t, token); got != "" {
		t.Error("it does not remember: " + got)
	}
	b.clock.pass(openid.ReplyAge)
	if got := b.why(t, token); got != "the provider says that the token is not active" {
		t.Errorf("revoked: %q", got)
	}
	b.Answer(openidtest.IntrospectionPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 2 {
		if got := b.why(t, b.Opaque("alice@example.org", nil)); !strings.HasPrefix(got, "unavailable: ") || !strings.HasSuffix(got, "/introspect answers 502 Bad Gateway") {
			t.Errorf("away: %q", got)
		}
	}
	if n := b.Asked(openidtest.IntrospectionPath); n != 13 {
		t.Errorf("it was asked %d times", n)
	}
	wrong := newBench(t, func(o *openid.Options) { introspecting(o); o.Secret = "wrong" })
	if got := wrong.why(t, wrong.Opaque("alice@example.org", nil)); !strings.HasSuffix(got, "/introspect answers 401 Unauthorized") {
		t.Errorf("a wrong secret: %q", got)
	}
}

// More answers than are remembered take no more memory.
func TestManyTokens(t *testing.T) {
	b := newBench(t, introspecting)
	for i := range 1005 {
		if got := b.why(t, fmt.Sprint("token", i)); !strings.HasSuffix(got, "not active") {
			t.Fatal(got)
		}
	}
	b.why(t, "token1004")
	if n := b.Asked(openidtest.IntrospectionPath); n != 1005 {
		t.Errorf("asked %d times", n)
	}
	b.why(t, "token0")
	if n := b.Asked(openidtest.IntrospectionPath); n != 1006 {
		t.Errorf("the first of 1005 is remembered: asked %d times", n)
	}
}

// What a hostile provider answers is bounded, and named.
func TestHostileProvider(t *testing.T) {
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	huge := text(`{"a":"` + strings.Repeat("x", openid.MaxAnswer) + `"}`)
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://127.0.0.1/", http.StatusFound)
	}
	keys := func(n int, one string) http.HandlerFunc {
		return text(`{"keys":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`)
	}
	none := "the provider publishes no key that signs: RSA of 2048 bits and more, P-256, P-384, P-521 or Ed25519"
	for _, c := range []struct {
		name, path string
		h          http.HandlerFunc
		want       string
	}{
		{"huge metadata", openidtest.MetadataPath, huge, "answers more than 262144 octets"},
		{"no JSON", openidtest.MetadataPath, text("<html>"), "is no metadata of a provider: it cannot be read as JSON"},
		{"deep JSON", openidtest.MetadataPath, text(strings.Repeat("[", 100_000)), "it cannot be read as JSON"},
		{"a redirect", openidtest.MetadataPath, elsewhere, "answers 302 Found"},
		{"a header without an end", openidtest.MetadataPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "could not be asked"},
		{"another issuer", openidtest.MetadataPath, text(`{"issuer":"https://id.example"}`), `is "https://id.example", not "https://127.0.0.1:`},
		{"keys without TLS", openidtest.MetadataPath, text(`{"issuer":"ISSUER","jwks_uri":"http://127.0.0.1/"}`), `no jwks_uri that is spoken to by HTTPS ("http://127.0.0.1/")`},
		{"a file for keys", openidtest.MetadataPath, text(`{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`), "no jwks_uri that is spoken to by HTTPS"},
		{"no keys", openidtest.MetadataPath, text(`{"issuer":"ISSUER"}`), `no jwks_uri that is spoken to by HTTPS ("")`},
		{"huge keys", openidtest.KeysPath, huge, "answers more than 262144 octets"},
		{"too many keys", openidtest.KeysPath, keys(101, "{}"), "the provider has 101 keys, more than 100"},
		{"keys that are none", openidtest.KeysPath, keys(100, "{}"), none},
		{"a secret key", openidtest.KeysPath, keys(1, `{"kty":"oct","k":"AAAA","kid":"1"}`), none},
		{"a small key", openidtest.KeysPath, keys(1, `{"kty":"RSA","n":"wVKQLBUqOBiay2dkn9TlbfuaF40_edIKUmdLq6OlvzEMrP4IDzdOk50TMO0nfjJ6v5830_5x0vRg5bzZQeKpHniR0sw7qyoSI6n2eSkSnFt7P-N8gv2KWnwzVs_h9FDdeLOeVOU8k_qzkph3_tmBV7ZZG-4_DEvgvat6ifEC-WzzYqofsIrTiTT7Z","e":"AQAB"}`), none},
		{"a point that is none", openidtest.KeysPath, keys(1, `{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`), none},
		{"a key to encrypt", openidtest.KeysPath, keys(1, `{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), none},
		{"no list", openidtest.KeysPath, text(`{"keys":{}}`), "they are no JSON Web Key Set"},
	} {
		b := newBench(t, nil)
		h := c.h
		b.Answer(c.path, func(w http.ResponseWriter, r *http.Request) {
			in := &issuerIn{w, b.Issuer}
			h(in, r)
		})
		if got := b.why(t, b.Token("alice@example.org", nil)); !strings.HasPrefix(got, "unavailable: ") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if _, err := b.asks.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: described as %v", c.name, err)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{"huge": huge, "no JSON": text("yes"), "no answer": text("{}"), "a list": text("[true]")} {
		b := newBench(t, introspecting)
		b.Answer(openidtest.IntrospectionPath, answer)
		if got := b.why(t, "x"); !strings.HasPrefix(got, "unavailable: ") {
			t.Errorf("%s: %q", name, got)
		}
	}
	b := newBench(t, introspecting)
	b.Answer(openidtest.MetadataPath, func(w http.ResponseWriter, _ *http.Request) {
		b.Write(w, claims{"issuer": b.Issuer, "jwks_uri": b.Issuer + openidtest.KeysPath})
	})
	if got := b.why(t, "x"); !strings.Contains(got, "no introspection_endpoint") {
		t.Error(got)
	}
	stranger := newBench(t, func(o *openid.Options) { o.Roots = nil })
	if got := stranger.why(t, "a.b.c"); got != "the token is no JWT: if the provider makes others, introspection = true has it asked about them" {
		t.Error(got)
	}
	if got := stranger.why(t, stranger.Token("alice@example.org", nil)); !strings.HasSuffix(got, "is not to be trusted: nobody whom we trust has signed it") {
		t.Error(got)
	}
}

// issuerIn puts the issuer into what is written.
type issuerIn struct {
	http.ResponseWriter
	issuer string
}

func (w *issuerIn) WriteString(s string) (int, error) {
	return io.WriteString(w.ResponseWriter, strings.ReplaceAll(s, "ISSUER", w.issuer))
}

// A provider that says nothing is waited for no longer than the client waits.
func TestSlowProvider(t *testing.T) {
	b := newBench(t, introspecting)
	held := make(chan struct{})
	b.Answer(openidtest.IntrospectionPath, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-held:
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.asks.Check(ctx, "x"); mail.KindOf(err) != mail.Unavailable {
		t.Error(err)
	}
	close(held)
	b.Answer(openidtest.IntrospectionPath, nil)
	if got := b.why(t, b.Opaque("alice@example.org", nil)); got != "" {
		t.Errorf("a client that went away is no outage: %s", got)
	}
}

// A provider on the Internet does not lead us behind our walls; one behind them may.
func TestWhereAProviderLeads(t *testing.T) {
	for _, public := range []bool{true, false} {
		var asked []string
		var allowsLoopback bool
		b := newBench(t, func(o *openid.Options) {
			o.Dial = func(ctx context.Context, network, address string, allowed func(netip.Addr) bool) (net.Conn, error) {
				asked = append(asked, address)
				host, port, _ := net.SplitHostPort(address)
				if host == "keys.example" {
					allowsLoopback = allowed == nil || allowed(netip.MustParseAddr("127.0.0.1"))
					return nil, errors.New("nobody there")
				}
				conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
				if err == nil && public {
					conn = fromAfar{conn}
				}
				return conn, err
			}
		})
		b.Answer(openidtest.MetadataPath, func(w http.ResponseWriter, _ *http.Request) {
			b.Write(w, claims{"issuer": b.Issuer, "jwks_uri": "https://keys.example/keys"})
		})
		if got := b.why(t, b.Token("alice@example.org", nil)); !strings.HasSuffix(got, "keys.example could not be asked") {
			t.Error(got)
		}
		if len(asked) != 2 || asked[1] != "keys.example:443" || allowsLoopback == public {
			t.Errorf("public %v: %q, %v", public, asked, allowsLoopback)
		}
	}
}

type fromAfar struct{ net.Conn }

func (fromAfar) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.7:443"))
}

func TestDescribe(t *testing.T) {
	b := newBench(t, nil)
	b.SetKeys(openidtest.NewKey("a", "RSA"), openidtest.NewKey("b", "EC"), openidtest.NewKey("c", "Ed25519"))
	s, err := b.asks.Describe(t.Context())
	if err != nil || fmt.Sprint(s.Keys) != "[{a RSA RS256} {b EC ES256} {c Ed25519 EdDSA}]" || s.Introspection != "" || s.Issuer != b.Issuer {
		t.Errorf("%+v, %v", s, err)
	}
	if b.asks.MetadataURL() != b.Issuer+openidtest.MetadataPath {
		t.Error(b.asks.MetadataURL())
	}
	b = newBench(t, introspecting)
	if s, err = b.asks.Describe(t.Context()); err != nil || s.Introspection != b.Issuer+openidtest.IntrospectionPath || len(s.Keys) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, issuer := range []string{"", "id.example", "http://id.example", "https://user:x@id.example/"} {
		if _, err := openid.New(openid.Options{Issuer: issuer}); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}
