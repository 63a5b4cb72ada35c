// Package search finds the messages of one mailbox that meet a tree of
// criteria. It knows no protocol: a session maps its own search keys onto
// Criteria and turns sequence numbers into UIDs first.
//
// How text compares: what is searched and what is looked for are decoded to
// UTF-8 (RFC 2047 in header fields, transfer encoding and charset in bodies),
// then brought into Unicode NFKC and case-folded; after that a key matches if
// it occurs anywhere in the text. So "straße" finds "STRASSE", and half-width
// katakana finds full-width. Text never matches across two header fields or
// two body parts.
//
// What is searched: Header looks at all fields of a name in the message's own
// header; where the envelope tells, the header is not read for it.
// Leaves looks at the text of every leaf of type text, as BODY does in RFC 9051
// §6.4.4. Body looks at the header fields of embedded messages too, which RFC
// 3501 allows. Text looks at all of that, the message's own
// header fields and the MIME header fields of its parts. Other leaves, such as
// images, are not looked at (RFC 9051 §6.4.4 allows that); HTML is searched as
// it is written, tags included.
//
// Envelope looks at a field as the envelope has it (RFC 9051 §6.4.4 says so of
// FROM, TO, CC, BCC and SUBJECT): of repeated fields the first, of addresses
// "Name <local@domain>" each, with ", " between them, so without comments and
// quotes. A field without an address is one that is not there, and matches
// nothing. SentBefore and its like look at the envelope's date.
//
// Cost: keys are evaluated cheapest first, and only for messages that cheaper
// keys left undecided. Flags and UIDs need no database, sizes and dates only
// the membership row, envelope keys the envelope that the store keeps, header
// and text keys the octets, which are streamed: memory does not grow with the
// message. All texts that a program looks for are found in one pass over a
// message, whatever their number, and header fields likewise. What envelopes say is kept in memory, folded, within the bound given
// to NewSource: nothing of it can change as long as a UID lives. Content that cannot be read counts as
// a message that matches nothing; it never fails the search.
package search

import (
	"time"

	"yubin/internal/mail"
)

// Op is the kind of a Criteria node.
type Op uint8

// The operators.
const (
	All        Op = iota // every message
	And                  // all of Keys
	Or                   // any of Keys
	Not                  // not Keys[0]
	UIDs                 // UID is in Set
	HasFlag              // all of Flag are set
	HasKeyword           // Keyword is set
	Header               // a field called Field contains Text
	Envelope             // the first field called Field, one of those of partOf, contains Text
	Body                 // the body contains Text, header fields of embedded messages included
	Leaves               // the text of the body contains Text
	Text                 // header or body contains Text
	Before               // received before Day
	On                   // received on Day
	Since                // received on or after Day
	SentBefore           // as Before, by the Date header field
	SentOn               // as On, by the Date header field
	SentSince            // as Since, by the Date header field
	Larger               // size > Size
	Smaller              // size < Size
)

// Criteria is a node of what is looked for. Days are compared as they are
// written, without time and zone.
type Criteria struct {
	Op      Op
	Keys    []Criteria
	Set     mail.UIDSet
	Flag    mail.Flags
	Keyword string
	Field   string // of a header field, in any case
	Text    string // UTF-8; "" is found in any text
	Day     time.Time
	Size    int64
}

// Program is Criteria made ready to run; safe for use by several goroutines.
type Program struct {
	root      node
	texts     words // of Leaves, Body and Text
	headers   words // of Header
	cost      cost  // the dearest key
	keys      int
	rows      bool // a key needs the membership row and no more
	envelopes bool // a key needs the envelope and no more
}

// cost orders keys by what they must read.
type cost uint8

const (
	costEntry    cost = iota // the view's entry
	costRow                  // the membership row
	costEnvelope             // the envelope
	costHeader               // the header octets
	costText                 // all octets
)

// manyKeys is how many make a program dear whatever they are.
const manyKeys = 32

// dear reports whether a processor has much to do for a message.
func (p *Program) dear() bool { return p.cost >= costHeader || p.keys > manyKeys }

// node is a compiled Criteria; the keys of And and Or are in order of cost.
type node struct {
	Criteria
	cost   cost
	keys   []node
	octets []byte // Envelope, and Header where the envelope tells: Text folded
	part   part   // of the same: Field
	day    day    // Before to SentSince: Day
	text   int    // Leaves, Body, Text: its number in Program.texts; Header: in Program.headers
}
