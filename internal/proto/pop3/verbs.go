package pop3

import (
	"bytes"

	"yubin/internal/scan"
)

// State is a set of the states of a session (RFC 1939 §3). In the UPDATE state
// nothing is read.
type State uint8

// The states.
const (
	Authorization State = 1 << iota
	Transaction
)

const anyState = Authorization | Transaction

// Verb is what there is to know of a command before it runs.
type Verb struct {
	Name   string
	States State // in which it is allowed

	spaces bool                   // spaces at the end belong to the argument
	parse  func(*scan.Cursor) any // nil if it has no arguments
	capa   func(Offer) string     // the capability that announces it; nil for the minimal commands
}

// verbs is the table of commands; nothing changes it. The frequent ones come first.
var verbs = [...]Verb{
	{"RETR", Transaction, false, parseMessage, nil},
	{"DELE", Transaction, false, parseMessage, nil},
	{"TOP", Transaction, false, parseTop, always("TOP")},
	{"LIST", Transaction, false, parseOptionalMessage, nil},
	{"UIDL", Transaction, false, parseOptionalMessage, always("UIDL")},
	{"STAT", Transaction, false, nil, nil},
	{"NOOP", Transaction, false, nil, nil},
	{"RSET", Transaction, false, nil, nil},
	{"QUIT", anyState, false, nil, nil},
	{"CAPA", anyState, false, nil, nil},
	{"USER", Authorization, false, parseUser, Offer.user},
	{"PASS", Authorization, true, parsePass, nil},
	{"AUTH", Authorization, false, parseAuth, Offer.sasl},
	{"STLS", Authorization, false, nil, Offer.stls},
	{"UTF8", Authorization, false, nil, always("UTF8 USER")},
	{"LANG", anyState, false, parseLang, always("LANG")},
}

func always(capability string) func(Offer) string {
	return func(Offer) string { return capability }
}

// Lookup returns the verb called name, in any case.
func Lookup(name string) (Verb, bool) { return lookup([]byte(name)) }

func lookup(name []byte) (Verb, bool) {
	for i := range verbs {
		if len(name) == len(verbs[i].Name) && bytes.EqualFold(name, []byte(verbs[i].Name)) {
			return verbs[i], true
		}
	}
	return Verb{}, false
}

// Verbs lists all verbs in a copy of the table.
func Verbs() []Verb { return append([]Verb(nil), verbs[:]...) }
