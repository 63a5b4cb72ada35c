// Package mail holds the nouns that every part of yubin shares: addresses,
// envelopes, the identifiers of stored mail, flags, mailbox names, UID sets
// and the kinds of error. Each is parsed once at the edge; no raw string for
// any of them crosses a package boundary.
//
// It does no I/O, reads no clock and starts nothing.
package mail

import (
	"encoding/hex"
	"strconv"
	"time"
)

// Identifiers of stored mail (RFC 8474, RFC 8621). All are given by the store,
// never zero, never used twice.
type (
	AccountID int64
	MailboxID int64
	EmailID   int64 // one stored message in one account
	ThreadID  int64
)

// String forms are what clients see: a letter for the kind, then the number.
func (id EmailID) String() string   { return "E" + strconv.FormatInt(int64(id), 10) }
func (id ThreadID) String() string  { return "T" + strconv.FormatInt(int64(id), 10) }
func (id MailboxID) String() string { return "M" + strconv.FormatInt(int64(id), 10) }

// BlobID names octets by their SHA-256.
type BlobID [32]byte

func (id BlobID) String() string { return hex.EncodeToString(id[:]) }

type (
	// UID numbers a message in a mailbox, from 1, strictly ascending (RFC 9051 §2.3.1.1).
	UID uint32
	// UIDValidity changes when the UIDs of a mailbox name start anew.
	UIDValidity uint32
	// SeqNum is a position in one session's view of a mailbox, from 1.
	SeqNum uint32
	// ModSeq counts the changes of an account (RFC 7162); also its JMAP state.
	ModSeq uint64
)

// Body is the body type a sender declared (RFC 6152, RFC 3030).
type Body uint8

// The body types, in the order of what they ask of a next hop.
const (
	Body7Bit Body = iota
	Body8BitMIME
	BodyBinaryMIME
)

// Recipient is one forward-path of an envelope.
type Recipient struct {
	Address Address
}

// Envelope is what SMTP says of a message beside its content (RFC 5321 §2.3.1).
type Envelope struct {
	ReversePath ReversePath
	Recipients  []Recipient
	Body        Body
	UTF8        bool // SMTPUTF8 was asked for (RFC 6531)
}

// Principal is who logged in.
type Principal struct {
	Account AccountID
	Address Address // the account's primary address
	Version int     // of the account when the login was checked; what ends all its sessions raises it

	Credential Credential // that it logged in with
}

// Credential is what somebody logged in with.
type Credential struct {
	Number int       // in the account, given once; 0 for what is kept by others
	Name   string    // of an app password; "" for the account's own
	Until  time.Time // when it ends by itself; zero for never
	Via    string    // what somebody else vouched by, for the log; "" for a password
}
