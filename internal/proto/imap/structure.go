package imap

import (
	"strconv"

	"yubin/internal/message"
)

// envelope writes env as ENVELOPE shows it (RFC 9051 §7.5.2): header octets as
// the message has them, encoded-words too. Text beyond US-ASCII goes out as
// literals, so it suits both revisions.
func (e *Encoder) envelope(env message.FormEnvelope) {
	e.b = append(e.b, '(')
	e.header(env.Date)
	e.b = append(e.b, ' ')
	e.header(env.Subject)
	if env.Sender.Empty() {
		env.Sender = env.From
	}
	if env.ReplyTo.Empty() {
		env.ReplyTo = env.From
	}
	for _, list := range [...]message.FormAddresses{env.From, env.Sender, env.ReplyTo, env.To, env.Cc, env.Bcc} {
		e.addresses(list)
	}
	e.b = append(e.b, ' ')
	e.header(env.InReplyTo)
	e.b = append(e.b, ' ')
	e.header(env.MessageID)
	e.b = append(e.b, ')')
}

// addresses writes a space and a list.
func (e *Encoder) addresses(list message.FormAddresses) {
	if list.Empty() {
		e.b = append(e.b, " NIL"...)
		return
	}
	e.b = append(e.b, " ("...)
	for a, ok := list.Next(); ok; a, ok = list.Next() {
		e.b = append(e.b, '(')
		e.nstring(a.Name)
		e.b = append(e.b, ' ')
		e.nstring(a.Route)
		e.b = append(e.b, ' ')
		e.header(a.Mailbox)
		e.b = append(e.b, ' ')
		e.header(a.Host)
		e.b = append(e.b, ')')
		e.spill()
	}
	e.b = append(e.b, ')')
}

// body writes p as BODYSTRUCTURE shows it (RFC 9051 §7.5.2), or without extension
// data as BODY does.
//
// Deviation: parameters stand as the sender gave them, but for continuations,
// which are joined (RFC 2231 §6). RFC 9051 would have charsets made UTF-8, which
// loses octets, charset and language; what is extended keeps its name with "*",
// what is not its own.
//
// Deviation: message/global is shown with the envelope and structure of what it
// holds to RFC 3501 clients too, as RFC 9755 §6 allows for UTF8=ACCEPT.
func (e *Encoder) body(p *message.FormPart, extended bool) {
	if p.IsMultipart() {
		e.multipart(p, extended)
		return
	}
	e.b = append(e.b, '(')
	e.text(p.Type)
	e.b = append(e.b, ' ')
	e.text(p.Subtype)
	e.b = append(e.b, ' ')
	e.fields(p)
	if p.IsMessage() {
		e.b = append(e.b, ' ')
		e.envelope(p.Envelope())
		e.b = append(e.b, ' ')
		var child message.FormPart
		p.Parts.Next(&child)
		e.body(&child, extended)
	}
	if p.IsMessage() || string(p.Type.Octets()) == "text" {
		e.b = strconv.AppendInt(append(e.b, ' '), p.Lines, 10)
	}
	if extended {
		e.b = append(e.b, ' ')
		e.nstring(p.MD5)
		e.extension(p)
	}
	e.b = append(e.b, ')')
	e.spill()
}

func (e *Encoder) multipart(p *message.FormPart, extended bool) {
	e.b = append(e.b, '(')
	var child message.FormPart
	for children := p.Parts; children.Next(&child); {
		e.body(&child, extended)
	}
	e.b = append(e.b, ' ')
	e.text(p.Subtype)
	if extended {
		e.b = append(e.b, ' ')
		e.params(p.GivenParams)
		e.extension(p)
	}
	e.b = append(e.b, ')')
	e.spill()
}

// fields writes body-fields. The size is that of the body as it is stored.
func (e *Encoder) fields(p *message.FormPart) {
	e.params(p.GivenParams)
	e.b = append(e.b, ' ')
	e.nstring(p.ID)
	e.b = append(e.b, ' ')
	e.nstring(p.Description)
	if len(p.Encoding.Octets()) == 0 {
		e.b = append(e.b, ` "7bit"`...)
	} else {
		e.b = append(e.b, ' ')
		e.text(p.Encoding)
	}
	e.b = strconv.AppendInt(append(e.b, ' '), p.Size, 10)
}

// extension writes SP body-fld-dsp SP body-fld-lang SP body-fld-loc.
func (e *Encoder) extension(p *message.FormPart) {
	if len(p.Disposition.Octets()) == 0 {
		e.b = append(e.b, " NIL"...)
	} else {
		e.b = append(e.b, " ("...)
		e.text(p.Disposition)
		e.b = append(e.b, ' ')
		e.params(p.GivenDispositionParams)
		e.b = append(e.b, ')')
	}
	e.b = append(e.b, ' ')
	e.languages(p.Languages)
	e.b = append(e.b, ' ')
	e.nstring(p.Location)
}

func (e *Encoder) languages(list message.FormTexts) {
	if list.Empty() {
		e.b = append(e.b, "NIL"...)
		return
	}
	before := byte('(')
	for l, ok := list.Next(); ok; l, ok = list.Next() {
		e.b = append(e.b, before)
		e.text(l)
		before = ' '
	}
	e.b = append(e.b, ')')
}

// params writes body-fld-param.
func (e *Encoder) params(list message.FormParams) {
	if list.Empty() {
		e.b = append(e.b, "NIL"...)
		return
	}
	before := byte('(')
	for name, value, ok := list.Next(); ok; name, value, ok = list.Next() {
		e.b = append(e.b, before)
		e.text(name)
		e.b = append(e.b, ' ')
		e.text(value)
		e.spill()
		before = ' '
	}
	e.b = append(e.b, ')')
}

// header writes a field's value: NIL for one that is not there, which an empty
// one is not.
func (e *Encoder) header(t message.Text) {
	if t.Octets() == nil {
		e.b = append(e.b, "NIL"...)
		return
	}
	e.text(t)
}

// nstring writes t as nstring: NIL if it is empty.
func (e *Encoder) nstring(t message.Text) {
	if len(t.Octets()) == 0 {
		e.b = append(e.b, "NIL"...)
		return
	}
	e.text(t)
}

// text writes t as a string, as AppendString does. What is long is not gathered.
func (e *Encoder) text(t message.Text) {
	b := t.Octets()
	switch {
	case t.Plain() && len(b) <= maxQuoted:
		e.b = append(append(append(e.b, '"'), b...), '"')
	case len(b) <= keepScratch:
		e.b = AppendString(e.b, b)
	default:
		e.b = strconv.AppendInt(append(e.b, '{'), int64(len(b)), 10)
		e.b = append(e.b, "}\r\n"...)
		_, _ = message.WithoutNUL(e).Write(b) // The error sticks.
	}
}
