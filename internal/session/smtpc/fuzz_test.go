package smtpc

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/netx"
)

// script is a connection with prepared input; what is written is counted.
type script struct {
	in  *bytes.Reader
	out int64
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { s.out += int64(len(p)); return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzClient lets a host say anything: every recipient gets an answer that
// makes sense, and an end comes.
func FuzzClient(f *testing.F) {
	f.Add([]byte("220 x\r\n250-x\r\n250-PIPELINING\r\n250 SIZE 1000\r\n250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n250 ok\r\n221 bye\r\n"), byte(0))
	f.Add([]byte("220 x\r\n250-x\r\n250-CHUNKING\r\n250-LIMITS RCPTMAX=1 MAILMAX=2\r\n250-DSN\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"), byte(1))
	f.Add([]byte("220 x\r\n250-x\r\n250-AUTH SCRAM-SHA-256\r\n250 ok\r\n334 cj1hLHM9YUdGc2JBPT0saT00MDk2\r\n235 ok\r\n"), byte(2))
	f.Add([]byte("220 x\r\n250-x\r\n250 AUTH LOGIN\r\n334 \r\n334 \r\n235 ok\r\n250 ok\r\n452 4.5.3 x\r\n"), byte(2))
	f.Add([]byte("220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x03\x00\x01\x00"), byte(0))
	f.Add([]byte("220 x\r\n500 x\r\n250 x\r\n250 ok\r\n450 x\r\n421 x\r\n"), byte(4))
	f.Fuzz(func(t *testing.T, in []byte, how byte) {
		conn := &script{in: bytes.NewReader(in)}
		c := New(netx.NewOutgoing(conn), Config{Now: now})
		o := mail.Opening{Name: "client.example", Host: "mx.example.net", LMTP: how&1 != 0}
		if how&2 != 0 {
			o.Auth = &mail.Credentials{User: "user", Password: "secret"}
		}
		fault, ok := c.Open(t.Context(), o)
		if ok != (fault == mail.Answer{}) {
			t.Fatalf("Open says %v and %+v", ok, fault)
		}
		tx := transactionOf(t, strings.Fields("from=a@client.example to=b@example.net,c@example.org,d@example.com"))
		if how&4 != 0 {
			tx.Body, tx.UTF8 = mail.Body8BitMIME, true
		}
		for range 3 {
			if !ok {
				break
			}
			spent := c.Connection().Spent
			for i, a := range c.Send(t.Context(), tx) {
				check(t, a, spent && i >= 0)
			}
		}
		c.Quit(t.Context())
		if !c.Connection().Spent {
			t.Fatal("after Quit the conversation could go on")
		}
		if left, _ := io.Copy(io.Discard, conn.in); conn.out > 100_000 || left > int64(len(in)) {
			t.Fatalf("%d octets were said", conn.out)
		}
	})
}

// check looks whether an answer can be.
func check(t *testing.T, a mail.Answer, spent bool) {
	t.Helper()
	switch {
	case a == mail.Answer{}:
		return
	case spent && a.Trouble != mail.Lacking:
		t.Fatalf("a spent conversation went on: %+v", a)
	case (a.Trouble == mail.NoTrouble) != (a.Code != 0),
		a.Trouble == mail.NoTrouble && a.Code < 400 && !a.Taken(),
		a.Trouble != mail.NoTrouble && a.Enhanced == "",
		a.Phase < mail.PhaseMail, len(a.Text) > mail.MaxAttemptText:
		t.Fatalf("%+v makes no sense", a)
	}
}
