package imap

import (
	"io"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/message"
)

type discard struct{ io.Writer }

func (discard) WriteString(s string) (int, error) { return len(s), nil }

func BenchmarkParse(b *testing.B) {
	for name, in := range map[string]string{
		"noop":   "a1 NOOP",
		"select": "a1 SELECT INBOX",
		"fetch":  "a1 UID FETCH 1:* (UID FLAGS)",
		"header": "a1 UID FETCH 1:500 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
		"store":  `a1 UID STORE 17 +FLAGS.SILENT (\Seen)`,
		"search": `a1 UID SEARCH RETURN (ALL) UNSEEN SINCE 1-Feb-2024 OR FROM "alice" SUBJECT "report"`,
	} {
		b.Run(name, func(b *testing.B) {
			line := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseCommand(line, Mode{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFetchFlags is FETCH 1:* (UID FLAGS) over 100,000 messages.
func BenchmarkFetchFlags(b *testing.B) {
	e := NewEncoder(discard{io.Discard})
	b.ReportAllocs()
	for b.Loop() {
		for seq := uint32(1); seq <= 100_000; seq++ {
			f := e.Fetch(seq)
			f.UID(mail.UID(seq * 3))
			f.Flags(mail.Seen|mail.Answered, "$Forwarded", false)
			f.End()
		}
	}
}

// BenchmarkShow is FETCH ENVELOPE and BODYSTRUCTURE of a usual message.
func BenchmarkShow(b *testing.B) {
	form := formOf(b, message.Parse(usual))
	e := NewEncoder(discard{io.Discard})
	e.Gather(make([]byte, 64<<10))
	for name, write := range map[string]func(*Fetched){
		"envelope":  func(f *Fetched) { f.Envelope(form) },
		"structure": func(f *Fetched) { f.BodyStructure(form) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f := e.Fetch(1)
				write(&f)
				f.End()
			}
		})
	}
}

// usual is a message with an alternative and an attachment.
var usual = []byte("From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>\r\nTo: Alice Example <alice@example.net>, bob@example.net\r\n" +
	"Subject: Minutes of the meeting\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1234567890.1@example.org>\r\n" +
	"Content-Type: multipart/mixed; boundary=\"=_boundary_1\"\r\n\r\n--=_boundary_1\r\nContent-Type: multipart/alternative; boundary=\"=_boundary_2\"\r\n\r\n" +
	"--=_boundary_2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhi\r\n--=_boundary_2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hi\r\n" +
	"--=_boundary_2--\r\n--=_boundary_1\r\nContent-Type: application/pdf; name=\"r.pdf\"\r\nContent-Transfer-Encoding: base64\r\n" +
	"Content-Disposition: attachment; filename=\"r.pdf\"\r\n\r\nAAAA\r\n--=_boundary_1--\r\n")

func TestFetchDoesNotAllocate(t *testing.T) {
	form := formOf(t, message.Parse(usual))
	e := NewEncoder(discard{io.Discard})
	n := testing.AllocsPerRun(100, func() {
		f := e.Fetch(1)
		f.UID(1)
		f.Flags(mail.Seen, "$Junk", true)
		f.Size(1)
		f.Envelope(form)
		f.BodyStructure(form)
		f.Body(form)
		f.End()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
