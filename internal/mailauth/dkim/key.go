package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"slices"

	"yubin/internal/dns"
)

// Resolver is what of dns.Resolver is asked.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
}

// Key is a public key as a record in the DNS has it (RFC 6376 §3.6.1).
type Key struct {
	Bits    int
	Testing bool // "t=y": the owner is testing, and a failure means nothing
	Strict  bool // "t=s": the domain of "i" has to be "d" itself
	Reports bool // "s=tlsrpt": it is for reports about TLS alone (RFC 8460 §3)

	rsa     *rsa.PublicKey // one of the two
	ed25519 ed25519.PublicKey
}

// Suits reports whether the key is one of an algorithm.
func (k *Key) Suits(a Algorithm) bool {
	return a == RSASHA256 && k.rsa != nil || a == Ed25519SHA256 && k.ed25519 != nil
}

// Verify reports whether signature is one of hashed (SHA-256) by this key.
func (k *Key) Verify(a Algorithm, hashed, signature []byte) bool {
	switch {
	case !k.Suits(a):
		return false
	case k.rsa != nil:
		return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, hashed, signature) == nil
	}
	return ed25519.Verify(k.ed25519, hashed, signature)
}

// isKeyRecord reports whether a TXT record means to be one of a key: others may
// stand beside it or in its place.
func isKeyRecord(tags Tags) bool {
	v, versioned := tags.Get("v")
	_, key := tags.Get("p")
	return key && (!versioned || tags[0].Name == "v" && v.Value == "DKIM1")
}

// ParseKey reads the text of a key record. If there is no key in it that can be used,
// it is nil and the reason says why, without Detail: BadKey, Revoked, OtherKey,
// ShortKey, LongKey.
func ParseKey(txt string) (*Key, Reason) {
	tags, err := ParseTags(txt)
	if len(txt) > MaxRecord || err != nil || !isKeyRecord(tags) {
		return nil, Reason{Cause: BadKey}
	}
	k := &Key{}
	for flag := range SplitColons(tags.Value("t")) {
		k.Testing = k.Testing || flag == "y"
		k.Strict = k.Strict || flag == "s"
	}
	data := Squeeze(tags.Value("p"))
	if data == "" {
		return nil, Reason{Cause: Revoked}
	}
	if !allows(tags, "h", "sha256") || !allows(tags, "s", "email", "*", "tlsrpt") {
		return nil, Reason{Cause: OtherKey}
	}
	k.Reports = !allows(tags, "s", "email", "*")
	octets, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, Reason{Cause: BadKey}
	}
	kind, typed := tags.Get("k")
	switch {
	case !typed || kind.Value == "rsa":
		var why Reason
		if k.rsa, why = parseRSA(octets); k.rsa == nil {
			return nil, why
		}
		k.Bits = k.rsa.N.BitLen()
		return k, Reason{}
	case kind.Value == "ed25519" && len(octets) == ed25519.PublicKeySize:
		k.ed25519, k.Bits = octets, 8*len(octets)
		return k, Reason{}
	case kind.Value == "ed25519":
		return nil, Reason{Cause: BadKey}
	}
	return nil, Reason{Cause: OtherKey}
}

// allows reports whether a colon-separated tag names one of words, or is not there.
func allows(tags Tags, name string, words ...string) bool {
	tag, ok := tags.Get(name)
	for member := range SplitColons(tag.Value) {
		if slices.Contains(words, member) {
			return true
		}
	}
	return !ok
}

// rsaEncryption is the algorithm of RSA keys in a SubjectPublicKeyInfo (RFC 3279
// §2.3.1).
var rsaEncryption = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}

// parseRSA reads a SubjectPublicKeyInfo, as everybody publishes them (RFC 6376
// appendix C), or an RSAPublicKey, as RFC 6376 §3.6.1 says. The size decides before
// anything is computed.
func parseRSA(octets []byte) (*rsa.PublicKey, Reason) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(octets, &info); err == nil && len(rest) == 0 {
		if !info.Algorithm.Algorithm.Equal(rsaEncryption) {
			return nil, Reason{Cause: OtherKey}
		}
		octets = info.Key.RightAlign()
	}
	key, err := x509.ParsePKCS1PublicKey(octets)
	if err != nil {
		return nil, Reason{Cause: BadKey}
	}
	bits := key.N.BitLen()
	switch {
	case bits < MinBits:
		return nil, Reason{Cause: ShortKey, Number: bits}
	case bits > MaxBits:
		return nil, Reason{Cause: LongKey, Number: bits}
	case key.E < 3 || key.E > MaxExponent || key.E%2 == 0 || key.N.Bit(0) == 0: // crypto/rsa would refuse most of that.
		return nil, Reason{Cause: BadKey}
	}
	return key, Reason{}
}

// KeyResult is what became of the lookup of a key.
type KeyResult struct {
	Keys []*Key // at most MaxKeys
	// Reason is why there are none; its Detail is the name.
	Reason Reason
}

// Lookup asks for the key at n (RFC 6376 §6.1.2).
func Lookup(ctx context.Context, r Resolver, n dns.Name) KeyResult {
	answer, err := r.TXT(ctx, n)
	if failure := dns.FailureOf(err); failure != dns.None {
		cause := LookupFailed
		if !failure.Temporary() {
			cause = NoKey
		}
		return KeyResult{Reason: Reason{Cause: cause, Detail: string(n), Failure: failure}}
	}
	return readKeys(n, answer.Records)
}

// maxRecords is how many records at one name are read.
const maxRecords = 8

func readKeys(n dns.Name, records []string) (result KeyResult) {
	result.Reason = Reason{Cause: NoKey, Detail: string(n), Failure: dns.NoData}
	for _, txt := range records[:min(len(records), maxRecords)] {
		k, why := ParseKey(txt)
		switch why.Detail = string(n); {
		case k != nil && len(result.Keys) < MaxKeys:
			result.Keys = append(result.Keys, k)
		case k == nil && (why.Cause != BadKey || result.Reason.Cause == NoKey):
			result.Reason = why
		}
	}
	if len(result.Keys) > 0 {
		result.Reason = Reason{}
	}
	return result
}

// decodeBase64 reads base64 with space in it (RFC 6376 §3.5, "b").
func decodeBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(Squeeze(s))
	return b, err == nil && len(b) > 0
}
