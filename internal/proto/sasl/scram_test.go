package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
)

// The example of RFC 7677 §3, octet for octet.
func TestScramRFC7677(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	b := newBook(t, "user", "pencil", string(salt))
	s := newServer(t, ScramSHA256, b, Binding{})
	s.nonce = func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }

	c, done := say(t, s, []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; c != want || done {
		t.Fatalf("server-first %q", c)
	}
	c, done = say(t, s, []byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; c != want || done {
		t.Fatalf("server-final %q, done %v", c, done)
	}
	if s.Principal() != (mail.Principal{}) {
		t.Fatal("a principal before the end")
	}
	if _, done = say(t, s, []byte{}); !done || s.Principal() != b.principal {
		t.Fatalf("done %v, principal %v", done, s.Principal())
	}
	if len(b.outcomes) != 1 || !b.outcomes[0] {
		t.Fatalf("outcomes %v", b.outcomes)
	}
}

// talk runs the library's client against s to its end.
func talk(c *scram.ClientConversation, s *Server) error {
	msg, err := c.Step("")
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = s.Next(context.Background(), []byte(msg))
		if done {
			break
		}
		if err == nil {
			msg, err = c.Step(string(challenge))
		}
	}
	if err == nil && !c.Valid() {
		return errors.New("the client does not believe the server")
	}
	return err
}

func client(t testing.TB, user, password, authzid string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScramNames(t *testing.T) {
	b := newBook(t, "a,b=c ü", "пароль", "0123456789abcdef")
	b.principal.Address.Local = "abc"
	for authzid, kind := range map[string]mail.Kind{
		"": 0, "a,b=c ü": 0, "ABC@example.org": 0, "root": mail.Forbidden,
	} {
		s := newServer(t, ScramSHA256, b, Binding{})
		err := talk(client(t, "a,b=c ü", "пароль", authzid).NewConversation(), s)
		if kind != 0 {
			wantKind(t, err, kind)
		} else if err != nil || s.Principal() != b.principal || s.User() != b.user {
			t.Errorf("authzid %q: %v, %v", authzid, err, s.Principal())
		}
	}
}

func TestScramRefusals(t *testing.T) {
	b := newBook(t, "user", "pencil", "0123456789abcdef")
	for _, c := range [][2]string{{"user", "pen"}, {"nobody", "pencil"}} {
		s := newServer(t, ScramSHA256, b, Binding{})
		wantKind(t, talk(client(t, c[0], c[1], "").NewConversation(), s), mail.Forbidden)
		if s.Principal() != (mail.Principal{}) {
			t.Errorf("%v logged in", c)
		}
	}
	if len(b.outcomes) != 2 || b.outcomes[0] || b.outcomes[1] {
		t.Errorf("outcomes %v", b.outcomes)
	}
	b.doneErr = mail.Errorf(mail.Forbidden, "disabled")
	wantKind(t, talk(client(t, "user", "pencil", "").NewConversation(), newServer(t, ScramSHA256, b, Binding{})), mail.Forbidden)
	b.scramErr = mail.Errorf(mail.RateLimited, "later")
	wantKind(t, talk(client(t, "user", "pencil", "").NewConversation(), newServer(t, ScramSHA256, b, Binding{})), mail.RateLimited)
}

func TestScramBrokenMessages(t *testing.T) {
	b := newBook(t, "user", "pencil", "0123456789abcdef")
	for _, first := range []string{
		"", "n", "n,,", ",,n=user,r=x", "x,,n=user,r=x", "n,,n=,r=x", "n,,n=us=er,r=x", "n,a=x=y,n=user,r=x",
		"n,b=x,n=user,r=x", "n,,m=ext,n=user,r=x", "n,,r=x,n=user", "n,,n=\xff,r=x", "p=,,n=user,r=x",
		"n,,n=" + strings.Repeat("u", MaxName+1) + ",r=x",
	} {
		_, _, err := newServer(t, ScramSHA256, b, Binding{}).Next(context.Background(), []byte(first))
		wantKind(t, err, mail.Invalid)
	}
	for _, final := range []string{"", "c=biws", "c=%,r=xy,p=AA==", "c=biws,p=AA==,r=xy", "c=biws,r=xy,p=?"} {
		s := newServer(t, ScramSHA256, b, Binding{})
		say(t, s, []byte("n,,n=user,r=x"))
		_, _, err := s.Next(context.Background(), []byte(final))
		wantKind(t, err, mail.Invalid)
	}
	for _, final := range []string{"c=biws,r=other,p=AA==", "c=eSws,r=xy,p=AA==", "c=biws,r=xy,p=AA=="} {
		s := newServer(t, ScramSHA256, b, Binding{})
		s.nonce = func() string { return "y" }
		say(t, s, []byte("n,,n=user,r=x"))
		_, _, err := s.Next(context.Background(), []byte(final))
		wantKind(t, err, mail.Forbidden)
	}
}

// A client that answers server-final-message with octets is not logged in.
func TestScramConfirmIsEmpty(t *testing.T) {
	s := newServer(t, ScramSHA256, newBook(t, "user", "pencil", "0123456789abcdef"), Binding{})
	c := client(t, "user", "pencil", "").NewConversation()
	msg, _ := c.Step("")
	first, _ := say(t, s, []byte(msg))
	msg, _ = c.Step(first)
	say(t, s, []byte(msg))
	_, done, err := s.Next(context.Background(), []byte("x"))
	wantKind(t, err, mail.Invalid)
	if done || s.Principal() != (mail.Principal{}) {
		t.Fatal("logged in")
	}
}

func TestChannelBinding(t *testing.T) {
	b := newBook(t, "user", "pencil", "0123456789abcdef")
	ours := Binding{Exporter: []byte("exported"), EndPoint: []byte("certificate")}
	exporter := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte("exported")}
	endPoint := scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: []byte("certificate")}
	wrong := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte("of another connection")}
	unique := scram.ChannelBinding{Type: scram.ChannelBindingTLSUnique, Data: []byte("exported")}
	c := client(t, "user", "pencil", "")
	for _, test := range []struct {
		name    string
		mech    string
		binding Binding
		conv    *scram.ClientConversation
		ok      bool
	}{
		{"exporter", ScramSHA256Plus, ours, c.NewConversationWithChannelBinding(exporter), true},
		{"end point", ScramSHA256Plus, ours, c.NewConversationWithChannelBinding(endPoint), true},
		{"wrong data", ScramSHA256Plus, ours, c.NewConversationWithChannelBinding(wrong), false},
		{"type not here", ScramSHA256Plus, ours, c.NewConversationWithChannelBinding(unique), false},
		{"n with PLUS", ScramSHA256Plus, ours, c.NewConversation(), false},
		{"y with PLUS", ScramSHA256Plus, ours, c.NewConversationAdvertisingChannelBinding(), false},
		{"n without PLUS", ScramSHA256, ours, c.NewConversation(), true},
		{"downgrade", ScramSHA256, ours, c.NewConversationAdvertisingChannelBinding(), false},
		{"y where none is offered", ScramSHA256, Binding{}, c.NewConversationAdvertisingChannelBinding(), true},
		{"p where none is offered", ScramSHA256, Binding{}, c.NewConversationWithChannelBinding(exporter), false},
	} {
		s := newServer(t, test.mech, b, test.binding)
		err := talk(test.conv, s)
		if (err == nil) != test.ok || (s.Principal() == b.principal) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.ok {
			wantKind(t, err, mail.Forbidden)
		}
	}
}

