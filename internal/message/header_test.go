package message

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	header := "From x Mon Jan 1\r\nSubject: a\r\n b\r\nX-Empty:\r\nX-Space : \t c \r\nFolded:\r\n  \r\n d\r\nSubject: next\r\nstray line\nLF: e\n\tf\n: no name\r\nX Y: no name\r\n\r\nBody: x\r\n"
	type field struct{ Name, Raw, Value string }
	var got []field
	for f := range Fields([]byte(header)) {
		got = append(got, field{f.Name, string(f.Raw), string(f.Value)})
	}
	want := []field{
		{"Subject", "Subject: a\r\n b\r\n", "a b"},
		{"X-Empty", "X-Empty:\r\n", ""},
		{"X-Space", "X-Space : \t c \r\n", "c"},
		{"Folded", "Folded:\r\n  \r\n d\r\n", "d"},
		{"Subject", "Subject: next\r\nstray line\n", "next stray line"},
		{"LF", "LF: e\n\tf\n: no name\r\nX Y: no name\r\n", "e\tf : no name X Y: no name"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for f := range Fields([]byte(header)) {
		if f.Name != "Subject" {
			t.Errorf("first field is %q", f.Name)
		}
		break
	}
}

func TestParams(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"text/plain", ""},
		{"text/plain; Charset=UTF-8", "charset=UTF-8"},
		{`text/plain; charset="us-ascii" (Plain text)`, "charset=us-ascii"}, // RFC 2045 §5.1
		{"text/plain; charset=us-ascii (Plain text)", "charset=us-ascii"},
		// RFC 2231 §3 and §4
		{"message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"",
			"access-type=URL|url=ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"},
		{"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "title=This is ***fun***"},
		{"application/x-stuff\r\n title*0*=us-ascii'en'This%20is%20even%20more%20\r\n title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n title*2=\"isn't it!\"",
			"title=This is even more ***fun*** isn't it!"},
		{"a/b; n*1=b; n*0=a; n*3=d", "n=ab"},
		{"a/b; n=plain; n*=utf-8''%e2%82%ac", "n=€"},
		{"a/b; n*=iso-8859-1''%A3; n=x", "n=£"},
		{"a/b; n*=%41", "n=A"},
		{"a/b; n*=utf-8''100%", "n=100%"},
		{"a/b; n*0*=utf-8''%e2%82; n*1*=%ac", "n=€"},
		{"a/b; n*7=x", "n=x"},
		{"a/b; n=first; n=second", "n=first"},
		{`a/b; n="a\"b\\c"; m=1`, `n=a"b\c|m=1`},
		{"a/b; n=my file.pdf; m=1", "n=my file.pdf|m=1"},
		{"a/b; n=my file.pdf m=1", "n=my file.pdf|m=1"},
		{`a/b; n="open`, "n=open"},
		{"a/b;;; n = x ;", "n=x"},
		{"a/b; flag; n=x", "n=x"},
		{"a/b n=x", "n=x"},
		{"a/b; n==?utf-8?B?4oKs?=", "n=€"},
		{`a/b; n="=?utf-8?Q?=E2=82=AC?= x"`, "n=€ x"},
		{"a/b; n=\"\xe2\x82\xac\"", "n=€"},
		{"a/b; n=\"\xa3\"", "n=£"},
		{"a/b; n*=utf-8''a%0d%0ab%00", "n=a  b"},
		{"a/b; =x; n=y", "n=y"},
	} {
		var p Part
		p.setType(unfold([]byte(c.in)))
		var got []string
		for _, q := range p.Params {
			got = append(got, q.Name+"="+q.Value)
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%q: got %q, want %q", c.in, strings.Join(got, "|"), c.want)
		}
	}
	var many Part
	many.setType([]byte("a/b" + strings.Repeat("; x=y; z", 10*MaxParams)))
	if len(many.Params) != 1 {
		t.Errorf("%d params", len(many.Params))
	}
}

// shown are the parameters of a field as they stand in it.
func shown(g given, decoded []Param) []Param {
	if g != nil {
		return g
	}
	return decoded
}

