package imap

import (
	"encoding/base64"
	"strings"

	"yubin/internal/scan"
)

// login = "LOGIN" SP userid SP password. Quirk: passwords beyond US-ASCII come
// as UTF-8, though nothing can be enabled yet (Horde, imap_tools).
func (p *parser) login() any {
	p.eight = true
	p.sp()
	user := p.astring()
	p.sp()
	return &Login{User: string(user), Password: string(p.astring())}
}

// authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] (RFC 4959 §7). Quirk:
// some clients put two spaces, or one behind a mechanism without a response.
func (p *parser) authenticate() any {
	p.sp()
	p.While(isSpace)
	a := &Authenticate{Mechanism: strings.ToUpper(p.atom("mechanism"))}
	if spaces := p.While(isSpace); len(spaces) == 0 || p.AtEnd() {
		return a
	}
	if p.Try('=') {
		a.Initial = []byte{}
		return a
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(p.While1(isBase64, "base64")))
	if err != nil {
		p.Fail("base64")
	}
	a.Initial = b
	return a
}

func isBase64(b byte) bool {
	return scan.IsAlpha(b) || scan.IsDigit(b) || b == '+' || b == '/' || b == '='
}

// enable = "ENABLE" 1*(SP capability).
func (p *parser) enable() any {
	e := &Enable{}
	p.sp()
	p.items(MaxOptions, func() { e.Capabilities = append(e.Capabilities, strings.ToUpper(p.atom("capability"))) })
	return e
}

// id = "ID" SP (nil / "(" [string SP nstring *(SP string SP nstring)] ")")
// (RFC 2971 §4). Names are lower-cased, as they are compared without case; a
// NIL value is "".
func (p *parser) id() any {
	p.sp()
	if p.TryFold("NIL") {
		return &IDParams{}
	}
	id := &IDParams{Fields: map[string]string{}}
	p.optList(MaxIDFields, func() {
		name := strings.ToLower(string(p.str()))
		p.sp()
		value, _ := p.nstring()
		id.Fields[name] = string(value)
	})
	return id
}

func (p *parser) selectMailbox() any {
	p.sp()
	return &Select{Mailbox: p.mailbox()}
}

func (p *parser) examine() any {
	p.sp()
	return &Select{Mailbox: p.mailbox(), ReadOnly: true}
}

// create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]
// (RFC 4466 §2.3, RFC 6154 §6).
func (p *parser) create() any {
	p.sp()
	c := &Create{Mailbox: p.mailbox()}
	if !p.TryFold(" (USE ") {
		return c
	}
	p.optList(MaxOptions, func() {
		p.Expect('\\')
		c.Use = append(c.Use, `\`+p.atom("special-use attribute"))
	})
	p.Expect(')')
	return c
}

func (p *parser) deleteMailbox() any {
	p.sp()
	return &Delete{Mailbox: p.mailbox()}
}

func (p *parser) rename() any {
	p.sp()
	from := p.mailbox()
	p.sp()
	return &Rename{From: from, To: p.mailbox()}
}

func (p *parser) subscribe() any {
	p.sp()
	return &Subscribe{Mailbox: p.mailbox(), On: true}
}

func (p *parser) unsubscribe() any {
	p.sp()
	return &Subscribe{Mailbox: p.mailbox()}
}

// status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")".
func (p *parser) status() any {
	p.sp()
	s := &Status{Mailbox: p.mailbox()}
	p.sp()
	s.Items = p.statusItems()
	return s
}

func (p *parser) statusItems() []StatusItem {
	var items []StatusItem
	p.list(MaxOptions, func() { items = append(items, p.statusAtt()) })
	return items
}

func (p *parser) statusAtt() StatusItem {
	switch i := StatusItem(p.upper(isWordChar)); i {
	case StatusMessages, StatusRecent, StatusUIDNext, StatusUIDValidity, StatusUnseen, StatusDeleted, StatusSize:
		return i
	}
	p.Fail("status item")
	return ""
}

// appendCommand = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP
// (literal / literal8 / "UTF8" SP "(" literal8 ")"), up to and with the
// announcement of the literal (RFC 9051 §6.3.12, RFC 4466 §3, RFC 6855 §4).
func (p *parser) appendCommand() any {
	p.sp()
	a := &Append{Mailbox: p.mailbox()}
	p.sp()
	if p.Peek() == '(' {
		a.Flags = p.flagList()
		p.sp()
	}
	if p.Peek() == '"' {
		a.Date = p.dateTime()
		p.sp()
	}
	a.UTF8 = p.TryFold("UTF8 (")
	a.Literal = p.announcement()
	if a.UTF8 && !a.Literal.Binary {
		p.Fail("literal8")
	}
	return a
}

// announcement reads a literal without its octets.
func (p *parser) announcement() Literal {
	l := Literal{Binary: p.Try('~')}
	if p.Peek() != '{' {
		p.Fail("literal")
		return l
	}
	p.Next()
	l.Size = p.number64()
	l.NonSync = p.Try('+')
	p.Expect('}')
	p.End()
	return l
}

// copyCommand = "COPY" SP sequence-set SP mailbox; MOVE is the same (RFC 6851 §5).
func (p *parser) copyCommand() any {
	p.sp()
	set := p.sequenceSet()
	p.sp()
	return &Copy{Set: set, Mailbox: p.mailbox()}
}

func (p *parser) move() any {
	c := p.copyCommand().(*Copy)
	c.Move = true
	return c
}

func (p *parser) uidExpunge() any {
	p.sp()
	return &Expunge{Set: p.sequenceSet()}
}

// store = "STORE" SP sequence-set SP (["+" / "-"] "FLAGS" [".SILENT"]) SP
// (flag-list / (flag *(SP flag))).
func (p *parser) store() any {
	p.sp()
	s := &Store{Set: p.sequenceSet()}
	p.sp()
	switch {
	case p.Try('+'):
		s.Mode = StoreAdd
	case p.Try('-'):
		s.Mode = StoreRemove
	}
	p.ExpectFold("FLAGS")
	s.Silent = p.TryFold(".SILENT")
	p.sp()
	if p.Peek() == '(' {
		s.Flags = p.flagList()
	} else {
		p.items(MaxFlags, func() { p.flag(&s.Flags) })
	}
	return s
}
