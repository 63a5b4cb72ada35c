package pop3

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"yubin/internal/scan"
)

// Command is one parsed command: Args holds the type that belongs to Verb, or
// nil for a verb without arguments.
type Command struct {
	Verb Verb
	Args any
}

// The arguments of the commands that have some.
type (
	// User is USER. The name is everything after the space, valid UTF-8.
	User struct{ Name string }
	// Pass is PASS. Spaces belong to the password (RFC 1939 §7).
	Pass struct{ Password string }
	// Auth is AUTH. Mechanism is upper-case; "" asks for the list, as RFC 1734
	// had it. Initial is the initial response as it stands, in base64 or "=";
	// nil without one.
	Auth struct {
		Mechanism string
		Initial   []byte
	}
	// Message is LIST, UIDL, RETR and DELE. Number is 0 if none was given,
	// which only LIST and UIDL allow.
	Message struct{ Number int }
	// Top is TOP.
	Top struct{ Number, Lines int }
	// Lang is LANG. Range is "" if none was given.
	Lang struct{ Range string }
)

// ErrorKind is what is wrong with a command.
type ErrorKind uint8

// The kinds of Error.
const (
	BadSyntax ErrorKind = iota
	UnknownCommand
)

// Error is a command that cannot be carried out because of how it was written.
// Error() is fit to be sent to the client: it quotes nothing of the command.
type Error struct {
	Kind ErrorKind
	Name string // of the command; "" if unknown
	Want string // BadSyntax: what the grammar asks for
}

func (e *Error) Error() string {
	if e.Kind == UnknownCommand {
		return "unknown command"
	}
	return fmt.Sprintf("%s: expected %s", e.Name, e.Want)
}

// Parse reads a command line without its CRLF. The error is an *Error.
//
// Quirk: some clients end commands with a space; it is ignored everywhere but
// in passwords.
func Parse(line []byte) (Command, error) {
	c := scan.New(line)
	cmd := Command{Verb: lookup(c.While(func(b byte) bool { return b != ' ' }))}
	if cmd.Verb == Unknown {
		return Command{}, &Error{Kind: UnknownCommand}
	}
	v := &verbs[cmd.Verb]
	if !v.spaces {
		c.Reset(bytes.TrimRight(c.Rest(), " "))
	}
	if v.parse != nil {
		cmd.Args = v.parse(c)
	}
	c.End()
	if err := c.Err(); err != nil {
		return Command{}, &Error{Kind: BadSyntax, Name: v.name, Want: err.(*scan.Error).Want}
	}
	return cmd, nil
}

func parseUser(c *scan.Cursor) any {
	return User{Name: text(c, "a space and a user name in UTF-8")}
}

func parsePass(c *scan.Cursor) any {
	return Pass{Password: text(c, "a space and a password in UTF-8")}
}

// text reads a space and the rest of the line, which must not be empty
// (RFC 6856 §2.2: it must be UTF-8).
func text(c *scan.Cursor, want string) string {
	if !c.Try(' ') || c.AtEnd() || !utf8.Valid(c.Rest()) || bytes.IndexByte(c.Rest(), 0) >= 0 {
		c.Fail(want)
	}
	return string(c.Skip(len(c.Rest())))
}

// parseAuth reads "AUTH" [SP mechanism [SP initial-response]] (RFC 5034 §4). Quirk: some
// clients put two spaces.
func parseAuth(c *scan.Cursor) any {
	var a Auth
	if c.AtEnd() {
		return a
	}
	c.Expect(' ')
	c.While(isSpace)
	a.Mechanism = strings.ToUpper(string(c.While1(isMechanism, "a SASL mechanism")))
	if len(c.While(isSpace)) > 0 {
		a.Initial = bytes.Clone(c.While1(isVchar, "an initial response in base64, or ="))
	}
	return a
}

func parseMessage(c *scan.Cursor) any {
	return Message{Number: number(c, 1, "a message number")}
}

func parseOptionalMessage(c *scan.Cursor) any {
	if c.AtEnd() {
		return Message{}
	}
	return parseMessage(c)
}

func parseTop(c *scan.Cursor) any {
	return Top{Number: number(c, 1, "a message number and a number of lines"), Lines: number(c, 0, "a number of lines")}
}

// number reads a space and a number of at least least.
func number(c *scan.Cursor, least int, want string) int {
	if !c.Try(' ') {
		c.Fail(want)
	}
	n, ok := scan.Uint(c.While(scan.IsDigit))
	if !ok || n > MaxNumber || int(n) < least {
		c.Fail(want)
		return 0
	}
	return int(n)
}

func parseLang(c *scan.Cursor) any {
	var l Lang
	if c.AtEnd() {
		return l
	}
	c.Expect(' ')
	l.Range = string(c.While1(isVchar, "a language range"))
	if len(l.Range) > MaxLanguage {
		c.Fail("a shorter language range")
	}
	return l
}

func isSpace(b byte) bool { return b == ' ' }

// isVchar is VCHAR of RFC 5234.
func isVchar(b byte) bool { return b > ' ' && b < 0x7f }

// isMechanism is a character of sasl-mech (RFC 4422 §3.1), in either case.
func isMechanism(b byte) bool {
	return scan.IsAlpha(b) || scan.IsDigit(b) || b == '-' || b == '_'
}
