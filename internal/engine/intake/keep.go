package intake

import (
	"slices"

	"yubin/internal/engine/store"
	"yubin/internal/world/sqldb"
)

// Keeper may want the octets of a message for itself, whatever becomes of the
// message otherwise: reports of others are read out of mail in the background. It
// is asked when a plan is made, with the message complete, and is quick.
type Keeper interface {
	Keep(e Envelope, to []Recipient, m *Message) Keep // nil if it does not want them
}

// Keep is run in the commit, with a reference to the octets that it releases in the
// end, and the fields in front of them. It obeys what sqldb asks of every closure
// given to Write.
type Keep func(tx *sqldb.Tx, octets store.BlobRef, prefix []byte) error

// keepPrefix are the fields in front of what a Keeper has: what was thought of the
// message, how it came.
func (p *Plan) keepPrefix() []byte {
	return p.Message.Before(slices.Concat(p.judgement.Prefix, p.envelope.Prefix))
}
