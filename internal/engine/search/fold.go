package search

import (
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxPending bounds what a folder holds back while it waits for a place where
// normalization may be cut; hostile text has none for megabytes.
const maxPending = 1 << 10

// folder brings text into the form in which it is compared: NFKC, then
// case-folded. Text comes in pieces; what may still combine with the next
// piece is held back.
type folder struct {
	caser   cases.Caser
	pending []byte
	partial []byte // the start of a character, at most three octets
	scratch []byte
	raw     []byte // for who gathers what is to be folded
}

func newFolder() *folder { return &folder{caser: cases.Fold()} }

// foldString folds one whole string.
func (f *folder) foldString(s string) string {
	return string(f.append(nil, []byte(s), true))
}

// append folds piece, with what was held back before it, onto dst. last says
// that nothing follows.
func (f *folder) append(dst, piece []byte, last bool) []byte {
	if len(f.partial) == 0 && isASCII(f.pending) && isASCII(piece) {
		dst = appendLower(dst, f.pending) // Only a mark that follows could have changed it.
		f.pending = f.pending[:0]
		cut := len(piece)
		if !last && cut > 0 {
			cut-- // A combining mark may follow.
			f.pending = append(f.pending, piece[cut])
		}
		return appendLower(dst, piece[:cut])
	}
	f.take(piece, last)
	cut := len(f.pending)
	if !last {
		cut = f.boundary()
	}
	f.scratch = norm.NFKC.Append(f.scratch[:0], f.pending[:cut]...)
	f.pending = append(f.pending[:0], f.pending[cut:]...)
	return append(dst, f.caser.Bytes(f.scratch)...)
}

// take adds piece to the pending text. Octets that are no UTF-8 become U+FFFD,
// each of them, wherever pieces begin and end.
func (f *folder) take(piece []byte, last bool) {
	if len(f.partial) > 0 {
		piece = append(f.partial, piece...)
		f.partial = nil
	}
	for len(piece) > 0 {
		if !last && !utf8.FullRune(piece) {
			f.partial = append(f.partial, piece...)
			return
		}
		r, n := utf8.DecodeRune(piece)
		f.pending = utf8.AppendRune(f.pending, r)
		piece = piece[n:]
	}
}

// boundary is where the pending text may be cut.
func (f *folder) boundary() int {
	if i := norm.NFKC.LastBoundary(f.pending); i > 0 {
		return i
	}
	if len(f.pending) > maxPending {
		return len(f.pending)
	}
	return 0
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func appendLower(dst, ascii []byte) []byte {
	start := len(dst)
	dst = append(dst, ascii...)
	for i, c := range dst[start:] {
		if 'A' <= c && c <= 'Z' {
			dst[start+i] = c + ('a' - 'A')
		}
	}
	return dst
}

// cut drops what is held back of a text that was left before its end.
func (f *folder) cut() { f.pending, f.partial = f.pending[:0], nil }
