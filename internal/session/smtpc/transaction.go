package smtpc

import (
	"context"
	"io"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// Send hands one message over in one transaction and returns an Answer for
// each recipient, in their order. The zero Answer says that the recipient was
// not tried: the host takes fewer in one transaction, or its LIMITS are used
// up; as long as the conversation is not spent, Send may be called again with
// those. On a new conversation at least one recipient is tried.
func (c *Client) Send(ctx context.Context, t mail.Transaction) []mail.Answer {
	defer c.begin(ctx)()
	tx := &transaction{c: c, Transaction: t, answers: make([]mail.Answer, len(t.Recipients))}
	if why := c.takes(t); why != nil {
		tx.all(c.fail(mail.PhaseMail, why))
		return tx.answers
	}
	if c.spent() {
		return tx.answers
	}
	if tx.choose(); len(tx.chosen) == 0 {
		return tx.answers
	}
	content, err := t.Content()
	if err != nil {
		tx.settle(mail.PhaseMail, unreadable)
		return tx.answers
	}
	defer func() { _ = content.Close() }() // It was only read.
	tx.content = content
	tx.run()
	return tx.answers
}

// unreadable is said of a content that cannot be had in full.
var unreadable = &trouble{kind: mail.Unreadable, text: "the message could not be read here; it is kept"}

// transaction is one run of MAIL, RCPT and content.
type transaction struct {
	mail.Transaction
	c        *Client
	answers  []mail.Answer
	content  io.Reader
	utf8     bool  // SMTPUTF8 is used
	chosen   []int // the recipients of this transaction
	accepted []int // those of which RCPT went well
	full     bool  // the host takes no more recipients in this transaction
	refused  *mail.Answer
	goAhead  bool // 354 was said
	whole    bool // the last octet of the content may have left
}

// all gives the same answer to all recipients that have none yet.
func (tx *transaction) all(a mail.Answer) {
	for i := range tx.answers {
		if tx.answers[i] == (mail.Answer{}) {
			tx.answers[i] = a
		}
	}
}

// settle gives an error to all chosen recipients that have no answer yet.
func (tx *transaction) settle(phase mail.Phase, err error) { tx.conclude(tx.c.fail(phase, err)) }

// conclude gives the same answer to all chosen recipients that have none yet.
func (tx *transaction) conclude(a mail.Answer) {
	for _, i := range tx.chosen {
		if tx.answers[i] == (mail.Answer{}) {
			tx.answers[i] = a
		}
	}
}

// choose takes as many recipients as the host's LIMITS allow (RFC 9422), and
// refuses those whose address it cannot have.
func (tx *transaction) choose() {
	o := tx.c.offers
	tx.utf8 = tx.UTF8 || mail.Address(tx.ReversePath).NeedsUTF8()
	for i, r := range tx.Recipients {
		switch {
		case r.Address.NeedsUTF8() && !o.has(extSMTPUTF8):
			tx.answers[i] = tx.c.fail(mail.PhaseRcpt, &trouble{kind: mail.Lacking, code: "5.6.7",
				text: noUTF8Recipient})
		case o.rcptMax > 0 && len(tx.chosen) >= o.rcptMax:
		case tx.c.allows(r.Address.Domain):
			tx.utf8 = tx.utf8 || r.Address.NeedsUTF8()
			tx.chosen = append(tx.chosen, i)
		}
	}
}

// allows counts the domains of a session (RFC 9422 §4.3).
func (c *Client) allows(d mail.Domain) bool {
	if c.offers.domainMax > 0 && !c.domains[d] && len(c.domains) >= c.offers.domainMax {
		return false
	}
	if c.offers.domainMax > 0 {
		c.domains[d] = true
	}
	return true
}

// run is the whole transaction.
func (tx *transaction) run() {
	if err := tx.commands(tx.envelope()); err != nil {
		return
	}
	switch {
	case tx.refused != nil:
		tx.conclude(*tx.refused)
		tx.c.broken = tx.c.broken || tx.goAhead // Only the end of the connection ends content that nobody wants.
	case tx.c.broken:
		tx.settle(mail.PhaseRcpt, errClosing)
	case len(tx.accepted) == 0:
		tx.endEmpty()
	case tx.c.offers.has(extChunking):
		tx.chunk()
	default:
		tx.data()
	}
}

// errClosing is for recipients that were accepted by a host that then, to
// another command of the same group, said that it ends.
var errClosing = &trouble{kind: mail.Closed, text: "the host ended the conversation after RCPT"}

// endEmpty ends a transaction without recipients. A host that wants content
// all the same gets the line that ends it (RFC 2920 §3.1); by LMTP it would
// have nothing to say to that.
func (tx *transaction) endEmpty() {
	if !tx.goAhead {
		return
	}
	if tx.c.opening.LMTP {
		tx.c.broken = true
		return
	}
	if _, err := tx.c.conn.WriteString(".\r\n"); err == nil {
		_, err = tx.c.hear(AnswerTimeout)
		tx.c.broken = tx.c.broken || err != nil
	}
}

// command is one of a group, with what is to be done with its reply.
type command struct {
	smtp.Command
	phase   mail.Phase
	timeout time.Duration
	took    func(smtp.Reply) error
	rcpt    int // the recipient, of RCPT
	size    int // octets on the wire
}

// envelope makes the group of RSET if one is due, MAIL, RCPT and, if the
// content goes by DATA, that.
func (tx *transaction) envelope() []command {
	var group []command
	if tx.c.dirty {
		group = append(group, command{Command: smtp.Rset{}, phase: mail.PhaseMail, timeout: MailTimeout, took: tx.tookReset})
	}
	group = append(group, command{Command: tx.c.mailFrom(tx.Outgoing, tx.utf8), phase: mail.PhaseMail, timeout: MailTimeout, took: tx.tookMail})
	for _, i := range tx.chosen {
		group = append(group, command{
			Command: tx.c.rcptTo(tx.Outgoing, tx.Recipients[i], tx.utf8), phase: mail.PhaseRcpt, timeout: RcptTimeout,
			took: func(r smtp.Reply) error { return tx.tookRcpt(i, r) }, rcpt: i,
		})
	}
	if !tx.c.offers.has(extChunking) {
		group = append(group, command{Command: smtp.Data{}, phase: mail.PhaseData, timeout: DataTimeout, took: tx.tookData})
	}
	tx.c.mails++
	tx.c.dirty = true
	return group
}

// commands sends a group, as much at once as is good (RFC 2920), and gives
// each reply to its command. With an error, every recipient has its answer.
func (tx *transaction) commands(group []command) error {
	var flight []command // sent and not yet answered
	for {
		rest, more, err := tx.launch(group, flight)
		if group, flight = rest, more; len(flight) == 0 {
			return err
		}
		var r smtp.Reply
		if err == nil {
			r, err = tx.c.hear(flight[0].timeout)
		}
		if err == nil {
			err = flight[0].took(r)
		}
		if err != nil {
			return tx.lost(flight[0].phase, err)
		}
		flight = flight[1:]
	}
}

// launch sends what may go now: one command at a time or, with PIPELINING, all
// that fits into the window. What makes no sense any more is left out.
func (tx *transaction) launch(group, flight []command) (rest, _ []command, err error) {
	octets := 0
	for _, cmd := range flight {
		octets += cmd.size
	}
	for len(group) > 0 {
		cmd := group[0]
		if !tx.wanted(cmd, len(flight)) {
			group = group[1:]
			continue
		}
		cmd.size = len(cmd.Append(tx.c.line[:0])) + len("\r\n")
		if octets += cmd.size; len(flight) > 0 && (octets > MaxInFlight || !tx.c.offers.has(extPipelining)) {
			break
		}
		tx.c.bound(cmd.timeout)
		group, flight = group[1:], append(flight, cmd)
		if err := tx.c.say(cmd.Command); err != nil {
			return group, flight, err
		}
	}
	return group, flight, nil
}

// wanted reports whether a command still makes sense while so many are in
// flight.
func (tx *transaction) wanted(cmd command, flight int) bool {
	switch {
	case tx.refused != nil:
		return false
	case cmd.phase == mail.PhaseRcpt && tx.full:
		tx.leave(cmd.rcpt)
		return false
	case cmd.phase == mail.PhaseData:
		return flight > 0 || len(tx.accepted) > 0
	}
	return true
}

// lost is said when a group cannot go on. A refusal of the whole message that
// came before stays what it is.
func (tx *transaction) lost(phase mail.Phase, err error) error {
	a := tx.c.fail(phase, err)
	if tx.refused != nil {
		a = *tx.refused
	}
	tx.conclude(a)
	return err
}

// tookReset wants the transaction before to be gone.
func (tx *transaction) tookReset(r smtp.Reply) error {
	if r.Code/100 != 2 {
		return unexpected(mail.PhaseMail, r)
	}
	return nil
}

func (tx *transaction) tookMail(r smtp.Reply) error {
	switch r.Code / 100 {
	case 2:
		return nil
	case 3:
		return unexpected(mail.PhaseMail, r)
	}
	a := answer(mail.PhaseMail, r)
	tx.refused = &a
	return nil
}

func (tx *transaction) tookRcpt(i int, r smtp.Reply) error {
	switch {
	case tx.refused != nil:
	case r.Code/100 == 2:
		tx.accepted = append(tx.accepted, i)
	case r.Code/100 == 3:
		return unexpected(mail.PhaseRcpt, r)
	case len(tx.accepted) > 0 && tooMany(r):
		tx.full = true
		tx.leave(i)
	default:
		tx.answers[i] = answer(mail.PhaseRcpt, r)
	}
	return nil
}

// tooMany reports whether a refusal means that the recipient belongs into
// another transaction. 552 used to say so (RFC 5321 §4.5.3.1.10).
func tooMany(r smtp.Reply) bool {
	e := r.Enhanced
	return (r.Code == 452 || r.Code == 552) && (e.IsZero() || e.Subject == 5 && e.Detail == 3)
}

// leave takes a recipient out of this transaction.
func (tx *transaction) leave(i int) {
	tx.chosen = slices.DeleteFunc(tx.chosen, func(j int) bool { return j == i })
}

func (tx *transaction) tookData(r smtp.Reply) error {
	switch {
	case r.Code == 354:
		tx.goAhead = true
	case r.Positive():
		return unexpected(mail.PhaseData, r)
	case tx.refused == nil:
		a := answer(mail.PhaseData, r)
		tx.refused = &a
	}
	return nil
}
