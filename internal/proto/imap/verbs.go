package imap

// Verb is a command. The forms with UID are verbs of their own.
type Verb uint8

// The verbs, the frequent ones first.
const (
	Unknown Verb = iota
	FETCH
	UIDFETCH
	NOOP
	IDLE
	STATUS
	SELECT
	EXAMINE
	STORE
	UIDSTORE
	SEARCH
	UIDSEARCH
	LIST
	LSUB
	APPEND
	CAPABILITY
	LOGOUT
	ID
	ENABLE
	NAMESPACE
	CREATE
	DELETE
	RENAME
	SUBSCRIBE
	UNSUBSCRIBE
	COPY
	UIDCOPY
	MOVE
	UIDMOVE
	EXPUNGE
	UIDEXPUNGE
	CLOSE
	UNSELECT
	CHECK
	STARTTLS
	LOGIN
	AUTHENTICATE

	Verbs // how many there are, with Unknown
)

// verbs is the table of their names and grammar; nothing changes it.
var verbs = [Verbs]struct {
	name  string
	parse func(*parser) any // nil if it has no arguments
}{
	FETCH:        {"FETCH", (*parser).fetch},
	UIDFETCH:     {"UID FETCH", (*parser).fetch},
	NOOP:         {"NOOP", nil},
	IDLE:         {"IDLE", nil},
	STATUS:       {"STATUS", (*parser).status},
	SELECT:       {"SELECT", (*parser).selectMailbox},
	EXAMINE:      {"EXAMINE", (*parser).examine},
	STORE:        {"STORE", (*parser).store},
	UIDSTORE:     {"UID STORE", (*parser).store},
	SEARCH:       {"SEARCH", (*parser).search},
	UIDSEARCH:    {"UID SEARCH", (*parser).search},
	LIST:         {"LIST", (*parser).listCommand},
	LSUB:         {"LSUB", (*parser).lsub},
	APPEND:       {"APPEND", (*parser).appendCommand},
	CAPABILITY:   {"CAPABILITY", nil},
	LOGOUT:       {"LOGOUT", nil},
	ID:           {"ID", (*parser).id},
	ENABLE:       {"ENABLE", (*parser).enable},
	NAMESPACE:    {"NAMESPACE", nil},
	CREATE:       {"CREATE", (*parser).create},
	DELETE:       {"DELETE", (*parser).deleteMailbox},
	RENAME:       {"RENAME", (*parser).rename},
	SUBSCRIBE:    {"SUBSCRIBE", (*parser).subscribe},
	UNSUBSCRIBE:  {"UNSUBSCRIBE", (*parser).unsubscribe},
	COPY:         {"COPY", (*parser).copyCommand},
	UIDCOPY:      {"UID COPY", (*parser).copyCommand},
	MOVE:         {"MOVE", (*parser).move},
	UIDMOVE:      {"UID MOVE", (*parser).move},
	EXPUNGE:      {"EXPUNGE", nil},
	UIDEXPUNGE:   {"UID EXPUNGE", (*parser).uidExpunge},
	CLOSE:        {"CLOSE", nil},
	UNSELECT:     {"UNSELECT", nil},
	CHECK:        {"CHECK", nil},
	STARTTLS:     {"STARTTLS", nil},
	LOGIN:        {"LOGIN", (*parser).login},
	AUTHENTICATE: {"AUTHENTICATE", (*parser).authenticate},
}

// String is the name as it is written, "" of Unknown.
func (v Verb) String() string { return verbs[v].name }

// lookup returns the verb of a name in upper case, "UID FETCH" being one.
func lookup(name []byte) Verb {
	for v := Unknown + 1; v < Verbs; v++ {
		if verbs[v].name == string(name) {
			return v
		}
	}
	return Unknown
}

// VerbOf returns the verb with which the line of a command begins, behind its tag.
func VerbOf(line []byte) Verb {
	var p parser
	p.Reset(line)
	p.tag()
	p.sp()
	return p.verb()
}
