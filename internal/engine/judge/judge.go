// Package judge says what to think of a message that a stranger brings: who wrote it,
// and whether it is junk. It stands before the intake, and goes by facts.
//
// # The way of a case
//
//	Open     at MAIL: the client and the sender are known; SPF, reverse names and
//	         lists are asked, side by side, while the octets come (case.go)
//	Write    the octets as they come, before anything is cut out of them: they are
//	         hashed for signatures, whose keys are asked for when the header is there
//	Judge    at the final dot: what is known by then, or within the deadline, is
//	         the facts (facts.go); rules weigh them (rules.go), what an
//	         account knows of who wrote is added (opinion.go), and the sum is a
//	         verdict, with its reasons (verdict.go)
//
// # What holds
//
//   - A verdict is a sum of weights, in natural-log odds: 0 says nothing, more is junk.
//     At Thresholds.Junk a message goes into Junk, at Thresholds.Refuse it is refused.
//   - Nothing that was found in a message refuses it alone, unless an administrator said
//     that it should (a sender kept out, a domain of ours forged, a virus). p=reject of DMARC (RFC 9989 §7.4) puts it
//     into Junk; with a second reason that has nothing to do with how a message was
//     sent on, it is refused.
//   - What the DNS does not say in time is unknown. It is never a reason, and the
//     verdict says that it is missing.
//   - What is asked has a deadline: of the client from Open on, of who wrote from the end
//     of the header on, of links from the final dot on.
//   - Each reason has a name that does not change, a sentence for people, and its
//     weight; all of them stand in the field X-Yubin-Verdict of the copy.
//   - Octets cost a bounded time and memory, whatever they are: Memory and Reading say how
//     much, for who counts what all sessions hold.
//
// Authentication-Results (RFC 8601) is written here, Received-SPF is not.
//
// It deliberately knows no protocol, decides nothing about who has logged in or is
// trusted, and learns nothing: engine/junk and engine/history do.
package judge

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// DefaultDeadline is how long all that is asked for one message may take, from MAIL on.
const DefaultDeadline = 5 * time.Second

// Resolver is what of dns.Resolver is asked.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
	A(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	AAAA(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	MX(ctx context.Context, d mail.Domain) (dns.Answer[dns.MX], error)
	PTR(ctx context.Context, addr netip.Addr) (dns.Answer[dns.Name], error)
}

// Domains knows which domains are ours.
type Domains interface {
	IsLocal(ctx context.Context, d mail.Domain) (bool, error)
}

// Options say what a Judge is made of.
type Options struct {
	Hostname    mail.Domain // names us in Authentication-Results (RFC 8601 §2.5); "" is localhost
	Resolver    Resolver
	Domains     Domains
	History     History       // nil: nobody is known
	Classifier  Classifier    // nil: nothing was learned
	Preferences Preferences   // nil: nobody has any
	Greylist    Greylist      // nil: nobody is on it
	Deadline    time.Duration // 0 means DefaultDeadline
	Now         func() time.Time
	Log         *slog.Logger
	Lists       Lists // nil: none is asked
}

// Judge judges. Safe for concurrent use.
type Judge struct {
	o        Options
	policies atomic.Pointer[Policies]
}

// New returns a Judge. It starts nothing.
func New(o Options) *Judge {
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	j := &Judge{o: o}
	j.SetPolicies(Policies{})
	return j
}

// SetPolicies says from now on how verdicts are made.
func (j *Judge) SetPolicies(p Policies) {
	p.Thresholds = p.Thresholds.withDefaults()
	j.policies.Store(&p)
}

// With returns a Judge that asks another resolver, and is like j in all else.
func (j *Judge) With(r Resolver) *Judge {
	other := &Judge{o: j.o}
	other.o.Resolver = r
	other.policies.Store(j.policies.Load())
	return other
}
