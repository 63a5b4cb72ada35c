package judge

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/reports"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/testkit/dnstest"
)

type heard []reports.Observation

func (h *heard) Note(_ context.Context, o reports.Observation) { *h = append(*h, o) }

type ourDomain struct{}

func (ourDomain) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	return d == "here.test", nil
}

// TestObserve: what is judged is told, with what SPF, DKIM and DMARC found; what has
// no author, or several, is not.
func TestObserve(t *testing.T) {
	zone := dnstest.NewFake(`a.test. TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.a.test. TXT "v=DMARC1; p=reject; rua=mailto:r@a.test"` + "\n")
	for from, want := range map[string]string{
		"From: x@a.test\r\n":           "192.0.2.1 a.test a.test pass none {a.test pass } [{b.test s neutral } {b.test t neutral }] [ann@here.test]",
		"From: x@b.test\r\n":           "192.0.2.1 b.test a.test none none {a.test pass } [{b.test s neutral } {b.test t neutral }] [ann@here.test]",
		"":                             "",
		"From: x@a.test, y@b.test\r\n": "",
	} {
		var got heard
		j := New(Options{Hostname: "mx.here.test", Resolver: zone, Domains: ourDomain{}, Now: func() time.Time { return time.Unix(1795305600, 0) }})
		c := j.Open(Client{Remote: netip.MustParseAddr("192.0.2.1"), Hello: "mx.a.test"}, mail.ReversePath{Local: "x", Domain: "a.test"})
		c.Observe(&got)
		sig := "DKIM-Signature: v=1; a=rsa-sha256; d=b.test; s=%s; h=from; bh=AAAA; b=AAAA\r\n"
		text := fmt.Sprintf(sig+sig, "s", "t") + from + "Subject: hello\r\n\r\nhello\r\n"
		c.Write([]byte(text))
		m := intake.NewMessage(new(store.Store).NewIncoming())
		if _, err := m.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		to := []intake.Recipient{{Address: mail.Address{Local: "ann", Domain: "here.test"}, Route: route.Routed{Accounts: []mail.AccountID{1}}}}
		c.Judge(t.Context(), m, intake.Envelope{}, to)
		c.Close()
		m.Close()
		var b bytes.Buffer
		for _, o := range got {
			slices.SortFunc(o.DKIM, func(a, b dmarcreport.Signature) int { return strings.Compare(a.Selector, b.Selector) })
			fmt.Fprint(&b, o.Source, " ", o.From, " ", o.EnvelopeFrom, " ", o.Verdict.Result, " ", o.Done, " ", o.SPF, " ", o.DKIM, " ", o.To)
		}
		if b.String() != want {
			t.Errorf("%q:\ngot  %s\nwant %s", from, &b, want)
		}
	}
}

func TestDisposition(t *testing.T) {
	for _, c := range []struct {
		result    dmarc.Result
		published dmarc.Policy
		done      intake.Action
		want      dmarcreport.Disposition
	}{
		{dmarc.Pass, dmarc.NoPolicy, intake.Refuse, dmarcreport.None},
		{dmarc.Fail, dmarc.NoPolicy, intake.Refuse, dmarcreport.None},
		{dmarc.Fail, dmarc.Quarantine, intake.Accept, dmarcreport.None},
		{dmarc.Fail, dmarc.Quarantine, intake.Junk, dmarcreport.Quarantine},
		{dmarc.Fail, dmarc.Quarantine, intake.Refuse, dmarcreport.Quarantine},
		{dmarc.Fail, dmarc.Reject, intake.Junk, dmarcreport.Quarantine},
		{dmarc.Fail, dmarc.Reject, intake.Refuse, dmarcreport.Reject},
		{dmarc.Fail, dmarc.Reject, intake.Defer, dmarcreport.None},
	} {
		if got := dispositionOf(dmarc.Verdict{Result: c.result, Published: c.published}, c.done); got != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}
