package message

import "bytes"

// ParseAddressList reads the value of a field like To (RFC 5322 §3.4, §4.4;
// RFC 6854; broken ones after RFC 7103 §7.1). It never fails: what is not an
// address becomes a name without one. At most MaxAddresses are returned, and
// the end of an open group. The result may share memory with b.
func ParseAddressList(b []byte) []MailAddress {
	return appendAddresses(nil, unfold(b), MaxAddresses)
}

// appendAddresses appends the addresses of an unfolded list to list, limit at most.
func appendAddresses(list []MailAddress, b []byte, limit int) []MailAddress {
	s := addressScanner{b: b}
	group := false
	for limit > 0 {
		end, stop := s.next()
		text := b[s.pos:end]
		s.pos = end + 1
		switch {
		case stop == '<':
			list = append(list, s.angle(text))
			limit--
		case stop == ':' && !group:
			if limit < 2 {
				return list
			}
			name, _ := phrase(text)
			list = append(list, MailAddress{Mailbox: orEmpty(name), Group: GroupStart})
			group, limit = true, limit-2 // Its end has its room.
		default:
			if a, ok := bareAddress(text); ok {
				list = append(list, a)
				limit--
			}
		}
		if stop == ';' && group {
			list = append(list, MailAddress{Group: GroupEnd})
			group = false
		}
		if stop == 0 {
			break
		}
	}
	if group {
		list = append(list, MailAddress{Group: GroupEnd})
	}
	return list
}

// addressScanner finds the octets that structure an address list.
type addressScanner struct {
	b   []byte
	pos int
	bad int // quotes and comments that nothing closes, seen so far
}

// maxUnclosed is how often the end of an unclosed quote or comment is looked
// for in vain in one list; then they are ordinary octets.
const maxUnclosed = 4

// next returns where the next of , ; < : is that is not in quotes, a comment,
// an address literal or an encoded-word, and which it is; 0 at the end.
func (s *addressScanner) next() (int, byte) {
	for i := s.pos; i < len(s.b); i++ {
		switch c := s.b[i]; c {
		case ',', ';', '<':
			return i, c
		case ':':
			if bytes.IndexByte(s.b[s.pos:i], '@') < 0 {
				return i, c
			}
		case '"', '(', '[', '=':
			i += s.span(i) - 1
		case '\\':
			i++
		}
	}
	return len(s.b), 0
}

// span returns the length of what starts at i: 1 if it is not closed.
func (s *addressScanner) span(i int) int {
	b := s.b[i:]
	n := 1
	switch b[0] {
	case '[':
		return literalLen(b)
	case '=':
		return encodedWordLen(b)
	case '"':
		n = quotedLen(b, s.bad)
	case '(':
		n = closedCommentLen(b, s.bad)
	}
	if n == 1 {
		s.bad++
	}
	return n
}

// quotedLen returns the length of the quoted string that b starts with, 1 if
// nothing closes it.
func quotedLen(b []byte, bad int) int {
	for i := 1; i < len(b) && bad < maxUnclosed; i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 1
}

// closedCommentLen is commentLen, but 1 if nothing closes the comment.
func closedCommentLen(b []byte, bad int) int {
	if bad >= maxUnclosed {
		return 1
	}
	if n := commentLen(b); n > 1 && b[n-1] == ')' {
		return n
	}
	return 1
}

// literalLen returns the length of the address literal that b starts with, 1
// if it is none.
func literalLen(b []byte) int {
	if i := bytes.IndexAny(b[1:min(len(b), MaxFieldName)], "[]<>,; "); i >= 0 && b[i+1] == ']' {
		return i + 2
	}
	return 1
}

// encodedWordLen returns the length of the encoded-word that b starts with, 1
// if it is none. Quirk: some mailers leave commas and space in them.
func encodedWordLen(b []byte) int {
	b = b[:min(len(b), MaxFieldName)]
	if w, ok := cutWord(b); ok && !bytes.ContainsAny(b[:w.size], "<>\"") {
		return w.size
	}
	return 1
}

// angle reads the rest of an address of which name was read and then "<", and
// goes past the comma after it.
func (s *addressScanner) angle(name []byte) MailAddress {
	for s.pos < len(s.b) && (s.b[s.pos] == '<' || isWSP(s.b[s.pos])) {
		s.pos++ // RFC 7103 §7.1.2
	}
	route := s.route()
	end, stop := s.angleEnd()
	a := addrSpec(s.b[s.pos:end])
	a.Route = route
	s.pos = end
	var comment []byte
	if a.Name, comment = phrase(name); stop == '>' {
		after := s.skipTo(end + 1)
		if a.Name == nil && comment == nil {
			_, comment = phrase(after)
		}
	}
	if a.Name == nil {
		a.Name = comment
	}
	if s.pos < len(s.b) && s.b[s.pos] == ',' {
		s.pos++
	}
	return a
}

// route reads an obsolete source route with its colon (RFC 5322 §4.4).
func (s *addressScanner) route() []byte {
	if s.pos >= len(s.b) || s.b[s.pos] != '@' {
		return nil
	}
	rest := s.b[s.pos:]
	i := bytes.IndexAny(rest, ":>;<\"")
	if i < 0 || rest[i] != ':' {
		return nil
	}
	s.pos += i + 1
	return bytes.TrimRight(rest[:i], " \t,")
}

// angleEnd returns where the address in angle brackets ends. A comma ends it
// too (RFC 7103 §7.1.5), and so does the end of the list (§7.1.3).
func (s *addressScanner) angleEnd() (int, byte) {
	for i := s.pos; i < len(s.b); i++ {
		switch c := s.b[i]; c {
		case '>', ',', ';', '<':
			return i, c
		case '"', '(', '[':
			i += s.span(i) - 1
		case '\\':
			i++
		}
	}
	return len(s.b), 0
}

// skipTo moves to the comma or semicolon at or after i and returns what is
// stepped over.
func (s *addressScanner) skipTo(i int) []byte {
	from := i
	for ; i < len(s.b); i++ {
		switch s.b[i] {
		case ',', ';':
			s.pos = i
			return s.b[from:i]
		case '"', '(', '=':
			i += s.span(i) - 1
		}
	}
	s.pos = len(s.b)
	return s.b[from:]
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
