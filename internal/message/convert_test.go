package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"yubin/internal/testkit/mailgen"
)

// convert returns b as it is written for a host, or why it is not.
func convert(t testing.TB, b []byte, eight bool) ([]byte, error) {
	t.Helper()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	c, err := PlanConversion(open, eight)
	if err != nil || c == nil {
		return b, err
	}
	out, err := io.ReadAll(c.Reader(bytes.NewReader(b)))
	if err != nil || int64(len(out)) != c.Size {
		t.Fatalf("%d octets were written, %d announced, %v", len(out), c.Size, err)
	}
	return out, nil
}

func lines(s ...string) string { return strings.Join(s, "\r\n") + "\r\n" }

func TestConversion(t *testing.T) {
	long := strings.Repeat("long ", 250)
	for _, c := range []struct {
		name, in, want string
		err            error
		long           bool // only for its lines: the host takes 8-bit octets
	}{
		{name: "ASCII stays", in: lines("Subject: a", "", "text"), want: lines("Subject: a", "", "text")},
		{
			name: "text gets quoted-printable, and says what it is",
			in:   lines("Subject: a", "", "Grüße an alle, die das hier lesen können"),
			want: lines("Subject: a", "Content-Transfer-Encoding: quoted-printable", "MIME-Version: 1.0",
				"Content-Type: text/plain; charset=utf-8", "", "Gr=C3=BC=C3=9Fe an alle, die das hier lesen k=C3=B6nnen"),
		},
		{
			name: "what no charset explains",
			in:   lines("Subject: a", "", "caf\xe9 au lait, s'il vous pla\xeet, et un croissant"),
			want: lines("Subject: a", "Content-Transfer-Encoding: quoted-printable", "MIME-Version: 1.0",
				"Content-Type: text/plain; charset=unknown-8bit", "", "caf=E9 au lait, s'il vous pla=EEt, et un croissant"),
		},
		{
			name: "where base64 is shorter",
			in:   lines("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "Subject: a", "", "郵便局"),
			want: lines("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "Subject: a", "", "6YO15L6/5bGADQo="),
		},
		{
			name: "part by part; those around them say 7bit; what is between them has no meaning",
			in: lines("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: 8bit", "", "préambule",
				"--b", "", "plain", "--b", "Content-Type: text/html; charset=utf-8", "content-transfer-encoding: 8BIT", "Content-Transfer-Encoding: binary", "",
				"<p>ein Wort mit ß und viel mehr Text", "--b", "Content-Type: application/x", "", "\xff\xfe", "--b--"),
			want: lines("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: 7bit", "", "pr??ambule",
				"--b", "", "plain", "--b", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
				"<p>ein Wort mit =C3=9F und viel mehr Text", "--b", "Content-Type: application/x", "Content-Transfer-Encoding: base64", "", "//4=", "--b--"),
		},
		{
			name: "in a message within, which becomes MIME",
			in:   lines("Content-Type: message/rfc822", "Content-Transfer-Encoding: 8bit", "MIME-Version: 1.0", "", "Subject: inner", "", "ein ü in längerem Text, der lesbar bleibt"),
			want: lines("Content-Type: message/rfc822", "Content-Transfer-Encoding: 7bit", "MIME-Version: 1.0", "", "Subject: inner",
				"Content-Transfer-Encoding: quoted-printable", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "", "ein =C3=BC in l=C3=A4ngerem Text, der lesbar bleibt"),
		},
		{
			name: "a label that says more than is there",
			in:   lines("MIME-Version: 1.0", "Content-Type: text/plain", "Content-Transfer-Encoding: binary", "", "a"),
			want: lines("MIME-Version: 1.0", "Content-Type: text/plain", "Content-Transfer-Encoding: 7bit", "", "a"),
		},
		{name: "a header cannot be encoded", in: lines("Subject: ü", "", "ü"), err: ErrUnconvertible},
		{name: "nor can what says how mail failed", in: lines("Content-Type: message/delivery-status", "", "Action: ü"), err: ErrUnconvertible},
		{name: "signed by others", in: lines("DKIM-Signature: v=1", "Subject: a", "", "ü"), err: ErrSealed},
		{name: "sealed by others", in: lines("ARC-Message-Signature: i=1", "Subject: a", "", "ü"), err: ErrSealed},
		{name: "signed inside", in: lines("Content-Type: multipart/signed; boundary=b", "", "--b", "", "ü", "--b", "Content-Type: application/pgp-signature", "", "x", "--b--"), err: ErrSealed},
		{name: "encrypted", in: lines("Content-Type: multipart/encrypted; boundary=b", "", "--b", "Content-Type: application/pgp-encrypted", "", "Version: 1", "--b", "", "ü", "--b--"), err: ErrSealed},
		{name: "encrypted, within", in: lines("Content-Type: multipart/mixed; boundary=a", "", "--a", "Content-Type: multipart/encrypted; boundary=b", "", "--b", "", "ü", "--b--", "--a--"), err: ErrSealed},
		{name: "signed, but nothing has to change", in: lines("DKIM-Signature: v=1", "", "u"), want: lines("DKIM-Signature: v=1", "", "u")},
		{
			name: "long lines", long: true,
			in: lines("MIME-Version: 1.0", "Content-Type: text/plain", "", long+"ü"),
			want: lines("MIME-Version: 1.0", "Content-Type: text/plain", "Content-Transfer-Encoding: quoted-printable", "",
				strings.Repeat(strings.Repeat("long ", 15)+"=\r\n", 16)+strings.Repeat("long ", 10)+"=C3=BC"),
		},
		{name: "8-bit octets where they may be", long: true, in: lines("", "ü"), want: lines("", "ü")},
		{
			name: "base64 with junk is made anew",
			in:   lines("MIME-Version: 1.0", "Content-Type: application/x", "Content-Transfer-Encoding: base64", "", "AAEC\xffAw=="),
			want: lines("MIME-Version: 1.0", "Content-Type: application/x", "Content-Transfer-Encoding: base64", "", "AAECAw=="),
		},
		{name: "an encoding nobody knows", in: lines("Content-Transfer-Encoding: x-own", "", "ü"), err: ErrUnconvertible},
	} {
		got, err := convert(t, []byte(c.in), !c.long)
		if !errors.Is(err, c.err) || c.err == nil && string(got) != c.want {
			t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", c.name, err, got, c.want)
		}
	}
}

// checkConverted verifies that b, converted, can go to a host, and that who
// reads it reads the same.
func checkConverted(t *testing.T, b []byte, eight bool) (changed bool) {
	t.Helper()
	got, err := convert(t, b, eight)
	if err != nil {
		if !errors.Is(err, ErrSealed) && !errors.Is(err, ErrUnconvertible) {
			t.Fatal(err)
		}
		return false
	}
	was, is := Parse(b), Parse(got)
	if eight && bytes.ContainsFunc(got, func(r rune) bool { return r >= 0x80 }) {
		t.Fatalf("octets over 127 are left of %q: %q", b, got)
	}
	sameParts(t, b, got, was.Root, is.Root)
	if again, err := convert(t, got, eight); err != nil || !bytes.Equal(again, got) {
		t.Fatalf("a second conversion changes it again, %v: %q\n%q", err, got, again)
	}
	return !bytes.Equal(b, got)
}

func sameParts(t *testing.T, a, b []byte, p, q *Part) {
	t.Helper()
	if len(p.Children) != len(q.Children) || p.Type != q.Type || p.Subtype != q.Subtype {
		t.Fatalf("%s/%s with %d parts became %s/%s with %d:\n%q\n%q", p.Type, p.Subtype, len(p.Children), q.Type, q.Subtype, len(q.Children), a, b)
	}
	for i := range p.Children {
		sameParts(t, a, b, p.Children[i], q.Children[i])
	}
	if len(p.Children) > 0 {
		return
	}
	want, got := decoded(a, p), decoded(b, q)
	if !bytes.Equal(bytes.TrimSuffix(want, []byte("\r\n")), bytes.TrimSuffix(got, []byte("\r\n"))) {
		t.Fatalf("a part reads otherwise:\n%q\n%q\nin\n%q\n%q", want, got, a, b)
	}
}

func decoded(b []byte, p *Part) []byte {
	out, _ := io.ReadAll(NewDecoder(bytes.NewReader(b[p.Body:p.End]), p.Encoding))
	return out
}

func TestConvertedMailReadsAlike(t *testing.T) {
	g := mailgen.New(7, false)
	changed := 0
	for range 10 * mailgen.Kinds() {
		m := g.Next()
		for _, eight := range []bool{false, true} {
			if checkConverted(t, m.Octets, eight) {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("nothing was converted")
	}
}

func FuzzConversion(f *testing.F) {
	for _, m := range seedMessages() {
		f.Add([]byte(m), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, eight bool) { checkConverted(t, b, eight) })
}

func TestConversionOfManyPartsIsLinear(t *testing.T) {
	var b strings.Builder
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range MaxParts - 1 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nTeil %d für alle, die ihn lesen\r\n", i)
	}
	b.WriteString("--b--\r\n")
	if !checkConverted(t, []byte(b.String()), true) {
		t.Error("nothing was converted")
	}
}
