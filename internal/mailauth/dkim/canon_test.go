package dkim

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestCanonicalExample is RFC 6376 §3.4.5.
func TestCanonicalExample(t *testing.T) {
	var h Header
	h.index([]byte("A: X\r\nB : Y\t\r\n\tZ  \r\n"))
	for c, want := range map[Canonicalization]string{
		Relaxed: "a:X\r\nb:Y Z\r\n",
		Simple:  "A: X\r\nB : Y\t\r\n\tZ  \r\n",
	} {
		var got []byte
		for _, f := range h.Fields {
			got = c.AppendField(got, f.Raw)
		}
		if string(got) != want {
			t.Errorf("%s: %q, want %q", c, got, want)
		}
	}
	body := " C \r\nD \t E\r\n\r\n\r\n"
	if got := canonicalBody(Relaxed, body); got != " C\r\nD E\r\n" {
		t.Errorf("relaxed body %q", got)
	}
	if got := canonicalBody(Simple, body); got != " C \r\nD \t E\r\n" {
		t.Errorf("simple body %q", got)
	}
}

func TestRelaxedField(t *testing.T) {
	for raw, want := range map[string]string{
		"Subject:\r\n":             "subject:",
		"Subject: \t \r\n":         "subject:",
		"SUBJECT \t:\r\n a\r\n":    "subject:a",
		"S: a\r\n \r\n b \r\n":     "s:a b",
		"S: a\r\n\tb":              "s:a b",
		"S: a\n b\n":               "s:a b",
		"S: a\rb  c\r\n":           "s:a\rb c",
		"S: a \r\nstray\r\n":       "s:a \r\nstray",
		"S: caf\xc3\xa9 : b:c\r\n": "s:caf\xc3\xa9 : b:c",
	} {
		if got := string(appendRelaxed(nil, []byte(raw))); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestEmptyBodies(t *testing.T) {
	for _, c := range []struct {
		body, simple, relaxed string
	}{
		{"", "\r\n", ""},
		{"\r\n\r\n", "\r\n", ""},
		{" \r\n\t\r\n", " \r\n\t\r\n", ""},
		{" ", " \r\n", ""},
		{"a", "a\r\n", "a\r\n"},
		{"a\r", "a\r\r\n", "a\r\r\n"},
		{"a \rb", "a \rb\r\n", "a \rb\r\n"},
		{"\r\na\r\n\r\n", "\r\na\r\n", "\r\na\r\n"},
	} {
		if s, r := canonicalBody(Simple, c.body), canonicalBody(Relaxed, c.body); s != c.simple || r != c.relaxed {
			t.Errorf("%q: simple %q, relaxed %q", c.body, s, r)
		}
	}
}

var (
	spaceRun   = regexp.MustCompile("[ \t]+")
	spaceAtEnd = regexp.MustCompile("(?s) (\r\n|$)")
	emptyLines = regexp.MustCompile("(\r\n)+$")
)

// canonicalBody is RFC 6376 §3.4.3 and §3.4.4, as it stands there.
func canonicalBody(c Canonicalization, body string) string {
	if c == Relaxed {
		body = spaceRun.ReplaceAllString(body, " ")
		body = spaceAtEnd.ReplaceAllString(body, "$1")
	}
	body = emptyLines.ReplaceAllString(body, "")
	if body == "" && c == Relaxed {
		return ""
	}
	return body + "\r\n"
}

// TestBody compares what is hashed, in pieces of all sizes and with limits, with
// canonicalBody.
func TestBody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "bc", " ", "  ", "\t", "\r", "\n", "\r\n", "\r\n", "\r\n\r\n", strings.Repeat("long", 200)}
	for range 20000 {
		var text strings.Builder
		for range random.IntN(12) {
			text.WriteString(words[random.IntN(len(words))])
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			want := canonicalBody(c, text.String())
			limits := []int64{-1, int64(random.IntN(20)), 0, int64(len(want)), int64(len(want)) + 1}
			random.Shuffle(len(limits), func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
			var body Body
			var digests []*Digest
			for _, l := range limits {
				digests = append(digests, body.Digest(c, l))
			}
			for rest := text.String(); len(rest) > 0; {
				n := 1 + random.IntN(len(rest))
				body.write([]byte(rest[:n]))
				rest = rest[n:]
			}
			body.finish()
			for i, d := range digests {
				signed, fits := want, true
				if limits[i] >= 0 {
					fits = limits[i] <= int64(len(want))
					signed = want[:min(limits[i], int64(len(want)))]
				}
				sum, ok := d.Sum()
				if ok != fits || ok && sum != sha256.Sum256([]byte(signed)) {
					t.Fatalf("%s, limit %d of %q: another hash, fits %v", c, limits[i], text.String(), ok)
				}
				if d.Length() != int64(len(want)) || d.Unsigned() != int64(len(want)-len(signed)) {
					t.Fatalf("%s, limit %d of %q: length %d, unsigned %d", c, limits[i], text.String(), d.Length(), d.Unsigned())
				}
			}
		}
	}
}

// TestMessageInPieces: where the header ends does not depend on how it comes.
func TestMessageInPieces(t *testing.T) {
	for _, text := range []string{"A: b\r\n\r\nbody\r\n", "A: b\r\n", "", "\r\nbody", "Text without a header\r\n\r\nmore",
		"A: b\r\n c\r\nD: e\r\n\r\n\r\n\r\nx", "A: b\nC: d\n\nbody"} {
		var whole string
		for size := len(text); size >= 0; size-- {
			var got bytes.Buffer
			var digest *Digest
			m := NewMessage(func(h *Header, b *Body) {
				for _, f := range h.Fields {
					got.WriteString(f.Name + "|" + string(f.Raw) + "|")
				}
				digest = b.Digest(Simple, -1)
			})
			for rest := []byte(text); len(rest) > 0; {
				n := max(1, min(size, len(rest)))
				m.Write(rest[:n])
				rest = rest[n:]
			}
			m.Finish()
			sum, _ := digest.Sum()
			got.Write(sum[:])
			if whole == "" {
				whole = got.String()
			}
			if got.String() != whole {
				t.Errorf("%q in pieces of %d: %q, whole %q", text, size, got.String(), whole)
			}
		}
	}
}
