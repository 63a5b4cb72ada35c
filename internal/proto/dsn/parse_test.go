package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"yubin/internal/message"
)

// load reads an example of an RFC, with CRLF line ends.
func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(crlf(string(b)))
}

// show renders a report in the form of the tests below.
func show(r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s;%s env=%q id=%q arrival=%s\n", r.ReportingMTA.Type, r.ReportingMTA.Name, r.EnvelopeID, r.MessageID, stamp(r.Arrival))
	for _, p := range r.Recipients {
		fmt.Fprintf(&b, "%s;%s < %s;%s %v %v remote=%s;%s diag=%s;%q last=%s until=%s\n", p.Final.Type, p.Final.Value, p.Original.Type, p.Original.Value,
			p.Action, p.Status, p.RemoteMTA.Type, p.RemoteMTA.Name, p.Diagnostic.Type, p.Diagnostic.Text, stamp(p.LastAttempt), stamp(p.WillRetryUntil))
	}
	return b.String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("060102T150405")
}

// TestParseExamples reads the examples of RFC 3464 appendix E and of RFC 3461
// §10, and those of testdata that other mail systems and we have written.
func TestParseExamples(t *testing.T) {
	for name, want := range map[string]string{
		"rfc3464-simple.eml": `dns;cs.utk.edu env="" id="" arrival=
rfc822;louisl@larry.slip.umd.edu < rfc822;louisl@larry.slip.umd.edu failed 4.0.0 remote=; diag=smtp;"426 connection timed out" last=940707T211549 until=
`,
		"rfc3464-several.eml": `dns;cs.utk.edu env="" id="" arrival=
rfc822;arathib@vnet.ibm.com < rfc822;arathib@vnet.ibm.com failed 5.0.0 remote=dns;vnet.ibm.com diag=smtp;"550 'arathib@vnet.IBM.COM' is not a registered gateway user" last= until=
rfc822;johnh@hpnjld.njd.hp.com < rfc822;johnh@hpnjld.njd.hp.com delayed 4.0.0 remote=; diag=;"" last= until=
rfc822;wsnell@sdcc13.ucsd.edu < rfc822;wsnell@sdcc13.ucsd.edu failed 5.0.0 remote=dns;sdcc13.ucsd.edu diag=smtp;"550 user unknown" last= until=
`,
		"rfc3464-gateway.eml": `mailbus;SYS30 env="" id="" arrival=
unknown;nair_s < ; failed 5.0.0 remote=; diag=;"" last= until=
`,
		"rfc3464-delayed.eml": `dns;sun2.nsfnet-relay.ac.uk env="" id="" arrival=
rfc822;thomas@de-montfort.ac.uk < ; delayed 4.0.0 remote=; diag=;"" last= until=
`,
		"rfc3461-delivered.eml": `dns;mail.Example.COM env="QQ314159" id="" arrival=
rfc822;Bob@Example.COM < rfc822;Bob@Example.COM delivered 2.0.0 remote=; diag=;"" last= until=
`,
		"rfc3461-failed.eml": `dns;Example.ORG env="QQ314159" id="" arrival=
rfc822;Carol@Ivory.EDU < rfc822;Carol@Ivory.EDU failed 5.0.0 remote=; diag=smtp;"550 error - no such recipient" last= until=
`,
		"rfc3461-relayed.eml": `dns;Ivory.EDU env="QQ314159" id="" arrival=
rfc822;Dana@Ivory.EDU < rfc822;Dana@Ivory.EDU relayed 2.0.0 remote=; diag=;"" last= until=
`,
		"rfc3461-forwarded.eml": `dns;Boondoggle.GOV env="QQ314159" id="" arrival=
rfc822;Sam@Boondoggle.GOV < rfc822;George@Tax-ME.GOV failed 4.2.2 remote=; diag=;"" last= until=
`,
		"failure-ja.eml": `dns;mail.yubin.example env="" id="lunch-1@laptop.example" arrival=270104T000000
rfc822;bob@example.com < ; failed 5.1.1 remote=dns;mx.example.com diag=smtp;"550-5.1.1 <bob@example.com>: Recipient address rejected:\n550 5.1.1 User unknown in local recipient table" last=270104T000100 until=
`,
		"delay-en.eml": `dns;mail.yubin.example env="" id="lunch-1@laptop.example" arrival=270104T000000
rfc822;carol@example.net < ; delayed 4.4.1 remote=dns;mx.example.net diag=x-yubin;"connect to mx.example.net [192.0.2.7] port 25: timed out" last=270104T035000 until=270109T000000
`,
		"unicode-en.eml": `dns;mail.yubin.example env="" id="lunch-1@laptop.example" arrival=270104T000000
utf-8;郵便@例え.テスト < utf-8;郵便@例え.テスト failed 5.1.1 remote=dns;mx.example.com diag=smtp;"550-5.1.1 <bob@example.com>: Recipient address rejected:\n550 5.1.1 User unknown in local recipient table" last=270104T000100 until=
`,
	} {
		got, ok := Parse(load(t, name))
		if !ok || show(got) != want {
			t.Errorf("%s: %v\n%swant\n%s", name, ok, show(got), want)
		}
	}
}

