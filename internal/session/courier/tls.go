package courier

import (
	"net/netip"

	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
)

// termsText is who asked for what of TLS in a session that was opened, and of a policy
// that is only tested, whether it was so.
func termsText(t hosts.Terms, k mail.Connection) string {
	text := t.String()
	if !t.Testing {
		return text
	}
	if f := shortfall(t, k); f != nil {
		return text + ": not met, " + f.ReasonCode
	}
	return text + ": met"
}

// shortfall is what of a session that was opened is not as its terms want it; nil if
// nothing is.
func shortfall(t hosts.Terms, k mail.Connection) *tlsrpt.Failure {
	switch {
	case k.TLS == "":
		return &tlsrpt.Failure{Result: tlsrpt.StartTLSNotSupported, ReasonCode: "no TLS"}
	case t.Unlisted:
		return &tlsrpt.Failure{Result: tlsrpt.ValidationFailure, ReasonCode: hosts.Unlisted}
	case t.Testing && !k.Verified:
		return &tlsrpt.Failure{Result: certResults[k.Certificate], ReasonCode: "certificate: " + k.Certificate.String()}
	}
	return nil
}

// certResults are what reports call the faults of a certificate (RFC 8460 §4.3.1).
var certResults = map[mail.CertFault]tlsrpt.ResultType{
	mail.CertMissing: tlsrpt.ValidationFailure,
	mail.CertName:    tlsrpt.CertificateHostMismatch,
	mail.CertExpired: tlsrpt.CertificateExpired,
	mail.CertUnknown: tlsrpt.CertificateNotTrusted,
	mail.CertInvalid: tlsrpt.ValidationFailure,
	mail.CertUnnamed: tlsrpt.CertificateNotTrusted,
}

// observe tells what TLS came to with a session, which was opened or ended in fault. One
// that ended before or after TLS for another reason says nothing of it (RFC 8460 §4.3.4).
func (r *run) observe(to hosts.Candidate, local netip.Addr, k mail.Connection, fault mail.Answer, ok bool) {
	if to.Terms.Report == nil {
		return
	}
	var f *tlsrpt.Failure
	switch {
	case ok:
		f = shortfall(to.Terms, k)
	case fault.Phase != mail.PhaseTLS || fault.Trouble == mail.Canceled:
		return
	case fault.Trouble == mail.Lacking:
		f = &tlsrpt.Failure{Result: tlsrpt.StartTLSNotSupported}
	case fault.Trouble == mail.Unverified:
		f = &tlsrpt.Failure{Result: certResults[k.Certificate], ReasonCode: k.Certificate.String()}
	default:
		f = &tlsrpt.Failure{Result: tlsrpt.ValidationFailure, ReasonCode: fault.Text}
	}
	o := *to.Terms.Report
	if f == nil && o.Failure != nil { // The policy itself is at fault.
		whole := *o.Failure
		f = &whole
	}
	if o.Failure = f; f != nil {
		f.SendingIP, f.ReceivingIP, f.MXHostname = local, to.Addr.Addr(), to.Host
	}
	r.tell(o)
}

func (r *run) tell(o tlsrpt.Observation) {
	if r.c.cfg.Observer != nil {
		r.c.cfg.Observer.ObserveTLS(o)
	}
}
