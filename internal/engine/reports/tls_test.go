package reports

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/message"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/sqldb"
)

// session is one with a host of a domain under a policy that is enforced; it failed if
// there is a result.
func session(domain string, result tlsrpt.ResultType) tlsrpt.Observation {
	o := tlsrpt.Observation{Policy: tlsrpt.Policy{Type: tlsrpt.STS, Domain: mail.Domain(domain), Strings: []string{"version: STSv1", "mode: enforce", "mx: mx." + domain, "max_age: 86400"},
		MXHosts: []string{"mx." + domain}}}
	if result != "" {
		o.Failure = &tlsrpt.Failure{Result: result, SendingIP: netip.MustParseAddr("192.0.2.1"), ReceivingIP: netip.MustParseAddr("203.0.113.1"), MXHostname: "mx." + domain}
	}
	return o
}

// dane is a session with a host of far.example that has a TLSA record.
var dane = tlsrpt.Observation{Policy: tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: "mx.far.example", Strings: []string{"3 1 1 AB"}}, For: "far.example"}

// asks has a domain ask for reports about TLS.
func (h *house) asks(domain, rua string) {
	h.t.Helper()
	h.must(h.dns.Add(fmt.Sprintf("_smtp._tls.%s. TXT \"v=TLSRPTv1; rua=%s\"\n", domain, rua)))
}

// tlsLetters are the reports about TLS in the queue, read again.
func (h *house) tlsLetters() (all []string, reports []tlsrpt.Report) {
	h.t.Helper()
	all, _ = h.spooled()
	for _, text := range all {
		p := tlsrpt.Attachments(message.Parse([]byte(text)).Root)[0]
		u, err := dmarcreport.Unpack(message.NewDecoder(strings.NewReader(text[p.Body:p.End]), p.Encoding))
		h.must(err)
		r, err := tlsrpt.Parse(u)
		h.must(err)
		reports = append(reports, r)
	}
	return all, reports
}

// count is what a SELECT of one number finds.
func (h *house) count(query string) (n int) {
	h.t.Helper()
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(query).Scan(&n) }))
	return n
}

