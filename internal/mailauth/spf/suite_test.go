package spf

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

// scenario is one document of the published suite: a zone and tests in it.
type scenario struct {
	Description string
	Tests       map[string]suiteTest
	ZoneData    map[string][]json.RawMessage
}

type suiteTest struct {
	Helo, Host, MailFrom string
	Result               any // a word, or several of which each will do
	Explanation          string
}

// wanted are the results of which one must come; the first is preferred.
func (t suiteTest) wanted() (words []string) {
	if list, ok := t.Result.([]any); ok {
		for _, w := range list {
			words = append(words, w.(string))
		}
		return words
	}
	return []string{t.Result.(string)}
}

// TestPublishedSuite runs the whole of openspf's suite for RFC 7208 (release
// 2014.04), which stands in testdata as JSON instead of YAML.
func TestPublishedSuite(t *testing.T) {
	text, err := os.ReadFile("testdata/rfc7208-tests.json")
	if err != nil {
		t.Fatal(err)
	}
	var scenarios []scenario
	if err := json.Unmarshal(text, &scenarios); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, s := range scenarios {
		fake := s.zone(t)
		for name, test := range s.Tests {
			ran++
			t.Run(s.Description+"/"+name, func(t *testing.T) { test.run(t, fake) })
		}
	}
	if len(scenarios) != 16 || ran != 203 {
		t.Errorf("%d scenarios with %d tests; the suite has 16 with 203", len(scenarios), ran)
	}
}

func (test suiteTest) run(t *testing.T, r Resolver) {
	q := Query{IP: netip.MustParseAddr(test.Host), Helo: test.Helo}
	if at := strings.LastIndexByte(test.MailFrom, '@'); at >= 0 {
		q.Sender.Local, q.Sender.Domain = test.MailFrom[:at], mail.Domain(test.MailFrom[at+1:])
	} else if test.MailFrom != "" {
		q.Sender.Domain = mail.Domain(test.MailFrom)
	}
	got := Check(t.Context(), r, q)
	if !slices.Contains(test.wanted(), got.Result.String()) {
		t.Errorf("%s (%s), want one of %s", got.Result, got.Reason, test.wanted())
	}
	want := test.Explanation
	if want == "DEFAULT" {
		want = "" // RFC 7208 §6.2: or an empty one.
	}
	if got.Result == Fail && got.Explanation != want {
		t.Errorf("explanation %q, want %q", got.Explanation, want)
	}
}

// zone makes a resolver of the data of a scenario.
func (s scenario) zone(t *testing.T) *dnstest.Fake {
	var zone strings.Builder
	type failing struct {
		name dns.Name
		t    dns.Type
	}
	var failures []failing
	for name, entries := range s.ZoneData {
		n, err := dns.ParseName(strings.ReplaceAll(name, `\`, `\\`))
		if err != nil {
			t.Fatal(err)
		}
		types := map[string][]string{}
		timesOut := false
		for _, raw := range entries {
			var word string
			if json.Unmarshal(raw, &word) == nil {
				timesOut = timesOut || word == "TIMEOUT"
				continue
			}
			var entry map[string]any
			if err := json.Unmarshal(raw, &entry); err != nil {
				t.Fatal(err)
			}
			for kind, value := range entry {
				switch kind {
				case "TIMEOUT":
					timesOut = true
				case "CNAMELOOP":
					failures = append(failures, failing{n, 0})
				default:
					types[kind] = append(types[kind], rdata(kind, value))
				}
			}
		}
		if types["TXT"] == nil { // Both types stood for records of RFC 4408.
			types["TXT"] = types["SPF"]
		}
		if slices.Equal(types["TXT"], []string{quoted("NONE")}) {
			delete(types, "TXT")
		}
		for _, kind := range []string{"TXT", "A", "AAAA", "MX", "PTR", "CNAME"} {
			for _, data := range types[kind] {
				fmt.Fprintf(&zone, "%s 300 %s %s\n", n.FQDN(), kind, data)
			}
		}
		if timesOut {
			for kind, number := range map[string]dns.Type{"TXT": dns.TypeTXT, "A": dns.TypeA, "AAAA": dns.TypeAAAA,
				"MX": dns.TypeMX, "PTR": dns.TypePTR} {
				if types[kind] == nil {
					failures = append(failures, failing{n, number})
				}
			}
		}
	}
	fake := dnstest.NewFake(zone.String())
	for _, f := range failures {
		fake.Fail(f.name, f.t, dns.Timeout)
	}
	return fake
}

// rdata writes the data of a record as a zone file has it.
func rdata(kind string, value any) string {
	switch v := value.(type) {
	case string:
		switch kind {
		case "TXT", "SPF":
			return quoted(v)
		case "MX", "PTR", "CNAME":
			return fqdn(v)
		}
		return v
	case []any:
		if kind == "MX" {
			return fmt.Sprint(v[0], " ", fqdn(v[1].(string)))
		}
		var parts []string
		for _, part := range v {
			parts = append(parts, quoted(part.(string)))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(value)
}

func fqdn(name string) string {
	n, err := dns.ParseName(strings.ReplaceAll(name, `\`, `\\`))
	if err != nil {
		return "."
	}
	return n.FQDN()
}

// quoted is text as quoted strings of at most 255 octets.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	n := 0
	for _, r := range s {
		if n++; n > 255 {
			n = 1
			b.WriteString(`" "`)
		}
		fmt.Fprintf(&b, `\%03d`, r)
	}
	return b.String() + `"`
}
