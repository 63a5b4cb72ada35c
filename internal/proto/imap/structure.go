package imap

import (
	"strconv"

	"yubin/internal/message"
)

// AppendEnvelope appends e as ENVELOPE shows it (RFC 9051 §7.5.2): header
// octets as the message has them, encoded-words too. Text beyond US-ASCII goes
// out as literals, so it suits both revisions. A nil e is an empty header.
func AppendEnvelope(dst []byte, e *message.Envelope) []byte {
	if e == nil {
		e = &message.Envelope{}
	}
	dst = appendHeader(append(dst, '('), e.Date)
	dst = appendHeader(append(dst, ' '), e.Subject)
	for _, list := range [...][]message.MailAddress{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		dst = appendAddresses(append(dst, ' '), list)
	}
	dst = appendHeader(append(dst, ' '), e.InReplyTo)
	dst = appendHeader(append(dst, ' '), e.MessageID)
	return append(dst, ')')
}

// appendHeader appends a field's value: NIL for one that is not there, which
// an empty one is not.
func appendHeader(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, value)
}

func appendAddresses(dst []byte, list []message.MailAddress) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for _, a := range list {
		dst = appendNString(append(dst, '('), a.Name)
		dst = appendNString(append(dst, ' '), a.Route)
		dst = appendHeader(append(dst, ' '), a.Mailbox)
		dst = appendHeader(append(dst, ' '), a.Host)
		dst = append(dst, ')')
	}
	return append(dst, ')')
}

// AppendBodyStructure appends root as BODYSTRUCTURE shows it (RFC 9051 §7.5.2),
// with all extension data.
//
// Deviation: parameters stand as the sender gave them, but for continuations,
// which are joined (RFC 2231 §6). RFC 9051 would have charsets made UTF-8, which
// loses octets, charset and language; what is extended keeps its name with "*",
// what is not its own.
//
// Deviation: message/global is shown with the envelope and structure of what it
// holds to RFC 3501 clients too, as RFC 9755 §6 allows for UTF8=ACCEPT.
func AppendBodyStructure(dst []byte, root *message.Part) []byte { return appendBody(dst, root, true) }

// emptyPart stands in where a multipart or message has nothing in it, since the
// grammar asks for a body.
var emptyPart = message.Part{Type: "text", Subtype: "plain"}

// appendBody appends p, with extension data or without.
func appendBody(dst []byte, p *message.Part, ext bool) []byte {
	if p.Type == "multipart" {
		return appendMultipart(dst, p, ext)
	}
	dst = appendText(append(dst, '('), p.Type)
	dst = appendText(append(dst, ' '), p.Subtype)
	dst = appendFields(append(dst, ' '), p)
	switch {
	case p.Type == "text":
		dst = strconv.AppendInt(append(dst, ' '), p.Lines, 10)
	case p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global"):
		dst = AppendEnvelope(append(dst, ' '), p.Envelope)
		dst = appendBody(append(dst, ' '), childOf(p), ext)
		dst = strconv.AppendInt(append(dst, ' '), p.Lines, 10)
	}
	if ext {
		dst = appendNText(append(dst, ' '), p.MD5)
		dst = appendExtension(dst, p)
	}
	return append(dst, ')')
}

func childOf(p *message.Part) *message.Part {
	if len(p.Children) == 0 {
		return &emptyPart
	}
	return p.Children[0]
}

func appendMultipart(dst []byte, p *message.Part, ext bool) []byte {
	dst = append(dst, '(')
	if len(p.Children) == 0 {
		dst = appendBody(dst, &emptyPart, ext)
	}
	for _, c := range p.Children {
		dst = appendBody(dst, c, ext)
	}
	dst = appendText(append(dst, ' '), p.Subtype)
	if ext {
		dst = appendParams(append(dst, ' '), p.GivenParams())
		dst = appendExtension(dst, p)
	}
	return append(dst, ')')
}

// appendFields appends body-fields. The size is that of the body as it is stored.
func appendFields(dst []byte, p *message.Part) []byte {
	dst = appendParams(dst, p.GivenParams())
	dst = appendNText(append(dst, ' '), p.ID)
	dst = appendNText(append(dst, ' '), p.Description)
	encoding := p.Encoding
	if encoding == "" {
		encoding = "7bit"
	}
	dst = appendText(append(dst, ' '), encoding)
	return strconv.AppendInt(append(dst, ' '), p.End-p.Body, 10)
}

// appendExtension appends SP body-fld-dsp SP body-fld-lang SP body-fld-loc.
func appendExtension(dst []byte, p *message.Part) []byte {
	if p.Disposition == "" {
		dst = append(dst, " NIL"...)
	} else {
		dst = appendText(append(dst, " ("...), p.Disposition)
		dst = appendParams(append(dst, ' '), p.GivenDispositionParams())
		dst = append(dst, ')')
	}
	dst = appendLanguages(append(dst, ' '), p.Languages)
	return appendNText(append(dst, ' '), p.Location)
}

func appendLanguages(dst []byte, languages []string) []byte {
	if len(languages) == 0 {
		return append(dst, "NIL"...)
	}
	for i, l := range languages {
		dst = appendText(append(dst, "( "[b2i(i > 0)]), l)
	}
	return append(dst, ')')
}

// appendParams appends body-fld-param.
func appendParams(dst []byte, params []message.Param) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	for i, p := range params {
		dst = appendText(append(dst, "( "[b2i(i > 0)]), p.Name)
		dst = appendText(append(dst, ' '), p.Value)
	}
	return append(dst, ')')
}

func appendText(dst []byte, s string) []byte { return AppendString(dst, []byte(s)) }

func appendNText(dst []byte, s string) []byte { return appendNString(dst, []byte(s)) }