// TestTLSSent: what became of the sessions of a day is sent once, after it, to a domain that
// asks; of one that does not, nothing stays.
func TestTLSSent(t *testing.T) {
	h := newHouse(t)
	h.asks("far.example", "mailto:tls@far.example")
	for range 3 {
		h.ObserveTLS(session("far.example", ""))
	}
	h.ObserveTLS(session("far.example", tlsrpt.CertificateExpired))
	h.ObserveTLS(session("quiet.example", ""))
	h.must(h.Flush(ctx))
	h.ObserveTLS(session("far.example", ""))
	for range 2 {
		h.ObserveTLS(session("far.example", tlsrpt.StartTLSNotSupported))
	}
	h.ObserveTLS(dane)
	h.must(h.Flush(ctx))
	h.pass(15 * time.Hour)
	h.must(h.SendDue(ctx))
	if len(h.items) > 0 {
		t.Fatal("a report was sent before its time")
	}
	if sent, err := h.SentReports(ctx, "", noon, 10); err != nil || len(sent) != 0 {
		t.Errorf("told before anybody was asked: %+v, %v", sent, err)
	}
	h.pass(8 * time.Minute)
	for range 2 {
		h.must(h.SendDue(ctx))
	}
	all, reports := h.tlsLetters()
	_, items := h.spooled()
	if len(all) != 1 {
		t.Fatalf("%d reports", len(all))
	}
	m := message.Parse([]byte(all[0]))
	id := reports[0].ID
	if !items[0].ReversePath.IsNull() || items[0].SignFor != "mx.here.test" || m.MessageID != id+"@mx.here.test" ||
		m.Subject != "Report Domain: far.example Submitter: mx.here.test Report-ID: <"+id+"@mx.here.test>" ||
		!strings.Contains(all[0], "TLS-Report-Submitter: mx.here.test\r\nTLS-Required: No\r\n") || !strings.Contains(all[0], "<postmaster@mx.here.test>\r\nTo: tls@far.example\r\n") {
		t.Errorf("the envelope %+v and\n%s", items[0], all[0])
	}
	day := noon.Truncate(24 * time.Hour)
	p := session("far.example", "").Policy
	failed := func(r tlsrpt.ResultType, n int64) tlsrpt.Failures {
		return tlsrpt.Failures{Failure: *session("far.example", r).Failure, Sessions: n}
	}
	want := tlsrpt.Report{Organization: "mx.here.test", Contact: "postmaster@mx.here.test", ID: id, Begin: day, End: day.Add(24*time.Hour - time.Second),
		Policies: []tlsrpt.PolicyResult{
			{Policy: p, Successful: 4, Failed: 3, Failures: []tlsrpt.Failures{failed(tlsrpt.StartTLSNotSupported, 2), failed(tlsrpt.CertificateExpired, 1)}},
			{Policy: dane.Policy, Successful: 1},
		}}
	if fmt.Sprintf("%+v", reports[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", reports[0], want)
	}
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(sent) != 1 || sent[0].Kind != TLS || sent[0].Outcome != "sent to tls@far.example" || sent[0].Messages != 8 || !sent[0].Due.IsZero() {
		t.Errorf("sent: %+v", sent)
	}
	if n := h.count(`SELECT count(*) FROM reports_seen`); n != 0 || h.count(`SELECT count(*) FROM reports_day`) != 1 {
		t.Errorf("%d tuples are left", n)
	}
}

// TestTLSSubmitter: who reports is the domain of the contact, which signs, if it is ours.
func TestTLSSubmitter(t *testing.T) {
	for contact, want := range map[string]string{
		"tls@near.test":    "near.test signed, from tls@near.test, submitter near.test, file near.test!",
		"tls@else.example": "mx.here.test signed, from postmaster@mx.here.test, submitter else.example, file else.example!",
	} {
		h := newHouse(t)
		h.Set(Settings{Send: true, Contact: address(contact)})
		h.asks("far.example", "mailto:tls@far.example")
		h.ObserveTLS(session("far.example", ""))
		h.must(h.Flush(ctx))
		h.pass(24 * time.Hour)
		h.must(h.SendDue(ctx))
		all, reports := h.tlsLetters()
		_, items := h.spooled()
		field := func(name string) string {
			_, rest, _ := strings.Cut(all[0], name)
			value, _, _ := strings.Cut(rest, "\r\n")
			return value
		}
		file, _, _ := strings.Cut(field(`filename="`), "far.example")
		got := fmt.Sprintf("%s signed, from %s, submitter %s, file %s", items[0].SignFor, strings.Trim(field("From: TLS reports "), "<>"), field("TLS-Report-Submitter: "), file)
		if got != want || reports[0].Contact != contact {
			t.Errorf("%s: %s, %+v", contact, got, reports[0])
		}
	}
}

// TestTLSNotNoted: what no report is made of.
func TestTLSNotNoted(t *testing.T) {
	h := newHouse(t)
	h.ObserveTLS(tlsrpt.Observation{})
	h.ObserveTLS(tlsrpt.Observation{For: "[192.0.2.1]"})
	h.Set(Settings{Send: false})
	h.ObserveTLS(session("far.example", ""))
	if n := len(h.pending.tuples); n != 0 {
		t.Errorf("%d", n)
	}
}

// TestTLSDestinations: to whom a report goes, by mail and by HTTPS.
func TestTLSDestinations(t *testing.T) {
	h := newHouse(t)
	h.says = map[string]int{"https://far.example/ok": 201, "https://far.example/no": 404, "https://far.example/away": 503}
	const away = "https://far.example/away answers 503"
	for name, c := range map[string]struct{ record, want string }{
		"mail":            {"v=TLSRPTv1; rua=mailto:a@far.example", "sent to a@far.example"},
		"mail elsewhere":  {"v=TLSRPTv1; rua=mailto:a@watch.example", "sent to a@watch.example"},
		"HTTPS":           {"v=TLSRPTv1; rua=https://far.example/ok", "sent to https://far.example/ok"},
		"both":            {"v=TLSRPTv1; rua=https://far.example/ok,mailto:a@far.example", "sent to a@far.example, https://far.example/ok"},
		"one of two":      {"v=TLSRPTv1; rua=https://far.example/away,mailto:a@far.example", "sent to a@far.example; " + away},
		"refused":         {"v=TLSRPTv1; rua=https://far.example/no", "not sent: https://far.example/no answers 404"},
		"one that is not": {"v=TLSRPTv1; rua=https://far.example/gone,https://far.example/ok", "sent to https://far.example/ok; https://far.example/gone cannot be reached"},
		"away":            {"v=TLSRPTv1; rua=https://far.example/away", ""},
		"nobody has it":   {"v=TLSRPTv1; rua=mailto:nobody@far.example", "not sent: nobody@far.example: there is no mailbox nobody@far.example here"},
		"nobody but one":  {"v=TLSRPTv1; rua=mailto:nobody@far.example,https://far.example/ok", "sent to https://far.example/ok; nobody@far.example: there is no mailbox nobody@far.example here"},
		"no address":      {"v=TLSRPTv1; rua=mailto:a%40b%40c", `not sent: "mailto:a%40b%40c" is nobody to whom reports are sent`},
		"damaged":         {"v=TLSRPTv1; hello", "not sent: the record has a field that is none"},
		"too many": {"v=TLSRPTv1; rua=mailto:a@far.example,mailto:A@far.example,mailto:b@far.example,mailto:c@far.example,https://far.example/ok,mailto:d@far.example,mailto:e@far.example",
			"sent to a@far.example, b@far.example, c@far.example, d@far.example, https://far.example/ok"},
	} {
		t.Run(name, func(t *testing.T) {
			h.items, h.posts, h.now = nil, nil, noon
			h.dns.Zone = dnstest.NewZone("_smtp._tls.far.example. TXT \"" + c.record + "\"\n")
			h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
				tx.Do(`DELETE FROM reports_seen`)
				_, err := tx.Exec(`DELETE FROM reports_day`)
				return err
			}))
			h.ObserveTLS(session("far.example", ""))
			h.must(h.Flush(ctx))
			h.pass(24 * time.Hour)
			h.must(h.SendDue(ctx))
			sent, err := h.SentReports(ctx, "far.example", noon, 10)
			h.must(err)
			if len(sent) != 1 || sent[0].Outcome != c.want || (c.want == "") == sent[0].Due.IsZero() {
				t.Errorf("%+v", sent)
			}
			taken, _, _ := strings.Cut(c.want, ";")
			if n := len(h.items); n != min(1, strings.Count(taken, "@")) && strings.HasPrefix(taken, "sent") {
				t.Errorf("%d items", n)
			}
			for _, p := range h.posts {
				if !strings.Contains(p, " application/tlsrpt+gzip {\"organization-name\":\"mx.here.test\",") {
					t.Errorf("%q", p)
				}
			}
		})
	}
}

