package smtpd

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

func TestWith(t *testing.T) {
	for _, test := range []struct {
		profile                Profile
		esmtp, utf8, tls, auth bool
		want                   string
	}{
		{MX, false, false, false, false, "SMTP"},
		{MX, true, false, false, false, "ESMTP"},
		{MX, true, false, true, false, "ESMTPS"},
		{Submission, true, false, false, true, "ESMTPA"},
		{Submission, true, false, true, true, "ESMTPSA"},
		{MX, true, true, false, false, "UTF8SMTP"},
		{MX, true, true, true, false, "UTF8SMTPS"},
		{Submission, true, true, false, true, "UTF8SMTPA"},
		{Submission, true, true, true, true, "UTF8SMTPSA"},
		{LMTP, true, false, false, false, "LMTP"},
		{LMTP, true, false, true, false, "LMTPS"},
		{LMTP, true, true, false, false, "UTF8LMTP"},
	} {
		if got := with(test.profile, test.esmtp, test.utf8, test.tls, test.auth); got != test.want {
			t.Errorf("%+v is %q", test, got)
		}
	}
}

func TestReceivedIsFolded(t *testing.T) {
	long := stamp{
		hello:  strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".example",
		remote: netip.MustParseAddr("2001:db8:1234:5678:9abc:def0:1234:5678"),
		by:     mail.Domain("mx." + strings.Repeat("c", 60) + ".example.org"),
		with:   "UTF8SMTPSA",
		tls:    tlsInfo{on: true, number: tls.VersionTLS12, cipher: tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
		id:     "01K3ZQ4V5N8W7X6Y5Z4A3B2C1D",
		to:     mail.Address{Local: strings.Repeat("d", 64), Domain: "example.org"},
		at:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	short := stamp{hello: "a.example", by: "mx.example.org", with: "LMTP", id: "1", at: long.at}
	want := "Received: from a.example\r\n\tby mx.example.org with LMTP id 1;\r\n\tFri, 2 Jan 2026 03:04:05 +0000\r\n"
	if got := string(appendReceived(nil, short)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	field := appendReceived(nil, long)
	for line := range bytes.SplitSeq(bytes.TrimSuffix(field, []byte("\r\n")), []byte("\r\n")) {
		if len(line) > traceLine && bytes.Count(bytes.TrimSpace(line), []byte(" ")) > 1 {
			t.Errorf("a line of %d octets could be folded: %q", len(line), line)
		}
	}
	unfolded := strings.ReplaceAll(string(field), "\r\n\t", " ")
	want = "Received: from " + long.hello + " ([IPv6:2001:db8:1234:5678:9abc:def0:1234:5678]) by " + string(long.by) +
		" with UTF8SMTPSA (TLS1.2) id " + long.id + " for <" + long.to.String() +
		"> tls TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256; Fri, 2 Jan 2026 03:04:05 +0000\r\n"
	if unfolded != want {
		t.Errorf("got %q, want %q", unfolded, want)
	}
	if h := message.Parse(field).Header; h.Received != 1 || h.Size != int64(len(field)) || h.Lead != "" {
		t.Errorf("our own field is read as %+v", h)
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"mx.example.org": "mx.example.org", "[IPv6:::1]": "[IPv6:::1]", "my_pc": "my_pc", "bücher": "bücher",
		"a(b);c": "a?b??c", "<x>": "?x?", "a\"b\\": "a?b?",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q is written as %q", name, got)
		}
	}
}
