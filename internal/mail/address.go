package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Limits on addresses, in octets. RFC 5321 §4.5.3.1 has 64 for a local part, and
// asks for none where that is possible: addresses that carry another (VERP, SRS)
// are longer, so 64 is the limit of our own only.
const (
	MaxLocalPart    = 255
	MaxOwnLocalPart = 64
	MaxDomain       = 255
	MaxLabel        = 63
)

// Domain is a mail domain in its canonical form: lower-case A-labels, or an
// address literal with its brackets ("[192.0.2.1]", "[IPv6:2001:db8::1]").
// The zero value is no domain.
type Domain string

// ParseDomain reads a domain name or an address literal (RFC 5321 §4.1.2 with
// the U-labels of RFC 6531 §3.3). The error is of kind Invalid.
func ParseDomain(s string) (Domain, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	ascii := strings.ToLower(s)
	if !isASCII(s) {
		var err error
		if ascii, err = idna.Lookup.ToASCII(norm.NFC.String(s)); err != nil {
			return "", Errorf(Invalid, "domain %q is not valid: it has a label that IDNA2008 refuses", s)
		}
	}
	if ascii == "" || len(ascii) > MaxDomain {
		return "", Errorf(Invalid, "domain must have 1 to %d octets", MaxDomain)
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if !validLabel(label) {
			return "", Errorf(Invalid, "domain %q has an invalid label %q", s, label)
		}
	}
	return Domain(ascii), nil
}

// validLabel accepts letters, digits, hyphens and, because real hosts have
// them, underscores. Quirk: many announce a host name with an underscore.
func validLabel(l string) bool {
	if l == "" || len(l) > MaxLabel || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// IsLiteral reports whether d is an address literal.
func (d Domain) IsLiteral() bool { return strings.HasPrefix(string(d), "[") }

// Unicode returns d with U-labels where it has A-labels.
func (d Domain) Unicode() string {
	if u, err := idna.Lookup.ToUnicode(string(d)); err == nil {
		return u
	}
	return string(d)
}

func (d Domain) String() string { return string(d) }

// Address is a mailbox address (RFC 5321 §4.1.2: Mailbox). Local is unquoted
// and keeps its case; Domain is canonical. The zero value is no address.
type Address struct {
	Local  string
	Domain Domain
}

// ParseAddress reads local-part "@" domain, where the local part may be a
// quoted string and may hold UTF-8 (RFC 6531). It takes what other servers have:
// what is an address is for them to say. The error is of kind Invalid.
//
// Quirk: dots may stand anywhere in a local part, as some providers gave away
// addresses like "user..name" and "user."; String quotes them.
//
// Control characters, C1 among them (RFC 6532 §3.1 has them only as UTF-8 of
// Net-Unicode, which has none), are no part of an address.
func ParseAddress(s string) (Address, error) {
	a, rest, err := CutAddress(s)
	if err == errNoAt && len(s) <= maxShown {
		return Address{}, Errorf(Invalid, "%q is no address: it needs a local part, an @ and a domain", s)
	}
	if err != nil {
		return Address{}, err
	}
	if rest != "" {
		return Address{}, Errorf(Invalid, "address %q has extra text after the domain", s)
	}
	return a, nil
}

// errNoAt is of a text that is not even shaped like an address.
var errNoAt error = &Error{Kind: Invalid, Text: "address needs a local part, an @ and a domain"}

// maxShown is how long a text is that an error shows.
const maxShown = 100

// CutAddress reads an address at the start of s and returns what follows it,
// beginning with one of " >,:;" or empty.
func CutAddress(s string) (a Address, rest string, err error) {
	local, rest, err := cutLocal(s)
	if err != nil {
		return Address{}, "", err
	}
	if !strings.HasPrefix(rest, "@") {
		return Address{}, "", errNoAt
	}
	rest = rest[1:]
	end := strings.IndexAny(rest, " >,:;")
	if strings.HasPrefix(rest, "[") {
		end = strings.IndexByte(rest, ']') + 1
		if end == 0 {
			return Address{}, "", Errorf(Invalid, "address literal has no closing bracket")
		}
	} else if end < 0 {
		end = len(rest)
	}
	d, err := ParseDomain(rest[:end])
	if err != nil {
		return Address{}, "", err
	}
	return Address{Local: local, Domain: d}, rest[end:], nil
}

func cutLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		local, rest, err = cutQuoted(s)
	} else {
		i := 0
		for i < len(s) && isAtomByte(s[i]) {
			i++
		}
		local, rest = s[:i], s[i:]
		if local == "" {
			return "", "", Errorf(Invalid, "address has no local part")
		}
	}
	if err != nil {
		return "", "", err
	}
	switch local = norm.NFC.String(local); {
	case len(local) > MaxLocalPart:
		return "", "", Errorf(Invalid, "local part is over %d octets", MaxLocalPart)
	case !utf8.ValidString(local):
		return "", "", Errorf(Invalid, "local part is not valid UTF-8")
	case strings.ContainsFunc(local, unicode.IsControl):
		return "", "", Errorf(Invalid, "local part has a control character")
	}
	return local, rest, nil
}

