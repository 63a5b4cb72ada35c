package imapd

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"yubin/internal/mail"
)

// maxPattern is the longest LIST pattern that is looked at, in octets; a longer
// one could match no name anyway, save by its wildcards, and is ignored (RFC 9051
// §6.3.9).
const maxPattern = 2 * mail.MaxMailboxName

// pattern is a canonical LIST pattern (RFC 9051 §6.3.9): "*" matches anything,
// "%" anything but the separator. It is kept as an automaton whose states are
// how many of its literal octets are matched, a bit for each state.
type pattern struct {
	percent bool // has a "%"
	literal string
	at      [256]uint8 // index into moves of an octet
	moves   [][]uint64 // the states in which an octet is the next literal; the first is of octets that are none
	stars   []uint64   // the states in which anything may come
	levels  []uint64   // the states in which anything but the separator may come
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
	return compilePattern(text)
}

// compilePattern makes the automaton of text, false if text is longer than any
// name without its wildcards.
func compilePattern(text string) (pattern, bool) {
	p := pattern{percent: strings.Contains(text, "%"), literal: strings.NewReplacer("*", "", "%", "").Replace(text)}
	if len(p.literal) > mail.MaxMailboxName {
		return pattern{}, false
	}
	row := func() []uint64 { return make([]uint64, len(p.literal)/64+1) }
	p.moves, p.stars, p.levels = [][]uint64{row()}, row(), row()
	state := 0
	for i := range len(text) {
		word, bit := state/64, uint64(1)<<(state%64)
		switch c := text[i]; c {
		case '*':
			p.stars[word] |= bit
		case '%':
			p.levels[word] |= bit
		default:
			if p.at[c] == 0 {
				p.at[c] = uint8(len(p.moves)) // At most 254 octets are no wildcards.
				p.moves = append(p.moves, row())
			}
			p.moves[p.at[c]][word] |= bit
			state++
		}
	}
	return p, true
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

// match reports whether name matches. An octet of the name takes as long as a
// pattern has literals, divided by 64.
func (p *pattern) match(name mail.MailboxName) bool {
	if len(p.literal) > len(name) {
		return false
	}
	var few [4]uint64
	states := few[:]
	if len(p.stars) > len(few) {
		states = make([]uint64, len(p.stars))
	}
	states = states[:len(p.stars)]
	states[0] = 1
	for i := range len(name) {
		move, inLevel, carry, alive := p.moves[p.at[name[i]]], name[i] != mail.MailboxSeparator[0], uint64(0), uint64(0)
		for w, s := range states {
			stay := p.stars[w]
			if inLevel {
				stay |= p.levels[w]
			}
			moved := s & move[w]
			states[w] = moved<<1 | carry | s&stay
			carry = moved >> 63
			alive |= states[w]
		}
		if alive == 0 {
			return false
		}
	}
	return states[len(p.literal)/64]>>(len(p.literal)%64)&1 != 0
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
	for i := range ps {
		if ps[i].match(name) {
			return true
		}
	}
	return false
}
