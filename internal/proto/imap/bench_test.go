package imap

import (
	"io"
	"testing"

	"yubin/internal/mail"
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

func BenchmarkBodyFromStructure(b *testing.B) {
	in := []byte(structures[1].bodystructure)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendBodyFromStructure(dst[:0], in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFetchDoesNotAllocate(t *testing.T) {
	e := NewEncoder(discard{io.Discard})
	n := testing.AllocsPerRun(100, func() {
		f := e.Fetch(1)
		f.UID(1)
		f.Flags(mail.Seen, "$Junk", true)
		f.Size(1)
		f.End()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
