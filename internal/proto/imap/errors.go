package imap

import "fmt"

// ErrorKind is what is wrong with a command.
type ErrorKind uint8

// The kinds of Error.
const (
	// BadSyntax: BAD.
	BadSyntax ErrorKind = iota
	// UnknownCommand: BAD; there is no such verb.
	UnknownCommand
	// TooBig: NO [TOOBIG] (RFC 4469 §4.2); a literal or their sum is over a limit.
	TooBig
	// BadCharset: NO [BADCHARSET]; SEARCH in a charset we do not know, or text
	// that is not in the charset it claims.
	BadCharset
	// BadMailbox: NO [CANNOT]; a mailbox name that is neither modified UTF-7
	// nor UTF-8.
	BadMailbox
	// NoRoom: NO [UNAVAILABLE]; there is no memory for the command just now.
	NoRoom
)

// Error is a command that cannot be carried out because of how it was written.
// Error() is fit to be sent to the client: it quotes nothing of the command.
type Error struct {
	Kind   ErrorKind
	Tag    string // of the command; "" if it could not be read
	Name   string // of the command; "" if it is unknown
	Column int    // octets of the assembled command before the failure, from 0
	Want   string // BadSyntax: what the grammar asks for there
	Close  bool   // where the next command starts is lost: say BYE and close
	Save   bool   // BadCharset: it was with RETURN (SAVE), so "$" is empty now (RFC 5182 §2.1)
}

func (e *Error) Error() string {
	switch e.Kind {
	case UnknownCommand:
		return "unknown command"
	case TooBig:
		return "literal is too big"
	case BadCharset:
		return "the search text is not in a known charset"
	case BadMailbox:
		return "the mailbox name is not valid modified UTF-7 or UTF-8"
	case NoRoom:
		return "there is not enough memory for that just now; try again later"
	}
	name := e.Name
	if name != "" {
		name += ": "
	}
	return fmt.Sprintf("%sexpected %s at column %d", name, e.Want, e.Column+1)
}
