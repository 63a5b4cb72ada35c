// Package arc verifies and extends the Authenticated Received Chain of a message: RFC
// 8617. Each who passes a message on may say in it how it came to him, sealed
// together with what those before him said.
//
// Canonicalization, keys and signatures are those of package dkim, and a message is
// read once for both:
//
//	v := arc.New(arc.Options{Now: now})   // or NewShared, and dkim.NewMessage(v.Begin, ...)
//	v.Write(octets)                       // again and again; the names to ask for are known with the header
//	v.Names()                             // dkim.Lookup each, side by side, and once for all who ask
//	v.Finish(keys)                        // the Verdict
//
// and Verify is all of that in one call. A Sealer makes the three fields that extend a
// chain.
//
// Whom to believe is for the caller to say: a chain that passes proves who sealed it,
// not that they tell the truth. It has no clock, no goroutine and no log. A failure
// of the DNS is Fail like any other (RFC 8617 §5.2.1), and the reason says that it
// was one. What a message can make it do is bounded by the constants below.
package arc

import (
	"yubin/internal/dns"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
)

// Limits. Those of package dkim hold for each field.
const (
	MaxSets = authres.MaxInstance // of a chain; of more nothing is looked at (RFC 8617 §5.2)
	// MaxMessageSignatures is how many message signatures are checked, from the newest.
	// Older ones count as if they did not pass: only OldestPass is about them.
	MaxMessageSignatures = 10
)

// Result is the Chain Validation Status (RFC 8617 §4.4).
type Result uint8

// The results.
const (
	None Result = iota // there is no chain
	Pass
	Fail
)

var resultNames = [...]string{"none", "pass", "fail"}

func (r Result) String() string { return resultNames[r] }

// Verdict is the outcome for a chain.
type Verdict struct {
	Result Result
	Reason Reason
	// OldestPass is the oldest set from which on the message is as it was signed, 0 if
	// that is the first (RFC 8617 §5.2 step 5). It says nothing unless Result is Pass.
	OldestPass int
	// Sets are those of the chain, the first first. If its structure is wrong nothing of
	// them was checked, and what is not there or cannot be read is nil in them.
	Sets []Set
	// Highest is the highest instance found; Sealed says that its seal says cv=fail, so
	// that nobody is to seal the message any more (RFC 8617 §5.1 step 2).
	Highest int
	Sealed  bool

	chain []fields // what a Sealer goes on from; nil if the structure is wrong
}

// Set is one set of a chain.
type Set struct {
	Instance int
	// Seal and Message are what ARC-Seal and ARC-Message-Signature say.
	Seal, Message *dkim.Signature
	// ChainStatus is "cv": what the sealer found, "none" of the first and "pass" of all
	// others.
	ChainStatus string
	// Results are the value of ARC-Authentication-Results: authres.ParseARC reads it.
	Results []byte
	// SealResult and MessageResult are what came of the signatures; their cause is
	// dkim.NoSignature where they were not checked.
	SealResult, MessageResult dkim.Reason
}

// Passed reports whether seal and message signature verify.
func (s Set) Passed() bool {
	return s.SealResult.Cause == dkim.Verified && s.MessageResult.Cause == dkim.Verified
}

// Cause is why a chain has its result. The list is closed.
type Cause uint8

// The causes.
const (
	NoChain         Cause = iota // none
	Verified                     // pass
	TooManySets                  // over MaxSets
	LongHeader                   // over dkim.MaxHeader
	SaysFail                     // the last sealer found that the chain had failed
	BadInstance                  // a field has none from 1 to MaxSets
	BadField                     // a field that holds a signature cannot be read or used
	MissingField                 // of a set
	TwiceField                   // a set has two of a kind
	BadChainStatus               // "cv" is not what it has to be there
	SealNamesFields              // ARC-Seal has the tag "h"
	SignsSeals                   // ARC-Message-Signature signs ARC-Seal
	BadMessage                   // the newest message signature does not verify
	BadSeal                      // a seal does not verify
)

// Reason is why a result is what it is.
type Reason struct {
	Cause    Cause
	Instance int         // of the set that it is about; 0 for none
	Field    string      // the name of the field that it is about
	Why      dkim.Reason // for BadField, BadMessage and BadSeal
	Detail   string      // as a stranger wrote it
}

// Unanswered reports whether the DNS did not answer: at another time the chain might
// pass.
func (r Reason) Unanswered() bool { return r.Why.Failure != dns.None && r.Why.Failure.Temporary() }
