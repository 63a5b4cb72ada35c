package dsn

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// word is text as it stands in a report: one line, no space at its ends.
func word(t *rapid.T, label string) string {
	s := rapid.StringMatching(`[a-zA-Z0-9.<>()\[\]"=+;:,-]{1,40}( {1,2}[a-zA-Z0-9.<>()=+;:,-]{1,90}){0,6}`).Draw(t, label)
	return strings.TrimSpace(s)
}

func drawAddress(t *rapid.T, label string) TypedAddress {
	switch rapid.IntRange(0, 3).Draw(t, label+" kind") {
	case 0:
		return Typed(mail.Address{Local: rapid.StringMatching(`[a-z0-9.+=\\ ]{1,60}`).Draw(t, label), Domain: "example.com"})
	case 1:
		return Typed(mail.Address{Local: rapid.StringMatching(`[a-z+=\\é郵📮]{0,20}é`).Draw(t, label), Domain: "xn--r8jz45g.xn--zckzah"})
	case 2:
		return TypedAddress{"x400", rapid.StringMatching(`/[A-Z]=[a-z]{1,200}/`).Draw(t, label)}
	}
	return TypedAddress{"rfc822", "a@b.example"}
}

func drawMTA(t *rapid.T, label string) MTA {
	if rapid.Bool().Draw(t, label+" foreign") {
		return MTA{"x-local-hostname", word(t, label)}
	}
	return MTA{"dns", rapid.StringMatching(`[a-z0-9.-]{1,200}`).Draw(t, label)}
}

func drawTime(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, label+" missing") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, label), 0)
}

func drawDiagnostic(t *rapid.T) Diagnostic {
	switch rapid.IntRange(0, 2).Draw(t, "diagnostic kind") {
	case 0:
		return Diagnostic{}
	case 1:
		return Diagnostic{"x-unix", word(t, "diagnostic")}
	}
	lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return word(t, "line") }), 1, 5).Draw(t, "lines")
	lines[0] += rapid.SampledFrom([]string{"", " 550 5.1.1 x", " 550-x", " é郵", " 550"}).Draw(t, "ending")
	for i := range lines {
		mark := "550-"
		if i == len(lines)-1 {
			mark = "550 "
		}
		lines[i] = mark + lines[i]
	}
	return SMTP(strings.Join(lines, "\r\n"))
}

func drawRecipient(t *rapid.T) Recipient {
	r := Recipient{
		Final:       drawAddress(t, "final"),
		Action:      Action(rapid.IntRange(1, int(Expanded)).Draw(t, "action")),
		Status:      Status{Class: rapid.SampledFrom([]uint16{2, 4, 5}).Draw(t, "class"), Subject: rapid.Uint16Range(0, 999).Draw(t, "subject"), Detail: rapid.Uint16Range(0, 999).Draw(t, "detail")},
		Diagnostic:  drawDiagnostic(t),
		LastAttempt: drawTime(t, "last"),
	}
	if rapid.Bool().Draw(t, "more") {
		r.Original, r.RemoteMTA, r.FinalLogID = drawAddress(t, "original"), drawMTA(t, "remote"), word(t, "log id")
	}
	if r.Action == Delayed {
		r.WillRetryUntil = drawTime(t, "until")
	}
	return r
}

