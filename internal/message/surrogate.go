package message

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
)

// maxRewritten is how long a field may be that is rewritten for a Surrogate; a
// longer one is left out.
const maxRewritten = 64 << 10

// Surrogate says how a message is written for who takes ASCII in headers only
// (RFC 6856 §2.1), after RFC 6858. In the headers of the message, of its parts and
// of messages in it, a field that has other octets changes; all else, signatures
// and 8-bit bodies too, stays as it is:
//
//   - In the fields that name people, display names become encoded-words, a domain
//     its A-labels, and an address whose local part has other octets becomes one
//     that is nobody's, with a name that shows what it was.
//   - Subject, Comments, Content-Description and X- fields become encoded-words.
//   - A parameter of Content-Type and Content-Disposition gets the encoding of RFC
//     2231, as RFC 6857 has it: without the name of an attachment nobody could open it.
//   - Any other field, and what cannot be written so, is left out. Not so for a stray
//     line behind it (RFC 7103 §7.2), which has a question mark for each such octet.
//   - Lines before the first field, and a header of more than MaxHeader octets, have
//     a question mark for each octet that is not ASCII.
//
// NUL is no ASCII here.
type Surrogate struct {
	zones   []surrogateZone
	surplus int64
}

// surrogateZone is a header that changes.
type surrogateZone struct {
	from, to int64
	mask     bool // it was too large to be read
}

// surrogateZoneMemory is what a surrogateZone takes of memory in octets.
const surrogateZoneMemory = 24

// Changes reports whether the surrogate is not the message itself.
func (s *Surrogate) Changes() bool { return len(s.zones) > 0 }

// Surplus returns how many octets the surrogate has more than the message, or
// less if negative, where both are sent with each line ending in CRLF.
func (s *Surrogate) Surplus() int64 { return s.surplus }

// Memory returns how many octets a Reader of it takes, about.
func (s *Surrogate) Memory() int {
	largest := int64(0)
	for _, z := range s.zones {
		if !z.mask {
			largest = max(largest, z.to-z.from)
		}
	}
	return len(s.zones)*surrogateZoneMemory + 4*int(largest)
}

// Reader reads the surrogate of the message that r reads.
func (s *Surrogate) Reader(r io.Reader) io.Reader {
	edits := make([]edit, 0, len(s.zones))
	for _, z := range s.zones {
		e := edit{from: z.from, to: z.to, encode: "surrogate"}
		if z.mask {
			e.encode = "mask"
		}
		edits = append(edits, e)
	}
	return &converted{from: r, edits: edits}
}

// note adds a header of which kept is all that was kept, without the empty line, or the
// start if cut.
func (s *Surrogate) note(from, to int64, kept []byte, cut bool) {
	switch {
	case cut:
		s.zones = append(s.zones, surrogateZone{from, to, true})
	case !IsHeaderASCII(kept):
		s.zones = append(s.zones, surrogateZone{from, to, false})
		_, surplus := appendSurrogate(nil, kept)
		if s.surplus += surplus; to-from == int64(len(kept)) && wantsBlank(kept) {
			s.surplus += 2
		}
	}
}

// IsHeaderASCII reports whether b can stand in a header as it is: it has no NUL and
// no octets over 127.
func IsHeaderASCII(b []byte) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// surrogateHeader reads what replaces a header that r reads.
type surrogateHeader struct {
	r    io.Reader // nil once it was read
	then bytes.Reader
}

func (s *surrogateHeader) Read(p []byte) (int, error) {
	if s.r != nil {
		header, err := io.ReadAll(s.r)
		if err != nil {
			return 0, err
		}
		out, _ := appendSurrogate(make([]byte, 0, len(header)), header)
		if wantsBlank(header) {
			out = append(out, "\r\n"...)
		}
		s.r = nil
		s.then.Reset(out)
	}
	return s.then.Read(p)
}

// SurrogateFields returns what stands for fields, whole ones, in a Surrogate, and
// its surplus.
func SurrogateFields(fields []byte) (out []byte, surplus int64) {
	if IsHeaderASCII(fields) {
		return fields, 0
	}
	return appendSurrogate(nil, fields)
}

