package ldap

import (
	"slices"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// Bounds of a filter.
const (
	maxFilter      = 4 << 10 // octets
	maxFilterDepth = 20
)

// Variables are what stands in place of the variables of a filter or name, by their names.
type Variables map[string]string

// Filter says which entries are meant (RFC 4515), with variables in its values:
// (&(objectClass=person)(mail={address})).
type Filter struct{ root *node }

// node is a filter of RFC 4511 §4.5.1.7.
type node struct {
	tag       byte
	of        []*node    // of and, or, not
	attribute string     // of the others
	values    []template // one; of substrings the first, those between, the last: empty ones are none
	rule      string     // of an extensible match
	names     bool       // that also looks at names
}

// The tags of filters.
const (
	filterAnd        = 0xa0
	filterOr         = 0xa1
	filterNot        = 0xa2
	filterEqual      = 0xa3
	filterSubstrings = 0xa4
	filterMore       = 0xa5
	filterLess       = 0xa6
	filterPresent    = 0x87
	filterAlike      = 0xa8
	filterExtensible = 0xa9
)

// Match is the filter that an attribute has a value.
func Match(attribute, value string) Filter {
	return Filter{&node{tag: filterEqual, attribute: attribute, values: []template{{{literal: value}}}}}
}

// Anything is the filter that every entry fits.
func Anything() Filter { return Filter{&node{tag: filterPresent, attribute: "objectClass"}} }

// ParseFilter reads one that may have the variables named. The error is Invalid and says
// where it is wrong.
func ParseFilter(text string, known ...string) (Filter, error) {
	p := filterParser{text: text, known: known}
	if len(text) > maxFilter {
		return Filter{}, mail.Errorf(mail.Invalid, "a filter has at most %d octets", maxFilter)
	}
	n := p.filter(0)
	if p.err == nil && p.at < len(text) {
		p.fail("the end")
	}
	if p.err != nil {
		return Filter{}, p.err
	}
	return Filter{n}, nil
}

// IsZero reports whether there is none.
func (f Filter) IsZero() bool { return f.root == nil }

// Uses reports whether the variable stands in it.
func (f Filter) Uses(variable string) bool { return f.root != nil && f.root.uses(variable) }

func (n *node) uses(variable string) bool {
	return slices.ContainsFunc(n.of, func(n *node) bool { return n.uses(variable) }) ||
		slices.ContainsFunc(n.values, func(t template) bool { return t.uses(variable) })
}

func (f Filter) append(dst []byte, v Variables) []byte { return f.root.append(dst, v) }

func (n *node) append(dst []byte, v Variables) []byte {
	var in []byte
	switch n.tag {
	case filterAnd, filterOr, filterNot:
		for _, o := range n.of {
			in = o.append(in, v)
		}
	case filterPresent:
		in = []byte(n.attribute)
	case filterSubstrings:
		var parts []byte
		for i, t := range n.values {
			tag := byte(0x81)
			switch {
			case i == 0:
				tag = 0x80
			case i == len(n.values)-1:
				tag = 0x82
			}
			if value := t.with(v); value != "" {
				parts = appendString(parts, tag, value)
			}
		}
		in = appendElement(appendString(nil, tagOctets, n.attribute), tagSequence, parts)
	case filterExtensible:
		if n.rule != "" {
			in = appendString(in, 0x81, n.rule)
		}
		if n.attribute != "" {
			in = appendString(in, 0x82, n.attribute)
		}
		in = appendString(in, 0x83, n.values[0].with(v))
		if n.names {
			in = append(in, 0x84, 1, 0xff)
		}
	default:
		in = appendString(appendString(nil, tagOctets, n.attribute), tagOctets, n.values[0].with(v))
	}
	return appendElement(dst, n.tag, in)
}

// filterParser reads a filter. The first error sticks.
type filterParser struct {
	text  string
	at    int
	known []string
	err   error
}

func (p *filterParser) fail(want string) { p.wrong(want + " is expected") }

func (p *filterParser) wrong(why string) {
	if p.err == nil {
		p.err = mail.Errorf(mail.Invalid, "the filter is not right at character %d: %s", p.at+1, why)
	}
}

func (p *filterParser) take(c byte) bool {
	if p.err != nil || p.at >= len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

// filter reads "(…)".
func (p *filterParser) filter(depth int) *node {
	if depth > maxFilterDepth {
		p.fail("less depth")
	}
	if !p.take('(') {
		p.fail("(")
		return nil
	}
	n := &node{}
	switch {
	case p.take('&'):
		n.tag = filterAnd
	case p.take('|'):
		n.tag = filterOr
	case p.take('!'):
		n.tag = filterNot
	default:
		p.item(n)
	}
	for n.tag == filterAnd || n.tag == filterOr || n.tag == filterNot && len(n.of) == 0 {
		if p.err != nil || len(n.of) > 0 && p.at < len(p.text) && p.text[p.at] == ')' {
			break
		}
		n.of = append(n.of, p.filter(depth+1))
	}
	if !p.take(')') {
		p.fail(")")
	}
	return n
}

// item reads what stands in the parentheses of a filter that is made of no others.
func (p *filterParser) item(n *node) {
	from := p.at
	for p.at < len(p.text) && strings.IndexByte("=<>~:()", p.text[p.at]) < 0 {
		p.at++
	}
	if n.attribute = p.text[from:p.at]; strings.Trim(n.attribute, attributeLetters) != "" {
		p.at = from
		p.fail("the name of an attribute")
		return
	}
	switch {
	case p.take(':'):
		p.at--
		p.extensible(n)
	case p.take('>'):
		n.tag = filterMore
	case p.take('<'):
		n.tag = filterLess
	case p.take('~'):
		n.tag = filterAlike
	default:
		n.tag = filterEqual
	}
	if n.tag != filterExtensible && n.attribute == "" {
		p.fail("the name of an attribute")
	}
	if !p.take('=') {
		p.fail("=")
		return
	}
	p.value(n)
}

const attributeLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;"

// extensible reads [":dn"] [":" rule] ":" before the "=".
func (p *filterParser) extensible(n *node) {
	n.tag = filterExtensible
	end := strings.IndexByte(p.text[p.at:], '=')
	if end < 0 {
		p.fail("=")
		return
	}
	words := strings.Split(p.text[p.at+1:p.at+end], ":")
	if words[len(words)-1] != "" {
		p.fail(":=")
		return
	}
	words = words[:len(words)-1]
	if len(words) > 0 && strings.EqualFold(words[0], "dn") {
		n.names, words = true, words[1:]
	}
	if len(words) > 0 {
		n.rule, words = words[0], words[1:]
	}
	if len(words) > 0 || strings.Trim(n.rule, attributeLetters) != "" || n.rule == "" && n.attribute == "" {
		p.fail("a matching rule")
		return
	}
	p.at += end
}

// value reads what stands behind the "=".
func (p *filterParser) value(n *node) {
	end := strings.IndexAny(p.text[p.at:], "()")
	if end < 0 {
		p.at = len(p.text)
		p.fail(")")
		return
	}
	text := p.text[p.at : p.at+end]
	parts := []string{text}
	if n.tag == filterEqual {
		parts = strings.Split(text, "*")
	} else if strings.Contains(text, "*") {
		p.fail(`a value without "*" (write \2a)`)
		return
	}
	for _, part := range parts {
		t, err := parseTemplate(part, p.known, unescape)
		if err != nil {
			p.wrong(err.Error())
			return
		}
		n.values = append(n.values, t)
	}
	switch {
	case text == "*":
		n.tag, n.values = filterPresent, nil
	case len(parts) > 1:
		n.tag = filterSubstrings
		if strings.Trim(text, "*") == "" {
			p.fail("a value between the stars")
		}
	}
	p.at += end
}

// unescape undoes \2a.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", mail.Errorf(mail.Invalid, `two hexadecimal digits belong behind \`)
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", mail.Errorf(mail.Invalid, `two hexadecimal digits belong behind \`)
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// template is a text in which variables stand.
type template []piece

// piece is a text, or a variable.
type piece struct{ literal, variable string }

// parseTemplate reads a text with {variables}; each text between them goes through plain.
func parseTemplate(text string, known []string, plain func(string) (string, error)) (t template, err error) {
	for text != "" {
		before, rest, open := strings.Cut(text, "{")
		if before != "" {
			literal, err := plain(before)
			if err != nil {
				return nil, err
			}
			t = append(t, piece{literal: literal})
		}
		if !open {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains(known, name) {
			return nil, mail.Errorf(mail.Invalid, "only {%s} may stand in braces", strings.Join(known, "}, {"))
		}
		t = append(t, piece{variable: name})
		text = after
	}
	return t, nil
}

func (t template) uses(variable string) bool {
	return slices.ContainsFunc(t, func(p piece) bool { return p.variable == variable })
}

func (t template) with(v Variables) string {
	var b strings.Builder
	for _, p := range t {
		if p.variable != "" {
			b.WriteString(v[p.variable])
			continue
		}
		b.WriteString(p.literal)
	}
	return b.String()
}
