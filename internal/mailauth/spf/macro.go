package spf

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/scan"
)

// macros is a macro-string that has been read (RFC 7208 §7.1), in pieces. It is
// never nil when it was read from a text.
type macros []piece

// piece is literal text, or a macro if letter is not 0.
type piece struct {
	literal    string
	letter     byte // lower-case
	escape     bool // it was upper-case: URL-escaped
	parts      int  // how many of the right-hand parts; 0 means all
	reverse    bool
	delimiters string // "" means "."
}

// everyPart is as many parts as no value has.
const everyPart = 1 << 16

// where says what a macro-string is part of.
type where bool

const (
	inTerm   where = false // "c", "r" and "t" are errors
	anywhere where = true  // as in the text of an explanation
)

// parseMacros reads a macro-string. In the text of an explanation space may
// stand too (explain-string), which a term never holds.
func parseMacros(s string, at where) (macros, bool) {
	m := macros{}
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			i = len(s)
		}
		for _, c := range []byte(s[:i]) {
			if c < ' ' || c > '~' {
				return nil, false
			}
		}
		if i > 0 {
			m = append(m, piece{literal: s[:i]})
		}
		if s = s[i:]; s == "" {
			break
		}
		p, rest, ok := cutMacro(s, at)
		if !ok {
			return nil, false
		}
		m, s = append(m, p), rest
	}
	return m, true
}

// cutMacro reads one macro-expand, at whose percent sign s begins.
func cutMacro(s string, at where) (p piece, rest string, ok bool) {
	switch {
	case strings.HasPrefix(s, "%%"):
		return piece{literal: "%"}, s[2:], true
	case strings.HasPrefix(s, "%_"):
		return piece{literal: " "}, s[2:], true
	case strings.HasPrefix(s, "%-"):
		return piece{literal: "%20"}, s[2:], true
	}
	body, rest, ok := strings.Cut(s, "}")
	body, found := strings.CutPrefix(body, "%{")
	if !ok || !found || body == "" {
		return piece{}, "", false
	}
	p.letter = scan.Lower(body[0])
	p.escape = p.letter != body[0]
	if strings.IndexByte("slodipvh", p.letter) < 0 && (at == inTerm || strings.IndexByte("crt", p.letter) < 0) {
		return piece{}, "", false
	}
	body = body[1:]
	digits := body[:len(body)-len(strings.TrimLeft(body, "0123456789"))]
	if digits != "" {
		if strings.Trim(digits, "0") == "" { // RFC 7208 §7.3: must not be zero
			return piece{}, "", false
		}
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			n = everyPart
		}
		p.parts = int(n)
	}
	body = body[len(digits):]
	if body != "" && scan.Lower(body[0]) == 'r' {
		p.reverse, body = true, body[1:]
	}
	p.delimiters = body
	return p, rest, strings.Trim(body, ".-+,/_=") == ""
}

// parseDomain reads a domain-spec: a macro-string that ends in a macro or in a
// dot and a top label.
func parseDomain(s string) (macros, bool) {
	m, ok := parseMacros(s, inTerm)
	if !ok || len(m) == 0 {
		return nil, false
	}
	last := m[len(m)-1].literal
	if last == "" || strings.ContainsAny(last, "% ") {
		return m, true // It ends in a macro.
	}
	last = strings.TrimSuffix(last, ".")
	dot := strings.LastIndexByte(last, '.')
	return m, dot >= 0 && isTopLabel(last[dot+1:])
}

func isTopLabel(l string) bool {
	for _, c := range []byte(l) {
		if !isAlphanum(c) && c != '-' {
			return false
		}
	}
	return l != "" && l[0] != '-' && l[len(l)-1] != '-' && strings.Trim(l, "0123456789") != ""
}

// uses reports whether one of letters stands in m as a macro.
func (m macros) uses(letters string) bool {
	return slices.ContainsFunc(m, func(p piece) bool { return p.letter != 0 && strings.IndexByte(letters, p.letter) >= 0 })
}

// expand writes m out with the values that macros have: its right end, of more
// than enough octets if it has so many. So a long text costs no more than that.
func (m macros) expand(value func(letter byte) string, enough int) string {
	var texts []string
	n := 0
	for _, p := range slices.Backward(m) {
		s := p.literal
		if p.letter != 0 {
			s = p.apply(value(p.letter))
		}
		texts = append(texts, s)
		if n += len(s); n > enough {
			break
		}
	}
	slices.Reverse(texts)
	return strings.Join(texts, "")
}

// apply transforms a value (RFC 7208 §7.3). It reads no more of the value than the
// parts that are used.
func (p piece) apply(value string) string {
	delimiters := cmp.Or(p.delimiters, ".")
	most := p.parts
	if most == 0 {
		most = everyPart
	}
	isDelimiter := func(r rune) bool { return strings.ContainsRune(delimiters, r) }
	var parts []string
	for more := true; more && len(parts) < most; {
		if p.reverse { // The last of what is reversed are the first, from the left.
			i := strings.IndexFunc(value, isDelimiter)
			if more = i >= 0; !more {
				i = len(value)
			}
			parts = append(parts, value[:i])
			value = value[min(i+1, len(value)):]
		} else {
			i := strings.LastIndexFunc(value, isDelimiter)
			more = i >= 0
			parts = append(parts, value[i+1:])
			value = value[:max(i, 0)]
		}
	}
	slices.Reverse(parts)
	s := strings.Join(parts, ".")
	if !p.escape {
		return s
	}
	const hex = "0123456789ABCDEF"
	var out []byte
	for _, c := range []byte(s) {
		if isAlphanum(c) || strings.IndexByte("-._~", c) >= 0 { // RFC 3986 §2.3
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

// dotted is an address as the macro "i" writes it: quads, or nibbles.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	var nibbles []string
	for _, c := range strings.ToUpper(strings.ReplaceAll(ip.StringExpanded(), ":", "")) {
		nibbles = append(nibbles, string(c))
	}
	return strings.Join(nibbles, ".")
}

// maxName is how long a name may be as text (RFC 7208 §7.3).
const maxName = 253

// shorten takes labels off the left of a name that is too long.
func shorten(name string) string {
	for len(name) > maxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			return name
		}
		name = rest
	}
	return name
}

// nameOf is the name of a text that macros made. No octet of it is an escape
// (RFC 7208 §4.8).
func nameOf(text string) (dns.Name, bool) {
	n, err := dns.ParseName(strings.ReplaceAll(text, `\`, `\\`))
	return n, err == nil && !n.IsRoot()
}
