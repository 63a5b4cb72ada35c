package server

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/openidtest"
	"yubin/internal/world/config"
)

type tokenClaims = openidtest.Claims

// withProvider is a configuration with a provider that speaks for yubin.test.
func withProvider(t *testing.T) (config.Config, *openidtest.Provider) {
	t.Helper()
	p := openidtest.New()
	t.Cleanup(p.Close)
	c := local(t)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, p.RootPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	c.OAuth = config.OAuth{On: true, Issuer: p.Issuer, Audience: []string{openidtest.Audience}, Scope: openidtest.Scope, Claim: "email",
		Domains: []mail.Domain{"yubin.test"}, Root: root}
	return c, p
}

// tokenTalk is how a protocol talks of tokens, over TLS.
type tokenTalk struct {
	service  string
	greeting []string // as in protocol
	offer    string   // asks what is offered
	offered  string   // in the answer
	auth     string   // with the mechanism and the response behind it
	next     string
	ok       string
	wrong    string // refused for good
	away     string // refused for now
}

var tokenTalks = []tokenTalk{
	{"imaps", []string{"", "* OK"}, "x CAPABILITY", "AUTH=OAUTHBEARER AUTH=XOAUTH2 ", "a AUTHENTICATE ", "+ ", "a OK", "a NO [AUTHENTICATIONFAILED] the token is not taken; ", "a NO [UNAVAILABLE] the identity provider cannot be asked"},
	{"pop3s", []string{"", "+OK"}, "CAPA", "SASL SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN", "AUTH ", "+ ", "+OK", "-ERR [AUTH] the token is not taken; ", "-ERR [SYS/TEMP] the identity provider cannot be asked"},
	{"submissions", []string{"", "220 "}, "EHLO client.test", "AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN", "AUTH ", "334 ", "235 2.7.0 ", "535 5.7.8 the token is not taken; ", "454 4.7.0 logging in does not work"},
}

