package imap

import (
	"math"
	"strings"

	"yubin/internal/scan"
)

// maxStructureDepth bounds the parentheses of a body structure text; a MIME
// part within another takes two.
const maxStructureDepth = 256

// basicOf is the BODY form of a BODYSTRUCTURE text: the same without extension
// data, at all levels (RFC 9051 §7.5.2). The error says that the text is not a body
// as the grammar has it.
func basicOf(bodystructure []byte) ([]byte, error) {
	var c basicCopier
	c.Reset(bodystructure)
	c.body()
	c.End()
	return c.dst, c.Err()
}

// basicCopier reads a body and copies what BODY keeps of it.
type basicCopier struct {
	scan.Cursor
	dst   []byte
	depth int
}

// body = "(" (body-type-1part / body-type-mpart) ")".
func (c *basicCopier) body() {
	if c.depth++; c.depth > maxStructureDepth {
		c.Fail("fewer levels")
	}
	c.Expect('(')
	c.dst = append(c.dst, '(')
	if c.Peek() == '(' {
		c.multipart()
	} else {
		c.onePart()
	}
	for c.Peek() == ' ' { // extension data
		c.Next()
		c.value()
	}
	c.Expect(')')
	c.dst = append(c.dst, ')')
	c.depth--
}

// multipart = 1*body SP media-subtype.
func (c *basicCopier) multipart() {
	for c.Peek() == '(' {
		c.body()
	}
	c.spValue()
}

// onePart = media SP body-fields, and more for text and message.
func (c *basicCopier) onePart() {
	kind := c.copyValue()
	subtype := c.spValue()
	for range 5 { // body-fields: parameters, id, description, encoding, octets
		c.spValue()
	}
	switch mediaType(kind, subtype) {
	case "text":
		c.spValue() // lines
	case "message/rfc822", "message/global":
		c.spValue() // envelope
		c.Expect(' ')
		c.dst = append(c.dst, ' ')
		c.body()
		c.spValue() // lines
	}
}

// mediaType makes of two strings as they stand what onePart distinguishes.
func mediaType(kind, subtype []byte) string {
	if strings.EqualFold(string(kind), `"text"`) {
		return "text"
	}
	return strings.ToLower(strings.Trim(string(kind), `"`) + "/" + strings.Trim(string(subtype), `"`))
}

// spValue copies a space and a value.
func (c *basicCopier) spValue() []byte {
	c.Expect(' ')
	c.dst = append(c.dst, ' ')
	return c.copyValue()
}

func (c *basicCopier) copyValue() []byte {
	v := c.value()
	c.dst = append(c.dst, v...)
	return v
}

// value reads a string, NIL, a number or a list of values, and returns it as
// it stands.
func (c *basicCopier) value() []byte {
	rest, start := c.Rest(), c.Pos()
	switch c.Peek() {
	case '"':
		c.quoted()
	case '{':
		c.literal()
	case '(':
		c.list()
	default:
		c.While1(isAtomChar, "value")
	}
	if c.Failed() {
		return nil
	}
	return rest[:c.Pos()-start]
}

func (c *basicCopier) quoted() {
	c.Next()
	for c.While(isQuotedChar); c.Try('\\'); c.While(isQuotedChar) {
		c.Next()
	}
	c.Expect('"')
}

func (c *basicCopier) literal() {
	c.Next()
	n := c.Number(math.MaxInt32)
	c.Expect('}')
	c.Expect('\r')
	c.Expect('\n')
	c.Skip(int(n))
}

// list reads a list whatever is in it. Addresses stand without spaces between.
func (c *basicCopier) list() {
	if c.depth++; c.depth > maxStructureDepth {
		c.Fail("fewer levels")
	}
	c.Next()
	for !c.AtEnd() && c.Peek() != ')' {
		c.value()
		c.Try(' ')
	}
	c.Expect(')')
	c.depth--
}
