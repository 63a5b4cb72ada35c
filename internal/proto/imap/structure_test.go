package imap

import (
	"strings"
	"testing"

	"yubin/internal/message"
)

func addr(name, local, host string) message.MailAddress {
	a := message.MailAddress{Mailbox: []byte(local), Host: []byte(host)}
	if name != "" {
		a.Name = []byte(name)
	}
	return a
}

func envelopeText(t *testing.T, e *message.Envelope) string {
	t.Helper()
	envelope, _, _ := texts(t, &message.Message{Envelope: e, Root: textPart(0, 0)})
	return string(envelope)
}

// TestEnvelopeOfRFC is the example of RFC 9051 §8.
func TestEnvelopeOfRFC(t *testing.T) {
	gray := []message.MailAddress{addr("Terry Gray", "gray", "cac.washington.edu")}
	e := &message.Envelope{
		Date: []byte("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"), Subject: []byte("IMAP4rev2 WG mtg summary and minutes"),
		From: gray, Sender: gray, ReplyTo: gray,
		To:        []message.MailAddress{addr("", "imap", "cac.washington.edu")},
		Cc:        []message.MailAddress{addr("", "minutes", "CNRI.Reston.VA.US"), addr("John Klensin", "KLENSIN", "MIT.EDU")},
		MessageID: []byte("<B27397-0100000@cac.washington.ed>"),
	}
	want := `("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" ` +
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ` +
		`(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ` +
		`((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL ` +
		`"<B27397-0100000@cac.washington.ed>")`
	if got := envelopeText(t, e); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEnvelopeEdges(t *testing.T) {
	e := &message.Envelope{
		Subject: []byte{}, // present but empty
		From:    []message.MailAddress{addr("Jörg", "", "")},
		To: []message.MailAddress{
			{Mailbox: []byte("friends"), Group: message.GroupStart},
			{Route: []byte("@a,@b"), Mailbox: []byte("x"), Host: []byte("c")},
			{Group: message.GroupEnd}},
	}
	jorg := "(({5}\r\nJörg NIL \"\" \"\"))" // stands for Sender and Reply-To too
	want := "(NIL \"\" " + jorg + " " + jorg + " " + jorg + " " +
		`((NIL NIL "friends" NIL)(NIL "@a,@b" "x" "c")(NIL NIL NIL NIL)) NIL NIL NIL NIL)`
	if got := envelopeText(t, e); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := envelopeText(t, &message.Envelope{}); got != "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" {
		t.Errorf("empty envelope: %s", got)
	}
}

func textPart(size, lines int64, params ...message.Param) *message.Part {
	return &message.Part{Type: "text", Subtype: "plain", Params: params, End: size, Lines: lines}
}

var ascii = message.Param{Name: "charset", Value: "us-ascii"}

// structures has the examples of RFC 9051 §7.5.2 and one part of each kind:
// BODYSTRUCTURE and the BODY form of it.
var structures = []struct {
	part                *message.Part
	bodystructure, body string
}{
	{textPart(2279, 48, ascii),
		`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 2279 48 NIL NIL NIL NIL)`,
		`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 2279 48)`},
	{&message.Part{Type: "multipart", Subtype: "mixed", Params: []message.Param{{Name: "boundary", Value: `a"b`}}, End: 9999,
		Children: []*message.Part{textPart(1152, 23, ascii),
			{Type: "text", Subtype: "plain", Params: []message.Param{ascii, {Name: "name", Value: "cc.diff"}},
				ID: "<960723163407.20117h@cac.washington.edu>", Description: "Compiler diff", Encoding: "base64", Offset: 1152, Body: 1152, End: 1152 + 4554, Lines: 73}}},
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1152 23 NIL NIL NIL NIL)` +
			`("text" "plain" ("charset" "us-ascii" "name" "cc.diff") "<960723163407.20117h@cac.washington.edu>" "Compiler diff" ` +
			`"base64" 4554 73 NIL NIL NIL NIL) "mixed" ("boundary" "a\"b") NIL NIL NIL)`,
		`(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1152 23)` +
			`("text" "plain" ("charset" "us-ascii" "name" "cc.diff") "<960723163407.20117h@cac.washington.edu>" "Compiler diff" ` +
			`"base64" 4554 73) "mixed")`},
	{&message.Part{Type: "image", Subtype: "png", Encoding: "base64", End: 7, MD5: "Q2hlY2s=", Description: "é",
		Disposition: "attachment", DispositionParams: []message.Param{{Name: "filename", Value: "50% für.png"}, {Name: "size", Value: "5"}},
		Languages: []string{"de", "en"}, Location: "http://x/"},
		"(\"image\" \"png\" NIL NIL {2}\r\né \"base64\" 7 \"Q2hlY2s=\" (\"attachment\" (\"filename\" {12}\r\n50% für.png \"size\" \"5\")) (\"de\" \"en\") \"http://x/\")",
		"(\"image\" \"png\" NIL NIL {2}\r\né \"base64\" 7)"},
	{&message.Part{Type: "message", Subtype: "rfc822", End: 50, Lines: 3, Envelope: &message.Envelope{Subject: []byte(") (\"")},
		Children: []*message.Part{textPart(9, 1)}, Disposition: "inline", Languages: []string{"en"}},
		`("message" "rfc822" NIL NIL NIL "7bit" 50 (NIL ") (\"" NIL NIL NIL NIL NIL NIL NIL NIL) ` +
			`("text" "plain" NIL NIL NIL "7bit" 9 1 NIL NIL NIL NIL) 3 NIL ("inline" NIL) ("en") NIL)`,
		`("message" "rfc822" NIL NIL NIL "7bit" 50 (NIL ") (\"" NIL NIL NIL NIL NIL NIL NIL NIL) ` +
			`("text" "plain" NIL NIL NIL "7bit" 9 1) 3)`},
	{&message.Part{Type: "message", Subtype: "global", Envelope: &message.Envelope{}, Children: []*message.Part{textPart(0, 0)}},
		`("message" "global" NIL NIL NIL "7bit" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ` +
			`("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL) 0 NIL NIL NIL NIL)`,
		`("message" "global" NIL NIL NIL "7bit" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ` +
			`("text" "plain" NIL NIL NIL "7bit" 0 0) 0)`},
	{&message.Part{Type: "message", Subtype: "delivery-status", End: 3},
		`("message" "delivery-status" NIL NIL NIL "7bit" 3 NIL NIL NIL NIL)`,
		`("message" "delivery-status" NIL NIL NIL "7bit" 3)`},
}

