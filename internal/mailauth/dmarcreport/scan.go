package dmarcreport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner reads as much of XML 1.0 as a report has: elements, texts, CDATA. Comments,
// processing instructions and attributes are passed over; a document type is a
// fault. It calls back instead of making tokens, and keeps nothing but the path to
// where it is and the text of the innermost element.
type scanner struct {
	r    *bufio.Reader
	path []byte // of the elements that are open: "/feedback/record/row"
	ends []int  // where the name of each begins in path
	text []byte // since the last tag, entities resolved; at most MaxText and what one piece adds
	cut  bool   // there was more of it
	seen int    // elements
	tag  []byte // the last tag, if it did not fit the reader's buffer
}

// begun and ended are called with the path to an element, which is only lent.
type visitor interface {
	begun(path []byte) error
	ended(path []byte, text []byte, cut bool) error
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 32<<10), path: make([]byte, 0, 256)}
}

var errEnds = invalid("the document ends in the middle")

// run reads until the root element ends; what follows it is not read.
func (s *scanner) run(v visitor) error {
	if b, _ := s.r.Peek(3); string(b) == "\xef\xbb\xbf" {
		_, _ = s.r.Discard(3)
	}
	for {
		if err := s.readText(); err != nil {
			return err
		}
		done, err := s.readTag(v)
		if done || err != nil {
			return err
		}
	}
}

// readText reads up to the next <, and over it.
func (s *scanner) readText() error {
	for {
		piece, err := s.r.ReadSlice('<')
		if err == nil {
			piece = piece[:len(piece)-1]
		}
		if err := s.addText(piece, true); err != nil {
			return err
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, io.EOF) && len(s.ends) == 0 && len(s.path) == 0:
			return invalid("the document has no element")
		case !errors.Is(err, bufio.ErrBufferFull):
			return endsEarly(err)
		}
	}
}

func endsEarly(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnds
	}
	return err
}

// addText keeps text that stands in an element. A piece that is cut at the end of a
// buffer cuts an entity only in texts that are too long anyway.
func (s *scanner) addText(piece []byte, entities bool) error {
	if len(s.ends) == 0 {
		if len(bytes.TrimSpace(piece)) > 0 {
			return invalid("there is text before the first element")
		}
		return nil
	}
	if s.cut {
		return nil
	}
	if room := MaxText - len(s.text); len(piece) > room {
		piece, s.cut = piece[:max(room, 0)], true
		if i := bytes.LastIndexByte(piece, '&'); entities && i >= 0 && bytes.IndexByte(piece[i:], ';') < 0 {
			piece = piece[:i]
		}
	}
	for entities {
		i := bytes.IndexByte(piece, '&')
		if i < 0 {
			break
		}
		s.text = append(s.text, piece[:i]...)
		end := bytes.IndexByte(piece[i:], ';')
		if end < 0 {
			return invalid("an entity has no end")
		}
		r, ok := entity(string(piece[i+1 : i+end]))
		if !ok {
			return invalid("the document has an entity that XML does not")
		}
		s.text = utf8.AppendRune(s.text, r)
		piece = piece[i+end+1:]
	}
	s.text = append(s.text, piece...)
	return nil
}

