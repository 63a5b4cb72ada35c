package arc

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/scan"
)

// Options are what a Verifier has to know.
type Options struct {
	// Now is when the message came, for "x" of message signatures; zero: nothing expires.
	Now time.Time
}

// Verifier verifies the chain of one message.
type Verifier struct {
	options Options
	message *dkim.Message // its own; nil if it shares one
	header  *dkim.Header
	verdict Verdict
	links   []link // one for each set, if the structure is right
}

// fields are the three of a set, by kind.
type fields [3][]byte

// Kinds of fields, in the order in which a seal signs them (RFC 8617 §5.1.1).
const (
	results = iota
	messageSignature
	seal
)

var fieldNames = [...]string{authres.ARCFieldName, dkim.ARCMessageSignature.FieldName(), dkim.ARCSeal.FieldName()}

// link is one set on its way to a verdict.
type link struct {
	set    Set
	fields fields
	own    int // the number of the field ARC-Message-Signature
	// What is known of the signatures before their keys are.
	sealWhy, messageWhy dkim.Reason
	digest              *dkim.Digest // nil if the message signature is not checked
}

// New returns a Verifier that is given the message by Write.
func New(o Options) *Verifier {
	v := &Verifier{options: o}
	v.message = dkim.NewMessage(v.Begin)
	return v
}

// NewShared returns a Verifier of a message that others read too: its Begin is one of
// what dkim.NewMessage is given. Write is not for it.
func NewShared(o Options) *Verifier { return &Verifier{options: o} }

// Write takes the next octets of the message, whose lines end in CRLF. It never fails.
func (v *Verifier) Write(p []byte) (int, error) { return v.message.Write(p) }

// Begun reports whether the header is complete, so that Names says all.
func (v *Verifier) Begun() bool { return v.header != nil }

// Begin looks for a chain in a header.
func (v *Verifier) Begin(h *dkim.Header, body *dkim.Body) {
	v.header = h
	v.verdict.Reason = v.read()
	switch v.verdict.Reason.Cause {
	case NoChain, Verified:
	default:
		v.verdict.Result = Fail
		for _, l := range v.links {
			l.set.SealResult.Cause, l.set.MessageResult.Cause = dkim.NoSignature, dkim.NoSignature
			v.verdict.Sets = append(v.verdict.Sets, l.set)
		}
		v.links = nil
		return
	}
	for i := len(v.links) - 1; i >= max(0, len(v.links)-MaxMessageSignatures); i-- {
		l := &v.links[i]
		if x := l.set.Message.Expires; l.messageWhy.Cause == dkim.Verified && !x.IsZero() && v.options.Now.After(x) {
			l.messageWhy = dkim.Reason{Cause: dkim.Expired, Detail: x.Format(time.DateOnly)}
		}
		if l.messageWhy.Cause != dkim.Verified {
			break // Those before it are not asked about (RFC 8617 §5.2 step 5).
		}
		l.digest = body.Digest(l.set.Message.Body, l.set.Message.Length)
	}
}

// read collects the sets and checks their structure (RFC 8617 §5.2 steps 1 to 3).
func (v *Verifier) read() Reason {
	var found [len(fieldNames)][]int
	for i, f := range v.header.Fields {
		if kind := slices.IndexFunc(fieldNames[:], func(name string) bool { return strings.EqualFold(name, f.Name) }); kind >= 0 {
			found[kind] = append(found[kind], i)
		}
	}
	most := max(len(found[results]), len(found[messageSignature]), len(found[seal]))
	switch {
	case most == 0:
		return Reason{Cause: NoChain}
	case v.header.TooLong:
		return Reason{Cause: LongHeader}
	case most > MaxSets:
		return Reason{Cause: TooManySets}
	}
	sets := make([]link, MaxSets+1) // The first is for fields without an instance.
	var fault Reason
	for kind, numbers := range found {
		for _, n := range numbers {
			if why := place(sets, kind, n, v.header.Fields[n]); fault.Cause == NoChain {
				fault = why
			}
		}
	}
	for i := range sets {
		if i > 0 && slices.ContainsFunc(sets[i].fields[:], func(f []byte) bool { return f != nil }) {
			v.verdict.Highest = i
		}
	}
	highest := v.verdict.Highest
	v.links = sets[1 : highest+1]
	for i := range v.links {
		v.links[i].set.Instance = i + 1
	}
	if highest > 0 && v.links[highest-1].set.ChainStatus == Fail.String() {
		v.verdict.Sealed = true
		return Reason{Cause: SaysFail, Instance: highest}
	}
	for i := 0; fault.Cause == NoChain && i < highest; i++ {
		fault = v.links[i].check(i+1, i+1 == highest)
	}
	if fault.Cause == NoChain {
		fault.Cause = Verified
	}
	return fault
}