func TestBodyStructure(t *testing.T) {
	for _, c := range structures {
		_, structure, body := texts(t, &message.Message{Envelope: &message.Envelope{}, Root: c.part})
		if string(structure) != c.bodystructure {
			t.Errorf("BODYSTRUCTURE\n got %q\nwant %q", structure, c.bodystructure)
		}
		if string(body) != c.body {
			t.Errorf("BODY\n got %q\nwant %q", body, c.body)
		}
	}
}

// TestShownParsed goes from the octets of a message to what IMAP shows of it.
func TestShownParsed(t *testing.T) {
	m := message.Parse([]byte(strings.ReplaceAll(`From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>
To: undisclosed: ;
Subject: two parts
Message-ID: <1@example.org>
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: 8bit

<p>é</p>
--b
Content-Type: message/rfc822

Subject: inner

x
y
--b
Content-Type: application/pdf; name*0*=utf-8''r%C3%A9s; name*1*=um%C3%A9.pdf
Content-Disposition: attachment; filename="ü"; filename*=iso-8859-1'de'%FC

AA
--b--
`, "\n", "\r\n")))
	jorg := `(("=?utf-8?q?J=C3=B6rg?=" NIL "joerg" "example.org"))`
	wantEnvelope := `(NIL "two parts" ` + jorg + " " + jorg + " " + jorg +
		` ((NIL NIL "undisclosed" NIL)(NIL NIL NIL NIL)) NIL NIL NIL "<1@example.org>")`
	envelope, structure, _ := texts(t, m)
	if string(envelope) != wantEnvelope {
		t.Errorf("ENVELOPE\n got %s\nwant %s", envelope, wantEnvelope)
	}
	want := `(("text" "html" ("charset" "utf-8") NIL NIL "8bit" 9 1 NIL NIL NIL NIL)` +
		`("message" "rfc822" NIL NIL NIL "7bit" 22 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ` +
		`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 2 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)` +
		`("application" "pdf" ("name*" "utf-8''r%C3%A9sum%C3%A9.pdf") NIL NIL "7bit" 2 NIL ("attachment" ("filename" {2}` + "\r\nü" + ` "filename*" "iso-8859-1'de'%FC")) NIL NIL) ` +
		`"mixed" ("boundary" "b") NIL NIL NIL)`
	if string(structure) != want {
		t.Errorf("BODYSTRUCTURE\n got %s\nwant %s", structure, want)
	}
}
