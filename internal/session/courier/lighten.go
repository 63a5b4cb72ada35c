package courier

import (
	"io"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// isLacking reports whether a host lacks something for the whole message.
func isLacking(a mail.Answer) bool { return a.Phase == mail.PhaseMail && a.Trouble == mail.Lacking }

// lighten looks, once, whether the message needs what its sender declared:
// many say BODY=8BITMIME or SMTPUTF8 of every message. A content that is all
// ASCII needs neither, one whose headers are needs no SMTPUTF8 (RFC 6531 §3.1),
// and goes out as it is to hosts that do not offer it. It reports whether
// anything changed.
//
// Binary messages stay binary: they may be labelled so inside (RFC 3030 §3).
func (r *run) lighten() bool {
	if r.looked || r.t.Body != mail.Body8BitMIME && !(r.t.UTF8 && r.t.Body == mail.Body7Bit) {
		return false
	}
	r.looked = true
	header, body := survey(r.t.Content)
	changed := header && (r.t.UTF8 || body && r.t.Body != mail.Body7Bit)
	if header {
		r.t.UTF8 = false
		if body {
			r.t.Body = mail.Body7Bit
		}
	}
	return changed
}

// survey says whether the headers of a content, of its parts too, and what is
// between them are ASCII. What cannot be read is not.
func survey(open mail.Opener) (header, body bool) {
	p := message.NewParser()
	if body = all(open, func(b []byte, _ int64) bool {
		_, _ = p.Write(b) // It never fails.
		return true
	}); !body {
		return false, false
	}
	ranges := headers(p.Finish().Root, nil)
	header, body = true, true
	read := all(open, func(b []byte, at int64) bool {
		if i := slices.IndexFunc(b, func(c byte) bool { return c >= 0x80 }); i >= 0 {
			body = false
			header = header && !touches(ranges, b, at)
		}
		return header
	})
	return header && read, body && read
}

// span is a range of octets: from the first, to before the second.
type span struct{ from, to int64 }

// headers collects where the headers of p and of all in it stand.
func headers(p *message.Part, list []span) []span {
	list = append(list, span{p.Offset, p.Body})
	for _, c := range p.Children {
		list = headers(c, list)
	}
	return list
}

// touches reports whether b, which stands at an offset, has an octet beyond
// ASCII in one of the ranges.
func touches(ranges []span, b []byte, at int64) bool {
	for _, r := range ranges {
		from, to := max(r.from-at, 0), min(r.to-at, int64(len(b)))
		if from < to && slices.ContainsFunc(b[from:to], func(c byte) bool { return c >= 0x80 }) {
			return true
		}
	}
	return false
}

// all reads a content in pieces until fn returns false, and reports whether it
// could be read so far.
func all(open mail.Opener, fn func(b []byte, at int64) bool) bool {
	content, err := open()
	if err != nil {
		return false
	}
	defer func() { _ = content.Close() }() // It was only read.
	buf := make([]byte, 32<<10)
	for at := int64(0); ; {
		n, err := content.Read(buf)
		if n > 0 && !fn(buf[:n], at) {
			return true
		}
		if at += int64(n); err != nil {
			return err == io.EOF
		}
	}
}
