package hosts

import "yubin/internal/mail"

// TLS is what is demanded of a connection to any host of the hop, for a message
// that demands TLS or not (RFC 8689 §4.2.1): a password goes to nobody else, and
// where TLS comes before the greeting there is nothing else to fall back to.
func TLS(hop mail.NextHop, demandsTLS bool) mail.TLSPolicy {
	switch {
	case demandsTLS:
		return mail.TLSVerified
	case hop.TLS != mail.TLSOpportunistic:
		return hop.TLS
	case hop.Auth != nil:
		return mail.TLSVerified
	case hop.ImplicitTLS:
		return mail.TLSRequired
	}
	return mail.TLSOpportunistic
}

// trust returns a fault if the names of the exchangers may not be trusted: a message
// that demands TLS goes only where DNSSEC proves that they are the domain's, as
// anybody can have a certificate of his own name (RFC 8689 §4.2.1).
func (s *Search) trust(demandsTLS bool) *Fault {
	if demandsTLS && !s.Proof.Authentic {
		return noProof(s.hop.Domain)
	}
	return nil
}

// terms sets how h, whose addresses are known, is to be spoken to. A policy by which
// it must not be tried gives it a Fault.
func (s *Search) terms(h *Host) { h.TLS = s.tls }
