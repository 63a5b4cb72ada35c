package smtpd

import (
	"cmp"
	"time"
)

// Limits bounds what a client can do. A zero field means the default.
type Limits struct {
	MessageSize  int64 // octets of a message; announced with SIZE
	HeaderSize   int   // octets of its header
	Dropped      int64 // octets of a refused message that are read before the connection is closed instead
	Hops         int   // Received fields, our own counted in (RFC 5321 §6.3)
	Recipients   int   // RCPT commands in a transaction; announced with LIMITS
	Copies       int   // mailboxes and addresses elsewhere that one message goes to
	Transactions int   // MAIL commands in a session; announced with LIMITS

	// Since the last message was accepted, or the start of the session:
	Errors   int // commands refused for good, RCPT not counted
	Refusals int // recipients refused for good
	Idle     int // commands that lead to no message
	// BDAT of less than 1 KiB, the last of a message not counted
	SmallChunks int

	AuthFailures int // in a session

	Hold      time.Duration // that a message may wait before it is sent; announced with FUTURERELEASE
	DeliverBy time.Duration // the least by-time of mode R; announced with DELIVERBY

	Greeting  time.Duration // to wait for the first command
	Command   time.Duration // to wait for each other command (RFC 5321 §4.5.3.2.7)
	Data      time.Duration // to wait for the next octets of a message
	DataTotal time.Duration // for all of a message
	Handshake time.Duration // for STARTTLS
}

// DefaultLimits returns the defaults.
func DefaultLimits() Limits {
	return Limits{
		MessageSize:  50 << 20,
		HeaderSize:   256 << 10,
		Dropped:      256 << 20,
		Hops:         100,
		Recipients:   1000,
		Copies:       10_000,
		Transactions: 1000,
		Errors:       20,
		Refusals:     100,
		Idle:         100,
		SmallChunks:  1000,
		AuthFailures: 5,
		Hold:         30 * 24 * time.Hour,
		DeliverBy:    time.Minute,
		Greeting:     5 * time.Minute,
		Command:      5 * time.Minute,
		Data:         3 * time.Minute,
		DataTotal:    time.Hour,
		Handshake:    30 * time.Second,
	}
}

// maxSkip is how many octets of a line that is too long are read and dropped.
const maxSkip = 64 << 10

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		MessageSize:  cmp.Or(l.MessageSize, d.MessageSize),
		HeaderSize:   cmp.Or(l.HeaderSize, d.HeaderSize),
		Dropped:      cmp.Or(l.Dropped, d.Dropped),
		Hops:         cmp.Or(l.Hops, d.Hops),
		Recipients:   cmp.Or(l.Recipients, d.Recipients),
		Copies:       cmp.Or(l.Copies, d.Copies),
		Transactions: cmp.Or(l.Transactions, d.Transactions),
		Errors:       cmp.Or(l.Errors, d.Errors),
		Refusals:     cmp.Or(l.Refusals, d.Refusals),
		Idle:         cmp.Or(l.Idle, d.Idle),
		SmallChunks:  cmp.Or(l.SmallChunks, d.SmallChunks),
		AuthFailures: cmp.Or(l.AuthFailures, d.AuthFailures),
		Hold:         cmp.Or(l.Hold, d.Hold),
		DeliverBy:    cmp.Or(l.DeliverBy, d.DeliverBy),
		Greeting:     cmp.Or(l.Greeting, d.Greeting),
		Command:      cmp.Or(l.Command, d.Command),
		Data:         cmp.Or(l.Data, d.Data),
		DataTotal:    cmp.Or(l.DataTotal, d.DataTotal),
		Handshake:    cmp.Or(l.Handshake, d.Handshake),
	}
}
