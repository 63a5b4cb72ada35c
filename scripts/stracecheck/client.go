package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// patience bounds every wait.
const patience = 20 * time.Second

// client is one connection to yubin. The first thing that goes wrong sticks.
type client struct {
	d    *drive
	conn net.Conn
	in   *bufio.Reader
	name string // as strace names it at yubin's end
	tag  int
}

// dial connects to a port of yubin and reads the greeting.
func (d *drive) dial(port int) *client {
	c := &client{d: d}
	if d.err != nil {
		return c
	}
	c.conn, d.err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port+d.offset), patience)
	if d.err != nil {
		return c
	}
	d.open = append(d.open, c.conn)
	c.in = bufio.NewReader(c.conn)
	c.name = c.conn.RemoteAddr().String() + "->" + c.conn.LocalAddr().String()
	c.line()
	return c
}

// write sends octets as they are.
func (c *client) write(octets string) {
	if c.d.err == nil {
		_ = c.conn.SetDeadline(time.Now().Add(patience))
		_, c.d.err = c.conn.Write([]byte(octets))
	}
}

func (c *client) line() string {
	if c.d.err != nil {
		return ""
	}
	var s string
	s, c.d.err = c.in.ReadString('\n')
	return strings.TrimRight(s, "\r\n")
}

// until reads lines up to one that begins with prefix.
func (c *client) until(prefix string) string {
	for c.d.err == nil {
		s := c.line()
		if strings.HasPrefix(s, prefix) {
			return s
		}
		refused := strings.HasPrefix(s, "-ERR") || len(s) > 3 && (s[0] == '4' || s[0] == '5') && s[3] == ' '
		if tag, _, ok := strings.Cut(prefix, " "); c.d.err == nil && (refused || ok && tag != "*" && strings.HasPrefix(s, tag+" ")) {
			c.d.err = fmt.Errorf("wanted %q, yubin said %q", prefix, s)
		}
	}
	return ""
}

// say sends lines and reads up to an answer that begins with want.
func (c *client) say(line, want string) string {
	c.write(line + "\r\n")
	return c.until(want)
}

// imap sends a command and reads up to its tagged OK.
func (c *client) imap(format string, args ...any) string {
	c.tag++
	tag := fmt.Sprintf("t%d ", c.tag)
	return c.say(tag+fmt.Sprintf(format, args...), tag+"OK")
}

// promise notes what yubin has just said.
func (c *client) promise(name string, k kind, token, words string) {
	if c.d.err == nil {
		c.d.promises = append(c.d.promises, promise{name, k, c.name, words, token})
	} else if c.d.failed == "" {
		c.d.failed = name
	}
}
