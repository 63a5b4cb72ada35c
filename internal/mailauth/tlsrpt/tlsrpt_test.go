package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/testkit/linear"
)

// sample is the report of RFC 8460 Appendix B, with its one broken line joined.
func sample(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc8460.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// companyX is what the sample says.
func companyX() Report {
	from := func(result ResultType, ip, to, host string, n int64) Failures {
		f := Failures{Failure: Failure{Result: result, SendingIP: netip.MustParseAddr(ip), MXHostname: host}, Sessions: n}
		if to != "" {
			f.ReceivingIP = netip.MustParseAddr(to)
		}
		return f
	}
	none := from(StartTLSNotSupported, "2001:db8:abcd:13::1", "203.0.113.56", "mx2.mail.company-y.example", 200)
	none.Info = "https://reports.company-x.example/report_info ? id = 5065427 c - 23 d3# StarttlsNotSupported"
	proxy := from(ValidationFailure, "198.51.100.62", "203.0.113.58", "mx-backup.mail.company-y.example", 3)
	proxy.ReasonCode = "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
	return Report{Organization: "Company-X", Contact: "sts-reporting@company-x.example", ID: "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
		Begin: time.Date(2016, 4, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2016, 4, 1, 23, 59, 59, 0, time.UTC),
		Policies: []PolicyResult{{
			Policy: Policy{Type: STS, Strings: []string{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"},
				Domain: "company-y.example", MXHosts: []string{"*.mail.company-y.example"}},
			Successful: 5326, Failed: 303,
			Failures: []Failures{from(CertificateExpired, "2001:db8:abcd:12::1", "", "mx1.mail.company-y.example", 100), none, proxy},
		}}}
}

func TestParseSample(t *testing.T) {
	got, err := Parse(strings.NewReader(sample(t)))
	if err != nil || !reflect.DeepEqual(got, companyX()) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, companyX())
	}
}

// TestWrite: what is written is one line, the same each time, and reads as it was.
func TestWrite(t *testing.T) {
	r := companyX()
	r.Policies = append(r.Policies, PolicyResult{Policy: Policy{Type: TLSA, Strings: []string{"3 1 1 1F850A"}, Domain: "mx.company-y.example"}, Successful: 1},
		PolicyResult{Policy: Policy{Type: NoPolicyFound, Domain: "company-y.example"}})
	r.Policies[0].Failures[0].Detail = "it ended <yesterday>"
	r.Policies[0].Failures[2].Detail = "so\r\nlong"
	var one, two strings.Builder
	if err := r.Write(&one); err != nil {
		t.Fatal(err)
	}
	_ = r.Write(&two)
	want := `{"organization-name":"Company-X","date-range":{"start-datetime":"2016-04-01T00:00:00Z","end-datetime":"2016-04-01T23:59:59Z"},` +
		`"contact-info":"sts-reporting@company-x.example","report-id":"5065427c-23d3-47ca-b6e0-946ea0e8c4be","policies":[{"policy":{"policy-type":"sts",` +
		`"policy-string":["version: STSv1","mode: testing","mx: *.mail.company-y.example","max_age: 86400"],"policy-domain":"company-y.example",` +
		`"mx-host":["*.mail.company-y.example"]},"summary":{"total-successful-session-count":5326,"total-failure-session-count":303},"failure-details":[` +
		`{"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:12::1","receiving-mx-hostname":"mx1.mail.company-y.example",` +
		`"failed-session-count":100,"failure-reason-code":"it ended <yesterday>"},`
	if one.String() != two.String() || !strings.HasPrefix(one.String(), want) || strings.Count(one.String(), "\n") != 1 {
		t.Errorf("got\n%s\nwant\n%s", one.String(), want)
	}
	for _, part := range []string{`"failure-reason-code":"X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED: so  long"}]}`,
		`{"policy":{"policy-type":"tlsa","policy-string":["3 1 1 1F850A"],"policy-domain":"mx.company-y.example"},"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}`,
		`{"policy-type":"no-policy-found","policy-domain":"company-y.example"}`} {
		if !strings.Contains(one.String(), part) {
			t.Errorf("%s is not in\n%s", part, one.String())
		}
	}
	got, err := Parse(strings.NewReader(one.String()))
	f := r.Policies[0].Failures
	f[0].ReasonCode, f[0].Detail = "it ended <yesterday>", ""
	f[2].ReasonCode, f[2].Detail = f[2].ReasonCode+": so  long", ""
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, r)
	}
}

