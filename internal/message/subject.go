package message

import "strings"

// BaseSubject returns the base subject of a decoded subject (RFC 5256 §2.1):
// what is left without "Re:", "Fwd:", "(fwd)", "[list]" and the like. Case is
// kept; compare with i;unicode-casemap.
func BaseSubject(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }), " ")
	for {
		s = trimLeaders(trimTrailers(s))
		inner, ok := cutFold(s, "[fwd:")
		if !ok || !strings.HasSuffix(inner, "]") {
			return s
		}
		s = inner[:len(inner)-1]
	}
}

// trimTrailers takes *subj-trailer off the end.
func trimTrailers(s string) string {
	for {
		s = strings.TrimRight(s, " ")
		n := len(s) - len("(fwd)")
		if n < 0 || !strings.EqualFold(s[n:], "(fwd)") {
			return s
		}
		s = s[:n]
	}
}

// trimLeaders takes *subj-leader off the start, then blobs as long as
// something is left, again and again.
func trimLeaders(s string) string {
	for {
		s = strings.TrimLeft(s, " ")
		last, rest := s, s // last is where the last blob starts that could not go
		for {
			next, ok := cutBlob(rest)
			if !ok {
				break
			}
			last, rest = rest, next
		}
		if after, ok := cutRefwd(rest); ok {
			s = after
			continue
		}
		if rest == "" {
			return last
		}
		return rest
	}
}

// cutRefwd takes subj-refwd off the start.
func cutRefwd(s string) (string, bool) {
	rest, ok := cutFold(s, "re")
	if !ok {
		if rest, ok = cutFold(s, "fwd"); !ok {
			if rest, ok = cutFold(s, "fw"); !ok {
				return s, false
			}
		}
	}
	rest = strings.TrimLeft(rest, " ")
	if after, ok := cutBlob(rest); ok {
		rest = after
	}
	return strings.CutPrefix(rest, ":")
}

// cutBlob takes subj-blob off the start.
func cutBlob(s string) (string, bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	i := strings.IndexAny(s[1:], "[]")
	if i < 0 || s[i+1] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[i+2:], " "), true
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
