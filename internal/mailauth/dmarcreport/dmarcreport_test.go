package dmarcreport

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/testkit/linear"
)

// sample is one of RFC 9990 Appendix B, in the form of the RFC's tables.
const sample = `<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
  <version>1.0</version>
  <report_metadata>
    <org_name>Sample Reporter</org_name>
    <email>report_sender@example-reporter.com</email>
    <extra_contact_info>...</extra_contact_info>
    <report_id>3v98abbp8ya9n3va8yr8oa3ya</report_id>
    <date_range><begin>302832000</begin><end>302918399</end></date_range>
    <generator>Example DMARC Aggregate Reporter v1.2</generator>
  </report_metadata>
  <policy_published>
    <domain>example.com</domain><p>quarantine</p><sp>none</sp><np>none</np><testing>n</testing>
    <discovery_method>treewalk</discovery_method>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.123</source_ip><count>123</count>
      <policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><envelope_from>example.com</envelope_from><header_from>example.com</header_from></identifiers>
    <auth_results>
      <dkim><domain>example.com</domain><result>pass</result><selector>abc123</selector></dkim>
      <spf><domain>example.com</domain><result>fail</result></spf>
    </auth_results>
  </record>
</feedback>`

// older is what RFC 7489 Appendix C allows and its users write: no namespace, a
// prefix, several records, reasons, results without a selector, pct.
const older = `<?xml version="1.0" encoding="UTF-8" ?>
<!-- made by hand -->
<d:feedback xmlns:d='http://dmarc.org/dmarc-xml/0.1' note="a > b">
  <d:report_metadata>
    <org_name>A &amp; B</org_name><email>noreply@big.example</email>
    <report_id><![CDATA[<2026.11.22@big.example>]]></report_id>
    <date_range><begin>1795305600</begin><end>1795391999</end></date_range>
    <error>one</error><error>two</error>
  </d:report_metadata>
  <policy_published><domain>Example.ORG.</domain><adkim>r</adkim><aspf>s</aspf><p>reject</p><pct>100</pct><fo/></policy_published>
  <record>
    <row><source_ip>2001:db8::1</source_ip><count> 7 </count>
      <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf>
        <reason><type>forwarded</type><comment>a &lt;list&gt;&#33; &#x65E5;</comment></reason>
        <reason><type>whatever</type></reason></policy_evaluated></row>
    <identifiers><header_from>news.example.org</header_from></identifiers>
    <auth_results><spf><domain>bounce@big.example</domain><scope>helo</scope><result>Pass</result></spf></auth_results>
    <ext:more xmlns:ext="urn:x"><row><count>9999</count></row></ext:more>
  </record>
  <record>
    <row><source_ip>::ffff:192.0.2.9</source_ip><count>1</count>
      <policy_evaluated><disposition>odd</disposition></policy_evaluated></row>
    <identifiers><header_from>not a domain</header_from></identifiers><auth_results/>
  </record>
</d:feedback>
trailing rubbish <`

// read parses and copies the records.
func read(text string) (Report, []Record, error) {
	var all []Record
	r, err := Parse(strings.NewReader(text), func(r *Record) error {
		c := *r
		c.Reasons, c.Signatures = slices.Clone(r.Reasons), slices.Clone(r.Signatures)
		all = append(all, c)
		return nil
	})
	return r, all, err
}

