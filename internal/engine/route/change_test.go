package route

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// broken is a Directory that cannot read.
type broken struct {
	*directory.Directory
	err error
}

func (b broken) IsLocal(context.Context, mail.Domain) (bool, error) { return false, b.err }

func mustNetwork(s string) netip.Prefix {
	p, err := ParseNetwork(s)
	if err != nil {
		panic(err)
	}
	return p
}

// TestKept: all of a route is there after a restart.
func TestKept(t *testing.T) {
	where := dbtest.Options(t)
	h := reopen(t, where)
	wanted := []Route{
		{Name: "a", To: patterns("x@a.example a.example .a.example *"), From: patterns(`"q(w"@b.example b.example`), Action: SMTP,
			Hosts: parseHosts("mx.example mx.example:587 [192.0.2.1]:25 [2001:db8::1]:26 [2001:db8::2]"), TLS: mail.TLSVerified, ImplicitTLS: true,
			Auth: &mail.Credentials{User: "me", Password: "秘密 x"}, SourceIPv4: netip.MustParseAddr("192.0.2.7"), SourceIPv6: netip.MustParseAddr("2001:db8::7")},
		{Name: "b", To: patterns("bücher.example jörg@b.example"), Relay: true, Unknown: true, Action: MX, Port: 26, TLS: mail.TLSNone},
		{Name: "c", Action: LMTP, Hosts: parseHosts("127.0.0.1:24")},
		{Name: "d", Action: Reject, Text: "go away", Enhanced: "5.1.2"},
		{Name: "e", Action: Discard},
	}
	for i, r := range wanted {
		made, err := h.SetRoute(t.Context(), r)
		h.must(err)
		wanted[i] = made
	}
	h.must(h.Trust(t.Context(), mustNetwork("192.0.2.1/24")))
	h.must(h.Trust(t.Context(), mustNetwork("2001:db8::5")))
	if got := h.Routes(); !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %+v\nwant %+v", got, wanted)
	}
	h.close()
	h = reopen(t, where)
	if got := h.Routes(); !reflect.DeepEqual(got, wanted) {
		t.Errorf("after a restart %+v\nwant %+v", got, wanted)
	}
	if got := fmt.Sprint(h.TrustedNetworks()); got != "[192.0.2.0/24 2001:db8::5/128]" {
		t.Error(got)
	}
	h.must(h.RemoveRoute(t.Context(), "a"))
	h.set("f", "*", "")
	if got := names(h.Routes()); got != "b c d e f" {
		t.Error(got)
	}
}

// TestPatternsBelongToOneRoute, and a change may give them up.
func TestPatternsBelongToOneRoute(t *testing.T) {
	h := open(t)
	h.set("a", "a.example b.example", "a.example")
	_, err := h.SetRoute(t.Context(), Route{Name: "b", To: patterns("x.example A.example"), Action: MX})
	wantKind(t, err, mail.Exists)
	_, err = h.SetRoute(t.Context(), Route{Name: "b", From: patterns("a.example"), Action: MX})
	wantKind(t, err, mail.Exists)
	if got := names(h.Routes()); got != "a" {
		t.Errorf("a refused route is kept: %s", got)
	}
	h.set("a", "b.example", "")
	h.set("b", "a.example", "a.example")
	h.want(ask("x@a.example", "", loggedIn), "b>x@a.example")
	h.want(ask("x@b.example", "", loggedIn), "a>x@b.example")
	wantKind(t, h.RemoveRoute(t.Context(), "c"), mail.NotFound)
	wantKind(t, h.Trust(t.Context(), mustNetwork("10.0.0.0/7")), mail.Invalid)
	h.must(h.Trust(t.Context(), mustNetwork("10.0.0.0/8")))
	wantKind(t, h.Trust(t.Context(), mustNetwork("10.1.2.3/8")), mail.Exists)
	wantKind(t, h.Untrust(t.Context(), "11.0.0.0/8"), mail.NotFound)
}

