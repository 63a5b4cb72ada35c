package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

func TestDecodeText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		// RFC 2047 §8
		{"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"},
		{"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"},
		{"=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"},
		{"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
			"If you can read this you understand the example."},
		{"=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ"},
		{"(=?ISO-8859-1?Q?a?=)", "(a)"},
		{"(=?ISO-8859-1?Q?a?= b)", "(a b)"},
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"(=?ISO-8859-1?Q?a_b?=)", "(a b)"},
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"},
		{"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"}, // RFC 2231 §5
		// characters cut between words
		{"=?utf-8?B?4oI=?= =?UTF-8?Q?=AC?=", "€"},
		{"=?utf-8?Q?=E2?=\r\n =?utf-8*de?Q?=82=AC?=!", "€!"},
		{"=?ISO-2022-JP?B?GyRCRnw=?= =?ISO-2022-JP?B?S1wbKEI=?=", "日本"},
		// broken, but seen
		{"a=?utf-8?Q?b?=c", "abc"},
		{"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"},
		{"\"=?utf-8?Q?a b?=\"", "\"a b\""},
		{"=?utf-8?Q?what??=", "what?"},
		{"=?utf-8?Q??=x", "x"},
		{"=?utf-8?B?YWI?=", "ab"},
		{"=?utf-8?Q?100%=?=", "100%="},
		{"=?utf-8?X?ab?=", "=?utf-8?X?ab?="},
		{"=?utf-8?Q?ab", "=?utf-8?Q?ab"},
		{"=?=?utf-8?Q?a?=", "=?a"},
		{"=?nonesuch?Q?a=E9?=", "aé"},
		{"=?utf-8?Q?a=E9?=", "a\ufffd"},
		{"=?us-ascii?Q?=C3=A9?=", "é"},
		{"Gr\xc3\xbc\xc3\x9fe", "Grüße"},
		{"Gr\xfc\xdfe", "Grüße"},
		{"\x1b$BF|K\\\x1b(B", "日本"},
		{"Gr\xfc =?utf-8?Q?=C3=9F?= x", "Grü ß x"},
		{"a\r\n b\tc", "a b c"},
		{"=?utf-8?Q?a=0D=0AEvil:_x=00?=", "a  Evil: x"},
	} {
		if got := DecodeText([]byte(c.in)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
	if got := Parse([]byte("Subject: \xcf\xf0\xe8\xe2\xe5\xf2\r\nContent-Type: text/plain; charset=windows-1251\r\n\r\n")).Subject; got != "Привет" {
		t.Errorf("raw subject in the charset of the body: %q", got)
	}
	long := strings.Repeat("=?utf-8?Q?=E2=82=AC?= ", 10000)
	if got := Parse([]byte("Subject: " + long + "\r\n\r\n")).Subject; len(got) > MaxSubject || !utf8.ValidString(got) || !strings.HasPrefix(got, "€€") {
		t.Errorf("long subject: %d octets", len(got))
	}
}

func TestNaughtyText(t *testing.T) {
	for _, s := range []string{"=?", "=?a?q?", "=?a?q?b?= ", "\xff", "=?utf-8?B?=?="} {
		if got := DecodeText([]byte(strings.Repeat(s, MaxHeader/len(s)))); !utf8.ValidString(got) {
			t.Errorf("%q repeated is not UTF-8", s)
		}
	}
}

// charsetVectors are texts in the charsets of real mail.
var charsetVectors = []struct{ charset, raw, want string }{
	{"UTF-8", "Gr\xc3\xbc\xc3\x9fe", "Grüße"},
	{"utf-8", "\xef\xbb\xbfa\xff", "a\ufffd"},
	{"us-ascii", "a\xc3\xa9\xe9", "aéé"},
	{"ansi_x3.4-1968", "a\xe9", "aé"},
	{"nonesuch", "a\xe9", "aé"},
	{"", "a\xe9", "aé"},
	{"ISO-8859-1", "\xe9\x80", "é€"}, // windows-1252, as the WHATWG has it
	{"latin1", "\xe9", "é"},
	{"iso8859-2", "\xb1", "ą"},
	{"ISO_8859-15", "\xa4", "€"},
	{"iso-8859-5", "\xbf", "П"},
	{"windows-1251", "\xcf", "П"},
	{"cp1251", "\xcf", "П"},
	{"win-1250", "\x9c", "ś"},
	{"koi8-r", "\xf0", "П"},
	{"KOI8-U", "\xa4", "є"},
	{"iso-2022-jp", "\x1b$BF|K\\\x1b(B!", "日本!"},
	{"shift_jis", "\x93\xfa\x96{", "日本"},
	{"x-sjis", "\x93\xfa\x96{", "日本"},
	{"cp932", "\x87\x40", "①"},
	{"euc-jp", "\xc6\xfc\xcb\xdc", "日本"},
	{"gb2312", "\xd6\xd0\xb9\xfa", "中国"},
	{"x-gbk", "\xd6\xd0", "中"},
	{"GB18030", "\xd6\xd0\x81\x30\x81\x30", "中\u0080"},
	{"hz-gb-2312", "~{VP9z~}.", "中国."},
	{"big5", "\xa4\xa4", "中"},
	{"euc-kr", "\xc7\xd1", "한"},
	{"ks_c_5601-1987", "\xc7\xd1", "한"},
	{"cp949", "\xc7\xd1", "한"},
	{"iso-2022-kr", "\x1b$)C\x0eGQ\x0fa", "한a"},
	{"utf-7", "Hi Mom -+Jjo--!", "Hi Mom -☺-!"}, // RFC 2152
	{"unicode-1-1-utf-7", "+ZeVnLIqe-", "日本語"},
	{"utf-7", "A+ImIDkQ.", "A≢Α."},
	{"utf-7", "1 +- 1 +2D3eAA-", "1 + 1 😀"},
	{"utf-7", "+2D0-x", "\ufffdx"},
	{"utf-16", "\x00a\x20\xac", "a€"},
	{"utf-16", "\xff\xfea\x00", "a"},
	{"utf-16le", "a\x00\xac\x20", "a€"},
	{"utf-32", "\x00\x00\x00a", "a"},
	{"utf-32", "\x000", "\ufffd"},
	{"utf-16", "\x00a\x00", "a\ufffd"},
	{"shift_jis", "a\x93", "a\ufffd"},
	{"ibm437", "\x81", "ü"},
	{"cp850", "\x81", "ü"},
	{"tis-620", "\xa1", "ก"},
	{"macintosh", "\x8a", "ä"},
	{"windows-1252*en", "\x80", "€"},
	{"\"utf-8\"", "é", "é"},
}

func TestCharsets(t *testing.T) {
	for _, c := range charsetVectors {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.raw), "octet by octet": iotest.OneByteReader(strings.NewReader(c.raw)),
		} {
			got, err := io.ReadAll(NewCharsetReader(r, c.charset))
			if err != nil || string(got) != c.want {
				t.Errorf("%s of %q, %s: %q, %v; want %q", c.charset, c.raw, how, got, err, c.want)
			}
		}
		if known := c.charset != "" && c.charset != "nonesuch"; KnownCharset(c.charset) != known {
			t.Errorf("KnownCharset(%q) = %v", c.charset, !known)
		}
	}
	if KnownCharset(strings.Repeat("x", 1000)) || KnownCharset("x-user-undefined") {
		t.Error("an unknown charset is known")
	}
	if _, err := io.ReadAll(NewCharsetReader(iotest.ErrReader(io.ErrClosedPipe), "big5")); err != io.ErrClosedPipe {
		t.Errorf("the error of the reader below is lost: %v", err)
	}
}

