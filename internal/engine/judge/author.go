package judge

import (
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/message"
)

// author is what the From fields of a header say (RFC 9989 §5.3.1, §11.5).
type author struct {
	fault   FromFault
	address mail.Address  // the first
	domains []mail.Domain // of all, each once; at most maxAuthors
	more    bool          // there are others
	unread  bool          // a reader may show an address of which nobody can say whose it is
	named   []mail.Domain // of all, each once; at most maxNamed
}

// maxNamed is of how many domains of a From field it is asked whether they are ours.
const maxNamed = 100

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
			var unread bool
			all, unread = lenient(f.Value())
			a.unread = a.unread || unread || len(all) == 0
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
	if slices.Contains(a.named, d) {
		return
	}
	if len(a.named) < maxNamed {
		a.named = append(a.named, d)
	}
	if len(a.domains) == maxAuthors {
		a.more = true
		return
	}
	a.domains = append(a.domains, d)
}

// lenient are the addresses that a reader finds who takes anything. Unread says that
// there is one whose domain is none.
func lenient(value []byte) (all []mail.Address, unread bool) {
	for _, m := range message.ParseAddressList(value) {
		if m.Host == nil {
			continue
		}
		d, err := mail.ParseDomain(strings.TrimRight(strings.Trim(string(m.Host), "\x00 \t"), "."))
		if err != nil {
			unread = true
			continue
		}
		all = append(all, mail.Address{Local: string(m.Mailbox), Domain: d})
	}
	return all, unread
}