func TestPasswordIsKeptWithItsUser(t *testing.T) {
	h := open(t)
	login := func(user, password string) Route {
		return Route{Name: "smart", Action: SMTP, Hosts: parseHosts("smart.example"), Auth: &mail.Credentials{User: user, Password: password}}
	}
	_, err := h.SetRoute(t.Context(), login("u", ""))
	wantKind(t, err, mail.Invalid)
	_, err = h.SetRoute(t.Context(), login("u", "p"))
	h.must(err)
	made, err := h.SetRoute(t.Context(), login("u", ""))
	if err != nil || made.Auth.Password != "p" {
		t.Errorf("%v", err)
	}
	_, err = h.SetRoute(t.Context(), login("v", ""))
	wantKind(t, err, mail.Invalid)
	if s := fmt.Sprintf("%v %+v", made.Auth, h.Routes()); strings.Contains(s, ":p") || strings.Contains(s, "Password:p") {
		t.Errorf("the password shows: %s", s)
	}
}

func TestRefusedRoutes(t *testing.T) {
	h := open(t)
	smtp := Route{Name: "a", Action: SMTP, Hosts: parseHosts("mx.example")}
	for name, change := range map[string]func(*Route){
		"no name":             func(r *Route) { r.Name = "" },
		"odd name":            func(r *Route) { r.Name = "a b" },
		"flag as name":        func(r *Route) { r.Name = "-a" },
		"long name":           func(r *Route) { r.Name = strings.Repeat("a", MaxName+1) },
		"no action":           func(r *Route) { r.Action = "" },
		"unknown action":      func(r *Route) { r.Action, r.Hosts = "fax", nil },
		"no hosts":            func(r *Route) { r.Hosts = nil },
		"hosts of mx":         func(r *Route) { r.Action = MX },
		"hosts of reject":     func(r *Route) { r.Action = Reject },
		"port of smtp":        func(r *Route) { r.Port = 26 },
		"login by mx":         func(r *Route) { byMX(r); r.Auth = &mail.Credentials{User: "u", Password: "p"} },
		"no user":             func(r *Route) { r.Auth = &mail.Credentials{Password: "p"} },
		"line in password":    func(r *Route) { r.Auth = &mail.Credentials{User: "u", Password: "p\r\nQUIT"} },
		"zero in user":        func(r *Route) { r.Auth = &mail.Credentials{User: "u\x00v", Password: "p"} },
		"implicit by mx":      func(r *Route) { byMX(r); r.ImplicitTLS = true },
		"implicit without":    func(r *Route) { r.ImplicitTLS, r.TLS = true, mail.TLSNone },
		"TLS of discard":      func(r *Route) { discard(r); r.TLS = mail.TLSRequired },
		"source of reject":    func(r *Route) { reject(r); r.SourceIPv4 = netip.MustParseAddr("192.0.2.1") },
		"IPv6 as IPv4":        func(r *Route) { r.SourceIPv4 = netip.MustParseAddr("2001:db8::1") },
		"IPv4 as IPv6":        func(r *Route) { r.SourceIPv6 = netip.MustParseAddr("192.0.2.1") },
		"mapped as IPv6":      func(r *Route) { r.SourceIPv6 = netip.MustParseAddr("::ffff:192.0.2.1") },
		"zone":                func(r *Route) { r.SourceIPv6 = netip.MustParseAddr("fe80::1%eth0") },
		"text of smtp":        func(r *Route) { r.Text = "x" },
		"status of discard":   func(r *Route) { discard(r); r.Enhanced = "5.1.1" },
		"two lines":           func(r *Route) { reject(r); r.Text = "a\r\nb" },
		"not ASCII":           func(r *Route) { reject(r); r.Text = "だめ" },
		"long text":           func(r *Route) { reject(r); r.Text = strings.Repeat("a", MaxText+1) },
		"temporary status":    func(r *Route) { reject(r); r.Enhanced = "4.7.1" },
		"status without form": func(r *Route) { reject(r); r.Enhanced = "5.7" },
		"sender above":        func(r *Route) { r.From = patterns(".example") },
		"all senders":         func(r *Route) { r.From = patterns("*") },
	} {
		r := smtp.clone()
		change(&r)
		if _, err := h.SetRoute(t.Context(), r); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	smtp.Hosts = parseHosts(strings.Repeat("mx.example ", MaxHosts+1))
	_, err := h.SetRoute(t.Context(), smtp)
	wantKind(t, err, mail.TooLarge)
	if got := names(h.Routes()); got != "" {
		t.Error(got)
	}
}

// TestTextForms: what is read is written the same, and what is wrong is refused.
func TestTextForms(t *testing.T) {
	for in, want := range map[string]string{
		"Bob@Example.ORG": "bob@example.org", "EXAMPLE.org": "example.org", ".Example.org": ".example.org", "*": "*",
		"bücher.example": "xn--bcher-kva.example", `"a b"@x.example`: `"a b"@x.example`, "[192.0.2.1]": "[192.0.2.1]",
		"x@[IPv6:2001:DB8::1]": "x@[IPv6:2001:db8::1]",
	} {
		p, err := ParsePattern(in)
		again, err2 := ParsePattern(p.String())
		if err != nil || err2 != nil || p.String() != want || again != p {
			t.Errorf("%s: %s, %v, %v", in, p, err, err2)
		}
	}
	for _, in := range []string{"", "@example.org", ".", "..example", "a@", "*.example.org", ".[192.0.2.1]", "x y"} {
		if p, err := ParsePattern(in); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v, %v", in, p, err)
		}
	}
	for in, want := range map[string]string{
		"MX.example": "mx.example", "mx.example:587": "mx.example:587", "192.0.2.1": "[192.0.2.1]", "192.0.2.1:26": "[192.0.2.1]:26",
		"[192.0.2.1]:26": "[192.0.2.1]:26", "[2001:DB8::1]": "[2001:db8::1]", "[IPv6:2001:db8::1]:26": "[2001:db8::1]:26",
	} {
		h, err := ParseHost(in)
		again, err2 := ParseHost(HostText(h))
		if err != nil || err2 != nil || HostText(h) != want || again != h {
			t.Errorf("%s: %s, %v, %v", in, HostText(h), err, err2)
		}
	}
	for _, in := range []string{"", ":25", "mx.example:", "mx.example:0", "mx.example:65536", "mx.example:x", "2001:db8::1", "[mx.example]", "[2001:db8::1", "[fe80::1%eth0]:25", "a b"} {
		if h, err := ParseHost(in); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v, %v", in, h, err)
		}
	}
	for in, want := range map[string]string{"192.0.2.77/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1/32", "2001:db8::1/32": "2001:db8::/32"} {
		if p, err := ParseNetwork(in); err != nil || p.String() != want {
			t.Errorf("%s: %s, %v", in, p, err)
		}
	}
	for _, in := range []string{"", "192.0.2.0/33", "example.org", "fe80::1%eth0", "fe80::1%eth0/64", "::ffff:192.0.2.0/120", "192.0.2.0/"} {
		if p, err := ParseNetwork(in); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%q: %v, %v", in, p, err)
		}
	}
}

// TestCheck finds what is broken.
func TestCheck(t *testing.T) {
	h := open(t)
	h.set("a", "a.example", "")
	for _, s := range []struct{ harm, heal string }{
		{`UPDATE route_route SET hosts = ''`, `UPDATE route_route SET hosts = 'mx.example'`},
		{`UPDATE route_route SET tls = 'perhaps'`, `UPDATE route_route SET tls = 'none'`},
		{`UPDATE route_pattern SET route = 'gone'`, `UPDATE route_pattern SET route = 'a'`},
		{`UPDATE route_pattern SET pattern = '@@'`, `UPDATE route_pattern SET pattern = 'a.example'`},
		{`INSERT INTO route_network VALUES ('0.0.0.0/0')`, `DELETE FROM route_network`},
	} {
		exec := func(query string) {
			h.must(h.db.Write(t.Context(), func(tx *sqldb.Tx) error { _, err := tx.Exec(query); return err }))
		}
		exec(s.harm)
		var problems []string
		h.must(h.Check(t.Context(), func(p string) { problems = append(problems, p) }))
		if len(problems) == 0 {
			t.Errorf("%s is not found", s.harm)
		}
		exec(s.heal)
	}
}
