package extract

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/message"
	"yubin/internal/testkit/linear"
)

func read(s string) *Content {
	return Read(strings.NewReader(s), message.Parse([]byte(s)).Root)
}

// page64 is a message of one HTML part.
func htmlMail(doc string) string {
	return "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + doc
}

func TestText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Subject: a\r\n\r\nHello\r\nthere", "Hello\r\nthere\n"},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nCaf=E9=\r\n!", "Café!\n"},
		{"base64 of shift_jis", "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n" +
			base64.StdEncoding.EncodeToString([]byte("\x97\x58\x95\xd6")), "郵便\n"},
		{"html", htmlMail("<p>One <b>two</b>\r\n three<p>four&amp;<br>five<script>x()</script><style>a{}</style>"), "One two three\nfour&\nfive\n"},
		{"html words that tags cut", htmlMail("Vi<b></b>ag<!-- x -->ra"), "Viagra\n"},
		{"hidden by style", htmlMail(`a<div style="DISPLAY : none">b<div>c</div>d</div>e`), "a\ne\n"},
		{"hidden by colour", htmlMail(`<body bgcolor=white>a <font color="#FFF">b</font>c<table bgcolor=#000000><tr><td><font color=white>d`), "a c\nd\n"},
		{"a size below one is none", htmlMail(`<span style="font-size:0.9em">a</span><span style="font-size:0px">b</span>`), "a\n"},
		{"a hidden paragraph ends at the next", htmlMail(`<p hidden>a<p>b`), "b\n"},
		{"both alternatives", "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\n" +
			"Content-Type: text/html\r\n\r\n<b>two</b>\r\n--x--\r\n", "one\ntwo\n"},
		{"a message within", "Content-Type: message/rfc822\r\n\r\nSubject: b\r\n\r\ninside", "inside\n"},
		{"octets of no charset", "\r\ncaf\xe9", "café\n"},
		{"nothing", "", ""},
	} {
		if got := read(c.in).Text; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []Link
	}{
		{"in text", "\r\nSee http://Example.com/a?b=c. (www.b.example) nohttp://x",
			[]Link{
				{URL: "http://Example.com/a?b=c", Scheme: "http", Host: "example.com"},
				{URL: "www.b.example", Scheme: "http", Host: "www.b.example"},
				{URL: "http://x", Scheme: "http", Host: "x"},
			}},
		{"an anchor that shows another host", htmlMail(`<a href="https://evil.example:8080/x">www.<b>bank</b>.example</a>`),
			[]Link{{URL: "https://evil.example:8080/x", Kind: Anchor, Scheme: "https", Host: "evil.example", Shown: "www.bank.example", ShownHost: "www.bank.example"}}},
		{"an address as one number, behind a user", htmlMail(`<a href="http://www.bank.example@2130706433/">here</a>`),
			[]Link{{URL: "http://www.bank.example@2130706433/", Kind: Anchor, Scheme: "http", Host: "127.0.0.1", Address: true, User: true, Shown: "here"}}},
		{"written to be overlooked", htmlMail("<a href=' ht\ntp:\\\\e%76il.example'>x</a>"),
			[]Link{{URL: `http:\\e%76il.example`, Kind: Anchor, Scheme: "http", Host: "evil.example", Shown: "x"}}},
		{"images, forms, frames, places within", htmlMail(`<img src=//i.example/p.gif width=1><form action=http://f.example/><iframe src=http://g.example></iframe><a href=#top>t</a><img src=cid:1>`),
			[]Link{
				{URL: "//i.example/p.gif", Kind: Image, Scheme: "http", Host: "i.example"},
				{URL: "http://f.example/", Kind: Form, Scheme: "http", Host: "f.example"},
				{URL: "http://g.example", Kind: Frame, Scheme: "http", Host: "g.example"},
				{URL: "cid:1", Kind: Image, Scheme: "cid"},
			}},
		{"mail", htmlMail(`<a href="mailto:a@b.example?subject=x">write</a>`),
			[]Link{{URL: "mailto:a@b.example?subject=x", Kind: Anchor, Scheme: "mailto", Host: "b.example", Shown: "write"}}},
		{"files are no hosts", htmlMail(`<a href=http://a.example/>report.pdf</a>`),
			[]Link{{URL: "http://a.example/", Kind: Anchor, Scheme: "http", Host: "a.example", Shown: "report.pdf"}}},
	} {
		got := read(c.in).Links
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestAddress(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "0x7f.1": "127.0.0.1", "0177.0.0.01": "127.0.0.1", "0x7f000001": "127.0.0.1", "127.1": "127.0.0.1",
		"::1": "::1", "256.0.0.1": "", "1.2.3.4.5": "", "1a.example": "", "": "", "0x": "", "1.2.3.": "",
	} {
		if got, _ := address(host); got != want {
			t.Errorf("address(%q) = %q, want %q", host, got, want)
		}
	}
}