// handshake connects a TLS client and server of the given version.
func handshake(t *testing.T, version uint16) (server, client *tls.ConnectionState, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.org"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	srv := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version, SessionTicketsDisabled: true})
	cli := tls.Client(far, &tls.Config{RootCAs: roots, ServerName: "mail.example.org", MaxVersion: version})
	failed := make(chan error, 1)
	go func() { failed <- cli.Handshake() }()
	if err := errors.Join(srv.Handshake(), <-failed); err != nil {
		t.Fatal(err)
	}
	a, b := srv.ConnectionState(), cli.ConnectionState()
	return &a, &b, cert
}

// Both ends of real TLS connections come to the same bindings.
func TestTLSBinding(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		srv, cli, cert := handshake(t, version)
		b := TLSBinding(srv, cert)
		sum := sha256.Sum256(cert.Raw)
		if string(b.EndPoint) != string(sum[:]) {
			t.Errorf("%x: end point %x", version, b.EndPoint)
		}
		if (len(b.Unique) > 0) != (version == tls.VersionTLS12) {
			t.Errorf("%x: tls-unique %x", version, b.Unique)
		}
		other, err := scram.NewTLSExporterBinding(cli)
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, ScramSHA256Plus, newBook(t, "user", "pencil", "0123456789abcdef"), b)
		if err := talk(client(t, "user", "pencil", "").NewConversationWithChannelBinding(other), s); err != nil {
			t.Errorf("%x: %v", version, err)
		}
		if TLSBinding(srv, nil).EndPoint != nil || TLSBinding(srv, nil).IsZero() {
			t.Errorf("%x: a binding without a certificate", version)
		}
	}
}

// FuzzServer sends two messages to each mechanism: no panic, and nobody gets in.
func FuzzServer(f *testing.F) {
	f.Add(uint8(0), []byte("\x00user\x00pen"), []byte{})
	f.Add(uint8(1), []byte("user"), []byte("pen"))
	f.Add(uint8(2), []byte("n,,n=user,r=x"), []byte("c=biws,r=xy,p=AA=="))
	f.Add(uint8(3), []byte("p=tls-exporter,a=user,n=user,r=x"), []byte("c=cD10bHMtZXhwb3J0ZXIsLHg=,r=xy,p=AA=="))
	b := newBook(f, "user", "a password that the fuzzer will not find", "0123456789abcdef")
	f.Fuzz(func(t *testing.T, mech uint8, first, second []byte) {
		b.outcomes = nil
		name := []string{Plain, Login, ScramSHA256, ScramSHA256Plus}[mech%4]
		s := newServer(t, name, b, Binding{Exporter: []byte("x")})
		s.nonce = func() string { return "y" }
		for _, msg := range [][]byte{first, second} {
			_, done, err := s.Next(context.Background(), msg)
			if done || s.Principal() != (mail.Principal{}) {
				t.Fatalf("%s let %q, %q in", name, first, second)
			}
			var known *mail.Error
			if err != nil && (!errors.As(err, &known) || known.Kind == mail.Internal) {
				t.Fatalf("error %v is not for the client", err)
			}
		}
	})
}

// FuzzLine checks that what decodes encodes back to the same line.
func FuzzLine(f *testing.F) {
	f.Add([]byte("AHRpbQB0YW5zdGFhZnRhbnN0YWFm"))
	f.Add([]byte("=="))
	f.Fuzz(func(t *testing.T, line []byte) {
		b, err := DecodeLine(line)
		if err != nil || strings.ContainsAny(string(line), "\r\n") { // a line has neither
			return
		}
		if got := AppendChallenge(nil, b); string(got) != string(line) {
			t.Fatalf("%q came back as %q", line, got)
		}
	})
}
