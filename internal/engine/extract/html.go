package extract

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

const (
	maxShades = 32 // elements around a text that hide it or colour its ground
	maxStyle  = 2 << 10
)

// page reads an HTML document.
type page struct {
	r      *reader
	t      *html.Tokenizer
	shades []shade
	anchor int  // number of the link that is open; -1 if none
	shown  int  // where its text starts in r.text
	skip   bool // the text that comes next is not one: a style, a script
	marked map[string]bool
	entry  []byte
}

// shade is an open element that hides what is in it, or colours its ground.
type shade struct {
	name   string
	hidden bool
	ground string
	within int // elements of the same name open in it
}

// html adds the text of an HTML document.
func (r *reader) html(doc []byte) {
	r.c.HTML.Octets += len(doc)
	p := page{r: r, t: html.NewTokenizer(bytes.NewReader(doc)), anchor: -1, marked: make(map[string]bool, len(r.c.HTML.Markup)+32)}
	for _, m := range r.c.HTML.Markup {
		p.marked[m] = true
	}
	for {
		switch p.t.Next() {
		case html.ErrorToken:
			p.endAnchor()
			return
		case html.TextToken:
			p.words()
		case html.CommentToken:
			r.c.HTML.Comments += len(p.t.Raw())
		case html.StartTagToken, html.SelfClosingTagToken:
			p.start()
		case html.EndTagToken:
			p.end()
		}
	}
}

// words adds text, unless it is hidden.
func (p *page) words() {
	text := p.t.Text()
	if p.skip {
		p.skip = false
		return
	}
	if n := len(p.shades); n > 0 && p.shades[n-1].hidden {
		p.r.c.HTML.Hidden += len(bytes.TrimSpace(text))
		return
	}
	before := len(p.r.text)
	p.r.text = appendFolded(p.r.text, text)
	p.r.c.HTML.Text += len(p.r.text) - before
	if p.anchor < 0 {
		p.r.textLinks(before)
	}
}

// appendFolded appends text in UTF-8 with its white space folded.
func appendFolded(dst, text []byte) []byte {
	text = bytes.ToValidUTF8(text, []byte("\ufffd"))
	for i := 0; i < len(text); {
		j := i
		for j < len(text) && text[j] > ' ' && !(text[j] == 0xc2 && j+1 < len(text) && text[j+1] == 0xa0) {
			j++
		}
		dst = append(dst, text[i:j]...)
		i = j
		for i < len(text) && (text[i] <= ' ' || text[i] == 0xc2 && i+1 < len(text) && text[i+1] == 0xa0) {
			if text[i] == 0xc2 {
				i++
			}
			i++
		}
		if i > j {
			dst = space(dst, ' ')
		}
	}
	return dst
}

// space ends what stands in dst by c, a space or a line end, unless it is ended.
func space(dst []byte, c byte) []byte {
	n := len(dst)
	switch {
	case n == 0 || dst[n-1] == '\n':
		return dst
	case dst[n-1] == ' ':
		dst[n-1] = c
		return dst
	}
	return append(dst, c)
}

// tag is a start tag.
type tag struct {
	name                       string
	url, style, colour, ground string
	hidden, tiny               bool
}

// start reads a start tag.
func (p *page) start() {
	name, more := p.t.TagName()
	h := &p.r.c.HTML
	h.Tags++
	t := tag{name: cut(strings.ToValidUTF8(string(name), ""), 32)}
	p.mark(t.name)
	refresh := false
	for more {
		var key, value []byte
		key, value, more = p.t.TagAttr()
		refresh = refresh || string(key) == "http-equiv" && strings.EqualFold(string(value), "refresh")
		p.attribute(&t, string(key), value)
	}
	p.skip = isRaw(t.name)
	if !isInline(t.name) {
		p.r.text = space(p.r.text, '\n')
	}
	p.cover(&t)
	switch t.name {
	case "a", "area":
		p.endAnchor()
		if t.url != "" {
			p.openAnchor(t.url)
		}
	case "img", "image":
		h.Images++
		if t.tiny {
			h.Pixels++
		}
		p.remote(t.url)
	case "bgsound", "video", "audio", "source", "link", "body", "table", "td", "input":
		p.remote(t.url)
	case "form":
		h.Forms++
		p.r.link(t.url, Form)
	case "script":
		h.Scripts++
	case "iframe", "frame", "object", "embed", "applet", "base":
		h.Frames++
		p.r.link(t.url, Frame)
	case "meta":
		if refresh {
			h.Frames++
		}
	}
	if t.name == "input" || t.name == "textarea" || t.name == "select" {
		h.Forms++
	}
}

// attribute takes what an attribute says.
func (p *page) attribute(t *tag, key string, value []byte) {
	switch key {
	case "href", "src", "action", "background", "data", "poster":
		if t.url == "" {
			t.url = string(value[:min(len(value), 4*MaxURL)])
		}
	case "style":
		t.style = strings.ToLower(string(value[:min(len(value), maxStyle)]))
	case "color", "text":
		t.colour = string(value[:min(len(value), 32)])
	case "bgcolor":
		t.ground = string(value[:min(len(value), 32)])
	case "hidden":
		t.hidden = true
	case "width", "height":
		t.tiny = t.tiny || string(value) == "1" || string(value) == "0" || string(value) == "1px"
	default:
		if strings.HasPrefix(key, "on") {
			p.r.c.HTML.Scripts++
		}
	}
	if len(key) > 24 || !utf8.ValidString(key) {
		return
	}
	p.mark(t.name, " ", key)
	switch key {
	case "color", "bgcolor", "size", "face", "align", "width", "height", "border", "type", "method", "cellpadding":
		if len(value) <= 24 && utf8.Valid(value) {
			p.mark(t.name, " ", key, "=", strings.ToLower(string(value)))
		}
	}
}