// zipOf is a zip archive with files of these names.
func zipOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		f, err := w.Create(n)
		if err == nil {
			_, err = io.WriteString(f, "content of "+n)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParts(t *testing.T) {
	locked := zipOf(t, "a.exe")
	locked[6] |= 1
	large := zipOf(t, "first.txt", "invoice.pdf.exe")
	large = append(append(large[:60:60], make([]byte, 100<<10)...), large...)
	wide := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			b.Write([]byte{s[i], 0})
		}
		return b.String()
	}
	for _, c := range []struct {
		name   string
		octets []byte
		want   Part
	}{
		{"program", []byte("MZ\x90\x00"), Part{Kind: Executable}},
		{"nothing known", []byte("hello"), Part{}},
		{"archive", zipOf(t, "a.txt", "b/c.js"), Part{Kind: Zip, Entries: []string{"a.txt", "b/c.js"}}},
		{"archive with a password", locked, Part{Kind: Zip, Encrypted: true, Entries: []string{"a.exe"}}},
		{"long archive", large, Part{Kind: Zip, Entries: []string{"first.txt", "invoice.pdf.exe"}}},
		{"document with macros", zipOf(t, "word/document.xml", "word/vbaProject.bin"),
			Part{Kind: Zip, Macros: true, Entries: []string{"word/document.xml", "word/vbaProject.bin"}}},
		{"older document with macros", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + wide("_VBA_PROJECT")), Part{Kind: OLE, Macros: true}},
		{"older document with a password", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + wide("EncryptedPackage")), Part{Kind: OLE, Encrypted: true}},
		{"rar 5 with a password", []byte("Rar!\x1a\x07\x01\x00\x00\x00\x00\x00\x00\x04\x00"), Part{Kind: Rar, Encrypted: true}},
		{"rar 4 with a password", []byte("Rar!\x1a\x07\x00\x00\x00\x73\x80\x00\x0d\x00\x00\x00\x00\x00\x00\x00"), Part{Kind: Rar, Encrypted: true}},
		{"rar 4 with a file", []byte("Rar!\x1a\x07\x00\x00\x00\x73\x00\x00\x07\x00\x00\x00\x74\x00\x00\x07\x00"), Part{Kind: Rar}},
		{"pdf with a password", []byte("%PDF-1.7 /Encrypt"), Part{Kind: PDF, Encrypted: true}},
		{"page", []byte("\xef\xbb\xbf \r\n<HTML>"), Part{Kind: Markup}},
	} {
		for _, typ := range []string{"application/octet-stream", "text/plain"} {
			if typ == "text/plain" && bytes.IndexByte(c.octets[:min(512, len(c.octets))], 0) < 0 {
				continue
			}
			in := "MIME-Version: 1.0\r\nContent-Type: " + typ + "\r\nContent-Disposition: attachment; filename=x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines64(c.octets)
			want := c.want
			want.Type, want.Name, want.Attachment, want.Encoding = typ, "x", true, "base64"
			got := read(in).Parts[0]
			want.Size = got.Size
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s as %s (-want +got):\n%s", c.name, typ, d)
			}
		}
	}
}

func lines64(b []byte) string {
	s := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return out.String() + s + "\r\n"
}

