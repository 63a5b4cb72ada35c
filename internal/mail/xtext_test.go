package mail

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendUnitextReplacesWhatItHasNoFormFor(t *testing.T) {
	for in, want := range map[string]string{"a\x00\n\u0085b": `a\x{FFFD}\x{FFFD}\x{FFFD}b`, "\xff": `\x{FFFD}`} {
		if got := string(AppendUnitext(nil, in, true)); got != want {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"a+2Bb", "+", "=", `\`, "é", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := string(AppendXtext(nil, s))
		if back, ok := ParseXtext(encoded); !ok || back != s {
			t.Errorf("%q is %q is %q", s, encoded, back)
		}
		if text, ok := ParseXtext(s); ok {
			if back, ok := ParseXtext(string(AppendXtext(nil, text))); !ok || back != text {
				t.Errorf("%q is %q, then %q", s, text, back)
			}
		}
	})
}

func FuzzUnitext(f *testing.F) {
	for _, s := range []string{`\x{90F5}@x`, "郵便@x", `\x{0A}`, "a+b=c\\ d", `\x{FFFD}`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, ascii bool) {
		encoded := string(AppendUnitext(nil, s, ascii))
		back, ok := ParseUnitext(encoded)
		if !ok || ascii && !isASCII(encoded) || strings.Contains(encoded, " ") {
			t.Fatalf("%q is encoded as %q", s, encoded)
		}
		if utf8.ValidString(s) && !strings.ContainsFunc(s, control) && back != s {
			t.Errorf("%q is %q is %q", s, encoded, back)
		}
		if text, ok := ParseUnitext(s); ok {
			if again, ok := ParseUnitext(string(AppendUnitext(nil, text, ascii))); !ok || again != text {
				t.Errorf("%q is %q, then %q", s, text, again)
			}
		}
	})
}

func control(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

func TestXtextRefuses(t *testing.T) {
	for _, bad := range []string{"a=b", "a b", "+4", "+4g", "+ab", "é"} {
		if got, ok := ParseXtext(bad); ok {
			t.Errorf("%q was decoded to %q", bad, got)
		}
	}
}
