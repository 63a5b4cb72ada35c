// Package load puts load on a mail server: it sends by SMTP and LMTP, takes mail
// as a sink, reads by IMAP and POP3 and holds idle sessions. Loopback only.
package load

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/internal/testkit/mailclient"
)

// Sending is a load of messages going in.
type Sending struct {
	Host       string // 127.0.0.1 if empty
	Port       int
	TLS        bool
	Auth       bool   // AUTH PLAIN first, and send as User
	User       string // also the reverse-path; needed for Auth
	Password   string
	LMTP       bool
	Conns      int
	Messages   int           // how many in all; 0 is no limit
	For        time.Duration // when to begin no more; 0 is never
	Size       int
	Recipients func(n int) []string // of the n-th message, from 1
	Deadline   time.Duration        // for the whole load; 0 is five minutes
	Hold       time.Duration        // HOLDFOR of every message (RFC 4865)
	Letter     func(n int) Signed   //  the n-th message, from 1; nil makes one of Size
}

// Sent is how a load went.
type Sent struct {
	Messages int
	Began    time.Time
	Last     time.Time     // of the last answer to a message
	Took     time.Duration // from Began to Last
	P50, P99 time.Duration // from MAIL to the answer after the final dot
}

// PerSecond is the rate of answers.
func (s Sent) PerSecond() float64 { return float64(s.Messages) / s.Took.Seconds() }

// variants is how many different bodies a load has.
const variants = 32

// Run sends everything.
func (s Sending) Run() (Sent, error) {
	bodies := make([][]byte, variants)
	for i := range bodies {
		if s.Letter != nil {
			break
		}
		bodies[i] = Body(s.Size)
	}
	r := sender{Sending: s, bodies: bodies}
	var g errgroup.Group
	began := time.Now()
	if s.For > 0 {
		r.until = began.Add(s.For)
	}
	for range s.Conns {
		g.Go(r.session)
	}
	err := g.Wait()
	out := Sent{Messages: len(r.took), Began: began, Last: r.last, Took: r.last.Sub(began)}
	slices.Sort(r.took)
	out.P50, out.P99 = Quantile(r.took, 0.50), Quantile(r.took, 0.99)
	if err == nil && out.Messages == 0 {
		err = errors.New("nothing was sent")
	}
	return out, err
}

// Quantile of sorted durations.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

type sender struct {
	Sending
	bodies [][]byte
	until  time.Time
	next   atomic.Int64

	mu   sync.Mutex
	took []time.Duration
	last time.Time
}

// session sends over one connection until all is sent.
func (s *sender) session() error {
	c, err := mailclient.Dial(cmp.Or(s.Host, "127.0.0.1"), s.Port, s.TLS)
	if err != nil {
		return err
	}
	defer c.Close()
	pipelining, err := s.greet(c)
	if err != nil {
		return err
	}
	var took []time.Duration
	var last time.Time
	for n := s.more(); n > 0; n = s.more() {
		began := time.Now()
		if err := s.one(c, n, pipelining); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		last = time.Now()
		took = append(took, last.Sub(began))
	}
	s.mu.Lock()
	s.took = append(s.took, took...)
	if last.After(s.last) {
		s.last = last
	}
	s.mu.Unlock()
	return c.Command("221", "QUIT")
}

// more is the number of the next message; 0 when there is none.
func (s *sender) more() int {
	if !s.until.IsZero() && time.Now().After(s.until) {
		return 0
	}
	n := int(s.next.Add(1))
	if s.Messages > 0 && n > s.Messages {
		return 0
	}
	return n
}

func (s *sender) from() string {
	if s.User != "" {
		return s.User
	}
	return "sender@example.org"
}

// greet says hello and logs in, and tells whether commands may be pipelined (RFC 2920).
func (s *sender) greet(c *mailclient.Conn) (pipelining bool, err error) {
	if err := c.Reply("220"); err != nil {
		return false, err
	}
	hello := "EHLO"
	if s.LMTP {
		hello = "LHLO"
	}
	if err := c.Send("%s bench.example.org", hello); err != nil {
		return false, err
	}
	for more := true; more; {
		line, err := c.Line()
		if err != nil {
			return false, err
		}
		if !strings.HasPrefix(line, "250") {
			return false, fmt.Errorf("to %s the server said %q", hello, line)
		}
		pipelining = pipelining || strings.HasSuffix(line, "PIPELINING")
		more = strings.HasPrefix(line, "250-")
	}
	if !s.Auth {
		return pipelining, nil
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + s.User + "\x00" + s.Password))
	return pipelining, c.Command("235", "AUTH PLAIN %s", plain)
}

// one sends a message, the envelope pipelined if it may be.
func (s *sender) one(c *mailclient.Conn, n int, pipelining bool) error {
	to, from := s.Recipients(n), s.from()
	var whole Signed
	if s.Letter != nil {
		whole = s.Letter(n)
		from = whole.From
	}
	if err := s.envelope(c, from, to, pipelining); err != nil {
		return err
	}
	if whole.Octets != nil {
		_, _ = c.W.Write(whole.Octets)
		return c.Command("250", ".")
	}
	fmt.Fprintf(c.W, "From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%d.%d@bench.example.org>\r\n", s.from(), to[0], n, time.Now().UnixNano())
	_, _ = c.W.Write(s.bodies[n%len(s.bodies)])
	if !s.LMTP {
		return c.Command("250", ".")
	}
	return replies(c, len(to)-1, ".", "250")
}

// envelope sends MAIL, every RCPT, and DATA.
func (s *sender) envelope(c *mailclient.Conn, from string, to []string, pipelining bool) error {
	mail := fmt.Sprintf("MAIL FROM:<%s>", from)
	if s.Hold > 0 {
		mail += fmt.Sprintf(" HOLDFOR=%d", int(s.Hold.Seconds()))
	}
	lines := []string{mail}
	for _, a := range to {
		lines = append(lines, "RCPT TO:<"+a+">")
	}
	if pipelining {
		fmt.Fprint(c.W, strings.Join(lines, "\r\n"), "\r\n")
		return replies(c, len(lines), "DATA", "354")
	}
	for _, l := range lines {
		if err := c.Command("250", "%s", l); err != nil {
			return err
		}
	}
	return c.Command("354", "DATA")
}

// replies sends line after what is buffered, reads n replies of 250, then one of want.
func replies(c *mailclient.Conn, n int, line, want string) error {
	if err := c.Send("%s", line); err != nil {
		return err
	}
	for range n {
		if err := c.Reply("250"); err != nil {
			return err
		}
	}
	return c.Reply(want)
}

// Body makes the rest of a header and a body that no other has, so that with
// From, To and Message-ID before it there are about size octets.
func Body(size int) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: a message of the load\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	const fields = 150 // what From, To and Message-ID take
	raw := make([]byte, 54)
	for b.Len() < size-fields {
		_, _ = rand.Read(raw)
		line := base64.StdEncoding.EncodeToString(raw)
		b.WriteString(line[:min(len(line), max(1, size-fields-b.Len()))])
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
