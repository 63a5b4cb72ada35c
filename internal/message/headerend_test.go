package message

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestHeaderEnd(t *testing.T) {
	for _, c := range []struct{ header, body, lead string }{
		{"", "", "\r\n"},
		{"\n", "text\n", ""},
		{"A: b\n\n", "text\n", ""},
		{"A: b\n", "", ""},
		{"A: b", "", ""},
		{"A: b\n folded\n\tC: folded\n\n", "D: text\n", ""},
		// Text without a header, which nothing may turn into one.
		{"", "Disk is full\nplease look\n\nbye\n", "\r\n"},
		{"", "Disk is full\nHost: web1\nhttp://web1/\n\nbye\n", "\r\n"},
		{"", "Disk is full\nFrom: web1\n", "\r\n"},
		{"", "From the desk of Bob\n\nhello\n", "\r\n"},
		{"", " folded\n\nbye\n", "\r\n"},
		{"", "--b\nhello\n", "\r\n"},
		{"", strings.Repeat("text\n", MaxStray/5+2) + "Subject: x\n\n", "\r\n"},
		// A header behind something else.
		{"X-\xc3\xa9: 1\nFrom: a@b\nSubject: s\n\n", "text\n", "X-Stray-Line: "},
		{": x\nSubject: s\n\n", "text\n", "X-Stray-Line: "},
		{" folded\nX-Unknown: a\nResent-To: a@b\n\n", "text\n", "X-Stray-Line: "},
		{"stray\nContent-Type: text/html\n\n", "text\n", "X-Stray-Line: "},
		{"From x@y Mon Jan  1 10:00:00 2024\nX-Unknown: a\n\n", "text\n", "X-Mailbox-Line: "},
		{">From x@y Mon Jan  1 10:00:00 2024\nFrom z\nA: b\n", "", "X-Mailbox-Line: "},
		{"From x@y\nstray\nBcc: a@b\n\n", "text\n", "X-Stray-Line: "},
		// Stray lines in the middle.
		{"A: b\nstray\n\n", "text\n", ""},
		{"A: b\nstray\nBcc: c\n\n", "text\n", ""},
		{"A: b\nFrom x@y\nBcc: c\n\n", "text\n", ""},
		{"A: b\nstray\nC: d\n", "text\nmore text\n", ""},
		{"A: b\n", strings.Repeat("text\n", MaxStray/5+2) + "C: d\n\n", ""},
		{"Content-Type: multipart/mixed;\n boundary=b\n", "--b\nContent-Type: text/html\n\ntext\n", ""},
		{"Content-Type: multipart/mixed; boundary=\"b\"\n--\nSubject: x\n", "--b\n\ntext\n", ""},
		{"Content-Type: multipart/mixed; boundary=b\n--c\n\n", "--b\n\ntext\n", ""},
	} {
		msg := crlf(c.header + c.body)
		p := NewParser()
		p.Write([]byte(msg))
		if _, known := p.Header(); known && c.header != "" && !strings.HasSuffix("\n"+c.header, "\n\n") && !strings.Contains(msg, "--b") && len(msg) < MaxStray {
			t.Errorf("%q: the end is known too early", msg)
		}
		m := p.Finish()
		if got := msg[:m.Header.Size]; got != crlf(c.header) || m.Header.Lead != c.lead {
			t.Errorf("%.200q: header %q, lead %q, want %q, %q", msg, got, m.Header.Lead, crlf(c.header), c.lead)
		}
		checkTraced(t, []byte(msg), m)
	}
}

func TestHeaderTellsTheWay(t *testing.T) {
	m := Parse([]byte(crlf("Received: a\nRECEIVED : b\n Received: folded\nDelivered-To:  a@b \nX: y\ndelivered-to: c\n\nReceived: text\n")))
	if h := m.Header; h.Received != 2 || strings.Join(h.DeliveredTo, ",") != "a@b,c" || h.TLSRequired != nil {
		t.Errorf("%+v", h)
	}
	m = Parse([]byte(crlf("TLS-Required: No\nX: TLS-Required: No\ntls-required :\n yes \nTLS-Required: 3\n\nTLS-Required: No\n")))
	if got := strings.Join(m.Header.TLSRequired, ","); got != "No,yes" {
		t.Errorf("%q", got)
	}
}

// TestEmbeddedMboxLine reads attached messages as programs cut them out of mbox files.
func TestEmbeddedMboxLine(t *testing.T) {
	for _, first := range []string{"From x@y Mon Jan  1 10:00:00 2024", ">From x@y Mon Jan  1 10:00:00 2024"} {
		m := Parse([]byte(crlf(opaque + "--b\nContent-Type: message/rfc822\n\n" + first + "\nSubject: in\nContent-Type: text/html\n\ntext\n--b--\n")))
		part := m.Root.Children[0]
		if got := string(part.Envelope.Subject); got != "in" || part.Children[0].Subtype != "html" {
			t.Errorf("%s: subject %q, %+v", first, got, part.Children[0])
		}
	}
}

