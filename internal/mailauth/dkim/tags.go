package dkim

import (
	"iter"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Tag is a tag-spec (RFC 6376 §3.2).
type Tag struct {
	Name string
	// Value is without space at either end; inside it stands as it was written, with
	// line ends: see Squeeze and SplitColons.
	Value string
	// start and end are where the value stands in the list with all space around it.
	start, end int
}

// Tags is a tag list: of a signature, of a key record, of ARC's fields.
type Tags []Tag

// ParseTags reads a tag list (RFC 6376 §3.2), with UTF-8 in the values (RFC 8616
// §5) and at most MaxTags and MaxList. No name comes twice in it. The error is of
// kind mail.Invalid and says what is wrong, without anything that a stranger wrote.
func ParseTags(list string) (Tags, error) {
	if len(list) > MaxList {
		return nil, mail.Errorf(mail.Invalid, "the list of tags is over %d octets", MaxList)
	}
	if !utf8.ValidString(list) || !isText(list) {
		return nil, mail.Errorf(mail.Invalid, "the list of tags has octets that no text has")
	}
	tags := make(Tags, 0, 12)
	for pos := 0; ; {
		spec := list[pos:]
		length := strings.IndexByte(spec, ';')
		if length >= 0 {
			spec = spec[:length]
		}
		if length < 0 && len(tags) > 0 && strings.Trim(spec, fws) == "" {
			return tags, nil // There was a ";" at the end.
		}
		name, value, ok := strings.Cut(spec, "=")
		start := pos + len(name) + 1
		if name = strings.Trim(name, fws); !ok || !isTagName(name) {
			return nil, mail.Errorf(mail.Invalid, "tag %d of the list has no name", len(tags)+1)
		}
		if _, twice := tags.Get(name); twice {
			return nil, mail.Errorf(mail.Invalid, "a tag is there twice")
		}
		if len(tags) == MaxTags {
			return nil, mail.Errorf(mail.Invalid, "there are more than %d tags", MaxTags)
		}
		tags = append(tags, Tag{name, strings.Trim(value, fws), start, pos + len(spec)})
		if length < 0 {
			return tags, nil
		}
		pos += length + 1
	}
}

// fws is what FWS is of (RFC 6376 §2.8).
const fws = " \t\r\n"

// isText reports whether s has no control characters, and line ends only where
// it is folded.
func isText(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' && (i+1 == len(s) || s[i+1] != '\n'):
			return false
		case c == '\n' && i+1 < len(s) && s[i+1] != ' ' && s[i+1] != '\t':
			return false
		case c < ' ' && c != '\t' && c != '\r' && c != '\n', c == 0x7f:
			return false
		}
	}
	return true
}

func isTagName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !scan.IsAlpha(c) && (i == 0 || !scan.IsDigit(c) && c != '_') {
			return false
		}
	}
	return s != ""
}

// Get finds a tag by its name, in the case that it has.
func (t Tags) Get(name string) (Tag, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i], true
		}
	}
	return Tag{}, false
}

// Value is the value of a tag; "" if there is none.
func (t Tags) Value(name string) string {
	tag, _ := t.Get(name)
	return tag.Value
}

// Squeeze is a value without any space, as base64 is read (RFC 6376 §3.5).
func Squeeze(value string) string {
	if !strings.ContainsAny(value, fws) {
		return value
	}
	b := make([]byte, 0, len(value))
	for i := range len(value) {
		if c := value[i]; c > ' ' || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			b = append(b, c)
		}
	}
	return string(b)
}

// SplitColons yields the members of a colon-separated value without the space
// around them.
func SplitColons(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for member := range strings.SplitSeq(value, ":") {
			if !yield(strings.Trim(member, fws)) {
				return
			}
		}
	}
}
