package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// keptAs returns m as it is read of its form.
func keptAs(t testing.TB, m *Message) *Message {
	t.Helper()
	form, err := ParseForm(AppendForm([]byte("x"), m)[1:])
	if err == nil {
		err = form.Check()
	}
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	return messageOf(form)
}

// messageOf is all that a form says.
func messageOf(f Form) *Message {
	root, part := f.Root(), f.Part()
	addEnvelopes(root, &part)
	return &Message{Envelope: envelopeOf(f.Envelope()), Root: root, Repeats: f.Repeats()}
}

// addEnvelopes adds to p and what is below it what from has.
func addEnvelopes(p *Part, from *FormPart) {
	if p.IsMessage() {
		p.Envelope = envelopeOf(from.Envelope())
	}
	var child FormPart
	children := from.Parts()
	for i := 0; children.Next(&child); i++ {
		addEnvelopes(p.Children[i], &child)
	}
}

func envelopeOf(e FormEnvelope) *Envelope {
	lists := [6][]MailAddress{}
	for i, list := range [...]FormAddresses{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		for a, ok := list.Next(); ok; a, ok = list.Next() {
			lists[i] = append(lists[i], MailAddress{a.Name.Octets(), a.Route.Octets(), a.Mailbox.Octets(), a.Host.Octets(), a.Group()})
		}
	}
	return &Envelope{e.Date.Octets(), e.Subject.Octets(), lists[0], lists[1], lists[2], lists[3], lists[4], lists[5], e.InReplyTo.Octets(), e.MessageID.Octets()}
}

// sameForm compares all that a form has of two messages. Nothing and empty differ
// where they do to clients.
func sameForm(t testing.TB, want, got *Message) {
	t.Helper()
	if want.Repeats != got.Repeats {
		t.Fatalf("Repeats is %v", got.Repeats)
	}
	if d := cmp.Diff(want.Envelope, got.Envelope, cmp.FilterPath(isList, cmpopts.EquateEmpty())); d != "" {
		t.Fatalf("envelope changed:\n%s", d)
	}
	if d := cmp.Diff(want.Root, got.Root, cmp.AllowUnexported(Part{}), cmpopts.IgnoreFields(Part{}, "delimiter", "encoded"),
		cmp.FilterPath(isList, cmpopts.EquateEmpty())); d != "" {
		t.Fatalf("structure changed:\n%s", d)
	}
}

// isList reports whether a field is a list, of which none is as good as an empty one.
func isList(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && strings.Contains(" From Sender ReplyTo To Cc Bcc Params DispositionParams Languages Children ", " "+f.Name()+" ")
}

func TestFormRoundTrip(t *testing.T) {
	for _, b := range append(seedMessages(), []byte("Subject: a\nSubject: b\n"), []byte("Content-Type: a/b; x*=utf-8''%C3%A9\nContent-Disposition: c; n*0=a; n*1=b\nContent-Language: de, x\n"+
		"Content-ID: i\nContent-MD5: m\nContent-Location: l\nContent-Description: \"\nSubject:\nSender: s@s\n")) {
		m := Parse(b)
		sameForm(t, m, keptAs(t, m))
	}
}

