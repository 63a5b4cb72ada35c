package imap

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Limits on one command beside those of Reader.
const (
	MaxTag          = 128      // octets
	MaxVerb         = 16       // octets of a verb
	MaxSetRanges    = 32 << 10 // ranges of one sequence-set
	MaxFlags        = 256      // flags in one command
	MaxSearchDepth  = 4096     // of parentheses, NOT and OR
	MaxSearchKeys   = 8192     // parentheses, NOT and OR counted
	MaxSearchText   = 64 << 10 // octets of all texts and field names of one SEARCH: as long as a line
	MaxFetchItems   = 256
	MaxHeaderFields = 256 // names in one HEADER.FIELDS
	MaxSectionDepth = 64  // part numbers in one section
	MaxListPatterns = 64
	MaxOptions      = 32 // in one parenthesized list of options
	MaxIDFields     = 30 // RFC 2971 §3.3
)

// Mode is what the session has agreed on that changes the language.
type Mode struct {
	// UTF8 is on after ENABLE IMAP4rev2 or UTF8=ACCEPT: mailbox names are
	// UTF-8 instead of modified UTF-7, quoted strings may hold UTF-8.
	UTF8 bool
	// Decode turns text of the named charset into UTF-8, and says false if it
	// does not know the charset. It is asked only for charsets other than
	// US-ASCII and UTF-8; nil knows none.
	Decode func(charset string, text []byte) (string, bool)
}

// ParseCommand parses one command as Reader assembles it: without its last
// CRLF, each literal in place as "{n}" CRLF and its n octets. APPEND ends with
// the announcement of its message literal. The error is an *Error.
func ParseCommand(b []byte, mode Mode) (Command, error) {
	p := parser{mode: mode}
	p.Reset(b)
	cmd := p.command()
	if err := p.failure(cmd); err != nil {
		return Command{}, err
	}
	return cmd, nil
}

// parser reads one command. Its methods are named after the ABNF of RFC 9051 §9.
type parser struct {
	scan.Cursor
	mode    Mode
	fault   *Error // a failure that is more than a matter of syntax
	eight   bool   // octets beyond US-ASCII in strings whatever the mode
	ofOther bool   // and who asked for a string finds out whether they are UTF-8
	charset string // of the search text, as given
	texts   int    // octets of search texts and field names read
}

// refuse stops the parse with an error of another kind than BadSyntax.
func (p *parser) refuse(kind ErrorKind) {
	if !p.Failed() {
		p.fault = &Error{Kind: kind, Column: p.Pos()}
		p.Fail("")
	}
}

// failure makes the error of the parse, nil if there was none.
func (p *parser) failure(cmd Command) error {
	if !p.Failed() {
		return nil
	}
	if p.fault == nil {
		var at *scan.Error
		errors.As(p.Err(), &at)
		p.fault = &Error{Kind: BadSyntax, Column: at.Column, Want: at.Want}
	}
	p.fault.Tag, p.fault.Name = cmd.Tag, cmd.Verb.String()
	return p.fault
}

// command = tag SP verb arguments. What was read of Tag and Verb is returned
// on failure too.
func (p *parser) command() Command {
	tag := p.tag()
	if p.Failed() {
		return Command{}
	}
	cmd := Command{Tag: string(tag)}
	p.sp()
	verb := p.verb()
	if p.Failed() {
		return cmd
	}
	cmd.Verb, cmd.UID = verb, strings.HasPrefix(verbs[verb].name, "UID ")
	if parse := verbs[verb].parse; parse != nil {
		cmd.Args = parse(p)
	}
	p.end()
	return cmd
}

// end wants the end of the command. Quirk: spaces before it are let pass;
// aioimaplib was one to send "IDLE ".
func (p *parser) end() {
	p.While(isSpace)
	p.End()
}

func isSpace(b byte) bool { return b == ' ' }

func (p *parser) tag() []byte {
	tag := p.While1(isTagChar, "tag")
	if len(tag) > MaxTag {
		p.Fail("shorter tag")
	}
	return tag
}

// verb reads the name of a command; Unknown is refused.
func (p *parser) verb() Verb {
	name := p.verbName(nil)
	if string(name) == "UID" {
		p.sp()
		name = p.verbName(append(name, ' '))
	}
	if p.Failed() {
		return Unknown
	}
	verb := lookup(name)
	if verb == Unknown {
		p.refuse(UnknownCommand)
	}
	return verb
}

// verbName appends the next atom in upper case to dst.
func (p *parser) verbName(dst []byte) []byte {
	name := p.While1(isAtomChar, "command")
	if len(name) > MaxVerb {
		p.refuse(UnknownCommand)
		return dst
	}
	return append(dst, bytes.ToUpper(name)...)
}

func (p *parser) sp() { p.Expect(' ') }

// number = an unsigned 32-bit integer.
func (p *parser) number() uint32 { return uint32(p.Number(math.MaxUint32)) }

// number64 = an unsigned 63-bit integer.
func (p *parser) number64() int64 { return int64(p.Number(math.MaxInt64)) }

func (p *parser) nzNumber() uint32 {
	if c := p.Peek(); c == '0' || !scan.IsDigit(c) {
		p.Fail("number from 1")
		return 0
	}
	return p.number()
}

func (p *parser) atom(want string) string { return string(p.While1(isAtomChar, want)) }

// upper reads octets of class as an upper-case word, "" if there are none.
func (p *parser) upper(class func(byte) bool) string {
	return strings.ToUpper(string(p.While(class)))
}

// astring = 1*ASTRING-CHAR / string.
func (p *parser) astring() []byte { return p.bareOr(isAstringChar, "string") }

