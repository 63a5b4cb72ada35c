package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits on mailbox names.
const (
	MaxMailboxName  = 1000 // octets of UTF-8 in a whole name
	MaxMailboxLabel = 255  // octets in one level
	MaxMailboxDepth = 32   // levels
)

// MailboxSeparator is the hierarchy separator.
const MailboxSeparator = "/"

// Inbox is the name of the mailbox that every account has.
const Inbox MailboxName = "INBOX"

// MailboxName is the full name of a mailbox: UTF-8 in NFC, levels joined by
// "/", the first level INBOX in capitals whatever case it came in.
type MailboxName string

// ParseMailboxName checks s and brings it into canonical form. One trailing
// separator is dropped (RFC 9051 §6.3.4). The error is of kind Invalid.
func ParseMailboxName(s string) (MailboxName, error) {
	s = norm.NFC.String(strings.TrimSuffix(s, MailboxSeparator))
	if s == "" || len(s) > MaxMailboxName || !utf8.ValidString(s) {
		return "", Errorf(Invalid, "a mailbox name must have 1 to %d octets of UTF-8", MaxMailboxName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return "", Errorf(Invalid, "a mailbox name must not have control characters")
	}
	levels := strings.Split(s, MailboxSeparator)
	if len(levels) > MaxMailboxDepth {
		return "", Errorf(Invalid, "a mailbox name must not have over %d levels", MaxMailboxDepth)
	}
	for _, l := range levels {
		if l == "" || len(l) > MaxMailboxLabel {
			return "", Errorf(Invalid, "each level of a mailbox name must have 1 to %d octets", MaxMailboxLabel)
		}
	}
	if strings.EqualFold(levels[0], string(Inbox)) {
		levels[0] = string(Inbox)
	}
	return MailboxName(strings.Join(levels, MailboxSeparator)), nil
}

// Parent returns the name of the level above, or "" at the top.
func (n MailboxName) Parent() MailboxName {
	if i := strings.LastIndex(string(n), MailboxSeparator); i >= 0 {
		return n[:i]
	}
	return ""
}

// Label returns the last level.
func (n MailboxName) Label() string {
	return string(n[strings.LastIndex(string(n), MailboxSeparator)+1:])
}

// Role is the special use of a mailbox (RFC 6154, RFC 8621 §2). "" is none.
type Role string

// The roles a mailbox can have; at most one mailbox of an account has each.
const (
	RoleInbox   Role = "inbox"
	RoleDrafts  Role = "drafts"
	RoleSent    Role = "sent"
	RoleArchive Role = "archive"
	RoleJunk    Role = "junk"
	RoleTrash   Role = "trash"
	RoleAll     Role = "all"
	RoleFlagged Role = "flagged"
)