// TestFormBehind: with a trace block before the message its parts are where they
// are then.
func TestFormBehind(t *testing.T) {
	for _, b := range seedMessages() {
		m := Parse(b)
		form, err := ParseForm(AppendForm(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		got := messageOf(form.Behind(300).Behind(21))
		m.Root.Shift(321)
		sameForm(t, m, got)
	}
}

// TestFormGolden: what is stored is read for ever.
func TestFormGolden(t *testing.T) {
	m := Parse([]byte(crlf("From: J \"Q\" <j@x.example>, g: a@b;\nSubject: =?utf-8?q?x?=\nSubject: \nMessage-ID: <1@x>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" +
		"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename*=utf-8''%C3%A9\n\n--b\nContent-Type: message/rfc822\n\nTo: \xfc\n\nx\n--b--\n")))
	const want = "\x01\x01" + "2(}=" + "<\x006=?utf-8?q?x?=\x00\x16<1@x>" + // flags, checksum, envelope: Date, Subject, In-Reply-To, Message-ID
		" \x0eJ Q\x00\x06j&x.example" + "\x00\x00\x06g\x00" + "\x00\x00\x06a\x06b" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00" + // From, and no other lists
		"^\x01\a\t\x00\x87\x01\xc4\x01\f\x03A\x06b" + // multipart/mixed; boundary=b
		"+/\x01\x05\x05\x87\x01\x00\x00\x0279_c\x04E\bé\x18&filename*6utf-8''%C3%A9" + // text/html, an attachment
		"$\x80\x10\x15\x17\x91\x01 \n\x03\x0f\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x04\xfc\x02\x00\x00" + "\n\x01\x01\x03\x00\t\x01\x01\x027;" // message/rfc822, its To, its text
	if got := string(AppendForm(nil, m)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestFormSize(t *testing.T) {
	for name, b := range map[string][]byte{"text": textMessage(4096), "attachment": attachment(4096)} {
		m := Parse(b)
		held := len(m.Envelope.Date) + len(m.Envelope.Subject) + len(m.Envelope.MessageID) + len(m.Envelope.InReplyTo)
		for _, list := range [][]MailAddress{m.Envelope.From, m.Envelope.To, m.Envelope.Cc} {
			for _, a := range list {
				held += len(a.Name) + len(a.Mailbox) + len(a.Host) + 4
			}
		}
		parts := 15 + 17*len(m.Root.Children)
		if n := len(AppendForm(nil, m)); n > held+parts+25 {
			t.Errorf("%s: %d octets for %d of the envelope", name, n, held)
		}
	}
}

// TestFormLimit: no message has a form beyond the bound.
func TestFormLimit(t *testing.T) {
	grows := "Content-Type: a/b; name=\"" + strings.Repeat("\xff", 1000) + "\"\n\n"
	twice := "Content-Type: a/b; n*0*=a; n*1=\"" + strings.Repeat("\xff", 3*MaxValue/4) + "\"\n\n" // decoded, and in %FF
	short := "Content-Type: a/b; " + strings.Repeat("a*=''b;", MaxParams) + "\n\n"
	for _, head := range []string{grows, twice, short, "a:b\n\n"} {
		m := Parse([]byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n"+head, MaxParts+1)))
		b := AppendForm(nil, m)
		if len(b) > MaxForm {
			t.Errorf("%.30q: %d octets", head, len(b))
		}
		sameForm(t, m, keptAs(t, m))
	}
	huge := Parse([]byte("x"))
	huge.Root.Description = strings.Repeat("x", MaxForm)
	if _, err := ParseForm(AppendForm(nil, huge)); !errors.Is(err, ErrForm) {
		t.Errorf("of %d octets: %v", MaxForm, err)
	}
}

// sealed is a form whose checksum is right, whatever it says.
func sealed(text string) []byte {
	b := append([]byte{formVersion, 0, 0, 0, 0, 0}, text...)
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[formHead:], castagnoli))
	return b
}

// TestFormDamaged: no octet of a form can change unnoticed.
func TestFormDamaged(t *testing.T) {
	good := AppendForm(nil, Parse(seedMessages()[7]))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		for _, b := range [][]byte{bad, good[:i]} {
			if _, err := ParseForm(b); !errors.Is(err, ErrForm) {
				t.Errorf("at %d: %v", i, err)
			}
		}
	}
	if _, err := ParseForm(append(good, 0)); !errors.Is(err, ErrForm) {
		t.Errorf("with more: %v", err)
	}
}

// TestFormCheck: what has a checksum and is no form is told, and reading it does
// no harm.
func TestFormCheck(t *testing.T) {
	const envelope, leaf = "\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x07\x00\x01\x03\x00\x00\x00\x00" // empty; text/plain
	deep := leaf
	for range 10 * MaxDepth {
		deep = string(closeList([]byte("\x00\x07\x09\x00\x00\x00\x00"+deep), 0))
	}
	for name, text := range map[string]string{
		"nothing":                 "",
		"more":                    envelope + leaf + "\x00",
		"a host without mailbox":  "\x0e\x00\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00\x00\x00" + leaf,
		"too deep":                envelope + deep,
		"multipart without parts": envelope + "\x07\x00\x07\x09\x00\x00\x00\x00",
		"message without one":     envelope + "\x07\x00\x15\x17\x00\x00\x00\x00",
		"leaf with a part":        envelope + "\x0f\x00\x01\x03\x00\x00\x00\x00" + leaf,
		"child outside":           envelope + "\x0f\x00\x07\x09\x00\x00\x05\x00\x07\x00\x01\x03\x06\x00\x00\x00",
		"overlapping children":    envelope + "\x17\x00\x07\x09\x00\x00\x05\x00\x07\x00\x01\x03\x00\x00\x03\x00\x07\x00\x01\x03\x02\x00\x01\x00",
		"unknown name":            envelope + "\x08\x00\xff\x01\x03\x00\x00\x00\x00",
		"unknown field":           envelope + "\x09\x80\x20\x01\x03\x00\x00\x00\x00",
		"huge":                    envelope + "\x0f\x00\x01\x03\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00",
		"a list too long":         envelope + "\x0a\x01\x01\x03\x00\x00\x00\x00\x7f\x01\x01",
		"many parameters":         envelope + string(closeList([]byte("\x01\x01\x03\x00\x00\x00\x00"+string(closeList([]byte(strings.Repeat("\x01", 2*MaxParams+2)), 0))), 0)),
	} {
		form, err := ParseForm(sealed(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := form.Check(); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
		messageOf(form)
	}
	form, err := ParseForm(sealed(envelope + leaf))
	if err != nil || form.Check() != nil {
		t.Errorf("what the others are made from: %v, %v", err, form.Check())
	}
}

func TestNames(t *testing.T) {
	if len(nameIndex) != len(names) {
		t.Error("a word stands twice in names")
	}
	for _, n := range names {
		if !standsAlone(n) {
			t.Errorf("%q is not plain", n)
		}
	}
	// What is stored depends on these places for ever.
	for i, want := range map[int]string{0: "text", 3: "multipart", 28: "utf-8", 47: "base64", 79: "euc-kr"} {
		if names[i] != want {
			t.Errorf("names[%d] is %q, want %q", i, names[i], want)
		}
	}
}

// FuzzForm: whatever is read as a form does no harm, and what Check passes says the
// same when it is written again.
func FuzzForm(f *testing.F) {
	for _, m := range seedMessages() {
		f.Add(AppendForm(nil, Parse(m)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < formHead {
			return
		}
		b = sealed(string(b[formHead:]))
		before := bytes.Clone(b)
		form, err := ParseForm(b)
		if err != nil {
			t.Fatal(err)
		}
		m := messageOf(form)
		if form.Check() != nil {
			return
		}
		sameForm(t, m, keptAs(t, m))
		if !bytes.Equal(b, before) {
			t.Fatal("reading changes it")
		}
	})
}

func BenchmarkForm(b *testing.B) {
	for name, octets := range map[string][]byte{"text": textMessage(4096), "attachment": attachment(4096)} {
		m := Parse(octets)
		form := AppendForm(nil, m)
		b.Run("append/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AppendForm(nil, m)
			}
			b.ReportMetric(float64(len(form)), "octets")
		})
		b.Run("parse/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseForm(form); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("root/"+name, func(b *testing.B) {
			f, _ := ParseForm(form)
			b.ReportAllocs()
			for b.Loop() {
				f.Root()
			}
		})
	}
}

// TestFormAtTheLimits: what has more of anything than is kept gives a form that keeps to its own rules.
func TestFormAtTheLimits(t *testing.T) {
	text := "\r\n\r\ntext\r\n"
	many := map[string]func(n int) string{
		"groups":           func(n int) string { return "To: " + strings.Repeat("x:", n) + text },
		"groups that end":  func(n int) string { return "To: " + strings.Repeat("x:;", n) + text },
		"groups of one":    func(n int) string { return "To: " + strings.Repeat("x:a@b;", n) + text },
		"angles in groups": func(n int) string { return "To: x:" + strings.Repeat("<a@b>,", n) + text },
		"addresses":        func(n int) string { return "To: " + strings.Repeat("a@b,", n) + text },
		"two fields": func(n int) string {
			return "To: " + strings.Repeat("a@b,", n/2) + "\r\nCc: " + strings.Repeat("x:;", n/2) + text
		},
		"a last group": func(n int) string { return "To: " + strings.Repeat("a@b,", n-1) + "x:a@b, c@d;" + text },
		"an inner message": func(n int) string {
			return "Content-Type: message/rfc822\r\nTo: " + strings.Repeat("a@b,", n-2) + "\r\n\r\nFrom: x:y@z;\r\nTo: " + strings.Repeat("x:", n) + text
		},
		"parameters": func(n int) string { return "Content-Type: text/plain" + strings.Repeat("; a=b", n) + text },
		"pieces": func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "; a*%d=b", i)
			}
			return "Content-Type: text/plain" + b.String() + text
		},
		"languages": func(n int) string { return "Content-Language: " + strings.Repeat("en,", n) + text },
		"parts": func(n int) string {
			return "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n\r\n", n) + "--x--\r\n"
		},
		"messages in messages": func(n int) string { return strings.Repeat("Content-Type: message/rfc822\r\n\r\n", n) + "text\r\n" },
	}
	for name, of := range many {
		for _, limit := range []int{MaxLanguages, MaxDepth, MaxParams, MaxParts, 2 * MaxParts, MaxAddresses / 2, MaxAddresses} {
			for n := limit - 4; n <= limit+4; n++ {
				form, err := ParseForm(AppendForm(nil, Parse([]byte(of(n)))))
				if err != nil || form.Check() != nil {
					t.Fatalf("%d %s: %v, %v", n, name, err, form.Check())
				}
			}
		}
	}
}
