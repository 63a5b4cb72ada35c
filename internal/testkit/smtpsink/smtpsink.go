// Package smtpsink is an SMTP or LMTP host for tests: it takes mail, keeps none
// of it unless told to, tells what it took and what it answered, and misbehaves as told at each
// step of the conversation. smtppeer plays one conversation line by line; a Host
// has any number of them.
package smtpsink

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// Moment is when a host has something to say.
type Moment uint8

// The moments.
const (
	Greeting Moment = iota
	Hello
	StartTLS
	Mail
	Rcpt
	Data    // the command
	Content // before its first octet, after the reply to DATA or the line BDAT
	End     // the whole message is there; by LMTP once for each recipient
	Other   // RSET, NOOP, QUIT and what is not known
)

// Event is a moment of one conversation.
type Event struct {
	Moment
	Session int    // of this host, from 1
	Line    string // of the client
	From    string // the reverse-path, from Mail on
	To      string // the recipient: of Rcpt, and of End by LMTP
	Letter  *Letter
}

// Then is how a conversation goes on.
type Then uint8

// The ways.
const (
	GoOn  Then = iota
	Close      // the connection ends
	Reset      // it breaks
	Hold       // nothing more is said until the client is gone
)

// Say is what a host does at a moment. The zero value is what a good host does;
// with only a Then, nothing is said.
type Say struct {
	Text  string        // lines parted by LF
	Raw   bool          // Text is octets instead
	Drip  time.Duration // each octet of Text leaves after so long
	Flood bool          // Text is said until the client is gone
	Eat   int           // of Content: octets to read before
	Then  Then
}

// Letter is one message that came whole.
type Letter struct {
	From   string
	To     []string // the recipients that were accepted
	ID     string   // of its Message-ID, without angle brackets
	Size   int      // octets, without stuffed dots
	Sum    uint32   // CRC-32 (IEEE) of the octets after the header
	Offers string   // what MAIL said after the address
	Octets []byte   // of a Host that keeps them
}

// Host is what all conversations share. Its functions are called by any number
// of goroutines.
type Host struct {
	Offers []string    // extensions in the answer to EHLO; STARTTLS comes by itself
	LMTP   bool        // LHLO, and an answer for each recipient
	TLS    *tls.Config // nil for no STARTTLS
	Keep   bool        // Letter.Octets

	Behave func(Event) Say // nil for a good host
	// Heard is called when the whole of a letter is there, before the answer.
	Heard func(*Letter)
	// Answered is called for each recipient of a letter when its answer was
	// written; err says that it could not be, or that there was none.
	Answered func(l *Letter, to string, code int, err error)

	sessions atomic.Int64
}

// Serve has one conversation and closes the connection.
func (h *Host) Serve(conn net.Conn) {
	s := newSession(h, conn)
	defer func() { _ = s.conn.Close() }() // The client may be gone.
	s.run()
}

// Sessions is how many conversations were begun.
func (h *Host) Sessions() int { return int(h.sessions.Load()) }
