package netx

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzReadLine reads any input, cut anywhere, and compares with the rule said
// simply: lines have at most limit octets before their CRLF, and no other CR or LF.
func FuzzReadLine(f *testing.F) {
	f.Add([]byte("a\r\nbc\r\n"), 3, uint8(10))
	f.Add([]byte("a\nb\r\n"), 1, uint8(10))
	f.Add([]byte("a\rb\r\n"), 2, uint8(10))
	f.Add([]byte("0123456789\r\n0123456789A\r\n"), 13, uint8(10))
	f.Add(bytes.Repeat([]byte("x"), 700), 512, uint8(255))
	f.Fuzz(func(t *testing.T, input []byte, cut int, limit uint8) {
		first := 0
		if len(input) > 0 {
			first = (cut%len(input) + len(input)) % len(input)
		}
		c := NewConn(&drip{input: bytes.Clone(input), pieces: []int{max(first, 1), len(input)}}, 0, 0)
		rest := input
		for {
			line, err := c.ReadLine(int(limit))
			want, after, wantErr := cutLine(rest, int(limit))
			if !errors.Is(err, wantErr) || err == nil && !bytes.Equal(line, want) {
				t.Fatalf("of %q: %q and %v, want %q and %v", rest, line, err, want, wantErr)
			}
			if err != nil {
				return
			}
			rest = after
		}
	})
}

func cutLine(in []byte, limit int) (line, rest []byte, err error) {
	line, rest, whole := bytes.Cut(in, []byte("\n"))
	switch {
	case !whole && len(in) > limit+1:
		return nil, nil, ErrLineTooLong
	case !whole && len(in) > 0:
		return nil, nil, io.ErrUnexpectedEOF
	case !whole:
		return nil, nil, io.EOF
	case len(line)-1 > limit:
		return nil, nil, ErrLineTooLong
	case len(line) == 0 || bytes.IndexByte(line, '\r') != len(line)-1:
		return nil, nil, ErrBareNewline
	}
	return line[:len(line)-1], rest, nil
}
