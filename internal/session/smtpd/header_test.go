package smtpd

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

// scanned feeds text to a scanner in pieces of at most n octets.
func scanned(text string, n int) *headerScanner {
	var h headerScanner
	for rest := []byte(text); len(rest) > 0; {
		piece := rest[:min(n, len(rest))]
		h.scan(bytes.Clone(piece)) // The loop reuses its buffer.
		rest = rest[len(piece):]
	}
	h.finish()
	return &h
}

func TestHeaderScanner(t *testing.T) {
	for _, test := range []struct {
		header, body string
		hops         int
		delivered    string
	}{
		{"", "", 0, ""},
		{"A: b\r\n\r\n", "Received: x\r\n", 0, ""},
		{"A: b\r\n", "", 0, ""},
		{"A: b", "", 0, ""},
		{"A: b\r\n\tReceived: folded\r\nRECEIVED :x\r\n\r\n", "text", 1, ""},
		{"Received: x\r\n", "no field\r\n\r\n", 1, ""},
		{"", " folded: nothing\r\n", 0, ""},
		{"", ": x\r\n", 0, ""},
		{"", "two words: x\r\n", 0, ""},
		{"\r\n", "\r\n", 0, ""},
		{"Delivered-To:  a@b \r\nX-Delivered-To: c\r\ndelivered-to: d\r\n\r\n", "", 0, "a@b,d"},
		{"Subject: " + strings.Repeat("long ", 1000) + "\r\nReceived: x\r\n\r\n", "text", 1, ""},
	} {
		for _, n := range []int{1, 2, 3, 7, 1 << 20} {
			h := scanned(test.header+test.body, n)
			if h.size != len(test.header) || h.hops != test.hops || strings.Join(h.delivered, ",") != test.delivered {
				t.Errorf("%.40q + %q by %d: size %d, hops %d, delivered %q", test.header, test.body, n, h.size, h.hops, h.delivered)
			}
		}
	}
}

func edited(header string, add additions) string {
	return string(appendEdited(nil, []byte(header), add))
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
		got := string(bytes.TrimSpace(bytes.Join(append(s.resent.from, s.resent.sender...), nil)))
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
	} {
		if got := readSubmitted([]byte(header)).disguised; got != want {
			t.Errorf("%q: disguised %v", header, got)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: a@b\r\nBcc: c,\r\n d\r\nReceived: x\r\n\r\nBcc: body\r\n"), uint64(1))
	f.Add([]byte("no header at all"), uint64(2))
	f.Add([]byte(" \r\n:\r\nA:\n\nB: \r\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		whole, pieces := scanned(string(text), len(text)+1), scanned(string(text), 1+rnd.IntN(9))
		if whole.size != pieces.size || whole.hops != pieces.hops || whole.fields != pieces.fields || len(whole.delivered) != len(pieces.delivered) {
			t.Fatalf("%q: in one piece %+v, in pieces %+v", text, whole, pieces)
		}
		header := text[:whole.size]
		out := appendEdited(nil, header, additions{})
		again := scanned(string(out), len(out))
		if again.size != len(out) || !again.blank || again.hops != whole.hops {
			t.Fatalf("%q was edited to %q, which is no whole header: %+v", header, out, again)
		}
		for name := range fields(out) {
			if fieldIs(name, "Bcc") {
				t.Fatalf("%q was edited to %q", header, out)
			}
		}
		if twice := appendEdited(nil, out, additions{}); !bytes.Equal(twice, out) {
			t.Fatalf("%q was edited to %q and then to %q", header, out, twice)
		}
	})
}
