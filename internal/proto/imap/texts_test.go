package imap

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"yubin/internal/message"
	"yubin/internal/testkit/mailgen"
)

var golden = flag.Bool("golden", false, "write testdata/texts.golden anew")

// formOf is how a message is kept.
func formOf(t testing.TB, m *message.Message) message.Form {
	form, err := message.ParseForm(message.AppendForm(nil, m))
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	return form
}

// texts is what IMAP shows of a message: ENVELOPE, BODYSTRUCTURE and BODY.
func texts(t testing.TB, m *message.Message) (envelope, structure, body []byte) {
	form := formOf(t, m)
	shown := func(write func(*Fetched)) []byte {
		var b bytes.Buffer
		e := NewEncoder(&b)
		f := e.Fetch(1)
		write(&f)
		f.End()
		_, text, _ := bytes.Cut(bytes.TrimSuffix(b.Bytes(), []byte(")\r\n")), []byte(" FETCH ("))
		_, text, _ = bytes.Cut(text, []byte(" "))
		return text
	}
	return shown(func(f *Fetched) { f.Envelope(form) }), shown(func(f *Fetched) { f.BodyStructure(form) }), shown(func(f *Fetched) { f.Body(form) })
}

// rareShapes are messages that mailgen does not make.
func rareShapes() map[string][]string {
	deep := "text\n"
	for i := range message.MaxDepth + 2 {
		if i%2 == 0 {
			deep = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s--b%d--\n", i, i, deep, i)
		} else {
			deep = "Content-Type: message/rfc822\n\nSubject: at " + fmt.Sprint(i) + "\nTo: a@b\n" + deep
		}
	}
	parts := strings.Repeat("--b\nContent-Type: image/x; name=x\n\ny\n", message.MaxParts+10)
	return map[string][]string{
		"rare-empty":     {"", "\n", "a", "\n\n", "Subject:", "Subject: \n\n", "From:\nSender:\nReply-To:\nTo: ,\n\n"},
		"rare-nul":       {"Subject: a\x00b\nFrom: \x00 <a\x00@b>\nContent-Type: text/plain; name=\"x\x00y\"\n\nx\x00", "Content-Type: a\x00b/c\n\n"},
		"rare-long":      {"Subject: " + strings.Repeat("word ", 199) + "\n\n", "Subject: " + strings.Repeat("x", 1000) + "\n\n", "Subject: " + strings.Repeat("y", 1001) + "\n\n", "Subject: " + strings.Repeat("word ", 30_000) + "\n\n", "To: " + strings.Repeat("a@b, ", message.MaxAddresses+9) + "c@d\n\n"},
		"rare-quotes":    {"Subject: a \"b\" \\ c\nFrom: \"x \\\\ \\\" y\" <\"p q\"@h>\nContent-Disposition: attachment; filename=\"a\\\"b\"\n\n"},
		"rare-eight-bit": {"Subject: gr\xc3\xbc\xc3\x9fe\nFrom: \xe9 <\xe9@\xfc>\nContent-Description: \xff\nContent-Type: text/plain; charset=\xe9; name=\"\xe9\"\n\n"},
		"rare-sender":    {"From: a@b\nSender: c@d\nReply-To: e@f, g@h\n\n", "Sender: c@d\nReply-To: g: x@y;\n\n", "From: a@b\nSender: a@b\nReply-To: a@b\n\n"},
		"rare-fields": {"Content-Type: text/html; charset=utf-8\nContent-ID: <x@y>\nContent-Description: d\nContent-MD5: Q2hlY2s=\nContent-Location: http://x/\nContent-Language: de, en-US\nContent-Disposition: inline; filename=f; size=3\nContent-Transfer-Encoding: 8bit\n\nabc\n",
			"Content-Type: application/pdf; name*0*=utf-8''r%C3%A9s; name*1*=um%C3%A9.pdf\nContent-Disposition: attachment; filename=\"\xc3\xbc\"; filename*=iso-8859-1'de'%FC\nContent-Transfer-Encoding: x-odd\n\nAA"},
		"rare-digest": {"Content-Type: multipart/digest; boundary=b\nContent-Language: en\nContent-Location: l\nContent-Disposition: inline\n\n--b\n\nSubject: in\nIn-Reply-To: <a@b> (c)\nMessage-ID: <d@e>\nDate: now\n\nx\n--b\nContent-Type: text/plain\n\ny\n--b--\n"},
		"rare-global": {"Content-Type: message/global\nContent-Disposition: attachment\n\nSubject: \xc3\xbc\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nx\n--b--\n"},
		"rare-depth":  {deep},
		"rare-parts":  {"Content-Type: multipart/mixed; boundary=b\n\n" + parts + "--b--\n"},
	}
}

// TestTexts: what clients are shown of a message stays what it is, octet for octet.
func TestTexts(t *testing.T) {
	sums := make(map[string][]byte)
	add := func(kind string, octets []byte) {
		sum := sha256.New()
		sum.Write(sums[kind])
		envelope, structure, body := texts(t, message.Parse(octets))
		fmt.Fprintf(sum, "%s\n%s\n%s\n", envelope, structure, body)
		sums[kind] = sum.Sum(nil)
	}
	g := mailgen.New(11, false)
	for range 3000 {
		m := g.Next()
		add(m.Kind, m.Octets)
	}
	for range 20 * mailgen.ExactKinds() {
		m := g.NextExact()
		add(m.Kind, m.Octets)
	}
	for kind, list := range rareShapes() {
		for _, text := range list {
			add(kind, []byte(text))
			add(kind, []byte(strings.ReplaceAll(text, "\n", "\r\n")))
		}
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&b, "%s %x\n", kind, sums[kind][:16])
	}
	if *golden {
		if err := os.WriteFile("testdata/texts.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/texts.golden")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(string(want), line) {
			t.Errorf("another text than before: %s", line)
		}
	}
	if len(want) != b.Len() {
		t.Errorf("%d octets of kinds, want %d", b.Len(), len(want))
	}
}
