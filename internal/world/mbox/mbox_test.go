package mbox

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

const from = "From a@b Tue Nov 22 01:02:03 2026\n"

// show indexes a text and shows what is in it.
func show(t *testing.T, text string, q Quoting) (got []string) {
	t.Helper()
	r := strings.NewReader(text)
	f, err := Index(r, r.Size())
	if err != nil {
		return []string{"error"}
	}
	for _, m := range f.Messages {
		var b strings.Builder
		if err := Copy(&b, r, m, q); err != nil {
			t.Fatal(err)
		}
		names := m.Flags.AppendNames(nil)
		got = append(got, fmt.Sprintf("%d %v%v %q", m.UID, names, m.Keywords, b.String()))
	}
	return got
}

func TestIndex(t *testing.T) {
	for _, c := range []struct {
		about, text string
		want        []string
	}{
		{"nothing", "", nil},
		{"no mbox", "Subject: x\n\nFrom a@b Tue Nov 22 01:02:03 2026\n", []string{"error"}},
		{"two", from + "A: 1\n\nx\n\n" + from + "A: 2\n\ny\n", []string{`0 [][] "A: 1\r\n\r\nx\r\n"`, `0 [][] "A: 2\r\n\r\ny\r\n"`}},
		{"the last empty line", from + "A: 1\n\nx\n\n", []string{`0 [][] "A: 1\r\n\r\nx\r\n"`}},
		{"more of them", from + "A: 1\n\nx\n\n\n", []string{`0 [][] "A: 1\r\n\r\nx\r\n\r\n"`}},
		{"no body", from + "A: 1\n\n" + from + "B: 1\n\n\n", []string{`0 [][] "A: 1\r\n"`, `0 [][] "B: 1\r\n\r\n"`}},
		{"CRLF", strings.ReplaceAll(from+"A: 1\n\nx\n\n"+from+"A: 2\n\ny\n", "\n", "\r\n"), []string{`0 [][] "A: 1\r\n\r\nx\r\n"`, `0 [][] "A: 2\r\n\r\ny\r\n"`}},
		{"no From line", from + "A: 1\n\nx\nFrom here on\n\nFrom me\n", []string{`0 [][] "A: 1\r\n\r\nx\r\nFrom here on\r\n\r\nFrom me\r\n"`}},
		{"quoted", from + "A: 1\n\n>From x\n>>From y\n> From z\n", []string{`0 [][] "A: 1\r\n\r\nFrom x\r\n>From y\r\n> From z\r\n"`}},
		{"Content-Length", from + "Content-Length: 38\nA: 1\n\nx\n\n" + from + ">\n" + "\n" + from + "B: 1\n\ny\n",
			[]string{`0 [][] "A: 1\r\n\r\nx\r\n\r\nFrom a@b Tue Nov 22 01:02:03 2026\r\n>\r\n"`, `0 [][] "B: 1\r\n\r\ny\r\n"`}},
		{"a wrong Content-Length", from + "Content-Length: 3\nA: 1\n\nlonger\n\n" + from + "B: 1\n\ny\n", []string{`0 [][] "A: 1\r\n\r\nlonger\r\n"`, `0 [][] "B: 1\r\n\r\ny\r\n"`}},
		{"flags", from + "X-IMAPbase: 77 9 Junk\nX-UID: 4\nStatus: RO\nX-Status: AFDT\nX-Keywords: Junk\n Work\nA: 1\n\nx\n\n" + from + "X-UID: 8\nStatus: O\n\ny\n",
			[]string{`4 [\Seen \Answered \Flagged \Deleted \Draft][Junk Work] "A: 1\r\n\r\nx\r\n"`, `8 [][] "\r\ny\r\n"`}},
		{"UIDs that fall", from + "X-IMAPbase: 77 9\nX-UID: 4\n\nx\n\n" + from + "X-UID: 3\n\ny\n", []string{`0 [][] "\r\nx\r\n"`, `0 [][] "\r\ny\r\n"`}},
		{"c-client's data", from + "X-IMAP: 77 9\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\nx\n\n" + from + "X-UID: 3\n\ny\n", []string{`3 [][] "\r\ny\r\n"`}},
		{"Thunderbird", "From - Tue Nov 22 01:02:03 2026\nX-Mozilla-Status: 1005\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1    \nA: 1\n\nx\n\nFrom \nFrom - Tue Nov 22 01:02:03 2026\nX-Mozilla-Status: 0009\n\ny\n",
			[]string{`0 [\Seen \Flagged][$Forwarded $label1] "A: 1\r\n\r\nx\r\n\r\nFrom \r\nFrom - Tue Nov 22 01:02:03 2026\r\nX-Mozilla-Status: 0009\r\n\r\ny\r\n"`}},
		{"Thunderbird's deleted", "From - Tue Nov 22 01:02:03 2026\nX-Mozilla-Status: 0009\n\ny\n", nil},
		{"a field of the file in the body", from + "A: 1\n\nStatus: R\n", []string{`0 [][] "A: 1\r\n\r\nStatus: R\r\n"`}},
		{"a long line", from + "A: " + strings.Repeat("x", 100_000) + "\n\ny\n", []string{`0 [][] "A: ` + strings.Repeat("x", 100_000) + `\r\n\r\ny\r\n"`}},
	} {
		if got := show(t, c.text, QuotingRD); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n%.300q\nwant\n%.300q", c.about, got, c.want)
		}
	}
	if got := show(t, from+"A: 1\n\n>From x\n>>From y\n", QuotingO); got[0] != `0 [][] "A: 1\r\n\r\nFrom x\r\n>>From y\r\n"` {
		t.Error(got)
	}
}

