package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	for _, m := range seedMessages() {
		f.Add(m, 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		want := Parse(b)
		checkTiling(t, b, want)
		if len(b) < MaxStray {
			checkTraced(t, b, want)
		}
		sameMessage(t, want, parseIn(b, func() int { return chunk & 63 }), "chunks")
		sameForm(t, want, keptAs(t, want))
		checkText(t, want.Subject)
		checkText(t, want.Preview)
	})
}

// checkText verifies what DecodeText promises.
func checkText(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
		t.Fatalf("%q is not clean text", s)
	}
}

func FuzzFields(f *testing.F) {
	for _, m := range seedMessages() {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := b
		for field := range Fields(b) {
			i := bytes.Index(rest, field.Raw)
			if i < 0 || field.Name == "" || !bytes.HasPrefix(field.Raw, []byte(field.Name)) || bytes.ContainsAny(field.Value, "\n") {
				t.Fatalf("field %q of %q", field, b)
			}
			rest = rest[i+len(field.Raw):]
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	for _, s := range []string{"", "plain", "=?utf-8?Q?=E2?= =?utf-8?B?gqw=?=", "=?iso-2022-jp?B?GyRCRnw=?=", "=?x*y?q?a_b?=c", "\xff\x1b$B"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkText(t, DecodeText(b)) })
}

func FuzzParseAddressList(f *testing.F) {
	for _, s := range []string{"a@b", "A (c) <a@b>, g: <c@d>; \"x\" <@r:e@f>", "\"\\\" <(", "=?utf-8?Q?a,b?= <c@d>", "a . b @ c . d"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		group := false
		for _, a := range ParseAddressList(b) {
			if (a.Group == NoGroup) != (a.Host != nil) || (a.Group == GroupEnd) != (a.Mailbox == nil) {
				t.Fatalf("%q: NIL does not mark the groups: %+v", b, a)
			}
			if a.Group != NoGroup && (a.Group == GroupStart) == group {
				t.Fatalf("%q: groups do not alternate", b)
			}
			if a.Group != NoGroup {
				group = !group
			}
		}
		if group {
			t.Fatalf("%q: the group is open", b)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"a/b; c=d", "a/b; c*0*=utf-8''%20; c*1=\"x\\\"\"", "(c) a / b; e*=x; f=g h=i"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Part
		p.setType(unfold(b))
		p.setDisposition(unfold(b))
		for _, q := range append(p.Params, p.DispositionParams...) {
			if checkText(t, q.Value); q.Name == "" || len(q.Value) > 4*MaxValue {
				t.Fatalf("%q has parameter %q", b, q)
			}
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Fri, 21 Nov 1997 09:55:06 -0600", "2024-01-01T10:00:00.1Z", "1-Jan-24 10:00 PM EDT", "Mon Jan  1 10:00:00 2024", "((", "+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseDate(s)
		if !ok {
			return
		}
		const rfc5322 = "Mon, 2 Jan 2006 15:04:05 -0700"
		if again, ok := ParseDate(d.Format(rfc5322)); !ok || !again.Equal(d) || d.Year() < 1899 {
			t.Fatalf("%q is %v, and that is %v", s, d, again)
		}
	})
}

func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"Re: [a] [fwd: b (fwd)]", "[[", "fw[x]:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if base := BaseSubject(s); BaseSubject(base) != base {
			t.Fatalf("%q: %q is not a base subject", s, base)
		}
	})
}

func FuzzDecoder(f *testing.F) {
	for _, s := range []string{"aGVsbG8=", "a=20 =\r\nb =", "begin 644 x\n#0V%T\nend\n"} {
		f.Add([]byte(s), 0)
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 2)
	}
	encodings := []string{"base64", "quoted-printable", "x-uuencode"}
	f.Fuzz(func(t *testing.T, b []byte, i int) {
		enc := encodings[uint(i)%uint(len(encodings))]
		whole, err := io.ReadAll(NewDecoder(bytes.NewReader(b), enc))
		slow, err2 := io.ReadAll(NewDecoder(iotest.OneByteReader(bytes.NewReader(b)), enc))
		if err != nil || err2 != nil || !bytes.Equal(whole, slow) {
			t.Fatalf("%s of %q: %q %v; octet by octet %q %v", enc, b, whole, err, slow, err2)
		}
	})
}

func FuzzCharsetReader(f *testing.F) {
	for _, c := range charsetVectors {
		f.Add([]byte(c.raw), c.charset)
	}
	f.Fuzz(func(t *testing.T, b []byte, charset string) {
		out, err := io.ReadAll(NewCharsetReader(iotest.HalfReader(bytes.NewReader(b)), charset))
		if err != nil || !utf8.Valid(out) {
			t.Fatalf("%s of %q: %q, %v", charset, b, out, err)
		}
	})
}
