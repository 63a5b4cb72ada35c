package smtpc

import (
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/scan"
)

// takes says what a message needs that the host does not offer, if anything.
func (c *Client) takes(t mail.Outgoing) *trouble {
	has := c.offers.has
	lacks := func(code, text string) *trouble { return &trouble{kind: mail.Lacking, code: code, text: text} }
	switch {
	case has(extSize) && c.offers.size > 0 && t.Size > c.offers.size:
		return lacks("5.3.4", "the message has "+strconv.FormatInt(t.Size, 10)+" octets; the host takes at most "+
			strconv.FormatInt(c.offers.size, 10))
	case t.Body == mail.BodyBinaryMIME && !has(extBinaryMIME|extChunking):
		return lacks("5.6.3", "the message is binary, which the host does not take")
	case t.Body == mail.Body8BitMIME && !has(ext8BitMIME):
		return lacks("5.6.3", "the message has 8-bit octets, which the host does not take")
	case mail.Address(t.ReversePath).NeedsUTF8() && !has(extSMTPUTF8):
		return lacks("5.6.7", "the address of the sender needs SMTPUTF8, which the host does not offer")
	case t.UTF8 && !has(extSMTPUTF8):
		return lacks("5.6.9", "the message has a header in UTF-8, which the host does not take")
	case c.demandsTLS(t) && !(has(extRequireTLS) && c.verified):
		return lacks("5.7.30", "the message may only go to hosts that offer REQUIRETLS")
	case t.DeliverBy.Return && !c.inTime(t.DeliverBy):
		return lacks("5.4.7", "the host does not promise to deliver in the time that the sender set")
	}
	return nil
}

// demandsTLS reports whether t must not leave by another host than one of
// REQUIRETLS. A report should keep to it, but is not to get lost for it (RFC
// 8689 §5).
func (c *Client) demandsTLS(t mail.Outgoing) bool { return t.RequireTLS && !t.ReversePath.IsNull() }

// inTime reports whether the host takes over the rest of the time (RFC 2852
// §4.1.4.1).
func (c *Client) inTime(by mail.DeliverBy) bool {
	left := c.secondsLeft(by)
	return c.offers.has(extDeliverBy) && left > 0 && left >= c.offers.minBy
}

func (c *Client) secondsLeft(by mail.DeliverBy) int64 {
	return int64(by.At.Sub(c.cfg.Now()) / time.Second)
}

// mailCommand is MAIL with what the host offers of what the message asks for.
type mailCommand struct {
	smtp.Mail
	more []byte
}

func (m mailCommand) Append(dst []byte) []byte { return append(m.Mail.Append(dst), m.more...) }

// mailFrom makes the MAIL command of t. The parameters of the message are
// those that the host offers: what must not be left out, takes has looked for.
func (c *Client) mailFrom(t mail.Outgoing, utf8 bool) smtp.Command {
	m := mailCommand{Mail: smtp.Mail{ReversePath: t.ReversePath, Size: t.Size, Body: t.Body}}
	if c.offers.has(extSize) {
		m.Given |= smtp.ParamSize
	}
	if t.Body != mail.Body7Bit {
		m.Given |= smtp.ParamBody
	}
	if utf8 {
		m.Given |= smtp.ParamUTF8
	}
	if c.offers.has(extDSN) {
		m.more = appendDSN(m.more, t)
	}
	if t.RequireTLS && c.offers.has(extRequireTLS) && c.verified {
		m.more = append(m.more, " REQUIRETLS"...)
	}
	if t.Priority != 0 && c.offers.has(extPriority) {
		m.more = strconv.AppendInt(append(m.more, " MT-PRIORITY="...), int64(t.Priority), 10)
	}
	if !t.DeliverBy.At.IsZero() && c.offers.has(extDeliverBy) {
		m.more = c.appendDeliverBy(m.more, t.DeliverBy)
	}
	return m
}

// appendDSN appends RET and ENVID (RFC 3461 §4.3, §4.4).
func appendDSN(dst []byte, t mail.Outgoing) []byte {
	if t.Ret != 0 {
		dst = append(append(dst, " RET="...), t.Ret.String()...)
	}
	if t.EnvID != "" {
		dst = smtp.AppendXtext(append(dst, " ENVID="...), t.EnvID)
	}
	return dst
}

// appendDeliverBy appends BY (RFC 2852 §4). By-time is 1 to 9 digits.
func (c *Client) appendDeliverBy(dst []byte, by mail.DeliverBy) []byte {
	const most = 999_999_999
	left := min(max(c.secondsLeft(by), -most), most)
	dst = strconv.AppendInt(append(dst, " BY="...), left, 10)
	if by.Return {
		dst = append(dst, ";R"...)
	} else {
		dst = append(dst, ";N"...)
	}
	if by.Trace {
		dst = append(dst, 'T')
	}
	return dst
}

// rcptCommand is RCPT with the parameters of DSN.
type rcptCommand struct {
	smtp.Rcpt
	more []byte
}

func (r rcptCommand) Append(dst []byte) []byte { return append(r.Rcpt.Append(dst), r.more...) }

func (c *Client) rcptTo(r mail.OutgoingRecipient, utf8 bool) smtp.Command {
	cmd := rcptCommand{Rcpt: smtp.Rcpt{ForwardPath: r.Address}}
	if !c.offers.has(extDSN) {
		return cmd
	}
	if r.Notify != 0 {
		cmd.more = append(append(cmd.more, " NOTIFY="...), r.Notify.String()...)
	}
	cmd.more = appendORCPT(cmd.more, r.ORCPT, utf8)
	return cmd
}

// appendORCPT appends ORCPT (RFC 3461 §4.2). The address type "utf-8" has an
// encoding of its own (RFC 6533 §3).
func appendORCPT(dst []byte, orcpt string, utf8 bool) []byte {
	addrType, address, ok := strings.Cut(orcpt, ";")
	if !ok || address == "" || addrType == "" || strings.ContainsFunc(addrType, notInAddrType) {
		return dst
	}
	dst = append(append(append(dst, " ORCPT="...), addrType...), ';')
	if strings.EqualFold(addrType, "utf-8") {
		return appendUnitext(dst, address, utf8)
	}
	return smtp.AppendXtext(dst, address)
}

func notInAddrType(r rune) bool {
	return r > '~' || r != '-' && !scan.IsAlpha(byte(r)) && !scan.IsDigit(byte(r))
}

// appendUnitext writes utf-8-addr-unitext, or with utf8 unset utf-8-addr-xtext.
func appendUnitext(dst []byte, s string, utf8 bool) []byte {
	for _, r := range s {
		switch {
		case r > '~' && utf8, r >= '!' && r <= '~' && r != '\\' && r != '+' && r != '=':
			dst = append(dst, string(r)...)
		default:
			dst = append(dst, `\x{`...)
			if r < 0x10 {
				dst = append(dst, '0')
			}
			dst = append(append(dst, strings.ToUpper(strconv.FormatInt(int64(r), 16))...), '}')
		}
	}
	return dst
}
