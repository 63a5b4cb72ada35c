package authres

import (
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Parse reads the value of an Authentication-Results field, folded or not. The error
// is of kind Invalid, or TooLarge over a limit.
//
// Quirk: words of the form name=value that are neither a reason nor a property, as
// in Microsoft's "dmarc=pass action=none", are read over; a value may have octets
// that should stand in quotes, as in Google's "header.b=q/+x=", or be missing; a
// semicolon may stand at the end.
func Parse(value []byte) (Field, error) {
	return parse(value, func(p *parser) { p.payload() })
}

// ParseARC reads the value of an ARC-Authentication-Results field: its instance, 1
// to MaxInstance, and what Parse reads.
func ParseARC(value []byte) (instance int, f Field, err error) {
	f, err = parse(value, func(p *parser) {
		p.cfws()
		p.ExpectFold("i")
		p.cfws()
		p.Expect('=')
		p.cfws()
		if instance = int(p.Number(MaxInstance)); instance == 0 {
			p.Fail("instance from 1")
		}
		p.cfws()
		p.Expect(';')
		p.payload()
	})
	if err != nil {
		return 0, Field{}, err
	}
	return instance, f, nil
}

func parse(value []byte, read func(*parser)) (Field, error) {
	switch {
	case len(value) > MaxValue:
		return Field{}, mail.Errorf(mail.TooLarge, "authentication results are over %d octets", MaxValue)
	case !utf8.Valid(value):
		return Field{}, mail.Errorf(mail.Invalid, "authentication results are not valid UTF-8")
	}
	p := parser{Cursor: *scan.New(value)}
	read(&p)
	if err := p.Err(); err != nil {
		kind := mail.Invalid
		if p.over {
			kind = mail.TooLarge
		}
		return Field{}, mail.Errorf(kind, "authentication results: %w", err)
	}
	return p.f, nil
}

// parser reads the grammar of RFC 8601 §2.2.
type parser struct {
	scan.Cursor
	f    Field
	over bool // the failure is that of a limit
}

func (p *parser) limit(over bool, want string) {
	if over && !p.Failed() {
		p.over = true
		p.Fail(want)
	}
}

func (p *parser) payload() {
	p.cfws()
	p.f.ServID = p.value()
	if p.f.ServID == "" {
		p.Fail("authserv-id")
	}
	p.cfws()
	if scan.IsDigit(p.Peek()) && p.Number(1<<31) != 1 {
		p.Fail("version 1") // Who does not know a version stops here (§2.6).
	}
	p.cfws()
	p.Expect(';')
	for p.cfws(); !p.AtEnd(); p.cfws() {
		p.limit(len(p.f.Results) == MaxResults, "fewer results")
		p.result()
		if p.AtEnd() {
			return
		}
		p.Expect(';')
	}
}

// result reads resinfo behind its semicolon, or no-result.
func (p *parser) result() {
	var r Result
	r.Method = p.keyword()
	p.cfws()
	if r.Method == "none" && len(p.f.Results) == 0 && p.AtEnd() {
		return
	}
	if p.Try('/') {
		p.cfws()
		r.Version = uint32(p.Number(1 << 31))
		p.cfws()
	}
	p.Expect('=')
	p.cfws()
	r.Value = p.keyword()
	n := 0
	for p.cfws(); !p.AtEnd() && p.Peek() != ';'; p.cfws() {
		n++
		p.limit(n > MaxProperties, "fewer properties")
		p.property(&r)
	}
	if !p.Failed() {
		p.f.Results = append(p.f.Results, r)
	}
}

// property reads a propspec or a reasonspec.
func (p *parser) property(r *Result) {
	ptype, name := p.keyword(), ""
	p.cfws()
	if p.Try('.') {
		p.cfws()
		name = p.keyword()
		p.cfws()
	}
	p.Expect('=')
	p.cfws()
	value := p.value()
	switch {
	case name != "" && value != "":
		r.Properties = append(r.Properties, Property{ptype, name, value})
	case name == "" && ptype == "reason":
		r.Reason = value
	}
}

func (p *parser) keyword() string {
	word := p.While1(isKeyword, "keyword")
	p.limit(len(word) > MaxWord, "shorter keyword")
	return strings.ToLower(string(word))
}

// isKeyword is Keyword of RFC 5321 §4.1.2. Quirk: with the underscore, which some
// methods of private use have.
func isKeyword(c byte) bool { return scan.IsAlpha(c) || scan.IsDigit(c) || c == '-' || c == '_' }

// value reads value and pvalue: a quoted string, which may be a local part and go
// on, or whatever stands before a space, a comment or a semicolon.
func (p *parser) value() string {
	var text string
	if p.Peek() == '"' {
		before := p.Rest()
		text = p.quoted()
		if p.Peek() == '@' {
			text = string(before[:len(before)-len(p.Rest())]) + string(p.While(isBare))
		}
	} else {
		text = string(p.While(isBare))
	}
	p.limit(len(text) > MaxWord, "shorter value")
	return text
}

func isBare(c byte) bool { return c > ' ' && c != 0x7f && c != ';' && c != '(' && c != '"' }

// quoted reads a quoted string (RFC 5322 §3.2.4). Line ends in it are none of it.
func (p *parser) quoted() string {
	p.Expect('"')
	var b strings.Builder
	for !p.AtEnd() {
		switch c := p.Next(); {
		case c == '"':
			return b.String()
		case c == '\\':
			b.WriteByte(p.Next())
		case c != '\r' && c != '\n':
			b.WriteByte(c)
		}
	}
	p.Fail("closing quote")
	return ""
}

// cfws reads space and comments.
func (p *parser) cfws() {
	for !p.AtEnd() {
		switch p.Peek() {
		case ' ', '\t', '\r', '\n':
			p.Next()
		case '(':
			p.comment()
		default:
			return
		}
	}
}

func (p *parser) comment() {
	for depth := 0; !p.AtEnd(); {
		switch p.Next() {
		case '\\':
			p.Next()
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return
			}
		}
	}
	p.Fail("closing parenthesis")
}
