package smtpd

import (
	"bytes"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// clean is what of a value can stand in a log: UTF-8 without control characters.
func clean(value []byte) string {
	text := strings.ToValidUTF8(string(value), "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// submitted is what submission must know of a header.
type submitted struct {
	originators             // of the message
	resent      originators // of the newest Resent block (RFC 5322 §3.6.6)
	date, id    bool
	disguised   bool // a field whose name some reader takes for one of an originator
}

// originators are the values of the fields that say who writes.
type originators struct{ from, sender [][]byte }

// readSubmitted reads the fields of a header. The newest Resent block is the
// first: it ends where one of its names comes again, or at another field once it
// has a Resent-From. Some programs put a field of the block further down.
func readSubmitted(header []byte) submitted {
	var s submitted
	seen, closed := make(map[string]bool), false // of the newest Resent block
	for f := range message.Fields(header) {
		lower := strings.ToLower(f.Name)
		value := f.Raw[bytes.IndexByte(f.Raw, ':')+1:] // folded, as others will read it
		if strings.HasPrefix(lower, "resent-") {
			closed = closed || seen[lower]
			seen[lower] = true
		} else if len(s.resent.from) > 0 {
			closed = true
		}
		switch lower {
		case "from":
			s.from = append(s.from, value)
		case "sender":
			s.sender = append(s.sender, value)
		case "date":
			s.date = true
		case "message-id":
			s.id = true
		case "resent-from":
			if !closed {
				s.resent.from = append(s.resent.from, value)
			}
		case "resent-sender":
			if !closed {
				s.resent.sender = append(s.resent.sender, value)
			}
		}
	}
	for line := range bytes.Lines(header) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		folded := line[0] == ' ' || line[0] == '\t'
		s.disguised = s.disguised || ok && !folded && isDisguised(strings.ToLower(string(bytes.TrimRight(name, " \t"))))
	}
	return s
}

// isDisguised reports whether name, which is not the name of an originator's
// field, is one to who drops what no name may hold (RFC 5322 §2.2).
func isDisguised(name string) bool {
	plain := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	switch plain {
	case "from", "sender", "resent-from", "resent-sender":
		return plain != name
	}
	return false
}

// additions are the fields that a submitted message lacks; zero values add none.
type additions struct {
	date time.Time
	id   string // without its angle brackets
	from mail.Address

	claims func(value []byte) bool // Config.Claims
}

// appendEdited appends header as it is to go on: with what it lacked in front,
// without Bcc (RFC 5322 §3.6.3), Return-Path (RFC 5321 §4.4) and what claims to be our
// judgement (RFC 8601 §5), stray
// lines folded so that nobody takes them for the end, and always with the empty
// line. Lead is that of message.Header.
func appendEdited(dst, header []byte, lead string, add additions) []byte {
	if !add.date.IsZero() {
		dst = add.date.AppendFormat(append(dst, "Date: "...), dateLayout)
		dst = append(dst, "\r\n"...)
	}
	if !add.from.IsZero() {
		dst = append(append(append(dst, "From: "...), add.from.String()...), "\r\n"...)
	}
	if add.id != "" {
		dst = append(append(append(dst, "Message-ID: <"...), add.id...), ">\r\n"...)
	}
	if stray := message.BeforeFields(header); len(stray) > 0 {
		dst = appendFolded(append(dst, lead...), stray)
	}
	for f := range message.Fields(header) {
		switch strings.ToLower(f.Name) {
		case "bcc", "resent-bcc", "return-path", "x-yubin-verdict":
			continue
		case "authentication-results":
			if add.claims != nil && add.claims(f.Value) {
				continue
			}
		}
		dst = appendFolded(dst, f.Raw)
	}
	return append(dst, "\r\n"...)
}

// appendFolded appends the lines of a field, each but the first with space
// before it.
func appendFolded(dst, field []byte) []byte {
	first := true
	for line := range bytes.Lines(field) {
		if !first && line[0] != ' ' && line[0] != '\t' {
			dst = append(dst, ' ')
		}
		dst, first = append(dst, line...), false
	}
	if field[len(field)-1] != '\n' {
		dst = append(dst, "\r\n"...)
	}
	return dst
}
