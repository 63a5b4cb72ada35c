package message

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"yubin/internal/mail"
)

// MaxOriginators is how many addresses a From field of ours may name.
const MaxOriginators = 50

// Limits of ParseOriginators.
const (
	maxCommentDepth    = 8
	maxOriginatorLocal = 255 // octets of a local part
)

// ParseOriginators reads the value of a field that says who writes: From,
// Sender, Resent-From, Resent-Sender (RFC 5322 §3.6.2, UTF-8 as in RFC 6532). It
// is for those who decide by the answer, so it is the opposite of
// ParseAddressList: it takes only what every reader of mail reads as the same
// addresses, all of them or none. The error is Invalid and says what is wrong.
//
// Taken is the grammar of RFC 5322 §3.4 for a mailbox-list, with the dots in a
// phrase ("John Q. Public") of §4.1 that all clients send. Refused beside what
// is no such list:
//   - groups, source routes, empty members and space around dots: the other
//     obsolete forms of §4.4, which no client sends in these fields;
//   - control characters (C0, DEL, C1), raw or inside an encoded-word, octets that
//     are not UTF-8, and a folded line with nothing on it (§4.2);
//   - encoded-words in an address, halves of them, and those in a charset that
//     is not known here: nobody can say what others read in them;
//   - a name or comment in which, decoded or not, an @ stands beside one of
//     <>,;:\" and so is an address to a reader that takes it apart too late.
func ParseOriginators(value []byte) ([]mail.Address, error) {
	b, err := strictUnfold(value)
	if err != nil {
		return nil, err
	}
	s := strictReader{b: b}
	var all []mail.Address
	for {
		a, err := s.mailbox()
		if err != nil {
			return nil, err
		}
		if all = append(all, a); len(all) > MaxOriginators {
			return nil, mail.Errorf(mail.Invalid, "it names more than %d addresses", MaxOriginators)
		}
		if s.pos == len(s.b) {
			return all, nil
		}
		s.pos++ // the comma
	}
}

// strictUnfold joins the lines of value (RFC 5322 §2.2.3), or says what stands in
// it that no field may hold.
func strictUnfold(value []byte) ([]byte, error) {
	value = bytes.TrimSuffix(value, []byte("\r\n"))
	lines := bytes.Split(value, []byte("\r\n"))
	for i, line := range lines {
		if i > 0 && (len(line) == 0 || !isWSP(line[0])) {
			return nil, mail.Errorf(mail.Invalid, "it has a line that is not folded")
		}
		if i > 0 && len(bytes.Trim(line, " \t")) == 0 {
			return nil, mail.Errorf(mail.Invalid, "it has a folded line with nothing on it")
		}
	}
	b := bytes.Join(lines, nil)
	if !utf8.Valid(b) {
		return nil, mail.Errorf(mail.Invalid, "it has octets that are not UTF-8")
	}
	if bytes.ContainsFunc(b, func(r rune) bool { return isAnyControl(r) && r != '\t' }) {
		return nil, mail.Errorf(mail.Invalid, "it has a control character")
	}
	return b, nil
}

// isAnyControl is isControl with C1, which RFC 6532 §3.1 takes from text too.
func isAnyControl(r rune) bool { return isControl(r) || r >= 0x80 && r < 0xa0 }

// strictReader reads a mailbox-list from left to right.
type strictReader struct {
	b   []byte
	pos int
}

