package history

import (
	"cmp"
	"net/netip"
	"strings"

	"yubin/internal/mail"
)

// key is what a row is found by.
type key struct {
	account mail.AccountID
	name    string
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.account, o.account), strings.Compare(k.name, o.name))
}

// maxName is how long a name may be, in octets; longer ones are not remembered.
const maxName = 320

// What networks are known by: all of one is one party, as a rule.
const (
	bits4 = 24
	bits6 = 48
)

func provenName(a mail.Address) string {
	if a.IsZero() {
		return ""
	}
	return a.Key().String()
}

func claimedName(a mail.Address) string {
	if a.IsZero() {
		return ""
	}
	return "?" + a.Key().String()
}

func domainName(d mail.Domain) string {
	if d == "" {
		return ""
	}
	return "@" + string(d)
}

func networkName(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a, bits := a.Unmap().WithZone(""), bits4
	if a.Is6() {
		bits = bits6
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// written are the rows in which an act is remembered.
func written(account mail.AccountID, c Correspondent, act Act) (keys []key) {
	add := func(account mail.AccountID, name string) {
		if name != "" && len(name) <= maxName {
			keys = append(keys, key{account, name})
		}
	}
	if act == WrittenTo {
		add(Site, provenName(c.Address))
		add(account, provenName(c.Address))
		return keys
	}
	add(Site, domainName(c.Authenticated))
	add(Site, networkName(c.Network))
	add(account, domainName(c.Authenticated))
	if c.Authenticated != "" {
		add(Site, provenName(c.Address))
		add(account, provenName(c.Address))
		return keys
	}
	add(account, claimedName(c.Address))
	add(account, networkName(c.Network))
	return keys
}

// asked are the rows that say what is known of somebody.
func asked(account mail.AccountID, c Correspondent) (keys []key) {
	names := []string{provenName(c.Address), domainName(c.Authenticated), networkName(c.Network)}
	if c.Authenticated == "" {
		names = append(names, claimedName(c.Address))
	}
	for _, name := range names {
		if name != "" && len(name) <= maxName {
			keys = append(keys, key{account, name}, key{Site, name})
		}
	}
	return keys
}
