package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

const ownSPF = "<spf><domain>here.test</domain><result>fail</result></spf>"

// line is a source in words.
func line(s Source) string {
	return fmt.Sprintf("%s %d spf=%d dkim=%d passed=%d by %d: %s", s.Address, s.Messages, s.SPF, s.DKIM, s.Passed, s.Reporters, s.Advice("here.test"))
}

func (h *house) sources(domain mail.Domain) (lines []string) {
	h.t.Helper()
	list, err := h.Sources(ctx, domain, noon.AddDate(0, 0, -7))
	h.must(err)
	for _, s := range list {
		lines = append(lines, line(s))
	}
	return lines
}

// TestReceived: what others report is kept once, added up, and its octets let go of,
// whether somebody has the address or nobody.
func TestReceived(t *testing.T) {
	h := newHouse(t)
	h.ways[address("dmarc-reports@here.test")] = route.Routed{Accounts: []mail.AccountID{1}}
	one := document("big.example", "1", "here.test",
		record("192.0.2.1", 10, "none", "pass", "pass", "here.test", "<dkim><domain>here.test</domain><selector>s</selector><result>pass</result></dkim>"),
		record("192.0.2.1", 5, "none", "pass", "fail", "here.test", ""),
		record("203.0.113.7", 3, "none", "fail", "fail", "here.test", ownSPF),
		record("203.0.113.7", 2, "none", "fail", "fail", "here.test", ownSPF))
	h.take(mailed(one), "dmarc-reports@here.test")
	h.take(mailed(one), "Dmarc-Reports@near.test")
	h.take(mailed(document("small.example", "1", "here.test", record("203.0.113.7", 1, "none", "fail", "fail", "here.test", ownSPF))), "other@there.test")
	h.take(mailed(document("small.example", "2", "sub.near.test", record("203.0.113.7", 1, "none", "fail", "fail", "sub.near.test", ""))), "dmarc-reports@near.test")
	if n := h.waits(); n != 4 {
		t.Fatalf("%d wait", n)
	}
	h.must(h.readAll(ctx))
	if n := h.waits(); n != 0 {
		t.Errorf("%d wait still", n)
	}
	want := []string{
		"192.0.2.1 15 spf=10 dkim=15 passed=15 by 1: ",
		"203.0.113.7 6 spf=0 dkim=0 passed=0 by 2: it sends as you and is not in your SPF, nor does it sign: " +
			"if it is yours, add it to the SPF record of here.test and have it sign; else it is forged",
	}
	if got := h.sources("here.test"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	all, err := h.Overviews(ctx, "", noon.AddDate(0, 0, -7))
	h.must(err)
	if len(all) != 2 || all[0].Domain != "here.test" || all[0].Reports != 2 || all[0].Organizations != 2 || all[0].Messages != 21 || all[0].Passed != 15 ||
		all[0].Policy != NoPolicy || all[0].Reported != "p=none" || all[1].Domain != "sub.near.test" {
		t.Errorf("overviews: %+v", all)
	}
	if all, err := h.Overviews(ctx, "", noon.Add(time.Hour)); err != nil || len(all) > 0 {
		t.Errorf("later: %+v, %v", all, err)
	}
}

// TestNotReceived: what is no report of ours is forgotten, and its octets too.
func TestNotReceived(t *testing.T) {
	h := newHouse(t)
	good := record("192.0.2.1", 1, "none", "pass", "pass", "here.test", "")
	for name, c := range map[string]struct{ text, why string }{
		"of another domain": {mailed(document("big.example", "1", "else.test", good)), "the report is about else.test, which is not ours"},
		"above ours":        {mailed(document("big.example", "1", "test", good)), "the report is about test, which is not ours"},
		"without records":   {mailed(document("big.example", "1", "here.test")), "the report has no record"},
		"no attachment":     {"Subject: buy\r\n\r\nnow\r\n", "the message has no attachment that could be a report"},
		"not a message":     {"\x00\xff", "the message has no attachment that could be a report"},
		"damaged":           {strings.Replace(mailed(document("big.example", "1", "here.test", good)), "base64\r\n\r\n", "base64\r\n\r\nAAAA", 1), "there is text before the first element"},
		"a failure report":  {"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n", "it is a report of a single failure, which is for people"},
	} {
		t.Run(name, func(t *testing.T) {
			h.log.Reset()
			h.take(c.text, "dmarc-reports@here.test")
			h.must(h.readAll(ctx))
			all, err := h.Overviews(ctx, "", time.Time{})
			h.must(err)
			if len(all) > 0 || h.waits() > 0 || !strings.Contains(h.log.String(), c.why) || !strings.Contains(h.log.String(), "from=bob@far.example msgid=1@far.example transaction=abc-1 ") {
				t.Errorf("%+v, %d wait, log:\n%s", all, h.waits(), h.log)
			}
		})
	}
}

// TestForged: a report from somebody who is not who it says is not kept.
func TestForged(t *testing.T) {
	h := newHouse(t)
	good := record("192.0.2.1", 1, "none", "pass", "pass", "here.test", "")
	for i, results := range []string{"mx.here.test; spf=pass smtp.mailfrom=big.example; dmarc=fail header.from=big.example", "mx.here.test; dmarc=none header.from=big.example",
		"mx.here.test; dmarc=pass header.from=big.example"} {
		h.prefix = "Authentication-Results: " + results + "\r\nReceived: here\r\n"
		h.take(mailed(document("big.example", fmt.Sprint(i), "here.test", good)), "dmarc-reports@here.test")
		h.must(h.readAll(ctx))
	}
	all, err := h.Overviews(ctx, "here.test", time.Time{})
	h.must(err)
	if len(all) != 1 || all[0].Reports != 2 || !strings.Contains(h.log.String(), "it is not from big.example, whose report it would be: DMARC fails") {
		t.Errorf("%+v, log:\n%s", all, h.log)
	}
}

// TestNotForReports: other mail is not looked at, and mail that is only carried on to
// an address of that name neither.
func TestNotForReports(t *testing.T) {
	h := newHouse(t)
	h.ways[address("ann@here.test")] = route.Routed{Accounts: []mail.AccountID{1}}
	far := address("dmarc-reports@far.example")
	h.ways[far] = route.Routed{Onward: []route.Onward{{Address: far, Hop: mail.NextHop{Kind: mail.HopMX, Domain: far.Domain}}}}
	h.take("Subject: hello\r\n\r\n", "ann@here.test")
	h.take("Subject: hello\r\n\r\n", "dmarc-reports@far.example")
	if n := h.waits(); n != 0 {
		t.Errorf("%d wait", n)
	}
	h.Set(Settings{})
	h.take("Subject: hello\r\n\r\n", "dmarc-reports@here.test")
	if n := h.waits(); n != 0 {
		t.Errorf("%d wait, and nobody takes reports", n)
	}
}

// TestTooMuch: the bounds of what waits, of records and of reports a day.
func TestTooMuch(t *testing.T) {
	h := newHouse(t)
	h.waiting.Store(MaxWaiting)
	h.take("Subject: hello\r\n\r\n", "dmarc-reports@here.test")
	if n := h.waits(); n != 0 {
		t.Errorf("%d wait", n)
	}
	h.waiting.Store(0)
	h.prefix = from("big.example")
	var records []string
	for i := range MaxRows + 10 {
		records = append(records, record(fmt.Sprintf("192.0.%d.%d", i/250, i%250), 1+i, "none", "pass", "pass", "here.test", ""))
	}
	h.take(mailed(document("big.example", "1", "here.test", records...)), "dmarc-reports@here.test")
	h.must(h.readAll(ctx))
	all, err := h.Overviews(ctx, "here.test", noon.AddDate(0, 0, -7))
	h.must(err)
	if n := int64(MaxRows + 10); len(all) != 1 || all[0].Messages != n*(n+1)/2 || all[0].LeftOut != 55 || len(h.sources("here.test")) != MaxRows {
		t.Errorf("%+v", all)
	}
}

// TestSweep: reports go when they were kept for long enough, and what else of them.
func TestSweep(t *testing.T) {
	h := newHouse(t)
	h.prefix = from("big.example")
	var records []string
	for i := range sweepSlice + 100 {
		records = append(records, record(fmt.Sprintf("192.0.%d.%d", i/250, i%250), 1, "none", "pass", "pass", "here.test", ""))
	}
	h.take(mailed(document("big.example", "1", "here.test", records...)), "dmarc-reports@here.test")
	h.must(h.readAll(ctx))
	h.pass(DefaultKeep)
	h.must(h.Sweep(ctx))
	if n := len(h.sources("here.test")); n != len(records) {
		t.Errorf("%d sources after 400 days", n)
	}
	h.pass(time.Second)
	h.must(h.Sweep(ctx))
	if n := len(h.sources("here.test")); n != 0 {
		t.Errorf("%d sources after that", n)
	}
}

// TestAdvice: each kind of failure says what is to be done.
func TestAdvice(t *testing.T) {
	h := newHouse(t)
	n := 0
	for results, want := range map[string]string{
		ownSPF: "it sends as you and is not in your SPF, nor does it sign",
		"<spf><domain>esp.example</domain><result>pass</result></spf>":                                                             "it sends as you with the sender esp.example, of another domain",
		"<dkim><domain>esp.example</domain><selector>s</selector><result>pass</result></dkim>":                                     "and signs for esp.example instead of here.test",
		"<dkim><domain>here.test</domain><selector>s1</selector><result>fail</result></dkim>" + ownSPF:                             "the selector s1, and the signature does not hold (fail)",
		"<dkim><domain>here.test</domain><selector>s1</selector><result>permerror</result></dkim>":                                 "look at s1._domainkey.here.test",
		"<dkim><domain>a.here.test</domain><selector>s</selector><result>pass</result></dkim>":                                     "its policy wants strict alignment (adkim=s)",
		"<spf><domain>b.here.test</domain><result>pass</result></spf>":                                                             "its policy wants strict alignment (aspf=s)",
		"<spf><domain>here.test</domain><result>permerror</result></spf>":                                                          "check it with yubin spf check",
		"<dkim><domain>x.example</domain><result>fail</result></dkim><dkim><domain>y.example</domain><result>pass</result></dkim>": "signs for y.example",
	} {
		n++ // The source with most messages comes first.
		h.take(mailed(document("big.example", fmt.Sprint(n), "here.test", record(fmt.Sprintf("203.0.113.%d", n), n, "reject", "fail", "fail", "here.test", results))),
			"dmarc-reports@here.test")
		h.must(h.readAll(ctx))
		got := h.sources("here.test")
		if len(got) != n || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q", results, got)
		}
		if strings.Contains(got[0], "forged") != strings.HasSuffix(got[0], ", and your policy stopped it") {
			t.Errorf("%s: %q", results, got)
		}
	}
}
