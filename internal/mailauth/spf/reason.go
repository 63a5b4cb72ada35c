package spf

import (
	"fmt"
	"strconv"

	"yubin/internal/dns"
)

// Cause is what decided a result. The list is closed.
type Cause uint8

// The causes.
const (
	Matched           Cause = iota // a mechanism of the record matched
	NothingMatched                 // none did, and there is no redirect
	NotAName                       // an address literal, one label, no name of the DNS
	NoSuchDomain                   // the domain does not exist
	NoRecord                       // the domain has no SPF record
	LookupFailed                   // the DNS did not answer: temperror
	SeveralRecords                 // from here on: permerror
	LongRecord                     // over MaxRecord
	BadTerm                        // a term is not as RFC 7208 §12 has it
	TooManyLookups                 // over MaxLookups
	TooManyVoids                   // over MaxVoids
	TooManyExchangers              // over MaxExchangers
	NothingIncluded                // the domain of an include has no record
	NothingRedirected              // the domain of a redirect has no record
)

// Reason is why a result is what it is.
type Reason struct {
	Cause Cause
	// Domain is whose record decided, or has the fault, as text.
	Domain string
	// Term is the term of that record, as a stranger wrote it: any octets. It is
	// empty when no single term decided.
	Term string
	// Failure says what became of the lookup, for LookupFailed.
	Failure dns.Failure
}

// maxShown is how much of a name or term a sentence quotes.
const maxShown = 120

func shown(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "..."
	}
	return strconv.QuoteToASCII(s)
}

// String is the reason as a sentence without its full stop, in printable ASCII.
func (r Reason) String() string {
	domain, term := shown(r.Domain), shown(r.Term)
	if quoted := domain[1 : len(domain)-1]; quoted == r.Domain {
		domain = quoted // A name like any other.
	}
	switch r.Cause {
	case Matched:
		return fmt.Sprintf("the term %s of %s matches", term, domain)
	case NothingMatched:
		return fmt.Sprintf("no term of %s matches, and it does not say what is then", domain)
	case NotAName:
		return fmt.Sprintf("%s is not a domain name with an SPF record", domain)
	case NoSuchDomain:
		return fmt.Sprintf("%s does not exist", domain)
	case NoRecord:
		return fmt.Sprintf("%s has no SPF record", domain)
	case LookupFailed:
		s := fmt.Sprintf("the DNS cannot tell about %s now: %s", domain, r.Failure)
		if r.Term != "" {
			s += ", for the term " + term
		}
		return s
	case SeveralRecords:
		return fmt.Sprintf("%s has more than one SPF record; it must have one", domain)
	case LongRecord:
		return fmt.Sprintf("the SPF record of %s is over %d octets", domain, MaxRecord)
	case BadTerm:
		return fmt.Sprintf("the term %s of %s is not valid", term, domain)
	case TooManyLookups:
		return fmt.Sprintf("the SPF records need more than %d lookups; the term %s of %s is one too many", MaxLookups, term, domain)
	case TooManyVoids:
		return fmt.Sprintf("more than %d terms lead to names that the DNS does not have; the term %s of %s is one too many", MaxVoids, term, domain)
	case TooManyExchangers:
		return fmt.Sprintf("the term %s of %s leads to more than %d mail exchangers", term, domain, MaxExchangers)
	case NothingIncluded:
		return fmt.Sprintf("the term %s of %s leads to a domain without an SPF record", term, domain)
	case NothingRedirected:
		return fmt.Sprintf("the redirect of %s leads to a domain without an SPF record", domain)
	}
	return ""
}
