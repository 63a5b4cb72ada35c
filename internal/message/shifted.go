package message

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// utf7 decodes UTF-7 (RFC 2152).
type utf7 struct {
	shifted bool
	fresh   bool // nothing was read since the plus sign
	bits    uint32
	n       uint // bits that wait
	high    rune // a high surrogate that waits for its other half
}

// Reset implements transform.Transformer.
func (u *utf7) Reset() { *u = utf7{} }

// Transform implements transform.Transformer.
func (u *utf7) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if nDst+2*utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += u.step(dst[nDst:], src[nSrc])
	}
	return nDst, nSrc, nil
}

// step reads one octet and writes what is known by it: at most two characters.
func (u *utf7) step(dst []byte, c byte) int {
	switch v := base64Value[c]; {
	case !u.shifted && c == '+':
		*u = utf7{shifted: true, fresh: true}
		return 0
	case !u.shifted:
		return putASCII(dst, c)
	case v < 64:
		u.fresh = false
		return u.sextet(dst, v)
	}
	n, fresh := 0, u.fresh
	if u.high != 0 {
		n = utf8.EncodeRune(dst, utf8.RuneError)
	}
	u.Reset()
	if c == '-' && fresh {
		c = '+'
	} else if c == '-' {
		return n
	}
	return n + putASCII(dst[n:], c)
}

func (u *utf7) sextet(dst []byte, v byte) int {
	u.bits, u.n = u.bits<<6|uint32(v), u.n+6
	if u.n < 16 {
		return 0
	}
	u.n -= 16
	r := rune(u.bits >> u.n & 0xffff)
	switch {
	case u.high != 0:
		pair := utf16.DecodeRune(u.high, r)
		if u.high = 0; pair != utf8.RuneError || !utf16.IsSurrogate(r) {
			if pair == utf8.RuneError {
				n := utf8.EncodeRune(dst, utf8.RuneError)
				return n + utf8.EncodeRune(dst[n:], r)
			}
			return utf8.EncodeRune(dst, pair)
		}
		return utf8.EncodeRune(dst, utf8.RuneError)
	case r >= 0xd800 && r < 0xdc00:
		u.high = r
		return 0
	}
	return utf8.EncodeRune(dst, r) // a lone low surrogate becomes U+FFFD
}

func putASCII(dst []byte, c byte) int {
	if c >= utf8.RuneSelf {
		return utf8.EncodeRune(dst, utf8.RuneError)
	}
	dst[0] = c
	return 1
}

// iso2022kr turns ISO-2022-KR (RFC 1557) into EUC-KR.
type iso2022kr struct{ shifted bool }

// Reset implements transform.Transformer.
func (k *iso2022kr) Reset() { k.shifted = false }

// Transform implements transform.Transformer.
func (k *iso2022kr) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	const designator = "\x1b$)C"
	for ; nSrc < len(src); nSrc++ {
		c := src[nSrc]
		if c == 0x1b {
			if rest := src[nSrc:]; len(rest) >= len(designator) && string(rest[:4]) == designator {
				nSrc += len(designator) - 1
				continue
			} else if len(rest) < len(designator) && !atEOF {
				return nDst, nSrc, transform.ErrShortSrc
			}
		}
		switch {
		case c == 0x0e || c == 0x0f:
			k.shifted = c == 0x0e
			continue
		case c == '\n':
			k.shifted = false
		case k.shifted && c > ' ':
			c |= 0x80
		}
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		dst[nDst] = c
		nDst++
	}
	return nDst, nSrc, nil
}
