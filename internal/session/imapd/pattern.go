package imapd

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"yubin/internal/mail"
)

// maxPattern bounds what one LIST pattern costs; a longer one could match no
// name anyway, save by its wildcards, and is ignored (RFC 9051 §6.3.9).
const maxPattern = 2 * mail.MaxMailboxName

// pattern is a canonical LIST pattern (RFC 9051 §6.3.9): "*" matches anything,
// "%" anything but the separator.
type pattern struct {
	text    string
	percent bool // has a "%"
}

// newPattern joins a reference name and a mailbox pattern: they are written one
// after the other, there are no break-out characters. False means that it can
// match nothing.
func newPattern(reference, name string) (pattern, bool) {
	text := collapse(norm.NFC.String(reference + name))
	if text == "" || len(text) > maxPattern {
		return pattern{}, false
	}
	if first := len(mail.Inbox); len(text) >= first && strings.EqualFold(text[:first], string(mail.Inbox)) &&
		(len(text) == first || strings.IndexByte("/%*", text[first]) >= 0) {
		text = string(mail.Inbox) + text[first:]
	}
	return pattern{text, strings.Contains(text, "%")}, true
}

// collapse shortens runs of wildcards to the strongest of the run, which means
// the same.
func collapse(s string) string {
	if !strings.ContainsAny(s, "*%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		c, last := s[i], byte(0)
		if len(out) > 0 {
			last = out[len(out)-1]
		}
		switch {
		case c == '%' && (last == '%' || last == '*'), c == '*' && last == '*':
		case c == '*' && last == '%':
			out[len(out)-1] = '*'
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// match reports whether name matches. Time is at most the product of the
// lengths: each octet of the name moves a set of positions in the pattern.
func (p pattern) match(name mail.MailboxName) bool {
	at := make([]bool, len(p.text)+1)
	next := make([]bool, len(p.text)+1)
	p.enter(at, 0)
	for i := range len(name) {
		clear(next)
		alive := false
		for j, here := range at[:len(p.text)] {
			if !here {
				continue
			}
			switch w := p.text[j]; {
			case w == '*', w == '%' && name[i] != mail.MailboxSeparator[0]:
				p.enter(next, j)
			case w == name[i]:
				p.enter(next, j+1)
			default:
				continue
			}
			alive = true
		}
		if !alive {
			return false
		}
		at, next = next, at
	}
	return at[len(p.text)]
}

// enter marks position j, and those behind it that wildcards reach for nothing.
func (p pattern) enter(at []bool, j int) {
	at[j] = true
	for j < len(p.text) && (p.text[j] == '*' || p.text[j] == '%') {
		j++
		at[j] = true
	}
}

// patterns are the canonical patterns of one LIST.
type patterns []pattern

func newPatterns(reference string, names []string) patterns {
	var ps patterns
	for _, n := range names {
		if n == "" {
			continue // No special meaning in the extended syntax.
		}
		if p, ok := newPattern(reference, n); ok {
			ps = append(ps, p)
		}
	}
	return ps
}

func (ps patterns) match(name mail.MailboxName) bool {
	for _, p := range ps {
		if p.match(name) {
			return true
		}
	}
	return false
}
