// Package authres reads and writes what receivers say about who wrote a message:
// the field Authentication-Results of RFC 8601 with the UTF-8 of RFC 8616 and 6532,
// and ARC-Authentication-Results (RFC 8617 §4.1.1), which is the same behind an
// instance.
//
// It knows the methods of the constructors below and reads any other: which
// methods, results and properties count is for the caller to say (RFC 8601 §4.1).
// Comments are read over, and written. What may be trusted is not decided here;
// Claims finds the fields of strangers that pretend to be ours.
package authres

import (
	"net/netip"
	"strconv"

	"yubin/internal/mail"
)

// Names of the fields.
const (
	FieldName    = "Authentication-Results"
	ARCFieldName = "ARC-Authentication-Results"
)

// Limits. What is over one of the first four is not parsed.
const (
	MaxValue      = 64 << 10 // of a field's value, in octets
	MaxResults    = 128      // in a field
	MaxProperties = 32       // of a result
	MaxWord       = 1 << 10  // of an identifier, a keyword or a value, in octets

	MaxReason = 200 // of a reason or comment that is written, in octets: the rest is left out
	// MaxInstance is the highest instance of an ARC set (RFC 8617 §4.2.1).
	MaxInstance = 50
)

// Field is the payload of a field.
type Field struct {
	// ServID is the authentication service identifier (RFC 8601 §2.5), unquoted.
	ServID string
	// Results are in the order they stand in; without any the field says "none".
	Results []Result
}

// Result is what one method found (RFC 8601 §2.2: resinfo).
type Result struct {
	Method  string // in lower case
	Version uint32 // of the method; 0 and 1 are the same, the only one there is
	Value   string // the result, in lower case: pass, fail, ...
	Reason  string // may be empty
	// Comment is written behind the value. Parse leaves it empty.
	Comment    string
	Properties []Property
}

// Property is what a result is about: Type and Name in lower case, as in
// "smtp.mailfrom". A Value that is an address is written as RFC 5321 has it.
type Property struct{ Type, Name, Value string }

// Get returns the value of a property; "" if it is not there.
func (r Result) Get(ptype, name string) string {
	for _, p := range r.Properties {
		if p.Type == ptype && p.Name == name {
			return p.Value
		}
	}
	return ""
}

// newResult leaves out the properties that have no value.
func newResult(method, value string, properties ...Property) Result {
	r := Result{Method: method, Value: value}
	for _, p := range properties {
		if p.Value != "" {
			r.Properties = append(r.Properties, p)
		}
	}
	return r
}

// Auth is the result of SMTP AUTH (RFC 8601 §2.7.4) for an identity, usually an
// address.
func Auth(value, identity string) Result {
	return newResult("auth", value, Property{"smtp", "auth", identity})
}

// Signature is what is told of one DKIM signature; what is empty is left out.
type Signature struct {
	Domain, Selector mail.Domain // d=, s=
	Identity         string      // i=, with its @
	Algorithm        string      // a=
	// Start is that of b=: enough of it to tell signatures from each other, at
	// least eight characters (RFC 6008 §4).
	Start string
}

// DKIM is the result of one signature (RFC 8601 §2.7.1, RFC 6008).
func DKIM(value string, s Signature) Result {
	return newResult("dkim", value, Property{"header", "d", string(s.Domain)}, Property{"header", "i", s.Identity},
		Property{"header", "s", string(s.Selector)}, Property{"header", "a", s.Algorithm}, Property{"header", "b", s.Start})
}

// SPF is the result of SPF for a sender (RFC 8601 §2.7.2). Only the domain is told:
// SPF does not authenticate a local part.
func SPF(value string, mailFrom mail.Domain) Result {
	return newResult("spf", value, Property{"smtp", "mailfrom", string(mailFrom)})
}

// SPFHelo is the result of SPF for the name in HELO or EHLO.
func SPFHelo(value, name string) Result {
	return newResult("spf", value, Property{"smtp", "helo", name})
}

// DMARC is the result of DMARC for the domain of the From field and the policy that
// was applied, "" for none (RFC 9989 §9.1).
func DMARC(value string, from mail.Domain, policy string) Result {
	return newResult("dmarc", value, Property{"header", "from", string(from)}, Property{"policy", "dmarc", policy})
}

// ARC is the result of a chain (RFC 8617 §6): the client it came from, if valid, and
// the oldest instance whose message signature verifies, 0 if all do. Of a chain
// that does not pass there is no oldest: give -1.
func ARC(value string, client netip.Addr, oldestPass int) Result {
	var ip, oldest string
	if client.IsValid() {
		ip = client.String()
	}
	if oldestPass >= 0 {
		oldest = strconv.Itoa(oldestPass)
	}
	return newResult("arc", value, Property{"smtp", "remote-ip", ip}, Property{"header", "oldest-pass", oldest})
}

// IPRev is the result of looking the client's name up and back (RFC 8601 §3).
func IPRev(value string, client netip.Addr) Result {
	return newResult("iprev", value, Property{"policy", "iprev", client.String()})
}
