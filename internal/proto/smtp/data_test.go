package smtp

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// readData feeds in to a DataReader in the given pieces.
func readData(pieces ...string) (content, rest string, err error) {
	var d DataReader
	var out strings.Builder
	for i, piece := range pieces {
		in := []byte(piece)
		for len(in) > 0 {
			got, used, end, err := d.Next(in)
			out.Write(got)
			in = in[used:]
			if err != nil {
				return out.String(), string(in), err
			}
			if end {
				return out.String(), string(in) + strings.Join(pieces[i+1:], ""), nil
			}
		}
	}
	return out.String(), "", io.ErrUnexpectedEOF
}

func TestDataReader(t *testing.T) {
	for _, test := range []struct{ in, content, rest string }{
		{".\r\n", "", ""},
		{"a\r\n.\r\n", "a\r\n", ""},
		{"a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"},
		{"..\r\n.\r\n", ".\r\n", ""},
		{"..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", ""},
		{".a\r\n.\r\n", "a\r\n", ""},
		{"a.\r\n.\r\n", "a.\r\n", ""},
		{"\r\n\r\n.\r\n.\r\n", "\r\n\r\n", ".\r\n"},
		{"a\x00\xff\r\n.\r\n", "a\x00\xff\r\n", ""},
	} {
		whole, rest, err := readData(test.in)
		if whole != test.content || rest != test.rest || err != nil {
			t.Errorf("%q is %q and %q (%v)", test.in, whole, rest, err)
		}
		if single, rest, err := readData(strings.Split(test.in, "")...); single != test.content || rest != test.rest || err != nil {
			t.Errorf("%q octet by octet is %q and %q (%v)", test.in, single, rest, err)
		}
	}
}

// The ends that some servers see and others do not.
// TestBareLF: with BareLF a line may end in LF alone and gets its CR; it neither
// ends the message nor loses a dot, however the octets are cut; a CR alone is
// refused all the same.
func TestBareLF(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\r\n.\r\n":                 "a\r\nb\r\n",
		"a\n.\nb\n.\r\nc\n\r\n.\r\n":    "a\r\n.\r\nb\r\n.\r\nc\r\n\r\n",
		"a\n..b\r\n..c\r\n.\r\n":        "a\r\n..b\r\n.c\r\n",
		"a\r\n.\nb\r\n.\r\n":            "a\r\n\r\nb\r\n",
		"\n\n\r\n.\r\n":                 "\r\n\r\n\r\n",
		".\r\n":                         "",
		"a\r\n.\r\nMAIL FROM:<x@y>\r\n": "a\r\n", // What follows is a command.
		"a\rb\r\n.\r\n":                 "error",
		"a\n.\rb\r\n.\r\n":              "error",
		"a\r\r\n.\r\n":                  "error",
		"a\n.\r\nMAIL FROM:<x@y>\n.\n":  "open",
	} {
		for cut := range len(in) + 1 {
			d := DataReader{BareLF: true}
			var got []byte
			end := "open"
		read:
			for at, upTo := range []int{cut, len(in)} {
				for part := in[[]int{0, cut}[at]:upTo]; part != ""; {
					out, used, over, err := d.Next([]byte(part))
					got = append(got, out...)
					switch {
					case err != nil:
						end = "error"
						break read
					case over:
						end = string(got)
						break read
					}
					part = part[used:]
				}
			}
			if end != want {
				t.Errorf("%q cut at %d: %q, want %q", in, cut, end, want)
			}
		}
	}
	for cut := range 5 {
		var c LineChecker
		a, err := c.Repair([]byte("a\n\r\nb"[:cut]))
		text := string(a)
		b, err2 := c.Repair([]byte("a\n\r\nb"[cut:]))
		if text += string(b); text != "a\r\n\r\nb" || err != nil || err2 != nil {
			t.Errorf("cut at %d: %q, %v, %v", cut, text, err, err2)
		}
	}
}

func TestSmugglingIsRefused(t *testing.T) {
	for _, in := range []string{
		"a\n.\n", "a\r\n.\n", "a\n.\r\n", "a\r.\r", "a\r\n.\r", "a\r.\r\n", "a\r\n.\r\r\n", "a\r\r\n.\r\n",
		"a\r\n\r.\r\n", "a\r\n\n.\r\n", "\n", "\r\r", "a\rb\r\n", ".\n", ".\r.\r\n", "a\x00\n.\x00\r\n",
	} {
		in += "MAIL FROM:<evil@example.com>\r\n.\r\n"
		if got, _, err := readData(in); err != ErrBareNewline {
			t.Errorf("%q was read as %q (%v)", in, got, err)
		}
		if got, _, err := readData(strings.Split(in, "")...); err != ErrBareNewline {
			t.Errorf("%q octet by octet was read as %q (%v)", in, got, err)
		}
	}
}

