package intake

import (
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Tap sees the octets of a message as they come: each once, in order. What it is
// given is only lent. An error of it ends the message.
type Tap interface{ Tap(octets []byte) error }

// Message is a message on its way in. After Finish its header and structure are
// known, and it can be read anywhere. Not safe for concurrent use.
type Message struct {
	*store.Incoming // the first to see the octets: it keeps, hashes and parses them
	taps            []Tap
	closed          bool
}

// NewMessage makes a Message of what a store receives; see Intake.Begin.
func NewMessage(in *store.Incoming, taps ...Tap) *Message {
	return &Message{Incoming: in, taps: taps}
}

// Write adds octets. It fails when they cannot be kept or a tap does not want them,
// and then the message is lost.
func (m *Message) Write(p []byte) (int, error) {
	if m.closed {
		return 0, mail.Errorf(mail.Internal, "octets for a message that is closed")
	}
	n, err := m.Incoming.Write(p)
	if err != nil || len(p) == 0 {
		return n, err
	}
	for _, t := range m.taps {
		if err := t.Tap(p); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Close drops what no commit took. It can be called more than once.
func (m *Message) Close() {
	m.closed = true
	m.Incoming.Close()
}
