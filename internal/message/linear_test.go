package message

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"yubin/internal/testkit/linear"
)

// hostile are pieces of which long inputs are made, each followed by a tail.
var hostile = []struct{ piece, tail string }{
	{"a", ""}, {"a ", ""}, {"a, ", ""}, {",", ""}, {"@", ""}, {"@,", ""}, {".", ""}, {" .", "@x"}, {"a.", "@x"}, {" ", "@"}, {" \t", ";"},
	{"(", ""}, {"(", "@"}, {"()", ""}, {"(a)", "@x"}, {"(a", ")"}, {"((a)", ""}, {")", ""}, {"(\\", ""}, {"\\", ""}, {"\\(", ""},
	{"\"", ""}, {"\"a\" ", "@x"}, {"\"\\", ""}, {"\" (", ""}, {"\"(\"", ""}, {"(\")", ""}, {"\"a\".", "@x"},
	{"<", ""}, {">", ""}, {"<>", ""}, {"<a", ""}, {"<@", ""}, {"<@a,", ""}, {"<@a:", ""}, {"<@a,@b:c@d>,", ""}, {"a<b@c>", ""}, {"<\"", ">"}, {"<(", ">"},
	{"[", ""}, {"[]", ""}, {"[1", "]"}, {"a@[1],", ""}, {"a@[", ""},
	{":", ""}, {"a:", ""}, {"a:;", ""}, {":@", ""}, {"@:", ""}, {"g:a@b,", ";"}, {";", ""}, {"a:b@c;,", ""},
	{"=", ""}, {"=?", ""}, {"=?a", ""}, {"=?a?", ""}, {"=?a?q?", ""}, {"=?a?q?b", ""}, {"=?a?q?b?=", ""}, {"=?a?q?b?= ", ""}, {"=?utf-8?b?4pyT?=", ""},
	{"=?utf-8?q?=", ""}, {"=?a*", ""}, {"=?=?", ""}, {"=?a?q?,?=", ""},
	{"=", "?="}, {"a=b;", ""}, {";a", ""}, {"a*0=b;", ""}, {"a*=b''c;", ""}, {"*", ""}, {"*0", ""}, {"a=\"", ""}, {"a=\"b\"", ""}, {"a= ", ""},
	{"a b", ""}, {"'", ""}, {"%", ""}, {"%41", ""}, {"%%", ""}, {"/", ""}, {"a/b", ""}, {";=", ""}, {"a(", "="}, {" a", "="},
	{"\r\n ", ""}, {"\n ", ""}, {"\r", ""}, {"\n", ""}, {"\r\n", ""}, {"a\r\n b", ""}, {"\x00", ""}, {"\xff", ""}, {"\xe2\x82", ""}, {"é", ""},
	{"1 ", ""}, {"1:", ""}, {"Mon, ", ""}, {"+", ""}, {"-", ""}, {"--", ""}, {"re: ", ""}, {"[a] ", ""}, {"re[1]: ", ""}, {"(fwd) ", ""}, {"(fwd)", ""}, {"[fwd: ", "]"},
	{"<a@b>", ""}, {"<a@b", ""}, {"<a@b> (", ""}, {"a@b.c ", ""}, {"<\"a\"@b>", ""}, {"<<", ">"},
}

func repeated(piece, tail string, size int) []byte {
	b := bytes.Repeat([]byte(piece), size/len(piece))
	return append(b, tail...)
}

// Whatever a field holds, reading it takes as long as it is.
func TestFieldsInLinearTime(t *testing.T) {
	for name, read := range map[string]func(b []byte){
		"addresses":   func(b []byte) { ParseAddressList(b) },
		"text":        func(b []byte) { DecodeText(b) },
		"originators": func(b []byte) { _, _ = ParseOriginators(b) },
		"date":        func(b []byte) { ParseDate(string(b)) },
		"message": func(b []byte) {
			for _, field := range []string{"To", "Subject", "References", "Content-Type", "Content-Disposition", "Content-ID", "Content-Language", "Date", "Message-ID"} {
				Parse([]byte(field + ": " + string(b) + "\r\n\r\n"))
			}
		},
		"parameters": func(b []byte) {
			Parse([]byte("Content-Type: multipart/mixed; " + string(b) + "\r\n\r\n--" + string(b)))
		},
		"surrogate": func(b []byte) {
			for _, field := range []string{"To: ", "Subject: ", "Content-Type: a/b;"} {
				SurrogateFields([]byte(field + "\u00e9 " + string(b) + "\r\n"))
			}
		},
		"header": func(b []byte) { Parse(b) },
		"fields": func(b []byte) {
			for range Fields(b) {
				continue
			}
		},
		"body": func(b []byte) {
			Parse([]byte("Content-Type: multipart/mixed; boundary=\"-\"\r\n\r\n---\r\n\r\n" + string(b)))
		},
		"html":   func(b []byte) { Parse([]byte("Content-Type: text/html\r\n\r\n" + string(b))) },
		"base64": func(b []byte) { _, _ = io.Copy(io.Discard, NewDecoder(bytes.NewReader(b), "base64")) },
		"quoted": func(b []byte) { _, _ = io.Copy(io.Discard, NewDecoder(bytes.NewReader(b), "quoted-printable")) },
		"uu": func(b []byte) {
			_, _ = io.Copy(io.Discard, NewDecoder(bytes.NewReader(append([]byte("begin \n"), b...)), "x-uue"))
		},
		"charset": func(b []byte) { _, _ = io.Copy(io.Discard, NewCharsetReader(bytes.NewReader(b), "")) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, h := range hostile {
				t.Run(fmt.Sprintf("%q%q", h.piece, h.tail), func(t *testing.T) {
					linear.Check(t, 12<<10, func(size int) func() {
						b := repeated(h.piece, h.tail, size)
						return func() { read(b) }
					})
				})
			}
		})
	}
}

// Many parts, however they are nested and delimited.
func TestPartsInLinearTime(t *testing.T) {
	nest := func(levels int, boundary func(i int) string) string {
		var b strings.Builder
		for i := range levels {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n--%s\r\n", boundary(i), boundary(i))
		}
		return b.String()
	}
	for name, message := range map[string]func(size int) string{
		"levels":   func(size int) string { return nest(size, func(i int) string { return fmt.Sprint("b", i) }) },
		"prefixes": func(size int) string { return nest(size, func(i int) string { return strings.Repeat("b", 1+i%60) }) },
		"one":      func(size int) string { return nest(size, func(int) string { return "b" }) },
		"delimiters": func(size int) string {
			return nest(40, func(i int) string { return fmt.Sprint("b", i) }) + strings.Repeat("--b\r\n", size*10)
		},
		"siblings": func(size int) string {
			return nest(1, func(int) string { return "b" }) + strings.Repeat("\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nTo: a@b\r\n\r\n", size)
		},
	} {
		t.Run(name, func(t *testing.T) {
			linear.Check(t, 250, func(size int) func() {
				b := []byte(message(size))
				return func() { Parse(b) }
			})
		})
	}
}
