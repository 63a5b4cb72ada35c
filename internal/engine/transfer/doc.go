// Package transfer brings mail from elsewhere into accounts, and out of them: a
// Maildir, mbox files, another server. What is kept: octets, flags, keywords,
// dates, mailboxes with their roles and subscriptions, and, where it can be, UIDs
// and UIDVALIDITY, so that mail programs need not fetch all again.
//
// # What was taken
//
// Each message that is taken leaves a row, in the commit that files it:
//
//	transfer_origin  a folder of a source, and the mailbox that it goes to
//	transfer_taken   a message of an origin by the key that its source gives it;
//	                 its UID here, and the flags it had there
//
// So an import that was cut short, at any moment, goes on where it was, and one
// that is done again takes only what is new: nothing is doubled, and what was
// moved or deleted here meanwhile does not come back. A message that has no row,
// but whose octets the mailbox has, is not doubled either: it was brought
// another way. Rows of mailboxes that are gone are removed by the next import.
//
// Flags that changed at the source since are brought here, if nobody changed
// them here; else those here stay. A message that is gone at the source stays
// here, unless Plan.RemoveGone: then it goes too, if its flags are as they were.
//
// # Numbers
//
// A mailbox that never had a message takes the UIDVALIDITY of its source, and
// its messages have their UIDs. It goes on to have it as long as all messages
// can have the UIDs that clients may know; when one cannot, because this server
// has given the UID to another message, the mailbox gets a new UIDVALIDITY, and
// clients fetch it again. Never does a client see a UID with another message.
package transfer

import (
	"context"
	"io"
	"time"

	"yubin/internal/mail"
)

// Limits.
const (
	MaxMessage  = 1 << 30 // octets of a message that is taken
	MaxFailures = 1000    // that a report tells one by one
	maxNotes    = 1000
	batchSize   = 128     // messages of one commit
	batchOctets = 8 << 20 // about, of one commit
)

// Folder is a folder of a source.
type Folder struct {
	Levels     []string // its name; one level INBOX is the inbox
	Source     string   // what the source calls it, for people
	Origin     string   // what it is in rows: the same each time, wherever the source is
	Role       mail.Role
	Subscribed bool
}

// Message is a message of a folder, without its octets.
type Message struct {
	Key      string   // the same each time, and no other message's of the origin
	UID      mail.UID // 0 if the source has not numbered it
	Flags    mail.Flags
	Keywords []string
	Received time.Time
	Size     int64  // octets, about
	Where    string // for people: a file, or a UID
}

// Source is what mail is taken from.
type Source interface {
	// Kind is what it is in rows.
	Kind() string
	// Parallel is how many Reads may run at a time.
	Parallel() int
	// Folders lists the folders, and tells what cannot be listed and why.
	Folders(context.Context) (list []Folder, problems []Failure, err error)
	Open(context.Context, Folder) (Mailbox, error)
}

// Mailbox is an open folder. One is open at a time.
type Mailbox interface {
	// Numbering returns UIDVALIDITY, 0 if messages are not numbered, and the UID
	// that comes next, 0 if that is not known.
	Numbering() (mail.UIDValidity, mail.UID)
	// Problems tells what stands beside the messages and cannot be read, as the
	// list of keywords. The messages can be, but keywords may be missing.
	Problems() []Failure
	// Messages lists the messages: those with UIDs first, ascending.
	Messages(context.Context) ([]Message, error)
	// Read calls each for the messages of list, in this order; those that are
	// gone are left out. read writes the octets, with CRLF; if it fails, that
	// message cannot be read. An error of each ends Read.
	Read(ctx context.Context, list []Message, each func(i int, read func(io.Writer) error) error) error
	Close() error
}

// Plan says what to take, and how.
type Plan struct {
	Account    mail.AccountID
	Rename     map[string]mail.MailboxName // where folders go, by Folder.Source
	Skip       []string                    // folders that are left, by Folder.Source
	Running    bool                        // the old server goes on: what it has not numbered yet waits for the next time
	RemoveGone bool                        // what is gone there goes here too, if it was not touched
	DryRun     bool                        // only counts, and notes where each folder would go
	MaxMessage int64                       // octets; 0 means MaxMessage
	Train      Trainer                     // learns from what is taken; nil: nobody
}

// Trainer learns what is junk from emails that were taken: from those in the mailbox
// with the role junk that they are, from those elsewhere, but Trash, Drafts and Sent,
// that they are not.
type Trainer interface {
	Learn(ctx context.Context, account mail.AccountID, emails []mail.EmailID, junk bool) error
}

// Progress is how far an import or export is.
type Progress struct {
	Folder   string `json:"folder"`
	Folders  int    `json:"folders"` // that are done
	Of       int    `json:"of"`      // folders
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
}

// Failure is what could not be taken, and why.
type Failure struct {
	Folder  string `json:"folder"`
	Message string `json:"message,omitempty"` // a file, or a UID; "" for the whole folder
	Reason  string `json:"reason"`
}

// Report is what became of an import or export.
type Report struct {
	Folders  int       `json:"folders"`
	Taken    int       `json:"taken"`
	Octets   int64     `json:"octets"`
	There    int       `json:"there"`             // was taken before
	Updated  int       `json:"updated"`           // of those, got other flags
	Removed  int       `json:"removed"`           // was taken before and is gone at the source
	Waiting  int       `json:"waiting"`           // is not numbered yet by the source
	Learned  int       `json:"learned,omitempty"` // of those that were taken, the Trainer was given
	Failed   int       `json:"failed"`
	Failures []Failure `json:"failures,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
}

func (r *Report) fail(folder, message, reason string) {
	r.Failed++
	if len(r.Failures) < MaxFailures {
		r.Failures = append(r.Failures, Failure{folder, message, reason})
	}
}

func (r *Report) note(text string) {
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, text)
	}
}
