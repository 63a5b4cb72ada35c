package smtp

import (
	"strconv"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// param is a parameter of a command of type C.
type param[C any] struct {
	name string
	bit  Params
	// read takes the value, nil if there is none, and reports whether it is valid.
	read func(c *C, value []byte) bool
	// write appends the value; nil if there never is one.
	write func(dst []byte, c *C) []byte
}

// mailParams are the parameters of MAIL in the order in which they are written.
var mailParams = [...]param[Mail]{
	{"SIZE", ParamSize, readSize, func(dst []byte, c *Mail) []byte { return strconv.AppendInt(dst, c.Size, 10) }},
	{"BODY", ParamBody, readBody, func(dst []byte, c *Mail) []byte { return append(dst, bodyNames[c.Body]...) }},
	{"SMTPUTF8", ParamUTF8, func(c *Mail, v []byte) bool { c.UTF8 = true; return v == nil }, nil},
	{"AUTH", ParamAuth, readAuth, func(dst []byte, _ *Mail) []byte { return append(dst, "<>"...) }},
	{"RET", ParamRet, readRet, func(dst []byte, c *Mail) []byte { return append(dst, c.Ret.String()...) }},
	{"ENVID", ParamEnvID, readEnvID, func(dst []byte, c *Mail) []byte { return mail.AppendXtext(dst, c.EnvID) }},
	{"REQUIRETLS", ParamRequireTLS, func(c *Mail, v []byte) bool { c.RequireTLS = true; return v == nil }, nil},
	{"MT-PRIORITY", ParamPriority, readPriority, func(dst []byte, c *Mail) []byte { return strconv.AppendInt(dst, int64(c.Priority), 10) }},
	{"BY", ParamBy, readBy, func(dst []byte, c *Mail) []byte { return c.By.append(dst) }},
	{"HOLDFOR", ParamHoldFor, readHoldFor, func(dst []byte, c *Mail) []byte { return strconv.AppendInt(dst, c.HoldFor, 10) }},
	{"HOLDUNTIL", ParamHoldUntil, readHoldUntil, func(dst []byte, c *Mail) []byte { return c.HoldUntil.UTC().AppendFormat(dst, holdLayout) }},
}

// rcptParams are the parameters of RCPT.
var rcptParams = [...]param[Rcpt]{
	{"NOTIFY", ParamNotify, readNotify, func(dst []byte, c *Rcpt) []byte { return append(dst, c.Notify.String()...) }},
	{"ORCPT", ParamORCPT, readORCPT, func(dst []byte, c *Rcpt) []byte { return AppendORCPT(dst, c.ORCPT, c.UTF8) }},
}

// params is *( SP esmtp-param ), esmtp-param = esmtp-keyword ["=" esmtp-value]
// (RFC 5321 §4.1.2). As each may stand once, their number has a bound.
func params[C any](p *parser, c *C, given *Params, table []param[C]) {
	for p.Try(' ') {
		p.While(isSpace)
		keyword := p.While1(isKeyword, "a parameter")
		var value []byte
		if p.Try('=') {
			value = p.While1(isValue, "a value")
		}
		if p.Failed() {
			return
		}
		readParam(p, c, given, named(table, keyword), value)
	}
}

// named finds the row of a keyword, or nil.
func named[C any](table []param[C], keyword []byte) *param[C] {
	var c scan.Cursor
	for i := range table {
		c.Reset(keyword)
		if c.TryFold(table[i].name) && c.AtEnd() {
			return &table[i]
		}
	}
	return nil
}

func readParam[C any](p *parser, c *C, given *Params, row *param[C], value []byte) {
	switch {
	case row == nil:
		p.refuse(Reply{555, code(5, 5, 4), "this parameter is not known here"})
		return
	case *given&row.bit != 0 || row.bit&holds != 0 && *given&holds != 0:
		p.refuse(Reply{501, code(5, 5, 4), "a parameter stands twice"})
		return
	}
	*given |= row.bit
	if !row.read(c, value) {
		enhanced := code(5, 5, 4)
		if row.bit == ParamPriority {
			enhanced = code(5, 5, 2) // RFC 6710 §4.1
		}
		p.refuse(Reply{501, enhanced, "the value of " + row.name + " is not valid"})
	}
}

// holds are the two forms of hold-param, of which there may be one (RFC 4865 §4.1).
const holds = ParamHoldFor | ParamHoldUntil

func appendParams[C any](dst []byte, c *C, given Params, table []param[C]) []byte {
	for i := range table {
		row := &table[i]
		if given&row.bit == 0 {
			continue
		}
		dst = append(append(dst, ' '), row.name...)
		if row.write != nil {
			dst = row.write(append(dst, '='), c)
		}
	}
	return dst
}

func isKeyword(b byte) bool { return scan.IsAlpha(b) || scan.IsDigit(b) || b == '-' }

// isValue is esmtp-value with the UTF-8 of RFC 6531 §3.3. Quirk: AUTH=<> and
// others carry "=" only encoded, so it ends nothing and is refused.
func isValue(b byte) bool { return isGraphic(b) && b != '=' }
