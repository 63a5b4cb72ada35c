package load

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
	"yubin/internal/testkit/dnstest"
)

// TestSenders: what the domains send is theirs by the zones that they publish.
func TestSenders(t *testing.T) {
	s, err := NewSenders(2)
	if err != nil {
		t.Fatal(err)
	}
	letters, err := s.Letters(4<<10, "<readers@yubin.test>")
	if err != nil {
		t.Fatal(err)
	}
	zone := dnstest.NewFake(strings.Join(s.Records(), "\n") + "\n")
	for i, l := range letters {
		d := senderDomain(i)
		if n := len(l.Octets); n < 3<<10 || n > 5<<10 || l.From != "ann@"+d || bytes.Contains(l.Octets, []byte("\n.")) {
			t.Errorf("%d octets from %s", n, l.From)
		}
		v := dkim.New(dkim.Options{})
		_, _ = v.Write(l.Octets)
		keys := map[dns.Name]dkim.KeyResult{}
		for _, n := range v.Names() {
			keys[n] = dkim.Lookup(t.Context(), zone, n)
		}
		if got := v.Finish(keys); len(got) != 1 || got[0].Result != dkim.Pass {
			t.Errorf("%+v", got)
		}
		if got := spf.Check(t.Context(), zone, spf.Query{IP: netip.MustParseAddr("127.0.0.1"), Helo: "x", Sender: mail.ReversePath{Local: "ann", Domain: mail.Domain(d)}}); got.Result != spf.Pass {
			t.Errorf("%+v", got)
		}
		if got := dmarc.Check(t.Context(), zone, mail.Domain(d), nil); got.Policy != dmarc.Reject {
			t.Errorf("%+v", got)
		}
	}
	if bytes.Equal(Prose(1, 2000, "a", "b"), Prose(2, 2000, "a", "b")) || !bytes.Equal(Prose(1, 2000, "a", "b"), Prose(1, 2000, "a", "b")) {
		t.Error("the messages are not as their numbers say")
	}
}
