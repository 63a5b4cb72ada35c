package message

import (
	"bytes"
	"io"
)

// shownNUL is what stands for NUL where a protocol has no way to send one.
const shownNUL = 0x80

// WithoutNUL returns a writer to w that shows NUL as an octet that is in no
// charset's text, so that nothing changes its length. It is for what can carry
// all octets but NUL: literals of IMAP, and POP3.
func WithoutNUL(w io.Writer) io.Writer { return nulWriter{w} }

type nulWriter struct{ w io.Writer }

func (n nulWriter) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, 0) < 0 {
		return n.w.Write(p)
	}
	return n.w.Write(AppendWithoutNUL(make([]byte, 0, len(p)), p))
}

// AppendWithoutNUL appends b as WithoutNUL writes it.
func AppendWithoutNUL(dst, b []byte) []byte {
	from := len(dst)
	dst = append(dst, b...)
	for i := from; ; i++ {
		n := bytes.IndexByte(dst[i:], 0)
		if n < 0 {
			return dst
		}
		i += n
		dst[i] = shownNUL
	}
}
