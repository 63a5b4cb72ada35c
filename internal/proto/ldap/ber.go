package ldap

import (
	"fmt"

	"yubin/internal/mail"
)

// Tags of BER (X.690 §8) that LDAP has; those of its own stand where they are used.
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31
)

// HeaderSize is how many octets HeaderOf wants at first.
const HeaderSize = 2

// HeaderOf says how long the message is that begins with these octets, or how many octets
// of it must be seen to tell (more is more than there are). Lengths are definite, as RFC 4511
// §5.1 says. The error is Invalid, or TooLarge beyond MaxMessage.
func HeaderOf(begin []byte) (length, more int, err error) {
	if len(begin) < HeaderSize {
		return 0, HeaderSize, nil
	}
	if begin[0] != tagSequence {
		return 0, 0, mail.Errorf(mail.Invalid, "the answer is not LDAP: it begins with %#02x", begin[0])
	}
	header, content, ok := lengthOf(begin)
	switch {
	case !ok:
		return 0, 0, mail.Errorf(mail.Invalid, "the answer is not LDAP: its length is none")
	case len(begin) < header:
		return 0, header, nil
	case content > MaxMessage-header:
		return 0, 0, mail.Errorf(mail.TooLarge, "the answer has %d octets; %d are the most", content, MaxMessage)
	}
	return header + content, 0, nil
}

// lengthOf reads the length behind a tag: how many octets tag and length take, and how
// many are behind them; content counts only if there are header octets. An indefinite length,
// and one of more than four octets that are not 0, is not ok.
func lengthOf(b []byte) (header, content int, ok bool) {
	first := int(b[1])
	if first < 0x80 {
		return 2, first, true
	}
	n := first & 0x7f
	if n == 0 || n > 8 {
		return 0, 0, false
	}
	if len(b) < 2+n {
		return 2 + n, 0, true
	}
	for _, o := range b[2 : 2+n] {
		if content >= 1<<23 {
			return 0, 0, false
		}
		content = content<<8 | int(o)
	}
	return 2 + n, content, true
}

// reader reads elements. The first failure sticks.
type reader struct {
	rest   []byte
	failed string
}

func (r *reader) fail(format string, args ...any) {
	if r.failed == "" {
		r.failed = fmt.Sprintf(format, args...)
	}
	r.rest = nil
}

// next takes the next element.
func (r *reader) next() (tag byte, content []byte) {
	if r.failed != "" || len(r.rest) < 2 {
		r.fail("it ends too early")
		return 0, nil
	}
	tag = r.rest[0]
	header, size, ok := lengthOf(r.rest)
	switch {
	case tag&0x1f == 0x1f:
		r.fail("a tag of several octets")
	case !ok, len(r.rest) < header, size > len(r.rest)-header:
		r.fail("a part is longer than the whole")
	default:
		content, r.rest = r.rest[header:header+size], r.rest[header+size:]
	}
	return tag, content
}

// want is next for an element of a tag.
func (r *reader) want(tag byte) []byte {
	got, content := r.next()
	if r.failed == "" && got != tag {
		r.fail("%#02x where %#02x is expected", got, tag)
		return nil
	}
	return content
}

// into is a reader of what an element holds; it has failed if r has.
func (r *reader) into(tag byte) reader {
	content := r.want(tag)
	return reader{rest: content, failed: r.failed}
}

func (r *reader) octets(tag byte, most int) string {
	content := r.want(tag)
	if len(content) > most {
		r.fail("a value of %d octets; %d are the most", len(content), most)
		return ""
	}
	return string(content)
}

// int reads a number from 0 to 2^31-1 (RFC 4511 §4.1.1).
func (r *reader) int(tag byte) (n int) {
	content := r.want(tag)
	if r.failed == "" && (len(content) == 0 || len(content) > 4 || content[0] >= 0x80) {
		r.fail("a number that is none")
		return 0
	}
	for _, o := range content {
		n = n<<8 | int(o)
	}
	return n
}

func appendElement(dst []byte, tag byte, content []byte) []byte {
	dst = append(dst, tag)
	switch n := len(content); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 1<<8:
		dst = append(dst, 0x81, byte(n))
	case n < 1<<16:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, content...)
}

func appendString(dst []byte, tag byte, s string) []byte { return appendElement(dst, tag, []byte(s)) }

// appendInt appends a number that is not negative.
func appendInt(dst []byte, tag byte, n int) []byte {
	var content []byte
	for v := n; ; v >>= 8 {
		content = append([]byte{byte(v)}, content...)
		if v < 0x80 {
			return appendElement(dst, tag, content)
		}
	}
}
