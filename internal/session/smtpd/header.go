package smtpd

import (
	"bytes"
	"iter"
	"strings"
	"time"

	"yubin/internal/mail"
)

// keptLine is how much of a header line the scanner looks at.
const keptLine = 400

// headerScanner finds the end of a header in octets that come in pieces, and
// counts what may be a loop. The header ends with an empty line, or before the
// first line that is neither a field nor folded.
type headerScanner struct {
	size      int  // octets of the header so far, with the empty line
	done      bool // the end was found
	blank     bool // there was an empty line
	hops      int  // Received fields
	fields    int
	delivered []string // values of Delivered-To
	id        string   // value of the first Message-ID
	idFollows bool     // on the next line, folded
	partial   []byte   // the start of a line whose end is not there yet
	pending   int      // its length so far
}

// scan looks at the next octets.
func (h *headerScanner) scan(p []byte) {
	for len(p) > 0 && !h.done {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			h.keep(p)
			return
		}
		if h.pending == 0 {
			h.line(p[:min(end, keptLine)], end)
		} else {
			h.keep(p[:end])
			h.endPartial()
		}
		p = p[end:]
	}
}

func (h *headerScanner) keep(p []byte) {
	h.pending += len(p)
	h.partial = append(h.partial, p[:min(len(p), keptLine-len(h.partial))]...)
}

func (h *headerScanner) endPartial() {
	line, length := h.partial, h.pending
	h.partial, h.pending = h.partial[:0], 0
	h.line(line, length)
}

// finish is told that no more comes.
func (h *headerScanner) finish() {
	if h.pending > 0 && !h.done {
		h.endPartial()
	}
	h.done = true
}

// seen is how many octets were looked at.
func (h *headerScanner) seen() int { return h.size + h.pending }

// line takes a whole line, of which the first keptLine octets are given: a name
// that is longer is none.
func (h *headerScanner) line(line []byte, length int) {
	switch colon := fieldColon(line); {
	case isBlank(line):
		h.blank, h.done = true, true
	case isFolded(line) && h.fields > 0:
		h.continued(line)
	case colon < 0:
		h.done = true
		return
	default:
		h.fields++
		h.field(bytes.TrimRight(line[:colon], " \t"), line[colon+1:])
	}
	h.size += length
}

func (h *headerScanner) field(name, value []byte) {
	switch {
	case fieldIs(name, "Received"):
		h.hops++
	case fieldIs(name, "Delivered-To"):
		h.delivered = append(h.delivered, string(bytes.TrimSpace(value)))
	case fieldIs(name, "Message-ID") && h.id == "":
		h.id = clean(value)
		h.idFollows = h.id == ""
		return
	}
	h.idFollows = false
}

// continued takes a folded line. Quirk: some programs fold Message-ID before
// its value.
func (h *headerScanner) continued(line []byte) {
	if h.idFollows {
		h.id, h.idFollows = clean(line), false
	}
}

// clean is what of a value can stand in a log: UTF-8 without control characters.
func clean(value []byte) string {
	text := strings.ToValidUTF8(string(bytes.TrimSpace(value)), "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// fieldColon returns where the colon behind a field name is, or -1 if line is
// no field (RFC 5322 §2.2, with the space of §4.5 before the colon).
func fieldColon(line []byte) int {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return -1
	}
	name := bytes.TrimRight(line[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return -1
		}
	}
	if len(name) == 0 {
		return -1
	}
	return colon
}

func isBlank(line []byte) bool  { return len(bytes.TrimRight(line, "\r\n")) == 0 }
func isFolded(line []byte) bool { return line[0] == ' ' || line[0] == '\t' }

func fieldIs(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// fields yields the name and the whole of each field of a header that
// headerScanner found, folded lines with it.
func fields(header []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, field []byte) bool) {
		for len(header) > 0 {
			colon, end := fieldColon(header), fieldEnd(header)
			if colon < 0 || !yield(bytes.TrimRight(header[:colon], " \t"), header[:end]) {
				return
			}
			header = header[end:]
		}
	}
}

// fieldEnd returns where the field at the start of header ends.
func fieldEnd(header []byte) int {
	end := 0
	for {
		lf := bytes.IndexByte(header[end:], '\n')
		if lf < 0 {
			return len(header)
		}
		end += lf + 1
		if end == len(header) || !isFolded(header[end:]) {
			return end
		}
	}
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
	for name, field := range fields(header) {
		value, lower := field[bytes.IndexByte(field, ':')+1:], strings.ToLower(string(name))
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
		default:
			s.disguised = s.disguised || isDisguised(lower)
		}
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
}

// appendEdited appends header as it is to go on: with what it lacked in front,
// without Bcc (RFC 5322 §3.6.3) and without Return-Path (RFC 5321 §4.4), and
// always with the empty line.
func appendEdited(dst, header []byte, add additions) []byte {
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
	for name, field := range fields(header) {
		if fieldIs(name, "Bcc") || fieldIs(name, "Resent-Bcc") || fieldIs(name, "Return-Path") {
			continue
		}
		dst = append(dst, field...)
		if field[len(field)-1] != '\n' {
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}
