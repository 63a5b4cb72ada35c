package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "",
		"plain <a@b.test> 郵便 é":  "plain <a@b.test> 郵便 é",
		"wide\u3000space":        "wide\u3000space",
		"a\x1b[2Jb":              `a\u001b[2Jb`,
		"a\u009b2Jb":             `a\u009b2Jb`,
		"a\x7fb":                 `a\u007fb`,
		"a\u202eb\u2066c\u200fd": `a\u202eb\u2066c\u200fd`,
		"a\u200bb\ufeffc\u00add": `a\u200bb\ufeffc\u00add`,
		"a\u2028b\u2029c\u0085d": `a\u2028b\u2029c\u0085d`,
		"a\nb\tc\rd":             `a\u000ab\u0009c\u000dd`,
		"a\x9bb\xff":             `a\ufffdb\ufffd`,
		"a\U000e0001b":           `a\udb40\udc01b`,
		"\ufffd":                 "\ufffd",
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
}

// hostile is a little of all that must not come out.
const hostile = "x\x1b[2J\u009b31m\u202egnp\u2066\u200b\u2028\ufeff\U000e0001\x7fy"

// speaks reports what of s would say something to a terminal.
func speaks(s string) bool {
	return !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r))
	}) >= 0
}

// TestPrinting: whatever is written, in whatever pieces, nothing of it speaks,
// and JSON means what it meant.
func TestPrinting(t *testing.T) {
	text, err := json.Marshal(map[string]string{"a": hostile, "b": "郵便\nline"})
	if err != nil {
		t.Fatal(err)
	}
	for name, pieces := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		var out bytes.Buffer
		w := Printing(&out)
		if _, err := io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{pieces(bytes.NewReader(text))}); err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["a"] != hostile || back["b"] != "郵便\nline" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
		if speaks(out.String()) || !strings.Contains(out.String(), "郵便") {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}

func FuzzPrinting(f *testing.F) {
	f.Add([]byte(hostile), 3)
	f.Add([]byte("\xe2\x80"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var out bytes.Buffer
		w := Printing(&out)
		cut = min(max(cut, 0), len(b))
		for _, part := range [][]byte{b[:cut], b[cut:], []byte("\n")} {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if speaks(out.String()) || speaks(Printable(string(b))) {
			t.Errorf("%q", out.String())
		}
	})
}

// TestLogIsPrintable: values, keys, messages and errors of log lines do not
// speak, in either format.
func TestLogIsPrintable(t *testing.T) {
	for _, format := range []Format{FormatText, FormatJSON} {
		var out bytes.Buffer
		log := NewLogger(&out, LogOptions{Format: format}).With("with", hostile).WithGroup("g")
		log.Info(hostile, "from", hostile, hostile, 1, Err(errors.New(hostile)), slog.Group("in", "to", hostile), slog.Any("any", []string{hostile}))
		if text := out.String(); speaks(text) || strings.Count(text, "\n") != 1 || strings.Count(text, `\u009b`) < 6 {
			t.Errorf("%s: %s", format, text)
		}
	}
}
