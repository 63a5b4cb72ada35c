package smtp

import (
	"strconv"
	"time"

	"yubin/internal/mail"
)

// Command is a parsed command: one of the types below.
type Command interface {
	Verb() Verb
	// Append appends the command line without its CRLF.
	Append(dst []byte) []byte
}

// The commands. Strings and slices of Hello, Mail and Rcpt are their own;
// those of the others are parts of the line that was parsed.
type (
	// Hello is EHLO, HELO or LHLO. Name is what the client says of itself.
	Hello struct {
		Greeting Verb
		Name     string
	}
	// Mail is MAIL FROM. Given says which parameters there are.
	Mail struct {
		ReversePath mail.ReversePath
		Size        int64 // declared with SIZE=
		Body        mail.Body
		UTF8        bool // SMTPUTF8
		Ret         mail.Ret
		EnvID       string // decoded
		RequireTLS  bool
		Priority    int8 // MT-PRIORITY=
		By          By
		HoldFor     int64 // seconds
		HoldUntil   time.Time
		Given       Params
		NonASCII    bool // the path has octets beyond ASCII
	}
	// By is the value of BY= (RFC 2852 §4).
	By struct {
		Seconds int64 // that are left
		Return  bool  // mode R, else N
		Trace   bool
	}
	// Rcpt is RCPT TO. Postmaster is "<Postmaster>" without a domain, and then
	// ForwardPath is zero.
	Rcpt struct {
		ForwardPath mail.Address
		Postmaster  bool
		Notify      mail.Notify
		ORCPT       string // type, ";" and the address, decoded
		Given       Params
		NonASCII    bool
		// UTF8 lets Append write an ORCPT of type utf-8 with octets beyond ASCII.
		UTF8 bool
	}
	// Data is DATA.
	Data struct{}
	// Bdat announces Size octets right behind the line.
	Bdat struct {
		Size int64
		Last bool
	}
	// Rset is RSET.
	Rset struct{}
	// Vrfy is VRFY.
	Vrfy struct{ Text []byte }
	// Expn is EXPN.
	Expn struct{ Text []byte }
	// Help is HELP, with a topic or without.
	Help struct{ Topic []byte }
	// Noop is NOOP.
	Noop struct{}
	// Quit is QUIT.
	Quit struct{}
	// StartTLS is STARTTLS.
	StartTLS struct{}
	// Auth is AUTH. Initial is the initial response as it was sent, in base64
	// or "="; nil without one.
	Auth struct {
		Mechanism string // upper-case
		Initial   []byte
	}
)

// Params is a set of parameters of MAIL and RCPT.
type Params uint16

// The parameters.
const (
	ParamSize Params = 1 << iota
	ParamBody
	ParamUTF8
	ParamAuth
	ParamRet
	ParamEnvID
	ParamRequireTLS
	ParamPriority
	ParamBy
	ParamHoldFor
	ParamHoldUntil
	ParamNotify // of RCPT, as the next
	ParamORCPT
)

// Verb tells the three greetings apart.
func (c Hello) Verb() Verb { return c.Greeting }

// Verb is MAIL.
func (Mail) Verb() Verb { return MAIL }

// Verb is RCPT.
func (Rcpt) Verb() Verb { return RCPT }

// Verb is DATA.
func (Data) Verb() Verb { return DATA }

// Verb is BDAT.
func (Bdat) Verb() Verb { return BDAT }

// Verb is RSET.
func (Rset) Verb() Verb { return RSET }

// Verb is VRFY.
func (Vrfy) Verb() Verb { return VRFY }

// Verb is EXPN.
func (Expn) Verb() Verb { return EXPN }

// Verb is HELP.
func (Help) Verb() Verb { return HELP }

// Verb is NOOP.
func (Noop) Verb() Verb { return NOOP }

// Verb is QUIT.
func (Quit) Verb() Verb { return QUIT }

// Verb is STARTTLS.
func (StartTLS) Verb() Verb { return STARTTLS }

// Verb is AUTH.
func (Auth) Verb() Verb { return AUTH }

// Append appends the command line.
func (c Hello) Append(dst []byte) []byte {
	return append(append(append(dst, c.Greeting.String()...), ' '), c.Name...)
}

// Append appends the command line, with the parameters in Given. AUTH is sent
// as <>: we never vouch for who submitted a message (RFC 4954 §5).
func (c Mail) Append(dst []byte) []byte {
	dst = append(dst, "MAIL FROM:<"...)
	dst = append(append(dst, c.ReversePath.String()...), '>')
	return appendParams(dst, &c, c.Given, mailParams[:])
}

// Append appends the command line, with the parameters in Given.
func (c Rcpt) Append(dst []byte) []byte {
	to := c.ForwardPath.String()
	if c.Postmaster {
		to = "Postmaster"
	}
	dst = append(append(append(dst, "RCPT TO:<"...), to...), '>')
	return appendParams(dst, &c, c.Given, rcptParams[:])
}

// Append appends the command line.
func (Data) Append(dst []byte) []byte { return append(dst, "DATA"...) }

// Append appends the command line; the octets are not in it.
func (c Bdat) Append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, "BDAT "...), c.Size, 10)
	if c.Last {
		dst = append(dst, " LAST"...)
	}
	return dst
}

// Append appends the command line.
func (Rset) Append(dst []byte) []byte { return append(dst, "RSET"...) }

// Append appends the command line.
func (c Vrfy) Append(dst []byte) []byte { return append(append(dst, "VRFY "...), c.Text...) }

// Append appends the command line.
func (c Expn) Append(dst []byte) []byte { return append(append(dst, "EXPN "...), c.Text...) }

// Append appends the command line.
func (c Help) Append(dst []byte) []byte {
	if dst = append(dst, "HELP"...); len(c.Topic) > 0 {
		dst = append(append(dst, ' '), c.Topic...)
	}
	return dst
}

// Append appends the command line.
func (Noop) Append(dst []byte) []byte { return append(dst, "NOOP"...) }

// Append appends the command line.
func (Quit) Append(dst []byte) []byte { return append(dst, "QUIT"...) }

// Append appends the command line.
func (StartTLS) Append(dst []byte) []byte { return append(dst, "STARTTLS"...) }

// Append appends the command line.
func (c Auth) Append(dst []byte) []byte {
	dst = append(append(dst, "AUTH "...), c.Mechanism...)
	if c.Initial != nil {
		dst = append(append(dst, ' '), c.Initial...)
	}
	return dst
}