func TestParseSample(t *testing.T) {
	r, records, err := read(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := Report{Organization: "Sample Reporter", Contact: "report_sender@example-reporter.com", Extra: "...", ID: "3v98abbp8ya9n3va8yr8oa3ya",
		Begin: time.Unix(302832000, 0).UTC(), End: time.Unix(302918399, 0).UTC(), Generator: "Example DMARC Aggregate Reporter v1.2",
		Published: Published{Domain: "example.com", P: "quarantine", SP: "none", NP: "none", Testing: "n", Discovery: "treewalk"}}
	if r != want {
		t.Errorf("got %+v", r)
	}
	wantRecords := []Record{{Source: netip.MustParseAddr("192.0.2.123"), Count: 123, Disposition: Pass, DKIM: true, From: "example.com", EnvelopeFrom: "example.com",
		Signatures: []Signature{{Domain: "example.com", Selector: "abc123", Result: "pass"}}, Sender: Sender{Domain: "example.com", Result: "fail"}}}
	if !reflect.DeepEqual(records, wantRecords) {
		t.Errorf("got %+v", records)
	}
}

func TestParseOlder(t *testing.T) {
	r, records, err := read(older)
	if err != nil {
		t.Fatal(err)
	}
	want := Report{Organization: "A & B", Contact: "noreply@big.example", ID: "<2026.11.22@big.example>", Error: "two",
		Begin: time.Unix(1795305600, 0).UTC(), End: time.Unix(1795391999, 0).UTC(),
		Published: Published{Domain: "example.org", P: "reject", DKIM: "r", SPF: "s", Percent: "100"}}
	if r != want {
		t.Errorf("got %+v", r)
	}
	wantRecords := []Record{
		{Source: netip.MustParseAddr("2001:db8::1"), Count: 7, Disposition: None, From: "news.example.org", Sender: Sender{Domain: "big.example", Result: "pass"},
			Reasons: []Reason{{Type: "forwarded", Comment: "a <list>! 日"}, {Type: "other"}}},
		{Source: netip.MustParseAddr("192.0.2.9"), Count: 1, From: "example.org"},
	}
	for i := range records {
		if len(records[i].Signatures) == 0 {
			records[i].Signatures = nil
		}
		if len(records[i].Reasons) == 0 {
			records[i].Reasons = nil
		}
	}
	if !reflect.DeepEqual(records, wantRecords) {
		t.Errorf("got  %+v\nwant %+v", records, wantRecords)
	}
}

// TestParseFaults: each change of the sample makes it no report, for this reason.
func TestParseFaults(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"<org_name>Sample Reporter</org_name>", "", "the report has no org_name"},
		{"3v98abbp8ya9n3va8yr8oa3ya", "", "the report has no report_id"},
		{"3v98abbp8ya9n3va8yr8oa3ya", strings.Repeat("x", MaxText+1), "/feedback/report_metadata/report_id is over 1024 octets"},
		{"302918399", "302831999", "the report's period ends before it begins"},
		{"302918399", "soon", `"soon" is no number that a report has`},
		{"<domain>example.com</domain><p>", "<domain>[192.0.2.1</domain><p>", "the report has no the domain of policy_published"},
		{"<count>123</count>", "", "record 1 has no source or no count"},
		{"<count>123</count>", "<count>-1</count>", `"-1" is no number that a report has`},
		{"<count>123</count>", "<count>1099511627777</count>", `"1099511627777" is no number that a report has`},
		{"192.0.2.123", "localhost", `"localhost" is no address`},
		{"</feedback>", "", "the document ends in the middle"},
		{"</row>", "</rows>", `the element "row" ends as "rows"`},
		{"<feedback", `<!DOCTYPE lolz [<!ENTITY lol "lol">]><feedback`, "the document has a document type or another declaration, which no report has"},
		{"Sample Reporter", "&lol;", "the document has an entity that XML does not"},
		{"Sample Reporter", "a & b", "an entity has no end"},
		{"Sample Reporter", "&#0;", "the document has an entity that XML does not"},
		{"Sample Reporter", "&#xD800;", "the document has an entity that XML does not"},
		{"Sample Reporter", strings.Repeat("<a>", MaxDepth), "elements stand more than 32 deep"},
		{"<version>", `<version x="` + strings.Repeat("y", MaxTag) + `">`, "a tag is over 4096 octets"},
		{"<feedback", "<rss><feedback", `the document is no report: its first element is "rss"`},
		{"<feedback", "hello <feedback", "there is text before the first element"},
		{sample, "hello", "there is text before the first element"},
		{sample, "", "the document has no element"},
		{sample, "</feedback>", "an element ends that did not begin"},
		{sample, "<!-- nothing", "the document ends in the middle"},
		{sample, "< >", "an element has no name"},
	} {
		if !strings.Contains(sample, c.old) {
			t.Fatalf("%q is not in the sample", c.old)
		}
		_, _, err := read(strings.Replace(sample, c.old, c.new, 1))
		if err == nil || err.Error() != c.want {
			t.Errorf("%.40q for %.40q: got %v, want %s", c.new, c.old, err, c.want)
		}
		if k := mail.KindOf(err); k != mail.Invalid && k != mail.TooLarge {
			t.Errorf("%.40q for %.40q: kind %v", c.new, c.old, k)
		}
	}
}

