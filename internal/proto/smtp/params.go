package smtp

import (
	"math"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// params is *( SP esmtp-param ), esmtp-param = esmtp-keyword ["=" esmtp-value]
// (RFC 5321 §4.1.2). For RCPT, where no extension here has one, c is nil. As
// each may stand once, their number has a bound.
func (p *parser) params(c *Mail) {
	for p.Try(' ') {
		p.While(isSpace)
		keyword := p.While1(isKeyword, "a parameter")
		var value []byte
		hasValue := p.Try('=')
		if hasValue {
			value = p.While1(isValue, "a value")
		}
		if p.Failed() {
			return
		}
		p.param(c, paramNamed(keyword), hasValue, value)
	}
}

func paramNamed(keyword []byte) Params {
	var c scan.Cursor
	for _, known := range [...]struct {
		name  string
		param Params
	}{{"SIZE", ParamSize}, {"BODY", ParamBody}, {"SMTPUTF8", ParamUTF8}, {"AUTH", ParamAuth}} {
		c.Reset(keyword)
		if c.TryFold(known.name) && c.AtEnd() {
			return known.param
		}
	}
	return 0
}

func (p *parser) param(c *Mail, param Params, hasValue bool, value []byte) {
	switch {
	case c == nil || param == 0:
		p.refuse(Reply{555, Enhanced{5, 5, 4}, "this parameter is not known here"})
		return
	case c.Given&param != 0:
		p.refuse(Reply{501, Enhanced{5, 5, 4}, "a parameter stands twice"})
		return
	}
	c.Given |= param
	ok := true
	switch param {
	case ParamSize:
		c.Size, ok = sizeValue(value)
	case ParamBody:
		c.Body, ok = bodyValue(value)
	case ParamUTF8:
		c.UTF8, ok = true, !hasValue
	case ParamAuth:
		ok = authValue(value)
	}
	if !ok {
		p.refuse(Reply{501, Enhanced{5, 5, 4}, "the value of a parameter is not valid"})
	}
}

// sizeValue is 1*20DIGIT (RFC 1870 §6); beyond 63 bits it is the largest there is.
func sizeValue(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 20 {
		return 0, false
	}
	for _, d := range v {
		if !scan.IsDigit(d) {
			return 0, false
		}
	}
	n, ok := scan.Uint(v)
	if !ok || n > math.MaxInt64 {
		return math.MaxInt64, true
	}
	return int64(n), true
}

// bodyValue is body-value (RFC 6152 §2, RFC 3030 §3).
func bodyValue(v []byte) (mail.Body, bool) {
	var c scan.Cursor
	for body, name := range bodyNames {
		c.Reset(v)
		if c.TryFold(name) && c.AtEnd() {
			return mail.Body(body), true
		}
	}
	return 0, false
}

// authValue is "<>" or a mailbox in xtext (RFC 4954 §5). Who submitted the
// message elsewhere is nothing that we could check, so the value is not kept.
func authValue(v []byte) bool {
	text, ok := ParseXtext(v)
	if !ok || text == "" {
		return false
	}
	if text == "<>" {
		return true
	}
	_, err := mail.ParseAddress(text)
	return err == nil
}

// ParseXtext decodes xtext (RFC 3461 §4). False if b is not xtext.
func ParseXtext(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '+':
			if i+2 >= len(b) {
				return "", false
			}
			hi, lo := hexDigit(b[i+1]), hexDigit(b[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		case c < '!' || c > '~' || c == '=':
			return "", false
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// AppendXtext encodes s as xtext.
func AppendXtext(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '=' || c == '+' {
			dst = append(dst, '+', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// hexDigit takes upper-case digits only, as the RFC says.
func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

func isKeyword(b byte) bool { return scan.IsAlpha(b) || scan.IsDigit(b) || b == '-' }

// isValue is esmtp-value with the UTF-8 of RFC 6531 §3.3. Quirk: AUTH=<> and
// others carry "=" only encoded, so it ends nothing and is refused.
func isValue(b byte) bool { return isGraphic(b) && b != '=' }
