package message

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// checkTiling verifies the invariants that the package comment states.
func checkTiling(t *testing.T, b []byte, m *Message) {
	t.Helper()
	r := m.Root
	if r == nil || m.Envelope == nil || m.Size != int64(len(b)) || r.Offset != 0 || r.End != m.Size || r.Body != m.Header.Size {
		t.Fatalf("root does not span the message: %+v of %d", r, m.Size)
	}
	if len(m.Preview) > MaxPreview || len(m.Subject) > MaxSubject || len(m.Refs) > MaxRefs {
		t.Fatalf("over a limit: preview %d, subject %d, refs %d", len(m.Preview), len(m.Subject), len(m.Refs))
	}
	checkPart(t, b, r)
}

func checkPart(t *testing.T, b []byte, p *Part) {
	t.Helper()
	if p.Offset > p.Body || p.Body > p.End || p.Offset < 0 || p.End > int64(len(b)) {
		t.Fatalf("part %s/%s at %d %d %d", p.Type, p.Subtype, p.Offset, p.Body, p.End)
	}
	if want := countLines(b[p.Body:p.End]); p.Lines != want {
		t.Fatalf("part %s/%s has %d lines, want %d: %q", p.Type, p.Subtype, p.Lines, want, b[p.Body:p.End])
	}
	if p.Type == "" || p.Subtype == "" || p.IsMessage() != (p.Envelope != nil) {
		t.Fatalf("part %q/%q with envelope %v", p.Type, p.Subtype, p.Envelope)
	}
	if n := len(p.Children); p.IsMultipart() && n == 0 || p.IsMessage() && n != 1 || !p.IsMultipart() && !p.IsMessage() && n != 0 {
		t.Fatalf("%s/%s has %d children", p.Type, p.Subtype, n)
	}
	at := p.Body
	for _, c := range p.Children {
		if c.Offset < at || c.End > p.End {
			t.Fatalf("child at %d to %d is not in order in %d to %d", c.Offset, c.End, at, p.End)
		}
		if p.IsMessage() && (c.Offset != p.Body || c.End != p.End) {
			t.Fatalf("embedded message %d to %d does not fill %d to %d", c.Offset, c.End, p.Body, p.End)
		}
		checkPart(t, b, c)
		at = c.End
	}
}

func countLines(b []byte) int64 {
	n := int64(bytes.Count(b, []byte("\n")))
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return n
}

// parseIn parses b in the chunks that next gives the sizes of.
func parseIn(b []byte, next func() int) *Message {
	p := NewParser()
	for len(b) > 0 {
		n := min(max(1, next()), len(b))
		p.Write(bytes.Clone(b[:n])) // the parser must not keep what it was given
		b = b[n:]
	}
	return p.Finish()
}

func sameMessage(t *testing.T, want, got *Message, how string) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Part{}), cmp.AllowUnexported(Surrogate{}, surrogateZone{})); d != "" {
		t.Fatalf("%s changes the result:\n%s", how, d)
	}
}

func TestChunkingAndTiling(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	seeds := seedMessages()
	for i := range 4000 {
		b := bytes.Clone(seeds[i%len(seeds)])
		if i >= len(seeds) {
			b = mutate(rnd, b, seeds)
		}
		want := Parse(b)
		checkTiling(t, b, want)
		checkTraced(t, b, want)
		if len(b) < 20000 {
			sameMessage(t, want, parseIn(b, func() int { return 1 }), "octet by octet")
		}
		sameMessage(t, want, parseIn(b, func() int { return rnd.IntN(40) }), "random chunks")
	}
}

