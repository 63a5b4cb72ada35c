package history

import (
	"bytes"
	"net/netip"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/mailauth/authres"
	"yubin/internal/message"
)

// Of is who wrote an email, by what the store has of it: the first address of From, and
// what this server wrote into the fields before the message, which nobody else can:
// whether the domain was proven, and from where it came.
func Of(o store.Origin) Correspondent {
	c := Correspondent{Address: author(o.Form)}
	for f := range message.Fields(o.Prefix) {
		switch {
		case strings.EqualFold(f.Name, "Received") && !c.Network.IsValid():
			c.Network = clientOf(f.Value)
		case strings.EqualFold(f.Name, authres.FieldName):
			if results, err := authres.Parse(f.Value); err == nil && proves(results, c.Address.Domain) {
				c.Authenticated = c.Address.Domain
			}
		}
	}
	return c
}

// proves says whether the domain of From is proven: by DMARC (RFC 9989), or by what would
// be enough for it if the domain had a policy.
func proves(f authres.Field, from mail.Domain) bool {
	if from == "" {
		return false
	}
	for _, r := range f.Results {
		if r.Value != "pass" {
			continue
		}
		switch r.Method {
		case "dmarc":
			if d, err := mail.ParseDomain(r.Get("header", "from")); err == nil && d == from {
				return true
			}
		case "dkim":
			if d, err := mail.ParseDomain(r.Get("header", "d")); err == nil && isWithin(from, d) {
				return true
			}
		case "spf":
			sender := r.Get("smtp", "mailfrom")
			if d, err := mail.ParseDomain(sender[strings.LastIndexByte(sender, '@')+1:]); err == nil && isWithin(from, d) {
				return true
			}
		}
	}
	return false
}

// isWithin says whether a domain is another or below it. Nobody signs for a domain of
// which others have parts.
func isWithin(d, above mail.Domain) bool {
	return d == above || strings.HasSuffix(string(d), "."+string(above))
}

// author is the first address of From; zero if there is none that mail could go to.
func author(f message.Form) mail.Address {
	list := f.Envelope().From
	for {
		a, more := list.Next()
		if !more {
			return mail.Address{}
		}
		if a.Group() != message.NoGroup {
			continue
		}
		domain, err := mail.ParseDomain(a.Host.String())
		if err != nil {
			continue
		}
		// Written and read again, so that it is an address like any other.
		if address, err := mail.ParseAddress(mail.Address{Local: a.Mailbox.String(), Domain: domain}.String()); err == nil {
			return address
		}
	}
}

// clientOf is the address of the client in a Received field of ours: the comment behind
// what the client called itself, which has no parentheses.
func clientOf(value []byte) netip.Addr {
	_, after, ok := bytes.Cut(value, []byte("("))
	literal, _, closed := bytes.Cut(after, []byte(")"))
	if !ok || !closed || bytes.Contains(literal, []byte(" ")) {
		return netip.Addr{}
	}
	d, err := mail.ParseDomain(string(literal))
	if err != nil {
		return netip.Addr{}
	}
	return d.IP()
}
