package imap

import (
	"slices"
	"strconv"
	"strings"
)

// Append appends the set as a client writes it; nothing for the empty set.
func (s NumSet) Append(dst []byte) []byte {
	if s.Saved {
		return append(dst, '$')
	}
	for i, r := range s.Ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.First.append(dst)
		if r.Last != r.First {
			dst = r.Last.append(append(dst, ':'))
		}
	}
	return dst
}

func (s NumSet) String() string { return string(s.Append(nil)) }

func (n Num) append(dst []byte) []byte {
	if n == Star {
		return append(dst, '*')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// Append appends the section with its brackets.
func (s Section) Append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, n := range s.Path {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if len(s.Path) > 0 && s.Text != SectionAll {
		dst = append(dst, '.')
	}
	dst = append(dst, sectionNames[s.Text]...)
	if s.Text == SectionHeaderFields || s.Text == SectionHeaderFieldsNot {
		dst = appendNames(dst, s.Fields)
	}
	return append(dst, ']')
}

func (s Section) String() string { return string(s.Append(nil)) }

var sectionNames = [...]string{"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"}

// appendNames appends SP "(" astring *(SP astring) ")".
func appendNames(dst []byte, names []string) []byte {
	dst = append(dst, " ("...)
	for i, n := range names {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = appendAString(dst, n)
	}
	return append(dst, ')')
}

// Append appends the item as a client asks for it.
func (i FetchItem) Append(dst []byte) []byte {
	dst = append(dst, fetchNames[i.Kind]...)
	switch i.Kind {
	case FetchBody, FetchBinary, FetchRFC822, FetchRFC822Text:
		if i.Peek {
			dst = append(dst, ".PEEK"...)
		}
	}
	if i.hasSection() {
		dst = i.Section.Append(dst)
	}
	if i.Partial == nil {
		return dst
	}
	dst = strconv.AppendUint(append(dst, '<'), uint64(i.Partial.Offset), 10)
	dst = strconv.AppendUint(append(dst, '.'), uint64(i.Partial.Count), 10)
	return append(dst, '>')
}

func (i FetchItem) String() string { return string(i.Append(nil)) }

// appendResponseName appends the item as a response names it: without .PEEK,
// and with no more of a partial than its origin.
func (i FetchItem) appendResponseName(dst []byte) []byte {
	dst = append(dst, fetchNames[i.Kind]...)
	if !i.hasSection() {
		return dst
	}
	dst = i.Section.Append(dst)
	if i.Partial == nil {
		return dst
	}
	dst = strconv.AppendUint(append(dst, '<'), uint64(i.Partial.Offset), 10)
	return append(dst, '>')
}

func (i FetchItem) hasSection() bool {
	return i.Kind == FetchBody || i.Kind == FetchBinary || i.Kind == FetchBinarySize
}

var fetchNames = [...]string{"FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY",
	"BODY", "BINARY", "BINARY.SIZE", "RFC822", "RFC822.HEADER", "RFC822.TEXT"}

// Append appends the key as the search program of a client: the keys of an And
// side by side.
func (k SearchKey) Append(dst []byte) []byte {
	if k.Op != SearchAnd {
		return k.append(dst)
	}
	for i, key := range k.Keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = key.append(dst)
	}
	return dst
}

// append appends the key as one search-key.
func (k SearchKey) append(dst []byte) []byte {
	switch k.Op {
	case SearchAnd:
		return append(k.Append(append(dst, '(')), ')')
	case SearchOr:
		last := len(k.Keys) - 1
		for _, key := range k.Keys[:last] {
			dst = append(key.append(append(dst, "OR "...)), ' ')
		}
		return k.Keys[last].append(dst)
	case SearchNot:
		return k.Keys[0].append(append(dst, "NOT "...))
	case SearchSeq:
		return k.Set.Append(dst)
	case SearchUID:
		return k.Set.Append(append(dst, "UID "...))
	case SearchEnvelope:
		return appendAString(append(append(dst, strings.ToUpper(k.Field)...), ' '), k.Text)
	case SearchHasFlag:
		return append(dst, k.flagName()...)
	}
	dst = append(dst, searchNames[k.Op]...)
	return k.appendArgument(dst)
}

func (k SearchKey) String() string { return string(k.Append(nil)) }

func (k SearchKey) appendArgument(dst []byte) []byte {
	switch k.Op {
	case SearchHasKeyword:
		return append(append(dst, ' '), k.Keyword...)
	case SearchHeader:
		dst = appendAString(append(dst, ' '), k.Field)
		return appendAString(append(dst, ' '), k.Text)
	case SearchBody, SearchText:
		return appendAString(append(dst, ' '), k.Text)
	case SearchLarger, SearchSmaller:
		return strconv.AppendInt(append(dst, ' '), k.Size, 10)
	case SearchBefore, SearchOn, SearchSince, SearchSentBefore, SearchSentOn, SearchSentSince:
		return k.Date.AppendFormat(append(dst, ' '), "2-Jan-2006")
	}
	return dst
}

func (k SearchKey) flagName() string {
	for _, f := range flagKeys {
		if f.flag == k.Flag {
			return f.name
		}
	}
	return ""
}

// searchNames are the names of the operators that have one of their own.
var searchNames = [...]string{SearchAll: "ALL", SearchHasKeyword: "KEYWORD", SearchRecent: "RECENT", SearchNew: "NEW",
	SearchHeader: "HEADER", SearchBody: "BODY", SearchText: "TEXT",
	SearchBefore: "BEFORE", SearchOn: "ON", SearchSince: "SINCE",
	SearchSentBefore: "SENTBEFORE", SearchSentOn: "SENTON", SearchSentSince: "SENTSINCE",
	SearchLarger: "LARGER", SearchSmaller: "SMALLER"}

// appendAString appends s as an astring: as an atom if it is one, else as AppendString.
func appendAString(dst []byte, s string) []byte {
	atom := s != ""
	for i := 0; atom && i < len(s); i++ {
		atom = isAstringChar(s[i])
	}
	if atom {
		return append(dst, s...)
	}
	return AppendString(dst, []byte(s))
}

// appendNumber is strconv.AppendUint in two thirds of the time: FETCH of flags writes
// little but numbers.
func appendNumber(dst []byte, n uint32) []byte {
	digits := 1
	for m := n; m >= 10; m /= 10 {
		digits++
	}
	dst = slices.Grow(dst, digits)
	dst = dst[:len(dst)+digits]
	for i := len(dst) - 1; digits > 0; i, digits = i-1, digits-1 {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