func TestDecoders(t *testing.T) {
	spaces := strings.Repeat(" ", 5000)
	for _, c := range []struct{ enc, in, want string }{
		{"7bit", "a=20", "a=20"},
		{"x-nonesuch", "a=20", "a=20"},
		{"base64", "aGVsbG8=", "hello"},
		{"BASE64", "aGVs\r\nbG8=\r\n", "hello"},
		{"base64", "a G!V\ts*b\r\nG\x008\xff=", "hello"},
		{"base64", "aGVsbG8", "hello"},
		{"base64", "aGVsbA", "hell"},
		{"base64", "aGVsb", "hel"},
		{"base64", "aGVsbG8=aGVsbG8=", "hellohello"},
		{"base64", "aGVsbA==\r\naGVsbA==", "hellhell"},
		{"base64", "====", ""},
		{"base64", "", ""},
		{"quoted-printable", "a=20b=C3=a9", "a b\u00e9"},
		{"quoted-printable", "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.", "Now's the time for all folk to come to the aid of their country."}, // RFC 2045 §6.7
		{"quoted-printable", "a= \t\r\nb=\nc", "abc"},
		{"quoted-printable", "a  \r\nb\t\nc ", "a\r\nb\nc"},
		{"quoted-printable", "a \rb", "a \rb"},
		{"quoted-printable", "a=XYb=4", "a=XYb=4"},
		{"quoted-printable", "a=", "a"},
		{"quoted-printable", "a==20", "a= "},
		{"quoted-printable", "=\r=41", "=\rA"},
		{"quoted-printable", "a" + spaces + "b", "a" + spaces + "b"},
		{"quoted-printable", "=" + spaces + "b", "=" + spaces + "b"},
		{"quoted-printable", "a =20\r\n", "a  \r\n"},
		{"quoted-printable", "\xe9=3D", "\xe9="},
		{"x-uuencode", "junk\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n#0V%T\r\n", "Cat"},
		{"uuencode", "begin 644 x\n#0V%T\n#0V%T", "CatCat"},
		{"x-uue", "begin 644 x\n$0V%T\n", "Cat\x00"},
		{"x-uue", strings.Repeat("x", 5000) + "\nbegin 644 x\n#0V%T\n", "Cat"},
	} {
		for how, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.in), "octet by octet": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			got, err := io.ReadAll(NewDecoder(r, c.enc))
			if err != nil || string(got) != c.want {
				t.Errorf("%s of %.40q, %s: %.60q, %v; want %.60q", c.enc, c.in, how, got, err, c.want)
			}
		}
	}
	for _, enc := range []string{"base64", "quoted-printable", "x-uuencode"} {
		if _, err := io.ReadAll(NewDecoder(iotest.ErrReader(io.ErrClosedPipe), enc)); err != io.ErrClosedPipe {
			t.Errorf("%s: the error of the reader below is lost: %v", enc, err)
		}
	}
	big := bytes.Repeat([]byte("AAEC+/\r\n"), 100000)
	if got, err := io.ReadAll(NewDecoder(bytes.NewReader(big), "base64")); err != nil || len(got) != 100000*18/4 {
		t.Errorf("big base64: %d octets, %v", len(got), err)
	}
}

