package dsn

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testID = "0123456789abcdefghijkl"

var tokyo = time.FixedZone("JST", 9*3600)

func at(hour, minute int) time.Time { return time.Date(2027, 1, 4, hour, minute, 0, 0, tokyo) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func typed(t testing.TB, s string) TypedAddress { return Typed(address(t, s)) }

// crlf gives a text of the source CRLF line ends.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

var letter = crlf(`Received: from laptop.example by mail.yubin.example; Mon, 4 Jan 2027 09:00:00 +0900
From: Alice <alice@yubin.example>
To: bob@example.com, carol@example.net
Subject: Lunch on Friday
Date: Mon, 4 Jan 2027 08:59:58 +0900
Message-ID: <lunch-1@laptop.example>

Shall we?

--
Alice
`)

func options(t testing.TB) Options {
	return Options{
		To: mail.ReversePath(address(t, "alice@yubin.example")), From: address(t, "postmaster@yubin.example"),
		Date: at(13, 0), ID: testID, Original: strings.NewReader(letter),
	}
}

func report(recipients ...Recipient) Report {
	return Report{ReportingMTA: DNS("mail.yubin.example"), Arrival: at(9, 0), Recipients: recipients}
}

func refused(t testing.TB) Recipient {
	return Recipient{
		Final: typed(t, "bob@example.com"), Action: Failed, Status: Status{Class: 5, Subject: 1, Detail: 1}, RemoteMTA: DNS("mx.example.com"),
		Diagnostic:  SMTP("550-5.1.1 <bob@example.com>: Recipient address rejected:\r\n550 5.1.1 User unknown in local recipient table\r\n"),
		LastAttempt: at(9, 1), FinalLogID: "q7f3",
	}
}

func late(t testing.TB) Recipient {
	return Recipient{
		Final: typed(t, "carol@example.net"), Action: Delayed, Status: Status{Class: 4, Subject: 4, Detail: 1}, RemoteMTA: DNS("mx.example.net"),
		Diagnostic:  Diagnostic{"x-yubin", "connect to mx.example.net [192.0.2.7] port 25: timed out"},
		LastAttempt: at(12, 50), WillRetryUntil: time.Date(2027, 1, 9, 9, 0, 0, 0, tokyo),
	}
}

func done(t testing.TB, to string, a Action) Recipient {
	return Recipient{Original: typed(t, to), Final: typed(t, to), Action: a, Status: Status{Class: 2, Subject: 1, Detail: 5}, LastAttempt: at(9, 1)}
}

// write returns the octets of a message and checks what holds of all.
func write(t testing.TB, r Report, o Options) (*Message, []byte) {
	t.Helper()
	m, err := New(r, o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := m.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d of %d octets, %v", n, b.Len(), err)
	}
	return m, b.Bytes()
}

// checkLines verifies that b is lines of at most 998 octets, and ASCII unless
// eight.
func checkLines(t testing.TB, b []byte, eight bool) {
	t.Helper()
	for line := range strings.Lines(string(b)) {
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || strings.ContainsAny(text, "\r\n\x00") || len(text) > maxLine {
			t.Fatalf("line %q of %d octets is not fit for SMTP", line, len(line))
		}
		if !eight && !isASCII(text) {
			t.Fatalf("line %q is not 7bit", line)
		}
	}
}

// partText returns the decoded body of a part.
func partText(t testing.TB, b []byte, p *message.Part) string {
	t.Helper()
	out, err := io.ReadAll(message.NewDecoder(bytes.NewReader(b[p.Body:p.End]), p.Encoding))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// golden compares got with a file of testdata, where lines end with LF.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, "\r\n", "\n")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}
