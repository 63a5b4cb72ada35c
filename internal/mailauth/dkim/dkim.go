// Package dkim verifies and makes DKIM signatures: RFC 6376, with the algorithms
// and key sizes of RFC 8301 and RFC 8463 and the internationalized mail of RFC 8616.
//
// A message is read once, as it comes: a Message keeps its header and hashes its
// body, for all signatures of it, of DKIM and of ARC, together. So
//
//	v := New(Options{Now: now})
//	v.Write(octets)           // again and again; the names to ask for are known with the header
//	v.Names()                 // Lookup each, side by side
//	v.Finish(keys)            // a Verdict for each signature
//
// and Verify is all of that in one call. A Signer makes the fields of several keys
// in one pass. Canonicalization, tag lists, keys and the checks of a single
// signature are exported for ARC (RFC 8617), which has the same.
//
// It has no clock, no goroutine and no log, and asks the DNS only in Lookup. What a
// message or a record can make it do is bounded by the constants below. A failure of
// the DNS is TempError, never a refusal.
//
// It does not say what is to be done about a result (nor about a body that is signed only
// in part, "l", which a Verdict tells), does not compare a domain with that of an author
// (DMARC does), and never verifies rsa-sha1 (RFC 8301 §3.1). A signature from the future
// is taken. Of RFC 6651 (reporting) it knows nothing.
package dkim

import (
	"yubin/internal/message"
)

// Limits.
const (
	// MaxSignatures is how many signatures of a message are looked at, from the top; the
	// others are counted (RFC 6376 §8.4).
	MaxSignatures = 10
	// MaxHeader is how many octets the header of a message may have: what the house reads of it.
	MaxHeader = message.MaxHeader
	MaxTags   = 64       // tags of a list
	MaxList   = 64 << 10 // octets of a tag list
	MaxNames  = 512      // names in "h" of a signature
	MaxRecord = 8 << 10  // octets of a key record; a longer one is none
	MaxKeys   = 2        // keys at one name that are tried (RFC 6376 §6.1.2 step 4); others are passed over
	MaxBits   = 4096     // of an RSA key (RFC 8301 §3.2 asks for no more)
	MinBits   = 1024     // of an RSA key (RFC 8301 §3.2)
	// MaxExponent is how large the public exponent of an RSA key may be. RFC 6376 §3.3.1
	// asks for 65537; some have 3. Time grows with its length.
	MaxExponent = 1 << 20
)

// Result is the outcome for a signature (RFC 8601 §2.7.1).
type Result uint8

// The results, in the order of Best: of several signatures the highest counts.
const (
	None      Result = iota // there is no signature
	Neutral                 // it has syntax errors, or asks for what is not known here
	Policy                  // it is not accepted here, whether it verifies or not
	PermError               // it can never be verified: the key or a tag is missing, or too weak
	Fail                    // the message is not what was signed
	TempError               // the DNS did not answer
	Pass
)

var resultNames = [...]string{"none", "neutral", "policy", "permerror", "fail", "temperror", "pass"}

func (r Result) String() string { return resultNames[r] }

// ParseResult reads the word of a result.
func ParseResult(word string) (Result, bool) {
	for r, name := range resultNames {
		if word == name {
			return Result(r), true
		}
	}
	return None, false
}

// Algorithm is how a signature is made: the tag "a".
type Algorithm uint8

// The algorithms.
const (
	UnknownAlgorithm Algorithm = iota
	RSASHA256                  // RFC 6376 §3.3.2
	Ed25519SHA256              // RFC 8463 §3
	RSASHA1                    // known, and never verified (RFC 8301 §3.1)
)

var algorithmNames = [...]string{"", "rsa-sha256", "ed25519-sha256", "rsa-sha1"}

func (a Algorithm) String() string { return algorithmNames[a] }

func parseAlgorithm(s string) Algorithm {
	for a, name := range algorithmNames {
		if s == name {
			return Algorithm(a)
		}
	}
	return UnknownAlgorithm
}

// Best is the verdict that counts for a message with several signatures: the
// highest Result, of equals the first. Without signatures it is None.
func Best(verdicts []Verdict) Verdict {
	best := Verdict{Reason: Reason{Cause: NoSignature}}
	for _, v := range verdicts {
		if v.Result > best.Result {
			best = v
		}
	}
	return best
}
