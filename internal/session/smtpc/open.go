package smtpc

import (
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// Open takes the conversation from its first octet to where mail can be sent.
// If it cannot get there, it says what stood in the way; then only Quit and
// Connection may follow.
func (c *Client) Open(ctx context.Context, o mail.Opening) (fault mail.Answer, ok bool) {
	defer c.begin(ctx)()
	c.opening = o
	for _, step := range []func() (mail.Answer, bool){c.implicitTLS, c.greeting, c.hello, c.startTLS, c.logIn} {
		if fault, ok = step(); !ok {
			return fault, false
		}
	}
	return mail.Answer{}, true
}

func (c *Client) implicitTLS() (mail.Answer, bool) {
	if !c.opening.ImplicitTLS {
		return mail.Answer{}, true
	}
	return c.handshake()
}

func (c *Client) greeting() (mail.Answer, bool) {
	r, err := c.hear(GreetingTimeout)
	return c.wants2xx(mail.PhaseGreeting, r, err)
}

// wants2xx makes an Answer unless r is what was hoped for.
func (c *Client) wants2xx(phase mail.Phase, r smtp.Reply, err error) (mail.Answer, bool) {
	switch {
	case err != nil:
		return c.fail(phase, err), false
	case r.Code/100 == 3:
		return c.fail(phase, unexpected(phase, r)), false
	case !r.Positive():
		return answer(phase, r), false
	}
	return mail.Answer{}, true
}

// notKnown are the codes by which a host says that it has no EHLO, so that HELO
// is next (RFC 5321 §3.2, §4.1.4).
var notKnown = []int{500, 501, 502, 503, 504, 550}

// hello introduces us and learns what the host offers.
func (c *Client) hello() (mail.Answer, bool) {
	verb := smtp.EHLO
	if c.opening.LMTP {
		verb = smtp.LHLO
	}
	c.offers = offers{}
	r, err := c.ask(smtp.Hello{Greeting: verb, Name: string(c.opening.Name)}, HelloTimeout)
	if err == nil && verb == smtp.EHLO && slices.Contains(notKnown, r.Code) {
		r, err = c.ask(smtp.Hello{Greeting: smtp.HELO, Name: string(c.opening.Name)}, HelloTimeout)
		return c.wants2xx(mail.PhaseHello, r, err)
	}
	fault, ok := c.wants2xx(mail.PhaseHello, r, err)
	if ok {
		c.offers = parseOffers(r.Text)
	}
	return fault, ok
}
