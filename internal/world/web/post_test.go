package web

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

// TestPagesPost: what is handed over, and to whom never.
func TestPagesPost(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var got []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Content-Type")+" "+r.UserAgent()+" "+string(body))
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/in?x=1", http.StatusTemporaryRedirect)
		case "/large":
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		case "/no":
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	port := netip.MustParseAddrPort(s.Listener.Addr().String()).Port()
	zone := dnstest.NewFake("in.example. A 127.0.0.1\nhere.example. A 10.0.0.1\nhere.example. AAAA ::1\n")
	loopback := func(a netip.Addr) bool { return a.IsLoopback() }
	open := NewPages(PagesOptions{Resolver: zone, AnyCertificate: true, Allowed: loopback, Port: port, Agent: "yubin"})
	for path, want := range map[string]int{"/in?x=1": 200, "/away": 307, "/large": 201, "/no": 403} {
		got = nil
		status, err := open.Post(t.Context(), "https://in.example"+path, "a/b", []byte("body"))
		if err != nil || status != want || len(got) != 1 || got[0] != "POST "+path+" a/b yubin body" {
			t.Errorf("%s: %d, %v, %q", path, status, err, got)
		}
	}
	got = nil
	strict := NewPages(PagesOptions{Resolver: zone, Allowed: loopback, Port: port})
	closed := NewPages(PagesOptions{Resolver: zone, AnyCertificate: true, Allowed: IsPublic, Port: port})
	for _, c := range []struct {
		p     *Pages
		place string
		kind  mail.Kind
	}{
		{open, "http://in.example/", mail.Invalid},
		{open, "https://", mail.Invalid},
		{open, "https://user:secret@in.example/", mail.Invalid},
		{open, "https://in.example:8443/", mail.Invalid},
		{open, "https://none.example/", mail.Unavailable},
		{open, "https://127.0.0.1/", mail.Unavailable},
		{closed, "https://here.example/", mail.Unavailable},
		{closed, "https://in.example/", mail.Unavailable},
		{closed, "https://[::1]/", mail.Unavailable},
		{strict, "https://in.example/", mail.Forbidden}, // a certificate of nobody
	} {
		status, err := c.p.Post(t.Context(), c.place, "a/b", []byte("body"))
		if mail.KindOf(err) != c.kind || (c.kind == mail.Forbidden) != errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %d, %v", c.place, status, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open.Post(gone, "https://in.example/", "a/b", nil); err == nil {
		t.Error("it asks for who has given up")
	}
	if len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{"203.0.113.7": true, "2001:db8::1": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.0.1": false,
		"169.254.169.254": false, "::ffff:10.0.0.1": false, "fe80::1": false, "fd00::1": false, "0.0.0.0": false, "100.100.100.200": false, "224.0.0.1": false,
		"255.255.255.255": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::": false} {
		if got := IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