// slowRead is the same by the book, one octet after the other.
func slowRead(in []byte) (content []byte, rest []byte, err error) {
	for pos := 0; ; {
		lf := bytes.IndexByte(in[pos:], '\n')
		if lf < 0 {
			if cr := bytes.IndexByte(in[pos:], '\r'); cr >= 0 && pos+cr != len(in)-1 {
				return content, nil, ErrBareNewline
			}
			return content, nil, io.ErrUnexpectedEOF
		}
		line := in[pos : pos+lf+1]
		if len(line) < 2 || bytes.IndexByte(line, '\r') != len(line)-2 {
			return content, nil, ErrBareNewline
		}
		pos += lf + 1
		if string(line) == ".\r\n" {
			return content, in[pos:], nil
		}
		content = append(content, bytes.TrimPrefix(line, []byte("."))...)
	}
}

func FuzzDataReader(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nQUIT\r\n"), uint64(1))
	f.Add([]byte("a\n.\r\n"), uint64(2))
	f.Add([]byte("a\r\n.\r\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var pieces []string
		for rest := in; len(rest) > 0; {
			n := 1 + rnd.IntN(min(len(rest), 9))
			pieces = append(pieces, string(rest[:n]))
			rest = rest[n:]
		}
		want, wantRest, wantErr := slowRead(in)
		for _, way := range [][]string{{string(in)}, pieces} {
			got, rest, err := readData(way...)
			if err != wantErr {
				t.Fatalf("%q: %v, want %v", way, err, wantErr)
			}
			if err == nil && (got != string(want) || rest != string(wantRest)) {
				t.Fatalf("%q: %q and %q, want %q and %q", way, got, rest, want, wantRest)
			}
		}
	})
}

func TestLineChecker(t *testing.T) {
	for in, want := range map[string]error{
		"": nil, "a": nil, "a\r\n.\r\n": nil, "a\r\n.b": nil,
		"\n": ErrBareNewline, "a\n": ErrBareNewline, "a\r": ErrBareNewline, "a\rb": ErrBareNewline, "a\r\r\n": ErrBareNewline,
	} {
		for _, pieces := range [][]string{{in}, strings.Split(in, "")} {
			var c LineChecker
			var err error
			for _, p := range pieces {
				if err == nil {
					err = c.Check([]byte(p))
				}
			}
			if err == nil {
				err = c.End()
			}
			if err != want {
				t.Errorf("%q: %v, want %v", pieces, err, want)
			}
		}
	}
}

func writeData(t *testing.T, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := NewDataWriter(&out)
	for _, p := range pieces {
		if n, err := io.WriteString(w, p); n != len(p) || err != nil {
			t.Fatalf("wrote %d of %d octets: %v", n, len(p), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDataWriter(t *testing.T) {
	for in, want := range map[string]string{
		"":               ".\r\n",
		"a\r\n":          "a\r\n.\r\n",
		"a":              "a\r\n.\r\n",
		".":              "..\r\n.\r\n",
		".\r\n..\r\n":    "..\r\n...\r\n.\r\n",
		"a\n.\nb":        "a\r\n..\r\nb\r\n.\r\n",
		"a\r.\rb\r":      "a\r\n..\r\nb\r\n.\r\n",
		"a\r\n.\r\r\n.b": "a\r\n..\r\n\r\n..b\r\n.\r\n",
	} {
		if got := writeData(t, in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
		if got := writeData(t, strings.Split(in, "")...); got != want {
			t.Errorf("%q octet by octet is written as %q, want %q", in, got, want)
		}
	}
}

func FuzzDataWriter(f *testing.F) {
	f.Add("a\r\n.b\r\n", "\n.\r")
	f.Fuzz(func(t *testing.T, a, b string) {
		out := writeData(t, a, b)
		got, rest, err := readData(out)
		if err != nil || rest != "" {
			t.Fatalf("%q + %q was written as %q: %v, left %q", a, b, out, err, rest)
		}
		if whole := writeData(t, a+b); whole != out {
			t.Fatalf("%q + %q was written as %q, in one piece as %q", a, b, out, whole)
		}
		want := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(a + b)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got != want {
			t.Fatalf("%q + %q came out as %q, want %q", a, b, got, want)
		}
	})
}

func BenchmarkDataReader(b *testing.B) {
	in := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57) + ".\r\n")
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var d DataReader
		for rest := in; len(rest) > 0; {
			_, used, _, err := d.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[used:]
		}
	}
}
