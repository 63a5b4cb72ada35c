package dkim

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Form is which field holds a signature. They differ in the tags that they must have.
type Form uint8

// The forms.
const (
	DKIMSignature       Form = iota // RFC 6376 §3.5
	ARCMessageSignature             // RFC 8617 §4.1.2: no version, "i" is a number
	ARCSeal                         // RFC 8617 §4.1.3: nor anything about the body and the fields
)

// FieldName is the name of the field.
func (f Form) FieldName() string {
	return [...]string{"DKIM-Signature", "ARC-Message-Signature", "ARC-Seal"}[f]
}

// required are the tags that a form must have.
func (f Form) required() []string {
	return [...][]string{{"v", "a", "b", "bh", "d", "h", "s"}, {"a", "b", "bh", "d", "h", "s"}, {"a", "b", "d", "s"}}[f]
}

// Signature is what a field that holds a signature says.
type Signature struct {
	Form     Form
	Tags     Tags
	Domain   mail.Domain // "d"
	Selector mail.Domain // "s": a name below it
	// Key is where the key is; the root if nothing is to be asked.
	Key dns.Name
	// Identity is "i", decoded, or "@" and the domain. A stranger wrote it.
	Identity  string
	Algorithm Algorithm
	// Header and Body are the canonicalizations.
	Header, Body Canonicalization
	// Names are the header fields that are signed, lower-case, in order, each as often as
	// it is named.
	Names []string
	// Length is how many octets of the body are signed; -1 is all of them.
	Length int64
	// Time and Expires are "t" and "x"; zero if they are not there.
	Time, Expires time.Time

	raw      []byte // the field
	bodyHash []byte // "bh"
	value    []byte // "b"
}

// ParseSignature reads a field, whole as message.RawFields gives it. If the reason's
// cause is not Verified, the signature cannot be verified and the reason says why;
// what could be read is there all the same.
func ParseSignature(raw []byte, form Form) (*Signature, Reason) {
	s := &Signature{Form: form, Length: -1, raw: raw}
	return s, s.parse()
}

func bad(detail string) Reason { return Reason{Cause: BadSyntax, Detail: detail} }

func (s *Signature) parse() Reason {
	raw := trimLineEnd(s.raw)
	tags, err := ParseTags(string(raw[bytes.IndexByte(raw, ':')+1:]))
	if err != nil {
		return bad(err.Error())
	}
	s.Tags = tags
	// All are read, whatever is wrong with one of them.
	faults := [...]Reason{s.readDomain(), s.readAlgorithm(), s.readData(), s.readCanonicalization(), s.readNames(), s.readLength(),
		s.readTimes(), s.readIdentity(), s.readQuery()}
	for _, name := range s.Form.required() {
		if _, ok := tags.Get(name); !ok {
			return Reason{Cause: MissingTag, Detail: name}
		}
	}
	if v := tags.Value("v"); s.Form == DKIMSignature && v != "1" {
		return Reason{Cause: UnknownVersion, Detail: v}
	}
	for _, fault := range faults {
		if fault.Cause != Verified {
			return fault
		}
	}
	return Reason{}
}

// KeyName is where the key of a domain with a selector is (RFC 6376 §3.6.2.1).
func KeyName(domain, selector mail.Domain) (dns.Name, error) {
	n, err := dns.NameOf(domain)
	if err != nil {
		return "", err
	}
	return n.Under(string(selector) + "._domainkey")
}

func (s *Signature) readDomain() Reason {
	d, selector := s.Tags.Value("d"), s.Tags.Value("s")
	var err error
	if s.Domain, err = mail.ParseDomain(d); err != nil || s.Domain.IsLiteral() || !strings.Contains(d, ".") {
		s.Domain = ""
		return Reason{Cause: BadDomain, Detail: d}
	}
	if s.Selector, err = mail.ParseDomain(selector); err != nil || s.Selector.IsLiteral() {
		s.Selector = ""
		return Reason{Cause: BadDomain, Detail: selector}
	}
	if s.Key, err = KeyName(s.Domain, s.Selector); err != nil {
		return Reason{Cause: BadDomain, Detail: selector + "._domainkey." + d}
	}
	return Reason{}
}

func (s *Signature) readAlgorithm() Reason {
	a := s.Tags.Value("a")
	switch s.Algorithm = parseAlgorithm(a); s.Algorithm {
	case UnknownAlgorithm:
		return Reason{Cause: OtherAlgorithm, Detail: a}
	case RSASHA1:
		return Reason{Cause: OldAlgorithm}
	}
	return Reason{}
}

// readData reads the signature and the hash of the body.
func (s *Signature) readData() Reason {
	var ok bool
	if s.value, ok = decodeBase64(s.Tags.Value("b")); !ok {
		return bad("the tag b is not base64")
	}
	if s.Form == ARCSeal {
		return Reason{}
	}
	if s.bodyHash, ok = decodeBase64(s.Tags.Value("bh")); !ok || len(s.bodyHash) != sha256.Size {
		return bad("the tag bh is not the hash of a body")
	}
	return Reason{}
}

func (s *Signature) readCanonicalization() Reason {
	if s.Form == ARCSeal {
		s.Header = Relaxed
		return Reason{}
	}
	c, there := s.Tags.Get("c")
	ok := !there
	if there {
		s.Header, s.Body, ok = parseCanonicalization(c.Value)
	}
	if !ok {
		return Reason{Cause: OtherCanonicalization, Detail: c.Value}
	}
	return Reason{}
}

