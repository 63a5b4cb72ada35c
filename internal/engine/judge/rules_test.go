package judge

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/dnslist"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
)

// letter is a message with other fields than usual and another body.
func letter(fields, body string) string {
	const usual = "From: Ann <ann@a.test>\nTo: bea@here.test\nDate: Mon, 30 Nov 2026 11:59:00 +0000\nMessage-ID: <1@a.test>\nSubject: lunch\nMIME-Version: 1.0\n"
	all := fields
	for line := range strings.Lines(usual) {
		name, _, _ := strings.Cut(line, ":")
		if !regexp.MustCompile(`(?im)^-?` + name + `:`).MatchString(fields) {
			all += line
		}
	}
	all = regexp.MustCompile(`(?m)^-.*\n`).ReplaceAllString(all, "") // "-Date:" is no Date field.
	return all + "\n" + body
}

// html is a message in HTML, with its text.
func html(s string) string {
	return letter("Content-Type: multipart/alternative; boundary=b\n", "--b\n\nthe same as text\n--b\nContent-Type: text/html; charset=utf-8\n\n"+s+"\n--b--\n")
}

// attached is a message with a file.
func attached(name, octets string) string {
	return letter("Content-Type: multipart/mixed; boundary=b\n", "--b\n\nsee there\n--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=\""+name+
		"\"\nContent-Transfer-Encoding: base64\n\n"+base64.StdEncoding.EncodeToString([]byte(octets))+"\n--b--\n")
}

// zipped is an archive with empty files.
func zipped(names ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		if _, err := w.Create(n); err != nil {
			panic(err)
		}
	}
	_ = w.Close()
	return b.String()
}

const windows = "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00PE\x00\x00L\x01"

// come changes the facts of a message: how it came.
type come func(*Facts)

func hello(s string) come {
	return func(f *Facts) { f.Client.Hello = s }
}