func TestHTML(t *testing.T) {
	c := read(htmlMail(`<html><body BGCOLOR="#000000" onload="x()"><!-- note --><font color=RED size=1>hi</font><img src="http://a.example/" width=1>` +
		`<div style="visibility:hidden">secret</div><form><input></form><meta http-equiv=refresh content="0;url=x"><script src=x></script>`))
	want := HTML{
		Parts: 1, Octets: c.HTML.Octets, Text: 2, Hidden: 6, Comments: len("<!-- note -->"), Tags: 9, Images: 1, Remote: 1, Pixels: 1, Forms: 2, Scripts: 2, Frames: 1,
		Markup: []string{"html", "body", "body bgcolor", "body bgcolor=#000000", "body onload", "font", "font color", "font color=red", "font size", "font size=1",
			"img", "img src", "img width", "img width=1", "div", "div style", "form", "input", "meta", "meta http-equiv", "meta content", "script", "script src"},
	}
	if d := cmp.Diff(want, c.HTML); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestHeader(t *testing.T) {
	c := read("From x\r\nSubject: =?utf-8?B?0J/RgNC40LLQtdGC?= a\u200bb\r\nX-One: 1\r\n folded\r\nx-one: \xff\r\n\r\n\u0410\u90f5\u4fbf")
	h := &c.Header
	if !h.Stray || !h.EightBit || h.Count("x-one") != 2 || string(h.Get("x-one")) != "1 folded" || h.Get("none") != nil || h.Fields[1].Given != "X-One" {
		t.Errorf("header %+v", h)
	}
	if c.Subject != "Привет a\u200bb" || c.Invisible != 1 || c.Scripts[Cyrillic] != 7 || c.Scripts[Latin] != 2 || c.Scripts[Han] != 2 {
		t.Errorf("subject %q, %d invisible, scripts %v", c.Subject, c.Invisible, c.Scripts)
	}
}

func TestEndOfLongPart(t *testing.T) {
	long := strings.Repeat("nothing to see here, for 48 octets in each line\n", 10000)
	for encoding, body := range map[string]string{"7bit": long + "the end", "base64": lines64([]byte(long + "the end")),
		"quoted-printable": strings.ReplaceAll(long, "\n", "\r\n") + "the =65nd"} {
		c := read("MIME-Version: 1.0\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body)
		if !strings.Contains(c.Text, "the end\n") || !c.Truncated || len(c.Text) > MaxStart+MaxEnd+2 || strings.Contains(c.Text, "\ufffd") {
			t.Errorf("%s: %d octets, truncated %v, end %q", encoding, len(c.Text), c.Truncated, c.Text[max(0, len(c.Text)-60):])
		}
	}
}

// worst are messages that are made to cost much; n is about their octets.
var worst = map[string]func(n int) string{
	"text":       func(n int) string { return "\r\n" + strings.Repeat("word ", n/5) },
	"links":      func(n int) string { return "\r\n" + strings.Repeat("http://a.b ", n/11) },
	"dots":       func(n int) string { return "\r\n" + strings.Repeat("www.", n/4) },
	"colons":     func(n int) string { return "\r\n" + strings.Repeat("://", n/3) },
	"tags":       func(n int) string { return htmlMail(strings.Repeat("<b>", n/3)) },
	"attributes": func(n int) string { return htmlMail("<b " + strings.Repeat("a=b ", n/4) + ">") },
	"distinct":   func(n int) string { return htmlMail(numbered(n/8, "<a%x b>")) },
	"open tag":   func(n int) string { return htmlMail(strings.Repeat("<a ", n/3)) },
	"comments":   func(n int) string { return htmlMail(strings.Repeat("<!--", n/4)) },
	"textareas":  func(n int) string { return htmlMail(strings.Repeat("<textarea></textare>", n/20)) },
	"shades": func(n int) string {
		return htmlMail(strings.Repeat("<p style='color:#fff;background:red'><td hidden>", n/48))
	},
	"styles": func(n int) string {
		return htmlMail(strings.Repeat("<p style='"+strings.Repeat("color:x;", 300)+"'>", n/2411))
	},
	"anchors":     func(n int) string { return htmlMail(strings.Repeat("<a href=http://x.example/>y", n/28)) },
	"entities":    func(n int) string { return htmlMail(strings.Repeat("&CounterClockwiseContourIntegral;", n/33)) },
	"no entities": func(n int) string { return htmlMail(strings.Repeat("&CounterClockwise", n/17)) },
	"base64 of nothing": func(n int) string {
		return "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("!", n)
	},
	"utf-7": func(n int) string {
		return "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n" + strings.Repeat("+2D3cAA-", n/8)
	},
	"iso-2022-kr": func(n int) string {
		return "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-kr\r\n\r\n" + strings.Repeat("\x0e\x21\x21\x0f", n/4)
	},
	"iso-2022-jp": func(n int) string {
		return "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + strings.Repeat("\x1b$B\x1b(B", n/6)
	},
	"gb18030": func(n int) string {
		return "MIME-Version: 1.0\r\nContent-Type: text/html; charset=gb18030\r\n\r\n" + strings.Repeat("\x81\x30\x81\x30<", n/5)
	},
	"archives": func(n int) string { return parts(n, "application/zip", strings.Repeat("PK\x03\x04", 5000)) },
	"parts":    func(n int) string { return parts(n, "text/html", "<a href=http://a.example/>") },
	"fields":   func(n int) string { return strings.Repeat("a: =?utf-8?q?=41?=\r\n", n/20) + "\r\n" },
	"subject":  func(n int) string { return "Subject: " + strings.Repeat("=?utf-7?q?+2D3=?= ", n/18) + "\r\n\r\n" },
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func parts(n int, typ, body string) string {
	one := "--x\r\nContent-Type: " + typ + "\r\n\r\n" + body + "\r\n"
	return "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat(one, n/len(one)+1)
}

// What is made to cost much costs no more than the bound, however long it is.
func TestCost(t *testing.T) {
	for name, make := range worst {
		t.Run(name, func(t *testing.T) {
			s := make(2 << 20)
			root := message.Parse([]byte(s)).Root
			c := Read(strings.NewReader(s), root)
			checkBounds(t, c)
			if took := linear.Fastest(func() { Read(strings.NewReader(s), root) }); took > 50*time.Millisecond {
				t.Errorf("takes %v", took)
			} else {
				t.Log(took)
			}
		})
	}
}

// checkBounds tests what holds of all content.
func checkBounds(t testing.TB, c *Content) {
	t.Helper()
	if len(c.Text) > MaxText+2*MaxLeaves || len(c.Subject) > MaxSubject || len(c.Links) > MaxLinks || len(c.Parts) > MaxLeaves ||
		len(c.HTML.Markup) > MaxMarkup || len(c.Header.Fields) > MaxFields {
		t.Errorf("%d octets of text, %d of subject, %d links, %d parts, %d of markup, %d fields",
			len(c.Text), len(c.Subject), len(c.Links), len(c.Parts), len(c.HTML.Markup), len(c.Header.Fields))
	}
	texts := []string{c.Text, c.Subject}
	for _, l := range c.Links {
		texts = append(texts, l.URL, l.Host, l.Shown, l.ShownHost, l.Scheme)
	}
	for _, p := range c.Parts {
		texts = append(append(texts, p.Type, p.Name, p.Encoding), p.Entries...)
	}
	texts = append(append(texts, c.HTML.Markup...), c.Charsets...)
	for _, s := range texts {
		if !utf8.ValidString(s) {
			t.Errorf("not UTF-8: %.60q", s)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, make := range worst {
		f.Add([]byte(make(200)))
	}
	f.Add([]byte("MIME-Version: 1.0\r\nContent-Type: application/zip; name=a.zip\r\n\r\n" + string(zipOf(f, "a.exe"))))
	f.Add([]byte("Content-Type: \x80/\x80\r\nContent-Transfer-Encoding: \x80\r\n\r\n"))
	f.Add([]byte("Content-Type: application/x\r\n\r\nRar!\x1a\x07\x00\x00\x00\x73\x00\x00\x07\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		root := message.Parse(b).Root
		c := Read(bytes.NewReader(b), root)
		checkBounds(t, c)
		if again := Read(bytes.NewReader(b), root); !reflect.DeepEqual(c, again) {
			t.Errorf("read twice: %s", cmp.Diff(c, again))
		}
		Read(bytes.NewReader(b[:len(b)/2]), root) // Octets that are gone.
	})
}

func BenchmarkRead(b *testing.B) {
	for name, in := range map[string]string{
		"plain":  "From: a@b.example\r\nSubject: a usual one\r\nDate: Tue, 1 Jul 2025 10:00:00 +0000\r\n\r\n" + strings.Repeat("There is not much to say in a line.\r\n", 100),
		"html":   "From: a@b.example\r\nSubject: a usual one\r\n" + htmlMail(strings.Repeat("<p style='color:red'>There is <b>not</b> much <a href='http://a.example/'>to say</a></p>\r\n", 46)),
		"base64": "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines64([]byte(strings.Repeat("There is not much to say in a line.\r\n", 75))),
	} {
		b.Run(name, func(b *testing.B) {
			root := message.Parse([]byte(in)).Root
			r := strings.NewReader(in)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				Read(r, root)
			}
		})
	}
}
