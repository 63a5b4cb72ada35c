package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/acme"
)

// ordered is a Source of certificates by name; the first is the host's.
type ordered struct {
	list  []*tls.Certificate
	proof map[string]string
}

func (o *ordered) Certificate(name string) *tls.Certificate {
	for _, c := range o.list {
		if name == "" || slices.Contains(c.Leaf.DNSNames, name) {
			return c
		}
	}
	return nil
}

func (o *ordered) All() []*tls.Certificate { return o.list }

func (o *ordered) Handshake(_ context.Context, name string) (string, error) {
	if text, ok := o.proof[name]; ok {
		return text, nil
	}
	return "", mail.Errorf(mail.NotFound, "nothing")
}

// TestSource: files go before what is ordered, and that before the reserve.
func TestSource(t *testing.T) {
	w := newWorld(t)
	reserve, err := SelfSigned(w.path("tls"), "mx.example.org", w.now)
	if err != nil {
		t.Fatal(err)
	}
	load := func(host string) *tls.Certificate {
		c, err := Load(w.write(host, host))
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	own := w.write("own", "own.example.org")
	o := &ordered{}
	open := func(files ...Files) *Certs {
		c, err := Open(Options{Files: files, Source: o, Reserve: reserve, Now: w.open(own).now})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	expect := func(what string, c *Certs, want map[string]string, listed ...string) {
		t.Helper()
		for name, want := range want {
			if got := shown(t, c, name); got != want {
				t.Errorf("%s: a client of %q sees %q, want %q", what, name, got, want)
			}
		}
		var labels []string
		for _, i := range c.List() {
			labels = append(labels, i.Label())
		}
		if !slices.Equal(labels, listed) {
			t.Errorf("%s: listed %q, want %q", what, labels, listed)
		}
	}
	c, both := open(), open(own)
	expect("none is ordered yet", c, map[string]string{"": "mx.example.org", "x.example": "mx.example.org"}, reserve.Cert)
	o.list = []*tls.Certificate{load("mail.example.org"), load("mta-sts.example.org")}
	expect("ordered", c, map[string]string{"": "mail.example.org", "mta-sts.example.org": "mta-sts.example.org", "x.example": "mail.example.org"},
		"mail.example.org", "mta-sts.example.org")
	expect("files too", both, map[string]string{"": "own.example.org", "own.example.org": "own.example.org", "mta-sts.example.org": "mta-sts.example.org", "x.example": "own.example.org"},
		own.Cert, "mail.example.org", "mta-sts.example.org")
	if got := Concerns(c.List(), "other.example.org", w.now.AddDate(30, 0, 0)); len(got) != 1 || !strings.Contains(got[0].Text, "none is for the host name") {
		t.Errorf("the end of what is ordered is told of here: %+v", got)
	}
}

// TestProof: an authority sees its proof and nothing else, and others never do.
func TestProof(t *testing.T) {
	w := newWorld(t)
	o := &ordered{proof: map[string]string{"mail.example.org": "token.print"}}
	c, err := Open(Options{Files: []Files{w.write("a", "mail.example.org")}, Source: o, Now: w.open(w.write("b", "b.example")).now})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		protos []string
		proof  bool
		fails  bool
	}{
		{"mail.example.org", []string{acme.ALPN}, true, false},
		{"other.example.org", []string{acme.ALPN}, false, true},
		{"", []string{acme.ALPN}, false, true},
		{"mail.example.org", []string{"imap"}, false, false},
		{"mail.example.org", []string{"imap", acme.ALPN}, false, false},
		{"mail.example.org", nil, false, false},
	} {
		client, server := net.Pipe()
		go func() { _ = tls.Server(server, c.Server("imap")).Handshake(); _ = server.Close() }()
		tc := tls.Client(client, &tls.Config{ServerName: tt.name, InsecureSkipVerify: true, NextProtos: tt.protos})
		err := tc.Handshake()
		if (err != nil) != tt.fails {
			t.Errorf("%q %q: %v", tt.name, tt.protos, err)
		}
		if err == nil {
			st := tc.ConnectionState()
			critical := slices.ContainsFunc(st.PeerCertificates[0].Extensions, func(e pkix.Extension) bool { return e.Critical && e.Id.String() == "1.3.6.1.5.5.7.1.31" })
			if critical != tt.proof || (st.NegotiatedProtocol == acme.ALPN) != tt.proof {
				t.Errorf("%q %q: proof %v, protocol %q", tt.name, tt.protos, critical, st.NegotiatedProtocol)
			}
		}
		_ = client.Close()
	}
}