// TestTextsForPeopleAreCut: they are no reason to lose a report.
func TestTextsForPeopleAreCut(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 40<<10), strings.Repeat("&amp;", 40<<10), strings.Repeat("é", 40<<10), "a\nb\x00\x7f\xff" + strings.Repeat(" ", MaxText)} {
		r, _, err := read(strings.Replace(sample, "Sample Reporter", text, 1))
		if err != nil || r.Organization == "" || len(r.Organization) > MaxText+4 || strings.ContainsAny(r.Organization, "\n\x00\x7f") {
			t.Errorf("%.20q: %q, %v", text, r.Organization, err)
		}
	}
}

func TestManySignaturesAndReasons(t *testing.T) {
	text := strings.Replace(sample, "<spf><domain>", strings.Repeat("<dkim><domain>x.example</domain></dkim>", 1000)+"<spf><domain>", 1)
	text = strings.Replace(text, "<spf>fail</spf>", "<spf>fail</spf>"+strings.Repeat("<reason><type>other</type></reason>", 1000), 1)
	_, records, err := read(text)
	if err != nil || len(records[0].Signatures) != MaxSignatures || len(records[0].Reasons) != MaxReasons {
		t.Fatal(err, len(records[0].Signatures), len(records[0].Reasons))
	}
}

// many is a document with n records.
func many(n int) string {
	before, rest, _ := strings.Cut(sample, "<record>")
	record, after, _ := strings.Cut(rest, "</record>")
	return before + strings.Repeat("<record>"+record+"</record>", n) + after
}

// hostile are documents that stay within the limits and are as costly as they can be.
func hostile(octets int) map[string]string {
	head := "<feedback><x>"
	fill := func(piece string) string { return head + strings.Repeat(piece, octets/len(piece)) }
	return map[string]string{
		"elements":   fill("<a/>"),
		"comments":   fill("<!---->"),
		"one more":   head + "<!--" + strings.Repeat("-", octets),
		"entities":   fill("&amp;"),
		"text":       fill("text "),
		"cdata":      fill("<![CDATA[]]]]>"),
		"tags":       fill("<a " + strings.Repeat("b='>' ", 600) + "/>"),
		"declared":   head + "<?" + strings.Repeat("?", octets),
		"many rows":  many(octets / len(sample)),
		"reasons":    "<feedback><record><row><policy_evaluated>" + strings.Repeat("<reason/>", octets/9),
		"signatures": "<feedback><record><auth_results>" + strings.Repeat("<dkim/>", octets/7),
	}
}

func TestHostileIsLinear(t *testing.T) {
	for name := range hostile(1) {
		t.Run(name, func(t *testing.T) {
			linear.Check(t, 256<<10, func(size int) func() {
				text := hostile(size)[name]
				return func() { _, _ = Parse(strings.NewReader(text), func(*Record) error { return nil }) }
			})
		})
	}
}

// TestMemory: a document is never in memory as a whole.
func TestMemory(t *testing.T) {
	text := many(20_000) // 16 MiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(strings.NewReader(text), func(*Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(text)) {
		t.Errorf("%d octets for a document of %d", n, len(text))
	}
}

func TestTooLarge(t *testing.T) {
	bomb := io.MultiReader(strings.NewReader("<feedback>"), zeros{' '})
	if _, err := Parse(bomb, nil); mail.KindOf(err) != mail.TooLarge {
		t.Error(err)
	}
	if _, err := Parse(io.MultiReader(strings.NewReader("<feedback>"), strings.NewReader(strings.Repeat("<record></record>", 1)), zeros{'x'}),
		nil); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
}