// status makes a report whose second part is fields.
func status(fields string) []byte {
	return []byte(crlf("Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\ntext\n--b\n" +
		"Content-Type: message/delivery-status\n\n" + fields + "\n--b--\n"))
}

func TestParseIsTolerant(t *testing.T) {
	for name, test := range map[string]struct{ fields, want string }{
		"nothing": {"", ";"},
		"no empty lines": {"Reporting-MTA: dns; a.example\nFinal-Recipient: rfc822; b@c\nAction: failed\nStatus: 5.1.1\n" +
			"Final-Recipient: rfc822; d@e\nAction: delayed\nStatus: 4.1.1", "dns;a.example b@c failed 5.1.1 d@e delayed 4.1.1"},
		"fields of the message last":  {"Final-Recipient: rfc822; b@c\nAction: failed\nStatus: 5.1.1\n\nReporting-MTA: dns; a.example", "dns;a.example b@c failed 5.1.1"},
		"more empty lines":            {"\n\nReporting-MTA: dns; a.example\n\n \n\nFinal-Recipient: rfc822; b@c\nAction: failed\nStatus: 5.1.1\n\n\n", "dns;a.example b@c failed 5.1.1"},
		"no types, brackets, comment": {"Reporting-MTA: a.example (of a)\n\nFinal-Recipient: <b@c>\nAction: FAILED (gone)\nStatus: 5.1.1 (gone)", "dns;a.example b@c failed 5.1.1"},
		"no status":                   {"\nFinal-Recipient: rfc822; b@c\nAction: failed\nDiagnostic-Code: smtp; 550 5.2.1 no", "; b@c failed 5.2.1"},
		"nor a diagnostic":            {"\nFinal-Recipient: rfc822; b@c\nAction: relayed", "; b@c relayed 2.0.0"},
		"no action":                   {"\nFinal-Recipient: rfc822; b@c\nStatus: 4.2.2", "; b@c delayed 4.2.2"},
		"unknown action":              {"\nFinal-Recipient: rfc822; b@c\nAction: thrown-away\nStatus: 5.0.0", "; b@c failed 5.0.0"},
		"nothing but an address":      {"\nOriginal-Recipient: rfc822; b@c", "; b@c  "},
		"a group without an address":  {"Reporting-MTA: dns; a.example\n\nAction: failed\nStatus: 5.0.0", "dns;a.example"},
		"garbage":                     {"x\n:\nFinal-Recipient\n\nFinal-Recipient:;\nStatus: x.y.z\nAction:\nLast-Attempt-Date: never\n", ";"},
		"broken unitext":              {"\nFinal-Recipient: utf-8; \\x{}@c\nAction: failed\nStatus: 5.0.0", "; \\x{}@c failed 5.0.0"},
		"Latin-1":                     {"\nFinal-Recipient: rfc822; \xe9@c\nAction: failed\nStatus: 5.0.0", "; é@c failed 5.0.0"},
	} {
		r, ok := Parse(status(test.fields))
		got := r.ReportingMTA.Type + ";" + r.ReportingMTA.Name
		for _, p := range r.Recipients {
			got += fmt.Sprintf(" %s %v %v", p.Final.Value, p.Action, p.Status)
		}
		if !ok || got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, test.want)
		}
	}
}