// TestTLSRetry: a server that is away is asked again, each time after twice as long, and not
// for ever; likewise the DNS.
func TestTLSRetry(t *testing.T) {
	h := newHouse(t)
	h.says = map[string]int{"https://back.example/": 500, "https://away.example/": 500}
	h.asks("back.example", "https://back.example/")
	h.asks("away.example", "https://away.example/")
	h.asks("silent.example", "mailto:a@silent.example")
	h.dns.Fail("_smtp._tls.silent.example", 0, dns.ServFail)
	for _, d := range []string{"back.example", "away.example", "silent.example"} {
		h.ObserveTLS(session(d, ""))
	}
	h.must(h.Flush(ctx))
	h.pass(24 * time.Hour)
	at := h.clock()
	var tried []time.Duration
	for range 60 {
		before := len(h.posts)
		h.must(h.SendDue(ctx))
		if len(h.posts) > before {
			tried = append(tried, h.clock().Sub(at))
		}
		if len(tried) == 3 {
			h.says["https://back.example/"] = 200
		}
		h.pass(30 * time.Minute)
	}
	if want := "[0s 30m0s 1h30m0s 3h30m0s 7h30m0s 15h30m0s]"; fmt.Sprint(tried) != want {
		t.Errorf("tried after %v, want %v", tried, want)
	}
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	var got []string
	for _, s := range sent {
		got = append(got, s.Outcome)
	}
	want := "not sent: https://away.example/ answers 500|sent to https://back.example/|not sent: the DNS does not say whether silent.example takes reports"
	if strings.Join(got, "|") != want || len(h.items) != 0 {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

// TestTLSTooMany: sessions beyond the bounds are counted, and no more; both kinds have
// bounds of their own.
func TestTLSTooMany(t *testing.T) {
	h := newHouse(t)
	h.asks("far.example", "mailto:a@far.example")
	h.ObserveTLS(session("far.example", ""))
	h.must(h.Flush(ctx))
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE reports_day SET tuples = $1`, MaxTLSTuples)
		return err
	}))
	h.ObserveTLS(session("far.example", ""))
	for i := range 3 {
		o := session("far.example", tlsrpt.TLSAInvalid) // It counts without what else there is to say.
		o.Failure.ReasonCode = fmt.Sprint(i)
		h.ObserveTLS(o)
	}
	h.ObserveTLS(dane)
	h.must(h.Flush(ctx))
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE reports_day SET tuples = $1`, 2*MaxTLSTuples)
		return err
	}))
	h.ObserveTLS(session("far.example", tlsrpt.CertificateExpired))
	h.must(h.Flush(ctx))
	h.days[TLS].tuples = MaxTLSDay
	h.ObserveTLS(session("other.example", ""))
	h.must(h.Flush(ctx))
	if n := h.count(`SELECT count(*) FROM reports_seen WHERE domain = 'other.example'`); n != 0 || h.count(`SELECT left_out FROM reports_day WHERE domain = 'other.example'`) != 1 {
		t.Errorf("%d tuples beyond those of a day", n)
	}
	h.days[TLS].domains = MaxDomains
	h.ObserveTLS(session("third.example", ""))
	h.must(h.Flush(ctx))
	if n := h.count(`SELECT count(*) FROM reports_day WHERE domain = 'third.example'`); n != 0 {
		t.Error("a domain too many")
	}
	h.pass(24 * time.Hour)
	h.must(h.SendDue(ctx))
	all, reports := h.tlsLetters()
	want := tlsrpt.PolicyResult{Policy: session("far.example", "").Policy, Successful: 2, Failed: 3, Failures: []tlsrpt.Failures{{Failure: tlsrpt.Failure{Result: tlsrpt.TLSAInvalid}, Sessions: 3}}}
	if len(all) != 1 || len(reports[0].Policies) != 1 || fmt.Sprint(reports[0].Policies[0]) != fmt.Sprint(want) || !strings.Contains(all[0], "2 more sessions went in too many ways to be listed.") {
		t.Errorf("%+v\n%s", reports, all)
	}
	for i := range MaxTLSPending + 5 {
		o := session("far.example", tlsrpt.ValidationFailure)
		o.Failure.ReasonCode = fmt.Sprint(i)
		h.ObserveTLS(o)
	}
	h.Note(ctx, seen(h.clock(), "192.0.2.1", "far.example", reporting))
	if n := len(h.pending.tuples); n != MaxTLSPending+1 || h.pending.dropped[TLS] != 5 || h.pending.dropped[DMARC] != 0 {
		t.Errorf("%d pending, %v dropped", n, h.pending.dropped)
	}
	h.must(h.Flush(ctx))
	if !strings.Contains(h.log.String(), "sessions=5") || len(h.pending.tuples) != 0 || h.pending.size[TLS] != 0 {
		t.Errorf("%d pending, %d, log:\n%s", len(h.pending.tuples), h.pending.size[TLS], h.log)
	}
}

