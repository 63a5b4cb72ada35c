package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Idler is a session in IDLE that costs this process little.
type Idler struct {
	conn net.Conn
	rest []byte // read but not looked at
}

// Idlers opens n sessions in IDLE, each account's from a loopback address of its own.
func Idlers(ctx context.Context, port int, secure bool, n int, user func(i int) string, password string) ([]*Idler, error) {
	all := make([]*Idler, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range all {
		g.Go(func() (err error) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			all[i], err = idle(port, secure, byte(2+i/1000), user(i), password)
			return err
		})
	}
	err := g.Wait()
	all = slices.DeleteFunc(all, func(s *Idler) bool { return s == nil })
	return all, err
}

// CloseAll ends sessions.
func CloseAll(all []*Idler) {
	for _, s := range all {
		_ = s.conn.Close()
	}
}

func idle(port int, secure bool, from byte, user, password string) (*Idler, error) {
	d := net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, from)}}
	conn, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	s := &Idler{conn: conn}
	if secure {
		s.conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	for _, step := range [][2]string{
		{"", "* OK"},
		{fmt.Sprintf("a LOGIN %q %q\r\n", user, password), "a OK"},
		{"b SELECT INBOX\r\n", "b OK"},
		{"c IDLE\r\n", "+"},
	} {
		if err := s.step(step[0], step[1]); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	s.rest = nil
	return s, nil
}

func (s *Idler) step(send, want string) error {
	_ = s.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := s.conn.Write([]byte(send)); err != nil {
		return err
	}
	return s.until(want, send[:min(len(send), 1)])
}

// until reads lines until one begins with want; one with the tag that does not is an error.
func (s *Idler) until(want, tag string) error {
	buf := make([]byte, 4096)
	for {
		for {
			line, rest, ok := bytes.Cut(s.rest, []byte("\r\n"))
			if !ok {
				break
			}
			s.rest = rest
			if strings.HasPrefix(string(line), want) {
				return nil
			}
			if tag != "" && strings.HasPrefix(string(line), tag+" ") {
				return fmt.Errorf("the server said %q", line)
			}
		}
		n, err := s.conn.Read(buf)
		if err != nil {
			return err
		}
		s.rest = append(s.rest, buf[:n]...)
	}
}

// Heard is how long until all sessions were told that there is a message.
func Heard(all []*Idler, deliver func() (time.Time, error)) (time.Duration, error) {
	var g errgroup.Group
	var mu sync.Mutex
	var last time.Time
	for _, s := range all {
		g.Go(func() error {
			_ = s.conn.SetDeadline(time.Now().Add(time.Minute))
			if err := s.exists(); err != nil {
				return err
			}
			mu.Lock()
			last = time.Now()
			mu.Unlock()
			return nil
		})
	}
	accepted, err := deliver()
	if err != nil {
		return 0, err
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return max(0, last.Sub(accepted)), nil
}

// exists reads up to the next EXISTS.
func (s *Idler) exists() error {
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return err
		}
		s.rest = append(s.rest, buf[:n]...)
		if i := bytes.Index(s.rest, []byte(" EXISTS\r\n")); i >= 0 {
			s.rest = nil
			return nil
		}
	}
}