func TestDates(t *testing.T) {
	for line, want := range map[string]string{
		"From a@b Tue Nov 22 01:02:03 2026":               "2026-11-22T01:02:03Z",
		"From a@b  Tue Nov  2 01:02 2026":                 "2026-11-02T01:02:00Z",
		"From a@b Tue Nov 22 01:02:03 +0100 2026":         "2026-11-22T01:02:03+01:00",
		"From a@b Tue Nov 22 01:02:03 2026 -0830":         "2026-11-22T01:02:03-08:30",
		"From a@b Tue Nov 22 01:02:03 MET 2026":           "2026-11-22T01:02:03Z",
		"From - Tue Nov 22 01:02:03 2026":                 "2026-11-22T01:02:03Z",
		"From Tue Nov 22 01:02:03 2026":                   "2026-11-22T01:02:03Z",
		"From a b Tue, 22 Nov 2026":                       "",
		"From a@b Tue Nov 22 01:02:03 2026 remote from x": "2026-11-22T01:02:03Z",
		"From a@b Tue 22 Nov 01:02:03 2026":               "2026-11-22T01:02:03Z",
		"From me on Tuesday":                              "",
		"From ":                                           "",
		"From a@b Tue Nov 42 01:02:03 2026":               "",
		"From " + strings.Repeat("x ", 2000):              "",
		"From a@b Tue Nov 22 25:02:03 2026":               "",
		"from a@b Tue Nov 22 01:02:03 2026":               "",
		">From a@b Tue Nov 22 01:02:03 2026":              "",
	} {
		at, ok := fromDate([]byte(line))
		got := ""
		if ok {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%.60q: %q, want %q", line, got, want)
		}
	}
}

