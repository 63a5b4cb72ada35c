package smtpc

import (
	"slices"
	"strconv"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// takes says what a message needs that the host does not offer, if anything.
func (c *Client) takes(t mail.Transaction) *trouble {
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
	case t.UTF8 && !has(extSMTPUTF8) && !slices.ContainsFunc(t.Recipients, isASCII):
		return lacks("5.6.7", noUTF8Recipient)
	case t.UTF8 && !has(extSMTPUTF8):
		return lacks("5.6.9", "the message has a header in UTF-8, which the host does not take")
	case c.demandsTLS(t.Outgoing) && !(has(extRequireTLS) && c.verified):
		return lacks("5.7.30", "the message may only go to hosts that offer REQUIRETLS")
	case t.DeliverBy.Return && !c.inTime(t.DeliverBy):
		return lacks("5.4.7", "the host does not promise to deliver in the time that the sender set")
	}
	return nil
}

const noUTF8Recipient = "the address needs SMTPUTF8, which the host does not offer"

func isASCII(r mail.OutgoingRecipient) bool { return !r.Address.NeedsUTF8() }

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

// mailFrom makes the MAIL command of t. The parameters of the message are
// those that the host offers: what must not be left out, takes has looked for.
func (c *Client) mailFrom(t mail.Outgoing, utf8 bool) smtp.Command {
	m := smtp.Mail{ReversePath: t.ReversePath, Size: t.Size, Body: t.Body, UTF8: utf8, Ret: t.Ret, EnvID: t.EnvID,
		RequireTLS: t.RequireTLS, Priority: t.Priority, By: c.by(t.DeliverBy)}
	has := c.offers.has
	for _, p := range []struct {
		param smtp.Params
		given bool
	}{
		{smtp.ParamSize, has(extSize)},
		{smtp.ParamBody, t.Body != mail.Body7Bit},
		{smtp.ParamUTF8, utf8},
		{smtp.ParamRet, t.Ret != 0 && has(extDSN)},
		{smtp.ParamEnvID, t.EnvID != "" && has(extDSN)},
		{smtp.ParamRequireTLS, t.RequireTLS && has(extRequireTLS) && c.verified},
		{smtp.ParamPriority, has(extPriority)},
		{smtp.ParamBy, !t.DeliverBy.At.IsZero() && has(extDeliverBy)},
	} {
		if p.given {
			m.Given |= p.param
		}
	}
	return m
}

func (c *Client) by(by mail.DeliverBy) smtp.By {
	return smtp.By{Seconds: c.secondsLeft(by), Return: by.Return, Trace: by.Trace}
}

// rcptTo makes the RCPT command of r.
func (c *Client) rcptTo(t mail.Outgoing, r mail.OutgoingRecipient, utf8 bool) smtp.Command {
	cmd := smtp.Rcpt{ForwardPath: r.Address, Notify: c.notify(t.DeliverBy, r.Notify), ORCPT: r.ORCPT, UTF8: utf8}
	if !c.offers.has(extDSN) {
		return cmd
	}
	if cmd.Notify != 0 {
		cmd.Given |= smtp.ParamNotify
	}
	if fitsORCPT(r.ORCPT, utf8) {
		cmd.Given |= smtp.ParamORCPT
	}
	return cmd
}

// fitsORCPT reports whether an original recipient is there and, encoded, not
// longer than any host must take (RFC 3461 §5.4).
func fitsORCPT(orcpt string, utf8 bool) bool {
	return orcpt != "" && smtp.IsORCPT(orcpt) && len(smtp.AppendORCPT(nil, orcpt, utf8)) <= smtp.MaxORCPT
}

// notify is when reports are wanted. A host that knows nothing of the time set
// is asked to tell of delays if that time is not over (RFC 2852 §4.1.4.2).
func (c *Client) notify(by mail.DeliverBy, n mail.Notify) mail.Notify {
	switch {
	case by.At.IsZero() || by.Return || c.offers.has(extDeliverBy) || c.secondsLeft(by) <= 0, n&mail.NotifyNever != 0:
		return n
	case n == 0:
		return mail.NotifyFailure | mail.NotifyDelay
	}
	return n | mail.NotifyDelay
}
