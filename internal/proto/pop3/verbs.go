package pop3

import (
	"bytes"

	"yubin/internal/scan"
)

// Verb is a command.
type Verb uint8

// The verbs, the frequent ones first.
const (
	Unknown Verb = iota
	RETR
	DELE
	TOP
	LIST
	UIDL
	STAT
	NOOP
	RSET
	QUIT
	CAPA
	USER
	PASS
	AUTH
	STLS
	UTF8
	LANG

	Verbs // how many there are, with Unknown
)

// verbs is the table of their names and grammar; nothing changes it.
var verbs = [Verbs]struct {
	name   string
	spaces bool                   // spaces at the end belong to the argument
	parse  func(*scan.Cursor) any // nil if it has no arguments
}{
	RETR: {"RETR", false, parseMessage},
	DELE: {"DELE", false, parseMessage},
	TOP:  {"TOP", false, parseTop},
	LIST: {"LIST", false, parseOptionalMessage},
	UIDL: {"UIDL", false, parseOptionalMessage},
	STAT: {"STAT", false, nil},
	NOOP: {"NOOP", false, nil},
	RSET: {"RSET", false, nil},
	QUIT: {"QUIT", false, nil},
	CAPA: {"CAPA", false, nil},
	USER: {"USER", false, parseUser},
	PASS: {"PASS", true, parsePass},
	AUTH: {"AUTH", false, parseAuth},
	STLS: {"STLS", false, nil},
	UTF8: {"UTF8", false, nil},
	LANG: {"LANG", false, parseLang},
}

// String is the name as it is written, "" of Unknown.
func (v Verb) String() string { return verbs[v].name }

// lookup returns the verb of a name, in any case.
func lookup(name []byte) Verb {
	for v := Unknown + 1; v < Verbs; v++ {
		if len(name) == len(verbs[v].name) && bytes.EqualFold(name, []byte(verbs[v].name)) {
			return v
		}
	}
	return Unknown
}