// TestParseLenient: what is not as the RFC says and can be meant in one way only.
func TestParseLenient(t *testing.T) {
	text := `{"x": {"y": [1, 2.5, null, true, {}]}, "policies": [{"policy": {"policy-domain": "Example.ORG.", "policy-type": "dnssec", "mx-host": [], "policy-string": "one"},
		"failure-details": [{"result-type": "new-type", "receiving-ip": "[192.0.2.1]", "sending-mta-ip": "none", "failed-session-count": "7"}], "summary": null}],
		"date-range": {"start-datetime": "2026-11-22T01:00:00+01:00", "end-datetime": "2026-11-22T23:59:59.9Z", "zone": 1},
		"report-id": "a\u0000b\n", "organization-name": "` + strings.Repeat("é", MaxText) + `", "contact-info": null} trailing`
	r, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Report{Organization: strings.Repeat("é", MaxText/2), ID: "a b", Begin: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC),
		Policies: []PolicyResult{{Policy: Policy{Domain: "example.org", Strings: []string{"one"}},
			Failures: []Failures{{Failure: Failure{Result: "new-type", ReceivingIP: netip.MustParseAddr("192.0.2.1")}, Sessions: 7}}}}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

// with is the sample with one text in place of another.
func with(t testing.TB, old, new string) string {
	t.Helper()
	s := sample(t)
	if !strings.Contains(s, old) {
		t.Fatalf("%q is not in the sample", old)
	}
	return strings.Replace(s, old, new, 1)
}

func TestParseFaults(t *testing.T) {
	many := func(n int, one string) string { return "[" + strings.Repeat(one+",", n) + one + "]" }
	policy := `{"policy":{"policy-domain":"example.org"}}`
	for _, c := range []struct {
		text, want string
		kind       mail.Kind
	}{
		{"", "the document is cut short", mail.Invalid},
		{"{", "the document is cut short", mail.Invalid},
		{sample(t)[:900], "the document is cut short", mail.Invalid},
		{"<feedback/>", "the document is no JSON: invalid character '<' looking for beginning of value", mail.Invalid},
		{"[]", `a value stands where a "{" should be`, mail.Invalid},
		{"null", "the report has no organization-name", mail.Invalid},
		{"{}", "the report has no organization-name", mail.Invalid},
		{with(t, `"report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be"`, `"report-id": " "`), "the report has no report-id", mail.Invalid},
		{with(t, `"report-id"`, `"report"`), "the report has no report-id", mail.Invalid},
		{with(t, `"policies"`, `"rules"`), "the report has no policy", mail.Invalid},
		{with(t, `"date-range"`, `"range"`), "the report has no date-range", mail.Invalid},
		{with(t, `"policy-domain"`, `"domain"`), "policy 1 has no policy-domain", mail.Invalid},
		{with(t, `"company-y.example"`, `"not a domain"`), `the policy-domain "not a domain" is none`, mail.Invalid},
		{with(t, "2016-04-01T00", "2016-04-02T00"), "the report's period ends before it begins", mail.Invalid},
		{with(t, "2016-04-01T00:00:00Z", "yesterday"), `"yesterday" is no time of a report`, mail.Invalid},
		{with(t, "2016-04-01T00:00:00Z", "1816-04-01T00:00:00Z"), `"1816-04-01T00:00:00Z" is no time of a report`, mail.Invalid},
		{with(t, "5326", "-1"), `"-1" is no number of sessions`, mail.Invalid},
		{with(t, "5326", "1e300"), `"1e300" is no number of sessions`, mail.Invalid},
		{with(t, "5326", "99999999999999999999"), `"99999999999999999999" is no number of sessions`, mail.Invalid},
		{with(t, "5326", "{}"), `"" is no number of sessions`, mail.Invalid},
		{with(t, `"Company-X"`, "7"), "there is a value that is no text where one should be", mail.Invalid},
		{with(t, `["version`, `[{"version":1},"version`), "there is a value that is no text where one should be", mail.Invalid},
		{with(t, `["version: STSv1"`, `{"version: STSv1":1}, "x": [1`), "there is an object where texts should be", mail.Invalid},
		{with(t, `"policies": [`, `"more": `+strings.Repeat("[", MaxDepth)+strings.Repeat("]", MaxDepth)+`, "policies": [`), "the document is more than 16 deep", mail.TooLarge},
		{`{"policies": ` + many(MaxPolicies, policy) + "}", "there are more than 1000 policies", mail.TooLarge},
		{`{"policies": [{"failure-details": ` + many(MaxFailures, "{}") + "}]}", "there are more than 20000 kinds of failures", mail.TooLarge},
		{`{"x": ` + many(MaxTokens, "1") + "}", "there are more than 1048576 names and values", mail.TooLarge},
		{`{"x": "` + strings.Repeat("x", MaxUnpacked) + `"}`, "the document is over 10 MiB", mail.TooLarge},
	} {
		_, err := Parse(strings.NewReader(c.text))
		if err == nil || err.Error() != c.want || mail.KindOf(err) != c.kind {
			t.Errorf("%.200s: %v", c.text, err)
		}
	}
	broken := io.MultiReader(strings.NewReader(`{"x":`), iotestErr{})
	if _, err := Parse(broken); err != errDisk {
		t.Errorf("an error of the reader: %v", err)
	}
}

var errDisk = mail.Errorf(mail.Unavailable, "the disk")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errDisk }

