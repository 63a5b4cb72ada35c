package message

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/transform"
)

// Bounds on the work for a preview.
const (
	previewPlain = 4 << 10  // octets of a plain text that are kept
	previewHTML  = 16 << 10 // of HTML: much of its start is not text
	previewTries = 4        // text parts without readable text that are passed over
)

// preview gathers the start of text parts until one gives a preview.
type preview struct {
	text  string
	part  *Part
	raw   []byte
	want  int // octets of the body still wanted
	tries int
}

// begin says that the body of part comes.
func (p *preview) begin(part *Part) {
	p.part = nil
	if p.text != "" || p.tries == previewTries || part.Type != "text" || part.Disposition == "attachment" {
		return
	}
	switch part.Subtype {
	case "plain", "markdown", "enriched":
		p.want = previewPlain
	case "html":
		p.want = previewHTML
	default:
		return
	}
	p.part, p.raw = part, p.raw[:0]
	p.tries++
}

// end says that the body of part is over.
func (p *preview) end(part *Part) {
	if p.part != part {
		return
	}
	p.part, p.want = nil, 0
	text := decodeBytes(p.raw, newTransfer(part.Encoding))
	if cs := charsetName(part.Charset()); !utf8.Valid(text) || !isASCII(cs) && !isUTF8(cs) {
		text = decodeBytes(text, toUTF8(cs))
	}
	if part.Subtype == "html" {
		p.text = htmlText(text)
	} else {
		p.text = plainText(text)
	}
}

// decodeBytes runs b through t, which may be nil; as far as it gets.
func decodeBytes(b []byte, t transform.Transformer) []byte {
	if t == nil {
		return b
	}
	out, _, _ := transform.Bytes(t, b)
	return out
}

// plainText returns the start of a plain text without quoted lines.
func plainText(b []byte) string {
	f := folder{b: make([]byte, 0, MaxPreview)}
	for len(b) > 0 && !f.full {
		n := lineLen(b)
		if line := b[:n]; line[0] != '>' {
			f.add(line)
		}
		b = b[n:]
	}
	return string(f.b)
}

// htmlText returns the start of the text of an HTML document.
func htmlText(b []byte) string {
	f := folder{b: make([]byte, 0, MaxPreview)}
	t := html.NewTokenizer(bytes.NewReader(b))
	hidden := false
	for !f.full {
		kind := t.Next()
		switch kind {
		case html.ErrorToken:
			return string(f.b)
		case html.TextToken:
			if !hidden {
				f.add(t.Text())
			}
			hidden = false
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := t.TagName()
			hidden = kind == html.StartTagToken && isHidden(string(name))
			f.space = f.space || !isInline(string(name))
		}
	}
	return string(f.b)
}

// isHidden reports whether the text right after the tag called name is not
// shown: the tokenizer gives all of it as one.
func isHidden(name string) bool {
	switch name {
	case "style", "script", "title", "textarea", "iframe", "noembed", "noframes", "noscript", "xmp":
		return true
	}
	return false
}

func isInline(name string) bool {
	switch name {
	case "a", "abbr", "b", "big", "code", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u":
		return true
	}
	return false
}

// folder gathers text with its white space folded, to MaxPreview octets.
type folder struct {
	b     []byte
	space bool // space waits for what follows it
	full  bool
}

func (f *folder) add(text []byte) {
	for len(text) > 0 && !f.full {
		if n := f.addWord(text); n > 0 {
			text = text[n:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if r <= ' ' || r == 0x7f || unicode.IsSpace(r) {
			f.space = true
		} else if !isFiller(r) {
			f.put(r)
		}
	}
}

// addWord adds the printable ASCII at the start of text, if all of it fits,
// and returns how much that is.
func (f *folder) addWord(text []byte) int {
	n := 0
	for n < len(text) && text[n] > ' ' && text[n] < 0x7f {
		n++
	}
	if n == 0 || len(f.b)+1+n > MaxPreview {
		return 0
	}
	if f.space && len(f.b) > 0 {
		f.b = append(f.b, ' ')
	}
	f.space = false
	f.b = append(f.b, text[:n]...)
	return n
}

func (f *folder) put(r rune) {
	n := utf8.RuneLen(r)
	if f.space && len(f.b) > 0 {
		n++
	}
	if len(f.b)+n > MaxPreview {
		f.full = true
		return
	}
	if f.space && len(f.b) > 0 {
		f.b = append(f.b, ' ')
	}
	f.space = false
	f.b = utf8.AppendRune(f.b, r)
}

// isFiller reports whether r is one of the invisible characters with which
// mailings pad the text that previews show.
func isFiller(r rune) bool {
	switch r {
	case '\u00ad', '\u034f', '\u200b', '\u200c', '\u200e', '\u200f', '\ufeff':
		return true
	}
	return false
}
