package dsn

import (
	"strconv"
	"strings"

	"yubin/internal/scan"
)

// Status is an enhanced status code (RFC 3463 §2). The zero value is none.
type Status struct{ Class, Subject, Detail uint16 }

// The classes of a Status.
const (
	Success   = 2
	Temporary = 4
	Permanent = 5
)

// IsZero reports whether s is no status.
func (s Status) IsZero() bool { return s == Status{} }

// Append appends "class.subject.detail"; nothing for none.
func (s Status) Append(dst []byte) []byte {
	if s.IsZero() {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(s.Class), 10)
	dst = strconv.AppendUint(append(dst, '.'), uint64(s.Subject), 10)
	return strconv.AppendUint(append(dst, '.'), uint64(s.Detail), 10)
}

func (s Status) String() string { return string(s.Append(nil)) }

// ParseStatus reads a status-code: class 2, 4 or 5, and two numbers up to 999
// without leading zeros (RFC 3464 §2.3.4).
func ParseStatus(text string) (Status, bool) {
	s, rest, ok := cutStatus(text)
	return s, ok && rest == ""
}

// cutStatus reads a status-code at the start of text.
func cutStatus(text string) (s Status, rest string, ok bool) {
	c := scan.New([]byte(text))
	s.Class = statusNumber(c, 1)
	c.Expect('.')
	s.Subject = statusNumber(c, 3)
	c.Expect('.')
	s.Detail = statusNumber(c, 3)
	if c.Failed() || s.Class != Success && s.Class != Temporary && s.Class != Permanent {
		return Status{}, text, false
	}
	return s, text[c.Pos():], true
}

func statusNumber(c *scan.Cursor, digits int) uint16 {
	d := c.While1(scan.IsDigit, "a number")
	n, _ := scan.Uint(d)
	if len(d) > digits || len(d) > 1 && d[0] == '0' {
		c.Fail("a number of a status code")
		return 0
	}
	return uint16(n)
}

// StatusOf returns the status that an SMTP reply gives, its lines parted by
// LF: the one behind the code of its first line if it is of the code's class,
// else what the code alone says. None if reply is not an SMTP reply.
func StatusOf(reply string) Status {
	code, ok := replyCode(reply)
	if !ok {
		return Status{}
	}
	line, _, _ := strings.Cut(reply, "\n")
	if len(line) > 4 {
		s, rest, ok := cutStatus(strings.TrimLeft(line[4:], " "))
		if ok && int(s.Class) == code/100 && (rest == "" || strings.IndexByte(" \r\t:;,", rest[0]) >= 0) {
			return s
		}
	}
	return DefaultStatus(code)
}

// replyCode reads the code of a reply line (RFC 5321 §4.2.1): three digits, then
// "-", space or nothing.
func replyCode(line string) (int, bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !scan.IsDigit(line[1]) || !scan.IsDigit(line[2]) {
		return 0, false
	}
	if len(line) > 3 && strings.IndexByte("- \r\n", line[3]) < 0 {
		return 0, false
	}
	n, _ := scan.Uint([]byte(line[:3]))
	return int(n), true
}

// basicCodes are the reply codes that tell more than their class (RFC 5321
// §4.2.3, RFC 5248 table 1, RFC 7504, RFC 7505). Codes that servers use for
// many reasons, as 450, 451, 550 and 554, are not here: RFC 3461 §6.3(g) wants
// x.0.0 then.
var basicCodes = [...]struct {
	code   int
	status Status
}{
	{251, Status{2, 1, 5}},
	{421, Status{4, 4, 2}}, {422, Status{4, 7, 12}}, {432, Status{4, 7, 12}}, {452, Status{4, 3, 1}}, {453, Status{4, 3, 2}},
	{455, Status{4, 5, 4}},
	{500, Status{5, 5, 2}}, {501, Status{5, 5, 4}}, {502, Status{5, 5, 1}}, {503, Status{5, 5, 1}}, {504, Status{5, 5, 4}},
	{521, Status{5, 3, 2}}, {523, Status{5, 7, 10}}, {524, Status{5, 7, 11}}, {525, Status{5, 7, 13}}, {530, Status{5, 7, 0}},
	{534, Status{5, 7, 9}}, {535, Status{5, 7, 8}}, {538, Status{5, 7, 11}}, {551, Status{5, 1, 6}}, {552, Status{5, 2, 2}},
	{553, Status{5, 1, 3}}, {555, Status{5, 5, 4}}, {556, Status{5, 1, 10}},
}

// DefaultStatus returns the status that a basic reply code stands for by
// itself; class.0.0 where it can mean many things; none for what is no final
// reply code.
func DefaultStatus(code int) Status {
	class := code / 100
	if class != Success && class != Temporary && class != Permanent {
		return Status{}
	}
	for _, b := range basicCodes {
		if b.code == code {
			return b.status
		}
	}
	return Status{Class: uint16(class)}
}
