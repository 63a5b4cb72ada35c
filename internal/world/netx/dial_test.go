package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/testkit/memnet"
	"yubin/internal/world/certs/certstest"
)

// accept listens on loopback and hands over what connects.
func accept(t *testing.T, addr string) (netip.AddrPort, <-chan net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		defer func() { _ = ln.Close() }()
		if c, err := ln.Accept(); err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().(*net.TCPAddr).AddrPort(), accepted
}

func TestDialFromASource(t *testing.T) {
	for _, tt := range []struct{ listen, from, want string }{
		{"127.0.0.1:0", "", "127.0.0.1"},
		{"127.0.0.1:0", "127.0.0.9", "127.0.0.9"},
		{"127.0.0.1:0", "::ffff:127.0.0.8", "127.0.0.8"},
		{"[::1]:0", "::1", "::1"},
		{"[::1]:0", "", "::1"},
	} {
		to, accepted := accept(t, tt.listen)
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		c, err := Dialer{}.Dial(t.Context(), to, from)
		if err != nil {
			t.Errorf("%s from %q: %v", tt.listen, tt.from, err)
			continue
		}
		peer := <-accepted
		if got := peer.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String(); got != tt.want {
			t.Errorf("%s from %q: the peer sees %s", tt.listen, tt.from, got)
		}
		if c.Local().Addr().String() != tt.want || c.Remote() != to || !c.Loopback() {
			t.Errorf("%s: local %v, remote %v", tt.listen, c.Local(), c.Remote())
		}
		_, _ = c.WriteString("hi\r\n")
		_ = c.Flush()
		_ = c.Close()
		if got, _ := io.ReadAll(peer); string(got) != "hi\r\n" {
			t.Errorf("the peer heard %q", got)
		}
		_ = peer.Close()
	}
}

func TestDialSaysWhy(t *testing.T) {
	closed, accepted := accept(t, "127.0.0.1:0")
	if c, err := net.Dial("tcp", closed.String()); err == nil { // The listener is gone after one.
		_ = c.Close()
		_ = (<-accepted).Close()
		<-accepted
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		to, from string
		want     string
	}{
		{"refused", t.Context(), closed.String(), "", "connection refused"},
		{"strange source", t.Context(), closed.String(), "192.0.2.1", "the source address is not one of this host"},
		{"other family", t.Context(), closed.String(), "::1", "the source address is of another family"},
		{"given up", gone, closed.String(), "", "given up"},
	} {
		var from netip.Addr
		if tt.from != "" {
			from = netip.MustParseAddr(tt.from)
		}
		_, err := Dialer{}.Dial(tt.ctx, netip.MustParseAddrPort(tt.to), from)
		var d *DialError
		if !errors.As(err, &d) || d.Reason != tt.want || d.Timeout {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	late := dialError(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})
	if late.Reason != "no answer in time" || !late.Timeout || !errors.Is(late, os.ErrDeadlineExceeded) {
		t.Errorf("%+v", late)
	}
}

// TestBound: octets that trickle in do not move the end of a wait, and a new
// bound gives new time.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewOutgoing(ours)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for {
				time.Sleep(time.Minute)
				if _, err := theirs.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		c.Bound(start.Add(5*time.Minute + time.Second))
		if _, err := c.ReadLine(1000); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Minute+time.Second {
			t.Errorf("reading ended after %v with %v", time.Since(start), err)
		}
		_ = c.Close()
		<-gone
	})
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewOutgoing(ours)
		start := time.Now()
		c.Bound(start.Add(time.Minute))
		_, _ = c.Write(make([]byte, 3*memnet.Window))
		if err := c.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("writing ended after %v with %v", time.Since(start), err)
		}
		_, _ = theirs.Write([]byte("still here\r\n"))
		c.Bound(time.Now().Add(time.Minute))
		if line, err := c.ReadLine(100); string(line) != "still here" || err != nil {
			t.Errorf("with a new bound: %q, %v", line, err)
		}
		c.Bound(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			_, _ = theirs.Write([]byte("late\r\n"))
		}()
		if line, err := c.ReadLine(100); string(line) != "late" || err != nil {
			t.Errorf("without a bound: %q, %v", line, err)
		}
	})
}

func TestHandshakeClient(t *testing.T) {
	cert := certstest.New("mx.example.org")
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewOutgoing(ours)
		c.Bound(time.Now().Add(time.Minute))
		go func() {
			s := tls.Server(theirs, cert.Server())
			_, _ = io.WriteString(s, "hello\r\n")
			_, _ = io.Copy(io.Discard, s)
			_ = s.Close()
		}()
		if err := c.HandshakeClient(t.Context(), cert.Client("mx.example.org", 0)); err != nil {
			t.Fatal(err)
		}
		if line, err := c.ReadLine(100); string(line) != "hello" || err != nil {
			t.Errorf("%q, %v", line, err)
		}
		if st, ok := c.TLS(); !ok || st.ServerName != "mx.example.org" {
			t.Errorf("TLS() = %v, %v", st, ok)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewOutgoing(ours)
		_, _ = theirs.Write([]byte("220 go\r\n250 injected\r\n"))
		_, _ = c.ReadLine(100)
		if err := c.HandshakeClient(t.Context(), cert.Client("mx.example.org", 0)); err != ErrEarlyInput {
			t.Errorf("injected octets: %v", err)
		}
		_ = theirs.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		ours, _ := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewOutgoing(ours)
		start := time.Now()
		c.Bound(start.Add(time.Minute))
		if err := c.HandshakeClient(t.Context(), cert.Client("mx.example.org", 0)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("a silent peer: %v after %v", err, time.Since(start))
		}
		_ = c.Close()
	})
}
