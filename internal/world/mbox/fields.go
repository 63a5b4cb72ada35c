package mbox

import (
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// fileFields are the fields that belong to the file.
var fileFields = map[string]func(*Message, string){
	"status":            (*Message).status,
	"x-status":          (*Message).status,
	"x-keywords":        (*Message).keywords,
	"x-uid":             (*Message).uid,
	"x-imap":            (*Message).base,
	"x-imapbase":        (*Message).base,
	"content-length":    func(*Message, string) {},
	"x-mozilla-status":  (*Message).mozilla,
	"x-mozilla-status2": func(*Message, string) {},
	"x-mozilla-keys":    (*Message).keywords,
}

// statusLetters are the letters of Status and X-Status.
var statusLetters = map[rune]mail.Flags{'R': mail.Seen, 'A': mail.Answered, 'F': mail.Flagged, 'D': mail.Deleted, 'T': mail.Draft}

func (m *Message) status(value string) {
	for _, c := range value {
		m.Flags |= statusLetters[c]
	}
}

func (m *Message) keywords(value string) {
	for k := range strings.FieldsSeq(value) {
		if len(m.Keywords) < mail.MaxKeywords {
			m.Keywords = append(m.Keywords, k)
		}
	}
}

func (m *Message) uid(value string) {
	if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32); err == nil && n < 1<<32-1 {
		m.UID = mail.UID(n)
	}
}

// base is "UIDVALIDITY LAST-UID [keyword ...]".
func (m *Message) base(value string) {
	f := strings.Fields(value)
	if len(f) < 2 {
		return
	}
	v, err := strconv.ParseUint(f[0], 10, 32)
	last, err2 := strconv.ParseUint(f[1], 10, 32)
	if err == nil && err2 == nil && last < 1<<32-2 {
		m.validity, m.next = mail.UIDValidity(v), mail.UID(last)+1
	}
}

// The bits of X-Mozilla-Status.
const (
	mozillaRead      = 1 << 0
	mozillaReplied   = 1 << 1
	mozillaMarked    = 1 << 2
	mozillaExpunged  = 1 << 3
	mozillaForwarded = 1 << 12
)

// mozilla is Quirk: Thunderbird, four hexadecimal digits.
func (m *Message) mozilla(value string) {
	n, err := strconv.ParseUint(strings.TrimSpace(value), 16, 32)
	if err != nil {
		return
	}
	for bit, flag := range map[uint64]mail.Flags{mozillaRead: mail.Seen, mozillaReplied: mail.Answered, mozillaMarked: mail.Flagged} {
		if n&bit != 0 {
			m.Flags |= flag
		}
	}
	if n&mozillaForwarded != 0 {
		m.Keywords = append(m.Keywords, "$Forwarded")
	}
	m.dropped = m.dropped || n&mozillaExpunged != 0
}

// field cuts a line of a header into the name, in lower case, and the value.
func field(line string) (name, value string) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || strings.ContainsAny(name, " \t") {
		return "", ""
	}
	return strings.ToLower(name), value
}

// folds reports whether a field of the file, of which the name is at the start of
// text, may go on in further lines. A line with space behind another is the
// message's: it may begin with one.
func folds(text string) bool {
	return !strings.HasPrefix(text, "status") && !strings.HasPrefix(text, "x-status") && !strings.HasPrefix(text, "x-uid")
}
