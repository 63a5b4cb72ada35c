package signing

import (
	"time"

	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/dkim"
)

// sealing extends the chain of a message that goes on. The zero value does nothing.
type sealing struct {
	sealer *arc.Sealer
	chain  *arc.Verifier
	found  arc.Result // when the message came
	value  []byte     // of what was found then, all of it
}

// begin is told of the header of the message. Where nothing of ours stands in it nobody
// checked the message, and there is nothing to seal.
func (s *sealing) begin(servID string, keys []dkim.SigningKey, now time.Time, h *dkim.Header, body *dkim.Body) (err error) {
	if s.value, s.found = arc.Gather(h, servID); s.value == nil {
		return nil
	}
	for _, k := range keys {
		if k.Key.Algorithm() != dkim.RSASHA256 { // The only one that all know in a chain.
			continue
		}
		if s.sealer, err = arc.NewSealer(arc.SealOptions{Domain: k.Domain, Selector: k.Selector, Key: k.Key, Time: now}); err != nil {
			return err
		}
		s.chain = arc.NewShared(arc.Options{Now: now})
		s.chain.Begin(h, body)
		s.sealer.Begin(h, body)
		return nil
	}
	return nil
}

// finish is told that the message is over, and returns the fields.
func (s *sealing) finish() ([]byte, error) {
	if s.sealer == nil {
		return nil, nil
	}
	return s.sealer.Seal(s.chain.Known(s.found), s.found, s.value)
}
