// Package ldap is what a mail server says to an LDAP directory to ask it about people:
// version 3 (RFC 4511) from the client's side, of which it knows
//
//	Bind      simple: a name and a password (§4.2)
//	Search    a base, a scope, a filter, attributes; entries come one by one (§4.5)
//	StartTLS  (§4.14)
//	Unbind    (§4.3)
//
// with filters (RFC 4515) and names (RFC 4514) in which variables stand: what is put into
// their places is put into the tree, not into the text, so that nothing in it means anything.
//
// It is pure: no socket, no clock. What a server sends is read within the bounds below, each
// length against what there is before anything of that size is made. References to other
// servers and controls are passed over.
package ldap

import (
	"fmt"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// Bounds on what a server sends.
const (
	MaxMessage    = 256 << 10 // octets of one message
	MaxDN         = 4 << 10   // octets of the name of an entry
	MaxAttributes = 64        // of an entry
	MaxValues     = 2000      // of an entry, all attributes together
	MaxValue      = 64 << 10  // octets of a value
	maxText       = 300       // octets of what a server says to people; more is cut
)

// Op is what a message of a server is.
type Op byte

// The operations that a server may answer with.
const (
	BindResponse     = Op(0x61)
	SearchEntry      = Op(0x64)
	SearchDone       = Op(0x65)
	SearchReference  = Op(0x73)
	ExtendedResponse = Op(0x78)
	Intermediate     = Op(0x79)
)

// Code is how an operation ended (RFC 4511 Appendix A).
type Code int

// The codes that lead somewhere of their own.
const (
	Success            = Code(0)
	TimeLimit          = Code(3)
	SizeLimit          = Code(4)
	Referral           = Code(10)
	NoSuchObject       = Code(32)
	InvalidName        = Code(34)
	InappropriateAuth  = Code(48) // the entry has no password
	InvalidCredentials = Code(49)
	Busy               = Code(51)
	Unavailable        = Code(52)
)

var codeNames = map[Code]string{
	0: "success", 1: "operationsError", 2: "protocolError", 3: "timeLimitExceeded", 4: "sizeLimitExceeded", 7: "authMethodNotSupported",
	8: "strongerAuthRequired", 10: "referral", 11: "adminLimitExceeded", 12: "unavailableCriticalExtension", 13: "confidentialityRequired",
	16: "noSuchAttribute", 18: "inappropriateMatching", 32: "noSuchObject", 34: "invalidDNSyntax", 48: "inappropriateAuthentication",
	49: "invalidCredentials", 50: "insufficientAccessRights", 51: "busy", 52: "unavailable", 53: "unwillingToPerform", 80: "other",
}

func (c Code) String() string {
	if name := codeNames[c]; name != "" {
		return name
	}
	return "code " + strconv.Itoa(int(c))
}

// Response is a message of a server.
type Response struct {
	ID   int // of the request; 0 is the server's own word: it hangs up (RFC 4511 §4.4.1)
	Op   Op
	Code Code   // not of SearchEntry, SearchReference, Intermediate
	Text string // what the server says about it
	Entry
}

// Entry is one of a directory.
type Entry struct {
	DN         string
	Attributes []Attribute
}

// Attribute is one of an entry.
type Attribute struct {
	Name   string
	Values []string
}

// Values are those of the attribute of a name, in any case (RFC 4512 §2.5).
func (e Entry) Values(name string) (list []string) {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, name) {
			list = append(list, a.Values...)
		}
	}
	return list
}

// AppendAnonymous appends the request to be nobody (RFC 4513 §5.1.1).
func AppendAnonymous(dst []byte, id int) []byte { return appendBind(dst, id, "", "") }

// AppendBind appends the request to be let in as name. The password must not be empty: a
// server would then take it for nobody's, and say that all is well (RFC 4513 §5.1.2), so it
// panics.
func AppendBind(dst []byte, id int, name, password string) []byte {
	if name == "" || password == "" {
		panic("ldap: a bind without a name or password is let in as nobody")
	}
	return appendBind(dst, id, name, password)
}

func appendBind(dst []byte, id int, name, password string) []byte {
	op := appendInt(nil, tagInteger, 3)
	op = appendString(op, tagOctets, name)
	op = appendString(op, 0x80, password)
	return appendMessage(dst, id, 0x60, op)
}

// Scope says what a search looks at (RFC 4511 §4.5.1.2).
type Scope int

// The scopes.
const (
	BaseObject = Scope(0)
	OneLevel   = Scope(1)
	Subtree    = Scope(2)
)

// Search is a question. The server is asked for at most so many entries, within so many
// seconds; aliases are not followed.
type Search struct {
	Base       string
	Scope      Scope
	Filter     Filter
	Variables  Variables // of Filter
	Attributes []string  // none means none, not all
	Entries    int
	Seconds    int
}

