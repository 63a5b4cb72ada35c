package pop3

// Code is a response code (RFC 2449 §8), without its brackets.
type Code string

// The response codes used here.
const (
	NoCode  Code = ""
	InUse   Code = "IN-USE"   // RFC 2449 §8.1.2: another session has the maildrop
	BadAuth Code = "AUTH"     // RFC 3206: the credentials are wrong
	SysTemp Code = "SYS/TEMP" // RFC 3206: our fault, try again
	SysPerm Code = "SYS/PERM" // RFC 3206: our fault, somebody must do something
)

// Reply is a status line. The zero value is "-ERR".
type Reply struct {
	OK   bool
	Code Code
	Text string
}

// OK is a positive reply.
func OK(text string) Reply { return Reply{OK: true, Text: text} }

// Append appends the line with its CRLF. Text is cut to fit MaxReply; what is
// not printable ASCII in it becomes a question mark, and without a Code a
// bracket at its start, which would look like one (RFC 2449 §6.4), too.
func (r Reply) Append(dst []byte) []byte {
	end := len(dst) + MaxReply - len("\r\n")
	dst = append(dst, r.status()...)
	if r.Code != NoCode {
		dst = append(dst, " ["...)
		dst = append(dst, r.Code...)
		dst = append(dst, ']')
	}
	if r.Text != "" {
		dst = append(dst, ' ')
	}
	for i := 0; i < len(r.Text) && len(dst) < end; i++ {
		b := r.Text[i]
		if b != ' ' && !isVchar(b) || b == '[' && i == 0 && r.Code == NoCode {
			b = '?'
		}
		dst = append(dst, b)
	}
	return append(dst, "\r\n"...)
}

func (r Reply) String() string {
	line := r.Append(nil)
	return string(line[:len(line)-2])
}

func (r Reply) status() string {
	if r.OK {
		return "+OK"
	}
	return "-ERR"
}