// mutate cuts, doubles, and overwrites pieces of b, and puts pieces of others in.
func mutate(rnd *rand.Rand, b []byte, seeds [][]byte) []byte {
	spices := []string{"\r", "\n", "\r\n", "\r\n\r\n", "--", "--b\r\n", "-", "\x00", "\"", "(", ":", "=?", "\xff", ";", "\r\n--b--\r\n", " "}
	for range 1 + rnd.IntN(6) {
		if len(b) == 0 {
			return b
		}
		i := rnd.IntN(len(b))
		j := i + rnd.IntN(min(len(b)-i, 60)+1)
		switch rnd.IntN(5) {
		case 0:
			b = append(b[:i:i], b[j:]...)
		case 1:
			b = append(b[:j:j], b[i:]...)
		case 2:
			b[i] = byte(rnd.IntN(256))
		case 3:
			b = append(b[:i:i], append([]byte(spices[rnd.IntN(len(spices))]), b[i:]...)...)
		case 4:
			o := seeds[rnd.IntN(len(seeds))]
			k := rnd.IntN(len(o) + 1)
			b = append(b[:i:i], append(bytes.Clone(o[k:min(len(o), k+80)]), b[i:]...)...)
		}
	}
	return b
}

// strayLines are lines that are no fields.
func strayLines() []string {
	return []string{"Disk is full", "please look: now", "X-\xc3\xa9: 1", ": x", " folded", "From x@y Mon Jan  1 10:00:00 2024", ">From x@y Mon",
		"From x@y\n>From z", "--b", "\r", "\x00", " ", "two\nstray lines", "From x@y\nstray"}
}

// seedMessages are messages of every form, also for the fuzzers.
func seedMessages() [][]byte {
	texts := []string{
		"", "\n", "a", "-", "--", "Subject: x",
		crlf("Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\nFrom: A <a@b>, g: c@d;, e@f (E)\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n\nhi\n> quoted\n"),
		crlf("Content-Type: multipart/mixed; boundary=b\n\npre\n--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>a=20b\n--b\n" +
			"Content-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/alternative; boundary=bb\n\n--bb\n\nx\n--bb--\n\n--b\nContent-Type: image/png;\n" +
			" name*0*=utf-8''a%20; name*1=b\nContent-Disposition: attachment; filename=\"x y\"\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\nepi\n"),
		crlf("Content-Type: multipart/digest; boundary=\"-\"\n\n---\n\nSubject: a\n\nb\n---\n\nSubject: c\n-----\n"),
		crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\nstray line\nother\n--b\nContent-Type: message/rfc822\nstray\n--b--\n"),
		"Content-Type: multipart/mixed; boundary=b\n--b\n\nx\r--b\r\n\r\n\r\n--bx\n\n--b--",
		crlf("From x y\n>From z\nReferences: <1@a> <2@b>\nIn-Reply-To: <3@c>\nMessage-ID: <4@d>\n\n-\n--\n- -\n"),
	}
	for _, first := range strayLines() {
		texts = append(texts, crlf(first+"\nFrom: a@b\nSubject: s\n\ntext\n"), crlf(first+"\nX-Unknown: y\n\ntext\n"), crlf(first+"\n"),
			crlf("From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"+first+"\nSubject: in\n\ntext\n--b--\n"))
	}
	var out [][]byte
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return append(out, textMessage(2000), attachment(2000))
}

// trace is what a server puts before a message.
const trace = "Return-Path: <a@b>\r\nDelivered-To: c@d\r\nReceived: from x by y;\r\n\tMon, 1 Jan 2024 10:00:00 +0100\r\n"

// checkTraced verifies that b reads alike with fields before it.
func checkTraced(t *testing.T, b []byte, want *Message) {
	t.Helper()
	prefix := trace + want.Header.Lead
	whole := append([]byte(prefix), b...)
	got := Parse(whole)
	if got.Header.Size != want.Header.Size+int64(len(prefix)) {
		t.Fatalf("%q has a header of %d octets, and one of %d-%d with a trace", b, want.Header.Size, got.Header.Size, len(prefix))
	}
	if got.Header.Lead != "" || !bytes.HasPrefix(whole[:got.Header.Size], []byte(trace)) {
		t.Fatalf("%q: the header with a trace leads with %q", b, got.Header.Lead)
	}
	shifted := keptAs(t, want)
	shifted.Root.Shift(int64(len(prefix)))
	sameForm(t, shifted, got)
	got.Root, got.Size, got.Header, got.Surrogate = want.Root, want.Size, want.Header, want.Surrogate
	sameMessage(t, want, got, "a trace")
}
