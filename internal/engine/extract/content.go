package extract

import "unicode/utf8"

// Content is what a message says.
type Content struct {
	Header    Header
	Subject   string // decoded, one line
	Text      string // of all text parts, HTML turned into text; a part, block or row ends in a line end
	PlainText int    // octets of Text that come from parts other than HTML
	Links     []Link // in the order in which they stand
	Parts     []Part // leaves, in their order
	HTML      HTML   // of all HTML parts together
	Charsets  []string
	Scripts   [Scripts]int // letters of Subject and Text
	Invisible int          // characters of Subject and Text that show nothing
	Broken    int          // characters of both that are not of their charset
	Truncated bool         // there was more than is looked at
}

// Header is the header of the message itself.
type Header struct {
	Fields   []Field // in their order
	Stray    bool    // lines before the first field that are none
	EightBit bool    // octets over 127, which only UTF-8 mail (RFC 6532) may have
}

// Field is a header field.
type Field struct {
	Name  string // lower-case
	Given string // the name as it is written
	Value []byte // unfolded, raw
}

// Get returns the value of the first field called name, which is lower-case; nil if
// there is none.
func (h *Header) Get(name string) []byte {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			return h.Fields[i].Value
		}
	}
	return nil
}

// Count says how many fields are called name, which is lower-case.
func (h *Header) Count(name string) int {
	n := 0
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			n++
		}
	}
	return n
}

// Part is a part that has no parts.
type Part struct {
	Type       string   // as declared, lower-case: "image/png"
	Name       string   // as declared, UTF-8
	Attachment bool     // declared to be one
	Encoding   string   // lower-case
	Size       int64    // octets as encoded
	Kind       Kind     // what its octets are; Unknown where that is not known or it is text
	Encrypted  bool     // an archive or document that asks for a password, as far as its start and end tell
	Macros     bool     // a document with macros
	Entries    []string // names in an archive, as far as its start and end tell
}

// Link is something that leads out of the message.
type Link struct {
	URL       string // as it stands there, without space
	Kind      LinkKind
	Scheme    string // lower-case; "http" where only "www." stands
	Host      string // lower-case, without port; "" if it has none
	Address   bool   // Host is an IP address, in whatever notation
	User      bool   // something stands before an "@" in front of the host
	Shown     string // the text that leads there, folded
	ShownHost string // the host that Shown reads like, if it does
}

// LinkKind says where a link stands.
type LinkKind uint8

// The kinds of links.
const (
	TextLink LinkKind = iota // in the text itself
	Anchor                   // href of a, area and the like
	Image                    // src of what is fetched when it is shown
	Form                     // where a form's answers go
	Frame                    // something shown within, or that shows itself instead
)

// HTML says how the HTML of a message is made.
type HTML struct {
	Parts    int
	Octets   int // as decoded, with tags
	Text     int // octets of text that is shown
	Hidden   int // octets of text that is not: by style, size, or in its background's colour
	Comments int // octets of comments
	Tags     int
	Images   int
	Remote   int      // images and the like that would be fetched from elsewhere
	Pixels   int      // images of one pixel or none
	Forms    int      // forms and the fields in them
	Scripts  int      // script elements and attributes that run something
	Frames   int      // iframe, object, embed, applet, meta refresh, base
	Markup   []string // different "tag", "tag attribute" and, of those that say how it looks, "tag attribute=value"; lower-case
}

// Script is a group of letters.
type Script uint8

// The scripts that are told apart.
const (
	Latin Script = iota
	Greek
	Cyrillic
	Hebrew
	Arabic
	Indic
	Thai
	Kana
	Hangul
	Han
	OtherScript
	Scripts int = iota
)

// scriptOf returns the script of a letter that is not ASCII; ok is false for what is
// no letter.
func scriptOf(r rune) (s Script, ok bool) {
	switch {
	case r < 0xaa:
		return 0, false
	case r < 0x250, r >= 0x1e00 && r < 0x1f00, r >= 0xff21 && r < 0xff5b:
		return Latin, r != 0xd7 && r != 0xf7 && (r >= 0xc0 || r == 0xaa || r == 0xb5 || r == 0xba)
	case r >= 0x370 && r < 0x400, r >= 0x1f00 && r < 0x2000:
		return Greek, true
	case r >= 0x400 && r < 0x530:
		return Cyrillic, true
	case r >= 0x590 && r < 0x600:
		return Hebrew, true
	case r >= 0x600 && r < 0x780, r >= 0xfb50 && r < 0xfe00, r >= 0xfe70 && r < 0xfeff:
		return Arabic, true
	case r >= 0x900 && r < 0xe00:
		return Indic, true
	case r >= 0xe00 && r < 0xe80:
		return Thai, true
	case r >= 0x3041 && r < 0x3100, r >= 0xff66 && r < 0xffa0:
		return Kana, true
	case r >= 0x1100 && r < 0x1200, r >= 0xac00 && r < 0xd7b0:
		return Hangul, true
	case r >= 0x3400 && r < 0xa000, r >= 0xf900 && r < 0xfb00, r >= 0x20000 && r < 0x32000:
		return Han, true
	case r >= 0x2000 && r < 0x3041, r >= 0xd800 && r < 0xf900, r >= 0xfe00:
		return 0, false
	}
	return OtherScript, true
}

// IsInvisible reports whether r shows nothing and separates nothing: what
// pads texts and cuts words so that programs do not see them.
func IsInvisible(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xfeff, r == 0xffa0:
		return true
	}
	return r >= 0x180b && r <= 0x180e || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0000 && r < 0xe1000
}

// latinIn counts the letters of the ASCII that s begins with, which has n octets.
func latinIn(s string) (latin, n int) {
	rest := s
	for len(rest) >= 4 && (rest[0]|rest[1]|rest[2]|rest[3]) < utf8.RuneSelf {
		latin += int(isLatin[rest[0]] + isLatin[rest[1]] + isLatin[rest[2]] + isLatin[rest[3]])
		rest = rest[4:]
	}
	for len(rest) > 0 && rest[0] < utf8.RuneSelf {
		latin += int(isLatin[rest[0]])
		rest = rest[1:]
	}
	return latin, len(s) - len(rest)
}

// isLatin is 1 for the letters of ASCII.
var isLatin = func() (is [256]uint8) {
	for b := byte('a'); b <= 'z'; b++ {
		is[b], is[b-'a'+'A'] = 1, 1
	}
	return is
}()

// count counts the characters of a text.
func (c *Content) count(s string) {
	for i := 0; i < len(s); {
		latin, n := latinIn(s[i:])
		c.Scripts[Latin] += latin
		if i += n; i == len(s) {
			return
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r == utf8.RuneError {
			c.Broken++
		} else if IsInvisible(r) {
			c.Invisible++
		} else if script, ok := scriptOf(r); ok {
			c.Scripts[script]++
		}
	}
}
