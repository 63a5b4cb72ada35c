// Package dmarc says whether the domain in the From field of a message is one
// that wrote it, and what its owner wants done if not: RFC 9989, with the
// internationalized domains of RFC 8616 §6.
//
// It takes what SPF and DKIM found out and asks the DNS through a Resolver:
// organizational domains are found by the tree walk, without any list of public
// suffixes. It has no clock, no goroutine and no log, and what it asks is bounded
// by the constants below. A failure of the DNS is TempError, never a refusal.
//
// What is done about a Fail is not decided here: a policy of reject alone is no
// reason to refuse (RFC 9989 §7.4). Reports are not made here.
package dmarc

import (
	"context"
	"errors"
	"fmt"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Limits.
const (
	MaxWalk = 8 // lookups of one tree walk (RFC 9989 §4.10)
	// MaxLookups is how many records are asked for to judge one message; one more
	// lookup may ask whether the author's domain exists. Identifiers that would
	// need more are not aligned.
	MaxLookups = 40
	MaxRecord  = 4 << 10 // octets of a record; a longer one is none
	MaxURIs    = 16      // addresses for reports of one kind; others are passed over
)

// Result is the outcome for a message (RFC 9989 §9.2).
type Result uint8

// The results.
const (
	None      Result = iota // there is no policy
	Pass                    // an aligned domain wrote it
	Fail                    // none did
	TempError               // the DNS did not answer
	PermError               // the policy cannot be used
)

var resultNames = [...]string{"none", "pass", "fail", "temperror", "permerror"}

func (r Result) String() string { return resultNames[r] }

// Method is how an identifier was authenticated.
type Method uint8

// The methods.
const (
	SPF  Method = iota // Domain is that of MAIL FROM, or of HELO with a null sender (RFC 7208 §2.4)
	DKIM               // Domain is the "d" of a signature
)

func (m Method) String() string { return [...]string{"SPF", "DKIM"}[m] }

// Outcome is what a method found out.
type Outcome uint8

// The outcomes.
const (
	NotPassed Outcome = iota // anything that is neither of the others
	Passed
	Unknown // the DNS did not answer
)

// Identifier is a domain for which a method has an outcome.
type Identifier struct {
	Method  Method
	Domain  mail.Domain
	Outcome Outcome
}

// Verdict is the outcome of Check.
type Verdict struct {
	Result Result
	// Reason is a sentence without its full stop, in printable ASCII.
	Reason string
	// Domain is where the policy was found, and Record what stands there; the root
	// and nil if there is none.
	Domain dns.Name
	Record *Record
	// Published is the policy of the record for the author's domain, and Policy
	// the one to be applied: in test mode one level lower (RFC 9989 §4.7). Only
	// with Fail; else NoPolicy.
	Published, Policy Policy
	// SPF and DKIM say that the method gave an aligned pass.
	SPF, DKIM bool
}

// Author is a domain in the From field of a message, and what was found in the DNS about it. One goroutine at a time
// uses it.
type Author struct {
	domain mail.Domain
	name   dns.Name // the root if there is no policy of such a domain
	tree   *tree
	found  found
	err    error // of a lookup that failed for now
}

// Find looks for the policy of an author's domain, before it is known who wrote: of what Check asks the DNS it is
// the most.
func Find(ctx context.Context, r Resolver, author mail.Domain) *Author {
	a := &Author{domain: author, tree: newTree(ctx, r)}
	if n, err := dns.NameOf(author); err == nil && !n.IsRoot() {
		a.name = n
		a.found, a.err = a.tree.policy(n)
	}
	return a
}

// Err is of a lookup that failed for now: Check gives TempError.
func (a *Author) Err() error { return a.err }

// Check evaluates a message whose From field has one domain, author.
func Check(ctx context.Context, r Resolver, author mail.Domain, identifiers []Identifier) Verdict {
	return Find(ctx, r, author).Check(ctx, identifiers)
}

// Check evaluates a message whose From field has this domain alone.
func (a *Author) Check(ctx context.Context, identifiers []Identifier) Verdict {
	a.tree.ctx = ctx
	n, record := a.name, a.found.record
	v := Verdict{Domain: a.found.domain, Record: record}
	switch {
	case n.IsRoot():
		return Verdict{Reason: fmt.Sprintf("%+q is not a domain name with a policy", string(a.domain))}
	case a.err != nil:
		v.say(TempError, "the DNS cannot tell now: "+trouble(a.err))
		v.Domain, v.Record = "", nil
		return v
	case record == nil:
		return Verdict{Reason: fmt.Sprintf("%s has no policy", n)}
	case record.Unusable != "":
		v.say(PermError, fmt.Sprintf("the record of %s has no valid %q, and nobody to report to", v.Domain, record.Unusable))
		return v
	}
	with := alignment{tree: a.tree, author: n, record: record}
	for _, id := range identifiers {
		v.take(id, &with)
	}
	switch {
	case v.Result == Pass:
		return v
	case with.failed != nil:
		v.say(TempError, "the DNS cannot tell now: "+trouble(with.failed))
		return v
	case v.Result == TempError:
		return v
	}
	v.say(Fail, fmt.Sprintf("neither SPF nor DKIM passes for a domain that is aligned with %s", n))
	if err := v.apply(a.tree, n); err != nil {
		v.say(TempError, "the DNS cannot tell now: "+trouble(err))
	}
	return v
}

func (v *Verdict) say(r Result, reason string) { v.Result, v.Reason = r, reason }

// take counts one identifier in.
func (v *Verdict) take(id Identifier, a *alignment) {
	n, err := dns.NameOf(id.Domain)
	if id.Outcome == NotPassed || err != nil || !a.holds(id.Method, n) {
		return
	}
	if id.Outcome == Unknown {
		if v.Result == None {
			v.say(TempError, fmt.Sprintf("the DNS could not tell %s about %s", id.Method, n))
		}
		return
	}
	if id.Method == SPF {
		v.SPF = true
	} else {
		v.DKIM = true
	}
	if v.Result != Pass {
		v.say(Pass, fmt.Sprintf("%s passes for %s, which is aligned with %s", id.Method, n, a.author))
	}
}

// apply finds the policy for an author whose message fails (RFC 9989 §4.10.1).
func (v *Verdict) apply(t *tree, author dns.Name) error {
	published := v.Record.Policy
	if v.Domain != author {
		published = v.Record.Subdomains
		if v.Record.Nonexistent != published {
			exists, err := t.exists(author)
			if err != nil {
				return err
			}
			if !exists {
				published = v.Record.Nonexistent
			}
		}
	}
	v.Published, v.Policy = published, published
	if v.Record.Test && v.Policy > NoPolicy {
		v.Policy--
	}
	return nil
}

// alignment compares domains with that of the author (RFC 9989 §4.10.2).
type alignment struct {
	tree   *tree
	author dns.Name
	record *Record

	organization dns.Name // of the author; the root if not asked for yet
	failed       error    // of a lookup that had to tell
}

// holds reports whether n, which m is about, is aligned with the author.
func (a *alignment) holds(m Method, n dns.Name) bool {
	switch {
	case n == a.author:
		return true
	case m == SPF && a.record.StrictSPF, m == DKIM && a.record.StrictDKIM:
		return false
	}
	if a.organization.IsRoot() {
		o, err := a.tree.organization(a.author)
		if err != nil {
			a.failed = err
			return false
		}
		a.organization = o.Domain
	}
	if !n.Within(a.organization) {
		return false // Nor is its organization, whatever that is.
	}
	o, err := a.tree.organization(n)
	switch {
	case err == nil:
		return o.Domain == a.organization
	case !errors.Is(err, errTooMany):
		a.failed = err
	}
	return false
}

// trouble is a failed lookup in words.
func trouble(err error) string {
	var e *dns.Error
	if !errors.As(err, &e) {
		return "the lookup failed"
	}
	return fmt.Sprintf("%s of %s: %s", e.Type, e.Name, e.Failure)
}
