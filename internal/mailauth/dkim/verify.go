package dkim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"yubin/internal/dns"
)

// Options are what a Verifier has to know.
type Options struct {
	// Now is when the message came, for "x"; zero: nothing expires.
	Now time.Time
}

// Verdict is the outcome for one signature.
type Verdict struct {
	Result Result
	Reason Reason
	// Signature is what the field says; nil where none was looked at (LongHeader,
	// TooManySignatures).
	Signature *Signature
	// Bits are those of the key, and Testing says that its owner only tests (RFC 6376
	// §3.6.1, "t=y"): then a failure means nothing. Zero without a key.
	Bits    int
	Testing bool
	// Body is how many octets the canonicalized body has, and Unsigned how many of them
	// are behind what was signed ("l"): anybody may have added them.
	Body, Unsigned int64
}

// Verifier verifies the signatures of one message.
type Verifier struct {
	options Options
	message *Message // its own; nil if it shares one
	header  *Header
	checks  []check
	skipped int
}

// check is one signature that is looked at.
type check struct {
	signature *Signature
	own       int // the number of its field
	why       Reason
	digest    *Digest // nil if the reason stands already
}

// New returns a Verifier that is given the message by Write.
func New(o Options) *Verifier {
	v := &Verifier{options: o}
	v.message = NewMessage(v.Begin)
	return v
}

// NewShared returns a Verifier of a message that others read too: its Begin is one of
// what NewMessage is given. Write is not for it.
func NewShared(o Options) *Verifier { return &Verifier{options: o} }

// Write takes the next octets of the message, whose lines end in CRLF. It never fails.
func (v *Verifier) Write(p []byte) (int, error) { return v.message.Write(p) }

// Begin looks for signatures in a header.
func (v *Verifier) Begin(h *Header, body *Body) {
	v.header = h
	for i := range h.Fields {
		if h.Fields[i].Name != "dkim-signature" {
			continue
		}
		if len(v.checks) == MaxSignatures || h.TooLong {
			v.skipped++
			continue
		}
		c := check{own: i}
		c.signature, c.why = ParseSignature(h.Fields[i].Raw, DKIMSignature)
		if x := c.signature.Expires; c.why.Cause == Verified && !x.IsZero() && v.options.Now.After(x) {
			c.why = Reason{Cause: Expired, Detail: x.Format(time.DateOnly)}
		}
		if c.why.Cause == Verified {
			c.digest = body.Digest(c.signature.Body, c.signature.Length)
		}
		v.checks = append(v.checks, c)
	}
}

// Begun reports whether the header is complete, so that Names says all.
func (v *Verifier) Begun() bool { return v.header != nil }

// Names are where the keys are that Finish needs, each once, at most MaxSignatures. They
// are known when the header is complete.
func (v *Verifier) Names() []dns.Name {
	var names []dns.Name
	for _, c := range v.checks {
		if c.digest != nil && !slices.Contains(names, c.signature.Key) {
			names = append(names, c.signature.Key)
		}
	}
	return names
}

// Finish says that the message is over and returns a verdict for each signature, from
// the top; the last may be one for those that were not looked at. Keys are what
// Lookup gave for Names; one that is not there counts as not answered in time. Of
// a shared message Finish is called after that of the Message.
func (v *Verifier) Finish(keys map[dns.Name]KeyResult) []Verdict {
	if v.message != nil {
		v.message.Finish()
	}
	var verdicts []Verdict
	var scratch []byte
	for _, c := range v.checks {
		verdict := Verdict{Signature: c.signature}
		if c.digest != nil {
			result, ok := keys[c.signature.Key]
			if !ok {
				result.Reason = Reason{Cause: LookupFailed, Detail: string(c.signature.Key), Failure: dns.Timeout}
			}
			scratch = verdict.check(c, v.header, result, scratch)
		}
		if verdict.Reason.Cause == Verified && c.why.Cause != Verified {
			verdict.Reason = c.why
		}
		verdict.Result = verdict.Reason.Cause.result()
		verdicts = append(verdicts, verdict)
	}
	if v.skipped > 0 {
		why := Reason{Cause: TooManySignatures, Number: v.skipped}
		if v.header.TooLong {
			why.Cause = LongHeader
		}
		verdicts = append(verdicts, Verdict{Result: why.Cause.result(), Reason: why})
	}
	return verdicts
}

// check finds the reason for a signature that is well-formed. A body that is not what
// was signed decides where the DNS does not answer: no key would change that.
func (v *Verdict) check(c check, h *Header, keys KeyResult, scratch []byte) []byte {
	v.Body, v.Unsigned = c.digest.Length(), c.digest.Unsigned()
	body := c.signature.CheckBody(c.digest)
	if body.Cause != Verified && (len(keys.Keys) > 0 || keys.Reason.Cause == LookupFailed) {
		v.Reason = body
		for _, k := range keys.Keys {
			v.Bits, v.Testing = k.Bits, v.Testing || k.Testing
		}
		return scratch
	}
	scratch = c.signature.AppendSigned(scratch[:0], h, c.own)
	sum := sha256.Sum256(scratch)
	k, why := c.signature.Check(sum[:], keys)
	if v.Reason = why; k != nil {
		v.Bits, v.Testing = k.Bits, k.Testing
	}
	return scratch
}

// Lookup looks up what Names says, one after the other, for who has time. It says that the
// message is over; of a shared one that has been said.
func (v *Verifier) Lookup(ctx context.Context, r Resolver) map[dns.Name]KeyResult {
	if v.message != nil {
		v.message.Finish()
	}
	keys := map[dns.Name]KeyResult{}
	for _, n := range v.Names() {
		keys[n] = Lookup(ctx, r, n)
	}
	return keys
}

// Verify reads a message, whose lines end in CRLF, looks its keys up one after the
// other and returns what Finish does. The error is one of reading.
func Verify(ctx context.Context, r Resolver, message io.Reader, o Options) ([]Verdict, error) {
	v := New(o)
	if _, err := io.Copy(v, message); err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	return v.Finish(v.Lookup(ctx, r)), nil
}