// TestRules: each rule holds for what it is about, and not for what only looks like it.
func TestRules(t *testing.T) {
	signed := func(names ...string) come {
		return func(f *Facts) {
			f.Authenticated = "a.test"
			f.DKIM = []dkim.Verdict{{Result: dkim.Pass, Signature: &dkim.Signature{Domain: "a.test", Names: names}}}
		}
	}
	const oneClick = "List-Unsubscribe: <https://a.test/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
	type way struct {
		text string
		come come
	}
	plain := letter("", "At noon?\n")
	cases := map[string]struct{ yes, no []way }{
		"from-missing": {[]way{{letter("-From:\n", ""), nil}}, []way{{plain, nil}}},
		"from-twice":   {[]way{{letter("From: a@a.test\nFrom: b@b.test\n", ""), nil}}, []way{{plain, nil}}},
		"from-broken":  {[]way{{letter("From: a@a.test b@b.test\n", ""), nil}}, []way{{letter("From: A <a@a.test>, b@b.test\nSender: a@a.test\n", ""), nil}}},
		"name-shows-address": {[]way{{letter("From: \"service@bank.test\" <x@a.test>\n", ""), nil}, {letter("From: =?utf-8?q?service=40bank=2Etest?= <x@a.test>\n", ""), nil}},
			[]way{{letter("From: \"x@mail.a.test\" <x@a.test>\n", ""), nil}, {letter("From: \"ann@b.test via list\" <x@a.test>\nList-Id: <l.a.test>\n", ""), nil}, {letter("From: Ann @ work <x@a.test>\n", ""), nil}}},
		"reply-elsewhere":         {[]way{{letter("Reply-To: x@b.test\n", ""), nil}}, []way{{letter("Reply-To: x@m.a.test\n", ""), nil}, {letter("Reply-To: x@b.test\nList-Id: <l.b.test>\n", ""), nil}, {letter("Reply-To:\n", ""), nil}}},
		"domain-like-ours":        {[]way{{letter("From: x@mailb0x.test\n", ""), nil}, {letter("From: x@mailbox.test.evil.test\n", ""), nil}}, []way{{letter("From: x@b.mailbox.test\n", ""), nil}, {plain, nil}}},
		"domain-deceptive":        {[]way{{letter("From: x@xn--pypal-4ve.test\n", ""), nil}}, []way{{letter("From: x@xn--mnchen-3ya.test\n", ""), nil}}},
		"backscatter":             {[]way{{plain, func(f *Facts) { f.Returned = ReturnedForeign }}}, []way{{plain, func(f *Facts) { f.Returned = ReturnedOurs }}}},
		"reverse-missing":         {[]way{{plain, func(f *Facts) { f.Reverse = ReverseMissing }}}, []way{{plain, func(f *Facts) { f.Reverse = ReversePass }}, {plain, nil}}},
		"reverse-fail":            {[]way{{plain, func(f *Facts) { f.Reverse = ReverseFail }}}, []way{{plain, nil}}},
		"helo-ours":               {[]way{{plain, hello("MX.here.test")}}, []way{{plain, hello("mx.a.test")}}},
		"helo-address":            {[]way{{plain, hello("192.0.2.1")}, {plain, hello("[198.51.100.1]")}, {plain, hello("[IPv6:2001:db8::1]")}}, []way{{plain, hello("[192.0.2.1]")}, {plain, hello("[10.1.2.3]")}, {plain, hello("mx.a.test")}, {plain, hello("[nonsense]")}}},
		"helo-short":              {[]way{{plain, hello("localhost")}, {plain, hello("")}, {plain, hello("a b.test")}}, []way{{plain, hello("mx.a.test.")}, {plain, hello("[192.0.2.1]")}, {plain, hello("192.0.2.1")}}},
		"date-missing":            {[]way{{letter("-Date:\n", ""), nil}, {letter("Date: soon\n", ""), nil}}, []way{{plain, nil}}},
		"date-ahead":              {[]way{{letter("Date: Mon, 7 Dec 2026 11:59:00 +0000\n", ""), nil}}, []way{{letter("Date: Tue, 1 Dec 2026 11:59:00 +0000\n", ""), nil}, {letter("-Date:\n", ""), nil}}},
		"date-behind":             {[]way{{letter("Date: Mon, 7 Dec 2020 11:59:00 +0000\n", ""), nil}}, []way{{letter("Date: Thu, 26 Nov 2026 11:59:00 +0000\n", ""), nil}, {letter("-Date:\n", ""), nil}}},
		"message-id-missing":      {[]way{{letter("-Message-ID:\n", ""), nil}}, []way{{plain, nil}}},
		"header-undecoded":        {[]way{{letter("Subject: gr\xfc\xdfe\n", ""), nil}}, []way{{letter("Subject: grüße\n", ""), nil}, {letter("Subject: =?iso-8859-1?q?gr=FC=DFe?=\n", ""), nil}}},
		"subject-garbled":         {[]way{{letter("Subject: =?utf-8?q?gr=FC=DFe?=\n", ""), nil}, {letter("Subject: =?utf-8?x?abc?=\n", ""), nil}}, []way{{letter("Subject: grüße =?\n", ""), nil}}},
		"subject-shouting":        {[]way{{letter("Subject: ACT NOW, IT IS FREE\n", ""), nil}}, []way{{letter("Subject: RE: FYI\n", ""), nil}, {letter("Subject: NASA LAUNCHES Artemis\n", ""), nil}, {letter("Subject: 会議のお知らせ。明日の午後\n", ""), nil}}},
		"words-mixed":             {[]way{{letter("Content-Type: text/plain; charset=utf-8\n", "your раssword\n"), nil}}, []way{{letter("Content-Type: text/plain; charset=utf-8\n", "пароль password 5 µm\n"), nil}}},
		"words-cut":               {[]way{{letter("Content-Type: text/plain; charset=utf-8\n", strings.Repeat("vi\u200bagra ", 5)), nil}}, []way{{letter("Content-Type: text/plain; charset=utf-8\n", strings.Repeat("\u200b\u034f ", 200)), nil}, {letter("Content-Type: text/plain; charset=utf-8\n", strings.Repeat("sil\u00adben ", 50)), nil}, {letter("Content-Type: text/plain; charset=utf-8\n", strings.Repeat("می\u200cخواهم ", 50)), nil}}},
		"text-hidden":             {[]way{{html("<p>buy</p><p style=\"display:none\">" + strings.Repeat("innocent words ", 60) + "</p>"), nil}}, []way{{html("<p style=\"display:none\">what the list of messages shows</p><p>" + strings.Repeat("text ", 100) + "</p>"), nil}}},
		"image-for-text":          {[]way{{letter("Content-Type: text/html\n", "<img src=\"http://x.test/a.png\"><p>buy</p>"), nil}}, []way{{letter("Content-Type: text/html\n", "<img src=\"http://x.test/a.png\"><p>"+strings.Repeat("text ", 30)), nil}, {letter("", "short\n"), nil}}},
		"html-alone":              {[]way{{letter("Content-Type: text/html\n", "<p>hello</p>"), nil}}, []way{{html("<p>hello</p>"), nil}, {plain, nil}}},
		"html-form":               {[]way{{html("<form action=\"http://x.test\"><input name=pin></form>"), nil}}, []way{{html("<p>form</p>"), nil}}},
		"html-script":             {[]way{{html("<script>run()</script>"), nil}}, []way{{html("<p>script</p>"), nil}}},
		"link-elsewhere":          {[]way{{html("<a href=\"http://evil.test/bank\">www.bank.test</a>"), nil}}, []way{{html("<a href=\"http://click.bank.test/x\">www.bank.test</a> <a href=\"http://x.test\">here</a>"), nil}, {html("<a href=\"http://a.test/click\">www.bank.test</a>"), signed()}}},
		"link-address":            {[]way{{letter("", "http://198.51.100.9/x\n"), nil}, {html("<a href=\"http://3325256713/\">x</a>"), nil}}, []way{{letter("", "http://192.168.1.1/setup or http://a.test/1.2.3.4\n"), nil}}},
		"link-user":               {[]way{{letter("", "http://www.bank.test@evil.test/\n"), nil}}, []way{{letter("", "ann@a.test http://a.test/@ann mailto:x@y.test ftp://u@a.test\n"), nil}}},
		"link-deceptive":          {[]way{{letter("", "http://xn--pypal-4ve.test/\n"), nil}}, []way{{letter("", "http://xn--mnchen-3ya.test/\n"), nil}}},
		"attached-program":        {[]way{{attached("a.exe", "x"), nil}, {attached("a.bin", windows), nil}, {attached("a.PIF .", "x"), nil}, {attached("a.pdf.js", "x"), nil}}, []way{{attached("a.pdf", "%PDF-1.4"), nil}, {attached("exe", "x"), nil}}},
		"attached-packed-program": {[]way{{attached("a.zip", zipped("x/readme.txt", "x/b.scr")), nil}}, []way{{attached("a.zip", zipped("a.txt", "b.pdf")), nil}}},
		"attached-two-names":      {[]way{{attached("bill.pdf.exe", "x"), nil}, {attached("a.zip", zipped("bill.pdf    .vbs")), nil}}, []way{{attached("a.tar.gz", "x"), nil}, {attached("setup.exe", "x"), nil}}},
		"attached-disguised":      {[]way{{attached("bill.pdf", windows), nil}}, []way{{attached("a.exe", windows), nil}, {attached("bill.pdf", "%PDF-1.4"), nil}}},
		"attached-macros":         {[]way{{attached("a.docm", zipped("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin")), nil}}, []way{{attached("a.docx", zipped("[Content_Types].xml", "word/document.xml")), nil}}},
		"attached-locked":         {[]way{{attached("a.zip", locked(zipped("a.txt"))), nil}}, []way{{attached("a.zip", zipped("a.txt")), nil}}},
		"attached-page":           {[]way{{attached("bill.html", "<p>x</p>"), nil}}, []way{{html("<p>x</p>"), nil}}},
		"unsubscribe-signed":      {[]way{{letter(oneClick, ""), signed("from", "list-unsubscribe", "list-unsubscribe-post")}}, []way{{letter(oneClick, ""), signed("from")}, {letter(oneClick, ""), nil}, {plain, signed("list-unsubscribe", "list-unsubscribe-post")}}},
	}
	for _, r := range rules() {
		c, ok := cases[r.name]
		if !ok || len(c.yes) == 0 || len(c.no) == 0 {
			t.Errorf("%s has no case", r.name)
		}
		for i, w := range append(c.yes, c.no...) {
			f := came(w.text)
			if w.come != nil {
				w.come(f)
			}
			seen := r.find(f)
			if (seen != "") != (i < len(c.yes)) {
				t.Errorf("%s, case %d: %q\n%s", r.name, i, seen, w.text)
			}
			if seen != printable(seen) && len(seen) <= 120 || strings.HasSuffix(seen, ".") {
				t.Errorf("%s says %q", r.name, seen)
			}
		}
		delete(cases, r.name)
	}
	for name := range cases {
		t.Errorf("there is no rule %s", name)
	}
	if f := came(plain); len(applyRules(f)) > 0 {
		t.Errorf("of an ordinary message: %+v", applyRules(f))
	}
}

