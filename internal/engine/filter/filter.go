// Package filter asks filters of others what they think of a message, and does what
// they say: milters (session/milterc), rspamd (session/rspamdc) and clamd
// (session/clamdc). None is asked unless it is configured.
//
// # The way of a message
//
//	Open   at MAIL: each filter hears of the client and of the sender
//	Rcpt   of each recipient that the router takes
//	End    at the final dot: the octets, as the client sent them, without our trace
//
// Filters that may change the message are asked in order, each about what those before
// made of it. Those that only look (Filter.Watches) see it as it came, side
// by side with the others. What the first says who wants no more counts, a refusal
// before a delay before throwing away; facts of all are for who judges.
//
// # Changes
//
// Octets change at the door and nowhere else, after signatures were hashed over what
// the client sent (design: "what the door changes is named"). So a filter may do
// all that it can say at the end: fields added, put in, changed and taken away, the body,
// the reverse-path, recipients. A message with changes is a new message, written
// once with all changes of a filter (edit.go); End gives it back, and the caller goes on with it. A
// body is not kept in memory. Recipients that a filter adds are for the caller
// to route, as those of the envelope are. Parameters of ESMTP that filters give with
// addresses are not honoured.
//
// # Filters that are down
//
// A filter that does not answer within its time, or talks nonsense, is down: its
// setting says whether mail is taken without it (Accept, the default: the log and the
// verdict tell) or has to wait (Defer). After Failures in a row nobody waits for
// it any more: for Pause all mail goes as the setting says.
//
// It knows no protocol and starts nothing in its constructor.
package filter

import (
	"context"
	"io"
	"net/netip"
	"time"

	"yubin/internal/mail"
)

// Limits of what one filter may ask for with one message.
const (
	MaxChanges    = 1000      // fields
	MaxFieldBytes = 256 << 10 // octets of them
	MaxRecipients = 1000      // added and removed
	MaxFacts      = 50
)

// Filter is somebody whom we ask. Safe for concurrent use.
type Filter interface {
	// Watches says that the filter never changes a message.
	Watches() bool
	// Open begins with a message of a client. A filter that does not want to hear of it
	// answers Accept.
	Open(ctx context.Context, c Connection, from Sender) (Conversation, Answer, error)
}

// Conversation is about one message. One goroutine at a time uses it; the context
// of a method ends it. After an error or an answer that is not Continue it is only
// closed, but for that of Rcpt, which is about that recipient alone if it is Reject or Defer.
type Conversation interface {
	Rcpt(ctx context.Context, to Recipient) (Answer, error)
	End(ctx context.Context, m Message) (Outcome, error)
	Close()
}

// Connection is who brings a message.
type Connection struct {
	Hostname mail.Domain    // ours
	Client   netip.AddrPort // not valid on a local socket
	Name     string         // of the client by the reverse zone, if it leads back; else ""
	Hello    string
	TLS      string // "TLSv1.3", "" without
	Cipher   string
	User     string // who logged in; "" if nobody has
	ID       string // our name for the message, as in Received
}

// Sender is MAIL.
type Sender struct {
	ReversePath mail.ReversePath
	Params      []string // of ESMTP, as they came: "SIZE=1000"
}

// Recipient is RCPT.
type Recipient struct {
	Address mail.Address
	Params  []string
}

// Message is the octets of a message, for a filter to look at.
type Message struct {
	io.ReaderAt
	Size       int64
	HeaderSize int64            // with the empty line after it
	NewBody    func() io.Writer // begins another body in the place of that which is there
}

// Do is what a filter would have done.
type Do uint8

// What there is.
const (
	Continue Do = iota
	Accept      // ask me no more
	Discard     // say that it is taken, and throw it away
	Defer       // not now
	Reject      // never
)

func (d Do) String() string {
	return [...]string{"continue", "accept", "discard", "defer", "reject"}[d]
}

// Answer is what a filter says.
type Answer struct {
	Do    Do
	Reply Reply // with Defer and Reject; the zero Reply means ours
}

// Reply is the words of a filter for the client.
type Reply struct {
	Code     int // 4xx with Defer, 5xx with Reject
	Enhanced mail.Enhanced
	Text     string // printable ASCII on one line
}

// Outcome is what a filter says of a whole message.
type Outcome struct {
	Answer
	Quarantine string   // why it is to be kept aside, "" if it is not
	Fields     []Change // in the order in which they are done
	Sender     *mail.ReversePath
	Add        []mail.Address
	Remove     []mail.Address
	Facts      []Fact
}

// ChangeKind is a kind of change.
type ChangeKind uint8

// The kinds.
const (
	AddField    ChangeKind = iota // at the end of the header
	InsertField                   // so that it is the field with Index, counted from 0
	SetField                      // the field of that name with Index, counted from 1; no value takes it away
)

// Change is a change of a header. Value is what stands after the colon, with a
// space in front if it has one; it may be folded.
type Change struct {
	Kind  ChangeKind
	Index int
	Name  string
	Value string
}

// Fact is something that a filter found, for who judges the message.
type Fact struct {
	Name   string // letters, digits and hyphens
	Text   string // a sentence without its full stop, in printable ASCII
	Weight float64
}

// Setting is a filter as it is configured.
type Setting struct {
	Name   string
	Filter Filter
	Down   Do            // Accept or Defer
	Time   time.Duration // that it has for End, and for each step before; 0 means DefaultTime
	// Largest is the size of a message, in octets, above which the filter is not asked
	// at the end; 0 is no bound.
	Largest int64
}

// DefaultTime is how long a filter has for a step.
const DefaultTime = 20 * time.Second

// When nobody waits for a filter any more, and for how long.
const (
	Failures = 3
	Pause    = 30 * time.Second
)
