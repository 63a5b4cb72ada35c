package imap

// State is a set of the states of a session (RFC 9051 §3).
type State uint8

// The states. Logout has none: nothing is read there.
const (
	NotAuthenticated State = 1 << iota
	Authenticated
	Selected
)

const (
	anyState = NotAuthenticated | Authenticated | Selected
	authOnly = Authenticated | Selected
)

// Verb is what there is to know of a command before it runs.
type Verb struct {
	Name   string
	States State // in which it is allowed
	// UsesSeq: message sequence numbers stand in its arguments, so a command
	// that may announce expunges must have ended before (RFC 9051 §5.5).
	UsesSeq bool
	// MayExpunge: untagged EXPUNGE responses may be sent before its end (RFC 9051 §7.5.1).
	MayExpunge bool

	parse func(*parser) any // nil if it has no arguments
}

// Lookup returns the verb called name, in upper case; "UID FETCH" is one name.
func Lookup(name string) (Verb, bool) {
	for i := range verbs {
		if verbs[i].Name == name {
			return verbs[i], true
		}
	}
	return Verb{}, false
}

// Verbs lists all verbs in a copy of the table.
func Verbs() []Verb { return append([]Verb(nil), verbs[:]...) }

// verbs is the table of commands; nothing changes it. The frequent ones come first.
var verbs = [...]Verb{
	{"FETCH", Selected, true, false, (*parser).fetch},
	{"UID FETCH", Selected, false, true, (*parser).fetch},
	{"NOOP", anyState, false, true, nil},
	{"IDLE", authOnly, false, true, nil},
	{"STATUS", authOnly, false, true, (*parser).status},
	{"SELECT", authOnly, false, false, (*parser).selectMailbox},
	{"EXAMINE", authOnly, false, false, (*parser).examine},
	{"STORE", Selected, true, false, (*parser).store},
	{"UID STORE", Selected, false, true, (*parser).store},
	{"SEARCH", Selected, true, false, (*parser).search},
	{"UID SEARCH", Selected, true, true, (*parser).search},
	{"LIST", authOnly, false, true, (*parser).listCommand},
	{"LSUB", authOnly, false, true, (*parser).lsub},
	{"APPEND", authOnly, false, true, (*parser).appendCommand},
	{"CAPABILITY", anyState, false, true, nil},
	{"LOGOUT", anyState, false, false, nil},
	{"ID", anyState, false, true, (*parser).id},
	{"STARTTLS", NotAuthenticated, false, false, nil},
	{"AUTHENTICATE", NotAuthenticated, false, false, (*parser).authenticate},
	{"LOGIN", NotAuthenticated, false, false, (*parser).login},
	{"ENABLE", authOnly, false, true, (*parser).enable},
	{"NAMESPACE", authOnly, false, true, nil},
	{"CREATE", authOnly, false, true, (*parser).create},
	{"DELETE", authOnly, false, true, (*parser).deleteMailbox},
	{"RENAME", authOnly, false, true, (*parser).rename},
	{"SUBSCRIBE", authOnly, false, true, (*parser).subscribe},
	{"UNSUBSCRIBE", authOnly, false, true, (*parser).unsubscribe},
	{"COPY", Selected, true, true, (*parser).copyCommand},
	{"UID COPY", Selected, false, true, (*parser).copyCommand},
	{"MOVE", Selected, true, true, (*parser).move},
	{"UID MOVE", Selected, false, true, (*parser).move},
	{"EXPUNGE", Selected, false, true, nil},
	{"UID EXPUNGE", Selected, false, true, (*parser).uidExpunge},
	{"CLOSE", Selected, false, false, nil},
	{"UNSELECT", Selected, false, false, nil},
	{"CHECK", Selected, false, true, nil},
}
