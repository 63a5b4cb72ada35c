package smtpd

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// edited is what becomes of a message that is submitted.
func edited(msg string, add additions) string {
	h := message.Parse([]byte(msg)).Header
	return string(appendEdited(nil, []byte(msg[:h.Size]), h.Lead, add)) + msg[h.Size:]
}

func TestAppendEdited(t *testing.T) {
	add := additions{
		date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 9*3600)),
		id:   "x@y",
		from: mail.Address{Local: "a b", Domain: "c.example"},
	}
	for _, test := range []struct {
		header string
		add    additions
		want   string
	}{
		{"", additions{}, "\r\n"},
		{"", add, "Date: Fri, 2 Jan 2026 03:04:05 +0900\r\nFrom: \"a b\"@c.example\r\nMessage-ID: <x@y>\r\n\r\n"},
		{"A: b", additions{}, "A: b\r\n\r\n"},
		{"A: b\r\n", additions{}, "A: b\r\n\r\n"},
		{"A: b\r\n\r\n", additions{}, "A: b\r\n\r\n"},
		{"Bcc: a\r\n\r\n", additions{}, "\r\n"},
		{"Bcc: a,\r\n b,\r\n\tc\r\nA: b\r\n\r\n", additions{}, "A: b\r\n\r\n"},
		{"A: b\r\n Bcc: folded\r\nbCC : x\r\n\r\n", additions{}, "A: b\r\n Bcc: folded\r\n\r\n"},
		{"Bcc-X: a\r\nXBcc: b\r\n\r\n", additions{}, "Bcc-X: a\r\nXBcc: b\r\n\r\n"},
		{"Resent-Bcc: a\r\nReturn-Path: <b>\r\nZ: c\r\nBcc:", additions{}, "Z: c\r\n\r\n"},
		{"A: b\r\nBcc" + strings.Repeat(" ", 300) + ": a\r\n\r\n", additions{}, "A: b\r\n\r\n"},
		// Stray lines end no header, and are not left for others to stumble over.
		{"A: b\r\nstray\r\nBcc: c\r\n\r\ntext", additions{}, "A: b\r\n stray\r\n\r\ntext"},
		{"A: b\r\nFrom x@y Mon\r\nBcc: c\r\nstray\r\n\r\n", additions{}, "A: b\r\n From x@y Mon\r\n\r\n"},
		{"From x@y Mon\r\nBcc: c\r\nA: b\r\n\r\n", additions{}, "X-Mailbox-Line: From x@y Mon\r\nA: b\r\n\r\n"},
		{"X-\u00e9: 1\r\ntwo\r\nBcc: c\r\n\r\n", additions{}, "X-Stray-Line: X-\u00e9: 1\r\n two\r\n\r\n"},
		{" folded\r\nBcc: c\r\n\r\n", additions{}, "X-Stray-Line:  folded\r\n\r\n"},
		// What is text stays text.
		{"Disk is full\r\nBcc: c", additions{}, "\r\nDisk is full\r\nBcc: c"},
		{"A: b\r\nDisk is full\r\n", additions{}, "A: b\r\n\r\nDisk is full\r\n"},
		{"A: b\r\n\r\nBcc: c\r\n", additions{}, "A: b\r\n\r\nBcc: c\r\n"},
	} {
		if got := edited(test.header, test.add); got != test.want {
			t.Errorf("%q became %q, want %q", test.header, got, test.want)
		}
	}
}

// The newest Resent block is the first one; what stands below a block that has its
// Resent-From belongs to an older one.
func TestResentBlock(t *testing.T) {
	for header, want := range map[string]string{
		"From: a@b\r\nDate: x\r\n":                                                              "",
		"Resent-From: r\r\nResent-To: t\r\nFrom: a\r\n":                                         "r",
		"RESENT-from : r\r\nResent-Sender: s\r\nFrom: a\r\n":                                    "r s",
		"Resent-From: r\r\nResent-From: old\r\nResent-Sender: old\r\n":                          "r",
		"Resent-From: r\r\nReceived: x\r\nResent-Sender: old\r\nResent-From: old\r\n":           "r",
		"Resent-Date: d\r\nTo: t\r\nResent-From: r\r\nResent-Sender: s\r\nResent-Date: old\r\n": "r s",
		"Resent-Date: d\r\nResent-Date: old\r\nResent-From: old\r\n":                            "",
		"Resent-To: t\r\n": "",
	} {
		s := readSubmitted([]byte(header))
		got := string(bytes.TrimSpace(bytes.Join(append(s.resent.from, s.resent.sender...), []byte(" "))))
		if strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("%q is sent again by %q, want %q", header, got, want)
		}
	}
}