// place reads a field of a kind, with the number n, and puts it into its set.
func place(sets []link, kind, n int, f dkim.Field) Reason {
	l := link{}
	var status string
	instance, readable := 0, dkim.Reason{}
	switch kind {
	case results:
		instance = leadingInstance(f.Value())
	case messageSignature:
		l.set.Message, readable = dkim.ParseSignature(f.Raw, dkim.ARCMessageSignature)
		instance = instanceOf(l.set.Message.Tags.Value("i"))
	case seal:
		l.set.Seal, readable = dkim.ParseSignature(f.Raw, dkim.ARCSeal)
		instance, status = instanceOf(l.set.Seal.Tags.Value("i")), l.set.Seal.Tags.Value("cv")
	}
	if instance == 0 {
		if readable.Cause == dkim.BadSyntax {
			return Reason{Cause: BadField, Field: fieldNames[kind], Why: readable}
		}
		return Reason{Cause: BadInstance, Field: fieldNames[kind]}
	}
	in := &sets[instance]
	if in.fields[kind] != nil {
		return Reason{Cause: TwiceField, Instance: instance, Field: fieldNames[kind]}
	}
	in.fields[kind] = f.Raw
	switch kind {
	case results:
		in.set.Results = f.Value()
	case messageSignature:
		in.set.Message, in.messageWhy, in.own = l.set.Message, readable, n
	case seal:
		in.set.Seal, in.sealWhy, in.set.ChainStatus = l.set.Seal, readable, status
	}
	return Reason{}
}

// check checks what of a set must be right whatever its keys say.
func (l *link) check(instance int, newest bool) Reason {
	for kind, raw := range l.fields {
		if raw == nil {
			return Reason{Cause: MissingField, Instance: instance, Field: fieldNames[kind]}
		}
	}
	_, names := l.set.Seal.Tags.Get("h")
	bad := Reason{Cause: BadField, Instance: instance}
	switch {
	case l.sealWhy.Cause != dkim.Verified:
		bad.Field, bad.Why = fieldNames[seal], l.sealWhy
		return bad
	case l.set.ChainStatus != wantedStatus(instance):
		return Reason{Cause: BadChainStatus, Instance: instance, Detail: l.set.ChainStatus}
	case names:
		return Reason{Cause: SealNamesFields, Instance: instance}
	case slices.Contains(l.set.Message.Names, strings.ToLower(fieldNames[seal])):
		return Reason{Cause: SignsSeals, Instance: instance}
	case newest && l.messageWhy.Cause != dkim.Verified:
		bad.Field, bad.Why = fieldNames[messageSignature], l.messageWhy
		return bad
	}
	return Reason{}
}

// instanceOf reads an instance; 0 if it is none.
func instanceOf(s string) int {
	n, ok := scan.Uint([]byte(s))
	if !ok || len(s) > 2 || n > MaxSets {
		return 0
	}
	return int(n)
}

// leadingInstance reads the instance that ARC-Authentication-Results begins with (RFC
// 8617 §4.1.1). What follows is for those to read who want it.
func leadingInstance(value []byte) int {
	tag, _, ok := strings.Cut(string(value), ";")
	name, number, equal := strings.Cut(tag, "=")
	if !ok || !equal || strings.Trim(name, space) != "i" {
		return 0
	}
	return instanceOf(strings.Trim(number, space))
}

const space = " \t\r\n"

// Names are where the keys are that Finish needs, each once, at most MaxSets +
// MaxMessageSignatures. They are known when the header is complete.
func (v *Verifier) Names() []dns.Name {
	var names []dns.Name
	add := func(n dns.Name) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, l := range slices.Backward(v.links) {
		if add(l.set.Seal.Key); l.digest != nil {
			add(l.set.Message.Key)
		}
	}
	return names
}

// Finish says that the message is over and returns the verdict. Keys are what
// dkim.Lookup gave for Names; one that is not there counts as not answered in time.
// Of a shared message Finish is called after that of the Message.
func (v *Verifier) Finish(keys map[dns.Name]dkim.KeyResult) Verdict {
	if v.message != nil {
		v.message.Finish()
	}
	verdict := v.verdict
	if verdict.Reason.Cause != Verified {
		return verdict
	}
	v.checkMessages(keys)
	v.checkSeals(keys)
	verdict.Result = Pass
	if newest := v.links[len(v.links)-1].set; newest.MessageResult.Cause != dkim.Verified {
		verdict.Result, verdict.Reason = Fail, Reason{Cause: BadMessage, Instance: newest.Instance, Why: newest.MessageResult}
	}
	for _, l := range slices.Backward(v.links) {
		if verdict.Result == Pass && l.set.SealResult.Cause != dkim.Verified {
			verdict.Result, verdict.Reason = Fail, Reason{Cause: BadSeal, Instance: l.set.Instance, Why: l.set.SealResult}
		}
	}
	for _, l := range v.links {
		verdict.Sets = append(verdict.Sets, l.set)
		verdict.chain = append(verdict.chain, l.fields)
	}
	verdict.OldestPass = v.oldestPass()
	return verdict
}