// readNames reads "h".
func (s *Signature) readNames() Reason {
	h := s.Tags.Value("h")
	if s.Form == ARCSeal {
		return Reason{}
	}
	if strings.Count(h, ":") >= MaxNames {
		return Reason{Cause: TooManyNames}
	}
	from := false
	var low [64]byte
	s.Names = make([]string, 0, strings.Count(h, ":")+1)
	for name := range SplitColons(h) {
		if !isFieldName(name) {
			return bad("the tag h names something that is no header field")
		}
		name = lowerName(appendLower(low[:0], name))
		s.Names = append(s.Names, name)
		from = from || name == "from"
	}
	if !from {
		return Reason{Cause: FromNotSigned}
	}
	return Reason{}
}

func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// maxDigits are those of "l" (RFC 6376 §3.5).
const maxDigits = 76

// readLength reads "l". A number that no message has is what none is long enough for.
func (s *Signature) readLength() Reason {
	l, there := s.Tags.Get("l")
	if !there || s.Form == ARCSeal {
		return Reason{}
	}
	if !isDigits(l.Value, maxDigits) {
		return bad("the tag l is not a number")
	}
	s.Length = 1<<63 - 1
	if n, ok := scan.Uint([]byte(strings.TrimLeft(l.Value[:len(l.Value)-1], "0") + l.Value[len(l.Value)-1:])); ok && n < 1<<63 {
		s.Length = int64(n)
	}
	return Reason{}
}

func isDigits(s string, most int) bool {
	for i := range len(s) {
		if !scan.IsDigit(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// maxTimeDigits are those of "t" and "x" (RFC 6376 §3.5).
const maxTimeDigits = 12

func (s *Signature) readTimes() Reason {
	for _, t := range []struct {
		name string
		into *time.Time
	}{{"t", &s.Time}, {"x", &s.Expires}} {
		tag, there := s.Tags.Get(t.name)
		if !there {
			continue
		}
		if !isDigits(tag.Value, maxTimeDigits) {
			return bad("the tag " + t.name + " is not a time")
		}
		n, _ := scan.Uint([]byte(tag.Value))
		*t.into = time.Unix(int64(n), 0).UTC()
	}
	if !s.Time.IsZero() && !s.Expires.IsZero() && !s.Expires.After(s.Time) {
		return bad("it expires before it is made")
	}
	return Reason{}
}

// readIdentity reads "i": an address whose domain is that of the signature or below it.
func (s *Signature) readIdentity() Reason {
	if s.Form != DKIMSignature {
		return Reason{}
	}
	i, there := s.Tags.Get("i")
	if !there {
		if s.Domain != "" {
			s.Identity = "@" + string(s.Domain)
		}
		return Reason{}
	}
	var ok bool
	if s.Identity, ok = decodeQuoted(i.Value); !ok {
		return bad("the tag i is not dkim-quoted-printable")
	}
	d, err := mail.ParseDomain(s.Identity[strings.LastIndexByte(s.Identity, '@')+1:])
	if err != nil || !strings.Contains(s.Identity, "@") {
		return bad("the tag i is not an identity")
	}
	if !within(d, s.Domain) {
		return Reason{Cause: OtherIdentity, Detail: s.Identity}
	}
	return Reason{}
}

func within(d, zone mail.Domain) bool {
	return d == zone || strings.HasSuffix(string(d), "."+string(zone))
}

// strict reports whether the domain of "i" is "d" itself.
func (s *Signature) strict() bool {
	d, err := mail.ParseDomain(s.Identity[strings.LastIndexByte(s.Identity, '@')+1:])
	return err == nil && d == s.Domain
}

// decodeQuoted reads dkim-quoted-printable (RFC 6376 §2.11).
func decodeQuoted(s string) (string, bool) {
	s = Squeeze(s)
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		out = append(out, byte(high<<4|low))
		i += 2
	}
	return string(out), true
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

// readQuery reads "q": one of the methods has to be known.
func (s *Signature) readQuery() Reason {
	q, there := s.Tags.Get("q")
	if !there {
		return Reason{}
	}
	for method := range SplitColons(q.Value) {
		if method == "dns/txt" || method == "dns" { // Quirk: signatures from before RFC 4871 say "dns".
			return Reason{}
		}
	}
	return Reason{Cause: OtherQuery, Detail: q.Value}
}

// AppendSigned writes what the signature is made over: the header fields that it names
// and its own, which is the field with the number own (RFC 6376 §3.7).
func (s *Signature) AppendSigned(dst []byte, h *Header, own int) []byte {
	dst = h.appendFields(dst, s.Header, s.Names, int32(own))
	return s.Header.AppendUnsigned(dst, s.raw, s.Tags)
}

// Check says whether the signature is one of sum by a key that was looked up, and
// which; else the key is nil or the one that it is not of. The reason is Verified,
// HeaderChanged, or one about keys.
func (s *Signature) Check(sum []byte, keys KeyResult) (tried *Key, why Reason) {
	why = keys.Reason
	for _, k := range keys.Keys {
		switch {
		case !k.Suits(s.Algorithm), k.Reports && !slices.Contains(s.Names, "tls-report-domain"):
			if tried == nil {
				why = Reason{Cause: OtherKey, Detail: string(s.Key)}
			}
		case k.Strict && s.Form == DKIMSignature && !s.strict():
			if tried == nil {
				why = Reason{Cause: IdentityNotStrict, Detail: string(s.Key)}
			}
		case k.Verify(s.Algorithm, sum, s.value):
			return k, Reason{Detail: string(s.Domain)}
		default:
			tried, why = k, Reason{Cause: HeaderChanged}
		}
	}
	return tried, why
}