// locked says in an archive that its file is encrypted.
func locked(archive string) string {
	b := []byte(archive)
	for _, at := range []struct {
		sign string
		flag int
	}{{"PK\x03\x04", 6}, {"PK\x01\x02", 8}} {
		if i := bytes.Index(b, []byte(at.sign)); i >= 0 {
			b[i+at.flag] |= 1
		}
	}
	return string(b)
}

// came are the facts of a message that came at noon of 30 November 2026 from
// 192.0.2.1, to domains of ours.
func came(text string) *Facts {
	f := corpusFacts(text)
	f.Now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	f.Hostname, f.Recipients = "mx.here.test", []mail.Address{{Local: "bea", Domain: "here.test"}, {Local: "bea", Domain: "mailbox.test"}}
	f.Client = Client{Remote: netip.MustParseAddr("192.0.2.1"), Hello: "mx.a.test"}
	return f
}

// TestTable: names are stable words, no rule decides alone, and the documentation has
// the table as it is.
func TestTable(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	var want strings.Builder
	for _, r := range Rules() {
		if names[r.Name] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.Name) {
			t.Errorf("the name %q", r.Name)
		}
		names[r.Name] = true
		if math.Abs(r.Weight) >= DefaultJunk || r.Weight == 0 || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("%+v", r)
		}
		fmt.Fprintf(&want, "| `%s` | %+.1f | %s |\n", r.Name, r.Weight, r.Text)
	}
	if !bytes.Contains(doc, []byte(want.String())) {
		t.Errorf("docs/rules.md lacks the table as it is:\n%s", &want)
	}
}