func TestParseDate(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"}, // RFC 5322 appendix A
		{"Thu, 13 Feb 1969 23:32:54 -0330", "1969-02-13T23:32:54-03:30"},
		{"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)", "1969-02-13T23:32:00-03:30"},
		{"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"},
		{"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Fri, 07 Oct 1994 16:15:05 -0700 (PDT)", "1994-10-07T16:15:05-07:00"},
		{"1 Jan 49 00:00 EST", "2049-01-01T00:00:00-05:00"},
		{"1 Jan 50 00:00 PDT", "1950-01-01T00:00:00-07:00"},
		{"1 Jan 101 00:00 K", "2001-01-01T00:00:00Z"},
		{"Mon, 1 Jan 2024 10:00:00", "2024-01-01T10:00:00Z"},
		{"Mon, 1 Jan 2024 10:00:00 -0000", "2024-01-01T10:00:00Z"},
		{"Mon, 1 Jan 2024 10:00:00 +01:00", "2024-01-01T10:00:00+01:00"},
		{"Mon, 1 Jan 2024 10:00:00 +1", "2024-01-01T10:00:00+01:00"},
		{"Mon, 1 Jan 2024 10:00:00 GMT+0200", "2024-01-01T10:00:00+02:00"},
		{"Mon, 1 Jan 2024 10:00:00+0200", "2024-01-01T10:00:00+02:00"},
		{"Mon, 1 Jan 2024 10:00:00 +9999", "2024-01-01T10:00:00Z"},
		{"Mon, 1 Jan 2024 10:00:00 \"GMT\"", "2024-01-01T10:00:00Z"},
		{"Mon, 1 Jan 2024 10:00:00 CEST", "2024-01-01T10:00:00+02:00"},
		{"Mon,1 Jan 2024 10:00:00 +0100", "2024-01-01T10:00:00+01:00"},
		{"Mon 1 Jan 2024 10:00:00 +0100", "2024-01-01T10:00:00+01:00"},
		{"Monday, 1 January 2024 10:00 PM UTC", "2024-01-01T22:00:00Z"},
		{"1 Jan 2024 12:30 AM", "2024-01-01T00:30:00Z"},
		{"Mon Jan  1 10:00:00 2024", "2024-01-01T10:00:00Z"},
		{"Mon Jan  1 10:00:00 +0100 2024", "2024-01-01T10:00:00+01:00"},
		{"Mon Jan  1 10:00:00 CET 2024", "2024-01-01T10:00:00+01:00"},
		{"Jan 1, 2024 10:00", "2024-01-01T10:00:00Z"},
		{"01-Jan-2024 10:00:00 +0000", "2024-01-01T10:00:00Z"},
		{"1-Jan-24 10:00 EDT", "2024-01-01T10:00:00-04:00"},
		{"2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"},
		{"2024-01-01T10:00:00.123+02:00", "2024-01-01T10:00:00+02:00"},
		{"2024-01-01 10:00:00 -0500", "2024-01-01T10:00:00-05:00"},
		{"Mon, 1 Jan 2024 10.20.30 +0100", "2024-01-01T10:20:30+01:00"},
		{"Sat, 31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z"},
		{"29 Feb 2024 0:00:00 +0000", "2024-02-29T00:00:00Z"},
		{"", ""}, {"yesterday", ""}, {"30 Feb 2024 10:00", ""}, {"1 Jan 2024", ""}, {"1 Jan 2024 25:00", ""}, {"1 Jan 1024 10:00", ""},
		{"1 Foo 2024 10:00", ""}, {"0 Jan 2024 10:00", ""}, {"32 Jan 2024 10:00", ""}, {"1 Jan 99999 10:00", ""}, {"10:00 10:00 1 Jan 2024", ""},
		{"2024-13-01T10:00:00Z", ""}, {"1-2-3 10:00", ""}, {"Jan 2024 10:00", ""}, {strings.Repeat("(", 9999), ""},
	} {
		got := ""
		if d, ok := ParseDate(c.in); ok {
			got = d.Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"hello":                           "hello",
		"Re: hello":                       "hello",
		"RE : [x] Re:hello":               "hello",
		"Fwd: FW: re: hello":              "hello",
		"Re[2]: hello":                    "hello",
		"re [a b] : hello":                "hello",
		"[list] Re: [list] hello":         "hello",
		"[list][other] hello":             "hello",
		"[list]":                          "[list]",
		"[a][b]":                          "[b]",
		"Re: [a] [b]":                     "[b]",
		"hello (fwd) (FWD)":               "hello",
		"hello(fwd)":                      "hello",
		"[fwd: hello]":                    "hello",
		"Re: [Fwd: [list] Re: hello] ":    "hello",
		"[fwd: [fwd: hello (fwd)]] (fwd)": "hello",
		"[fwd: hello":                     "[fwd: hello",
		"a  b\t\tc\r\n d":                 "a b c d",
		"Re:":                             "",
		"(fwd)":                           "",
		"Reply: x":                        "Reply: x",
		"[a[b] x":                         "[a[b] x",
		"[] x":                            "x",
		"AW: x":                           "AW: x",
	} {
		if got := BaseSubject(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for _, s := range []string{"[a]", "re:", "(fwd)", "[fwd:", "[", "[fwd:]"} {
		BaseSubject(strings.Repeat(s, 50000)) // must not take quadratic time
	}
}

func TestPreview(t *testing.T) {
	const html = "Content-Type: text/html; charset=utf-8\r\n\r\n"
	long := strings.Repeat("€ ", 500)
	for _, c := range []struct{ in, want string }{
		{"Subject: x\r\n\r\nHello,\r\n\r\n  you\t there\r\n> quoted\r\nbye", "Hello, you there bye"},
		{"\r\n" + long, strings.Repeat("€ ", 64)[:255]},
		{"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8gdGhlcmU=\r\n", "hello there"},
		{"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n", "Grüße"},
		{"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|K\\\x1b(B\r\n", "日本"},
		{html + "<html><head><title>T</title><style>p{x:y}</style></head><!-- c --><body><p>One&nbsp;&amp;<b>T</b>wo<p>three<script>x()</script> four\u200b</body>", "One &Two three four"},
		{html + "<div>a</div><div>b", "a b"},
		{html + "<style>" + strings.Repeat("x", 20000) + "</style>late", ""},
		{"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nnot me", ""},
		{"Content-Type: image/png\r\n\r\nnot me", ""},
		{crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n\n--b\nContent-Type: text/html\n\n<p>second\n--b--\n"), "second"},
		{crlf("Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/plain\n\nfirst\n--b\n\nother\n--b--\n"), "first"},
		{crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--c d\n-- e\n--b--\n"), "--c d -- e"},
		{crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nstray text\n--b--\n"), "stray text"},
		{"\r\na\x00b\x01c", "a b c"},
	} {
		if got := Parse([]byte(c.in)).Preview; got != c.want {
			t.Errorf("%.60q: got %q, want %q", c.in, got, c.want)
		}
	}
}