func (s *strictReader) peek() byte {
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

// mailbox reads one mailbox up to a comma or the end (RFC 5322 §3.4).
func (s *strictReader) mailbox() (mail.Address, error) {
	if err := s.space(checkName); err != nil {
		return mail.Address{}, err
	}
	var name []byte // the phrase so far, unquoted
	for words := 0; ; words++ {
		switch c := s.peek(); {
		case c == '<':
			if err := checkName(name); err != nil {
				return mail.Address{}, err
			}
			s.pos++
			return s.rest('>')
		case c == '"' || isAtext(c) || c == '.' && words > 0:
		case words == 0:
			return mail.Address{}, mail.Errorf(mail.Invalid, "an address is missing")
		case c == ':':
			return mail.Address{}, mail.Errorf(mail.Invalid, "groups of addresses are not taken in it")
		default:
			return mail.Address{}, mail.Errorf(mail.Invalid, "a name has no address in <> behind it")
		}
		start := s.pos
		word, err := s.word()
		if err == nil {
			err = s.space(checkName)
		}
		if err != nil {
			return mail.Address{}, err
		}
		if s.peek() == '@' && words == 0 { // What was read is a local part.
			s.pos = start
			return s.rest(0)
		}
		if _, err := strictDecode(word); err != nil {
			return mail.Address{}, err
		}
		name = append(append(name, ' '), word...)
	}
}

// rest reads an addr-spec and what may stand behind it up to a comma or the end.
// closing is '>' where an angle bracket was opened, or else 0.
func (s *strictReader) rest(closing byte) (mail.Address, error) {
	if closing == '>' {
		if err := s.space(checkInside); err != nil {
			return mail.Address{}, err
		}
		if s.peek() == '@' {
			return mail.Address{}, mail.Errorf(mail.Invalid, "an address with a source route is not taken in it")
		}
	}
	a, err := s.addrSpec()
	if err != nil {
		return mail.Address{}, err
	}
	if closing == '>' {
		if err := s.space(checkInside); err != nil {
			return mail.Address{}, err
		}
		if s.peek() != '>' {
			return mail.Address{}, mail.Errorf(mail.Invalid, "an address has no closing >")
		}
		s.pos++
	}
	if err := s.space(checkName); err != nil {
		return mail.Address{}, err
	}
	if s.pos < len(s.b) && s.b[s.pos] != ',' {
		return mail.Address{}, mail.Errorf(mail.Invalid, "behind an address stands something else than a comma")
	}
	return a, nil
}

// addrSpec reads local-part "@" domain (RFC 5322 §3.4.1), with space and comments
// around the @ only.
func (s *strictReader) addrSpec() (mail.Address, error) {
	quoted := s.peek() == '"'
	local, err := s.word()
	if err != nil {
		return mail.Address{}, err
	}
	switch {
	case quoted && bytes.ContainsAny(local, `@<>,;:()"\`) || bytes.Contains(local, []byte("=?")) || bytes.Contains(local, []byte("?=")):
		return mail.Address{}, mail.Errorf(mail.Invalid, "an address can be read in two ways")
	case len(local) == 0 || len(local) > maxOriginatorLocal || !quoted && !isDotAtom(local):
		return mail.Address{}, mail.Errorf(mail.Invalid, "an address has no valid local part")
	}
	if err := s.space(checkInside); err != nil {
		return mail.Address{}, err
	}
	if s.peek() != '@' {
		return mail.Address{}, mail.Errorf(mail.Invalid, "an address has no @")
	}
	s.pos++
	if err := s.space(checkInside); err != nil {
		return mail.Address{}, err
	}
	domain, err := s.domain()
	return mail.Address{Local: norm.NFC.String(string(local)), Domain: domain}, err
}

// domain reads a dot-atom or an address literal. A domain that is not written as
// it is looked up (full-width letters, a dot that is none) is two domains.
func (s *strictReader) domain() (mail.Domain, error) {
	start := s.pos
	if s.peek() == '[' {
		if n := bytes.IndexByte(s.b[s.pos:], ']'); n > 0 {
			s.pos += n + 1
		}
	} else {
		for s.pos < len(s.b) && (isAtext(s.b[s.pos]) || s.b[s.pos] == '.') {
			s.pos++
		}
	}
	text := string(s.b[start:s.pos])
	d, err := mail.ParseDomain(text)
	if err != nil {
		return "", mail.Errorf(mail.Invalid, "an address has no valid domain")
	}
	if plain := strings.ToLower(norm.NFC.String(text)); plain != d.Unicode() && !strings.EqualFold(plain, d.String()) {
		return "", mail.Errorf(mail.Invalid, "a domain can be read in two ways")
	}
	return d, nil
}

// word reads an atom with dots or a quoted string, and returns it unquoted.
func (s *strictReader) word() ([]byte, error) {
	start := s.pos
	if s.peek() != '"' {
		for s.pos < len(s.b) && (isAtext(s.b[s.pos]) || s.b[s.pos] == '.') {
			s.pos++
		}
		return s.b[start:s.pos], nil
	}
	for s.pos++; s.pos < len(s.b); s.pos++ {
		switch s.b[s.pos] {
		case '"':
			s.pos++
			return unescape(s.b[start+1 : s.pos-1]), nil
		case '\\':
			s.pos++
		}
	}
	return nil, mail.Errorf(mail.Invalid, "a quoted string has no end")
}

// space reads white space and comments (CFWS). check is asked about the text of
// each comment.
func (s *strictReader) space(check func([]byte) error) error {
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; {
		case isWSP(c):
			s.pos++
		case c == '(':
			text, err := s.comment()
			if err == nil {
				err = check(text)
			}
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// comment reads a comment and returns what is between its brackets.
func (s *strictReader) comment() ([]byte, error) {
	start, depth := s.pos, 0
	for ; s.pos < len(s.b); s.pos++ {
		switch s.b[s.pos] {
		case '\\':
			s.pos++
		case '(':
			if depth++; depth > maxCommentDepth {
				return nil, mail.Errorf(mail.Invalid, "it has comments more than %d deep", maxCommentDepth)
			}
		case ')':
			if depth--; depth == 0 {
				s.pos++
				return unescape(s.b[start+1 : s.pos-1]), nil
			}
		}
	}
	return nil, mail.Errorf(mail.Invalid, "a comment has no end")
}

var (
	errHalfWord = mail.Errorf(mail.Invalid, "it has part of an encoded-word")
	errTwoWays  = mail.Errorf(mail.Invalid, "a name in it can be read as another address")
)

// checkName says whether text, a display name or comment without its quotes, can
// be nothing else to any reader.
func checkName(text []byte) error {
	decoded, err := strictDecode(text)
	if err != nil {
		return err
	}
	for _, t := range []string{string(text), decoded} {
		t = norm.NFKC.String(t) // A full-width @ is one to some.
		if strings.Contains(t, "@") && strings.ContainsAny(t, `<>,;:\"`) {
			return errTwoWays
		}
	}
	return nil
}

// checkInside is for a comment inside an address: plain words.
func checkInside(text []byte) error {
	for _, c := range text {
		if isWSP(c) || isAtext(c) && c != '=' && c != '?' {
			continue
		}
		return mail.Errorf(mail.Invalid, "a comment inside an address can be read as part of it")
	}
	return nil
}

// strictDecode decodes the encoded-words of text wherever they stand, or says
// why others may decode something else.
func strictDecode(text []byte) (string, error) {
	if !bytes.Contains(text, []byte("=?")) && !bytes.Contains(text, []byte("?=")) {
		return string(text), nil
	}
	var out strings.Builder
	var octets []byte
	for rest := text; len(rest) > 0; {
		i := bytes.Index(rest, []byte("=?"))
		if end := bytes.Index(rest, []byte("?=")); end >= 0 && (i < 0 || end < i) {
			return "", errHalfWord
		}
		if i < 0 {
			out.Write(rest)
			break
		}
		w, ok := cutWord(rest[i:])
		switch {
		case !ok || bytes.Contains(w.text, []byte("=?")):
			return "", errHalfWord
		case !KnownCharset(w.charset):
			return "", mail.Errorf(mail.Invalid, "it has an encoded-word in a charset that is not known here")
		case w.encoding == 'b':
			octets = appendBase64(octets[:0], w.text)
		default:
			octets = appendQ(octets[:0], w.text)
		}
		if bytes.ContainsFunc(octets, isC0) {
			return "", mail.Errorf(mail.Invalid, "it has a control character in an encoded-word")
		}
		if len(bytes.Trim(rest[:i], " \t")) > 0 || out.Len() == 0 {
			out.Write(rest[:i])
		}
		out.WriteString(decodeCharset(octets, w.charset))
		rest = rest[i+w.size:]
	}
	if strings.ContainsFunc(out.String(), func(r rune) bool { return isAnyControl(r) && r != '\t' }) {
		return "", mail.Errorf(mail.Invalid, "it has a control character in an encoded-word")
	}
	return out.String(), nil
}

// isC0 is a control character that no charset has a use for; ESC, SO and SI
// shift those of ISO 2022.
func isC0(r rune) bool {
	return isControl(r) && r != '\t' && r != 0x1b && r != 0x0e && r != 0x0f
}

// isAtext is atext of RFC 5322 §3.2.3 with the octets of UTF-8 (RFC 6532).
func isAtext(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>[]:;@\,."`, c) < 0
}

// isDotAtom reports whether local is a dot-atom-text, given that it is of atext and dots.
func isDotAtom(local []byte) bool {
	return local[0] != '.' && local[len(local)-1] != '.' && !bytes.Contains(local, []byte(".."))
}
