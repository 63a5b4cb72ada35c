package hosts

import (
	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Fault is why there is no host to try, or one host less. Its text is what the
// report to the sender, the queue, the log and the explanation of a route say.
type Fault struct {
	Outcome  mail.Outcome // Deferred or Failed, if no other host can be tried
	Code     int          // a reply code that an RFC gives to it, or 0
	Enhanced string
	Text     string
	Host     string // that it is about; "" if it is about them all
}

// Decisive is the fault that is told of several where no host could be tried: the
// last that may pass, else the last.
func Decisive(faults []*Fault) *Fault {
	var last *Fault
	for _, f := range faults {
		if last == nil || f.Outcome == mail.Deferred || last.Outcome != mail.Deferred {
			last = f
		}
	}
	return last
}

// mxFault says what follows from a lookup of exchangers that failed (RFC 5321
// §5.1): only what the DNS says for certain is final.
func mxFault(d mail.Domain, f dns.Failure) *Fault {
	switch {
	case f == dns.NXDomain:
		return &Fault{mail.Failed, 0, "5.1.2", "the domain " + d.String() + " does not exist", ""}
	case !f.Temporary():
		return &Fault{mail.Failed, 0, "5.4.4", "there is no way to " + d.String() + ": " + f.String(), ""}
	}
	return &Fault{mail.Deferred, 0, "4.4.3", "the mail servers of " + d.String() + " could not be looked up: " + f.String(), ""}
}

// hostFault says what follows from a lookup of addresses that failed. A host
// that the operator named is a mistake to repair; one that a domain names is
// what the domain says.
func hostFault(host string, f dns.Failure, named bool) *Fault {
	text := "the address of " + host + " could not be looked up: " + f.String()
	if f.Temporary() {
		return &Fault{mail.Deferred, 0, "4.4.3", text, host}
	}
	if named {
		return &Fault{mail.Deferred, 0, "4.4.4", text, host}
	}
	return &Fault{mail.Failed, 0, "5.4.4", text, host}
}

func nullMX(d mail.Domain) *Fault { // RFC 7505 §4
	return &Fault{mail.Failed, 556, "5.1.10", "the domain " + d.String() + " takes no mail", ""}
}

func noExchanger(d mail.Domain) *Fault {
	return &Fault{mail.Failed, 0, "5.4.4", "none of the mail servers that " + d.String() + " names can be used", ""}
}

func backToUs(d mail.Domain) *Fault { // RFC 5321 §5.1
	return &Fault{mail.Failed, 0, "5.4.6", "mail for " + d.String() + " leads back to this server, which does not take it", ""}
}

func noProof(d mail.Domain) *Fault { // RFC 8689 §4.2.1
	return &Fault{mail.Failed, 0, "5.7.10", "the message demands TLS, and nothing proves the mail servers of " + d.String(), ""}
}

// noProofYet is noProof while nobody can say whether there is a proof.
func noProofYet(d mail.Domain) *Fault {
	return &Fault{mail.Deferred, 0, "4.7.10", "the message demands TLS, and what would prove the mail servers of " + d.String() + " could not be fetched", ""}
}

// noPolicy is our own trouble: what is kept of policies cannot be read.
func noPolicy(d mail.Domain) *Fault {
	return &Fault{mail.Deferred, 0, "4.3.0", "what the policy of " + d.String() + " (MTA-STS) asks for could not be found out", ""}
}

// notListed is why a host is not tried that the policy of a domain does not list (RFC
// 8461 §5): it may do so later, which is no use to a message that demands TLS (RFC 8689
// §4.2.1).
func notListed(host string, d mail.Domain, o mail.Outcome) *Fault {
	f := &Fault{o, 0, "4.7.5", "the policy of " + d.String() + " (MTA-STS) does not list " + host, host}
	if o == mail.Failed {
		f.Enhanced = "5.7.10"
		f.Text = "the message demands TLS, and nothing proves that " + host + " takes mail for " + d.String()
	}
	return f
}

// noTLSA is why a host is not tried whose TLSA records could not be looked up (RFC 7672
// §2.1.2): there may be some.
func noTLSA(host string, f dns.Failure) *Fault {
	return &Fault{mail.Deferred, 0, "4.7.5", "whether " + host + " has TLSA records could not be looked up: " + f.String(), host}
}

func noHosts() *Fault {
	return &Fault{mail.Deferred, 0, "4.3.5", "the route names no host", ""}
}

// NotTried is why hosts were left that may be right.
func NotTried() *Fault {
	return &Fault{mail.Deferred, 0, "4.4.1", "not all hosts could be tried this time", ""}
}

// GivenUp is why nothing more was tried, of a host or of all.
func GivenUp(host string) *Fault {
	return &Fault{mail.Deferred, 0, "4.3.2", "given up", host}
}
