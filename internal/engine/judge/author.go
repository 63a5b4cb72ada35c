package judge

import (
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/message"
)

// author is what the From fields of a header say (RFC 9989 §5.3.1, §11.5).
type author struct {
	fault   FromFault
	address mail.Address  // the first
	domains []mail.Domain // of all, each once; at most maxAuthors
}

// maxAuthors is for how many domains of a From field a policy is asked.
const maxAuthors = 3

// readAuthor reads them as all readers do; where there is no such reading, as the most
// lenient does.
func readAuthor(h *dkim.Header) (a author) {
	fields := 0
	for _, f := range h.Fields {
		if f.Name != "from" {
			continue
		}
		fields++
		all, err := message.ParseOriginators(f.Value())
		if err != nil {
			a.fault = max(a.fault, FromBroken)
			all = lenient(f.Value())
		}
		if len(all) > 1 {
			a.fault = max(a.fault, FromSeveral)
		}
		for _, one := range all {
			if a.address.IsZero() {
				a.address = one
			}
			a.add(one.Domain)
		}
	}
	switch {
	case fields == 0:
		a.fault = FromMissing
	case fields > 1:
		a.fault = FromTwice
	}
	return a
}

func (a *author) add(d mail.Domain) {
	for _, known := range a.domains {
		if known == d {
			return
		}
	}
	if len(a.domains) < maxAuthors {
		a.domains = append(a.domains, d)
	}
}

// lenient are the addresses that a reader finds who takes anything.
func lenient(value []byte) (all []mail.Address) {
	for _, m := range message.ParseAddressList(value) {
		if m.Host == nil {
			continue
		}
		d, err := mail.ParseDomain(string(m.Host))
		if err != nil {
			continue
		}
		all = append(all, mail.Address{Local: string(m.Mailbox), Domain: d})
	}
	return all
}
