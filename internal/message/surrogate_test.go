package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// surrogate is what stands for msg, and what its length was said to be.
func surrogate(t *testing.T, msg string) string {
	t.Helper()
	s := Parse([]byte(msg)).Surrogate
	out, err := io.ReadAll(s.Reader(strings.NewReader(msg)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asLines(out), asLines([]byte(msg))+s.Surplus(); got != want {
		t.Errorf("%q became %q, %d octets in lines, want %d", msg, out, got, want)
	}
	if !s.Changes() && string(out) != msg {
		t.Errorf("%q became %q and should not", msg, out)
	}
	slow, err := io.ReadAll(s.Reader(iotest.OneByteReader(strings.NewReader(msg))))
	if err != nil || !bytes.Equal(slow, out) {
		t.Errorf("%q became %q, octet by octet %q, %v", msg, out, slow, err)
	}
	return string(out)
}

func TestSurrogate(t *testing.T) {
	for _, c := range []struct{ msg, want string }{
		{"", ""},
		{"Subject: x\n\n\u00e9\n", "Subject: x\n\n\u00e9\n"},
		{"Subject: \u00e9\r\n\r\n\u00e9\r\n", "Subject: =?utf-8?b?w6k=?=\r\n\r\n\u00e9\r\n"},
		{"Subject: \xe9t\xe9\n\nx", "Subject: =?utf-8?b?w6l0w6k=?=\r\n\nx"}, // ISO 8859-1, and its line gets an end
		{"Subject: a =?utf-8?q?=C3=A9?= \u00e9", "Subject: =?utf-8?b?YSDDqSDDqQ==?=\r\n"},
		{"subject : " + strings.Repeat("\u540d\u524d ", 10) + "\r\n\r\n",
			"subject : =?utf-8?b?5ZCN5YmNIOWQjeWJjSDlkI3liY0g5ZCN5YmNIOWQjeWJjSDlkI0=?=\r\n" +
				" =?utf-8?b?5YmNIOWQjeWJjSDlkI3liY0g5ZCN5YmNIOWQjeWJjQ==?=\r\n\r\n"},
		// Addresses.
		{"To: \u00e9 <a@b.example>, c@d.example\r\n\r\n", "To: =?utf-8?b?w6k=?= <a@b.example>, <c@d.example>\r\n\r\n"},
		{"To: Fred Foo <fred@\u00e9.example>\r\n\r\n", "To: \"Fred Foo\" <fred@xn--9ca.example>\r\n\r\n"},
		{"From: fr\u00e9d@e.example\r\n\r\n", "From: =?utf-8?b?ZnLDqWRAZS5leGFtcGxl?=\r\n " + nobody + "\r\n\r\n"},
		{"Cc: g\u00e9: \"a b\"@c.example;, d@e.example\r\n\r\n", "Cc: =?utf-8?b?Z8Op?=: <\"a b\"@c.example>;, <d@e.example>\r\n\r\n"},
		{"Return-Path: <\u00e9@a.example>\r\n\r\n", "Return-Path: " + nobody + "\r\n\r\n"},
		{"Sender: \u00e9\r\n\r\n", "Sender: =?utf-8?b?w6k=?= " + nobody + "\r\n\r\n"},
		// Parameters.
		{"Content-Type: text/plain; charset=utf-8;\r\n name=\"\u00e9;.txt\"; x=y\r\n\r\n", "Content-Type: text/plain; charset=utf-8; name*=utf-8''%C3%A9%3B.txt; x=y\r\n\r\n"},
		{"Content-Disposition: attachment; filename*0=\u00e9; b=c\r\n\r\n", "Content-Disposition: attachment; b=c\r\n\r\n"},
		{"Content-Type: t\u00e9xt/plain; a=b\r\n\r\n", "\r\n"},
		// Others, stray lines, and fields that are too long.
		{"X-A: \u00e9\r\nReceived: from \u00e9 by x\r\nMessage-ID: <\u00e9@x>\r\nA: b\r\n\r\n", "X-A: =?utf-8?b?w6k=?=\r\nA: b\r\n\r\n"},
		{"From x \u00e9\r\nA: b\r\nstr\u00e9y\r\nC: d\r\n\r\n", "From x ??\r\nA: b\r\nstr??y\r\nC: d\r\n\r\n"},
		{"References: <a@b>\r\n <c@d>\r\nX-\u00e9: 1\r\n\r\n", "References: <a@b>\r\n <c@d>\r\nX-??: 1\r\n\r\n"},
		{"Content-Type: text/html\r\nstr\u00e9y\r\n\r\n", "Content-Type: text/html\r\nstr??y\r\n\r\n"},
		{"Content-Type: text/html; charset=utf-8\r\nstr\u00e9y\r\n\r\n", "Content-Type: text/html; charset=utf-8\r\nstr??y\r\n\r\n"},
		{"Content-Type: text/html; name=\u00e9\r\nstr\u00e9y\r\n\r\n", "Content-Type: text/html; name*=utf-8''%C3%A9\r\n\r\n"},
		{"Content-Type: text/html;\r\nname=\u00e9\r\n\r\n", "Content-Type: text/html; name*=utf-8''%C3%A9\r\n\r\n"},
		{"A: \u00e9\r\nstray\r\nC: d\r\n\r\n", "C: d\r\n\r\n"},
		{"A: b\r\nSubject: " + strings.Repeat("\u00e9", maxRewritten/2) + "\r\n\r\n", "A: b\r\n\r\n"},
		{"A: " + strings.Repeat("\u00e9", MaxHeader/2) + "\r\n\r\n\u00e9", "A: " + strings.Repeat("??", MaxHeader/2) + "\r\n\r\n\u00e9"},
		{"Subject: a\x00b\r\n\r\n\x00", "Subject: =?utf-8?b?YWI=?=\r\n\r\n\x00"},
		// Headers of parts and of messages in parts, and nothing between them.
		{"Content-Type: multipart/mixed; boundary=b\r\n\r\n\u00e9\r\n--b\r\nContent-Disposition: attachment; filename=\u00e9\r\n\r\n\u00e9\r\n--b\r\n" +
			"Content-Type: message/global\r\n\r\nSubject: \u00e9\r\n\r\n\u00e9\r\n--b--\r\n",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n\u00e9\r\n--b\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A9\r\n\r\n\u00e9\r\n--b\r\n" +
				"Content-Type: message/global\r\n\r\nSubject: =?utf-8?b?w6k=?=\r\n\r\n\u00e9\r\n--b--\r\n"},
		// What the message ends in may be all there is.
		{"A: \u00e9", ""}, {"A: b\r\nC: \u00e9\r", "A: b\r\n"}, {"A: \u00e9\n", "\r\n"},
		// What ended a header still does.
		{"Content-Type: multipart/m\u00e9; boundary=b\r\n--b\r\n\r\nstr\u00e9y\r\n--b--\r\n", "\r\n--b\r\n\r\nstr\u00e9y\r\n--b--\r\n"},
		{"A: b\r\nSubject: \u00e9\r\ntext right away\r\n", "A: b\r\nSubject: =?utf-8?b?w6k=?=\r\n\r\ntext right away\r\n"},
	} {
		if got := surrogate(t, c.msg); got != c.want {
			t.Errorf("%.200q became %.300q, want %.300q", c.msg, got, c.want)
		}
	}
}

// What stands for a message reads as it does.
func TestSurrogateReadsAlike(t *testing.T) {
	msg := "From: Andr\u00e9 <a@b.example>\r\nTo: g: \u540d <c@\u540d.example>;\r\nSubject: " + strings.Repeat("\u540d\u524d, ", 40) +
		"\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; name=\"\u00e9 \u540d.txt\"\r\n\r\nbody\r\n--x--\r\n"
	was, is := Parse([]byte(msg)), Parse([]byte(surrogate(t, msg)))
	if is.Subject != was.Subject || is.Root.Children[0].Param("name") != was.Root.Children[0].Param("name") || is.Preview != was.Preview {
		t.Errorf("%q, %q", is.Subject, is.Root.Children[0].Param("name"))
	}
	if name := DecodeText(is.Envelope.From[0].Name); name != "Andr\u00e9" || string(is.Envelope.To[1].Host) != "xn--eqr.example" {
		t.Errorf("%q, %q", name, is.Envelope.To[1].Host)
	}
}

func FuzzSurrogate(f *testing.F) {
	for _, m := range seedMessages() {
		f.Add(m)
	}
	for _, m := range []string{"To: \xe9 (\xe9) <\"\xe9\xc3\xa9\"@x>, g: ;;\r\nX-: \x00\n\xff\n\n", "Content-Type: a/b; \xe9=\"\\\"\xe9; c=(\xe9\r\n\r\n", "From \xe9\r\nFrom:\xe9\r"} {
		f.Add([]byte(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := []byte(surrogate(t, string(b)))
		header := out[:Parse(out).Header.Size]
		if Parse(b).Header.Size > 0 && !IsHeaderASCII(header) {
			t.Fatalf("%q became %q", b, out)
		}
		masked := appendMasked(nil, b)
		for line := range bytes.Lines(header) {
			if len(line) > MaxLine+2 && !bytes.Contains(masked, bytes.TrimRight(line, "\r\n")) {
				t.Fatalf("%q became %q with a long line", b, out)
			}
		}
	})
}