// TestTLSRhythm: day after day, one report of each with sessions, in the night after it,
// without anybody's doing.
func TestTLSRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouseAt(t, time.Time{})
		h.asks("far.example", "mailto:tls@far.example")
		run, stop := contextWithStop()
		var g sync.WaitGroup
		g.Go(func() { h.Run(run) })
		start := time.Now()
		for day := range 4 {
			if day != 2 { // A day on which nothing is sent.
				<-time.After(12 * time.Hour)
				h.ObserveTLS(session("far.example", ""))
				<-time.After(12 * time.Hour)
			} else {
				<-time.After(24 * time.Hour)
			}
		}
		<-time.After(48 * time.Hour)
		stop()
		g.Wait()
		_, reports := h.tlsLetters()
		var days []string
		for _, r := range reports {
			days = append(days, fmt.Sprint(r.Begin.Sub(start.Truncate(24*time.Hour))/(24*time.Hour)))
		}
		slices.Sort(days)
		if len(days) != 3 || len(slices.Compact(days)) != 3 || slices.Contains(days, "2") {
			t.Errorf("reports of the days %v", days)
		}
		if bytes.Contains(h.log.Bytes(), []byte("level=WARN")) {
			t.Error(h.log)
		}
	})
}

// tlsDocument is a report about TLS of the day before noon; each result is one of a policy.
func tlsDocument(org, number string, results ...string) string {
	day := noon.Truncate(24*time.Hour).AddDate(0, 0, -1).Format(time.DateOnly)
	return fmt.Sprintf(`{"organization-name":%q,"date-range":{"start-datetime":"%sT00:00:00Z","end-datetime":"%sT23:59:59Z"},"contact-info":"x@y.example","report-id":%q,"policies":[%s]}`,
		org, day, day, number, strings.Join(results, ","))
}

