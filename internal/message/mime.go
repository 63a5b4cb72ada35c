package message

import (
	"bytes"
	"strings"
)

// readFields takes from the header that was kept what the part, and if it is a
// message the envelope, is made of.
func (p *Parser) readFields(f *frame) {
	var env *Envelope
	var refs references
	if f.message {
		env = new(Envelope)
	}
	if p.readHeader(f.part, env, &refs); f.part.Type == "" {
		p.defaultType(f.part)
	}
	if env == nil {
		return
	}
	p.head.kept = nil // the envelope keeps slices of it
	if len(p.stack) == 1 {
		p.msg.Envelope = env
		p.msg.describe(env, &refs, f.part.Param("charset"))
		return
	}
	parent := p.stack[len(p.stack)-2].part
	parent.Envelope = env
	if !p.head.end.fields {
		f.part.Encoding = parent.Encoding // not a header: the message within is encoded, and so is what was read of it
	}
}

func (p *Parser) readHeader(part *Part, env *Envelope, refs *references) {
	var buf [32]byte
	head := p.head.kept
	for {
		raw, colon, rest := cutField(head)
		if raw == nil {
			return
		}
		head = rest
		name, value := lowerName(&buf, raw[:colon]), raw[colon+1:]
		if bytes.HasPrefix(name, []byte("content-")) {
			part.setField(string(name[len("content-"):]), value)
		} else if env != nil {
			p.envelopeField(env, refs, name, value)
			if len(p.stack) == 1 {
				p.msg.Header.count(name, value)
			}
		}
	}
}

// defaultType gives part the type of RFC 2045 §5.2, or in a digest that of
// RFC 2046 §5.1.5.
func (p *Parser) defaultType(part *Part) {
	if n := len(p.stack); n > 1 {
		if parent := p.stack[n-2].part; parent.IsMultipart() && parent.Subtype == "digest" {
			part.Type, part.Subtype = "message", "rfc822"
			return
		}
	}
	part.Type, part.Subtype, part.Params = "text", "plain", usASCII()
}

// setField takes a Content- field. Of repeated ones the first counts. Only a description
// goes on in a stray line.
func (p *Part) setField(name string, value []byte) {
	switch name {
	case "type":
		if p.Type == "" {
			p.setType(unfold(foldedParams(value)))
		}
	case "transfer-encoding":
		if !p.encoded {
			p.Encoding, p.encoded = encodingName(folded(value)), true
		}
	case "disposition":
		if p.Disposition == "" {
			p.setDisposition(unfold(foldedParams(value)))
		}
	case "id":
		setOnce(&p.ID, limited(folded(value)))
	case "description":
		setOnce(&p.Description, limited(value))
	case "md5":
		setOnce(&p.MD5, limited(folded(value)))
	case "location":
		setOnce(&p.Location, strings.Join(strings.Fields(limited(folded(value))), "")) // RFC 2557 §4.4.1
	case "language":
		if p.Languages == nil {
			p.Languages = languages(unfold(folded(value)))
		}
	}
}

func setOnce(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// limited returns a field value as a string of at most MaxValue octets.
func limited(v []byte) string {
	v = unfold(v)
	return string(v[:min(len(v), MaxValue)])
}

// encodingName returns the mechanism that a Content-Transfer-Encoding value
// names, in lower case; "" for 7bit. Quirk: "8 bit" and "7bit;" are seen.
func encodingName(v []byte) string {
	s := newLexer(unfold(v))
	s.skip()
	name := s.token()
	if len(name) > MaxFieldName {
		return ""
	}
	low := lowerString(name)
	if s.skip(); (low == "7" || low == "8") && bytes.EqualFold(s.token(), []byte("bit")) {
		low += "bit"
	}
	if low == "7bit" {
		return ""
	}
	return low
}

// setType reads a Content-Type value (RFC 2045 §5.1). One that is not valid
// leaves p without a type, and so with the default (§5.2).
func (p *Part) setType(v []byte) {
	s := newLexer(v)
	s.skip()
	typ := s.token()
	s.skip()
	if len(typ) == 0 || len(typ) > MaxFieldName || !s.try('/') {
		return
	}
	s.skip()
	sub := s.token()
	if len(sub) == 0 || len(sub) > MaxFieldName {
		return
	}
	p.Type, p.Subtype = lowerString(typ), lowerString(sub)
	p.Params, p.params = s.params()
	p.delimiter = s.boundary
}

// setDisposition reads a Content-Disposition value (RFC 2183). Quirk: some
// have parameters only; then it is an attachment, as RFC 2183 §2.8 has it for
// what is not understood.
func (p *Part) setDisposition(v []byte) {
	s := newLexer(v)
	s.skip()
	at := s.pos
	name := s.token()
	if s.skip(); s.peek() == '=' {
		s.pos, name = at, []byte("attachment")
	}
	if len(name) == 0 || len(name) > MaxFieldName {
		return
	}
	p.Disposition = lowerString(name)
	p.DispositionParams, p.dispositionParams = s.params()
}

// boundary returns the boundary of a multipart, nil if it has none that is
// usable. It never ends in space (RFC 2046 §5.1.1).
func (p *Part) boundary() []byte {
	b := bytes.TrimRight(p.delimiter, " \t")
	if !p.IsMultipart() || len(b) == 0 || len(b) > MaxBoundary {
		return nil
	}
	return bytes.Clone(b)
}

// languages reads Content-Language (RFC 3282): tags between commas.
func languages(v []byte) []string {
	var tags []string
	s := newLexer(v)
	for !s.atEnd() && len(tags) < MaxLanguages {
		s.skip()
		if tag := s.token(); len(tag) > 0 && len(tag) <= MaxFieldName {
			tags = append(tags, string(tag))
		} else if !s.atEnd() {
			s.pos++
		}
	}
	return tags
}