func TestDisguisedNames(t *testing.T) {
	for header, want := range map[string]bool{
		"From: a\r\nX-From: b\r\nFrom-X: c\r\nFro: d\r\n": false,
		"From : a\r\n":               false,
		"From\u00a0: a\r\n":          true,
		"\u200bFROM: a\r\n":          true,
		"Sen\u00adder: a\r\n":        true,
		"Resent-From\xff: a\r\n":     true,
		"Subject\u00a0: nothing\r\n": false,
		"X: y\r\n From: z\r\n":       false,
	} {
		if got := readSubmitted([]byte(header)).disguised; got != want {
			t.Errorf("%q: disguised %v", header, got)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, text := range []string{
		"From: a@b\r\nBcc: c,\r\n d\r\nReceived: x\r\n\r\nBcc: body\r\n", "no header at all", " \r\n:\r\nA:\n\nB: \r\r\n",
		"From : a\r\nFROM\t: b\r\nstray\r\nSender:c\r\n\r\n", "From x@y\r\nBcc: c\r\n\r\n", "stray\r\nResent-bcc : c\r\nstray\r\n\r\n", "Content-Type: multipart/mixed; boundary=b\r\n--b\r\nBcc: c\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := message.Parse(text)
		out := []byte(edited(string(text), additions{}))
		after := message.Parse(out)
		header, body := out[:after.Header.Size], out[after.Header.Size:]
		if !bytes.Equal(body, text[before.Header.Size:]) || !bytes.HasSuffix(header, []byte("\r\n")) {
			t.Fatalf("%q was edited to %q, which ends its header elsewhere", text, out)
		}
		for line := range bytes.Lines(header) {
			if n := len(bytes.TrimRight(line, "\r\n")); n > 0 && line[0] != ' ' && line[0] != '\t' && bytes.IndexByte(line, ':') < 1 {
				t.Fatalf("%q was edited to %q, of which %q is no field", text, header, line)
			}
		}
		var from, sender int // of those that read the header line by line
		for line := range bytes.Lines(header) {
			name, _, ok := bytes.Cut(bytes.ToLower(line), []byte(":"))
			switch name = bytes.TrimRight(name, " \t"); {
			case ok && string(name) == "from":
				from++
			case ok && string(name) == "sender":
				sender++
			}
		}
		if s := readSubmitted(text[:before.Header.Size]); len(s.from) != from || len(s.sender) != sender {
			t.Fatalf("%q was edited to %q: %d From and %d Sender were looked at", text, header, len(s.from), len(s.sender))
		}
		if after.Header.Received != before.Header.Received {
			t.Fatalf("%q has %d hops, edited %d", text, before.Header.Received, after.Header.Received)
		}
		for field := range message.Fields(header) {
			if strings.EqualFold(field.Name, "Bcc") || strings.EqualFold(field.Name, "Resent-Bcc") {
				t.Fatalf("%q was edited to %q", text, header)
			}
		}
		if twice := edited(string(out), additions{}); twice != string(out) {
			t.Fatalf("%q was edited to %q and then to %q", text, out, twice)
		}
	})
}

// TestSubmittedClaimsGo: who has logged in does not judge, either.
func TestSubmittedClaimsGo(t *testing.T) {
	const header = "From: a@b\r\nAuthentication-Results: mx.here; spf=pass\r\nAuthentication-Results: there; none\r\nX-Yubin-Verdict: deliver\r\n\r\n"
	got := string(appendEdited(nil, []byte(header), "", additions{claims: claims}))
	if want := "From: a@b\r\nAuthentication-Results: there; none\r\n\r\n"; got != want {
		t.Errorf("it became %q, want %q", got, want)
	}
}