// Known is the verdict about a message that was verified before, when it came, and is
// complete: its structure as it stands, and the result that was found. Nobody is
// asked. It is for who extends the chain.
func (v *Verifier) Known(result Result) Verdict {
	verdict := v.verdict
	if verdict.Reason.Cause != Verified {
		return verdict
	}
	verdict.Result = result
	for _, l := range v.links {
		verdict.Sets = append(verdict.Sets, l.set)
		if result == Pass {
			verdict.chain = append(verdict.chain, l.fields)
		}
	}
	return verdict
}

func (v *Verifier) oldestPass() int {
	oldest := len(v.links)
	for oldest > 1 && v.links[oldest-2].set.MessageResult.Cause == dkim.Verified {
		oldest--
	}
	if oldest == 1 {
		return 0
	}
	return oldest
}

// checkMessages checks message signatures from the newest to the first that fails.
func (v *Verifier) checkMessages(keys map[dns.Name]dkim.KeyResult) {
	for i := range v.links {
		v.links[i].set.MessageResult = dkim.Reason{Cause: dkim.NoSignature}
	}
	var scratch []byte
	for i := range v.links {
		l := &v.links[len(v.links)-1-i]
		if l.digest == nil {
			if i < MaxMessageSignatures {
				l.set.MessageResult = l.messageWhy
			}
			return
		}
		s := l.set.Message
		if l.set.MessageResult = s.CheckBody(l.digest); l.set.MessageResult.Cause == dkim.Verified {
			scratch = s.AppendSigned(scratch[:0], v.header, l.own)
			sum := sha256.Sum256(scratch)
			_, l.set.MessageResult = s.Check(sum[:], keyOf(keys, s.Key))
		}
		if l.set.MessageResult.Cause != dkim.Verified {
			return
		}
	}
}

// checkSeals checks all seals. Each signs all sets before its own, whole, and its own
// without the signature (RFC 8617 §5.1.1): what is hashed goes on from set to set.
func (v *Verifier) checkSeals(keys map[dns.Name]dkim.KeyResult) {
	chain := sha256.New()
	var scratch []byte
	for i := range v.links {
		l := &v.links[i]
		scratch = l.fields.appendBefore(scratch[:0])
		chain.Write(scratch)
		own := clone(chain)
		scratch = dkim.Relaxed.AppendUnsigned(scratch[:0], l.fields[seal], l.set.Seal.Tags)
		own.Write(scratch)
		_, l.set.SealResult = l.set.Seal.Check(own.Sum(nil), keyOf(keys, l.set.Seal.Key))
		scratch = dkim.Relaxed.AppendField(scratch[:0], l.fields[seal])
		chain.Write(scratch)
	}
}

// appendBefore writes what of a set is signed before its seal.
func (f fields) appendBefore(dst []byte) []byte {
	return dkim.Relaxed.AppendField(dkim.Relaxed.AppendField(dst, f[results]), f[messageSignature])
}

func clone(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("arc: SHA-256 cannot be cloned: " + err.Error())
	}
	return c
}

func keyOf(keys map[dns.Name]dkim.KeyResult, n dns.Name) dkim.KeyResult {
	if k, ok := keys[n]; ok {
		return k
	}
	return dkim.KeyResult{Reason: dkim.Reason{Cause: dkim.LookupFailed, Detail: string(n), Failure: dns.Timeout}}
}

// Verify reads a message, whose lines end in CRLF, looks its keys up one after the
// other and returns what Finish does. The error is one of reading.
func Verify(ctx context.Context, r dkim.Resolver, message io.Reader, o Options) (Verdict, error) {
	v := New(o)
	if _, err := io.Copy(v, message); err != nil {
		return Verdict{}, fmt.Errorf("reading the message: %w", err)
	}
	v.message.Finish()
	keys := map[dns.Name]dkim.KeyResult{}
	for _, n := range v.Names() {
		keys[n] = dkim.Lookup(ctx, r, n)
	}
	return v.Finish(keys), nil
}
