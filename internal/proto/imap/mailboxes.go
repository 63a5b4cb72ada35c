package imap

import (
	"iter"
	"strconv"
	"strings"
	"unicode"

	"yubin/internal/mail"
)

// MailboxAttr is an attribute of a mailbox in LIST (RFC 9051 §7.3.1, RFC 6154 §2).
type MailboxAttr string

// The mailbox attributes.
const (
	AttrNonExistent   MailboxAttr = `\NonExistent`
	AttrNoInferiors   MailboxAttr = `\Noinferiors`
	AttrNoSelect      MailboxAttr = `\Noselect`
	AttrHasChildren   MailboxAttr = `\HasChildren`
	AttrHasNoChildren MailboxAttr = `\HasNoChildren`
	AttrMarked        MailboxAttr = `\Marked`
	AttrUnmarked      MailboxAttr = `\Unmarked`
	AttrSubscribed    MailboxAttr = `\Subscribed`
	AttrRemote        MailboxAttr = `\Remote`
	AttrAll           MailboxAttr = `\All`
	AttrArchive       MailboxAttr = `\Archive`
	AttrDrafts        MailboxAttr = `\Drafts`
	AttrFlagged       MailboxAttr = `\Flagged`
	AttrJunk          MailboxAttr = `\Junk`
	AttrSent          MailboxAttr = `\Sent`
	AttrTrash         MailboxAttr = `\Trash`
)

// RoleAttr returns the attribute of a role; "" for those without.
func RoleAttr(r mail.Role) MailboxAttr {
	switch r {
	case mail.RoleAll:
		return AttrAll
	case mail.RoleArchive:
		return AttrArchive
	case mail.RoleDrafts:
		return AttrDrafts
	case mail.RoleFlagged:
		return AttrFlagged
	case mail.RoleJunk:
		return AttrJunk
	case mail.RoleSent:
		return AttrSent
	case mail.RoleTrash:
		return AttrTrash
	}
	return ""
}

// Listed is one LIST or LSUB response.
type Listed struct {
	LSub      bool
	Attrs     []MailboxAttr
	Name      string // UTF-8
	OldName   string // OLDNAME (RFC 9051 §7.3.1); "" without
	ChildInfo bool   // CHILDINFO ("SUBSCRIBED") (RFC 5258 §4)
}

// List writes LIST or LSUB.
func (e *Encoder) List(l Listed) {
	name := "* LIST ("
	if l.LSub {
		name = "* LSUB ("
	}
	e.b = append(e.b, name...)
	for i, a := range l.Attrs {
		if i > 0 {
			e.b = append(e.b, ' ')
		}
		e.b = append(e.b, a...)
	}
	e.b = append(e.b, `) "`+mail.MailboxSeparator+`" `...)
	e.mailbox(l.Name)
	e.listExtended(l)
	e.crlf()
}

// listExtended writes mbox-list-extended, if there is any.
func (e *Encoder) listExtended(l Listed) {
	if !l.ChildInfo && l.OldName == "" {
		return
	}
	e.b = append(e.b, " ("...)
	if l.ChildInfo {
		e.b = append(e.b, `"CHILDINFO" ("SUBSCRIBED")`...)
	}
	if l.OldName != "" {
		if l.ChildInfo {
			e.b = append(e.b, ' ')
		}
		e.b = append(e.b, `"OLDNAME" (`...)
		e.mailbox(l.OldName)
		e.b = append(e.b, ')')
	}
	e.b = append(e.b, ')')
}

// mailbox writes a mailbox name in the session's form, quoted. In UTF-8 mode a
// quoted string may hold UTF-8 (RFC 9051 §9, quoted).
func (e *Encoder) mailbox(name string) {
	switch {
	case !e.utf8:
		e.b = appendQuoted(e.b, AppendMailbox(nil, name, false))
	case strings.ContainsFunc(name, unicode.IsControl):
		e.b = AppendString(e.b, []byte(name))
	default:
		e.b = appendQuoted(e.b, name)
	}
}

// StatusValue is one attribute of a STATUS response.
type StatusValue struct {
	Item  StatusItem
	Value int64
}

// MailboxStatus writes STATUS.
func (e *Encoder) MailboxStatus(name string, values ...StatusValue) {
	e.b = append(e.b, "* STATUS "...)
	e.mailbox(name)
	for i, v := range values {
		e.b = append(e.b, ' ')
		if i == 0 {
			e.b = append(e.b, '(')
		}
		e.b = append(append(e.b, v.Item...), ' ')
		e.b = strconv.AppendInt(e.b, v.Value, 10)
	}
	if len(values) == 0 {
		e.b = append(e.b, " ("...)
	}
	e.b = append(e.b, ')')
	e.crlf()
}

// Namespace writes NAMESPACE: one personal namespace, no others (RFC 2342 §5).
func (e *Encoder) Namespace() {
	e.b = append(e.b, `* NAMESPACE (("" "`+mail.MailboxSeparator+`")) NIL NIL`...)
	e.crlf()
}

// Search writes the SEARCH response of RFC 3501, numbers in any order.
func (e *Encoder) Search(nums iter.Seq[Num]) {
	e.b = append(e.b, "* SEARCH"...)
	for n := range nums {
		e.b = strconv.AppendUint(append(e.b, ' '), uint64(n), 10)
		e.spill()
	}
	e.crlf()
}

// ESearch is an ESEARCH response (RFC 9051 §7.3.4, RFC 4731 §3.1).
type ESearch struct {
	Tag   string // of the command; "" leaves the correlator out
	UID   bool
	Min   Num           // 0 leaves it out, as must be when nothing was found
	Max   Num           // likewise
	All   iter.Seq[Num] // nil leaves it out; must not be empty. Ascending numbers become ranges
	Count int64         // -1 leaves it out
}

// ESearch writes ESEARCH.
func (e *Encoder) ESearch(r ESearch) {
	e.b = append(e.b, "* ESEARCH"...)
	if r.Tag != "" {
		e.b = appendQuoted(append(e.b, " (TAG "...), r.Tag)
		e.b = append(e.b, ')')
	}
	if r.UID {
		e.b = append(e.b, " UID"...)
	}
	if r.Min != 0 {
		e.b = strconv.AppendUint(append(e.b, " MIN "...), uint64(r.Min), 10)
	}
	if r.Max != 0 {
		e.b = strconv.AppendUint(append(e.b, " MAX "...), uint64(r.Max), 10)
	}
	if r.Count >= 0 {
		e.b = strconv.AppendInt(append(e.b, " COUNT "...), r.Count, 10)
	}
	if r.All != nil {
		e.b = append(e.b, " ALL "...)
		e.ranges(r.All)
	}
	e.crlf()
}

func (e *Encoder) ranges(nums iter.Seq[Num]) {
	var set rangeWriter
	for n := range nums {
		e.b = set.add(e.b, uint32(n))
		e.spill()
	}
	e.b = set.close(e.b)
}
