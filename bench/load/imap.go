package load

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"yubin/internal/testkit/mailclient"
)

// Reader is an IMAP session that spends as little as it can on what it reads: it
// looks for the end of the answer and counts the untagged responses.
type Reader struct {
	c   *mailclient.Conn
	tag int
}

// NewReader logs in.
func NewReader(port int, user, password string) (*Reader, error) {
	c, err := IMAP(port, false, user, password)
	if err != nil {
		return nil, err
	}
	return &Reader{c: c}, nil
}

// Close ends the session.
func (r *Reader) Close() error { return r.c.Close() }

// Answer is what came back.
type Answer struct {
	Took     time.Duration
	Untagged int // lines that begin with "* "; literals must have none
	Octets   int64
}

// Do sends a command and reads to its tagged response, which must be OK.
func (r *Reader) Do(format string, args ...any) (Answer, error) {
	r.tag++
	tag := "R" + strconv.Itoa(r.tag) + " "
	began := time.Now()
	if err := r.c.Send(tag+format, args...); err != nil {
		return Answer{}, err
	}
	a, err := r.finish(tag)
	a.Took = time.Since(began)
	if err != nil {
		err = fmt.Errorf("%.60s: %w", fmt.Sprintf(format, args...), err)
	}
	return a, err
}

// keep is how much of what was read is kept, to find what stands across two
// reads: the longest tagged response.
const keep = 1024

// finish reads until what came ends with the tagged line.
func (r *Reader) finish(tag string) (Answer, error) {
	var a Answer
	buf := make([]byte, keep+256<<10)
	have := copy(buf, "\r\n")
	for {
		n, err := r.c.R.Read(buf[have:])
		if err != nil {
			return a, err
		}
		a.Octets += int64(n)
		from := max(0, have-3) // so that "\r\n* " is seen when it is cut
		a.Untagged += bytes.Count(buf[from:have+n], []byte("\r\n* "))
		have += n
		if text, ok := tagged(buf[:have], tag); ok {
			if !strings.HasPrefix(text, "OK") {
				return a, fmt.Errorf("the server said %q", text)
			}
			return a, nil
		}
		if have > keep {
			have = copy(buf, buf[have-keep:have])
		}
	}
}

// tagged finds the last line of b, if it is whole and has the tag.
func tagged(b []byte, tag string) (string, bool) {
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		return "", false
	}
	line := b[:len(b)-2]
	if i := bytes.LastIndex(line, []byte("\r\n")); i >= 0 {
		line = line[i+2:]
	}
	return string(bytes.TrimPrefix(line, []byte(tag))), bytes.HasPrefix(line, []byte(tag))
}

// Append appends one message.
func (r *Reader) Append(mailbox string, message []byte) error {
	_, err := r.c.Append(mailbox, "", message)
	return err
}

// Fill appends letters 1 to n to INBOX: many a command where the server has
// MULTIAPPEND (RFC 3502), else over several connections at once.
func Fill(port int, user, password string, n, size int) error {
	c, err := IMAP(port, false, user, password)
	if err != nil {
		return err
	}
	defer c.Close()
	multi := false
	_, err = c.IMAP(false, func(r mailclient.Response) { multi = multi || strings.Contains(r.Text, "MULTIAPPEND") }, "CAPABILITY")
	if err != nil {
		return err
	}
	if multi {
		return fillMulti(c, n, size)
	}
	var g errgroup.Group
	const conns = 32
	for i := range conns {
		g.Go(func() error { return fillSome(port, user, password, i+1, conns, n, size) })
	}
	return g.Wait()
}

// fillMulti appends in commands of a thousand.
func fillMulti(c *mailclient.Conn, n, size int) error {
	const batch = 1000
	for from := 1; from <= n; from += batch {
		fmt.Fprint(c.W, "fill APPEND INBOX")
		for k := from; k < min(from+batch, n+1); k++ {
			b := Letter(k, size)
			fmt.Fprintf(c.W, " {%d+}\r\n", len(b))
			if _, err := c.W.Write(b); err != nil {
				return err
			}
		}
		if err := expectOK(c, "fill"); err != nil {
			return err
		}
	}
	return nil
}

func expectOK(c *mailclient.Conn, tag string) error {
	if err := c.Send(""); err != nil {
		return err
	}
	for {
		s, err := c.Line()
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(s, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return fmt.Errorf("the server said %q", s)
			}
			return nil
		}
	}
}

func fillSome(port int, user, password string, from, step, n, size int) error {
	c, err := IMAP(port, false, user, password)
	if err != nil {
		return err
	}
	defer c.Close()
	for k := from; k <= n; k += step {
		if _, err := c.Append("INBOX", "", Letter(k, size)); err != nil {
			return err
		}
	}
	return nil
}

// POP3 retrieves every message of a maildrop, one after another.
func POP3(port int, user, password string) (n int, err error) {
	c, err := mailclient.Dial("127.0.0.1", port, false)
	if err != nil {
		return 0, err
	}
	defer c.Close()
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
	if _, err := fmt.Sscanf(stat, "+OK %d", &n); err != nil {
		return 0, err
	}
	for i := range n {
		if err := retrieve(c, i+1); err != nil {
			return 0, err
		}
	}
	_, err = c.POP3("QUIT")
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
