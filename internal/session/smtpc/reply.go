package smtpc

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// codeClosing is said by a host that ends the conversation (RFC 5321 §3.8).
const codeClosing = 421

// trouble is an error of our own with its kind. Text is for people.
type trouble struct {
	kind mail.Trouble
	code string // enhanced, "" for the usual one of the kind
	text string
}

func (t *trouble) Error() string { return t.text }

// say writes one command.
func (c *Client) say(cmd smtp.Command) error {
	c.line = append(cmd.Append(c.line[:0]), '\r', '\n')
	_, err := c.conn.Write(c.line)
	return err
}

// ask sends one command and returns the reply to it.
func (c *Client) ask(cmd smtp.Command, timeout time.Duration) (smtp.Reply, error) {
	c.bound(timeout)
	if err := c.say(cmd); err != nil {
		return smtp.Reply{}, err
	}
	return c.hear(timeout)
}

// hear flushes and returns the next reply. It must be whole within timeout.
func (c *Client) hear(timeout time.Duration) (smtp.Reply, error) {
	return c.hearLine(timeout, MaxReplyLine)
}

func (c *Client) hearLine(timeout time.Duration, limit int) (smtp.Reply, error) {
	c.bound(timeout)
	if err := c.conn.Flush(); err != nil {
		return smtp.Reply{}, err
	}
	for {
		line, err := c.conn.ReadLine(limit)
		if err != nil {
			return smtp.Reply{}, err
		}
		reply, done, err := c.parser.Line(line)
		if err != nil {
			return smtp.Reply{}, err
		}
		if done {
			c.broken = c.broken || reply.Code == codeClosing
			return reply, nil
		}
	}
}

func (c *Client) bound(d time.Duration) { c.conn.Bound(time.Now().Add(d)) }

// answer makes an Answer of what the host said.
func answer(phase mail.Phase, r smtp.Reply) mail.Answer {
	return mail.Answer{Phase: phase, Code: r.Code, Enhanced: r.Enhanced.String(), Text: words(r.Text)}
}

// words makes text of a host fit to be kept: UTF-8 without control characters,
// of bounded length.
func words(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > mail.MaxAttemptText {
		_, n := utf8.DecodeLastRuneInString(s[:mail.MaxAttemptText+1])
		s = s[:mail.MaxAttemptText+1-n]
	}
	return s
}

// fail makes an Answer of an error; the conversation is broken by it unless it
// is a trouble that leaves it whole.
func (c *Client) fail(phase mail.Phase, err error) mail.Answer {
	t := c.explain(phase, err)
	if t.kind != mail.Lacking && t.kind != mail.Unsafe {
		c.broken = true
	}
	if t.code == "" {
		t.code = usualCodes[t.kind]
	}
	return mail.Answer{Phase: phase, Trouble: t.kind, Enhanced: t.code, Text: words(t.text)}
}

// usualCodes are enhanced status codes (RFC 3463); whether it is 4 or 5 is for
// the caller to say.
var usualCodes = map[mail.Trouble]string{
	mail.Closed:     "4.4.2",
	mail.TimedOut:   "4.4.2",
	mail.Garbled:    "4.5.0",
	mail.Handshake:  "4.7.5",
	mail.Unverified: "4.7.5",
	mail.Lacking:    "5.5.1",
	mail.Unsafe:     "4.7.11",
	mail.Unreadable: "4.3.0",
	mail.Unsendable: "5.6.0",
	mail.Canceled:   "4.3.2",
}

func (c *Client) explain(phase mail.Phase, err error) trouble {
	var t *trouble
	switch {
	case c.ctx.Err() != nil:
		return trouble{kind: mail.Canceled, text: "given up" + during(phase)}
	case errors.As(err, &t):
		return *t
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return trouble{kind: mail.TimedOut, text: "the host took too long" + during(phase)}
	case errors.Is(err, smtp.ErrReplyTooLong), errors.Is(err, netx.ErrLineTooLong):
		return trouble{kind: mail.Garbled, text: "the host sent an answer without an end" + during(phase)}
	case errors.Is(err, smtp.ErrReply), errors.Is(err, netx.ErrBareNewline):
		return trouble{kind: mail.Garbled, text: "the host sent something that is no answer" + during(phase)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return trouble{kind: mail.Closed, text: "the host closed the connection" + during(phase)}
	}
	return trouble{kind: mail.Closed, text: "the connection was lost" + during(phase)}
}

var duringNames = map[mail.Phase]string{
	mail.PhaseGreeting: " before its greeting",
	mail.PhaseHello:    " after EHLO",
	mail.PhaseTLS:      " while TLS was to start",
	mail.PhaseAuth:     " during authentication",
	mail.PhaseMail:     " after MAIL",
	mail.PhaseRcpt:     " after RCPT",
	mail.PhaseData:     " after DATA",
	mail.PhaseContent:  " while the message was sent",
	mail.PhaseAnswer:   " after the whole message was sent, before it answered",
}

func during(p mail.Phase) string { return duringNames[p] }

// unexpected is a reply of a class that the command does not have.
func unexpected(phase mail.Phase, r smtp.Reply) error {
	return &trouble{kind: mail.Garbled, text: "the host gave an answer that has no meaning" + during(phase) + ": " + r.String()}
}
