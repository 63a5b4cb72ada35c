package dmarc

import (
	"context"
	"fmt"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Resolver is what of dns.Resolver is asked.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
}

// Organization is the outcome of a search for an organizational domain.
type Organization struct {
	Domain dns.Name
	// Record is where the record is that decided; the root if none was found: then
	// the domain itself is its organizational domain.
	Record dns.Name
	PSD    PSD // what it says
}

// FindOrganization finds the organizational domain of d by a tree walk (RFC 9989
// §4.10.2). The error is a *dns.Error of a lookup that failed, or of kind
// mail.Invalid for an address literal.
func FindOrganization(ctx context.Context, r Resolver, d mail.Domain) (Organization, error) {
	n, err := dns.NameOf(d)
	if err != nil {
		return Organization{}, err
	}
	return newTree(ctx, r).organization(n)
}

// tree is what was asked for one message. Each name is asked for once.
type tree struct {
	ctx      context.Context
	resolver Resolver
	asked    map[dns.Name]lookup
}

// lookup is what is known of the record of a domain.
type lookup struct {
	record  *Record // nil if there is none
	failure dns.Failure
	err     error // the lookup failed for now
}

// found is a record with the domain it is for.
type found struct {
	domain dns.Name
	record *Record
}

func newTree(ctx context.Context, r Resolver) *tree {
	return &tree{ctx: ctx, resolver: r, asked: map[dns.Name]lookup{}}
}

// at looks for the record of n: the one at _dmarc that is one of DMARC. Where
// there are several, there is none (RFC 9989 §4.10 step 2).
func (t *tree) at(n dns.Name) lookup {
	l, ok := t.asked[n]
	if ok {
		return l
	}
	if len(t.asked) >= MaxLookups {
		return lookup{err: errTooMany, failure: dns.Canceled}
	}
	answer, err := t.txt(n)
	l.failure = dns.FailureOf(err)
	if l.failure.Temporary() {
		l.err = err
	}
	for _, txt := range answer.Records {
		r, ok := ParseRecord(txt)
		if ok && l.record != nil {
			l.record = nil
			break
		}
		if ok {
			l.record = &r
		}
	}
	t.asked[n] = l
	return l
}

// errTooMany is the end of a search that asks too much.
var errTooMany = fmt.Errorf("more than %d lookups", MaxLookups)

func (t *tree) txt(n dns.Name) (dns.Answer[string], error) {
	under, err := n.Under("_dmarc")
	if err != nil { // No name can be so long.
		return dns.Answer[string]{}, &dns.Error{Failure: dns.BadName, Name: n, Type: dns.TypeTXT, Err: err}
	}
	return t.resolver.TXT(t.ctx, under)
}

// walk goes from n up (RFC 9989 §4.10) and returns the records it finds, the
// longest name first, up to one that says what it is.
func (t *tree) walk(n dns.Name) ([]found, error) {
	var all []found
	for at := n; !at.IsRoot(); at = above(at, at == n) {
		l := t.at(at)
		if l.err != nil {
			return nil, l.err
		}
		if l.record == nil {
			continue
		}
		all = append(all, found{at, l.record})
		if l.record.PSD != Undeclared {
			break
		}
	}
	return all, nil
}

// above is the next name of a walk: the parent; after the first name one of at
// most MaxWalk - 1 labels, so that no walk asks for more than MaxWalk names.
func above(n dns.Name, first bool) dns.Name {
	labels := strings.Split(string(n), ".")
	skip := 1
	if first {
		skip = max(1, len(labels)-(MaxWalk-1))
	}
	return dns.Name(strings.Join(labels[skip:], "."))
}

// organization selects the organizational domain of n (RFC 9989 §4.10.2).
func (t *tree) organization(n dns.Name) (Organization, error) {
	all, err := t.walk(n)
	if err != nil || len(all) == 0 {
		return Organization{Domain: n}, err
	}
	top := all[len(all)-1] // The one that says what it is, or has the fewest labels.
	o := Organization{Domain: top.domain, Record: top.domain, PSD: top.record.PSD}
	if top.record.PSD == PublicSuffix && top.domain != n {
		o.Domain = below(top.domain, n)
	}
	return o, nil
}

// below is the name one label below suffix on the way down to n.
func below(suffix, n dns.Name) dns.Name {
	rest := strings.TrimSuffix(string(n), "."+string(suffix))
	return n[strings.LastIndexByte(rest, '.')+1:]
}

// policy finds the record that applies to mail of author, and the domain it is
// for (RFC 9989 §4.10.1); none is nil.
func (t *tree) policy(author dns.Name) (found, error) {
	l := t.at(author)
	if l.err != nil || l.record != nil {
		return found{author, l.record}, l.err
	}
	all, err := t.walk(author)
	if err != nil || len(all) == 0 {
		return found{}, err
	}
	o, err := t.organization(author) // Asks for nothing more.
	if err != nil {
		return found{}, err
	}
	for _, f := range all {
		if f.domain == o.Domain {
			return f, nil
		}
	}
	return all[len(all)-1], nil // The public suffix.
}

// exists reports whether n is a name in the DNS at all (RFC 9989 §3.2.13).
func (t *tree) exists(n dns.Name) (bool, error) {
	if l := t.at(n); l.record != nil || l.failure == dns.None || l.failure == dns.NoData {
		return true, nil // There is a name below it.
	}
	_, err := t.resolver.TXT(t.ctx, n)
	failure := dns.FailureOf(err)
	if failure.Temporary() {
		return false, err
	}
	return failure != dns.NXDomain, nil
}
