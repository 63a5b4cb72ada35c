package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/internal/testkit/mailclient"
)

// delivery is a load of messages going in.
type delivery struct {
	target
	Port       int  `help:"The port."`
	Messages   int  `short:"n" default:"10000" help:"How many messages in all."`
	Conns      int  `short:"c" default:"10" help:"How many connections at once."`
	Size       int  `short:"s" default:"4096" help:"Octets of a message."`
	Recipients int  `short:"r" default:"1" help:"Recipients of each message."`
	TLS        bool `help:"Implicit TLS."`
	Auth       bool `help:"AUTH PLAIN first, and send as that account."`
	lmtp       bool
}

type smtpCmd struct{ delivery }

type lmtpCmd struct{ delivery }

// Run prints the row of the load.
func (c *smtpCmd) Run() error {
	if c.Port == 0 {
		c.Port = 2525
	}
	return printRow(c.delivery.run("smtp"))
}

// Run prints the row of the load.
func (c *lmtpCmd) Run() error {
	if c.Port == 0 {
		c.Port = 2424
	}
	c.lmtp = true
	return printRow(c.delivery.run("lmtp"))
}

func printRow(r result, err error) error {
	if err != nil {
		return err
	}
	printHeader(os.Stdout)
	r.print(os.Stdout)
	return nil
}

// account names the i-th account, from 0.
func (t target) account(i int) string {
	if first := [...]string{"alice", "bob", "carol"}; i < len(first) {
		return first[i] + "@" + t.Domain
	}
	return fmt.Sprintf("load%04d@%s", i+1, t.Domain)
}

// run delivers all messages over Conns connections and measures each from MAIL
// to the answer after the final dot. The final wait is part of the row.
func (d delivery) run(name string) (result, error) {
	var s samples
	var next atomic.Int64
	var g errgroup.Group
	body := message(d.Size)
	start := time.Now()
	for i := range d.Conns {
		g.Go(func() error { return d.deliver(i, body, &next, &s) })
	}
	err := g.Wait()
	row := fmt.Sprintf("%s %s, %d conns, %d rcpt", name, sizeName(d.Size), d.Conns, d.Recipients)
	if d.TLS {
		row += ", TLS"
	}
	if d.Auth {
		row += ", AUTH"
	}
	return s.result(row, time.Since(start), d.PID), err
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func (d delivery) deliver(conn int, body []byte, next *atomic.Int64, s *samples) error {
	c, err := mailclient.Dial(d.Host, d.Port, d.TLS)
	if err != nil {
		return err
	}
	defer c.Close()
	sender := "sender@example.org"
	if d.Auth {
		sender = d.account(conn % d.Accounts)
	}
	if err := d.greet(c, sender); err != nil {
		return err
	}
	for {
		n := int(next.Add(1))
		if n > d.Messages {
			return c.Command("221", "QUIT")
		}
		began := time.Now()
		if err := d.one(c, n, sender, body); err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		s.add(time.Since(began))
	}
}

func (d delivery) greet(c *mailclient.Conn, sender string) error {
	if err := c.Reply("220"); err != nil {
		return err
	}
	hello := "EHLO"
	if d.lmtp {
		hello = "LHLO"
	}
	if err := c.Command("250", "%s bench.example.org", hello); err != nil || !d.Auth {
		return err
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + sender + "\x00" + d.Password))
	return c.Command("235", "AUTH PLAIN %s", plain)
}

// one sends a message, the envelope pipelined.
func (d delivery) one(c *mailclient.Conn, n int, sender string, body []byte) error {
	fmt.Fprintf(c.W, "MAIL FROM:<%s>\r\n", sender)
	for i := range d.Recipients {
		fmt.Fprintf(c.W, "RCPT TO:<%s>\r\n", d.account((n+i)%d.Accounts))
	}
	if err := replies(c, d.Recipients+1, "DATA", "354"); err != nil {
		return err
	}
	fmt.Fprintf(c.W, "From: <%s>\r\nMessage-ID: <%d.%d@bench.example.org>\r\n", sender, n, time.Now().UnixNano())
	_, _ = c.W.Write(body)
	if !d.lmtp {
		return c.Command("250", ".")
	}
	return replies(c, d.Recipients-1, ".", "250")
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

// message makes the rest of a header and a body, together about size octets.
func message(size int) []byte {
	var b bytes.Buffer
	b.WriteString("To: someone@yubin.test\r\nSubject: a message of the load\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for b.Len() < size-120 {
		b.WriteString(line)
	}
	return b.Bytes()
}
