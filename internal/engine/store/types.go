package store

import (
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// Mailbox is a mailbox as its row stands at one moment.
type Mailbox struct {
	ID          mail.MailboxID
	Account     mail.AccountID
	Parent      mail.MailboxID // zero at the top
	Name        mail.MailboxName
	Role        mail.Role
	UIDValidity mail.UIDValidity
	UIDNext     mail.UID
	Recent      mail.UID    // from this UID on nobody was told of a message as \Recent
	ModSeq      mail.ModSeq // of the last change of anything in it
	Exists      uint32      // messages
	Unseen      uint32      // messages without \Seen
	Deleted     uint32      // messages with \Deleted
	Size        int64       // octets of all its messages
	Subscribed  bool
	HasChildren bool
}

// Entry is what a View knows of a message: all that flags and numbering need.
type Entry struct {
	UID      mail.UID
	Flags    mail.Flags
	ModSeq   mail.ModSeq
	Keywords mail.Keywords
}

// Need says which parts of a Row to fill beyond the membership row itself.
type Need uint8

// What a Row can carry.
const (
	NeedForm    Need = 1 << iota // Row.Form
	NeedThread                   // Row.Thread
	NeedPreview                  // Row.Preview
	NeedContent                  // Row.Content; the caller closes it
)

// Row is one message of a mailbox. Byte slices belong to the caller.
type Row struct {
	Entry
	Gone     bool // it left the mailbox, see RowsSince
	Email    mail.EmailID
	Size     int64     // octets of the whole message
	Received time.Time // INTERNALDATE, to the second, with the zone it came in
	Lacking  int64     // octets of CR and LF that its lines lack: a protocol of lines sends as many more than Size
	ASCII    int64     // octets that such a protocol sends of what stands for it in ASCII (Content.ASCII); -1 if that is itself
	Saved    time.Time // SAVEDATE (RFC 8514)

	Thread  mail.ThreadID
	Form    message.Form // offsets count from the first octet of Content
	Preview string
	Content *Content
}

// Filing says where one copy of a message goes: into the mailbox with an ID, with
// a name, or with a role, whichever is given first. If that is gone it goes to
// INBOX.
type Filing struct {
	Account  mail.AccountID
	Mailbox  mail.MailboxID
	Name     mail.MailboxName
	Role     mail.Role
	Make     bool   // a mailbox with Name is made, with the parents that it lacks, if there is none
	Only     bool   // there and nowhere else: without the mailbox the account cannot have the message
	Prefix   []byte // header fields put before the octets received, with Header.Lead between; whole lines with CRLF, or nil
	Flags    mail.Flags
	Keywords mail.Keywords
	Received time.Time // INTERNALDATE; its zone is kept

	Ours bool // mail of this server itself: it finds room in a full account
}

// Filed says what became of a Filing.
type Filed struct {
	Email       mail.EmailID
	Mailbox     mail.MailboxID
	UID         mail.UID
	UIDValidity mail.UIDValidity
	ModSeq      mail.ModSeq
}

// FlagMode is how a FlagChange acts.
type FlagMode uint8

// The flag modes.
const (
	FlagsAdd FlagMode = iota
	FlagsRemove
	FlagsReplace
)

// FlagChange is one change of flags and keywords, for many messages at once.
type FlagChange struct {
	Mode     FlagMode
	Flags    mail.Flags
	Keywords mail.Keywords
}

// Copied tells the UIDs of a copy or move: Source and Dest ascend side by side.
type Copied struct {
	UIDValidity mail.UIDValidity // of the destination
	Source      []mail.UID
	Dest        []mail.UID
}

// Event hints that a mailbox, or the list of mailboxes when Mailbox is zero,
// reached ModSeq. A lost or doubled event costs latency, never truth.
type Event struct {
	Account mail.AccountID
	Mailbox mail.MailboxID
	ModSeq  mail.ModSeq
	Came    bool // nothing but new emails came into it
}
