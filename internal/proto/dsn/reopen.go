package dsn

import (
	"bytes"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// What Reopen looks at.
const (
	// MaxReopen is how many octets of a Message are enough for Reopen: text, fields
	// and the header of the original stand in them.
	MaxReopen = 4 << 20
	// MaxSmallHeader is how many octets of the original's header a small form has.
	MaxSmallHeader = 16 << 10
)

// Reopen reads what Message.WriteTo wrote, or the beginning of it, so that New
// can make the small form of the same report: 7bit, with the header of the
// original as text/rfc822-headers, or the beginning of it (RFC 6522 §3, RFC 6533
// §3, §4.5). It has the same Message-ID and Date, for it takes the place of the
// report. False if b is no report that a Message could be.
func Reopen(b []byte) (Report, Options, bool) {
	m := message.Parse(b)
	parent, status := findStatus(m.Root)
	if status == nil || parent == nil || len(m.Envelope.To) == 0 || len(m.Envelope.From) == 0 {
		return Report{}, Options{}, false
	}
	r := readFields(readPart(status, bytes.NewReader(b), MaxStatusPart))
	id, _, _ := strings.Cut(m.MessageID, "@")
	o := Options{Date: m.Date, ID: id, Ret: mail.RetHeaders, SevenBit: true}
	to, err := mailbox(m.Envelope.To[0])
	if err != nil {
		return r, o, false
	}
	if o.From, err = mailbox(m.Envelope.From[0]); err != nil {
		return r, o, false
	}
	o.To = mail.ReversePath(to)
	for _, p := range parent.Children {
		switch p.Type + "/" + p.Subtype {
		case "text/plain":
			for _, tag := range p.Languages {
				if l, err := ParseLanguage(tag); err == nil {
					o.Languages = append(o.Languages, l)
				}
			}
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers":
			o.Original = bytes.NewReader(beginning(readPart(p, bytes.NewReader(b), MaxSmallHeader)))
		}
	}
	return r, o, check(&r, &o) == nil
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