// open connects over TLS and greets.
func (x tokenTalk) open(t *testing.T, s *Server, c config.Config) *peer {
	t.Helper()
	conn, err := tls.Dial("tcp", listenerOf(s, c, x.service).String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	p.say(x.greeting[0], x.greeting[1])
	if x.service == "submissions" {
		p.say("EHLO client.test", "250 ")
	}
	return p
}

// login says a token by a mechanism, and returns the JSON that refuses it, if there is one,
// and the last line.
func (x tokenTalk) login(p *peer, mechanism, user, token string) (told, last string) {
	response := "n,,\x01auth=Bearer " + token + "\x01\x01"
	if user != "" {
		response = "n,a=" + user + ",\x01auth=Bearer " + token + "\x01\x01"
	}
	if mechanism == "XOAUTH2" {
		response = "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
	}
	line := p.say(x.auth+mechanism+" "+b64(response), "")
	if strings.HasPrefix(line, x.next) {
		told = unb64(p.t, strings.TrimSpace(strings.TrimPrefix(line, x.next)))
		line = p.say("AQ==", "")
	}
	return told, strings.TrimSpace(line)
}

func unb64(t *testing.T, s string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return string(text)
}

func TestTokensOnTheWire(t *testing.T) {
	c, provider := withProvider(t)
	d := deps()
	var log bytes.Buffer
	d.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, stop := startWith(t, c, d)
	a := admin.InProcess(s.Admin())
	if _, err := a.AddAccount(t.Context(), admin.NewAccount{Address: "carol@yubin.test", Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	enabled := false
	if _, err := a.ChangeAccount(t.Context(), "carol@yubin.test", admin.AccountChange{Enabled: &enabled}); err != nil {
		t.Fatal(err)
	}
	right := provider.Token("bob@yubin.test", nil)
	impostor := openidtest.NewKey("1", "EC")
	refusal := fmt.Sprintf(`{"status":"invalid_token","scope":"mail.access","openid-configuration":"%s/.well-known/openid-configuration"}`, provider.Issuer)
	narrow := strings.Replace(refusal, "invalid_token", "insufficient_scope", 1)
	const old = `{"status":"401","schemes":"bearer","scope":"mail.access"}`
	for _, x := range tokenTalks {
		p := x.open(t, s, c)
		if got := p.say(x.offer, map[string]string{"imaps": "x OK", "pop3s": ".", "submissions": "250 "}[x.service]); !strings.Contains(got, x.offered) {
			t.Errorf("%s offers %q", x.service, got)
		}
		for _, w := range []struct{ mechanism, user, token, told, last string }{
			{"OAUTHBEARER", "", provider.Token("bob@yubin.test", tokenClaims{"aud": "calendar"}), refusal, x.wrong},
			{"XOAUTH2", "bob@yubin.test", provider.Token("bob@yubin.test", tokenClaims{"exp": time.Now().Add(-time.Hour).Unix()}), old, x.wrong},
			{"OAUTHBEARER", "", provider.Token("bob@yubin.test", tokenClaims{"scope": "openid"}), narrow, x.wrong},
			{"OAUTHBEARER", "", impostor.Sign(provider.Claims("bob@yubin.test", nil), nil), refusal, x.wrong},
			{"OAUTHBEARER", "", provider.Token("dave@yubin.test", nil), refusal, x.wrong},
			{"OAUTHBEARER", "", provider.Token("dave@elsewhere.test", nil), refusal, x.wrong},
			{"OAUTHBEARER", "alice@yubin.test", right, refusal, x.wrong},
			{"XOAUTH2", "bob@yubin.test", provider.Token("bob@yubin.test", tokenClaims{"email_verified": false}), old, x.wrong},
			{"OAUTHBEARER", "", provider.Token("x", tokenClaims{"email": nil}), refusal, x.wrong},
			{"OAUTHBEARER", "", provider.Token("carol@yubin.test", nil), refusal, strings.Replace(x.wrong, "the token is not taken; ", "this account is disabled; ", 1)},
		} {
			p := x.open(t, s, c)
			if told, last := x.login(p, w.mechanism, w.user, w.token); told != w.told || !strings.HasPrefix(last, w.last) {
				t.Errorf("%s: %q, %q; want %q, %q", x.service, told, last, w.told, w.last)
			}
		}
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			p := x.open(t, s, c)
			told, last := x.login(p, mechanism, "BOB@yubin.test", right)
			p.say(map[string]string{"imaps": "b LOGOUT", "pop3s": "QUIT", "submissions": "QUIT"}[x.service], map[string]string{"imaps": "b OK", "pop3s": "+OK", "submissions": "221 "}[x.service])
			if told != "" || !strings.HasPrefix(last, x.ok) {
				t.Errorf("%s %s: %q, %q", x.service, mechanism, told, last)
			}
		}
	}
	clear := dial(t, listenerOf(s, c, "imap")) // TLS is not on yet.
	if got := clear.say("", "* OK"); strings.Contains(got, "OAUTH") {
		t.Errorf("tokens are taken in clear: %s", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`msg=login proto=imap .*mech=OAUTHBEARER tls=TLS1.3 user=bob@yubin.test via="token of a mail program until 20.*Z"`,
		`msg=login .*mech=XOAUTH2 tls=TLS1.3 user=BOB@yubin.test`,
		`msg="login refused" .*reason="the token is for another audience: \\"calendar\\"" mech=OAUTHBEARER`,
		`msg="login refused" .*reason="the token has expired at 20.*Z" mech=XOAUTH2 .*user=bob@yubin.test`,
		`msg="login refused" .*reason="the token lacks the scope \\"mail.access\\""`,
		`msg="login refused" .*reason="the token is signed with a key that the provider does not publish \(kid \\"1\\", alg ES256\)"`,
		`msg="login refused" .*reason="there is no account dave@yubin.test"`,
		`msg="login refused" .*reason="https://127.0.0.1:\d+ does not speak for the domain of dave@elsewhere.test"`,
		`msg="login refused" .*reason="the client says that it is \\"alice@yubin.test\\", and the token is of bob@yubin.test"`,
		`msg="login refused" .*reason="the provider has not verified the address \\"bob@yubin.test\\""`,
		`msg="login refused" .*reason="the token has no claim \\"email\\", which is to name the account \(sub \\"subject of x\\"\)"`,
		`msg="login refused" .*reason="account disabled"`,
	} {
		if !regexp.MustCompile(want).Match(log.Bytes()) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log.String(), right) {
		t.Error("a token is in the log")
	}
}

// While nobody can be asked the answer is "later"; who logged in before stays, and is shown
// out when the account is disabled.
func TestTokensWithoutTheirProvider(t *testing.T) {
	c, provider := withProvider(t)
	s, stop := start(t, c)
	provider.Answer(openidtest.MetadataPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	token := provider.Token("bob@yubin.test", nil)
	for _, x := range tokenTalks {
		if told, last := x.login(x.open(t, s, c), "OAUTHBEARER", "", token); told != "" || !strings.HasPrefix(last, x.away) {
			t.Errorf("%s: %q, %q", x.service, told, last)
		}
	}
	provider.Answer(openidtest.MetadataPath, nil)
	c.OAuth.MakeAccounts = true // A reload begins anew.
	if _, err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	imap := tokenTalks[0]
	p := imap.open(t, s, c)
	if _, last := imap.login(p, "XOAUTH2", "Dave@yubin.test", provider.Token("Dave@yubin.test", nil)); !strings.HasPrefix(last, imap.ok) {
		t.Fatal(last)
	}
	p.say("b SELECT INBOX", "b OK")
	p.say("c IDLE", "+ ")
	a := admin.InProcess(s.Admin())
	enabled := false
	if _, err := a.ChangeAccount(t.Context(), "dave@yubin.test", admin.AccountChange{Enabled: &enabled}); err != nil {
		t.Fatal(err)
	}
	p.say("", "* BYE [UNAVAILABLE] the account is disabled")

	c.OAuth = config.OAuth{}
	if r, err := s.Reload(c); err != nil || fmt.Sprint(r.Changed) != "[oauth]" {
		t.Errorf("%v, %v", r, err)
	}
	p = imap.open(t, s, c)
	if got := p.say("x CAPABILITY", "x OK"); strings.Contains(got, "OAUTH") {
		t.Error(got)
	}
	c.OAuth = config.OAuth{On: true, Issuer: provider.Issuer, Root: "/nowhere"}
	if _, err := s.Reload(c); err == nil || !strings.Contains(err.Error(), "root of [oauth]") {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestOAuthCheck(t *testing.T) {
	c, provider := withProvider(t)
	for _, x := range []struct {
		token, want string
	}{
		{"", "<nil>"},
		{provider.Token("bob", nil), "bob@yubin.test "},
		{provider.Token("x@elsewhere.test", nil), "x@elsewhere.test the domain of x@elsewhere.test is not in domains of [oauth], unless it is another name of one that is"},
		{provider.Token("bob", tokenClaims{"aud": "x"}), ` the token is for another audience: "x"`},
		{provider.Token("bob", tokenClaims{"email": 7}), ` the token has no claim "email", which is to name the account (sub "subject of bob")`},
		{provider.Token("a@b@c", nil), ` the claim "email" is no address: "a@b@c"`},
	} {
		found, err := CheckOAuth(t.Context(), c.OAuth, deps(), x.token)
		got := "<nil>"
		if found.Token != nil {
			got = found.Token.Address.String() + " " + found.Token.Why
		}
		if err != nil || strings.TrimPrefix(got, "@") != x.want || found.Issuer != provider.Issuer || len(found.Keys) != 1 || found.Token != nil && found.Token.Taken != (found.Token.Why == "") {
			t.Errorf("%+v, %+v, %q, %v; want %q", found, found.Token, got, err, x.want)
		}
	}
	c.OAuth.Issuer += "/realms/mail"
	if _, err := CheckOAuth(t.Context(), c.OAuth, deps(), ""); err == nil || !strings.Contains(err.Error(), "/realms/mail/.well-known/openid-configuration answers 404 Not Found") {
		t.Error(err)
	}
	if _, err := CheckOAuth(t.Context(), config.OAuth{}, deps(), ""); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
}