// wantsBlank reports whether an empty line is put behind a header: where it ended without
// one, what ended it, a delimiter of its own type or a stray line, may end it no more.
func wantsBlank(header []byte) bool {
	before, ended := bytes.CutSuffix(header, []byte("\n"))
	return ended && !isBlank(header[bytes.LastIndexByte(before, '\n')+1:])
}

// appendSurrogate appends what stands for header, and returns its surplus.
func appendSurrogate(dst, header []byte) (out []byte, surplus int64) {
	n := len(BeforeFields(header))
	dst = appendMasked(dst, header[:n])
	for header = header[n:]; ; {
		raw, colon, rest := cutField(header)
		if raw == nil {
			return append(dst, header...), surplus // The empty line.
		}
		header = rest
		if IsHeaderASCII(raw) {
			dst = append(dst, raw...)
			continue
		}
		start := len(dst)
		dst = appendSurrogateField(dst, raw, colon)
		surplus += asLines(dst[start:]) - asLines(raw)
	}
}

// asLines is how many octets b has when each line ends in CRLF.
func asLines(b []byte) int64 {
	var l LineEnds
	l.Count(b)
	return int64(len(b)) + l.Lacking()
}

func appendMasked(dst, b []byte) []byte {
	from := len(dst)
	dst = append(dst, b...)
	mask(dst[from:])
	return dst
}

// mask writes a question mark for each octet that is not ASCII.
func mask(b []byte) {
	for i, c := range b {
		if c >= utf8.RuneSelf || c == 0 {
			b[i] = '?'
		}
	}
}

// appendSurrogateField appends what stands for the field raw, which may be nothing.
func appendSurrogateField(dst, raw []byte, colon int) []byte {
	var buf [32]byte
	name, value := lowerName(&buf, raw[:colon]), raw[colon+1:]
	if len(raw) > maxRewritten {
		return dst
	}
	f := fieldWriter{dst: append(dst, raw[:colon+1]...), width: colon + 1}
	ok, own := false, folded(value)
	switch string(name) {
	case "bcc", "cc", "from", "reply-to", "resent-bcc", "resent-cc", "resent-from", "resent-sender", "resent-to", "sender", "to":
		ok = f.addresses(ParseAddressList(value))
	case "return-path":
		ok = f.returnPath(ParseAddressList(value))
	case "content-type", "content-disposition":
		if own = foldedParams(value); !IsHeaderASCII(own) {
			ok = f.parameters(unfold(own))
		}
	case "subject", "comments", "content-description":
		ok = f.text(DecodeText(unfold(value)))
	default:
		ok = bytes.HasPrefix(bytes.ToLower(raw[:min(colon, 2)]), []byte("x-")) && f.text(DecodeText(unfold(value)))
	}
	if ok {
		return append(f.dst, "\r\n"...)
	}
	if len(own) < len(value) && IsHeaderASCII(own) {
		return appendMasked(dst, raw)
	}
	return dst
}

// Widths of the lines of a field (RFC 5322 §2.1.1, RFC 2047 §2).
const (
	fieldWidth = 76
	wordStart  = "=?utf-8?b?"
	wordEnd    = "?="
)

// fieldWriter writes the value of a field in words. It breaks the line before a
// word that would make it too long.
type fieldWriter struct {
	dst   []byte
	width int // of the line so far
}

func (f *fieldWriter) word(w string) {
	if f.width+1+len(w) > fieldWidth && f.width > 1 {
		f.dst, f.width = append(f.dst, "\r\n"...), 0
	}
	f.dst = append(append(f.dst, ' '), w...)
	f.width += 1 + len(w)
}

// encode writes text as encoded-words, none of which cuts a character.
func (f *fieldWriter) encode(text string) {
	for len(text) > 0 {
		room := fieldWidth - f.width - 1 - len(wordStart) - len(wordEnd)
		if room < 16 {
			room = fieldWidth - 1 - len(wordStart) - len(wordEnd)
		}
		part := cut(text, room/4*3)
		f.word(wordStart + base64.StdEncoding.EncodeToString([]byte(part)) + wordEnd)
		text = text[len(part):]
	}
}

