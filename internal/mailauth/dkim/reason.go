package dkim

import (
	"fmt"
	"strconv"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/scan"
)

// Cause is why a signature has its result. The list is closed.
type Cause uint8

// The causes, with the result that they lead to.
const (
	Verified    Cause = iota // pass
	NoSignature              // none

	BadSyntax             // neutral: the field is not as RFC 6376 §3.5 has it
	UnknownVersion        // neutral: "v" is not 1
	OtherAlgorithm        // neutral: "a" is not known
	OtherCanonicalization // neutral: "c" is not known
	OtherQuery            // neutral: the key is not in the DNS

	TooManySignatures // policy: over MaxSignatures
	TooManyNames      // policy: over MaxNames
	LongHeader        // policy: over MaxHeader
	Expired           // policy
	LongKey           // policy: over MaxBits

	MissingTag        // permerror
	FromNotSigned     // permerror
	BadDomain         // permerror: "d" or "s" is no name
	OtherIdentity     // permerror: "i" is not within "d"
	OldAlgorithm      // permerror: rsa-sha1 (RFC 8301)
	NoKey             // permerror
	Revoked           // permerror
	BadKey            // permerror: the record has no usable key
	ShortKey          // permerror: under MinBits (RFC 8301)
	OtherKey          // permerror: the key is for other algorithms or services
	IdentityNotStrict // permerror: the key wants "i" to have the domain "d" (its "t=s")

	BodyChanged   // fail: the hash of the body is another
	BodyShorter   // fail: there is less body than "l" says
	HeaderChanged // fail: the signature is not one of this key over this header

	LookupFailed // temperror
)

// resultOf is the result that each cause leads to.
func (c Cause) result() Result {
	switch {
	case c == Verified:
		return Pass
	case c == NoSignature:
		return None
	case c <= OtherQuery:
		return Neutral
	case c <= LongKey:
		return Policy
	case c <= IdentityNotStrict:
		return PermError
	case c <= HeaderChanged:
		return Fail
	}
	return TempError
}

// Reason is why a result is what it is.
type Reason struct {
	Cause Cause
	// Detail says more: the tag, the name, as a stranger wrote it, any octets. With
	// BadSyntax it is our words.
	Detail  string
	Number  int         // how many, where the cause is about a number
	Failure dns.Failure // for LookupFailed and NoKey
}

// maxShown is how much of what a stranger wrote a sentence quotes.
const maxShown = 120

// shown is a name as it is, and anything else in quotes.
func shown(s string) string {
	cut := s
	if len(s) > maxShown {
		cut = s[:maxShown] + "..."
	} else if s != "" && !strings.ContainsFunc(s, notOfNames) {
		return s
	}
	return strconv.QuoteToASCII(cut)
}

// notOfNames says which characters are quoted.
func notOfNames(r rune) bool {
	return r >= 0x80 || !scan.IsAlpha(byte(r)) && !scan.IsDigit(byte(r)) && !strings.ContainsRune("-._@/:[]", r)
}

// String is the reason as a sentence without its full stop, in printable ASCII.
func (r Reason) String() string {
	d := shown(r.Detail)
	switch r.Cause {
	case Verified:
		return "the message is as " + d + " signed it"
	case NoSignature:
		return "the message is not signed"
	case BadSyntax:
		return "the signature is not well-formed: " + r.Detail
	case UnknownVersion:
		return "the signature is of version " + d + ", not 1"
	case OtherAlgorithm:
		return "the algorithm " + d + " is not known here"
	case OtherCanonicalization:
		return "the canonicalization " + d + " is not known here"
	case OtherQuery:
		return "the key is not in the DNS but is to be found by " + d
	case TooManySignatures:
		return fmt.Sprintf("%d more signatures were not looked at; %d are", r.Number, MaxSignatures)
	case TooManyNames:
		return fmt.Sprintf("more than %d header fields are named as signed", MaxNames)
	case LongHeader:
		return fmt.Sprintf("the header of the message is over %d octets", MaxHeader)
	case Expired:
		return "the signature has expired on " + d
	case LongKey:
		return fmt.Sprintf("the key at %s has %d bits; more than %d are not tried", d, r.Number, MaxBits)
	case MissingTag:
		return fmt.Sprintf("the signature has no tag %q", r.Detail)
	case FromNotSigned:
		return "the field From is not signed"
	case BadDomain:
		return d + " is no name for a key"
	case OtherIdentity:
		return "the identity " + d + " is not in the domain that signed"
	case OldAlgorithm:
		return "the signature is made with rsa-sha1, which proves nothing any more (RFC 8301)"
	case NoKey:
		return fmt.Sprintf("there is no key at %s: %s", d, r.Failure)
	case Revoked:
		return "the key at " + d + " is revoked"
	case BadKey:
		return "the key at " + d + " cannot be used: its record is not valid"
	case ShortKey:
		return fmt.Sprintf("the key at %s has %d bits; under %d prove nothing (RFC 8301)", d, r.Number, MinBits)
	case OtherKey:
		return "the key at " + d + " is not for such signatures"
	case IdentityNotStrict:
		return "the key at " + d + " is not for identities of subdomains"
	case BodyChanged:
		return "the body was changed after it was signed"
	case BodyShorter:
		return fmt.Sprintf("the body has %d octets, fewer than were signed", r.Number)
	case HeaderChanged:
		return "the header was changed after it was signed, or another key signed it"
	case LookupFailed:
		return fmt.Sprintf("the DNS cannot tell about %s now: %s", d, r.Failure)
	}
	return ""
}
