package message

import (
	"strings"
	"testing"
)

// TestComplexMultipart is RFC 2049 appendix A.
func TestComplexMultipart(t *testing.T) {
	msg := crlf(`MIME-Version: 1.0
From: Nathaniel Borenstein <nsb@nsb.fv.com>
To: Ned Freed <ned@innosoft.com>
Date: Fri, 07 Oct 1994 16:15:05 -0700 (PDT)
Subject: A multipart example
Content-Type: multipart/mixed;
              boundary=unique-boundary-1

This is the preamble area of a multipart message.
--unique-boundary-1

  ... Some text appears here ...

--unique-boundary-1
Content-type: text/plain; charset=US-ASCII

This could have been part of the previous part.

--unique-boundary-1
Content-Type: multipart/parallel; boundary=unique-boundary-2

--unique-boundary-2
Content-Type: audio/basic
Content-Transfer-Encoding: base64

  ... audio ...

--unique-boundary-2
Content-Type: image/jpeg
Content-Transfer-Encoding: base64

  ... image ...

--unique-boundary-2--

--unique-boundary-1
Content-type: text/enriched

This is <bold><italic>enriched.</italic></bold>

--unique-boundary-1
Content-Type: message/rfc822

From: (mailbox in US-ASCII)
To: (address in US-ASCII)
Subject: (subject in US-ASCII)
Content-Type: Text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: Quoted-printable

  ... Additional text in ISO-8859-1 goes here ...

--unique-boundary-1--
`)
	want := `multipart/mixed[text/plain"  ... Some text appears here ...\r\n":1 ` +
		`text/plain"This could have been part of the previous part.\r\n":1 ` +
		`multipart/parallel[audio/basic"  ... audio ...\r\n":1 image/jpeg"  ... image ...\r\n":1] ` +
		`text/enriched"This is <bold><italic>enriched.</italic></bold>\r\n":1 ` +
		`message/rfc822[text/plain"  ... Additional text in ISO-8859-1 goes here ...\r\n":1]]`
	if got := tree(msg); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	m := Parse([]byte(msg))
	if got := m.Root.Find([]int{3, 2}).Encoding; got != "base64" {
		t.Errorf("encoding of part 3.2: %q", got)
	}
	inner := m.Root.Find([]int{5})
	if inner.Lines != 7 || string(inner.Envelope.Subject) != "(subject in US-ASCII)" || inner.Children[0].Encoding != "quoted-printable" {
		t.Errorf("part 5: %d lines, %+v", inner.Lines, inner.Envelope)
	}
	if m.Preview != "... Some text appears here ..." || !strings.HasPrefix(m.Date.String(), "1994-10-07 16:15:05 -0700") {
		t.Errorf("preview %q, date %v", m.Preview, m.Date)
	}
}