// CheckOwn says whether a may be an address that is given away here: one that no
// other server can stumble over and no reader can mistake for another. The local
// part is a dot-string of at most MaxOwnLocalPart octets and of the characters of
// a user name (RFC 8265 §3.4): no space, no sign or symbol beyond ASCII, nothing
// that is not seen or turns the direction of text. The error is of kind Invalid.
func (a Address) CheckOwn() error {
	switch {
	case a.Local == "" || a.Domain == "":
		return Errorf(Invalid, "an address such as alice@example.org is needed")
	case len(a.Local) > MaxOwnLocalPart:
		return Errorf(Invalid, "an address here has at most %d octets before the @", MaxOwnLocalPart)
	case quoteLocal(a.Local) != a.Local:
		return Errorf(Invalid, "an address here has letters, digits and signs before the @, and single dots between them")
	}
	if same, err := precis.UsernameCasePreserved.String(a.Local); err != nil || same != a.Local {
		return Errorf(Invalid, "an address here cannot have characters that are unseen, symbols or of another width before the @")
	}
	return nil
}

func cutQuoted(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			fallthrough
		default:
			if s[i] < ' ' || s[i] == 0x7f {
				return "", "", Errorf(Invalid, "quoted local part has a control character")
			}
			b.WriteByte(s[i])
		}
	}
	return "", "", Errorf(Invalid, "quoted local part has no closing quote")
}

// isAtomByte is atext of RFC 5322 §3.2.3 with the dot and UTF-8 (RFC 6531).
func isAtomByte(c byte) bool {
	return c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte(".!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// IsZero reports whether a is no address.
func (a Address) IsZero() bool { return a == Address{} }

// NeedsUTF8 reports whether a can only be sent with SMTPUTF8.
func (a Address) NeedsUTF8() bool { return !isASCII(a.Local) }

// Key is the form in which local addresses are compared and looked up: the
// local part in NFC and case-folded. RFC 5321 §2.4 leaves that to the host
// that owns the domain; people expect Alice and alice to be one mailbox.
func (a Address) Key() Address {
	return Address{Local: FoldLocal(a.Local), Domain: a.Domain}
}

// FoldLocal brings a local part of our own domains into the form of Key.
func FoldLocal(local string) string {
	if isASCII(local) {
		return strings.ToLower(local)
	}
	return norm.NFC.String(cases.Fold().String(local))
}

// String renders a as it stands in SMTP, quoting the local part when it must
// be, with U-labels where the local part needs UTF-8 anyway.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	domain := string(a.Domain)
	if a.NeedsUTF8() {
		domain = a.Domain.Unicode()
	}
	return quoteLocal(a.Local) + "@" + domain
}

func quoteLocal(local string) string {
	plain := local != "" && local[0] != '.' && local[len(local)-1] != '.' && !strings.Contains(local, "..")
	for i := 0; plain && i < len(local); i++ {
		plain = isAtomByte(local[i])
	}
	if plain {
		return local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
}

// ReversePath is where reports about a message go (RFC 5321 §2.3.3). The zero
// value is the null reverse-path <>.
type ReversePath Address

// IsNull reports whether p is <>.
func (p ReversePath) IsNull() bool { return Address(p).IsZero() }

// String renders p without its angle brackets; the null path is "".
func (p ReversePath) String() string { return Address(p).String() }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
