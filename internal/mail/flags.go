package mail

import (
	"slices"
	"strings"
)

// Flags is the set of system flags of a message in a mailbox (RFC 9051 §2.3.2).
type Flags uint8

// The system flags that are stored.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

var flagNames = [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// AppendNames appends the names of f to dst, each once, in a fixed order.
func (f Flags) AppendNames(dst []string) []string {
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			dst = append(dst, name)
		}
	}
	return dst
}

// ParseFlag returns the system flag called name, with its backslash, in any case.
func ParseFlag(name string) (Flags, bool) {
	for i, n := range flagNames {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// Limits on keywords.
const (
	MaxKeyword    = 128 // octets in one
	MaxKeywords   = 64  // on one message
	MaxKeywordSet = MaxKeywords * MaxKeyword
)

// Keywords is the set of keywords of a message: sorted without regard to case,
// joined by single spaces. Comparable; the zero value is the empty set.
type Keywords string

// ParseKeywords makes a set of names. Names are compared without case; the
// first spelling is kept. The error is of kind Invalid or TooLarge.
func ParseKeywords(names ...string) (Keywords, error) {
	return Keywords("").With(names...)
}

// Names lists the keywords in order.
func (k Keywords) Names() []string { return strings.Fields(string(k)) }

// Has reports whether name is in the set, in any case.
func (k Keywords) Has(name string) bool {
	for n := range strings.FieldsSeq(string(k)) {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// With returns the set with names added.
func (k Keywords) With(names ...string) (Keywords, error) {
	all := k.Names()
	for _, n := range names {
		if !validKeyword(n) {
			return "", Errorf(Invalid, "%q is not a keyword", n)
		}
		if !slices.ContainsFunc(all, func(o string) bool { return strings.EqualFold(o, n) }) {
			all = append(all, n)
		}
	}
	if len(all) > MaxKeywords {
		return "", Errorf(TooLarge, "a message holds at most %d keywords", MaxKeywords)
	}
	return SortedKeywords(all), nil
}

// SortedKeywords makes a set of names that are keywords and differ without
// regard to case. It sorts names.
func SortedKeywords(names []string) Keywords {
	slices.SortFunc(names, compareFold)
	return Keywords(strings.Join(names, " "))
}

// Without returns the set with names taken out.
func (k Keywords) Without(names ...string) Keywords {
	all := slices.DeleteFunc(k.Names(), func(o string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(o, n) })
	})
	return Keywords(strings.Join(all, " "))
}

func compareFold(a, b string) int {
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

// validKeyword is flag-keyword of RFC 9051: an atom, and no backslash.
func validKeyword(s string) bool {
	if s == "" || len(s) > MaxKeyword {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