// TestListed: a list is one reason, whatever it has of a message.
func TestListed(t *testing.T) {
	client := dnslist.Subject{About: dnslist.Client, Addr: netip.MustParseAddr("192.0.2.1")}
	link := func(d mail.Domain) dnslist.Subject { return dnslist.Subject{About: dnslist.Link, Domain: d} }
	f := came(letter("", ""))
	f.Lists = []dnslist.Finding{{List: "bl", Subject: client, Weight: 3, Meaning: "sends junk"}, {List: "dbl", Subject: link("x.test"), Weight: 1, Meaning: "odd"},
		{List: "dbl", Subject: link("y.test"), Weight: 2, Meaning: "bad\r\nname"}, {List: "dbl", Subject: link("z.test"), Weight: 2, Meaning: "bad"}}
	got := ""
	for _, r := range applyRules(f) {
		got += fmt.Sprintf("%s %+g %s\n", r.Name, r.Weight, r.Text)
	}
	if want := "list-bl +3 the list bl has the client 192.0.2.1: sends junk\nlist-dbl +2 the list dbl has the link y.test: bad??name\n"; got != want {
		t.Errorf("got %s", got)
	}
}

// FuzzRules: whatever a message says, no rule brings the judge down, and what they say is one
// line.
func FuzzRules(f *testing.F) {
	f.Add(letter("", "x"), "mx.a.test")
	f.Add(html("<a href=\"http://\xff\">www.bank.test</a>"), "[IPv6:::]")
	f.Add(attached("bill.pdf.exe", windows), "\x00")
	f.Fuzz(func(t *testing.T, text, hello string) {
		facts := came(text)
		facts.Client.Hello = hello
		for _, r := range applyRules(facts) {
			if strings.ContainsAny(r.Text, "\r\n\x00") {
				t.Fatalf("%+v", r)
			}
		}
	})
}
