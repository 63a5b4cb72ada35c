package imap

import (
	"strconv"

	"yubin/internal/message"
)

// What is here takes the responses that are gathered, appends to them, and
// returns them; where they may have become long they are spilled.

// envelope appends env as ENVELOPE shows it (RFC 9051 §7.5.2): header octets as
// the message has them, encoded-words too. Text beyond US-ASCII goes out as
// literals, so it suits both revisions.
func (e *Encoder) envelope(b []byte, env message.FormEnvelope) []byte {
	b = e.header(append(b, '('), env.Date)
	b = e.header(append(b, ' '), env.Subject)
	start, written := len(b), e.written
	b = e.addresses(b, env.From)
	end := len(b)
	for _, list := range [...]message.FormAddresses{env.Sender, env.ReplyTo} {
		switch {
		case !list.Empty():
			b = e.addresses(b, list)
		case written == e.written: // From stands for it, and is still there.
			b = append(b, b[start:end]...)
		default:
			b = e.addresses(b, env.From)
		}
	}
	b = e.addresses(b, env.To)
	b = e.addresses(b, env.Cc)
	b = e.addresses(b, env.Bcc)
	b = e.header(append(b, ' '), env.InReplyTo)
	b = e.header(append(b, ' '), env.MessageID)
	return e.spilled(append(b, ')'))
}

// addresses appends a space and a list.
func (e *Encoder) addresses(b []byte, list message.FormAddresses) []byte {
	if list.Empty() {
		return append(b, " NIL"...)
	}
	b = append(b, " ("...)
	for a, ok := list.Next(); ok; a, ok = list.Next() {
		b = e.nstring(append(b, '('), a.Name)
		b = e.nstring(append(b, ' '), a.Route)
		b = e.header(append(b, ' '), a.Mailbox)
		b = e.header(append(b, ' '), a.Host)
		b = e.spilled(append(b, ')'))
	}
	return append(b, ')')
}

// body appends p as BODYSTRUCTURE shows it (RFC 9051 §7.5.2), or without extension
// data as BODY does.
//
// Deviation: parameters stand as the sender gave them, but for continuations,
// which are joined (RFC 2231 §6). RFC 9051 would have charsets made UTF-8, which
// loses octets, charset and language; what is extended keeps its name with "*",
// what is not its own.
//
// Deviation: message/global is shown with the envelope and structure of what it
// holds to RFC 3501 clients too, as RFC 9755 §6 allows for UTF8=ACCEPT.
func (e *Encoder) body(b []byte, p *message.FormPart, extended bool) []byte {
	if p.IsMultipart() {
		return e.multipart(b, p, extended)
	}
	kind := p.Type()
	b = e.text(append(b, '('), kind)
	b = e.text(append(b, ' '), p.Subtype())
	b = e.fields(append(b, ' '), p)
	lines := string(kind.Octets()) == "text"
	if p.IsMessage() {
		b = e.envelope(append(b, ' '), p.Envelope())
		b = append(b, ' ')
		var child message.FormPart
		for children := p.Parts(); children.Next(&child); {
			b = e.body(b, &child, extended)
		}
		lines = true
	}
	if lines {
		b = strconv.AppendInt(append(b, ' '), p.Lines, 10)
	}
	switch {
	case extended && p.IsPlain():
		b = append(b, " NIL NIL NIL NIL"...)
	case extended:
		b = e.nstring(append(b, ' '), p.MD5())
		b = e.extension(b, p)
	}
	return e.spilled(append(b, ')'))
}

func (e *Encoder) multipart(b []byte, p *message.FormPart, extended bool) []byte {
	b = append(b, '(')
	var child message.FormPart
	for children := p.Parts(); children.Next(&child); {
		b = e.body(b, &child, extended)
	}
	b = e.text(append(b, ' '), p.Subtype())
	if extended {
		b = e.params(append(b, ' '), p.GivenParams())
		if p.IsPlain() {
			b = append(b, " NIL NIL NIL"...)
		} else {
			b = e.extension(b, p)
		}
	}
	return e.spilled(append(b, ')'))
}

// fields appends body-fields. The size is that of the body as it is stored.
func (e *Encoder) fields(b []byte, p *message.FormPart) []byte {
	b = e.params(b, p.GivenParams())
	if p.IsPlain() {
		b = append(b, " NIL NIL"...)
	} else {
		b = e.nstring(append(b, ' '), p.ID())
		b = e.nstring(append(b, ' '), p.Description())
	}
	if encoding := p.Encoding(); len(encoding.Octets()) == 0 {
		b = append(b, ` "7bit" `...)
	} else {
		b = append(e.text(append(b, ' '), encoding), ' ')
	}
	return strconv.AppendInt(b, p.Size, 10)
}

// extension appends SP body-fld-dsp SP body-fld-lang SP body-fld-loc.
func (e *Encoder) extension(b []byte, p *message.FormPart) []byte {
	if disposition := p.Disposition(); len(disposition.Octets()) == 0 {
		b = append(b, " NIL "...)
	} else {
		b = e.text(append(b, " ("...), disposition)
		b = e.params(append(b, ' '), p.GivenDispositionParams())
		b = append(b, ") "...)
	}
	b = e.languages(b, p.Languages())
	return e.nstring(append(b, ' '), p.Location())
}

func (e *Encoder) languages(b []byte, list message.FormTexts) []byte {
	if list.Empty() {
		return append(b, "NIL"...)
	}
	before := byte('(')
	for l, ok := list.Next(); ok; l, ok = list.Next() {
		b = e.text(append(b, before), l)
		before = ' '
	}
	return append(b, ')')
}

// params appends body-fld-param.
func (e *Encoder) params(b []byte, list message.FormParams) []byte {
	if list.Empty() {
		return append(b, "NIL"...)
	}
	before := byte('(')
	for name, value, ok := list.Next(); ok; name, value, ok = list.Next() {
		b = e.text(append(b, before), name)
		b = e.spilled(e.text(append(b, ' '), value))
		before = ' '
	}
	return append(b, ')')
}

// header appends a field's value: NIL for one that is not there, which an empty
// one is not.
func (e *Encoder) header(b []byte, t message.Text) []byte {
	if t.Octets() == nil {
		return append(b, "NIL"...)
	}
	return e.text(b, t)
}

// nstring appends t as nstring: NIL if it is empty.
func (e *Encoder) nstring(b []byte, t message.Text) []byte {
	if len(t.Octets()) == 0 {
		return append(b, "NIL"...)
	}
	return e.text(b, t)
}

// text appends t as a string, as AppendString does. What is long is not gathered.
func (e *Encoder) text(b []byte, t message.Text) []byte {
	octets := t.Octets()
	switch {
	case t.Plain() && len(octets) <= maxQuoted:
		return append(append(append(b, '"'), octets...), '"')
	case len(octets) <= keepScratch:
		return AppendString(b, octets)
	}
	b = strconv.AppendInt(append(b, '{'), int64(len(octets)), 10)
	e.b = append(b, "}\r\n"...)
	_, _ = message.WithoutNUL(e).Write(octets) // The error sticks.
	return e.b
}

// spilled is what is left of b, all that was gathered, after spill.
func (e *Encoder) spilled(b []byte) []byte {
	if len(b) < max(e.gather-keepScratch, keepScratch) {
		return b
	}
	e.b = b
	e.flush()
	return e.b
}
