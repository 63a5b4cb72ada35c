package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// TestReopen: the small form says what the whole one said, in 7bit, with no more
// than the header.
func TestReopen(t *testing.T) {
	from := options(t)
	rapid.Check(t, func(t *rapid.T) {
		r := Report{ReportingMTA: drawMTA(t, "reporting"), Arrival: drawTime(t, "arrival"), EnvelopeID: EnvelopeID(word(t, "envid")),
			Recipients: rapid.SliceOfN(rapid.Custom(drawRecipient), 1, 4).Draw(t, "recipients")}
		o := from
		o.Languages = []Language{Japanese, English}[:rapid.IntRange(1, 2).Draw(t, "languages")]
		o.Body, o.UTF8 = mail.Body(rapid.IntRange(0, 2).Draw(t, "body")), rapid.Bool().Draw(t, "utf8")
		o.Original = strings.NewReader("Subject: 昼食\r\nMessage-ID: <lunch-1@laptop.example>\r\n\r\nGrüße\r\n" + strings.Repeat("more.\r\n", 1000))
		whole := writeAll(t, r, o)
		again, small, ok, err := Reopen(iotest.OneByteReader(bytes.NewReader(whole)))
		if err != nil || !ok || small.ID != o.ID || !small.Date.Equal(o.Date) || small.From != o.From || small.To != o.To || fmt.Sprint(small.Languages) != fmt.Sprint(o.Languages) {
			t.Fatalf("options %+v, %v of\n%s", small, ok, whole)
		}
		b := writeAll(t, again, small)
		before, _ := Parse(whole)
		after, ok := Parse(b)
		if !ok || fmt.Sprintf("%+q", after.in(time.UTC)) != fmt.Sprintf("%+q", before.in(time.UTC)) {
			t.Fatalf("says  %+q\nbefore %+q", after, before)
		}
		if !isASCII(b) || bytes.Contains(b, []byte("more.")) || !bytes.Contains(b, []byte("Content-Type: text/rfc822-headers\r\n")) {
			t.Fatalf("small:\n%s", b)
		}
		if x, y := message.Parse(whole), message.Parse(b); x.Subject != y.Subject || x.MessageID != y.MessageID {
			t.Fatalf("subjects %q and %q, %s and %s", x.Subject, y.Subject, x.MessageID, y.MessageID)
		}
	})
}

func writeAll(t *rapid.T, r Report, o Options) []byte {
	m, err := New(r, o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReopenLarge: a header of any size is cut at a line, and the beginning of a
// report is enough.
func TestReopenLarge(t *testing.T) {
	o := options(t)
	o.Original = strings.NewReader("Subject: lunch\r\n" + strings.Repeat("X-Long: 0123456789\r\n", 5000) + "\r\n" + strings.Repeat("body\r\n", 1<<20))
	_, whole := write(t, report(refused(t)), o)
	octets := bytes.NewReader(whole)
	r, small, ok, err := Reopen(octets)
	if !ok || err != nil || len(whole)-octets.Len() > firstReopen {
		t.Fatalf("a report: %v, %v, after %d octets", ok, err, len(whole)-octets.Len())
	}
	m, b := write(t, r, small)
	if len(b) > MaxSmallHeader+5000 || !bytes.Contains(b, []byte("X-Long: 0123456789\r\n\r\n--=_")) || m.Envelope().Body != mail.Body7Bit {
		t.Errorf("%d octets, ending in\n%s", len(b), b[max(0, len(b)-300):])
	}
}

// TestReopenOther: what is no report of ours is none, and never breaks.
func TestReopenOther(t *testing.T) {
	_, whole := write(t, report(refused(t)), options(t))
	for _, b := range []string{
		"", letter, "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		strings.Replace(string(whole), "To: ", "X-To: ", 1), strings.Replace(string(whole), testID+"@", "short@", 1),
		strings.Replace(string(whole), "Reporting-MTA", "X-MTA", 1), string(whole[:300]),
	} {
		if r, o, ok, err := Reopen(strings.NewReader(b)); ok || err != nil {
			t.Errorf("%+v, %+v, %v of\n%s", r, o, err, b)
		}
	}
	disk := errors.New("the disk is gone")
	if _, _, _, err := Reopen(io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(disk))); !errors.Is(err, disk) {
		t.Errorf("unreadable: %v", err)
	}
	endless := strings.NewReader(strings.Repeat(letter, 2*MaxReopen/len(letter)))
	if _, _, ok, err := Reopen(endless); ok || err != nil || endless.Len() < MaxReopen/2 {
		t.Errorf("of a long message: %v, %v, with %d octets left", ok, err, endless.Len())
	}
}