// TestGivenParams: what RFC 2231 §6 does not ask to be decoded stands as it stood.
func TestGivenParams(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"text/plain; Charset=UTF-8", "charset=UTF-8"},
		{"a/b; name*=iso-2022-jp'ja'a%8ab", "name*=iso-2022-jp'ja'a%8ab"},
		{"a/b; title*=us-ascii'en-us'This%20is", "title*=us-ascii'en-us'This%20is"},
		{"a/b; n=plain; n*=utf-8''%e2%82%ac; m=1", "n=plain|n*=utf-8''%e2%82%ac|m=1"},
		{"a/b; URL*0=\"ftp://\"; x=y; URL*1=\"cs.utk.edu\"", "url=ftp://cs.utk.edu|x=y"},
		{"a/b; title*0*=us-ascii'en'This%20is%20even%20more%20\r\n title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n title*2=\"isn't it!\"",
			"title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"},
		{"a/b; n*1*=%41; n*0=\"b c\"", "n*=''b%20c%41"},
		{"a/b; n*1=b; n*0=a; n*3=d; n*4*=e", "n=ab|n*3=d|n*4*=e"},
		{"a/b; n=\"=?utf-8?B?4oKs?=\"", "n==?utf-8?B?4oKs?="},
		{"a/b; n=\"\xe2\x82\xac\"; m=\"\xa3\"", "n=\xe2\x82\xac|m=\xa3"},
		{"a/b; n=first; n=second", "n=first|n=second"},
		{`a/b; n="a\"b\\c"`, `n=a"b\c`},
	} {
		var p Part
		p.setType(unfold([]byte(c.in)))
		_, params, _ := strings.Cut(c.in, ";")
		p.setDisposition(unfold([]byte("x;" + params)))
		for _, list := range [][]Param{shown(p.params, p.Params), shown(p.dispositionParams, p.DispositionParams)} {
			var got []string
			for _, q := range list {
				got = append(got, q.Name+"="+q.Value)
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("%q: got %q, want %q", c.in, strings.Join(got, "|"), c.want)
			}
		}
	}
	var many Part
	many.setType([]byte("a/b" + strings.Repeat("; x*0*=y; z*1=", 10*MaxParams)))
	if n := len(shown(many.params, many.Params)); n > MaxParams {
		t.Errorf("%d params", n)
	}
}

func TestPartFields(t *testing.T) {
	m := Parse([]byte(crlf(`Content-Type: TEXT/HTML; charset=utf-8; name=n.html
Content-Transfer-Encoding: Quoted-Printable
Content-ID: <id@x>
Content-Description: some
 thing
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Location: http://example.org/a
 /b
Content-Language: en, de-AT (x) , fr
Content-Disposition: Attachment; filename=genome.jpeg; modification-date="Wed, 12 Feb 1997 16:29:51 -0500"
Content-Type: image/png

x
`)))
	got := *m.Root
	got.Children, got.delimiter, got.encoded = nil, nil, false
	want := Part{
		Type: "text", Subtype: "html", Params: []Param{{"charset", "utf-8"}, {"name", "n.html"}}, Encoding: "quoted-printable",
		ID: "<id@x>", Description: "some thing", MD5: "Q2hlY2sgSW50ZWdyaXR5IQ==", Location: "http://example.org/a/b",
		Languages: []string{"en", "de-AT", "fr"}, Disposition: "attachment",
		DispositionParams: []Param{{"filename", "genome.jpeg"}, {"modification-date", "Wed, 12 Feb 1997 16:29:51 -0500"}},
		Body:              m.Header.Size, End: m.Size, Lines: 1,
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Part{})); d != "" {
		t.Error(d)
	}
	if m.Root.Filename() != "genome.jpeg" || m.Root.Charset() != "utf-8" || Parse(nil).Root.Charset() != "us-ascii" {
		t.Errorf("filename %q, charset %q", m.Root.Filename(), m.Root.Charset())
	}
}

// TestRepeated: of repeated fields the first counts, also where it says nothing new.
func TestRepeated(t *testing.T) {
	for in, want := range map[string]string{
		"Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n":  " false",
		"Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\n":  "base64 false",
		"Content-Transfer-Encoding: x-odd\nContent-Transfer-Encoding: base64\n\n": "x-odd false",
		"Subject: a\nSubject: b\n\n":                                                     " true",
		"Subject: a\nMessage-ID: b\n\nSubject: c\n":                                      " false",
		"Content-Type: message/rfc822\nSubject: a\n\nSubject: b\nSubject: c\n\n":         " false",
		"Message-ID: <a@b>\nMessage-ID:\nTo: a@b\nTo: c@d\nReceived: x\nReceived: y\n\n": " true",
	} {
		m := Parse([]byte(crlf(in)))
		if got := fmt.Sprint(m.Root.Encoding, " ", m.Repeats); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestEncodingName(t *testing.T) {
	for in, want := range map[string]string{
		"7bit": "", "": "", "7BIT": "", "8bit": "8bit", "8 bit": "8bit", "7 bit": "", "7bit;": "", " Base64 ": "base64", "base64 (MIME)": "base64",
		"(x) binary": "binary", "X-UUEncode": "x-uuencode", "\"base64\"": "", "quoted-printable\r\n": "quoted-printable", "8": "8",
	} {
		if got := encodingName([]byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for _, enc := range []string{"", "7BIT", "8bit", "binary", "base64", "Quoted-Printable", "x-uuencode"} {
		if !KnownEncoding(enc) {
			t.Errorf("%q is not known", enc)
		}
	}
	if KnownEncoding("x-bzip2") || KnownEncoding("8") {
		t.Error("an unknown encoding is known")
	}
}

func TestDisposition(t *testing.T) {
	for in, want := range map[string]string{
		"inline": "inline", "ATTACHMENT; x=y": "attachment", "filename=a.txt": "attachment", "; filename=a.txt": "", "(c) inline": "inline",
	} {
		var p Part
		p.setDisposition([]byte(in))
		if p.Disposition != want {
			t.Errorf("%q: got %q, want %q", in, p.Disposition, want)
		}
	}
}
