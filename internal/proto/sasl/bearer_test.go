package sasl

import (
	"context"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// ask gives the server a message, with ^A for what is between the values.
func ask(s *Server, msg string) (challenge string, done bool, err error) {
	c, done, err := s.Next(context.Background(), []byte(strings.ReplaceAll(msg, "^A", "\x01")))
	return string(c), done, err
}

func TestBearerMessages(t *testing.T) {
	for _, c := range []struct {
		mech, msg string
		want      string // user and token that are asked about; "" if it is no message
	}{
		// RFC 7628 §4.1
		{OAuthBearer, "n,a=user@example.com,^Ahost=server.example.com^Aport=143^Aauth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^A^A",
			"user@example.com vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
		{OAuthBearer, "n,a=user@example.com,^Ahost=server.example.com^Aport=143^Aauth=^A^A", "user@example.com "}, // §4.3
		{OAuthBearer, "n,,^Aauth=Bearer good^A^A", " good"},
		{OAuthBearer, "y,,^Aauth=bEaReR   good^A^A", " good"},
		{OAuthBearer, "n,a=a=2Cb=3Dc,^Aauth=Bearer good^A^A", "a,b=c good"},
		{OAuthBearer, "n,,^Aauth=Bearer a.b-c_d~e+f/g==^Anew=thing=of\tlater^A^A", " a.b-c_d~e+f/g=="},
		{OAuthBearer, "", ""},
		{OAuthBearer, "^A", ""}, // only after a failure
		{OAuthBearer, "n,,^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer good^A", ""},
		{OAuthBearer, "n,,auth=Bearer good^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer good^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Basic good^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer go od^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer ==^A^A", ""},
		{OAuthBearer, "n,,^Aauth=Bearer gööd^A^A", ""},
		{OAuthBearer, "n,,^Aau-th=x^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,,^Anothing^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "p=tls-exporter,,^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,a=,^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,a=x=2cy,^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,user=someuser@example.com,^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "n,a=" + strings.Repeat("u", MaxName+1) + ",^Aauth=Bearer good^A^A", ""},
		{OAuthBearer, "user=a@example.org^Aauth=Bearer good^A^A", ""},

		{XOAuth2, "user=someuser@example.com^Aauth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg^A^A",
			"someuser@example.com ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"},
		{XOAuth2, "user=a@example.org^Aauth=^A^A", "a@example.org "},
		{XOAuth2, "user=^Aauth=Bearer good^A^A", ""},
		{XOAuth2, "user=a@example.org^Aauth=Bearer good^A", ""},
		{XOAuth2, "user=a@example.org^Aauth=Bearer good^A^A^A", ""},
		{XOAuth2, "auth=Bearer good^Auser=a@example.org^A^A", ""},
		{XOAuth2, "user=a@example.org^Atoken=good^A^A", ""},
		{XOAuth2, "n,,^Aauth=Bearer good^A^A", ""},
	} {
		b := newBook(t, "tim", "pw", "salt")
		_, done, err := ask(newServer(t, c.mech, b, Binding{}), c.msg)
		if c.want == "" {
			wantKind(t, err, mail.Invalid)
		}
		if got := strings.Join(b.asked, "; "); got != c.want {
			t.Errorf("%s %q: %q was asked about, want %q (%v, %v)", c.mech, c.msg, got, c.want, done, err)
		}
	}
}

func TestBearer(t *testing.T) {
	for mech, begin := range map[string]string{OAuthBearer: "n,,^A", XOAuth2: "user=tim@example.org^A"} {
		b := newBook(t, "tim", "pw", "salt")
		s := newServer(t, strings.ToLower(mech), b, Binding{})
		if c, done := say(t, s, nil); c != "" || done {
			t.Fatalf("%s: first challenge %q, done %v", mech, c, done)
		}
		if _, done, err := ask(s, begin+"auth=Bearer good^A^A"); !done || err != nil || s.Principal() != b.principal || s.User() != "tim@example.org" {
			t.Fatalf("%s: %v, %v, %v, %q", mech, done, err, s.Principal(), s.User())
		}
		if err := s.Refused(); err != nil {
			t.Errorf("%s: refused with %v", mech, err)
		}
		b.principal = mail.Principal{}
		_, done, err := ask(newServer(t, mech, b, Binding{}), begin+"auth=Bearer good^A^A")
		if wantKind(t, err, mail.Forbidden); done {
			t.Errorf("%s lets nobody in", mech)
		}
	}
}

// A refusal is told in JSON; then the exchange fails, whatever the client says, and if it
// gives up, too (RFC 7628 §3.2.3).
func TestBearerRefused(t *testing.T) {
	for _, c := range []struct{ mech, token, want string }{
		{OAuthBearer, "bad", `{"status":"invalid_token","openid-configuration":"https://id.example/.well-known/openid-configuration"}`},
		{OAuthBearer, "narrow", `{"status":"insufficient_scope","scope":"mail"}`},
		{XOAuth2, "bad", `{"status":"401","schemes":"bearer"}`},
		{XOAuth2, "narrow", `{"status":"401","schemes":"bearer","scope":"mail"}`},
	} {
		first := map[string]string{OAuthBearer: "n,,^A", XOAuth2: "user=tim@example.org^A"}[c.mech] + "auth=Bearer " + c.token + "^A^A"
		for _, answer := range []string{"^A", "", first} {
			s := newServer(t, c.mech, newBook(t, "tim", "pw", "salt"), Binding{})
			challenge, done, err := ask(s, first)
			if challenge != c.want || done || err != nil {
				t.Fatalf("%s %s: %q, %v, %v", c.mech, c.token, challenge, done, err)
			}
			wantKind(t, s.Refused(), mail.Forbidden)
			_, done, err = ask(s, answer)
			if wantKind(t, err, mail.Forbidden); done || s.Principal() != (mail.Principal{}) {
				t.Errorf("%s %s: in after %q", c.mech, c.token, answer)
			}
		}
	}
	// What is no refusal of the token is not told as one.
	for token, kind := range map[string]mail.Kind{"down": mail.Unavailable, "silent": mail.Forbidden} {
		c, _, err := ask(newServer(t, OAuthBearer, newBook(t, "tim", "pw", "salt"), Binding{}), "n,,^Aauth=Bearer "+token+"^A^A")
		if wantKind(t, err, kind); c != "" {
			t.Errorf("%s: challenge %q", token, c)
		}
	}
}

// A token may be longer than a password, and has an end too.
func TestBearerLimit(t *testing.T) {
	b := newBook(t, "tim", "pw", "salt")
	msg := func(n int) string {
		return "n,,^Aauth=Bearer " + strings.Repeat("t", n-len("n,,.auth=Bearer ..")) + "^A^A"
	}
	if _, _, err := ask(newServer(t, OAuthBearer, b, Binding{}), msg(MaxTokenMessage)); err != nil || len(b.asked) != 1 {
		t.Errorf("%v, asked %d times", err, len(b.asked))
	}
	_, _, err := ask(newServer(t, OAuthBearer, b, Binding{}), msg(MaxTokenMessage+1))
	wantKind(t, err, mail.TooLarge)
}

func FuzzBearer(f *testing.F) {
	for _, s := range []string{"n,a=a=2Cb,\x01host=x\x01auth=Bearer good\x01\x01", "user=a@example.org\x01auth=Bearer good\x01\x01", "y,,\x01auth=\x01\x01", "\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, parse := range []func([]byte) (string, string, error){parseOAuthBearer, parseXOAuth2} {
			user, token, err := parse(msg)
			if err != nil && (user+token != "" || mail.KindOf(err) != mail.Invalid) {
				t.Errorf("%q, %q, %v", user, token, err)
			}
			if err == nil && (user != "" && !validText(user, MaxName) || token != "" && !isToken(token)) {
				t.Errorf("%q, %q", user, token)
			}
		}
	})
}