// TestKeys: a message has the same key wherever it stands and however it is
// flagged; and what stands twice has two.
func TestKeys(t *testing.T) {
	keys := func(text string) (all []string) {
		r := strings.NewReader(text)
		f, err := Index(r, r.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.Messages {
			all = append(all, m.Key)
		}
		return all
	}
	before := keys(from + "A: 1\n\nx\n\n" + from + "A: 1\n\nx\n\n" + from + "A: 2\n\ny\n")
	after := keys(from + "Status: RO\nA: 1\n\nx\n\n" + from + "A: 1\nX-Keywords: a\n b\n\nx\n\n" + from + "A: 2\n\ny\n\n" + from + "A: 3\n\nz\n")
	if before[0] == before[1] || fmt.Sprint(after[:3]) != fmt.Sprint(before) {
		t.Errorf("%v\n%v", before, after)
	}
}

// TestWrite: what is written is read back.
func TestWrite(t *testing.T) {
	texts := []string{"A: 1\r\n\r\nFrom x\r\n>From y\r\n>>From z\r\n", "\r\n\r\n\r\n", "A: 1\r\n\r\nx\r\n\r\n", "A: 1\r\n\r\n" + from, "\r\n" + strings.Repeat(">", 5000) + "From \r\n\r\n", "A: 1\r\nFrom x\r\n\r\nx"}
	for cut := range 12 {
		var b bytes.Buffer
		w := NewWriter(&b, 77, 100)
		for i, text := range texts {
			err := w.Add(mail.UID(i+3), mail.Seen|mail.Flagged, []string{"Junk"}, time.Unix(1_600_000_000, 0), func(w io.Writer) error {
				n := min(cut, len(text))
				_, _ = io.WriteString(w, text[:n])
				_, err := io.WriteString(w, text[n:])
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got := show(t, b.String(), QuotingRD)
		if len(got) != len(texts) {
			t.Fatalf("%d messages of\n%s", len(got), b.String())
		}
		for i, text := range texts {
			if !strings.HasSuffix(text, "\n") {
				text += "\r\n"
			}
			text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
			if want := fmt.Sprintf(`%d [\Seen \Flagged][Junk] %q`, i+3, text); got[i] != want {
				t.Errorf("cut at %d: %.200s, want %.200s", cut, got[i], want)
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(from + "Content-Length: 38\nA: 1\n\nx\n\n" + from + ">\n" + "\n" + from + "B: 1\n\ny\n"))
	f.Add([]byte(from + "X-IMAPbase: 77 9 Junk\nX-UID: 4\nStatus: RO\nX-Keywords: Junk\n Work\nA: 1\n\nx\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		file, err := Index(r, r.Size())
		if err != nil {
			return
		}
		last := int64(0)
		for _, m := range file.Messages {
			if m.Offset < last || m.End < m.Offset || m.End > int64(len(b)) || m.Key == "" {
				t.Fatalf("%+v after %d of %d", m, last, len(b))
			}
			last = m.End
			if err := Copy(io.Discard, r, m, QuotingRD); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzWriter: what was written is read as it was, with its line ends.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"A: 1\n\nx\n", "A: 1\n", "\n", "text\n>From y\n", " folded\n\nx\n", "From x\n>From y\nA: b\n\nFrom z\n\n\n", "\t\n\n" + from + "A: b\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.TrimSuffix(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"))
		want := bytes.ReplaceAll(append(bytes.Clone(b), '\n'), []byte("\n"), []byte("\r\n"))
		for line := range strings.Lines(string(b)) {
			if name, value := field(line); fileFields[name] != nil || name == "content-length" || strings.Contains(value, "FOLDER INTERNAL") {
				return // Those are the file's.
			}
		}
		var file bytes.Buffer
		w := NewWriter(&file, 1, 9)
		for uid := range mail.UID(2) {
			if err := w.Add(uid+1, mail.Flagged, []string{"k"}, time.Unix(1e9, 0), func(w io.Writer) error { _, err := w.Write(want); return err }); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(file.Bytes())
		index, err := Index(r, r.Size())
		if err != nil || len(index.Messages) != 2 {
			t.Fatalf("%d messages, %v, in %q", len(index.Messages), err, file.Bytes())
		}
		for _, m := range index.Messages {
			var got bytes.Buffer
			if err := Copy(&got, r, m, QuotingRD); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("%q became %q, %v", want, got.Bytes(), err)
			}
		}
	})
}
