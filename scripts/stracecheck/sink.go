package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"

	"yubin/internal/testkit/dnstest"
)

// Where mail for elsewhere goes: another address of this host, so that nobody
// takes it for ourselves.
const (
	elsewhere   = "relay.example"
	sinkAddress = "127.0.0.2"
	zone        = "relay.example. MX 10 sink.relay.example.\nsink.relay.example. A " + sinkAddress + "\n"
)

// sink is the next hop: it takes everything and says what it took.
type sink struct {
	ln    net.Listener
	names *dnstest.Server
	took  chan string // tokens
}

func listenSink() (*sink, error) {
	z, err := dnstest.ParseZone(zone)
	if err != nil {
		return nil, err
	}
	names, err := dnstest.Listen(z)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", sinkAddress+":0")
	if err != nil {
		_ = names.Close()
		return nil, err
	}
	s := &sink{ln: ln, names: names, took: make(chan string, 100)}
	go s.accept()
	return s, nil
}

func (s *sink) Close() {
	_ = s.ln.Close()
	_ = s.names.Close()
}

// flags make localserve carry mail to the sink.
func (s *sink) flags() []string {
	_, port, _ := net.SplitHostPort(s.ln.Addr().String())
	return []string{"--deliver", "--resolver", s.names.Addr().String(), "--deliver-port", port}
}

// conn is how strace names yubin's end of a connection to the sink, without
// what is yubin's own.
func (s *sink) conn() string { return "->" + s.ln.Addr().String() }

func (s *sink) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			s.serve(c)
		}()
	}
}

// serve is SMTP without any extension.
func (s *sink) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(limit))
	in := bufio.NewReader(c)
	for answer := "220 sink"; answer != ""; {
		if _, err := fmt.Fprintf(c, "%s\r\n", answer); err != nil {
			return
		}
		line, err := in.ReadString('\n')
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch {
		case err != nil:
			return
		case verb == "QUIT":
			answer = ""
		case verb == "DATA":
			answer = s.data(c, in)
		default:
			answer = "250 ok"
		}
	}
	_, _ = fmt.Fprint(c, "221 bye\r\n")
}

// data reads a message and names its token in the answer.
func (s *sink) data(c net.Conn, in *bufio.Reader) (answer string) {
	_, _ = fmt.Fprint(c, "354 go on\r\n")
	token := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			s.took <- token
			return taken(token)
		}
		if t, ok := strings.CutPrefix(line, "Subject: "); ok {
			token = strings.TrimSpace(t)
		}
	}
}

func taken(token string) string { return "250 the sink has " + token }

// wait waits until the sink has taken a message.
func (s *sink) wait(token string) error {
	select {
	case got := <-s.took:
		if got != token {
			return fmt.Errorf("the sink was sent %q, want %q", got, token)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the sink was not sent %q in time", token)
	}
}