// TestStringsBound: more texts than there may be of a policy are passed over.
func TestStringsBound(t *testing.T) {
	r, err := Parse(strings.NewReader(with(t, `["version: STSv1"`, `["version: STSv1"`+strings.Repeat(`,"mx: a.example"`, 2*MaxStrings))))
	if err != nil || len(r.Policies[0].Strings) != MaxStrings {
		t.Errorf("%d, %v", len(r.Policies[0].Strings), err)
	}
}

// hostile are documents of about that size that would cost much if they could.
func hostile(size int) map[string]string {
	fill := func(head, one, tail string) string {
		return head + strings.Repeat(one, max(1, (size-len(head)-len(tail))/len(one))) + tail
	}
	return map[string]string{
		"open":     fill("", "[", ""),
		"objects":  fill("", `{"x":`, ""),
		"policies": fill(`{"policies":[`, `{},`, `{}]}`),
		"failures": fill(`{"policies":[{"failure-details":[`, `{},`, `{}]}]}`),
		"strings":  fill(`{"policies":[{"policy":{"policy-string":[`, `"",`, `""]}}]}`),
		"numbers":  fill(`{"x":[`, `1,`, `1]}`),
		"a text":   fill(`{"organization-name":"`, `\u0000`, `"}`),
		"a name":   fill(`{"`, `x`, `":1}`),
		"a number": fill(`{"policies":[{"summary":{"total-failure-session-count":`, `1`, `}}]}`),
		"spaces":   fill(`{`, ` `, `}`),
		"fields":   fill(`{"a":1`, `,"report-id":"x"`, `}`),
	}
}

