package message

import (
	"bytes"
	"slices"
	"strings"
)

// envelopeField takes a field of a message's header. Address lists of repeated
// fields are joined (RFC 7103 §7.5.1); of the others the first counts.
func (p *Parser) envelopeField(env *Envelope, refs *references, name, value []byte) {
	switch string(name) {
	case "date":
		p.unfoldOnce(&env.Date, folded(value))
	case "subject":
		p.unfoldOnce(&env.Subject, value)
	case "message-id":
		p.unfoldOnce(&env.MessageID, folded(value))
	case "in-reply-to":
		p.unfoldOnce(&env.InReplyTo, value)
	case "references":
		refs.field = append(append(refs.field, ' '), value...)
	case "from":
		p.addressField(&env.From, value)
	case "sender":
		p.addressField(&env.Sender, value)
	case "reply-to":
		p.addressField(&env.ReplyTo, value)
	case "to":
		p.addressField(&env.To, value)
	case "cc":
		p.addressField(&env.Cc, value)
	case "bcc":
		p.addressField(&env.Bcc, value)
	}
}

// folded cuts a value before the first stray line: there is none in it that would
// make sense of a date or an id.
func folded(value []byte) []byte {
	for n := lineLen(value); n < len(value); n += lineLen(value[n:]) {
		if !isWSP(value[n]) {
			return value[:n]
		}
	}
	return value
}

// foldedParams is folded for a value with parameters, but a stray line behind a semicolon
// goes on with them: who wrote it forgot to fold.
func foldedParams(value []byte) []byte {
	for n := lineLen(value); n < len(value); n += lineLen(value[n:]) {
		if !isWSP(value[n]) && !bytes.HasSuffix(bytes.TrimRight(value[:n], " \t\r\n"), []byte(";")) {
			return value[:n]
		}
	}
	return value
}

// unfoldOnce takes the first of a field, and notes if there are more.
func (p *Parser) unfoldOnce(dst *[]byte, value []byte) {
	if *dst == nil {
		*dst = unfold(value)
	} else if len(p.stack) == 1 {
		p.msg.Repeats = true
	}
}

func (p *Parser) addressField(list *[]MailAddress, value []byte) {
	n := len(*list)
	*list = appendAddresses(*list, unfold(value), MaxAddresses-p.addresses)
	p.addresses += len(*list) - n
}

// describe fills what Message says beyond the envelope. Raw octets in the
// subject are taken to be of charset, that of the body.
func (m *Message) describe(env *Envelope, refs *references, charset string) {
	const enough = 4 * MaxSubject
	m.Subject = cut(decodeText(env.Subject[:min(len(env.Subject), enough)], charset), MaxSubject)
	m.Date, _ = ParseDate(string(env.Date[:min(len(env.Date), maxDate)]))
	m.MessageID = ownID(env.MessageID)
	m.Refs = refs.collect(m.MessageID, env.InReplyTo)
}

// references are the message-ids that tie a message to others (RFC 5322 §3.6.4).
type references struct{ field []byte }

// maxReplyTo is how many ids of In-Reply-To count; there is hardly ever more than one.
const maxReplyTo = 4

func (r *references) collect(own string, inReplyTo []byte) []string {
	var ids []string
	add := func(id string) {
		if id != "" && len(id) <= MaxMessageID && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	add(own)
	for _, id := range lastIDs(inReplyTo, maxReplyTo, nil) {
		add(id)
	}
	for _, id := range lastIDs(r.field, MaxRefs-len(ids), ids) {
		add(id)
	}
	return ids
}

// ownID returns the id of a Message-ID value. Quirk: some have no brackets.
func ownID(v []byte) string {
	if ids := lastIDs(v, 1, nil); len(ids) > 0 {
		return ids[0]
	}
	if bytes.ContainsAny(v, " \t<>") {
		return ""
	}
	return normalID(v)
}

// lastIDs returns the last n message-ids of a value but those in known, in its
// order, normalized: without brackets, space and needless quotes.
func lastIDs(v []byte, n int, known []string) []string {
	var ids []string
	for len(ids) < n {
		end := bytes.LastIndexByte(v, '>')
		if end < 0 {
			break
		}
		start := bytes.LastIndexByte(v[:end], '<')
		if start < 0 {
			break
		}
		if id := normalID(v[start+1 : end]); id != "" && !slices.Contains(known, id) {
			ids = append(ids, id)
		}
		v = v[:start]
	}
	slices.Reverse(ids)
	return ids
}

// normalID makes equal ids equal: id-left may be quoted (RFC 5322 §3.6.4), and
// obsolete syntax allows space and comments.
func normalID(b []byte) string {
	if len(b) > MaxMessageID {
		return ""
	}
	b = unfoldInner(b)
	if bytes.IndexByte(b, '(') >= 0 {
		b, _ = cutComments(b)
	}
	return clean(strings.ToValidUTF8(string(localPart(b)), "\ufffd"))
}
