package main

import (
	"fmt"
	"net"
	"strings"
)

// The ports of localserve, before the offset.
const (
	portMX         = 2525
	portSubmission = 2587
	portLMTP       = 2424
	portIMAP       = 2143
	portPOP3       = 2110
	portLast       = 2995 // pop3s: the last one that is opened
)

// drive makes yubin promise things, one after another, and notes what it said.
type drive struct {
	offset   int
	sink     *sink
	err      error
	failed   string // what could not be driven, if err is not nil
	promises []promise
	open     []net.Conn
	tokens   int
}

// all drives every command whose answer is a promise.
func (d *drive) all() error {
	defer d.hangUp()
	watcher := d.watch()
	d.submit(watcher)
	d.transfer()
	d.local()
	d.mailboxes()
	d.maildrop()
	d.relay() // Last: the queue works on its own, and no change after it has a commit to itself.
	if d.err != nil {
		return fmt.Errorf("%s: %w", d.failed, d.err)
	}
	return nil
}

func (d *drive) hangUp() {
	for _, c := range d.open {
		_ = c.Close()
	}
}

// text is a message with a token of its own in every line.
func (d *drive) text(lines int) (token, text string) {
	d.tokens++
	token = fmt.Sprintf("token%03dof%dlines", d.tokens, lines)
	line := strings.Repeat(token+" ", 3) + "\r\n"
	return token, "From: <alice@yubin.test>\r\nSubject: " + token + "\r\n\r\n" + strings.Repeat(line, lines)
}

// Lines of messages: in one page, in many, and in a file.
const (
	few  = 3
	some = 300
	many = 3000
)

// kindOf is the kind of a message of so many lines.
func kindOf(lines int) kind {
	if lines == many {
		return large
	}
	return message
}

// watch opens a session that waits for mail for bob.
func (d *drive) watch() *client {
	c := d.dial(portIMAP)
	c.imap("LOGIN bob@yubin.test yubin-local")
	c.imap("SELECT INBOX")
	c.say("idle IDLE", "+")
	return c
}

// submit sends by DATA as a logged-in client. The watcher hears of it.
func (d *drive) submit(watcher *client) {
	c := d.login()
	for i, lines := range []int{few, some, many} {
		token, text := d.text(lines)
		answer := c.send("bob@yubin.test", text)
		c.promise("submission DATA", kindOf(lines), token, answer)
		told := watcher.until(fmt.Sprintf("* %d EXISTS", i+1))
		watcher.promise("IDLE EXISTS", kindOf(lines), token, told)
	}
	c.say("QUIT", "221")
}

// login opens a session of submission for alice.
func (d *drive) login() *client {
	c := d.dial(portSubmission)
	c.say("EHLO localhost", "250 ")
	c.say("AUTH PLAIN AGFsaWNlQHl1YmluLnRlc3QAeXViaW4tbG9jYWw=", "235")
	return c
}

// send sends by DATA and returns the answer.
func (c *client) send(to, text string) string {
	c.say("MAIL FROM:<alice@yubin.test>", "250")
	c.say("RCPT TO:<"+to+">", "250")
	c.say("DATA", "354")
	return c.say(text+".", "250")
}

// transfer sends by BDAT as another server does.
func (d *drive) transfer() {
	c := d.dial(portMX)
	c.say("EHLO localhost", "250 ")
	for _, lines := range []int{few, many} {
		token, text := d.text(lines)
		c.say("MAIL FROM:<stranger@example.org>", "250")
		c.say("RCPT TO:<bob@yubin.test>", "250")
		half := len(text) / 2
		c.write(fmt.Sprintf("BDAT %d\r\n%s", half, text[:half]))
		c.until("250")
		c.write(fmt.Sprintf("BDAT %d LAST\r\n%s", len(text)-half, text[half:]))
		c.promise("BDAT LAST", kindOf(lines), token, c.until("250"))
	}
}

// local sends by LMTP to two, each of whom is answered for.
func (d *drive) local() {
	c := d.dial(portLMTP)
	c.say("LHLO localhost", "250 ")
	for _, lines := range []int{few, many} {
		token, text := d.text(lines)
		c.say("MAIL FROM:<stranger@example.org>", "250")
		c.say("RCPT TO:<bob@yubin.test>", "250")
		c.say("RCPT TO:<carol@yubin.test>", "250")
		c.say("DATA", "354")
		c.promise("LMTP DATA, first", kindOf(lines), token, c.say(text+".", "250"))
		c.promise("LMTP DATA, second", kindOf(lines), token, c.until("250"))
	}
}

// mailboxes changes mail by IMAP.
func (d *drive) mailboxes() {
	c := d.dial(portIMAP)
	c.imap("LOGIN carol@yubin.test yubin-local")
	c.promise("CREATE", change, "", c.imap("CREATE Elsewhere"))
	for _, lines := range []int{few, some, many} {
		token, text := d.text(lines)
		c.promise("APPEND", kindOf(lines), token, c.imap("APPEND INBOX {%d+}\r\n%s", len(text), text))
	}
	c.imap("SELECT INBOX")
	c.promise("STORE", message, "keyword001", c.imap("STORE 1 +FLAGS (keyword001)"))
	c.promise("STORE", change, "", c.imap(`STORE 1:2 +FLAGS (\Seen)`))
	c.promise("COPY", change, "", c.imap("COPY 1:3 Elsewhere"))
	c.promise("MOVE", change, "", c.imap("MOVE 1 Elsewhere"))
	c.promise("STORE", change, "", c.imap(`STORE 1:2 +FLAGS.SILENT (\Deleted)`))
	c.promise("EXPUNGE", change, "", c.imap("EXPUNGE"))
	c.promise("STORE", change, "", c.imap(`UID STORE 1:* +FLAGS.SILENT (\Deleted)`))
	c.promise("CLOSE", change, "", c.imap("CLOSE"))
	c.promise("RENAME", change, "", c.imap("RENAME Elsewhere Nowhere"))
}

// maildrop deletes by POP3.
func (d *drive) maildrop() {
	c := d.dial(portPOP3)
	c.say("USER bob@yubin.test", "+OK")
	c.say("PASS yubin-local", "+OK")
	c.say("DELE 1", "+OK")
	c.say("DELE 2", "+OK")
	c.promise("POP3 QUIT", change, "", c.say("QUIT", "+OK"))
}

// relay sends to elsewhere: the 250 waits for the sync of the spool, and so does
// the first octet to the next hop; and once that has the message, the queue
// lets go of it.
func (d *drive) relay() {
	c := d.login()
	for _, lines := range []int{few, many} {
		token, text := d.text(lines)
		answer := c.send("bob@"+elsewhere, text)
		c.promise("submission for elsewhere", kindOf(lines), token, answer)
		if d.err == nil {
			d.err = d.sink.wait(token)
		}
		hop := &client{d: d, name: d.sink.conn()}
		hop.promise("relay", kindOf(lines), token, token)
		hop.promise("removal from the queue", removal, "", taken(token))
	}
}
