package smtp

import (
	"math"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// readSize is 1*20DIGIT (RFC 1870 §6); beyond 63 bits it is the largest there is.
func readSize(c *Mail, v []byte) bool {
	if len(v) == 0 || len(v) > 20 || !allDigits(v) {
		return false
	}
	n, ok := scan.Uint(v)
	if !ok || n > math.MaxInt64 {
		n = math.MaxInt64
	}
	c.Size = int64(n)
	return true
}

func allDigits(v []byte) bool {
	for _, d := range v {
		if !scan.IsDigit(d) {
			return false
		}
	}
	return len(v) > 0
}

var bodyNames = [...]string{mail.Body7Bit: "7BIT", mail.Body8BitMIME: "8BITMIME", mail.BodyBinaryMIME: "BINARYMIME"}

// readBody is body-value (RFC 6152 §2, RFC 3030 §3).
func readBody(c *Mail, v []byte) bool {
	for body, name := range bodyNames {
		if isWord(v, name) {
			c.Body = mail.Body(body)
			return true
		}
	}
	return false
}

// isWord reports whether v is word in any case.
func isWord(v []byte, word string) bool {
	var c scan.Cursor
	c.Reset(v)
	return c.TryFold(word) && c.AtEnd()
}

// readAuth is "<>" or a mailbox in xtext (RFC 4954 §5). Who submitted the
// message elsewhere is nothing that we could check, so the value is not kept.
func readAuth(_ *Mail, v []byte) bool {
	text, ok := mail.ParseXtext(v)
	if !ok || text == "" {
		return false
	}
	if text == "<>" {
		return true
	}
	_, err := mail.ParseAddress(text)
	return err == nil
}

// readRet is "FULL" / "HDRS" (RFC 3461 §4.3).
func readRet(c *Mail, v []byte) bool {
	for r := mail.RetFull; r <= mail.RetHeaders; r++ {
		if isWord(v, r.String()) {
			c.Ret = r
		}
	}
	return c.Ret != 0
}

// readEnvID is xtext of printable characters (RFC 3461 §4.4).
func readEnvID(c *Mail, v []byte) (ok bool) {
	if len(v) == 0 || len(v) > MaxEnvID {
		return false
	}
	c.EnvID, ok = mail.ParseXtext(v)
	return ok && isPrintable(c.EnvID)
}

// readPriority is (["-"] NZDIGIT) / "0" (RFC 6710 §7).
func readPriority(c *Mail, v []byte) bool {
	n, err := strconv.ParseInt(string(v), 10, 8)
	if err != nil || n < -MaxPriority || n > MaxPriority || string(v) != strconv.FormatInt(n, 10) {
		return false
	}
	c.Priority = int8(n)
	return true
}

// readBy is by-value (RFC 2852 §4).
func readBy(c *Mail, v []byte) bool {
	var p scan.Cursor
	p.Reset(v)
	negative := p.Try('-')
	if !negative {
		p.Try('+')
	}
	digits := p.While1(scan.IsDigit, "seconds")
	n, _ := scan.Uint(digits)
	if c.By.Seconds = int64(n); negative {
		c.By.Seconds = -c.By.Seconds
	}
	p.Expect(';')
	if c.By.Return = p.TryFold("R"); !c.By.Return {
		p.ExpectFold("N")
	}
	c.By.Trace = p.TryFold("T")
	p.End()
	return p.Err() == nil && len(digits) <= 9 && !(c.By.Return && c.By.Seconds <= 0)
}

// append appends by-value.
func (b By) append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, min(max(b.Seconds, -MaxSeconds), MaxSeconds), 10)
	if b.Return {
		dst = append(dst, ";R"...)
	} else {
		dst = append(dst, ";N"...)
	}
	if b.Trace {
		dst = append(dst, 'T')
	}
	return dst
}

// readHoldFor is future-release-integer (RFC 4865 §3).
func readHoldFor(c *Mail, v []byte) bool {
	if !allDigits(v) || len(v) > 9 || v[0] == '0' {
		return false
	}
	n, _ := scan.Uint(v)
	c.HoldFor = int64(n)
	return true
}

// holdLayout is Internet-style-date-time-UTC (RFC 3339 §5.6).
const holdLayout = "2006-01-02T15:04:05Z"

// readHoldUntil is future-release-date-time (RFC 4865 §3). Parts of a second are
// read and dropped.
func readHoldUntil(c *Mail, v []byte) bool {
	at, err := time.Parse(holdLayout, string(v))
	c.HoldUntil = at.Truncate(time.Second)
	return err == nil
}

// readNotify is notify-esmtp-value (RFC 3461 §4.1).
func readNotify(c *Rcpt, v []byte) bool {
	if len(v) > MaxNotify {
		return false
	}
	for word := range strings.SplitSeq(string(v), ",") {
		bit := notifyNamed(word)
		if bit == 0 || c.Notify&mail.NotifyNever != 0 || bit == mail.NotifyNever && c.Notify != 0 {
			return false
		}
		c.Notify |= bit
	}
	return true
}

func notifyNamed(word string) mail.Notify {
	for bit := mail.NotifySuccess; bit <= mail.NotifyNever; bit <<= 1 {
		if strings.EqualFold(bit.String(), word) {
			return bit
		}
	}
	return 0
}

// utf8Type is the address type whose encoding is that of RFC 6533 §3.
const utf8Type = "utf-8"

// readORCPT is original-recipient-address: an address type, ";", and the
// address as xtext (RFC 3461 §4.2) or, of type utf-8, in one of the forms of
// RFC 6533 §3. Nothing changes its case.
func readORCPT(c *Rcpt, v []byte) (ok bool) {
	kind, address, found := strings.Cut(string(v), ";")
	if !found || address == "" || !isAtom(kind) || len(v) > MaxORCPT {
		return false
	}
	if strings.EqualFold(kind, utf8Type) {
		address, ok = mail.ParseUnitext(address)
	} else if address, ok = mail.ParseXtext(address); ok {
		ok = isPrintable(address)
	}
	c.ORCPT = kind + ";" + address
	return ok && address != ""
}

// IsORCPT reports whether s is an address type, ";" and an address.
func IsORCPT(s string) bool {
	kind, address, _ := strings.Cut(s, ";")
	return isAtom(kind) && address != ""
}

// AppendORCPT appends the value of ORCPT= that orcpt is: type, ";" and the
// decoded address. Without smtputf8 it has no octets beyond ASCII.
func AppendORCPT(dst []byte, orcpt string, smtputf8 bool) []byte {
	kind, address, _ := strings.Cut(orcpt, ";")
	dst = append(append(dst, kind...), ';')
	if strings.EqualFold(kind, utf8Type) {
		return mail.AppendUnitext(dst, address, !smtputf8)
	}
	return mail.AppendXtext(dst, address)
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

// isPrintable reports whether s is of printable ASCII and spaces.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
