package message

import "golang.org/x/text/transform"

// qpDecoder decodes quoted-printable (RFC 2045 §6.7): soft line breaks go,
// with space before their line end, and so does space at the end of a line.
// An equals sign that starts neither an octet nor a soft break stays.
type qpDecoder struct{ transform.NopResetter }

// maxSpace is how much space is looked over to see what follows; RFC 5322
// §2.1.1 bounds a line to 998 octets. Longer space is kept.
const maxSpace = 1000

// Transform implements transform.Transformer.
func (qpDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		n := qpPlain(src[nSrc:])
		if n > len(dst)-nDst {
			n = copy(dst[nDst:], src[nSrc:])
			return nDst + n, nSrc + n, transform.ErrShortDst
		}
		copy(dst[nDst:], src[nSrc:nSrc+n])
		nDst, nSrc = nDst+n, nSrc+n
		if nSrc == len(src) {
			break
		}
		var t qpToken
		if src[nSrc] == '=' {
			t = qpEscape(src[nSrc:], atEOF)
		} else {
			t = qpSpace(src[nSrc:], atEOF)
		}
		switch {
		case t.size == 0:
			return nDst, nSrc, transform.ErrShortSrc
		case len(t.out) > len(dst)-nDst:
			return nDst, nSrc, transform.ErrShortDst
		case t.octet:
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = t.value
			nDst++
		}
		nDst += copy(dst[nDst:], t.out)
		nSrc += t.size
	}
	return nDst, nSrc, nil
}

// qpToken is something that does not stand for itself.
type qpToken struct {
	size  int    // octets read; 0 if more must be seen first
	out   []byte // what is kept of them as they are
	octet bool   // value is what they stand for
	value byte
}

// qpPlain returns how many octets at the start of b stand for themselves.
func qpPlain(b []byte) int {
	for i, c := range b {
		if c == '=' || c == ' ' || c == '\t' {
			return i
		}
	}
	return len(b)
}

// qpEscape reads what starts with "=".
func qpEscape(b []byte, atEOF bool) qpToken {
	if len(b) >= 3 {
		if hi, lo := unhex(b[1]), unhex(b[2]); hi|lo < 16 {
			return qpToken{size: 3, octet: true, value: hi<<4 | lo}
		}
	}
	n := 1 + spaceLen(b[1:])
	eol, known := lineEnd(b[n:], atEOF)
	switch {
	case !known && n <= maxSpace, len(b) == 2 && !atEOF:
		return qpToken{}
	case eol > 0 || atEOF && n == len(b):
		return qpToken{size: n + eol}
	}
	return qpToken{size: 1, out: b[:1]}
}

// qpSpace reads space, which is kept unless it ends a line.
func qpSpace(b []byte, atEOF bool) qpToken {
	n := spaceLen(b)
	if n >= maxSpace {
		return qpToken{size: n, out: b[:n]}
	}
	eol, known := lineEnd(b[n:], atEOF)
	switch {
	case !known:
		return qpToken{}
	case eol > 0 || n == len(b):
		return qpToken{size: n}
	}
	return qpToken{size: n, out: b[:n]}
}

// spaceLen counts the spaces at the start of b, to maxSpace.
func spaceLen(b []byte) int {
	n := 0
	for n < len(b) && n < maxSpace && isWSP(b[n]) {
		n++
	}
	return n
}

// lineEnd returns the length of the line end that b starts with, and whether
// that can be known without seeing more.
func lineEnd(b []byte, atEOF bool) (n int, known bool) {
	switch {
	case len(b) == 0, len(b) == 1 && b[0] == '\r':
		return 0, atEOF
	case b[0] == '\n':
		return 1, true
	case b[0] == '\r' && b[1] == '\n':
		return 2, true
	}
	return 0, true
}