// TestHostile: the time grows with the size alone, and the memory stays bounded.
func TestHostile(t *testing.T) {
	for name := range hostile(1) {
		t.Run(name, func(t *testing.T) {
			linear.Check(t, 1<<15, func(size int) func() {
				text := hostile(size)[name]
				return func() { _, _ = Parse(strings.NewReader(text)) }
			})
			text := hostile(8 << 20)[name]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse(strings.NewReader(text))
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 192<<20 {
				t.Errorf("%d MiB, %v", used>>20, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	for _, text := range hostile(1000) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(strings.NewReader(text))
		if err != nil {
			if k := mail.KindOf(err); k != mail.Invalid && k != mail.TooLarge {
				t.Fatalf("kind %v: %v", k, err)
			}
			return
		}
		// What was read can be written, and then reads as it was.
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(strings.NewReader(b.String()))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("got  %+v, %v\nwant %+v", again, err, r)
		}
	})
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		txts []string
		want string // of String, or an error
	}{
		{[]string{"v=TLSRPTv1;rua=mailto:reports@example.com"}, "v=TLSRPTv1; rua=mailto:reports@example.com"},
		{[]string{"v=spf1 -all", "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt;", "v=TLSRPTv1rua=mailto:a@b"}, "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"},
		{[]string{"v=TLSRPTv1 ;\trua=mailto:a@b.example , https://c.example/ ; new-ext=x.y ;"}, "v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/"},
		{[]string{"v=TLSRPTv1; rua=ftp://x.example/,mailto:,https:///x,mailto:a@b.example"}, "v=TLSRPTv1; rua=mailto:a@b.example"},
		{nil, "there is no record of TLSRPT"},
		{[]string{"v=TLSRPTv2; rua=mailto:a@b.example", "V=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1"}, "there is no record of TLSRPT"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@b.example"}, "there are 2 records of TLSRPT, which are as good as none"},
		{[]string{"v=TLSRPTv1; rua=ftp://x.example/"}, "the record names nobody who takes reports by mail or HTTPS"},
		{[]string{"v=TLSRPTv1; RUA=mailto:a@b.example"}, "the record names nobody who takes reports by mail or HTTPS"},
		{[]string{"v=TLSRPTv1; hello"}, "the record has a field that is none"},
		{[]string{"v=TLSRPTv1; -x=1; rua=mailto:a@b.example"}, "the record has a field that is none"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.example\x00"}, "the record has a field that is none"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@b.example"}, "the record has rua twice"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.example;" + strings.Repeat(" ", MaxRecord)}, "the record is over 4096 octets"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.example" + strings.Repeat(",mailto:a@b.example", 20)}, "v=TLSRPTv1; rua=mailto:a@b.example" + strings.Repeat(",mailto:a@b.example", MaxURIs-1)},
	} {
		r, err := ParseRecord(c.txts)
		got := r.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%.60q: %q", c.txts, got)
		}
		if err == nil {
			if again, err := ParseRecord([]string{got}); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%q reads as %+v, %v", got, again, err)
			}
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/ ; new-ext=x.y ;")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := ParseRecord([]string{txt})
		if err != nil {
			return
		}
		if again, err := ParseRecord([]string{r.String()}); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %+v, %v", r.String(), again, err)
		}
	})
}

// TestLetter: the mail that carries a report, read again.
func TestLetter(t *testing.T) {
	r := companyX()
	r.ID = "4f5a6b"
	packed, err := r.Pack("mx.near.example", "company-y.example")
	if err != nil {
		t.Fatal(err)
	}
	l := &Letter{From: mail.Address{Local: "postmaster", Domain: "mx.near.example"}, To: []mail.Address{{Local: "a", Domain: "b.example"}, {Local: "c", Domain: "b.example"}},
		About: "company-y.example", Submitter: "mx.near.example", Host: "mx.near.example", Date: r.End, Report: r, Packed: packed, Note: "3 more sessions."}
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\r\n"), "\r\n") {
		if len(line) > 140 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("the line %q", line)
		}
	}
	m := message.Parse(b.Bytes())
	if m.Subject != "Report Domain: company-y.example Submitter: mx.near.example Report-ID: <4f5a6b@mx.near.example>" || m.MessageID != "4f5a6b@mx.near.example" ||
		m.Root.Subtype != "report" || m.Root.Param("report-type") != "tlsrpt" || len(m.Root.Children) != 2 {
		t.Errorf("subject %q, number %q, %+v", m.Subject, m.MessageID, m.Root)
	}
	for _, field := range []string{"TLS-Report-Domain: company-y.example\r\n", "TLS-Report-Submitter: mx.near.example\r\n", "TLS-Required: No\r\n", "Auto-Submitted: auto-generated\r\n", "3 more sessions.\r\n"} {
		if !strings.Contains(b.String(), field) {
			t.Errorf("%q is not there", field)
		}
	}
	parts := Attachments(m.Root)
	if len(parts) != 1 || parts[0].Subtype != "tlsrpt+gzip" || parts[0].Filename() != "mx.near.example!company-y.example!1459468800!1459555199!4f5a6b.json.gz" {
		t.Fatalf("attachments: %v", parts)
	}
	z, err := gzip.NewReader(message.NewDecoder(bytes.NewReader(b.Bytes()[parts[0].Body:parts[0].End]), parts[0].Encoding))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(z)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, r)
	}
}

