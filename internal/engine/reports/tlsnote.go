package reports

import (
	"crypto/sha256"
	"encoding/json"

	"yubin/internal/mailauth/tlsrpt"
)

// maxPolicyOctets bounds the texts of a policy in a tuple.
const maxPolicyOctets = 4096

// tlsTuple is what is remembered of a session.
type tlsTuple struct {
	Policy  tlsrpt.Policy
	Failure *tlsrpt.Failure `json:",omitempty"`
}

// ObserveTLS counts a session with another server for the reports of the day. It is quick:
// nothing is written yet. Whether the domain wants reports is asked after the day.
func (r *Reports) ObserveTLS(o tlsrpt.Observation) {
	domain := o.For
	if domain == "" {
		domain = o.Policy.Domain
	}
	if domain == "" || domain.IsLiteral() || !r.settings.Load().Send {
		return
	}
	o = o.Clean(maxPolicyOctets)
	if o.Policy.Domain == "" {
		o.Policy.Domain = domain
	}
	tuple, err := json.Marshal(tlsTuple{o.Policy, o.Failure})
	if err != nil {
		return // Not with these fields.
	}
	one := &counted{tuple: tuple}
	if o.Failure != nil { // Hosts say something else each time.
		one.coarse, _ = json.Marshal(tlsTuple{o.Policy, &tlsrpt.Failure{Result: o.Failure.Result}})
	}
	k := tupleKey{dayKey{TLS, dayOf(r.o.Now()), domain}, sha256.Sum256(tuple)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.add(k, one, nil)
}