// AppendSearch appends the request.
func AppendSearch(dst []byte, id int, s Search) []byte {
	op := appendString(nil, tagOctets, s.Base)
	op = appendInt(op, tagEnumerated, int(s.Scope))
	op = appendInt(op, tagEnumerated, 0)
	op = appendInt(op, tagInteger, s.Entries)
	op = appendInt(op, tagInteger, s.Seconds)
	op = append(op, tagBoolean, 1, 0)
	op = s.Filter.append(op, s.Variables)
	var names []byte
	for _, a := range s.Attributes {
		names = appendString(names, tagOctets, a)
	}
	if len(s.Attributes) == 0 {
		names = appendString(names, tagOctets, "1.1") // RFC 4511 §4.5.1.8
	}
	op = appendElement(op, tagSequence, names)
	return appendMessage(dst, id, 0x63, op)
}

// AppendStartTLS appends the request to speak TLS from the answer on.
func AppendStartTLS(dst []byte, id int) []byte {
	return appendMessage(dst, id, 0x77, appendString(nil, 0x80, "1.3.6.1.4.1.1466.20037"))
}

// AppendUnbind appends the goodbye, which has no answer.
func AppendUnbind(dst []byte, id int) []byte { return appendMessage(dst, id, 0x42, nil) }

func appendMessage(dst []byte, id int, op byte, content []byte) []byte {
	return appendElement(dst, tagSequence, appendElement(appendInt(nil, tagInteger, id), op, content))
}

// ParseResponse reads a whole message, as HeaderOf found it. The error is Invalid.
func ParseResponse(message []byte) (Response, error) {
	r := reader{rest: message}
	in := r.into(tagSequence)
	id := in.int(tagInteger)
	op, content := in.next()
	resp := Response{ID: id, Op: Op(op)}
	body := reader{rest: content, failed: in.failed}
	switch resp.Op {
	case BindResponse, SearchDone, ExtendedResponse:
		resp.Code = Code(body.int(tagEnumerated))
		body.octets(tagOctets, MaxMessage) // the name of what there is
		resp.Text = cut(body.octets(tagOctets, MaxMessage))
	case SearchEntry:
		resp.Entry = body.entry()
	case SearchReference, Intermediate:
	default:
		body.fail("an answer of operation %#x", op)
	}
	if r.failed == "" {
		r.failed = body.failed
	}
	if r.failed == "" && len(r.rest) > 0 {
		r.fail("octets behind the end")
	}
	if r.failed != "" {
		return Response{}, mail.Errorf(mail.Invalid, "the answer is not LDAP: %s", r.failed)
	}
	return resp, nil
}

// entry reads SearchResultEntry.
func (r *reader) entry() (e Entry) {
	e.DN = r.octets(tagOctets, MaxDN)
	list := r.into(tagSequence)
	values := 0
	for len(list.rest) > 0 && list.failed == "" {
		one := list.into(tagSequence)
		a := Attribute{Name: one.octets(tagOctets, MaxDN)}
		set := one.into(tagSet)
		for len(set.rest) > 0 && set.failed == "" {
			a.Values = append(a.Values, set.octets(tagOctets, MaxValue))
			if values++; values > MaxValues {
				set.fail("more than %d values", MaxValues)
			}
		}
		if e.Attributes = append(e.Attributes, a); len(e.Attributes) > MaxAttributes {
			set.fail("more than %d attributes", MaxAttributes)
		}
		if list.failed = one.failed; set.failed != "" {
			list.failed = set.failed
		}
	}
	if r.failed == "" {
		r.failed = list.failed
	}
	return e
}

func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}

// Name is the name of an entry in which variables stand: uid={local},dc=example.
type Name struct{ text template }

// ParseName reads one that may have the variables named. The error is Invalid.
func ParseName(text string, known ...string) (Name, error) {
	t, err := parseTemplate(text, known, func(s string) (string, error) { return s, nil })
	if err != nil {
		return Name{}, err
	}
	if key, value, ok := strings.Cut(text, "="); !ok || value == "" || key == "" || strings.Trim(key, attributeLetters) != "" {
		return Name{}, mail.Errorf(mail.Invalid, "%q is no name of an entry, such as uid={local},ou=people,dc=example,dc=org", text)
	}
	return Name{t}, nil
}

// IsZero reports whether there is none.
func (n Name) IsZero() bool { return len(n.text) == 0 }

// Uses reports whether the variable stands in it.
func (n Name) Uses(variable string) bool { return n.text.uses(variable) }

// With is the name with values in place of variables, each written as RFC 4514 §2.4 says.
func (n Name) With(v Variables) string {
	var b strings.Builder
	for _, p := range n.text {
		if p.variable == "" {
			b.WriteString(p.literal)
			continue
		}
		writeValue(&b, v[p.variable])
	}
	return b.String()
}

// writeValue writes a value of a name: what means something there, and whatever is not a
// plain letter, in hexadecimal.
func writeValue(b *strings.Builder, value string) {
	for i := range len(value) {
		c := value[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._@", c) >= 0
		if plain {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(b, `\%02x`, c)
	}
}
