package smtp

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"yubin/internal/scan"
)

// Error is a command that cannot be parsed, as the reply to send.
type Error struct{ Reply Reply }

func (e *Error) Error() string { return e.Reply.Text }

// parser reads one command line. Its methods are named as in the grammar of
// RFC 5321 §4.1.
type parser struct {
	scan.Cursor
	reply Reply // for the first failure that has one of its own; otherwise Code is 0
}

// Parse reads a command line without its CRLF. The verb is right even when the
// error, always an *Error, is not nil.
//
// Quirk: white space at the end of a line and after "FROM:" and "TO:" is
// passed over (RFC 5321 §4.1.1 asks for the first; many clients need the second).
func Parse(line []byte) (Command, Verb, error) {
	word := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word = line[:i]
	}
	verb := ParseVerb(word)
	if verb == Unknown {
		return nil, Unknown, &Error{Reply{500, code(5, 5, 2), "this command is not known here"}}
	}
	var p parser
	p.Reset(bytes.TrimRight(line, " \t"))
	p.Skip(len(verb.String()))
	cmd := p.arguments(verb)
	p.End()
	if err := p.Err(); err != nil {
		return nil, verb, &Error{p.refusal(err)}
	}
	return cmd, verb, nil
}

// refusal is the reply to what could not be parsed.
func (p *parser) refusal(err error) Reply {
	if p.reply.Code != 0 {
		return p.reply
	}
	var at *scan.Error
	if errors.As(err, &at) {
		return Reply{501, code(5, 5, 4), at.Error()}
	}
	return Reply{501, code(5, 5, 4), "arguments are not valid"}
}

// refuse makes the parse fail with a reply of its own.
func (p *parser) refuse(r Reply) {
	if !p.Failed() {
		p.reply = r
		p.Fail("something else")
	}
}

func (p *parser) arguments(verb Verb) Command {
	switch verb {
	case EHLO, HELO, LHLO:
		return Hello{Greeting: verb, Name: p.helloName()}
	case MAIL:
		return p.mail()
	case RCPT:
		return p.rcpt()
	case BDAT:
		return p.bdat()
	case VRFY:
		return Vrfy{p.text()}
	case EXPN:
		return Expn{p.text()}
	case HELP:
		return Help{p.optionalText()}
	case NOOP:
		p.optionalText()
		return Noop{}
	case AUTH:
		return p.auth()
	}
	return p.bare(verb)
}

// bare are the commands without arguments.
func (p *parser) bare(verb Verb) Command {
	switch verb {
	case DATA:
		return Data{}
	case RSET:
		return Rset{}
	case QUIT:
		return Quit{}
	}
	return StartTLS{}
}

// helloName is Domain / address-literal (RFC 5321 §4.1.1.1), or anything that
// one line of a Received field can hold. Quirk: mail programs announce names
// of every kind; what follows a space is dropped.
func (p *parser) helloName() string {
	p.Expect(' ')
	p.While(isSpace)
	name := p.While1(isGraphic, "a host name")
	if len(name) > MaxHello || !utf8.Valid(name) {
		p.Fail("a host name of at most 255 octets")
	}
	if p.Peek() == ' ' {
		p.Skip(len(p.Rest()))
	}
	return string(name)
}

// mail is "MAIL FROM:" Reverse-path [SP Mail-parameters].
func (p *parser) mail() Command {
	p.ExpectFold(" FROM:")
	p.While(isSpace)
	var c Mail
	c.ReversePath, c.NonASCII = p.reversePath()
	if p.Peek() == ' ' {
		return p.mailParams(c)
	}
	return c
}

func (p *parser) mailParams(c Mail) Mail {
	params(p, &c, &c.Given, mailParams[:])
	return c
}

// rcpt is "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters].
func (p *parser) rcpt() Command {
	p.ExpectFold(" TO:")
	p.While(isSpace)
	var c Rcpt
	if c.Postmaster = p.TryFold("<Postmaster>"); !c.Postmaster {
		c.ForwardPath, c.NonASCII = p.forwardPath()
	}
	if p.Peek() == ' ' {
		return p.rcptParams(c)
	}
	return c
}

func (p *parser) rcptParams(c Rcpt) Rcpt {
	params(p, &c, &c.Given, rcptParams[:])
	return c
}

// maxChunk is far beyond what any server takes and leaves room for sums.
const maxChunk = 1 << 62

// bdat is "BDAT" SP chunk-size [ SP "LAST" ] (RFC 3030 §2).
func (p *parser) bdat() Command {
	p.Expect(' ')
	c := Bdat{Size: int64(p.Number(maxChunk))}
	c.Last = p.TryFold(" LAST")
	return c
}

// auth is "AUTH" SP sasl-mech [SP initial-response] (RFC 4954 §8). Quirk: some
// clients put two spaces, or one behind a mechanism without a response.
func (p *parser) auth() Command {
	p.Expect(' ')
	p.While(isSpace)
	mech := p.While1(isMechanism, "a mechanism")
	if len(mech) > MaxMechanism {
		p.Fail("a shorter mechanism")
	}
	c := Auth{Mechanism: strings.ToUpper(string(mech))}
	if spaces := p.While(isSpace); len(spaces) > 0 && !p.AtEnd() {
		c.Initial = p.While1(isGraphic, "an initial response")
	}
	return c
}

// text is a String argument, which may have spaces.
func (p *parser) text() []byte {
	p.Expect(' ')
	return p.While1(isText, "an argument")
}

func (p *parser) optionalText() []byte {
	if p.AtEnd() {
		return nil
	}
	return p.text()
}

func isSpace(b byte) bool     { return b == ' ' || b == '\t' }
func isGraphic(b byte) bool   { return b > ' ' && b != 0x7f }
func isText(b byte) bool      { return isGraphic(b) || b == ' ' || b == '\t' }
func isMechanism(b byte) bool { return scan.IsAlpha(b) || scan.IsDigit(b) || b == '-' || b == '_' }
