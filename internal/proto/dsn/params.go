package dsn

import (
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
)

// ParseNotify reads the value of the NOTIFY parameter, in any case (RFC 3461
// §4.1). The error is of kind Invalid.
func ParseNotify(value string) (mail.Notify, error) {
	if len(value) > MaxNotify {
		return 0, mail.Errorf(mail.Invalid, "NOTIFY is over %d octets", MaxNotify)
	}
	var n mail.Notify
	for word := range strings.SplitSeq(value, ",") {
		bit := notifyNamed(word)
		if bit == 0 || n&mail.NotifyNever != 0 || bit == mail.NotifyNever && n != 0 {
			return 0, mail.Errorf(mail.Invalid, "NOTIFY must be NEVER, or a list of SUCCESS, FAILURE and DELAY")
		}
		n |= bit
	}
	return n, nil
}

func notifyNamed(word string) mail.Notify {
	for bit := mail.NotifySuccess; bit <= mail.NotifyNever; bit <<= 1 {
		if strings.EqualFold(bit.String(), word) {
			return bit
		}
	}
	return 0
}

// ParseRet reads the value of the RET parameter, in any case (RFC 3461 §4.3).
// The error is of kind Invalid.
func ParseRet(value string) (mail.Ret, error) {
	for r := mail.RetFull; r <= mail.RetHeaders; r++ {
		if strings.EqualFold(r.String(), value) {
			return r, nil
		}
	}
	return 0, mail.Errorf(mail.Invalid, "RET must be FULL or HDRS")
}

// EnvelopeID is the sender's name for a transaction, decoded (RFC 3461 §4.4).
// It is printable ASCII, spaces included. "" is none.
type EnvelopeID string

// ParseEnvelopeID reads the value of the ENVID parameter. The error is of kind
// Invalid.
func ParseEnvelopeID(value string) (EnvelopeID, error) {
	if value == "" || len(value) > MaxEnvelopeID {
		return "", mail.Errorf(mail.Invalid, "ENVID must have 1 to %d octets", MaxEnvelopeID)
	}
	id, ok := ParseXtext(value)
	if !ok || !isPrintableASCII(id) {
		return "", mail.Errorf(mail.Invalid, "ENVID must be xtext of printable characters")
	}
	return EnvelopeID(id), nil
}

// Append appends the value of the parameter.
func (id EnvelopeID) Append(dst []byte) []byte { return AppendXtext(dst, string(id)) }

// TypedAddress is an address of some mail system (RFC 3464 §2.1.2): of ours if
// Type, in lower case, is "rfc822" or "utf-8". Value is decoded, and as the
// sender wrote it, so it can be anything. The zero value is none.
type TypedAddress struct{ Type, Value string }

// The address types of the Internet.
const (
	rfc822Type = "rfc822"
	utf8Type   = "utf-8"
)

// Typed returns a as a TypedAddress.
func Typed(a mail.Address) TypedAddress {
	switch {
	case a.IsZero():
		return TypedAddress{}
	case a.NeedsUTF8():
		return TypedAddress{utf8Type, a.String()}
	}
	return TypedAddress{rfc822Type, a.String()}
}

// IsZero reports whether t is no address.
func (t TypedAddress) IsZero() bool { return t == TypedAddress{} }

// NeedsUTF8 reports whether t can only be written with RFC 6533.
func (t TypedAddress) NeedsUTF8() bool { return t.Type == utf8Type && !isASCII(t.Value) }

// Mailbox returns the mail address that t is. The error is of kind Invalid.
func (t TypedAddress) Mailbox() (mail.Address, error) {
	if t.Type != rfc822Type && t.Type != utf8Type {
		return mail.Address{}, mail.Errorf(mail.Invalid, "%q is not an address type of the Internet", t.Type)
	}
	return mail.ParseAddress(t.Value)
}

// ParseTyped reads what String returns. The error is of kind Invalid.
func ParseTyped(s string) (TypedAddress, error) {
	kind, value, found := strings.Cut(s, ";")
	if !found || !isAtom(kind) || value == "" {
		return TypedAddress{}, mail.Errorf(mail.Invalid, "%q is not an address type, a semicolon and an address", s)
	}
	return TypedAddress{strings.ToLower(kind), value}, nil
}

// String is the type, ";" and the address, not encoded; "" for none.
func (t TypedAddress) String() string {
	if t.IsZero() {
		return ""
	}
	return t.Type + ";" + t.Value
}

// ParseOriginalRecipient reads the value of the ORCPT parameter: an address
// type, ";", and the address as xtext (RFC 3461 §4.2) or, of type utf-8, in one
// of the forms of RFC 6533 §3. The error is of kind Invalid.
func ParseOriginalRecipient(value string) (TypedAddress, error) {
	if len(value) > MaxOriginalRecipient {
		return TypedAddress{}, mail.Errorf(mail.Invalid, "ORCPT is over %d octets", MaxOriginalRecipient)
	}
	t, err := ParseTyped(value)
	if err != nil {
		return TypedAddress{}, err
	}
	var ok bool
	if t.Type == utf8Type {
		t.Value, ok = ParseUnitext(t.Value)
	} else if t.Value, ok = ParseXtext(t.Value); ok {
		ok = isPrintableASCII(t.Value)
	}
	if !ok {
		return TypedAddress{}, mail.Errorf(mail.Invalid, "the address of ORCPT is not encoded as its type asks")
	}
	return t, nil
}

// Append appends the value of the ORCPT parameter; with smtputf8 it may have
// octets beyond ASCII.
func (t TypedAddress) Append(dst []byte, smtputf8 bool) []byte {
	dst = append(append(dst, t.Type...), ';')
	if t.Type == utf8Type {
		return AppendUnitext(dst, t.Value, !smtputf8)
	}
	return AppendXtext(dst, t.Value)
}

// isAtom is 1*atext (RFC 5322 §3.2.3).
func isAtom(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;@\,."`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
