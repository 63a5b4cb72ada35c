package imap

import (
	"bytes"
	"strconv"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// DecodeEnvelope reads what AppendEnvelope wrote; octets are slices of raw where
// they can be, and lists that are the same may be one. Text of AppendEnvelope always decodes; any other may be Invalid.
func DecodeEnvelope(raw []byte) (*message.Envelope, error) {
	d := envelopeDecoder{b: raw}
	var e message.Envelope
	d.expect('(')
	e.Date = d.nstring()
	e.Subject = d.next()
	d.expect(' ')
	from := d.b
	e.From = d.addresses()
	from = from[:len(from)-len(d.b)]
	for _, list := range [...]*[]message.MailAddress{&e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc} {
		d.expect(' ')
		if !d.failed && bytes.HasPrefix(d.b, from) { // Nearly always so of Sender and Reply-To.
			*list, d.b = e.From, d.b[len(from):]
			continue
		}
		*list = d.addresses()
	}
	e.InReplyTo, e.MessageID = d.next(), d.next()
	d.expect(')')
	if d.failed || len(d.b) > 0 {
		return nil, mail.Errorf(mail.Invalid, "that is not an envelope")
	}
	return &e, nil
}

// envelopeDecoder is a cursor over an envelope. Once it failed, it stays where
// it is.
type envelopeDecoder struct {
	b      []byte
	failed bool
}

func (d *envelopeDecoder) expect(c byte) {
	if len(d.b) == 0 || d.b[0] != c {
		d.failed, d.b = true, nil
		return
	}
	d.b = d.b[1:]
}

func (d *envelopeDecoder) nil() bool {
	if !bytes.HasPrefix(d.b, []byte("NIL")) {
		return false
	}
	d.b = d.b[3:]
	return true
}

// next is a space and an nstring.
func (d *envelopeDecoder) next() []byte {
	d.expect(' ')
	return d.nstring()
}

func (d *envelopeDecoder) nstring() []byte {
	switch {
	case d.nil():
		return nil
	case len(d.b) > 0 && d.b[0] == '{':
		return d.literal()
	}
	return d.quoted()
}

func (d *envelopeDecoder) quoted() []byte {
	d.expect('"')
	end := 0
	for end < len(d.b) && d.b[end] != '"' && d.b[end] != '\\' {
		end++
	}
	if end < len(d.b) && d.b[end] == '\\' {
		return d.escaped()
	}
	s := d.b[:end:end]
	d.b = d.b[end:]
	d.expect('"')
	return s
}

// escaped is the rest of a quoted string with backslashes in it.
func (d *envelopeDecoder) escaped() []byte {
	var s []byte
	for len(d.b) > 0 && d.b[0] != '"' {
		if d.b[0] == '\\' && len(d.b) > 1 {
			d.b = d.b[1:]
		}
		s = append(s, d.b[0])
		d.b = d.b[1:]
	}
	d.expect('"')
	return s
}

func (d *envelopeDecoder) literal() []byte {
	end := bytes.Index(d.b, []byte("}\r\n"))
	if end < 0 {
		d.expect(0)
		return nil
	}
	n, err := strconv.Atoi(string(d.b[1:end]))
	d.b = d.b[end+3:]
	if err != nil || n < 0 || n > len(d.b) {
		d.failed, d.b = true, nil
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

func (d *envelopeDecoder) addresses() []message.MailAddress {
	if d.nil() {
		return nil
	}
	d.expect('(')
	var list []message.MailAddress
	for len(d.b) > 0 && d.b[0] == '(' {
		d.expect('(')
		a := message.MailAddress{Name: d.nstring(), Route: d.next(), Mailbox: d.next(), Host: d.next()}
		d.expect(')')
		switch {
		case a.Host == nil && a.Mailbox != nil:
			a.Group = message.GroupStart
		case a.Host == nil:
			a.Group = message.GroupEnd
		}
		list = append(list, a)
	}
	d.expect(')')
	return list
}