// text writes the value of an unstructured field; false if that is not possible.
func (f *fieldWriter) text(text string) bool {
	if text = strings.TrimSpace(text); text == "" {
		return false
	}
	f.encode(text)
	return true
}

// nobody is who has no address that ASCII can write (RFC 6858 §2.1, RFC 2606).
const nobody = "<invalid@internationalized-address.invalid>"

// addresses writes a list of addresses; false if there are none.
func (f *fieldWriter) addresses(list []MailAddress) bool {
	first := true
	for _, a := range list {
		if !first && a.Group != GroupEnd {
			f.dst = append(f.dst, ',')
			f.width++
		}
		switch first = false; a.Group {
		case GroupStart:
			f.phrase(DecodeText(a.Mailbox))
			f.dst = append(f.dst, ':')
			f.width++
			first = true
		case GroupEnd:
			f.dst = append(f.dst, ';')
			f.width++
		default:
			f.address(a)
		}
	}
	return len(list) > 0
}

// address writes one address, which has a name or gets one if it is changed.
func (f *fieldWriter) address(a MailAddress) {
	name := strings.TrimSpace(DecodeText(a.Name))
	plain := plainAddress(a)
	if plain == nobody {
		was := strings.Trim(DecodeText(a.Mailbox)+"@"+DecodeText(a.Host), "@")
		name = strings.TrimSpace(name + " " + was)
	}
	if name != "" {
		f.phrase(name)
	}
	f.word(plain)
}

// plainAddress returns a in ASCII in its angle brackets, or nobody.
func plainAddress(a MailAddress) string {
	parsed := mail.Address{Local: string(a.Mailbox)}
	if parsed.Local == "" || !IsHeaderASCII(a.Mailbox) || strings.ContainsFunc(parsed.Local, isControl) {
		return nobody
	}
	var err error
	if parsed.Domain, err = mail.ParseDomain(string(a.Host)); err != nil || len(parsed.String()) > MaxLine/2 {
		return nobody
	}
	return "<" + parsed.String() + ">"
}

// returnPath writes the path of a Return-Path field, which has no name.
func (f *fieldWriter) returnPath(list []MailAddress) bool {
	if len(list) != 1 || list[0].Group != NoGroup {
		return false
	}
	f.word(plainAddress(list[0]))
	return true
}

// phrase writes a display name: quoted if that will do.
func (f *fieldWriter) phrase(name string) {
	if !IsHeaderASCII([]byte(name)) || len(name) > fieldWidth || strings.Contains(name, "=?") {
		f.encode(name)
		return
	}
	f.word(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`)
}

// parameters writes the value of a MIME field, its parameters in ASCII; false if
// its own value is not.
func (f *fieldWriter) parameters(value []byte) bool {
	s := newLexer(value)
	for first := true; !s.atEnd(); first = false {
		start := s.pos
		for !s.atEnd() && s.peek() != ';' {
			switch s.peek() {
			case '"':
				s.quoted()
			case '(':
				s.skip()
			default:
				s.pos++
			}
		}
		piece := bytes.Trim(value[start:s.pos], " \t")
		s.pos++
		if piece = surrogateParam(piece, first); len(piece) == 0 || len(piece) > MaxLine-fieldWidth {
			if first {
				return false
			}
			continue
		}
		if !first {
			f.dst = append(f.dst, ';')
			f.width++
		}
		f.word(string(piece))
	}
	return true
}

// surrogateParam returns piece in ASCII, nil if that cannot be. The first one of a
// field is its value.
func surrogateParam(piece []byte, first bool) []byte {
	if IsHeaderASCII(piece) {
		return piece
	}
	s := newLexer(piece)
	name := s.token()
	if s.skip(); first || len(name) == 0 || bytes.IndexByte(name, '*') >= 0 || !IsHeaderASCII(name) || !s.try('=') {
		return nil
	}
	s.skip()
	text := DecodeText(s.value())
	return appendPercent(append(bytes.Clone(name), "*=utf-8''"...), []byte(text))
}
