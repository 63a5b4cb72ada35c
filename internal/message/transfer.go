package message

import (
	"bytes"

	"golang.org/x/text/transform"
)

// KnownEncoding reports whether NewDecoder decodes the content transfer
// encoding called enc, in any case; "" is 7bit.
func KnownEncoding(enc string) bool {
	switch encodingName([]byte(enc)) {
	case "", "8bit", "binary", "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue":
		return true
	}
	return false
}

func newTransfer(encoding string) transfer {
	switch encodingName([]byte(encoding)) {
	case "base64":
		return new(base64Decoder)
	case "quoted-printable":
		return qpDecoder{}
	case "x-uuencode", "uuencode", "x-uue":
		return new(uuDecoder)
	}
	return nil
}

// base64Value is the value of each octet of the alphabet, base64Pad for "=",
// 255 for any other.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['='] = base64Pad
	return t
}()

const base64Pad = 64

// base64Decoder decodes base64 (RFC 2045 §6.8).
type base64Decoder struct {
	bits uint32
	n    int // sextets that wait in bits
}

// Reset implements transform.Transformer.
func (d *base64Decoder) Reset() { *d = base64Decoder{} }

// Transform implements transform.Transformer.
func (d *base64Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for {
		if d.n == 0 {
			n, m := base64Quads(dst[nDst:], src[nSrc:])
			nDst, nSrc = nDst+n, nSrc+m
		}
		if len(dst)-nDst < 3 {
			if nSrc == len(src) && d.n == 0 {
				return nDst, nSrc, nil
			}
			return nDst, nSrc, transform.ErrShortDst
		}
		if nSrc == len(src) {
			if atEOF {
				nDst += d.flush(dst[nDst:])
			}
			return nDst, nSrc, nil
		}
		v := base64Value[src[nSrc]]
		nSrc++
		switch {
		case v < 64:
			d.bits, d.n = d.bits<<6|uint32(v), d.n+1
			if d.n == 4 {
				nDst += d.flush(dst[nDst:])
			}
		case v == base64Pad:
			nDst += d.flush(dst[nDst:])
		}
	}
}

// base64Quads decodes whole groups of four as long as there is nothing else.
func base64Quads(dst, src []byte) (nDst, nSrc int) {
	for len(src)-nSrc >= 4 && len(dst)-nDst >= 3 {
		s, o := src[nSrc:nSrc+4:nSrc+4], dst[nDst:nDst+3:nDst+3]
		a, b, c, d := base64Value[s[0]], base64Value[s[1]], base64Value[s[2]], base64Value[s[3]]
		if a|b|c|d >= 64 {
			break
		}
		o[0], o[1], o[2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
		nDst, nSrc = nDst+3, nSrc+4
	}
	return nDst, nSrc
}

// flush writes the octets of a group that may be short.
func (d *base64Decoder) flush(dst []byte) int {
	v, n := d.bits<<(6*(4-d.n)), max(0, d.n-1)
	d.bits, d.n = 0, 0
	for i := range n {
		dst[i] = byte(v >> (16 - 8*i))
	}
	return n
}

// appendBase64 decodes text to the end of dst.
func appendBase64(dst, text []byte) []byte {
	var d base64Decoder
	buf := make([]byte, len(text)+3)
	n, _, _ := d.Transform(buf, text, true)
	return append(dst, buf[:n]...)
}

// uuDecoder decodes uuencode: the lines between "begin" and "end".
type uuDecoder struct {
	begun, ended bool
	skipping     bool // inside a line that is too long to be one of its lines
}

const (
	maxUULine = 1024 // octets of a line that is looked at
	maxUUData = 63   // octets that a line can hold
)

// Reset implements transform.Transformer.
func (d *uuDecoder) Reset() { *d = uuDecoder{} }

// Transform implements transform.Transformer.
func (d *uuDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < maxUUData {
			return nDst, nSrc, transform.ErrShortDst
		}
		line := src[nSrc:]
		n := bytes.IndexByte(line, '\n') + 1
		switch {
		case n == 0 && len(line) < maxUULine && !atEOF:
			return nDst, nSrc, transform.ErrShortSrc
		case n == 0 || n > maxUULine:
			n = min(len(line), maxUULine)
		}
		whole := line[n-1] == '\n' || atEOF && n == len(line)
		if !d.skipping && whole {
			nDst += d.line(dst[nDst:], bytes.TrimRight(line[:n], "\r\n"))
		}
		d.skipping = !whole
		nSrc += n
	}
	return nDst, nSrc, nil
}

// line decodes one line. Space at its end may have been lost; it stands for zeros.
func (d *uuDecoder) line(dst, line []byte) int {
	switch {
	case d.ended || len(line) == 0:
		return 0
	case !d.begun:
		d.begun = bytes.HasPrefix(line, []byte("begin "))
		return 0
	case string(line) == "end":
		d.ended = true
		return 0
	}
	n, text := int(line[0]-' ')&63, line[1:]
	var quad [4]byte
	for i := 0; i < n; i += 3 {
		for j := range quad {
			quad[j] = 0
			if k := i/3*4 + j; k < len(text) {
				quad[j] = (text[k] - ' ') & 63
			}
		}
		out := [3]byte{quad[0]<<2 | quad[1]>>4, quad[1]<<4 | quad[2]>>2, quad[2]<<6 | quad[3]}
		copy(dst[i:n], out[:])
	}
	return n
}