// mark notes an entry of the markup.
func (p *page) mark(parts ...string) {
	if len(p.marked) == MaxMarkup {
		return
	}
	p.entry = p.entry[:0]
	for _, s := range parts {
		p.entry = append(p.entry, s...)
	}
	if !p.marked[string(p.entry)] {
		entry := string(p.entry)
		p.marked[entry] = true
		p.r.c.HTML.Markup = append(p.r.c.HTML.Markup, entry)
	}
}

// cover notes an element that hides what is in it or colours its ground.
func (p *page) cover(t *tag) {
	n := len(p.shades)
	if n > 0 && p.shades[n-1].name == t.name && !isVoid(t.name) {
		if endsItself(t.name) {
			n--
			p.shades = p.shades[:n]
		} else {
			p.shades[n-1].within++
		}
	}
	colour, ground := plainColour(t.colour), plainColour(t.ground)
	hidden := t.hidden
	if t.style != "" {
		hides, c, g := readStyle(t.style)
		hidden = hidden || hides
		colour, ground = or(c, colour), or(g, ground)
	}
	around := shade{ground: "#ffffff"}
	if n > 0 {
		around = p.shades[n-1]
	}
	hidden = hidden || colour != "" && colour == or(ground, around.ground) && t.name != "body"
	if around.hidden || !hidden && ground == "" || isVoid(t.name) || n == maxShades {
		return
	}
	p.shades = append(p.shades, shade{name: t.name, hidden: hidden, ground: or(ground, around.ground)})
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// readStyle reads of a style, in lower case, whether it hides what it applies to, and the
// colours of text and ground; "" where it does not say.
func readStyle(style string) (hides bool, colour, ground string) {
	for len(style) > 0 {
		var one string
		one, style, _ = strings.Cut(style, ";")
		key, value, _ := strings.Cut(one, ":")
		value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "!important"))
		switch strings.TrimSpace(key) {
		case "display":
			hides = hides || value == "none"
		case "visibility":
			hides = hides || value == "hidden"
		case "mso-hide":
			hides = hides || value == "all"
		case "font-size":
			hides = hides || isNothing(value) || value == "1px" || value == "1pt"
		case "opacity", "max-height":
			hides = hides || isNothing(value)
		case "color":
			colour = plainColour(value)
		case "background", "background-color":
			ground = plainColour(value)
		}
	}
	return hides, colour, ground
}

// isNothing reports whether a value of a style is 0 of whatever unit.
func isNothing(v string) bool {
	v = strings.TrimRight(v, "abcdefghijklmnopqrstuvwxyz%")
	return v != "" && strings.Trim(v, "0.") == "" && v != "."
}

// plainColour returns a colour as "#rrggbb" where it is given so or is black or white;
// else as it is given.
func plainColour(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	switch s {
	case "white":
		return "#ffffff"
	case "black":
		return "#000000"
	case "transparent", "inherit", "none":
		return ""
	}
	if len(s) == 4 && s[0] == '#' {
		return string([]byte{'#', s[1], s[1], s[2], s[2], s[3], s[3]})
	}
	return s
}

// end reads an end tag.
func (p *page) end() {
	b, _ := p.t.TagName()
	name := string(b)
	p.skip = false
	if name == "a" {
		p.endAnchor()
	}
	if !isInline(name) {
		p.r.text = space(p.r.text, '\n')
	}
	for i := len(p.shades) - 1; i >= 0; i-- {
		if s := &p.shades[i]; s.name == name {
			if s.within > 0 && i == len(p.shades)-1 {
				s.within--
			} else {
				p.shades = p.shades[:i]
			}
			return
		}
	}
}

// openAnchor starts a link whose text comes.
func (p *page) openAnchor(url string) {
	if p.r.link(url, Anchor) {
		p.anchor, p.shown = len(p.r.c.Links)-1, len(p.r.text)
	}
}

// endAnchor ends the link that is open.
func (p *page) endAnchor() {
	if p.anchor < 0 {
		return
	}
	l := &p.r.c.Links[p.anchor]
	shown := bytes.TrimSpace(p.r.text[min(p.shown, len(p.r.text)):])
	l.Shown = cut(string(shown[:min(len(shown), 2*MaxShown)]), MaxShown)
	l.ShownHost = shownHost(l.Shown)
	p.anchor = -1
}

// remote notes what is fetched when the message is shown.
func (p *page) remote(url string) {
	if url != "" && p.r.link(url, Image) {
		p.r.c.HTML.Remote++
	}
}

// isRaw reports whether the text right after the tag called name is none that is
// shown: the tokenizer gives all of it as one.
func isRaw(name string) bool {
	switch name {
	case "style", "script", "title", "iframe", "noembed", "noframes", "noscript", "xmp":
		return true
	}
	return false
}

func isInline(name string) bool {
	switch name {
	case "a", "abbr", "b", "big", "code", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u", "img", "o", "bdo":
		return true
	}
	return false
}

// isVoid reports whether elements called name have no content.
func isVoid(name string) bool {
	switch name {
	case "area", "base", "br", "col", "embed", "hr", "img", "image", "input", "link", "meta", "param", "source", "track", "wbr", "bgsound", "frame":
		return true
	}
	return false
}

// endsItself reports whether an element called name ends where another one starts.
func endsItself(name string) bool {
	switch name {
	case "p", "li", "dt", "dd", "option":
		return true
	}
	return false
}