func TestParseDiagnostics(t *testing.T) {
	for field, want := range map[string]Diagnostic{
		" smtp ; 550-mailbox unavailable\n 550 user has moved with no forwarding address": SMTP("550-mailbox unavailable\r\n550 user has moved with no forwarding address\r\n"), // RFC 3461 §9.2
		" smtp; 550 a\n\tb\n  c":           {"smtp", "550 a b  c"},
		" smtp; 550 a (b; c)\n 551 other":  {"smtp", "550 a (b; c) 551 other"},
		"550 no type":                      {"smtp", "550 no type"},
		" x-unix; 23":                      {"x-unix", "23"},
		" smtp; 550 caf\xe9":               {"smtp", "550 café"},
		" smtp; 550 \\x{5B9B} \\x{41} \\x": {"smtp", `550 宛 \x{41} \x`},
		" smtp;":                           {},
	} {
		r, _ := Parse(status("\nFinal-Recipient: rfc822; b@c\nDiagnostic-Code:" + field))
		if len(r.Recipients) != 1 || r.Recipients[0].Diagnostic != want {
			t.Errorf("%q is %+v, want %q", field, r.Recipients, want)
		}
	}
}

// TestParseOthers: disposition notifications (RFC 8098) and the like are no
// reports; nor is what a message only has in it.
func TestParseOthers(t *testing.T) {
	inner := string(status("\nFinal-Recipient: rfc822; b@c\nAction: failed"))
	for name, b := range map[string]string{
		"empty":    "",
		"plain":    "Subject: Undelivered Mail\r\n\r\nAction: failed\r\n",
		"MDN":      strings.ReplaceAll(strings.ReplaceAll(inner, "delivery-status", "disposition-notification"), "Action: failed", "Disposition: automatic-action/MDN-sent-automatically; displayed"),
		"attached": "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n" + inner + "\r\n--o--\r\n",
		"broken":   "Content-Type: multipart/report; report-type=delivery-status\r\n\r\nx",
	} {
		if r, ok := Parse([]byte(b)); ok {
			t.Errorf("%s is a report: %+v", name, r)
		}
	}
	for name, b := range map[string]string{
		"in a multipart":  "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + inner + "\r\n--o--\r\n",
		"the whole":       "Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; b@c\r\n",
		"base64, unicode": "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\nRmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGJAYw0K\r\n",
	} {
		if r, ok := Parse([]byte(b)); !ok || len(r.Recipients) != 1 || r.Recipients[0].Final.Value != "b@c" {
			t.Errorf("%s: %+v, %v", name, r, ok)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	many := strings.Repeat("Final-Recipient: rfc822; b@c\nAction: failed\n\n", MaxRecipients+10)
	if r, _ := Parse(status(many)); len(r.Recipients) != MaxRecipients {
		t.Errorf("%d recipients", len(r.Recipients))
	}
	long := strings.Repeat("Final-Recipient: rfc822; "+strings.Repeat("b", MaxValue)+"\n", 2*MaxStatusPart/MaxValue)
	r, _ := Parse(status(long))
	if n := len(r.Recipients); n > MaxRecipients || len(r.Recipients[0].Final.Value) > MaxValue {
		t.Errorf("%d recipients of %d octets", n, len(r.Recipients[0].Final.Value))
	}
	if r, _ := Parse(status("\nFinal-Recipient: a\nDiagnostic-Code: smtp; " + strings.Repeat("550-xxxxxxxx\n ", 2000) + "550 y")); len(r.Recipients[0].Diagnostic.Text) > MaxDiagnostic {
		t.Errorf("a diagnostic of %d octets", len(r.Recipients[0].Diagnostic.Text))
	}
}

// TestReadBrokenStorage: what cannot be read is not there.
func TestReadBrokenStorage(t *testing.T) {
	b := status("\nFinal-Recipient: rfc822; b@c\nAction: failed")
	r, ok := Read(message.Parse(b), brokenAt{})
	if !ok || len(r.Recipients) != 0 {
		t.Errorf("%+v, %v", r, ok)
	}
	if r, ok = Read(message.Parse(b), bytes.NewReader(b)); !ok || len(r.Recipients) != 1 {
		t.Errorf("%+v, %v", r, ok)
	}
}

type brokenAt struct{}

func (brokenAt) ReadAt(p []byte, _ int64) (int, error) {
	return iotest.ErrReader(errors.New("broken")).Read(p)
}
