package dsn

import (
	"bytes"
	"io"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// What Reopen looks at.
const (
	// MaxReopen is how many octets of a Message are read at most: text, fields and
	// the header of the original stand in them. Of most it reads firstReopen.
	MaxReopen   = 4 << 20
	firstReopen = 64 << 10
	// MaxSmallHeader is how many octets of the original's header a small form has.
	MaxSmallHeader = 16 << 10
)

// Reopen reads what Message.WriteTo wrote, no more of it than is needed, so that
// New can make the small form of the same report: 7bit, with the header of the
// original as text/rfc822-headers, or the beginning of it (RFC 6522 §3, RFC 6533
// §3, §4.5). It has the same Message-ID and Date, for it takes the place of the
// report. False if it is no report that a Message could be; the error is of
// reading.
func Reopen(octets io.Reader) (r Report, o Options, ok bool, err error) {
	var b []byte
	for size := firstReopen; ; size *= 4 {
		size = min(size, MaxReopen)
		rest := make([]byte, size-len(b))
		n, err := io.ReadFull(octets, rest)
		b = append(b, rest[:n]...)
		end := err == io.EOF || err == io.ErrUnexpectedEOF || size == MaxReopen
		if err != nil && !end {
			return Report{}, Options{}, false, err
		}
		if r, o, enough, ok := reopen(b); enough || end {
			return r, o, ok, nil
		}
	}
}

// reopen is Reopen of the beginning of a message, and whether it is long enough.
func reopen(b []byte) (r Report, o Options, enough, ok bool) {
	m := message.Parse(b)
	parent, status := findStatus(m.Root)
	if status == nil || parent == nil || len(m.Envelope.To) == 0 || len(m.Envelope.From) == 0 {
		return Report{}, Options{}, false, false
	}
	r = readFields(readPart(status, bytes.NewReader(b), MaxStatusPart))
	id, _, _ := strings.Cut(m.MessageID, "@")
	o = Options{Date: m.Date, ID: id, Ret: mail.RetHeaders, SevenBit: true}
	for _, p := range parent.Children {
		switch p.Type + "/" + p.Subtype {
		case "text/plain":
			for _, tag := range p.Languages {
				if l, err := ParseLanguage(tag); err == nil {
					o.Languages = append(o.Languages, l)
				}
			}
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers":
			header := readPart(p, bytes.NewReader(b), MaxSmallHeader)
			enough = len(header) == MaxSmallHeader
			o.Original = bytes.NewReader(beginning(header))
		}
	}
	to, err := mailbox(m.Envelope.To[0])
	if err != nil {
		return r, o, enough, false
	}
	if o.From, err = mailbox(m.Envelope.From[0]); err != nil {
		return r, o, enough, false
	}
	o.To = mail.ReversePath(to)
	return r, o, enough, check(&r, &o) == nil
}

func mailbox(a message.MailAddress) (mail.Address, error) {
	return mail.ParseAddress(string(a.Mailbox) + "@" + string(a.Host))
}

// beginning is b, or if it was cut its whole lines.
func beginning(b []byte) []byte {
	if len(b) < MaxSmallHeader {
		return b
	}
	return b[:bytes.LastIndexByte(b, '\n')+1]
}
