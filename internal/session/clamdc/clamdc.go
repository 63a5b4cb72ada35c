// Package clamdc asks ClamAV's daemon whether a message has a virus: one connection a
// message, the command INSTREAM with the octets in pieces, and one line that says what
// was found (clamd(8)). What a message with a virus gets is set: it is refused, or kept
// aside in Junk. It never changes a message.
package clamdc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/world/netx"
)

// Limits, in octets.
const (
	piece     = 64 << 10
	maxAnswer = 1 << 10
)

// Config of a Filter.
type Config struct {
	// Dial connects to clamd: a connection of netx.NewOutgoing.
	Dial func(ctx context.Context) (*netx.Conn, error)
	// Aside keeps a message with a virus in Junk; else it is refused.
	Aside bool
}

// Filter is a clamd. Safe for concurrent use.
type Filter struct{ cfg Config }

// New returns the filter. It connects to nobody.
func New(cfg Config) *Filter { return &Filter{cfg} }

// Watches is true.
func (*Filter) Watches() bool { return true }

// Open begins with a message. clamd is asked at the end only.
func (f *Filter) Open(context.Context, filter.Connection, filter.Sender) (filter.Conversation, filter.Answer, error) {
	return (*talk)(f), filter.Answer{}, nil
}

type talk Filter

// Rcpt does nothing: a virus is one for everybody.
func (*talk) Rcpt(context.Context, filter.Recipient) (filter.Answer, error) {
	return filter.Answer{}, nil
}

// Close does nothing.
func (*talk) Close() {}

// End asks.
func (t *talk) End(ctx context.Context, m filter.Message) (filter.Outcome, error) {
	c, err := t.cfg.Dial(ctx)
	if err != nil {
		return filter.Outcome{}, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, c.Abort)
	defer stop()
	if until, ok := ctx.Deadline(); ok {
		c.Bound(until)
	} else {
		c.Bound(time.Now().Add(filter.DefaultTime))
	}
	sent := send(c, io.NewSectionReader(m, 0, m.Size))
	answer, err := io.ReadAll(io.LimitReader(c, maxAnswer)) // It may say why it closes before all was sent.
	if line, _, ended := bytes.Cut(answer, []byte{0}); ended {
		return t.outcome(string(line))
	}
	return filter.Outcome{}, errors.Join(errors.New("clamd gives no answer"), sent, err)
}

// send sends the octets in pieces, each after its length, and an empty one.
func send(c *netx.Conn, r io.Reader) error {
	if _, err := c.WriteString("zINSTREAM\x00"); err != nil {
		return err
	}
	buf := make([]byte, 4+piece)
	for {
		n, err := io.ReadFull(r, buf[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		last := err != nil
		binary.BigEndian.PutUint32(buf, uint32(n))
		if n > 0 {
			if _, err := c.Write(buf[:4+n]); err != nil {
				return err
			}
		}
		if last {
			if _, err := c.Write([]byte{0, 0, 0, 0}); err != nil {
				return err
			}
			return c.Flush()
		}
	}
}

// outcome reads the answer: "stream: OK", "stream: NAME FOUND", or "TEXT ERROR".
func (t *talk) outcome(line string) (filter.Outcome, error) {
	found, ok := strings.CutPrefix(line, "stream: ")
	if name, virus := strings.CutSuffix(found, " FOUND"); ok && virus {
		text := "it has the virus " + printable(name)
		if t.cfg.Aside {
			return filter.Outcome{Quarantine: text}, nil
		}
		return filter.Outcome{Answer: filter.Answer{Do: filter.Reject, Reply: filter.Reply{Code: 554,
			Enhanced: mail.Enhanced{Class: 5, Subject: 7, Detail: 1}, Text: "the message is refused: " + text}}}, nil
	}
	if !ok || found != "OK" {
		return filter.Outcome{}, mail.Errorf(mail.Unavailable, "clamd answers %.200q", line)
	}
	return filter.Outcome{}, nil
}

// printable is the name of a virus in ASCII, not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 100)]
}
