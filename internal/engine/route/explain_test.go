package route

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const zone = `
many.example.      MX   20 b.many.example.
many.example.      MX   10 z.many.example.
many.example.      MX   10 a.many.example.
many.example.      MX   30 gone.many.example.
a.many.example.    A    198.51.100.1
a.many.example.    AAAA 2001:db8:1::1
z.many.example.    60 A 198.51.100.2
b.many.example.    CNAME a.many.example.
signed.example.    MX   0 signed.example.
signed.example.    A    198.51.100.3
single.example.    A    198.51.100.4
text.example.      TXT  "no address at all"
null.example.      MX   0 .
lost.example.      MX   10 lost1.example.
lost.example.      MX   20 lost2.example.
fading.example.    MX   10 lost1.example.
fading.example.    MX   20 ill.example.
ill.example.       A    198.51.100.5
odd.example.       MX   5  bad\032name.example.
odd.example.       MX   10 a.many.example.
useless.example.   MX   5  bad\032name.example.
us.example.        MX   10 mx.yubin.test.
us.example.        MX   20 a.many.example.
behind.example.    MX   10 a.many.example.
behind.example.    MX   20 mx.yubin.test.
behind.example.    MX   30 z.many.example.
address.example.   MX   10 a.many.example.
address.example.   MX   20 sly.example.
address.example.   MX   30 z.many.example.
sly.example.       A    192.0.2.25
onlysly.example.   MX   10 sly.example.
loop.example.      CNAME pool.example.
pool.example.      CNAME loop.example.
backup.example.    MX   10 a.many.example.
backup.example.    MX   20 mx.yubin.test.
smart.example.     A    198.51.100.6
inbox.example.     AAAA 2001:db8:1::6
`

// world is the tables and names that the golden files are about.
func world(t *testing.T) (*house, *dnstest.Fake) {
	h := open(t)
	_, err := h.dir.AddAccount(t.Context(), newAccount("moved"))
	h.must(err)
	h.alias("team", "bob", "alice", "eve@null.example", "moved")
	h.alias("sales", "alice", "carl", "team", "dave@many.example")
	h.alias("nobodies", "carl")
	_, err = h.dir.AddDomain(t.Context(), "catch.test")
	h.must(err)
	_, err = h.dir.SetAlias(t.Context(), directory.Alias{Address: directory.CatchAll("catch.test"), Targets: []mail.Address{addr("bob")}})
	h.must(err)
	fake := dnstest.NewFake(zone)
	fake.Sign("signed.example")
	fake.Fail("servfail.example", dns.TypeMX, dns.ServFail)
	fake.Fail("timeout.example", dns.TypeMX, dns.Timeout)
	fake.Fail("ill.example", 0, dns.ServFail)
	return h, fake
}

// routes are set after the aliases.
func (h *house) explained() {
	h.set("smart", "", "bob@yubin.test", func(r *Route) {
		r.Hosts = parseHosts("smart.example:587 [2001:db8:1::9] gone.example")
		r.Auth = &mail.Credentials{User: "yubin", Password: "secret"}
	})
	h.set("backup", "backup.example", "", byMX, relay)
	h.set("below", ".corp.example", "", func(r *Route) { r.Action, r.Hosts, r.TLS = LMTP, parseHosts("inbox.example"), mail.TLSRequired })
	h.set("boss", "boss@single.example", "", func(r *Route) {
		r.ImplicitTLS, r.Hosts, r.TLS = true, parseHosts("smart.example"), mail.TLSVerified
		r.SourceIPv4 = mustNetwork("192.0.2.26").Addr()
	})
	h.set("broken", "broken.example", "", func(r *Route) { r.Hosts = parseHosts("gone.example") })
	h.set("no", "no.example", "", reject)
	h.set("hole", "hole.example", "", discard)
	h.set("moved", "moved@yubin.test", "", func(r *Route) { r.Hosts = parseHosts("192.0.2.99:25") })
	h.set("rest", "catch.test yubin.test", "", unknown, func(r *Route) { r.Hosts = parseHosts("smart.example") })
	h.must(h.Trust(h.t.Context(), mustNetwork("192.0.2.0/24")))
}