// tlsResult is what sessions came to; each failure is a result, a host and a number.
func tlsResult(domain, kind string, successful, failed int, failures ...string) string {
	var details []string
	for _, f := range failures {
		p := strings.Fields(f)
		details = append(details, fmt.Sprintf(`{"result-type":%q,"receiving-mx-hostname":%q,"failed-session-count":%s,"failure-reason-code":%q}`, p[0], p[1], p[2], strings.Join(p[3:], " ")))
	}
	policy, mode, _ := strings.Cut(kind, " ")
	return fmt.Sprintf(`{"policy":{"policy-type":%q,"policy-string":["version: STSv1","mode: %s"],"policy-domain":%q},
		"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d},"failure-details":[%s]}`, policy, mode, domain, successful, failed, strings.Join(details, ","))
}

// mailedTLS is a document in the mail that brings it.
func mailedTLS(document string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(document))
	_ = z.Close()
	return "From: reporter@big.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n" +
		"--b\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(b.Bytes()) + "\r\n--b--\r\n"
}

// signed are the fields in front of mail of a reporter who signs.
func signed(d string) string {
	return fmt.Sprintf("Authentication-Results: mx.here.test; dkim=pass header.d=%s; dmarc=pass header.from=%s\r\nReceived: here\r\n", d, d)
}

func (h *house) tlsSources(domain mail.Domain) (lines []string) {
	h.t.Helper()
	list, err := h.TLSSources(ctx, domain, noon.AddDate(0, 0, -7))
	h.must(err)
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s %s <%s> %s %d/%d %s-%s %s", s.Organization, s.Policy, s.Result, s.Host, s.Failed, s.Sessions,
			s.Since.Format("0102"), s.Last.Format("0102"), s.Reason))
	}
	return lines
}