// TestRoundTrip: what is written is read again.
func TestRoundTrip(t *testing.T) {
	o := options(t)
	rapid.Check(t, func(t *rapid.T) {
		r := Report{
			ReportingMTA: drawMTA(t, "reporting"), Arrival: drawTime(t, "arrival"), DeliverBy: drawTime(t, "deliver by"), HeldUntil: drawTime(t, "held until").UTC(),
			MessageID:  "lunch-1@laptop.example",
			Recipients: rapid.SliceOfN(rapid.Custom(drawRecipient), 1, 4).Draw(t, "recipients"),
		}
		if rapid.Bool().Draw(t, "envelope") {
			r.EnvelopeID, r.Gateway, r.ReceivedFrom = EnvelopeID(word(t, "envid")), drawMTA(t, "gateway"), drawMTA(t, "from")
		}
		o := o
		o.Original = strings.NewReader(letter)
		o.SevenBit, o.UTF8 = rapid.Bool().Draw(t, "7bit"), rapid.Bool().Draw(t, "utf8")
		o.Languages = []Language{Language(rapid.IntRange(0, int(languages)-1).Draw(t, "language"))}
		m, err := New(r, o)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		got, ok := Parse(b.Bytes())
		if want := r.in(time.UTC); !ok || fmt.Sprintf("%+q", got.in(time.UTC)) != fmt.Sprintf("%+q", want) {
			t.Fatalf("got  %+q\nwant %+q\n%s", got.in(time.UTC), want, b.String())
		}
		for line := range bytes.Lines(b.Bytes()) {
			if len(line) > maxLine+2 || m.Envelope().Body == mail.Body7Bit && !isASCII(line) {
				t.Fatalf("line %q", line)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		f.Add(load(f, filepath.Base(file)))
	}
	f.Add(status("\nFinal-Recipient: utf-8; \\x{90F5}\nDiagnostic-Code: 550-a\n 550 b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := Parse(b)
		if !ok {
			return
		}
		if len(r.Recipients) > MaxRecipients {
			t.Fatalf("%d recipients", len(r.Recipients))
		}
		if len(r.Recipients) == 0 || r.ReportingMTA == (MTA{}) {
			return
		}
		for _, p := range r.Recipients {
			if p.Action == 0 || p.Status.IsZero() {
				return
			}
		}
		again := rewrite(t, r)
		if more := rewrite(t, again); show(more) != show(again) {
			t.Errorf("read as\n%sthen\n%s", show(again), show(more))
		}
	})
}

// rewrite writes a report that was read, and reads it again.
func rewrite(t *testing.T, r Report) Report {
	o := options(t)
	o.Original = nil
	m, b := write(t, r, o)
	checkLines(t, b, m.Envelope().Body == mail.Body8BitMIME)
	again, ok := Parse(b)
	if !ok || len(again.Recipients) != len(r.Recipients) || len(message.Parse(b).Root.Children) != 2 {
		t.Fatalf("%+v is read again as %+v", r, again)
	}
	return again
}

// python prints what Python's email package sees in the messages of its arguments.
const python = `
import email, email.policy, sys
for name in sys.argv[1:]:
    m = email.message_from_binary_file(open(name, "rb"), policy=email.policy.default)
    text, status = list(m.iter_parts())[:2]
    assert not any(p.defects for p in m.walk()), [p.defects for p in m.walk()]
    print(m.get_content_type(), m.get_param("report-type"), len(list(m.iter_parts())))
    print(m["to"].addresses[0].addr_spec, m["from"].addresses[0].addr_spec, m["subject"])
    print(text.get_content().splitlines()[0])
    if status.get_content_type() != "message/delivery-status":
        print(status.get_content_type())
        continue
    for block in status.get_payload():
        print(*(k + "=" + v for k, v in block.items() if k in ("Final-Recipient", "Action", "Status")))
`

// TestPythonReads has an independent reader, where there is one.
func TestPythonReads(t *testing.T) {
	exe, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 here, so nothing is compared:", err)
		return
	}
	cmd := exec.Command(exe, "-c", python, "testdata/failure-en.eml", "testdata/mixed-ja.eml", "testdata/unicode-ja.eml")
	cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
	out, err := cmd.CombinedOutput()
	const want = `multipart/report delivery-status 3
alice@yubin.example postmaster@yubin.example Not delivered: Lunch on Friday
Your message could not be delivered to this address:

Final-Recipient=rfc822; bob@example.com Action=failed Status=5.1.1
multipart/report delivery-status 3
alice@yubin.example postmaster@yubin.example 配信できませんでした: Lunch on Friday
お送りいただいたメールを、次の宛先に配信できませんでした。

Final-Recipient=rfc822; bob@example.com Action=failed Status=5.1.1
Final-Recipient=rfc822; carol@example.net Action=failed Status=4.4.1
Final-Recipient=rfc822; dana@ivory.example Action=delivered Status=2.1.5
Final-Recipient=rfc822; carol@example.net Action=delayed Status=4.4.1
multipart/report global-delivery-status 3
alice@yubin.example postmaster@yubin.example 配信できませんでした: 金曜日のお昼ご飯について
お送りいただいたメールを、次の宛先に配信できませんでした。
message/global-delivery-status
`
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
