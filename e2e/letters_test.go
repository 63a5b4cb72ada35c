package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
)

// letter is a message and its envelope.
type letter struct {
	from    string
	to      []string
	options string // parameters of MAIL, each after a space
	notify  string // parameters of every RCPT
	octets  []byte
}

// id is the content of its Message-ID.
func (l letter) id() string {
	_, id, _ := strings.Cut(string(l.octets), "Message-ID: <")
	id, _, _ = strings.Cut(id, ">")
	return id
}

// newLetter has a body of several lines, some of which begin with a dot.
func newLetter(t testing.TB, from string, to ...string) letter {
	return letter{from: from, to: to, octets: fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n"+
		"Date: Mon, 01 Jun 2026 09:00:00 +0900\r\nMessage-ID: <%016x@letters.test>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n"+
		"Some lines,\r\n.one with a dot,\r\n..with two,\r\n.\r\n\r\n    and blank ones.  \r\n\r\n",
		from, strings.Join(to, ">, <"), t.Name(), rand.Uint64())}
}

// eightBit is a letter with octets over 127 in its body.
func eightBit(t testing.TB, from string, to ...string) letter {
	l := newLetter(t, from, to...)
	l.octets = []byte(strings.Replace(string(l.octets), "charset=us-ascii", "charset=UTF-8\r\nContent-Transfer-Encoding: 8bit", 1) + "郵便局\r\n")
	l.options = " BODY=8BITMIME"
	return l
}

// post submits the letter; its sender logs in.
func (o *office) post(l letter) {
	o.t.Helper()
	if err := o.tryPost(l); err != nil {
		o.t.Fatalf("submission: %v", err)
	}
}

func (o *office) tryPost(l letter) error {
	c, err := mailclient.Dial(o.at, o.submission, false)
	if err != nil {
		return err
	}
	defer c.Close()
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + l.from + "\x00" + password))
	for _, step := range []struct{ want, command string }{{"220", ""}, {"250", "EHLO desk.test"}, {"235", "AUTH PLAIN " + secret}} {
		if err := ask(c, step.want, step.command); err != nil {
			return err
		}
	}
	return l.give(c)
}

// ask sends a command, if there is one, and reads the reply.
func ask(c *mailclient.Conn, want, command string) error {
	if command == "" {
		return c.Reply(want)
	}
	return c.Command(want, "%s", command)
}

// hand gives the letter to the server at host and port, without logging in.
func (l letter) hand(host string, port int) error {
	c, err := mailclient.Dial(host, port, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ask(c, "220", ""); err != nil {
		return err
	}
	if err := ask(c, "250", "EHLO desk.test"); err != nil {
		return err
	}
	return l.give(c)
}

// give is the transaction.
func (l letter) give(c *mailclient.Conn) error {
	if err := c.Command("250", "MAIL FROM:<%s>%s", l.from, l.options); err != nil {
		return err
	}
	for _, to := range l.to {
		if err := c.Command("250", "RCPT TO:<%s>%s", to, l.notify); err != nil {
			return err
		}
	}
	if err := c.Command("354", "DATA"); err != nil {
		return err
	}
	stuffed := bytes.ReplaceAll(l.octets, []byte("\r\n."), []byte("\r\n.."))
	if _, err := c.W.Write(stuffed); err != nil {
		return err
	}
	return c.Command("250", ".")
}