func TestAttachments(t *testing.T) {
	body := func(kind, head string) string {
		return "Content-Type: multipart/" + kind + "; boundary=b\r\n\r\n" + head + "--b--\r\n"
	}
	for _, c := range []struct{ text, want string }{
		{"Content-Type: application/tlsrpt+json\r\n\r\n", "tlsrpt+json"},
		{"Content-Type: application/gzip; name=a!b!1!2.json.gz\r\n\r\n", "gzip"},
		{"Content-Type: application/gzip; name=a!b!1!2.xml.gz\r\n\r\n", ""},
		{body("report; report-type=TLSRPT", "--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/gzip\r\n\r\n--b\r\nContent-Type: application/tlsrpt+gzip\r\n\r\n"), "tlsrpt+gzip gzip"},
		{body("report; report-type=delivery-status", "--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/gzip\r\n\r\n"), ""},
		{body("mixed", strings.Repeat("--b\r\nContent-Type: application/tlsrpt+gzip\r\n\r\n", 9)), "tlsrpt+gzip tlsrpt+gzip tlsrpt+gzip tlsrpt+gzip"},
	} {
		var got []string
		for _, p := range Attachments(message.Parse([]byte(c.text)).Root) {
			got = append(got, p.Subtype)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %v", c.text, got)
		}
	}
}

// TestClean: what strangers say of themselves is told in bounds.
func TestClean(t *testing.T) {
	long := strings.Repeat("x", 2*MaxText)
	o := Observation{Policy: Policy{Type: STS, Domain: "a.example", Strings: []string{"version: STSv1", long, long}, MXHosts: []string{"*.a.example"}},
		Failure: &Failure{Result: ValidationFailure, ReceivingIP: netip.MustParseAddr("::ffff:192.0.2.1"), HELO: "bad\x00\nname", ReasonCode: "x509", Detail: long}}
	c := o.Clean(MaxText + 40)
	if len(c.Policy.Strings) != 2 || len(c.Policy.Strings[1]) != MaxText || len(c.Policy.MXHosts) != 1 || c.Failure.HELO != "bad  name" ||
		len(c.Failure.ReasonCode) != MaxText || !strings.HasPrefix(c.Failure.ReasonCode, "x509: xxx") || c.Failure.Detail != "" || !c.Failure.ReceivingIP.Is4() {
		t.Errorf("%+v %+v", c.Policy, c.Failure)
	}
	if o.Failure.HELO != "bad\x00\nname" || len(o.Policy.Strings) != 3 {
		t.Error("what was given is changed")
	}
	if c := o.Clean(5); len(c.Policy.MXHosts)+len(c.Policy.Strings) != 0 {
		t.Errorf("%+v", c.Policy)
	}
}

func TestWords(t *testing.T) {
	for _, p := range []PolicyType{OtherPolicy, TLSA, STS, NoPolicyFound} {
		if ParsePolicyType(p.String()) != p {
			t.Errorf("%v", p)
		}
	}
	if ParsePolicyType("STS") != OtherPolicy || PolicyType(99).String() != "other" {
		t.Error("words that are none")
	}
}
