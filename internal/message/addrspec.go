package message

import "bytes"

// bareAddress reads an address without angle brackets, false if text is empty.
// What stands before the local part is a name whose brackets were forgotten.
func bareAddress(text []byte) (MailAddress, bool) {
	text = bytes.Trim(text, " \t<>")
	if len(text) == 0 {
		return MailAddress{}, false
	}
	if bytes.IndexByte(text, '@') < 0 {
		return nakedName(text)
	}
	spec, comment := text, []byte(nil)
	if bytes.IndexByte(text, '(') >= 0 {
		spec, comment = cutComments(text)
	}
	at := lastAt(spec)
	start := localStart(spec[:max(at, 0)])
	a := addrSpec(spec[start:])
	if a.Name, _ = phrase(spec[:start]); a.Name == nil {
		a.Name = comment
	}
	return a, true
}

// nakedName reads what has no domain (RFC 7103 §7.1.7): one word is a local
// part, more are a name.
func nakedName(text []byte) (MailAddress, bool) {
	name, comment := phrase(text)
	if name == nil {
		return MailAddress{}, false
	}
	if !bytes.ContainsAny(name, " \t") && text[0] != '"' {
		return MailAddress{Name: comment, Mailbox: name, Host: []byte{}}, true
	}
	return MailAddress{Name: name, Mailbox: []byte{}, Host: []byte{}}, true
}

// addrSpec reads local-part "@" domain (RFC 5322 §3.4.1, §4.4). Both sides may
// be empty.
func addrSpec(b []byte) MailAddress {
	if bytes.IndexByte(b, '(') >= 0 {
		b, _ = cutComments(b)
	}
	b = bytes.Trim(b, " \t>")
	at := lastAt(b)
	if at < 0 {
		return MailAddress{Mailbox: localPart(b), Host: []byte{}}
	}
	return MailAddress{Mailbox: localPart(b[:at]), Host: domain(b[at+1:])}
}

// lastAt returns where the last @ outside quotes is, -1 if there is none.
func lastAt(b []byte) int {
	if bytes.IndexByte(b, '"') < 0 {
		return bytes.LastIndexByte(b, '@')
	}
	at := -1
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '@':
			at = i
		case '"':
			if n := quotedLen(b[i:], 0); n > 1 {
				i += n - 1
			} else if rest := bytes.LastIndexByte(b[i:], '@'); rest > 0 {
				return i + rest
			} else {
				return at
			}
		}
	}
	return at
}

// localStart returns where the local part starts that b ends with: after the
// last space that is not beside a dot (obsolete, RFC 5322 §4.4) or in quotes.
func localStart(b []byte) int {
	end := len(bytes.TrimRight(b, " \t"))
	start, bad := 0, 0
	for i := 0; i < end; i++ {
		switch c := b[i]; {
		case c == '"':
			n := quotedLen(b[i:end], bad)
			if n == 1 {
				bad++
			}
			i += n - 1
		case isWSP(c):
			j := i
			for isWSP(b[j]) {
				j++ // b[end-1] is no space
			}
			if b[j] != '.' && (i == 0 || b[i-1] != '.') {
				start = j
			}
			i = j - 1
		}
	}
	return start
}

// localPart returns a local part unquoted and without space around its dots.
func localPart(b []byte) []byte {
	b = bytes.Trim(b, " \t")
	if !bytes.ContainsAny(b, "\" \t\\") {
		return orEmpty(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if n := quotedLen(b[i:], 0); n > 1 {
				out = append(out, unescape(b[i+1:i+n-1])...)
				i += n - 1
			} else {
				return append(out, b[i+1:]...)
			}
		case !isWSP(c):
			out = append(out, c)
		}
	}
	return out
}

// domain returns a domain without space around its dots; what stands after a
// space elsewhere is not of it.
func domain(b []byte) []byte {
	b = bytes.Trim(b, " \t")
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return orEmpty(b)
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for rest := b[i:]; ; {
		rest = bytes.TrimLeft(rest, " \t")
		if len(rest) == 0 || rest[0] != '.' && (len(out) == 0 || out[len(out)-1] != '.') {
			return out
		}
		n := 1 + bytes.IndexAny(rest[1:], " \t")
		if n == 0 {
			n = len(rest)
		}
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
}

// cutComments returns b with a space for each comment, and the text of the
// last one. What is in quotes is no comment.
func cutComments(b []byte) (rest, comment []byte) {
	rest = make([]byte, 0, len(b))
	bad := 0
	for i := 0; i < len(b); i++ {
		n := 1
		switch b[i] {
		case '"':
			n = quotedLen(b[i:], bad)
		case '(':
			n = closedCommentLen(b[i:], bad)
			if n > 1 {
				comment = unescape(bytes.Trim(b[i+1:i+n-1], " \t"))
			}
			rest = append(rest, ' ') // an unclosed one counts as space (RFC 7103 §7.1.4)
			if n == 1 {
				bad++
			}
			i += n - 1
			continue
		case '\\':
			n = min(2, len(b)-i)
		}
		if n == 1 && b[i] == '"' {
			bad++
		}
		rest = append(rest, b[i:i+n]...)
		i += n - 1
	}
	if len(comment) == 0 {
		comment = nil
	}
	return rest, comment
}

// phrase returns a display name without quotes and comments, nil if there is
// none, and the last comment. It copies only what needs change.
func phrase(b []byte) (name, comment []byte) {
	if bytes.IndexByte(b, '(') >= 0 {
		b, comment = cutComments(b)
	}
	b = bytes.Trim(b, " \t")
	if n := len(b); n >= 2 && b[0] == '"' && quotedLen(b, 0) == n {
		name = unescape(b[1 : n-1])
	} else if !bytes.ContainsAny(b, "\"\\") {
		name = b
	} else {
		name = unquoteWords(b)
	}
	if name = bytes.Trim(name, " \t"); len(name) == 0 {
		name = nil
	}
	return name, comment
}

// unquoteWords takes the quotes off the quoted strings of a phrase, and the
// quote that nothing closes out of it (RFC 7103 §7.1.6).
func unquoteWords(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			out = append(out, b[i])
			continue
		}
		n := quotedLen(b[i:], 0)
		if n == 1 {
			return append(out, b[i+1:]...)
		}
		out = append(out, unescape(b[i+1:i+n-1])...)
		i += n - 1
	}
	return out
}
