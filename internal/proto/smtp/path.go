package smtp

import (
	"bytes"
	"errors"

	"yubin/internal/mail"
)

// reversePath is Path / "<>" (RFC 5321 §4.1.2).
func (p *parser) reversePath() (path mail.ReversePath, nonASCII bool) {
	if p.Peek() == '<' && bytes.HasPrefix(p.Rest(), []byte("<>")) {
		p.Skip(2)
		return mail.ReversePath{}, false
	}
	a, nonASCII := p.path(code(5, 1, 7))
	return mail.ReversePath(a), nonASCII
}

// forwardPath is Path.
func (p *parser) forwardPath() (mail.Address, bool) { return p.path(code(5, 1, 3)) }

// path is "<" [ A-d-l ":" ] Mailbox ">". A failure gets a 501 with the code.
func (p *parser) path(code Enhanced) (a mail.Address, nonASCII bool) {
	start := p.Rest()
	if !p.Try('<') {
		p.refuse(Reply{501, code, "an address must stand in angle brackets"})
		return a, false
	}
	if p.Peek() == '@' && !p.sourceRoute() {
		p.refuse(Reply{501, code, "the source route is not valid"})
		return a, false
	}
	a = p.mailbox(code)
	used := len(start) - len(p.Rest())
	return a, !p.Failed() && !isASCII(start[:used])
}

// sourceRoute reads At-domain *( "," At-domain ) ":", which is accepted and
// ignored (RFC 5321 §3.3, appendix C).
func (p *parser) sourceRoute() bool {
	for p.Try('@') {
		d := p.While(func(b byte) bool { return isGraphic(b) && b != ',' && b != '>' && b != ':' && b != '[' })
		if _, err := mail.ParseDomain(string(d)); err != nil && !p.routeLiteral(d) {
			return false
		}
		if p.Try(',') {
			continue
		}
		return p.Try(':')
	}
	return false
}

// routeLiteral reads an address literal, which may have colons.
func (p *parser) routeLiteral(before []byte) bool {
	if len(before) > 0 || p.Peek() != '[' {
		return false
	}
	lit := p.While(func(b byte) bool { return isGraphic(b) && b != ']' })
	_, err := mail.ParseDomain(string(lit) + "]")
	return p.Try(']') && err == nil
}

// mailbox is Mailbox and the ">" behind it.
func (p *parser) mailbox(code Enhanced) mail.Address {
	rest := p.Rest()
	if end := bytes.IndexByte(rest, '>'); end >= 0 && rest[0] != '"' {
		rest = rest[:end]
	}
	text := string(rest)
	a, after, err := mail.CutAddress(text)
	if err != nil {
		p.refuse(Reply{501, code, addressText(err)})
		return mail.Address{}
	}
	p.Skip(len(text) - len(after))
	if !p.Try('>') {
		p.refuse(Reply{501, code, "there is no > behind the address"})
	}
	return a
}

func addressText(err error) string {
	var e *mail.Error
	if errors.As(err, &e) {
		return e.Text
	}
	return "the address is not valid"
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