// bareOr = 1*class / string. Quirk: octets beyond US-ASCII that may stand in quotes may
// stand without them too (imaplib of Python puts quotes around passwords alone).
func (p *parser) bareOr(class func(byte) bool, want string) []byte {
	if c := p.Peek(); c == '"' || c == '{' {
		return p.str()
	}
	text := p.While1(func(b byte) bool { return b >= utf8.RuneSelf || class(b) }, want)
	p.beyondASCII(text)
	return text
}

// str is string = quoted / literal.
func (p *parser) str() []byte {
	if p.Peek() == '{' {
		return p.literal()
	}
	return p.quoted()
}

// nstring = string / nil; false for nil.
func (p *parser) nstring() ([]byte, bool) {
	if p.TryFold("NIL") {
		return nil, false
	}
	return p.str(), true
}

// literal = "{" number64 ["+"] "}" CRLF *CHAR8.
func (p *parser) literal() []byte {
	p.Expect('{')
	n := p.number64()
	p.Try('+')
	p.Expect('}')
	p.Expect('\r')
	p.Expect('\n')
	if n > int64(len(p.Rest())) {
		p.Fail("octets of the literal")
		return nil
	}
	if bytes.IndexByte(p.Rest()[:n], 0) >= 0 {
		p.Fail("literal without NUL")
	}
	return p.Skip(int(n))
}

// quoted = DQUOTE *QUOTED-CHAR DQUOTE.
func (p *parser) quoted() []byte {
	if !p.Try('"') {
		p.Fail("string")
		return nil
	}
	text := p.While(isQuotedChar)
	if p.Peek() == '\\' {
		text = p.escaped(bytes.Clone(text))
	}
	p.beyondASCII(text)
	if !p.Try('"') {
		p.Fail("closing quote")
	}
	return text
}

// escaped appends the rest of a quoted string, from its first backslash, to text.
func (p *parser) escaped(text []byte) []byte {
	for p.Try('\\') {
		c := p.Next()
		if c != '"' && c != '\\' {
			p.Fail(`\" or \\`)
			return nil
		}
		text = append(append(text, c), p.While(isQuotedChar)...)
	}
	return text
}

// beyondASCII checks the octets beyond US-ASCII of a string that is no literal (RFC
// 9755 §3).
func (p *parser) beyondASCII(text []byte) {
	switch {
	case isASCII(text):
	case !p.mode.UTF8 && !p.eight:
		p.Fail("US-ASCII in a string before UTF-8 is enabled")
	case !p.ofOther && !utf8.Valid(text):
		p.Fail("UTF-8")
	}
}

// mailbox = "INBOX" / astring, decoded by ParseMailbox.
func (p *parser) mailbox() string {
	name, ok := ParseMailbox(p.astring(), p.mode.UTF8)
	if !ok {
		p.refuse(BadMailbox)
	}
	return name
}

// sequenceSet = (seq-number / seq-range) *("," ...) / "$".
func (p *parser) sequenceSet() NumSet {
	if p.Try('$') {
		return NumSet{Saved: true}
	}
	var set NumSet
	for more := true; more && !p.Failed(); more = p.Try(',') {
		if len(set.Ranges) == MaxSetRanges {
			p.Fail("fewer ranges")
			break
		}
		r := NumRange{First: p.seqNumber()}
		r.Last = r.First
		if p.Try(':') {
			r.Last = p.seqNumber()
		}
		set.Ranges = append(set.Ranges, r)
	}
	return set
}

func (p *parser) seqNumber() Num {
	if p.Try('*') {
		return Star
	}
	if !scan.IsDigit(p.Peek()) {
		p.Fail("sequence set")
		return 0
	}
	return Num(p.nzNumber())
}

// list reads "(" item *(SP item) ")" of at most limit items.
func (p *parser) list(limit int, item func()) {
	p.Expect('(')
	p.items(limit, item)
	p.Expect(')')
}

// optList is list, but may be empty.
func (p *parser) optList(limit int, item func()) {
	p.Expect('(')
	if p.Try(')') {
		return
	}
	p.items(limit, item)
	p.Expect(')')
}

// items reads item *(SP item).
func (p *parser) items(limit int, item func()) {
	for n := 0; !p.Failed(); n++ {
		if n == limit {
			p.Fail("fewer items")
			return
		}
		item()
		if !p.Try(' ') {
			return
		}
	}
}

// flagList = "(" [flag *(SP flag)] ")".
func (p *parser) flagList() FlagList {
	var l FlagList
	p.optList(MaxFlags, func() { p.flag(&l) })
	return l
}

// flag = a system flag / flag-keyword / flag-extension; also \Recent.
func (p *parser) flag(l *FlagList) {
	if !p.Try('\\') {
		l.Keywords = append(l.Keywords, p.atom("flag"))
		return
	}
	name := `\` + p.atom("flag")
	if f, ok := mail.ParseFlag(name); ok {
		l.System |= f
	} else if strings.EqualFold(name, `\Recent`) {
		l.Recent = true
	} else {
		l.Unknown = append(l.Unknown, name)
	}
}

func isTagChar(b byte) bool { return b != '+' && isAstringChar(b) }

func isAstringChar(b byte) bool { return b == ']' || isAtomChar(b) }

func isAtomChar(b byte) bool {
	switch b {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return b > ' ' && b < 0x7f
}

func isListChar(b byte) bool { return b == '%' || b == '*' || isAstringChar(b) }

// isQuotedChar accepts what may stand in a quoted string as it is.
func isQuotedChar(b byte) bool {
	return b != '"' && b != '\\' && b != '\r' && b != '\n' && b != 0
}

// isWordChar accepts letters, digits, hyphen and dot: the names of items and options.
func isWordChar(b byte) bool {
	return scan.IsAlpha(b) || scan.IsDigit(b) || b == '.' || b == '-'
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
