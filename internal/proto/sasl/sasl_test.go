package sasl

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
)

// book is an Authenticator with one user.
type book struct {
	user, password string
	principal      mail.Principal
	keys           StoredKeys
	outcomes       []bool // of Finish
	scramErr       error
	doneErr        error
	asked          []string // of Bearer
}

func newBook(t testing.TB, user, password, salt string) *book {
	t.Helper()
	client, err := scram.SHA256.NewClientUnprepped(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: salt, Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	return &book{
		user: user, password: password,
		principal: mail.Principal{Account: 7, Address: mail.Address{Local: user, Domain: "example.org"}},
		keys:      StoredKeys{Salt: []byte(c.Salt), Iterations: c.Iters, Keys: []Key{{StoredKey: c.StoredKey, ServerKey: c.ServerKey}}},
	}
}

func (b *book) Login(_ context.Context, user, password string) (mail.Principal, error) {
	if user != b.user || password != b.password {
		return mail.Principal{}, errBadCredentials()
	}
	return b.principal, nil
}

// Bearer takes one token; the others are refused in the ways that there are.
func (b *book) Bearer(_ context.Context, user, token string) (mail.Principal, error) {
	b.asked = append(b.asked, user+" "+token)
	switch token {
	case "good":
		return b.principal, nil
	case "down":
		return mail.Principal{}, mail.Errorf(mail.Unavailable, "away")
	case "narrow":
		return mail.Principal{}, &mail.Error{Kind: mail.Forbidden, Text: "no", Err: &TokenRefused{Status: "insufficient_scope", Scope: "mail"}}
	case "silent":
		return mail.Principal{}, mail.Errorf(mail.Forbidden, "no")
	}
	return mail.Principal{}, &mail.Error{Kind: mail.Forbidden, Text: "no",
		Err: &TokenRefused{Status: "invalid_token", Configuration: "https://id.example/.well-known/openid-configuration"}}
}

func (b *book) Scram(_ context.Context, user string) (StoredKeys, Finish, error) {
	if user != b.user {
		return StoredKeys{Salt: make([]byte, 16), Iterations: 4096, Keys: []Key{{StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}}}, b.finish(mail.Principal{}), b.scramErr
	}
	return b.keys, b.finish(b.principal), b.scramErr
}

func (b *book) finish(p mail.Principal) Finish {
	return func(_ context.Context, proved func() int) (mail.Principal, error) {
		b.outcomes = append(b.outcomes, proved() >= 0)
		return p, b.doneErr
	}
}

func newServer(t testing.TB, mech string, a Authenticator, b Binding) *Server {
	t.Helper()
	s, err := NewServer(mech, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say gives the server one message that it must not refuse.
func say(t testing.TB, s *Server, msg []byte) (challenge string, done bool) {
	t.Helper()
	c, done, err := s.Next(context.Background(), msg)
	if err != nil {
		t.Fatalf("Next(%q): %v", msg, err)
	}
	return string(c), done
}

func wantKind(t testing.TB, err error, want mail.Kind) {
	t.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("error %v, want kind %v", err, want)
	}
}

func TestMechanisms(t *testing.T) {
	for _, c := range []struct {
		o    Offer
		want string
	}{
		{Offer{Scram: true}, "SCRAM-SHA-256"},
		{Offer{Scram: true, Clear: true}, "SCRAM-SHA-256 PLAIN"},
		{Offer{Scram: true, Binding: true, Clear: true}, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"},
		{Offer{Binding: true, Clear: true}, "PLAIN"},
		{Offer{Binding: true}, ""},
		{Offer{Tokens: true}, "OAUTHBEARER XOAUTH2"},
		{Offer{Scram: true, Binding: true, Tokens: true, Clear: true}, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN"},
	} {
		got := c.o.Mechanisms()
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
		for _, m := range append(got, Login) {
			newServer(t, strings.ToLower(m), &book{}, Binding{EndPoint: []byte("x")})
		}
	}
	_, err := NewServer("CRAM-MD5", &book{}, Binding{})
	wantKind(t, err, mail.NotFound)
	_, err = NewServer(ScramSHA256Plus, &book{}, Binding{})
	wantKind(t, err, mail.Forbidden)
}

func TestPlain(t *testing.T) {
	b := newBook(t, "tim", "tanstaaftanstaaf", "salt") // RFC 4616 §4
	long := strings.Repeat("p", 255)
	for _, c := range []struct {
		msg  string
		kind mail.Kind
		ok   bool
	}{
		{msg: "\x00tim\x00tanstaaftanstaaf", ok: true},
		{msg: "tim\x00tim\x00tanstaaftanstaaf", ok: true},
		{msg: "TIM@example.org\x00tim\x00tanstaaftanstaaf", ok: true},
		{msg: "Ursel\x00tim\x00tanstaaftanstaaf", kind: mail.Forbidden}, // RFC 4616 §4, second example
		{msg: "ursel@example.org\x00tim\x00tanstaaftanstaaf", kind: mail.Forbidden},
		{msg: "\x00tim\x00wrong", kind: mail.Forbidden},
		{msg: "\x00kurt\x00tanstaaftanstaaf", kind: mail.Forbidden},
		{msg: long + "\x00" + long + "\x00" + long, kind: mail.Forbidden}, // long, but a message
		{msg: "", kind: mail.Invalid},
		{msg: "\x00tim", kind: mail.Invalid},
		{msg: "\x00\x00pass", kind: mail.Invalid},
		{msg: "\x00tim\x00", kind: mail.Invalid},
		{msg: "\x00tim\x00pass\x00more", kind: mail.Invalid},
		{msg: "\x00tim\xff\x00pass", kind: mail.Invalid},
		{msg: "\xff\x00tim\x00tanstaaftanstaaf", kind: mail.Invalid},
		{msg: "\x00" + strings.Repeat("u", MaxName+1) + "\x00pass", kind: mail.Invalid},
		{msg: "\x00tim\x00" + strings.Repeat("u", MaxPassword+1), kind: mail.Invalid},
		{msg: strings.Repeat("u", MaxMessage+1), kind: mail.TooLarge},
	} {
		s := newServer(t, Plain, b, Binding{})
		_, done, err := s.Next(context.Background(), []byte(c.msg))
		if !c.ok {
			wantKind(t, err, c.kind)
		}
		if done != c.ok || (s.Principal() == b.principal) != c.ok {
			t.Errorf("%q: done %v, principal %v, %v", c.msg, done, s.Principal(), err)
		}
	}
}

func TestPlainWithoutInitialResponse(t *testing.T) {
	s := newServer(t, Plain, newBook(t, "tim", "pw", "salt"), Binding{})
	if c, done := say(t, s, nil); c != "" || done {
		t.Fatalf("challenge %q, done %v", c, done)
	}
	if _, done := say(t, s, []byte("\x00tim\x00pw")); !done || s.User() != "tim" {
		t.Fatal("not done")
	}
	_, _, err := s.Next(context.Background(), []byte("\x00tim\x00pw"))
	wantKind(t, err, mail.Invalid)
}

// Some base64 decoders return nil for an empty line: that is an empty message.
func TestNilAfterTheStartIsEmpty(t *testing.T) {
	s := newServer(t, Plain, newBook(t, "tim", "pw", "salt"), Binding{})
	say(t, s, nil)
	_, _, err := s.Next(context.Background(), nil)
	wantKind(t, err, mail.Invalid)
}

func TestLogin(t *testing.T) {
	b := newBook(t, "tim", "pw", "salt")
	for _, initial := range []bool{false, true} {
		s := newServer(t, Login, b, Binding{})
		if !initial {
			if c, _ := say(t, s, nil); c != "Username:" {
				t.Fatalf("first challenge %q", c)
			}
		}
		if c, done := say(t, s, []byte("tim")); c != "Password:" || done {
			t.Fatalf("second challenge %q, %v", c, done)
		}
		if !s.Principal().Address.IsZero() {
			t.Fatal("a principal before the password")
		}
		if _, done := say(t, s, []byte("pw")); !done || s.Principal() != b.principal {
			t.Fatal("not logged in")
		}
	}
	s := newServer(t, Login, b, Binding{})
	say(t, s, []byte("tim"))
	_, done, err := s.Next(context.Background(), []byte("px"))
	wantKind(t, err, mail.Forbidden)
	if done || s.Principal() != (mail.Principal{}) {
		t.Fatal("logged in with a wrong password")
	}
	_, _, err = newServer(t, Login, b, Binding{}).Next(context.Background(), []byte{})
	wantKind(t, err, mail.Invalid)
}

// An Authenticator that gives nobody must not let anybody in.
func TestNobodyIsNotSomebody(t *testing.T) {
	b := newBook(t, "tim", "pw", "salt")
	b.principal = mail.Principal{}
	_, done, err := newServer(t, Plain, b, Binding{}).Next(context.Background(), []byte("\x00tim\x00pw"))
	wantKind(t, err, mail.Forbidden)
	if done {
		t.Fatal("done")
	}
}

func TestLines(t *testing.T) {
	if b, err := DecodeInitial([]byte("=")); err != nil || b == nil || len(b) != 0 {
		t.Errorf("= is %q, %v", b, err)
	}
	if b, err := DecodeLine([]byte("AHRpbQB0YW5zdGFhZnRhbnN0YWFm")); err != nil || string(b) != "\x00tim\x00tanstaaftanstaaf" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := DecodeLine(nil); err != nil || len(b) != 0 {
		t.Errorf("empty line: %q, %v", b, err)
	}
	if !IsCancel([]byte("*")) || IsCancel(nil) || IsCancel([]byte("**")) {
		t.Error("IsCancel")
	}
	if got := string(AppendChallenge([]byte("334 "), []byte("Username:"))); got != "334 VXNlcm5hbWU6" {
		t.Error(got)
	}
	for _, bad := range []string{"*", "A", "AHRpbQ=", "AHRpbR==", "AHR pbQB", "\x00"} {
		_, err := DecodeLine([]byte(bad))
		wantKind(t, err, mail.Invalid)
	}
	_, err := DecodeInitial(nil)
	wantKind(t, err, mail.Invalid)
	_, err = DecodeLine(make([]byte, MaxLine+1))
	wantKind(t, err, mail.TooLarge)
	if full := AppendChallenge(nil, make([]byte, MaxTokenMessage)); len(full) != MaxLine {
		t.Errorf("MaxLine is %d, the largest message takes %d", MaxLine, len(full))
	}
}