// TestExplain: each golden file begins with questions, each followed by what is
// said.
func TestExplain(t *testing.T) {
	h, fake := world(t)
	h.explained()
	files, err := filepath.Glob("testdata/explain/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			h.must(err)
			var got strings.Builder
			for line := range strings.Lines(string(golden)) {
				if strings.HasPrefix(line, "#") {
					got.WriteString(line)
				}
				if text, ok := strings.CutPrefix(line, "> "); ok {
					got.WriteString(line)
					h.explain(&got, fake, strings.TrimSpace(text))
				}
			}
			if *update {
				h.must(os.WriteFile(file, []byte(got.String()), 0o644))
			}
			if got.String() != string(golden) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), golden)
			}
		})
	}
}

// explain writes the steps, and checks that they end as Route decides.
func (h *house) explain(out *strings.Builder, fake *dnstest.Fake, text string) {
	h.t.Helper()
	q := parseQuestion(text)
	steps, err := h.Explain(h.t.Context(), q, fake)
	h.must(err)
	for _, s := range steps {
		fmt.Fprintf(out, "%-10s  %s\n", s.About, s.Says)
	}
	out.WriteString("\n")
	if q.Via != "" {
		return
	}
	last, said := steps[len(steps)-1], out.String()
	routed, err := h.Route(h.t.Context(), q)
	switch {
	case last.Says == "refused at MAIL":
	case err != nil && !strings.HasSuffix(last.Says, err.Error()):
		h.t.Errorf("%s: refused with %q, explained %q", text, err, last.Says)
	case routed.Discard != "" && !strings.Contains(last.Says, "dropped"):
		h.t.Errorf("%s: discarded, explained %q", text, last.Says)
	}
	for _, o := range routed.Onward {
		if !strings.Contains(said, o.Address.String()) {
			h.t.Errorf("%s: goes to %s, which is not explained", text, o.Address)
		}
	}
}

// parseQuestion reads "to from=A as=N client=IP via=ROUTE".
func parseQuestion(text string) Question {
	f := strings.Fields(text)
	q := ask(f[0], "")
	for _, word := range f[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "from":
			q.Sender = mail.ReversePath(addr(value))
		case "as":
			q.Account = mail.AccountID(value[0] - '0')
		case "client":
			client(value)(&q)
		case "via":
			q.Via = value
		default:
			panic(word)
		}
	}
	return q
}

// TestExplainSendsNothing, and asks the DNS only about mail that may go.
func TestExplainAsksNothingForStrangers(t *testing.T) {
	h, fake := world(t)
	for _, to := range []string{"x@many.example", "alice", "nobody", "x@[192.0.2.1]"} {
		if _, err := h.Explain(t.Context(), ask(to, "q@w.example"), fake); err != nil {
			t.Error(err)
		}
	}
	if asked := fake.Lookups(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}

// TestExplainIsBounded: aliases of many members, domains with many exchangers.
func TestExplainIsBounded(t *testing.T) {
	h, fake := world(t)
	var targets []string
	for i := range 100 {
		targets = append(targets, fmt.Sprintf("u%d@d%d.example", i, i))
		h.must(fake.Add(fmt.Sprintf("wide.example. MX %d h%d.example.\nh%d.example. A 198.51.100.%d", i, i, i, i)))
		h.set(fmt.Sprint("r", i), fmt.Sprintf("n%d@wide.example", i), "")
	}
	h.alias("crowd", targets...)
	for _, q := range []Question{ask("crowd", ""), ask("x@wide.example", "", loggedIn)} {
		steps, err := h.Explain(t.Context(), q, fake)
		if err != nil || len(steps) > 200 {
			t.Errorf("%s: %d steps, %v", q.Recipient, len(steps), err)
		}
	}
	if n := len(fake.Lookups()); n > maxExplained+1+2*hosts.MaxHosts {
		t.Errorf("%d lookups", n)
	}
}
