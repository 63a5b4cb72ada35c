package dsn

import (
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
)

// EnvelopeID is the sender's name for a transaction, decoded (RFC 3461 §4.4).
// It is printable ASCII, spaces included. "" is none.
type EnvelopeID string

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
