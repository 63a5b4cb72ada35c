package search

import (
	"bytes"
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
	if len(f.pending)+len(f.partial) == 0 && isASCII(piece) {
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

// matcher looks for needles in texts that come in pieces.
type matcher struct {
	needles []needle
	found   []bool
	left    int    // needles not found yet
	longest int    // octets of the longest needle
	window  []byte // folded text; its first octets are the end of the last piece
	fold    *folder
	octets  [][]byte // of each needle
	buf     []byte   // for who reads pieces
}

func newMatcher(needles []needle) *matcher {
	m := &matcher{needles: needles, fold: newFolder(), buf: make([]byte, chunk)}
	for _, n := range needles {
		m.longest = max(m.longest, len(n.folded))
		m.octets = append(m.octets, []byte(n.folded))
	}
	return m
}

// reset begins a new message. The empty text is found everywhere.
func (m *matcher) reset() {
	m.found = make([]bool, len(m.needles))
	m.left = len(m.needles)
	for i, n := range m.needles {
		if n.folded == "" {
			m.found[i] = true
			m.left--
		}
	}
}

// text looks at one piece of a text; last ends the text. own says that the
// text belongs to the message's own header or to a MIME header, in which body
// needles are not looked for.
func (m *matcher) text(piece []byte, own, last bool) {
	m.window = m.fold.append(m.window, piece, last)
	for i, n := range m.needles {
		if m.found[i] || n.body && own || !bytes.Contains(m.window, m.octets[i]) {
			continue
		}
		m.found[i] = true
		m.left--
	}
	keep := min(len(m.window), max(m.longest-1, 0))
	if last {
		keep = 0
	}
	m.window = append(m.window[:0], m.window[len(m.window)-keep:]...)
}

// cut ends the text, if it was left before its end.
func (m *matcher) cut() {
	m.window = m.window[:0]
	m.fold.pending = m.fold.pending[:0]
	m.fold.partial = nil
}
