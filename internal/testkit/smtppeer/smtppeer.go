// Package smtppeer plays the other side of an SMTP client under test: a host
// that follows a script, line by line, and misbehaves as told. One directive a
// line, empty lines and lines with # are passed over:
//
//	S: text      say a line
//	S> text      say octets without a line end; \r \n \xHH as in Go
//	C: text      hear exactly this line
//	C~ regexp    hear a line that matches as a whole
//	C. N         hear lines up to and with the one that is a dot; there are N octets
//	C# N         hear N octets
//	quiet        hear nothing for a second
//	starttls     make a TLS handshake as the server
//	nottls       begin a TLS handshake that the client breaks off
//	drip D text  say the octets of a line one by one, each after D
//	flood N text say the same line N times; ends quietly when the client is gone
//	wait D       do nothing for that long
//	hold         read until the client is gone
//	eof          hear nothing but the end of the connection
//	close        end the connection; so does the end of the script
//	stay         end the script and leave the connection open
package smtppeer

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Patience is how long a directive waits for the client.
const Patience = 30 * time.Minute

// Peer is one side of a connection that follows scripts.
type Peer struct {
	conn net.Conn
	in   *bufio.Reader
	tls  *tls.Config
	// Heard is all that the client said, for a look afterwards.
	Heard strings.Builder
}

// New returns a Peer; tls may be nil if no script has starttls.
func New(c net.Conn, tls *tls.Config) *Peer {
	return &Peer{conn: c, in: bufio.NewReader(c), tls: tls}
}

// errStay ends a script without an end of the connection.
var errStay = errors.New("stay")

// Play follows a script. The error has the number of the line that went wrong.
func (p *Peer) Play(script string) error {
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		word, text, _ := strings.Cut(line, " ")
		err := p.do(word, text)
		if err == errStay {
			return nil
		}
		if err != nil {
			_ = p.conn.Close()
			return fmt.Errorf("script line %d, %s: %w", i+1, line, err)
		}
		if word == "close" {
			return nil
		}
	}
	_ = p.conn.Close() // The client may be gone.
	return nil
}

func (p *Peer) do(word, text string) error {
	_ = p.conn.SetDeadline(time.Now().Add(Patience))
	switch word {
	case "S:":
		return p.say(text + "\r\n")
	case "S>":
		raw, err := strconv.Unquote(`"` + text + `"`)
		if err != nil {
			return err
		}
		return p.say(raw)
	case "C:", "C~":
		return p.hear(word, text)
	case "C.":
		return p.content(text)
	case "C#":
		return p.octets(text)
	case "quiet":
		return p.quiet()
	case "starttls":
		return p.startTLS()
	case "nottls":
		return p.notTLS()
	case "drip":
		return p.drip(text)
	case "flood":
		return p.flood(text)
	case "wait":
		d, err := time.ParseDuration(text)
		time.Sleep(d)
		return err
	case "hold":
		_, _ = io.Copy(&p.Heard, p.in) // However it ends.
		return nil
	case "eof":
		if b, err := p.in.ReadByte(); err == nil {
			return fmt.Errorf("heard %q", b)
		}
		return nil
	case "close":
		return p.conn.Close()
	case "stay":
		return errStay
	}
	return fmt.Errorf("no such directive")
}

func (p *Peer) say(octets string) error {
	_, err := io.WriteString(p.conn, octets)
	return err
}

func (p *Peer) line() (string, error) {
	got, err := p.in.ReadString('\n')
	p.Heard.WriteString(got)
	if err != nil {
		return got, fmt.Errorf("heard %q: %w", got, err)
	}
	return got, nil
}

func (p *Peer) hear(word, want string) error {
	got, err := p.line()
	if err != nil {
		return err
	}
	line, ok := strings.CutSuffix(got, "\r\n")
	if ok && word == "C:" {
		ok = line == want
	} else if ok {
		if ok, err = regexp.MatchString(`\A(?:`+want+`)\z`, line); err != nil {
			return err
		}
	}
	if !ok {
		return fmt.Errorf("heard %q", got)
	}
	return nil
}

func (p *Peer) content(octets string) error {
	want, err := strconv.Atoi(octets)
	if err != nil {
		return err
	}
	for n := 0; ; {
		got, err := p.line()
		switch {
		case err != nil:
			return err
		case got == ".\r\n" && n != want:
			return fmt.Errorf("heard %d octets", n)
		case got == ".\r\n":
			return nil
		}
		n += len(got)
	}
}

func (p *Peer) octets(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	_, err = io.CopyN(&p.Heard, p.in, n)
	return err
}

func (p *Peer) quiet() error {
	_ = p.conn.SetDeadline(time.Now().Add(time.Second))
	b, err := p.in.ReadByte()
	if err == nil {
		return fmt.Errorf("heard %q", b)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func (p *Peer) startTLS() error {
	t := tls.Server(p.conn, p.tls)
	if err := t.Handshake(); err != nil {
		return err
	}
	p.conn, p.in = t, bufio.NewReader(t)
	return nil
}

func (p *Peer) notTLS() error {
	err := p.startTLS()
	if err == nil {
		_, err = p.in.ReadByte() // The client may know better only after our part is done.
	}
	if err == nil {
		return fmt.Errorf("the client is content")
	}
	return nil
}

func (p *Peer) drip(text string) error {
	every, text, _ := strings.Cut(text, " ")
	d, err := time.ParseDuration(every)
	if err != nil {
		return err
	}
	for _, b := range []byte(text + "\r\n") {
		time.Sleep(d)
		if p.say(string(b)) != nil {
			return nil
		}
	}
	return nil
}

func (p *Peer) flood(text string) error {
	times, text, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	for range n {
		if p.say(text+"\r\n") != nil {
			return nil
		}
	}
	return nil
}
