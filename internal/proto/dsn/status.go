package dsn

import (
	"strings"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Status is an enhanced status code (RFC 3463 §2), here with its meaning.
type Status = mail.Enhanced

// The classes of a Status.
const (
	Success   = 2
	Temporary = 4
	Permanent = 5
)

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
		s, rest, ok := mail.CutEnhanced(strings.TrimLeft(line[4:], " "))
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
	code                   int
	class, subject, detail uint16
}{
	{251, 2, 1, 5},
	{421, 4, 4, 2}, {422, 4, 7, 12}, {432, 4, 7, 12}, {452, 4, 3, 1}, {453, 4, 3, 2},
	{455, 4, 5, 4},
	{500, 5, 5, 2}, {501, 5, 5, 4}, {502, 5, 5, 1}, {503, 5, 5, 1}, {504, 5, 5, 4},
	{521, 5, 3, 2}, {523, 5, 7, 10}, {524, 5, 7, 11}, {525, 5, 7, 13}, {530, 5, 7, 0},
	{534, 5, 7, 9}, {535, 5, 7, 8}, {538, 5, 7, 11}, {551, 5, 1, 6}, {552, 5, 2, 2},
	{553, 5, 1, 3}, {555, 5, 5, 4}, {556, 5, 1, 10},
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
			return Status{Class: b.class, Subject: b.subject, Detail: b.detail}
		}
	}
	return Status{Class: uint16(class)}
}
