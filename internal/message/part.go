package message

import "strings"

// Param is a parameter of a structured MIME field. Name is lower-case; Value is
// decoded (RFC 2231, and RFC 2047 where mailers misuse it) to UTF-8.
type Param struct{ Name, Value string }

// given are the parameters of a field as they stand in it, but for quotes and
// that continuations are joined (RFC 2231 §3): octets, charsets and languages are
// those of the sender, and names can end in "*" (§4). It is nil if that is what
// the decoded ones are.
type given []Param

// Part is a node of the MIME tree of a message.
type Part struct {
	Type, Subtype     string // lower-case; text/plain where the message does not say, message/rfc822 in multipart/digest
	Params            []Param
	ID, Description   string // raw, unfolded
	MD5, Location     string
	Encoding          string // lower-case; "" is 7bit
	Disposition       string // lower-case; "" if there is none
	DispositionParams []Param
	Languages         []string
	Offset            int64 // where the header starts, in octets from the start of the message
	Body              int64 // where the body starts
	End               int64 // where the body ends, exclusive
	Lines             int64 // lines of the body; a last line without its line end counts
	Children          []*Part
	Envelope          *Envelope // of the message within, for message/rfc822 and message/global

	delimiter []byte // the boundary as raw octets, while parsing
	encoded   bool   // there was a Content-Transfer-Encoding

	params, dispositionParams given
}

// IsMultipart reports whether p has body parts.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// IsMessage reports whether p holds a message whose root is its only child.
func (p *Part) IsMessage() bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// Size returns the octets of the body, as encoded.
func (p *Part) Size() int64 { return p.End - p.Body }

// Find returns the part that IMAP calls by path (RFC 9051 §6.4.5.1), where p
// is the root of a message; p itself for the empty path, nil if there is none.
// The header and text of an embedded message are those of its only child.
func (p *Part) Find(path []int) *Part {
	scope, root := p, true
	for _, n := range path {
		switch {
		case scope == nil || n < 1:
			return nil
		case scope.IsMultipart() && n <= len(scope.Children):
			p = scope.Children[n-1]
		case scope.IsMultipart() || !root || n != 1:
			return nil
		default:
			p = scope
		}
		scope, root = p, false
		if p.IsMessage() && len(p.Children) == 1 {
			scope, root = p.Children[0], true
		}
	}
	return p
}

// Shift makes room for n octets put before the message: all offsets of p, its
// root, move by n, except that its header still starts at 0.
func (p *Part) Shift(n int64) {
	p.shift(n)
	p.Offset = 0
}

func (p *Part) shift(n int64) {
	p.Offset += n
	p.Body += n
	p.End += n
	for _, c := range p.Children {
		c.shift(n)
	}
}

// Param returns the value of the parameter of the content type called name,
// in lower case; "" if there is none.
func (p *Part) Param(name string) string { return param(p.Params, name) }

// Charset returns the charset of a text part in lower case; us-ascii where
// the message does not say (RFC 2046 §4.1.2).
func (p *Part) Charset() string {
	if c := p.Param("charset"); c != "" {
		return strings.ToLower(c)
	}
	return "us-ascii"
}

// Filename returns the name that the sender gave to the part; "" if none. It
// is as the sender wrote it and can hold separators and worse.
func (p *Part) Filename() string {
	if f := param(p.DispositionParams, "filename"); f != "" {
		return f
	}
	return p.Param("name")
}

func param(ps []Param, name string) string {
	for _, p := range ps {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}
