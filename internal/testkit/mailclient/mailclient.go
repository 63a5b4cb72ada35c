// Package mailclient is a small client for SMTP, IMAP and POP3, for load
// generators and end-to-end tests: it writes lines, reads answers and counts
// on nothing. It talks to loopback addresses only, and every wait is bounded.
package mailclient

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Timeout bounds each wait for the server.
const Timeout = 2 * time.Minute

// Conn is a connection. R and W may be used directly between calls.
type Conn struct {
	R    *bufio.Reader
	W    *bufio.Writer
	conn net.Conn
	tag  int
}

// Dial connects to host, which must be a loopback address. With secure set it
// makes a TLS handshake that trusts any certificate: the server's is its own.
func Dial(host string, port int, secure bool) (*Conn, error) {
	ip := net.ParseIP(host)
	if ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", host)
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), 10*time.Second)
	if err != nil {
		return nil, err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c := &Conn{R: bufio.NewReaderSize(conn, 64<<10), W: bufio.NewWriterSize(conn, 64<<10), conn: conn}
	return c, c.Flush()
}

// Close closes the socket.
func (c *Conn) Close() error { return c.conn.Close() }

// Flush sends what was written and starts the clock of the next wait.
func (c *Conn) Flush() error {
	if err := c.conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		return err
	}
	return c.W.Flush()
}

// Line reads a line without its end.
func (c *Conn) Line() (string, error) {
	s, err := c.R.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// Send writes one line and flushes.
func (c *Conn) Send(format string, args ...any) error {
	fmt.Fprintf(c.W, format+"\r\n", args...)
	return c.Flush()
}

// Reply reads an SMTP reply and fails unless it begins with want.
func (c *Conn) Reply(want string) error {
	for {
		s, err := c.Line()
		if err != nil {
			return err
		}
		if len(s) >= 4 && s[3] == '-' {
			continue
		}
		if !strings.HasPrefix(s, want) {
			return fmt.Errorf("wanted %s, the server said %q", want, s)
		}
		return nil
	}
}

// Command sends a line and reads the SMTP reply.
func (c *Conn) Command(want, format string, args ...any) error {
	if err := c.Send(format, args...); err != nil {
		return err
	}
	return c.Reply(want)
}

// POP3 sends a line and reads the status line, which must be +OK.
func (c *Conn) POP3(format string, args ...any) (string, error) {
	if err := c.Send(format, args...); err != nil {
		return "", err
	}
	answer, err := c.Line()
	if err == nil && !strings.HasPrefix(answer, "+OK") {
		err = fmt.Errorf("the server said %q", answer)
	}
	return answer, err
}

// Response is one untagged IMAP response: its text with "{n}" where Literals were.
type Response struct {
	Text     string
	Literals [][]byte
}

// IMAP sends a command under a new tag, hands each untagged response to
// untagged, which may be nil, and returns the text of the tagged OK. With keep
// unset literals are read and dropped.
func (c *Conn) IMAP(keep bool, untagged func(Response), format string, args ...any) (string, error) {
	c.tag++
	tag := "t" + strconv.Itoa(c.tag) + " "
	if err := c.Send(tag+format, args...); err != nil {
		return "", err
	}
	return c.finish(tag, keep, untagged)
}

// Append sends an APPEND with a non-synchronizing literal.
func (c *Conn) Append(mailbox, flags string, message []byte) (string, error) {
	c.tag++
	tag := "t" + strconv.Itoa(c.tag) + " "
	fmt.Fprintf(c.W, "%sAPPEND %q (%s) {%d+}\r\n", tag, mailbox, flags, len(message))
	if _, err := c.W.Write(message); err != nil {
		return "", err
	}
	if err := c.Send(""); err != nil {
		return "", err
	}
	return c.finish(tag, false, nil)
}

// finish reads responses up to the tagged one.
func (c *Conn) finish(tag string, keep bool, untagged func(Response)) (string, error) {
	for {
		r, err := c.response(keep)
		switch {
		case err != nil:
			return "", err
		case strings.HasPrefix(r.Text, tag+"OK"):
			return r.Text[len(tag):], nil
		case strings.HasPrefix(r.Text, tag):
			return "", fmt.Errorf("the server said %q", r.Text)
		case untagged != nil:
			untagged(r)
		}
	}
}

func (c *Conn) response(keep bool) (Response, error) {
	var r Response
	for {
		line, err := c.Line()
		if err != nil {
			return r, err
		}
		r.Text += line
		n, ok := literal(line)
		if !ok {
			return r, nil
		}
		if err := c.literal(n, keep, &r); err != nil {
			return r, err
		}
	}
}

func (c *Conn) literal(n int64, keep bool, r *Response) error {
	if !keep {
		_, err := io.CopyN(io.Discard, c.R, n)
		return err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.R, b)
	r.Literals = append(r.Literals, b)
	return err
}

// literal reads the "{n}" at the end of a line.
func literal(line string) (int64, bool) {
	i := strings.LastIndexByte(line, '{')
	if i < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.ParseInt(line[i+1:len(line)-1], 10, 64)
	return n, err == nil
}
