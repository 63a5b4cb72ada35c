package judge

import (
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/message"
)

func TestWhoseReturned(t *testing.T) {
	report := func(kind, returned string) string {
		return strings.ReplaceAll("Subject: undelivered\nMIME-Version: 1.0\nContent-Type: multipart/report; boundary=b\n\n--b\n\nsorry\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.test\n\n--b\n"+
			"Content-Type: "+kind+"\n\n"+returned+"\n--b--\n", "\n", "\r\n")
	}
	const (
		foreign = "Received: from a.test by mx.b.test with ESMTP; Mon, 30 Nov 2026 12:00:00 +0000\nSubject: x\n\nbody\n"
		ours    = "Received: from mx.here.test by mx.b.test; Mon, 30 Nov 2026 12:00:00 +0000\nReceived: from [192.0.2.1]\n\tBY MX.here.test; Mon, 30 Nov 2026 11:59:00 +0000\nSubject: x\n\nbody\n"
		from    = "Received: from mx.here.test by mx.b.test; Mon, 30 Nov 2026 12:00:00 +0000\nSubject: x\n\n"
	)
	null, someone := mail.ReversePath{}, mail.ReversePath{Local: "a", Domain: "b.test"}
	for name, c := range map[string]struct {
		sender mail.ReversePath
		text   string
		want   Returned
	}{
		"a message of others":   {null, report("message/rfc822", foreign), ReturnedForeign},
		"a header of others":    {null, report("text/rfc822-headers", foreign), ReturnedForeign},
		"a message of ours":     {null, report("message/rfc822", ours), ReturnedOurs},
		"a header of ours":      {null, report("text/rfc822-headers", ours), ReturnedOurs},
		"from us is not by us":  {null, report("text/rfc822-headers", from), ReturnedForeign},
		"without a trace":       {null, report("text/rfc822-headers", "Subject: x\n\n"), ReturnedNone},
		"encoded":               {null, report("text/rfc822-headers\nContent-Transfer-Encoding: base64", foreign), ReturnedNone},
		"nothing returned":      {null, report("text/plain", foreign), ReturnedNone},
		"forwarded by somebody": {someone, report("message/rfc822", foreign), ReturnedNone},
		"no report":             {null, "Subject: away\r\n\r\nuntil May\r\n", ReturnedNone},
	} {
		m := message.Parse([]byte(c.text))
		if got := whoseReturned(c.sender, m.Root, strings.NewReader(c.text), "mx.here.test"); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// FuzzReturned: no report brings the reader down.
func FuzzReturned(f *testing.F) {
	f.Add("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nReceived: by x\r\n\r\n--b--\r\n")
	f.Add("Content-Type: multipart/x; boundary=b\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nReceived: by")
	f.Fuzz(func(t *testing.T, text string) {
		whoseReturned(mail.ReversePath{}, message.Parse([]byte(text)).Root, strings.NewReader(text), "x")
	})
}