// TestTLSReceived: what others report is kept once and added up, by reporter, policy, result
// and host.
func TestTLSReceived(t *testing.T) {
	h := newHouse(t)
	h.prefix = signed("big.example")
	one := tlsDocument("Big", "1", tlsResult("here.test", "sts testing", 5326, 303, "certificate-expired MX1.here.test. 100", "starttls-not-supported mx2.here.test 200 no answer"),
		tlsResult("mx.here.test", "tlsa", 7, 0), tlsResult("here.test", "tlsa", 5, 0), tlsResult("else.example", "sts enforce", 1000, 1000))
	h.take(mailedTLS(one), "tls-reports@here.test")
	h.take(mailedTLS(one), "dmarc-reports@near.test") // Each address takes both kinds, and each report counts once.
	two := strings.ReplaceAll(tlsDocument("Big", "2", tlsResult("here.test", "sts testing", 10, 1, "certificate-expired mx1.here.test 1")), "2026-11-21", "2026-11-20")
	h.take(mailedTLS(two), "tls-reports@here.test")
	h.take(mailedTLS(tlsDocument("Small", "1", tlsResult("near.test", "no-policy-found", 3, 0))), "tls-reports@here.test")
	h.must(h.readAll(ctx))
	want := []string{
		"Big sts testing <starttls-not-supported> mx2.here.test 200/5640 1121-1121 no answer",
		"Big sts testing <certificate-expired> mx1.here.test 101/5640 1120-1121 ",
		"Big sts testing <unspecified>  3/5640 1121-1121 ",
		"Big tlsa <>  0/5 1121-1121 ",
	}
	if got := h.tlsSources("here.test"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	all, err := h.TLSOverviews(ctx, "", noon.AddDate(0, 0, -7))
	h.must(err)
	var lines []string
	for _, o := range all {
		lines = append(lines, fmt.Sprintf("%s %d by %d: %d/%d %s %s", o.Domain, o.Reports, o.Organizations, o.Failed, o.Sessions, o.Policies, o.Begin.Format("0102")))
	}
	if got := strings.Join(lines, "|"); got != "here.test 2 by 1: 304/5645 sts testing, tlsa 1120|mx.here.test 1 by 1: 0/7 tlsa 1121|near.test 1 by 1: 0/3 no-policy-found 1121" {
		t.Errorf("overviews: %s", got)
	}
	if all, err := h.TLSOverviews(ctx, "here.test", noon); err != nil || len(all) > 0 {
		t.Errorf("later: %+v, %v", all, err)
	}
	if all, err := h.Overviews(ctx, "", time.Time{}); err != nil || len(all) > 0 {
		t.Errorf("DMARC has %+v, %v", all, err)
	}
	if !strings.Contains(h.log.String(), `msg="TLS report" domain=here.test organization=Big reporter=big.example messages=5634 new=true`) {
		t.Error(h.log)
	}
}

// TestTLSSample: the report of RFC 8460 Appendix B.
func TestTLSSample(t *testing.T) {
	h := newHouse(t)
	document := strings.ReplaceAll(rfcSample(t), "company-y.example", "here.test")
	h.take("From: a@company-x.example\r\nContent-Type: application/tlsrpt+json\r\n\r\n"+strings.ReplaceAll(document, "\n", "\r\n"), "tls-reports@here.test")
	h.must(h.readAll(ctx))
	list, err := h.TLSSources(ctx, "here.test", time.Time{})
	h.must(err)
	var lines []string
	for _, s := range list {
		lines = append(lines, fmt.Sprintf("%s %s %d: %s", s.Result, s.Host, s.Failed, s.Advice("here.test")))
	}
	const tested = "; mail comes all the same, the policy is only being tested"
	want := []string{
		"starttls-not-supported mx2.mail.here.test 200: mx2.mail.here.test offered no STARTTLS: see that it has a certificate; if it offers it, something on the way takes it out, a firewall or an attacker" + tested,
		"certificate-expired mx1.mail.here.test 100: the certificate of mx1.mail.here.test has ended: renew it, and see that the server uses the new one" + tested,
		"validation-failure mx-backup.mail.here.test 3: TLS with mx-backup.mail.here.test failed (X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED): look at its certificate, its versions of TLS and its log of that time" + tested,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestTLSNotReceived: what is no report of ours is forgotten, and its octets too.
func TestTLSNotReceived(t *testing.T) {
	h := newHouse(t)
	good := tlsResult("here.test", "sts enforce", 1, 0)
	for name, c := range map[string]struct{ prefix, text, why string }{
		"of another domain": {"", mailedTLS(tlsDocument("Big", "1", tlsResult("else.test", "sts enforce", 1, 0))), "the report is about else.test, which is not ours"},
		"without policies":  {"", mailedTLS(tlsDocument("Big", "1")), "the report has no policy"},
		"no JSON":           {"", mailedTLS("<feedback/>"), "the document is no JSON"},
		"damaged":           {"", strings.Replace(mailedTLS(tlsDocument("Big", "1", good)), "\r\n\r\nH4s", "\r\n\r\nH4sAAAA", 1), "the gzip file is damaged"},
		"a bomb":            {"", mailedTLS(`{"x":"` + strings.Repeat("x", 100<<20) + `"}`), "the document is over 10 MiB"},
		"of many domains": {"", mailedTLS(tlsDocument("Big", "1", slices.Collect(func(yield func(string) bool) {
			for i := range 200 {
				if !yield(tlsResult(fmt.Sprintf("a%d.else.test", i), "sts enforce", 1, 0)) {
					return
				}
			}
		})...)), "which is not ours"},
		"forged": {"Authentication-Results: mx.here.test; dkim=pass header.d=evil.example; dmarc=fail header.from=big.example\r\n", mailedTLS(tlsDocument("Big", "1", good)),
			"it is not from big.example, whose report it would be: DMARC fails"},
	} {
		t.Run(name, func(t *testing.T) {
			h.log.Reset()
			h.prefix = c.prefix + "Received: here\r\n"
			h.take(c.text, "tls-reports@here.test")
			h.must(h.readAll(ctx))
			all, err := h.TLSOverviews(ctx, "", time.Time{})
			h.must(err)
			if len(all) > 0 || h.waits() > 0 || !strings.Contains(h.log.String(), c.why) {
				t.Errorf("%+v, %d wait, log:\n%s", all, h.waits(), h.log)
			}
		})
	}
}

// TestTLSReporter: a reporter is proven by a signature, and by nothing else; the others have
// a small share together, which is not that of DMARC's.
func TestTLSReporter(t *testing.T) {
	for results, want := range map[string]mail.Domain{
		"":                                   "",
		"dmarc=pass header.from=big.example": "",
		"spf=pass smtp.mailfrom=big.example; dmarc=pass header.from=big.example":                                     "",
		"dkim=pass header.d=big.example; dmarc=pass header.from=big.example":                                         "big.example",
		"dkim=pass header.d=big.example; dmarc=none header.from=mail.big.example":                                    "mail.big.example",
		"dkim=fail header.d=big.example; dkim=pass header.d=esp.example; dmarc=none header.from=big.example":         "",
		"dkim=pass header.d=big.example; dmarc=fail header.from=big.example":                                         "",
		"dkim=fail header.d=big.example; spf=pass smtp.mailfrom=big.example; dmarc=pass header.from=big.example":     "",
		"dkim=fail header.d=big.example; dkim=pass header.d=reports.big.example; dmarc=pass header.from=big.example": "big.example",
	} {
		if got := signerOf([]byte("Authentication-Results: mx.here.test; " + results + "\r\n")); got != want {
			t.Errorf("%q: %q, want %q", results, got, want)
		}
	}
	h := newHouse(t)
	send := func(number string) {
		h.take(mailedTLS(tlsDocument("Big", number, tlsResult("here.test", "sts enforce", 1, 0))), "tls-reports@here.test")
		h.must(h.readAll(ctx))
	}
	h.report("Received: here\r\n", "dmarc", "here.test", 1)
	for i := range MaxUnproven + 3 {
		send(fmt.Sprint(i))
	}
	h.prefix = signed("good.example")
	send("good")
	if n := h.count(`SELECT count(*) FROM reports_received WHERE kind = 'tls'`); n != MaxUnproven+1 {
		t.Errorf("%d reports", n)
	}
	const bound = `msg="TLS reports are not kept: as many as there may be came within a day" domain=here.test bound="of reporters who are not authenticated" max=50`
	if n := strings.Count(h.log.String(), bound); n != 1 {
		t.Errorf("told %d times:\n%s", n, h.log)
	}
}

// TestTLSRows: of more records than are kept the failures are counted.
func TestTLSRows(t *testing.T) {
	h := newHouse(t)
	h.prefix = signed("big.example")
	var failures []string
	for i := range MaxTLSRows + 10 {
		failures = append(failures, fmt.Sprintf("certificate-expired mx%d.here.test %d", i, 1+i))
	}
	sum := (MaxTLSRows + 10) * (MaxTLSRows + 11) / 2
	h.take(mailedTLS(tlsDocument("Big", "1", tlsResult("here.test", "sts enforce", 0, sum, failures...))), "tls-reports@here.test")
	h.must(h.readAll(ctx))
	if rows, left := h.count(`SELECT count(*) FROM reports_tls`), h.count(`SELECT left_out FROM reports_received`); rows != MaxTLSRows || left != 66 {
		t.Errorf("%d rows, %d left out", rows, left)
	}
	got := h.tlsSources("here.test")
	if len(got) != MaxTLSRows || got[0] != fmt.Sprintf("Big sts enforce <certificate-expired> mx%d.here.test %d/%d 1121-1121 ", MaxTLSRows+9, MaxTLSRows+10, sum) ||
		!slices.Contains(got, fmt.Sprintf("Big sts enforce <unspecified>  66/%d 1121-1121 ", sum)) {
		t.Errorf("%d: %q", len(got), got[:2])
	}
	h.pass(DefaultKeep + time.Second)
	h.must(h.Sweep(ctx))
	if n := h.count(`SELECT count(*) FROM reports_tls`) + h.count(`SELECT count(*) FROM reports_received`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestTLSLate: nobody is told of days that are long over, and nothing of them stays.
func TestTLSLate(t *testing.T) {
	h := newHouse(t)
	h.asks("far.example", "mailto:a@far.example")
	h.ObserveTLS(session("far.example", ""))
	h.must(h.Flush(ctx))
	h.pass(4 * 24 * time.Hour)
	h.ObserveTLS(session("far.example", ""))
	h.must(h.Flush(ctx))
	h.must(h.SendDue(ctx))
	sent, err := h.SentReports(ctx, "", noon, 10)
	h.must(err)
	if len(h.items) > 0 || len(sent) != 1 || sent[0].Outcome != "not sent: too late: the server was away" {
		t.Errorf("%+v", sent)
	}
	h.Set(Settings{Send: false})
	h.pass(10 * 24 * time.Hour)
	h.must(h.Sweep(ctx))
	if n := h.count(`SELECT count(*) FROM reports_seen`); n != 0 {
		t.Errorf("%d tuples are left", n)
	}
}

// TestTLSAdvice: each result says what is to be done.
func TestTLSAdvice(t *testing.T) {
	for result, want := range map[tlsrpt.ResultType]string{
		"":                             "",
		tlsrpt.StartTLSNotSupported:    "mx.here.test offered no STARTTLS: see that it has a certificate",
		tlsrpt.CertificateHostMismatch: "the certificate of mx.here.test has not the name that the policy asks for (why)",
		tlsrpt.CertificateExpired:      "renew it",
		tlsrpt.CertificateNotTrusted:   "is not trusted (why): use one of a public authority, and send the whole chain",
		tlsrpt.ValidationFailure:       "TLS with mx.here.test failed (why)",
		tlsrpt.TLSAInvalid:             "publish one for the certificate in use; until then such mail does not come",
		tlsrpt.DNSSECInvalid:           "and its DS record",
		tlsrpt.DANERequired:            "the reporter sends only with DANE",
		tlsrpt.STSPolicyFetchError:     "at https://mta-sts.here.test/.well-known/mta-sts.txt (why): see that it is served there, or remove the record _mta-sts.here.test",
		tlsrpt.STSPolicyInvalid:        "see to its lines version, mode, mx and max_age",
		tlsrpt.STSWebPKIInvalid:        "the certificate of mta-sts.here.test is not valid (why)",
		Unspecified:                    "the report does not say why they failed",
		"moon-phase":                   "TLS with mx.here.test failed for a reason that RFC 8460 has not, moon-phase (why)",
	} {
		s := TLSSource{Policy: "tlsa", Result: string(result), Host: "mx.here.test", Reason: "why"}
		if got := s.Advice("here.test"); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q", result, got)
		}
	}
	if got := (TLSSource{Policy: "no-policy-found", Result: "certificate-expired"}).Advice("here.test"); got != "the certificate of a host has ended: renew it, and see that the server uses the new one" {
		t.Error(got)
	}
}