func TestTooManyElements(t *testing.T) {
	_, err := Parse(strings.NewReader("<feedback>"+strings.Repeat("<a/>", MaxElements)), nil)
	if err == nil || err.Error() != "there are more than 4194304 elements" {
		t.Error(err)
	}
}

// zeros is without end.
type zeros struct{ b byte }

func (z zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = z.b
	}
	return len(p), nil
}

func zipped(t *testing.T, text string, method uint16) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "report.xml", Method: method})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	stored := zipped(t, sample, zip.Store)
	// As programs write it that know the size before: no descriptor behind the file.
	stored[6] &^= 8
	binary.LittleEndian.PutUint32(stored[18:], uint32(len(sample)))
	for name, octets := range map[string][]byte{"gzip": gzipped(sample), "zip": zipped(t, sample, zip.Deflate), "stored": stored,
		"plain": []byte(sample), "with a mark": []byte("\ufeff" + sample), "rubbish behind": append(gzipped(sample), "rubbish"...)} {
		r, err := Unpack(bytes.NewReader(octets))
		if err == nil {
			_, err = Parse(r, func(*Record) error { return nil })
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnpackFaults(t *testing.T) {
	locked := zipped(t, sample, zip.Deflate)
	locked[6] |= 1
	strange := zipped(t, sample, zip.Deflate)
	strange[8] = 12
	broken := gzipped(sample)
	broken[30] ^= 0xff
	for _, c := range []struct {
		octets []byte
		want   string
	}{
		{nil, "the attachment is empty"},
		{[]byte{0x1f, 0x8b, 0, 0}, "the gzip file is damaged"},
		{gzipped(sample)[:200], "the gzip file is damaged"},
		{broken, "the gzip file is damaged"},
		{locked, "the zip file is encrypted"},
		{strange, "the zip file is packed in a way that reports are not"},
		{locked[:20], "the zip file is cut short"},
		{locked[:35], "the zip file is cut short"},
		{zipped(t, sample, zip.Store), "the zip file is packed in a way that reports are not"},
		{[]byte("%PDF-1.4"), "there is text before the first element"},
	} {
		r, err := Unpack(bytes.NewReader(c.octets))
		if err == nil {
			_, err = Parse(r, func(*Record) error { return nil })
		}
		if err == nil || err.Error() != c.want || mail.KindOf(err) != mail.Invalid {
			t.Errorf("%.10q: got %v, want %s", c.octets, err, c.want)
		}
	}
}

// TestBombs: archives that unpack to more than a document may have cost no more than
// one of the largest.
func TestBombs(t *testing.T) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = io.WriteString(z, "<feedback>")
	for range 200 {
		_, _ = z.Write(bytes.Repeat([]byte{' '}, 1<<20))
	}
	_ = z.Close()
	r, err := Unpack(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(r, nil); mail.KindOf(err) != mail.TooLarge {
		t.Error(err)
	}
}

// letter is a whole report as we send it.
func letter() (*Letter, []Record) {
	return &Letter{From: mail.Address{Local: "postmaster", Domain: "mx.yubin.test"},
			To:       []mail.Address{{Local: "dmarc", Domain: "example.org"}, {Local: "a b", Domain: "watch.example"}},
			Receiver: "mx.yubin.test", Date: time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC),
			Report: Report{Organization: "Yubin & <Co>", Contact: "postmaster@mx.yubin.test", ID: "4F5A6B", Begin: time.Unix(1795305600, 0).UTC(),
				End: time.Unix(1795391999, 0).UTC(), Generator: "yubin 1", Published: Published{Domain: "example.org", P: "reject", SP: "none", NP: "reject",
					DKIM: "r", SPF: "s", FailureReports: "1", Testing: "y", Discovery: "treewalk"}}},
		[]Record{{Source: netip.MustParseAddr("2001:db8::7"), Count: 3, Disposition: None, SPF: true, From: "a.example.org", EnvelopeTo: "yubin.test",
			Reasons:    []Reason{{Type: "local_policy", Comment: "a list, \"really\"\ufffd"}},
			Signatures: []Signature{{Domain: "x.example", Selector: "s1", Result: "fail", Human: "the body's hash differs"}},
			Sender:     Sender{Domain: "example.org", Result: "pass"}},
			{Source: netip.MustParseAddr("192.0.2.1"), Count: 1 << 40, Disposition: Reject, From: "example.org", EnvelopeFrom: "evil.example"}}
}

// TestLetter: what is written is read again, by the reader of messages and by Parse.
func TestLetter(t *testing.T) {
	l, records := letter()
	var b bytes.Buffer
	if err := l.Write(&b, slices.Values(records)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\r\n"), "\r\n") {
		if len(line) > 140 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("the line %q", line)
		}
	}
	m := message.Parse(b.Bytes())
	if m.Subject != "Report Domain: example.org Submitter: mx.yubin.test Report-ID: 4F5A6B" || m.MessageID != "4F5A6B@mx.yubin.test" {
		t.Errorf("subject %q, number %q", m.Subject, m.MessageID)
	}
	parts := Attachments(m.Root)
	if len(parts) != 1 || parts[0].Filename() != "mx.yubin.test!example.org!1795305600!1795391999!4F5A6B.xml.gz" {
		t.Fatalf("attachments: %v", parts)
	}
	p := parts[0]
	u, err := Unpack(message.NewDecoder(bytes.NewReader(b.Bytes()[p.Body:p.End]), p.Encoding))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(u)
	if err != nil {
		t.Fatal(err)
	}
	r, got, err := read(string(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if r != l.Report {
		t.Errorf("got  %+v\nwant %+v", r, l.Report)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", records) {
		t.Errorf("got  %+v\nwant %+v", got, records)
	}
}

func TestAttachments(t *testing.T) {
	body := func(head string) string {
		return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + head + "--b--\r\n"
	}
	for _, c := range []struct{ text, want string }{
		{"Content-Type: application/zip; name=x\r\n\r\n", "zip"},
		{"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=A.XML.GZ\r\n\r\n", "octet-stream"},
		{"Content-Type: text/plain\r\n\r\n<feedback/>", ""},
		{body("--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/octet-stream; name=a.xml\r\n\r\n--b\r\nContent-Type: application/gzip\r\n\r\n"), "gzip octet-stream"},
		{body(strings.Repeat("--b\r\nContent-Type: text/xml\r\n\r\n", 9)), "xml xml xml xml"},
	} {
		var got []string
		for _, p := range Attachments(message.Parse([]byte(c.text)).Root) {
			got = append(got, p.Subtype)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %v", c.text, got)
		}
	}
	if !IsFailureReport(message.Parse([]byte("Content-Type: multipart/report; report-type=\"Feedback-Report\"; boundary=b\r\n\r\n--b\r\n\r\n--b--")).Root) ||
		IsFailureReport(message.Parse([]byte("Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n")).Root) {
		t.Error("failure reports are not recognised")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(older)
	for _, text := range hostile(2000) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, records, err := read(text)
		if err != nil {
			if k := mail.KindOf(err); k != mail.Invalid && k != mail.TooLarge {
				t.Fatalf("kind %v: %v", k, err)
			}
			return
		}
		// What was read can be written, and then reads as it was.
		var b strings.Builder
		if err := Write(&b, r, slices.Values(records)); err != nil {
			t.Fatal(err)
		}
		again, same, err := read(b.String())
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		r.Published.Percent = ""
		for i := range records { // A result of SPF that is not said is not written.
			if records[i].Sender.Result == "" {
				records[i].Sender = Sender{}
			}
		}
		if again != r || fmt.Sprint(same) != fmt.Sprint(records) {
			t.Fatalf("%+v %+v\nbecame\n%+v %+v", r, records, again, same)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(gzipped(sample))
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, octets []byte) {
		r, err := Unpack(bytes.NewReader(octets))
		if err == nil {
			_, err = Parse(r, func(*Record) error { return nil })
		}
		if err != nil && mail.KindOf(err) != mail.Invalid && mail.KindOf(err) != mail.TooLarge {
			t.Fatal(err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, text := range hostile(8 << 20) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for range b.N {
				_, _ = Parse(strings.NewReader(text), func(*Record) error { return nil })
			}
		})
	}
}
