package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// sendmailTimeout bounds the wait for each answer of the server.
const sendmailTimeout = 5 * time.Minute

// sendmailMessage sends the message on the standard input.
func (e *env) sendmailMessage(socket string, o sendmailOptions) error {
	l, err := readLetter(e.stdin, o.dots)
	if err != nil {
		return err
	}
	defer l.close()
	to := o.recipients
	if o.fromHeader {
		more, err := l.recipients()
		if err != nil {
			return err
		}
		to = append(to, more...)
	}
	if len(to) == 0 {
		return exitf(exDataErr, "nobody is named to send to: there is no address in To, Cc and Bcc")
	}
	c, err := e.dialSubmit(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	s := &submitter{e: e, c: c, r: textproto.NewReader(bufio.NewReader(c)), verbose: o.verbose}
	return s.send(l, to, o)
}

// submitter is a conversation with the server.
type submitter struct {
	e       *env
	c       net.Conn
	r       *textproto.Reader
	verbose bool
	me      string // whom the server takes us for
}

// answer is a reply of the server.
type answer struct {
	code int
	text string // with the enhanced code
}

func (a answer) ok() bool { return a.code/100 == 2 || a.code == 354 }

// says is the text without its enhanced code.
func (a answer) says() string {
	code, text, ok := strings.Cut(a.text, " ")
	if _, is := mail.ParseEnhanced(code); ok && is {
		return text
	}
	return a.text
}

// exit is the exit code for an answer.
func (a answer) exit() int {
	enhanced, _, _ := strings.Cut(a.text, " ")
	e, _ := mail.ParseEnhanced(enhanced)
	switch {
	case a.code/100 == 4:
		return exTempFail
	case e.Subject == 7:
		return exNoPerm
	case e.Subject == 1:
		return exNoUser
	case e.Subject == 6, e.Subject == 3 && e.Detail == 4:
		return exDataErr
	}
	return exUnavailable
}

// say sends a line, "" for none, and reads the answer.
func (s *submitter) say(line string) (answer, error) {
	_ = s.c.SetDeadline(time.Now().Add(sendmailTimeout))
	if line != "" {
		if s.verbose {
			writeLine(s.e.stdout, ">>> %s", line)
		}
		if _, err := s.c.Write([]byte(line + "\r\n")); err != nil {
			return answer{}, s.lost(err)
		}
	}
	return s.hear()
}

func (s *submitter) hear() (answer, error) {
	code, text, err := s.r.ReadResponse(0)
	if err != nil {
		return answer{}, s.lost(err)
	}
	if s.verbose {
		for line := range strings.Lines(text) {
			writeLine(s.e.stdout, "%d %s", code, strings.TrimRight(line, "\n"))
		}
	}
	return answer{code, text}, nil
}

func (s *submitter) lost(err error) error {
	return exitf(exTempFail, "the connection to the mail server was lost (%v); try again later", reasonOf(err))
}

// greet says hello and learns whom the server takes us for.
func (s *submitter) greet() error {
	a, err := s.say("")
	if err != nil {
		return err
	}
	if !a.ok() {
		return exitf(a.exit(), "%s", a.says())
	}
	host, _ := os.Hostname()
	if _, err := mail.ParseDomain(host); err != nil {
		host = "localhost"
	}
	if a, err = s.say("EHLO " + host); err != nil {
		return err
	}
	for line := range strings.Lines(a.text) {
		if me, ok := strings.CutPrefix(strings.TrimSpace(line), "XSENDER "); ok {
			s.me = me
		}
	}
	if s.me == "" {
		return exitf(exConfig, "what listens there is not a yubin that takes mail from users of this machine: %s", a.says())
	}
	return nil
}

// send sends a message. Who can have it has it, whoever else cannot.
func (s *submitter) send(l *letter, to []string, o sendmailOptions) error {
	if err := s.greet(); err != nil {
		return err
	}
	sender := s.me
	if o.hasSender {
		var err error
		if sender, err = envelopeSender(o.sender); err != nil {
			return err
		}
	}
	if o.fullName != "" {
		from := sender
		if from == "" {
			from = s.me
		}
		l.addFrom(o.fullName, from)
	}
	a, err := s.say(mailCommand(sender, to, o))
	if err != nil {
		return err
	}
	if !a.ok() {
		return exitf(a.exit(), "%s", a.says())
	}
	refused, taken, err := s.name(to, o)
	if err != nil {
		return err
	}
	if taken == 0 {
		return &exitCode{refused.code, nil}
	}
	if a, err = s.say("DATA"); err != nil {
		return err
	}
	if a.ok() {
		_ = s.c.SetDeadline(time.Time{}) // The server has bounds for it.
		if err := l.writeTo(s.c); err != nil {
			return s.lost(err)
		}
		if a, err = s.hear(); err != nil {
			return exitf(exTempFail, "the connection to the mail server was lost at the end of the message: it may have been sent, or not (%v)", err)
		}
	}
	if !a.ok() {
		return exitf(a.exit(), "%s", a.says())
	}
	_, _ = s.say("QUIT") // It is sent, whatever comes of this.
	if refused != nil {
		s.e.tell("the message was sent to the others")
		return refused
	}
	return nil
}

// name names the recipients, and tells of each that is refused.
func (s *submitter) name(to []string, o sendmailOptions) (refused *exitCode, taken int, err error) {
	seen := map[string]bool{}
	for _, one := range to {
		if seen[one] {
			continue
		}
		seen[one] = true
		line := "RCPT TO:<" + one + ">"
		if o.notify != "" {
			line += " NOTIFY=" + o.notify
		}
		a, err := s.say(line)
		if err != nil {
			return nil, 0, err
		}
		if a.ok() {
			taken++
			continue
		}
		s.e.tell("%s: %s", one, a.says())
		if refused == nil || refused.code == exTempFail {
			refused = &exitCode{code: a.exit()}
		}
	}
	return refused, taken, nil
}

// mailCommand begins a message.
func mailCommand(sender string, to []string, o sendmailOptions) string {
	line := "MAIL FROM:<" + sender + ">"
	for _, a := range append([]string{sender}, to...) {
		if strings.IndexFunc(a, func(r rune) bool { return r >= 0x80 }) >= 0 {
			line += " SMTPUTF8"
			break
		}
	}
	if o.ret != "" {
		line += " RET=" + o.ret
	}
	if o.envID != "" {
		line += " ENVID=" + xtext(o.envID)
	}
	return line
}

// envelopeSender reads the value of -f: an address, a name alone, or nobody.
func envelopeSender(value string) (string, error) {
	if value == "" || value == "<>" {
		return "", nil
	}
	list := message.ParseAddressList([]byte(value))
	if len(list) != 1 || list[0].Group != message.NoGroup {
		return "", exitf(exUsage, "the sender %q is not one address", value)
	}
	return pathOf(list[0], exUsage)
}

// xtext is RFC 3461 §4.
func xtext(s string) string {
	var b bytes.Buffer
	for _, c := range []byte(s) {
		if c > ' ' && c <= '~' && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}
