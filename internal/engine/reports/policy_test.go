package reports

import (
	"fmt"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

// TestPolicy: the policy that is shown, and that advice goes by, is the one in the
// DNS; the one that was reported is beside it if it is another.
func TestPolicy(t *testing.T) {
	h := newHouse(t)
	h.report(from("big.example"), "1", "here.test", 1) // It says p=none.
	for record, want := range map[string][3]string{
		"v=DMARC1; p=none; rua=mailto:a@here.test": {"p=none", "", "nearly all mail passes: the policy can be stricter, with p=quarantine first"},
		"v=DMARC1; p=reject; adkim=s; sp=none":     {"p=reject; sp=none; adkim=s", "p=none", ""},
		"v=DMARC1; p=none; np=reject":              {"p=none; np=reject", "p=none", "nearly all mail passes: the policy can be stricter, with p=quarantine first"},
		"v=DMARC1; p=what":                         {NoPolicy, "p=none", "there is no DMARC record that can be used, which stops nobody who sends as you: publish one with p=none first"},
		"v=spf1 -all":                              {NoPolicy, "p=none", "there is no DMARC record that can be used, which stops nobody who sends as you: publish one with p=none first"},
		"silence":                                  {UnknownPolicy, "p=none", ""},
	} {
		name := dns.Name("_dmarc.here.test")
		h.dns.Zone = dnstest.NewZone(fmt.Sprintf("%s. TXT %q\n", name, record))
		h.dns.Fail(name, 0, dns.None)
		if record == "silence" {
			h.dns.Fail(name, 0, dns.ServFail)
		}
		all, err := h.Overviews(ctx, "here.test", time.Time{})
		h.must(err)
		if len(all) != 1 || [3]string{all[0].Policy, all[0].Reported, all[0].Advice()} != want {
			t.Errorf("%s: %+v %q", record, all, all[0].Advice())
		}
	}
}

// TestPolicyAbove: where a domain has no record, what the one above says of those
// below holds.
func TestPolicyAbove(t *testing.T) {
	h := newHouse(t)
	h.report(from("big.example"), "1", "sub.here.test", 1)
	h.dns.Zone = dnstest.NewZone(`_dmarc.here.test. TXT "v=DMARC1; p=none; sp=quarantine"` + "\n")
	all, err := h.Overviews(ctx, "sub.here.test", time.Time{})
	h.must(err)
	if len(all) != 1 || all[0].Policy != "p=quarantine" || all[0].Advice() != "" {
		t.Errorf("%+v", all)
	}
}

// TestManyPolicies: of more domains than are asked about the policy is unknown.
func TestManyPolicies(t *testing.T) {
	h := newHouse(t)
	list := make([]Overview, MaxPolicies+1)
	for i := range list {
		list[i].Domain = mail.Domain(fmt.Sprintf("a%d.here.test", i))
	}
	h.askPolicies(ctx, list)
	if list[MaxPolicies-1].Policy != NoPolicy || list[MaxPolicies].Policy != UnknownPolicy {
		t.Errorf("%+v", list[MaxPolicies-1:])
	}
}