// entity is what &name; stands for (XML 1.0 §4.1, §4.6).
func entity(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok || len(digits) > 8 {
		return 0, false
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	return rune(n), err == nil && n > 0 && utf8.ValidRune(rune(n))
}

// readTag reads what follows a <. It is done when the root element is.
func (s *scanner) readTag(v visitor) (done bool, err error) {
	next, err := s.r.Peek(1)
	if err != nil {
		return false, endsEarly(err)
	}
	switch next[0] {
	case '!':
		return false, s.readDeclaration()
	case '?':
		return false, s.skipTo("?>")
	}
	tag, err := s.wholeTag()
	if err != nil {
		return false, err
	}
	if name, ok := bytes.CutPrefix(tag, []byte("/")); ok {
		return s.end(v, bytes.TrimRight(name, space))
	}
	tag, empty := bytes.CutSuffix(tag, []byte("/"))
	name := tag
	if i := bytes.IndexAny(tag, space); i >= 0 {
		name = tag[:i]
	}
	if err := s.begin(v, name); err != nil || !empty {
		return false, err
	}
	return s.end(v, name)
}

const space = " \t\r\n"

// wholeTag reads up to the > that ends a tag, which is not the one in an
// attribute's value.
func (s *scanner) wholeTag() ([]byte, error) {
	s.tag = s.tag[:0]
	for quote := byte(0); ; {
		piece, err := s.r.ReadSlice('>')
		if len(s.tag)+len(piece) > MaxTag {
			return nil, tooLarge("a tag is over %d octets", MaxTag)
		}
		if err != nil {
			return nil, endsEarly(err)
		}
		quote = quoteAfter(piece, quote)
		if quote == 0 && len(s.tag) == 0 {
			return piece[:len(piece)-1], nil
		}
		if s.tag = append(s.tag, piece...); quote == 0 {
			return s.tag[:len(s.tag)-1], nil
		}
	}
}

// quoteAfter is the quote that is open behind a piece of a tag; 0 if none is.
func quoteAfter(piece []byte, quote byte) byte {
	for _, c := range piece {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	return quote
}

// readDeclaration reads what begins with <!, of which < is read.
func (s *scanner) readDeclaration() error {
	if b, _ := s.r.Peek(3); string(b) == "!--" {
		_, _ = s.r.Discard(3)
		return s.skipTo("-->")
	}
	const cdata = "![CDATA["
	if b, _ := s.r.Peek(len(cdata)); string(b) == cdata {
		_, _ = s.r.Discard(len(cdata))
		return s.readCDATA()
	}
	return invalid("the document has a document type or another declaration, which no report has")
}

// skipTo reads up to the end of what has none of its own in it.
func (s *scanner) skipTo(end string) error {
	matched := 0
	for matched < len(end) {
		b, err := s.r.ReadByte()
		switch {
		case err != nil:
			return endsEarly(err)
		case b == end[matched]:
			matched++
		case b == '-' && end == "-->" && matched == 2: // "--->" ends a comment for who is lenient
		case b == end[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	return nil
}

func (s *scanner) readCDATA() error {
	for brackets := 0; ; {
		b, err := s.r.ReadByte()
		switch {
		case err != nil:
			return endsEarly(err)
		case b == ']':
			brackets++
			continue
		case b == '>' && brackets >= 2:
			return s.addText([]byte("]]]]"[:min(brackets-2, 4)]), false)
		}
		for ; brackets > 0; brackets-- {
			if err := s.addText([]byte{']'}, false); err != nil {
				return err
			}
		}
		if err := s.addText([]byte{b}, false); err != nil {
			return err
		}
	}
}

func (s *scanner) begin(v visitor, name []byte) error {
	if i := bytes.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	switch {
	case len(name) == 0 || bytes.ContainsAny(name, "/<>&'\"="):
		return invalid("an element has no name")
	case s.seen == MaxElements:
		return tooLarge("there are more than %d elements", MaxElements)
	case len(s.ends) == MaxDepth:
		return tooLarge("elements stand more than %d deep", MaxDepth)
	}
	s.seen++
	s.path = append(append(s.path, '/'), name...)
	s.ends = append(s.ends, len(s.path)-len(name))
	s.text, s.cut = s.text[:0], false
	return v.begun(s.path)
}

func (s *scanner) end(v visitor, name []byte) (done bool, err error) {
	if i := bytes.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	if len(s.ends) == 0 {
		return false, invalid("an element ends that did not begin")
	}
	at := s.ends[len(s.ends)-1]
	if !bytes.Equal(s.path[at:], name) {
		return false, invalid("the element %.50q ends as %.50q", s.path[at:], name)
	}
	if err := v.ended(s.path, s.text, s.cut); err != nil {
		return false, err
	}
	s.path, s.ends = s.path[:at-1], s.ends[:len(s.ends)-1]
	s.text, s.cut = s.text[:0], false
	return len(s.ends) == 0, nil
}