func TestPrefixSize(t *testing.T) {
	for _, lead := range []string{"", leadBody, leadMbox, leadStray} {
		if n := PrefixSize([]byte(trace + lead)); n != len(trace) {
			t.Errorf("with %q the trace has %d octets, want %d", lead, n, len(trace))
		}
	}
	if n := PrefixSize(nil); n != 0 {
		t.Errorf("no trace has %d octets", n)
	}
}

// TestStrayLineInEnvelope: a line that a program broke goes on in a subject and in
// a list of addresses; a date and an id end before it.
func TestStrayLineInEnvelope(t *testing.T) {
	e := Parse([]byte(crlf("Date: Mon, 1 Jan 2024\n 10:00:00 +0100\nstray\nMessage-ID: <1@a>\n: x\nSubject: long\nand broken\nTo: a@b,\nc@d\n\ntext\n"))).Envelope
	got := []string{string(e.Date), string(e.MessageID), string(e.Subject)}
	if want := "Mon, 1 Jan 2024 10:00:00 +0100|<1@a>|long and broken"; strings.Join(got, "|") != want || len(e.To) != 2 {
		t.Errorf("%q and %d addresses, want %s", got, len(e.To), want)
	}
}

// TestStrayLineBehindType: what a part is ends before a stray line, unless that goes on
// with its parameters.
func TestStrayLineBehindType(t *testing.T) {
	for _, stray := range []string{"stray", "From x@y Mon Jan  1 10:00:00 2024", "X-\u00e9: 1", ": x", "name=\"no parameter\""} {
		m := Parse([]byte(crlf("Content-Type: multipart/mixed; boundary=b\n" + stray + "\nDelivered-To: a@b\n" + stray + "\n\n--b\nContent-Type: text/html; charset=utf-8\n" + stray +
			"\nContent-Disposition: attachment; filename=x.txt\n" + stray + "\nContent-Transfer-Encoding: 8\n" + stray + "\nContent-ID: <a@b>\n" + stray + "\nContent-Description: long\n" + stray +
			"\n\ntext\n--b--\n")))
		if len(m.Root.Children) != 1 || strings.Join(m.Header.DeliveredTo, ",") != "a@b" {
			t.Errorf("%s: %d parts, delivered to %q", stray, len(m.Root.Children), m.Header.DeliveredTo)
			continue
		}
		p := m.Root.Children[0]
		if got := p.Type + "/" + p.Subtype + " " + p.Param("charset") + " " + p.Disposition + " " + p.Filename() + " " + p.Encoding + " " + p.ID + " " + p.Description; got != "text/html utf-8 attachment x.txt 8 <a@b> long "+stray {
			t.Errorf("%s: %s", stray, got)
		}
	}
	m := Parse([]byte(crlf("Content-Type: multipart/mixed; \nboundary=b\n\n--b\nContent-Type: text/html;\ncharset=utf-8;\n name=x\nstray\n\ntext\n--b--\n")))
	if len(m.Root.Children) != 1 || m.Root.Children[0].Param("charset") != "utf-8" || m.Root.Children[0].Param("name") != "x" {
		t.Errorf("parameters that were not folded: %+v", m.Root)
	}
	// The multipart's first delimiter ends its header, whatever stands behind its type.
	if m := Parse([]byte(crlf("Content-Type: multipart/mixed; boundary=b\nstray\nSubject: x\n--b\n\ntext\n--b--\n"))); len(m.Root.Children) != 1 || m.Subject != "x" {
		t.Errorf("no empty line: %d parts, %q", len(m.Root.Children), m.Subject)
	}
}

// TestHeaderSize: what finds the end of a header alone finds what Parser finds.
func TestHeaderSize(t *testing.T) {
	lines := []string{"A: b\r\n", "From: a@b\r\n", " folded\r\n", "stray\r\n", "From x@y\r\n", "Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n", "\r\n", "text"}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		var text strings.Builder
		for range random.IntN(9) {
			text.WriteString(lines[random.IntN(len(lines))])
		}
		b := []byte(text.String())
		head := b
		if i := bytes.Index(b, []byte("\r\n\r\n")); bytes.HasPrefix(b, []byte("\r\n")) {
			head = b[:2]
		} else if i >= 0 {
			head = b[:i+4]
		}
		if got, want := HeaderSize(head), Parse(b).Header.Size; int64(got) != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	}
}
