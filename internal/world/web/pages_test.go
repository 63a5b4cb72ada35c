package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/certs/certstest"
)

const most = 1000

// site is a web server on loopback, with the names of strangers.
func site(t *testing.T) (*httptest.Server, uint16) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "Text/Plain; charset=utf-8; x")
			_, _ = io.WriteString(w, r.Host+" "+r.UserAgent())
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", most+1))
		case "/fits":
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, strings.Repeat("x", most))
		case "/away":
			http.Redirect(w, r, "/page", http.StatusFound)
		case "/header":
			w.Header().Set("X", strings.Repeat("x", maxHeader))
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "x")
		case "/slow":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	s.TLS = pagesCert.Server()
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, netip.MustParseAddrPort(s.Listener.Addr().String()).Port()
}

var pagesCert = certstest.New("mta-sts.a.example", "mta-sts.none.example", "mta-sts.six.example")

const names = `
mta-sts.a.example.     A 127.0.0.1
mta-sts.b.example.     A 127.0.0.1
mta-sts.none.example.  A 192.0.2.1
mta-sts.six.example.   AAAA ::1
mta-sts.six.example.   A 127.0.0.1
`

func TestPages(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	_, port := site(t)
	fake := dnstest.NewFake(names)
	fake.Fail("mta-sts.ill.example", 0, dns.ServFail)
	o := PagesOptions{Resolver: fake, Allowed: func(a netip.Addr) bool { return a.IsLoopback() && a.Is4() },
		Roots: pagesCert.Client("", 0).RootCAs, Port: port, Agent: "yubin/1"}
	strangers := o
	strangers.Roots = certstest.New("mta-sts.a.example").Client("", 0).RootCAs
	closed := o
	closed.Port = 1
	for _, c := range []struct {
		name, path string
		host       mail.Domain
		o          PagesOptions
		want       string // the type and the start of the body, or the error
		kind       mail.Kind
	}{
		{"a page", "/page", "mta-sts.a.example", o, "text/plain: mta-sts.a.example yubin/1", 0},
		{"the second address", "/page", "mta-sts.six.example", o, "text/plain: mta-sts.six.example yubin/1", 0},
		{"no type", "/fits", "mta-sts.a.example", o, ": xxx", 0},
		{"too large", "/large", "mta-sts.a.example", o, "mta-sts.a.example answers more than 1000 octets", mail.TooLarge},
		{"elsewhere", "/away", "mta-sts.a.example", o, "mta-sts.a.example answers 302 Found", mail.Unavailable},
		{"nowhere", "/no", "mta-sts.a.example", o, "mta-sts.a.example answers 404 Not Found", mail.Unavailable},
		{"a header without an end", "/header", "mta-sts.a.example", o, "mta-sts.a.example could not be asked", mail.Unavailable},
		{"half of a page", "/half", "mta-sts.a.example", o, "mta-sts.a.example could not be asked", mail.Unavailable},
		{"slow", "/slow", "mta-sts.a.example", o, "mta-sts.a.example does not answer in time", mail.Unavailable},
		{"another name", "/page", "mta-sts.b.example", o, "the certificate of mta-sts.b.example is not to be trusted: it is for another name", mail.Forbidden},
		{"signed by nobody", "/page", "mta-sts.a.example", strangers,
			"the certificate of mta-sts.a.example is not to be trusted: nobody whom we trust has signed it", mail.Forbidden},
		{"nobody there", "/page", "mta-sts.a.example", closed, "mta-sts.a.example cannot be connected to: ", mail.Unavailable},
		{"an address of ours", "/page", "mta-sts.none.example", o, "mta-sts.none.example has no address that is connected to from here", mail.Unavailable},
		{"no address", "/page", "mta-sts.c.example", o, "the address of mta-sts.c.example could not be looked up: no such domain", mail.Unavailable},
		{"no answer", "/page", "mta-sts.ill.example", o, "the address of mta-sts.ill.example could not be looked up: the name server failed", mail.Unavailable},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if c.name == "slow" {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), time.Second/4)
		}
		page, err := NewPages(c.o).Get(ctx, c.host, c.path, most)
		cancel()
		got := page.Type + ": " + string(page.Body)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || err != nil && mail.KindOf(err) != c.kind || (err != nil) != (c.kind != 0) ||
			errors.Is(err, ErrCertificate) != (c.kind == mail.Forbidden) {
			t.Errorf("%s: %.200s, %v; want %s", c.name, got, mail.KindOf(err), c.want)
		}
	}
}
