package record

import (
	"fmt"
	"net"
	"testing"

	wire "github.com/miekg/dns"
)

// TestThroughTheWire reads records that were packed and unpacked, as those of
// an answer are.
func TestThroughTheWire(t *testing.T) {
	cases := []struct{ text, want string }{
		{`x. 60 A 192.0.2.1`, "192.0.2.1 true"},
		{`x. 60 AAAA 2001:db8::1`, "2001:db8::1 true"},
		{`x. 60 AAAA ::ffff:192.0.2.1`, "::ffff:192.0.2.1 true"},
		{`x. 60 MX 10 MX.Example.Org.`, "{10 mx.example.org} true"},
		{`x. 60 MX 0 .`, "{0 .} true"},
		{`x. 60 MX 5 a\032b\.c.example.`, `{5 a\032b\046c.example} true`},
		{`x. 60 TXT "v=spf1 " "-all"`, `"v=spf1 -all" true`},
		{`x. 60 TXT "q\"b\\s;\200\000\009"`, `"q\"b\\s;\xc8\x00\t" true`},
		{`x. 60 TXT ""`, `"" true`},
		{`x. 60 CNAME Y.example.`, "y.example true"},
		{`x. 60 PTR host.example.`, "host.example true"},
		{`x. 60 TLSA 3 1 1 00ff`, "{3 1 1 [0 255]} true"},
		{`x. 60 SRV 1 2 993 imap.example.`, "{1 2 993 imap.example} true"},
	}
	for _, c := range cases {
		if got := describe(pass(t, c.text)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}

func pass(t *testing.T, text string) wire.RR {
	t.Helper()
	rr, err := wire.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	n, err := wire.PackRR(rr, b, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	rr, _, err = wire.UnpackRR(b[:n], 0)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func describe(rr wire.RR) string {
	show := func(v any, ok bool) string { return fmt.Sprint(v, " ", ok) }
	switch rr.(type) {
	case *wire.A, *wire.AAAA:
		a, ok := Addr(rr)
		return show(a, ok)
	case *wire.MX:
		m, ok := MX(rr)
		return show(m, ok)
	case *wire.TXT:
		s, ok := TXT(rr)
		return show(fmt.Sprintf("%q", s), ok)
	case *wire.TLSA:
		v, ok := TLSA(rr)
		return show(v, ok)
	case *wire.SRV:
		v, ok := SRV(rr)
		return show(v, ok)
	}
	n, ok := Target(rr)
	return show(n, ok)
}

// TestText: records of one meaning are one text, which is that of a zone file.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		`x. 60 A 192.0.2.1`:                            "192.0.2.1",
		`x. 60 AAAA 2001:DB8:0::1`:                     "2001:db8::1",
		`x. 60 MX 10 MX.Example.Org.`:                  "10 mx.example.org.",
		`x. 60 MX 0 .`:                                 "0 .",
		`x. 60 NS NS.Example.`:                         "ns.example.",
		`x. 60 CNAME Y.example.`:                       "y.example.",
		`x. 60 PTR Y.example.`:                         "y.example.",
		`x. 60 TXT "v=spf1 " "-all"`:                   "v=spf1 -all",
		`x. 60 TLSA 3 1 1 00FF`:                        "3 1 1 00ff",
		`x. 60 SRV 0 1 993 IMAP.example.`:              "0 1 993 imap.example.",
		`x. 60 CAA 0 ISSUE "ca.example; accounturi=x"`: `0 issue "ca.example; accounturi=x"`,
	} {
		if got, ok := Text(pass(t, text)); !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, ok, want)
		}
	}
	for _, rr := range []wire.RR{&wire.HINFO{}, &wire.A{}, &wire.MX{Mx: "a..b"}} {
		if got, ok := Text(rr); ok {
			t.Errorf("%v passed as %q", rr, got)
		}
	}
}

// TestRefusals: what is of another type, or broken, is left out.
func TestRefusals(t *testing.T) {
	ns := &wire.NS{Ns: "x."}
	if _, ok := Addr(ns); ok {
		t.Error("NS is an address")
	}
	if _, ok := Addr(&wire.A{}); ok {
		t.Error("an A record without an address passed")
	}
	if _, ok := Addr(&wire.AAAA{AAAA: net.IP{1, 2}}); ok {
		t.Error("an AAAA record with 2 octets passed")
	}
	if _, ok := MX(ns); ok {
		t.Error("NS is MX")
	}
	if _, ok := TXT(ns); ok {
		t.Error("NS is TXT")
	}
	if _, ok := Target(ns); ok {
		t.Error("NS is an alias")
	}
	if _, ok := TLSA(&wire.TLSA{Certificate: "xyz"}); ok {
		t.Error("TLSA with data that is no hex passed")
	}
	if _, ok := SRV(ns); ok {
		t.Error("NS is SRV")
	}
	if got := All([]wire.RR{ns, &wire.MX{Mx: "a."}}, MX); len(got) != 1 || got[0].Host != "a" {
		t.Errorf("All = %v", got)
	}
}
