package message

import "time"

// Message is what a message says of itself.
type Message struct {
	Root      *Part
	Envelope  *Envelope
	Header    Header    // Header.Size is Root.Body
	Repeats   bool      // the header has a field more than once of which Envelope has the first
	Surrogate Surrogate // how it is written in ASCII
	Size      int64     // octets of the whole message
	Subject   string    // decoded (RFC 2047), one line; at most MaxSubject octets
	MessageID string    // normalized as in Refs; "" if there is none
	Refs      []string  // MessageID if there is one, then In-Reply-To, then the last of References; each once
	Preview   string    // at most MaxPreview octets of the first readable text
	Date      time.Time // of the Date field; zero if unusable
}

// Envelope is the envelope of RFC 9051 §7.5.2, as raw octets: encoded-words
// are left as they are. Byte slices may share memory and must not be changed.
type Envelope struct {
	Date, Subject        []byte // unfolded; nil if there is no such field
	From                 []MailAddress
	Sender, ReplyTo      []MailAddress // nil where the message has none: From stands for them
	To, Cc, Bcc          []MailAddress
	InReplyTo, MessageID []byte // unfolded; nil if there is no such field
}

// GroupMark tells an address from the two ends of a group (RFC 5322 §3.4).
type GroupMark uint8

// The group marks. Between GroupStart and GroupEnd stand the group's members.
const (
	NoGroup    GroupMark = iota
	GroupStart           // Mailbox is the group's name, everything else nil
	GroupEnd             // everything is nil
)

// MailAddress is one address of a list, in IMAP's four parts. A nil part is
// not there: NIL. Of a NoGroup address Mailbox and Host are never nil, but
// may be empty if the message does not give them; only group marks have a nil
// Host.
type MailAddress struct {
	Name    []byte // display name, unquoted, encoded-words raw; the comment if there is no other name
	Route   []byte // source route (RFC 5322 §4.4), "@a,@b"
	Mailbox []byte // local part, unquoted
	Host    []byte
	Group   GroupMark
}

// Parse reads a whole message.
func Parse(b []byte) *Message {
	p := NewParser()
	p.Write(b)
	return p.Finish()
}
