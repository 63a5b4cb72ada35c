package dnslist

import (
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// MaxLinks is how many different hosts of one message are asked for.
const MaxLinks = 12

// OfLinks makes subjects of the hosts in the links of a message: of a name its
// registrable domain, of an address the address; each once. Of more than MaxLinks
// the first half and the last are taken.
func OfLinks(hosts []string) []Subject {
	var all []Subject
	for _, h := range hosts {
		if s, ok := ofLink(h); ok && !slices.Contains(all, s) {
			all = append(all, s)
		}
		if len(all) == maxHosts {
			break
		}
	}
	if len(all) > MaxLinks {
		all = slices.Concat(all[:MaxLinks/2], all[len(all)-MaxLinks/2:])
	}
	return all
}

// maxHosts is how many different hosts are looked at for OfLinks to choose from.
const maxHosts = 500

func ofLink(host string) (Subject, bool) {
	host = strings.TrimSuffix(host, ".")
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return Subject{About: Link, Addr: addr.Unmap().WithZone("")}, true
	}
	d, err := mail.ParseDomain(host)
	if err != nil || d.IsLiteral() || !strings.Contains(string(d), ".") {
		return Subject{}, false
	}
	return Subject{About: Link, Domain: Registrable(d)}, true
}

// Registrable is the domain that somebody registered to have d: the last two labels
// of it, or three where the last is a country and the one before it one of those
// that countries divide themselves by (co.uk, com.au). It is a guess without any list of
// public suffixes, good enough to ask lists, which do not have what many share. Who
// needs the domain whose owner answers for d asks dmarc.FindOrganization, which asks
// the DNS.
func Registrable(d mail.Domain) mail.Domain {
	labels := strings.Split(string(d), ".")
	n := len(labels)
	keep := 2
	if n > 2 && len(labels[n-1]) == 2 && slices.Contains(divisions, labels[n-2]) {
		keep = 3
	}
	return mail.Domain(strings.Join(labels[max(0, n-keep):], "."))
}

// divisions are second-level labels of countries below which others register.
var divisions = []string{"ac", "co", "com", "edu", "gen", "go", "gob", "gouv", "gov", "govt", "gv", "id", "ltd", "ad", "ed", "gr", "lg",
	"me", "mil", "ne", "net", "nhs", "nom", "or", "org", "plc", "police", "sch", "school", "web", "asn", "biz", "info", "k12"}
