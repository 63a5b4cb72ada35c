package main

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/internal/testkit/mailclient"
)

// reading is a load of messages going out.
type reading struct {
	target
	Port  int  `help:"The port."`
	Conns int  `short:"c" default:"3" help:"How many sessions at once, one an account."`
	TLS   bool `help:"Implicit TLS."`
}

type imapCmd struct{ reading }

type pop3Cmd struct{ reading }

// Run prints a row for each way to read.
func (c *imapCmd) Run() error {
	if c.Port == 0 {
		c.Port = 2143
	}
	for _, op := range imapOps {
		if err := printRow(c.reading.imap(op)); err != nil {
			return err
		}
	}
	return nil
}

// Run prints the row of the load.
func (c *pop3Cmd) Run() error {
	if c.Port == 0 {
		c.Port = 2110
	}
	return printRow(c.reading.pop3())
}

// imapOp is a command whose untagged FETCH answers are counted.
type imapOp struct{ name, command string }

var imapOps = []imapOp{
	{"FETCH flags", "FETCH 1:* (UID FLAGS)"},
	{"FETCH envelope", "FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)"},
	{"FETCH body", "FETCH 1:* BODY.PEEK[]"},
	{"STORE flag", `STORE 1:* +FLAGS (\Flagged)`},
	{"STORE unflag", `STORE 1:* -FLAGS (\Flagged)`},
}

// each runs one session per connection and collects the time of every message.
func (r reading) each(name string, session func(account string, s *samples) error) (result, error) {
	var s samples
	var g errgroup.Group
	start := time.Now()
	for i := range r.Conns {
		g.Go(func() error { return session(r.account(i%r.Accounts), &s) })
	}
	err := g.Wait()
	return s.result(fmt.Sprintf("%s, %d conns", name, r.Conns), time.Since(start), r.PID), err
}

func (r reading) imap(op imapOp) (result, error) {
	return r.each("imap "+op.name, func(account string, s *samples) error {
		c, err := mailclient.Dial(r.Host, r.Port, r.TLS)
		if err != nil {
			return err
		}
		defer c.Close()
		for _, line := range []string{fmt.Sprintf("LOGIN %q %q", account, r.Password), "SELECT INBOX"} {
			if _, err := c.IMAP(false, nil, "%s", line); err != nil {
				return err
			}
		}
		last := time.Now()
		_, err = c.IMAP(false, func(resp mailclient.Response) {
			if strings.Contains(resp.Text, " FETCH ") {
				now := time.Now()
				s.add(now.Sub(last))
				last = now
			}
		}, "%s", op.command)
		return err
	})
}

// pop3 retrieves every message of each account's maildrop, one after another.
func (r reading) pop3() (result, error) {
	return r.each("pop3 RETR", func(account string, s *samples) error {
		c, err := mailclient.Dial(r.Host, r.Port, r.TLS)
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := pop3Login(c, account, r.Password)
		if err != nil {
			return err
		}
		for i := range n {
			began := time.Now()
			if err := retrieve(c, i+1); err != nil {
				return err
			}
			s.add(time.Since(began))
		}
		_, err = c.POP3("QUIT")
		return err
	})
}

// pop3Login returns how many messages the maildrop has.
func pop3Login(c *mailclient.Conn, user, password string) (n int, err error) {
	if _, err := c.Line(); err != nil {
		return 0, err
	}
	for _, line := range []string{"USER " + user, "PASS " + password} {
		if _, err := c.POP3("%s", line); err != nil {
			return 0, err
		}
	}
	stat, err := c.POP3("STAT")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(stat, "+OK %d", &n)
	return n, err
}

func retrieve(c *mailclient.Conn, n int) error {
	if _, err := c.POP3("RETR %d", n); err != nil {
		return err
	}
	for {
		b, err := c.R.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(b) == ".\r\n" {
			return nil
		}
	}
}
