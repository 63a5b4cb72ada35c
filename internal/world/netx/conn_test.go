package netx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/testkit/memnet"
	"yubin/internal/world/certs/certstest"
)

// pair returns a Conn and the client's end of its socket.
func pair(t *testing.T, read, write time.Duration) (*Conn, net.Conn) {
	t.Helper()
	client, server := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
	c := NewConn(server, read, write)
	t.Cleanup(func() {
		_ = client.Close()
		c.Abort()
	})
	return c, client
}

// drip is a socket that gives its input in pieces of the sizes named, then one
// octet at a time, then end of file.
type drip struct {
	net.Conn
	input  []byte
	pieces []int
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.input) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(d.pieces) > 0 {
		n, d.pieces = d.pieces[0], d.pieces[1:]
	}
	n = copy(p, d.input[:min(n, len(d.input))])
	d.input = d.input[n:]
	return n, nil
}

func (d *drip) SetDeadline(time.Time) error      { return nil }
func (d *drip) SetReadDeadline(time.Time) error  { return nil }
func (d *drip) SetWriteDeadline(time.Time) error { return nil }

func TestReadLine(t *testing.T) {
	const limit = 10
	tests := []struct {
		input string
		want  []string
		err   error
	}{
		{"a\r\nbc\r\n", []string{"a", "bc"}, io.EOF},
		{"\r\n\r\n", []string{"", ""}, io.EOF},
		{"0123456789\r\n", []string{"0123456789"}, io.EOF},
		{"0123456789A\r\n", nil, ErrLineTooLong},
		{"0123456789AB", nil, ErrLineTooLong},
		{"0123456789A", nil, io.ErrUnexpectedEOF},
		{"a\nb\r\n", nil, ErrBareNewline},
		{"\n", nil, ErrBareNewline},
		{"a\rb\r\n", nil, ErrBareNewline},
		{"a\r\r\n", nil, ErrBareNewline},
		{"ok\r\n\n", []string{"ok"}, ErrBareNewline},
		{"ok\r\nhalf", []string{"ok"}, io.ErrUnexpectedEOF},
		{"ok\r\nhalf\r", []string{"ok"}, io.ErrUnexpectedEOF},
		{"", nil, io.EOF},
	}
	for _, tt := range tests {
		for _, pieces := range [][]int{nil, {2, 3}, {100}} {
			c := NewConn(&drip{input: []byte(tt.input), pieces: pieces}, 0, 0)
			var got []string
			line, err := c.ReadLine(limit)
			for ; err == nil; line, err = c.ReadLine(limit) {
				got = append(got, string(line))
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") || len(got) != len(tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("%q in %v: got %q and %v, want %q and %v", tt.input, pieces, got, err, tt.want, tt.err)
			}
		}
	}
}

// TestReadLineLongerThanBuffer reads lines around and beyond the sizes of the buffers.
func TestReadLineLongerThanBuffer(t *testing.T) {
	for _, size := range []int{idleBuffer - 3, idleBuffer, readBuffer - 2, readBuffer - 1, readBuffer, 3*readBuffer + 7} {
		long := strings.Repeat("x", size)
		c := NewConn(&drip{input: []byte("a\r\n" + long + "\r\nb\r\n"), pieces: []int{3, 100, 1 << 20, 1 << 20, 1 << 20}}, 0, 0)
		for i, want := range []string{"a", long, "b"} {
			got, err := c.ReadLine(size)
			if err != nil || string(got) != want {
				t.Fatalf("size %d, line %d: %d octets and %v", size, i, len(got), err)
			}
		}
	}
}

func TestSkipLine(t *testing.T) {
	long := strings.Repeat("x", 3*readBuffer)
	c := NewConn(&drip{input: []byte(long + "\r\nnext\r\n"), pieces: []int{1 << 20, 1 << 20, 1 << 20, 1 << 20}}, 0, 0)
	if _, err := c.ReadLine(100); err != ErrLineTooLong {
		t.Fatalf("ReadLine: %v", err)
	}
	if err := c.SkipLine(4 * readBuffer); err != nil {
		t.Fatalf("SkipLine: %v", err)
	}
	if line, err := c.ReadLine(100); err != nil || string(line) != "next" {
		t.Fatalf("after SkipLine: %q, %v", line, err)
	}
	c = NewConn(&drip{input: []byte(long + long), pieces: []int{1 << 20, 1 << 20, 1 << 20, 1 << 20}}, 0, 0)
	if err := c.SkipLine(readBuffer); err != ErrLineTooLong {
		t.Errorf("SkipLine of an endless line: %v", err)
	}
}

func TestPeekDiscardAndRead(t *testing.T) {
	c := NewConn(&drip{input: []byte("LINE\r\nbody of some octets"), pieces: []int{11, 100}}, 0, 0)
	if line, err := c.ReadLine(100); err != nil || string(line) != "LINE" {
		t.Fatal(string(line), err)
	}
	if c.LineBuffered() || c.Buffered() != 5 {
		t.Errorf("LineBuffered %v, Buffered %d", c.LineBuffered(), c.Buffered())
	}
	b, err := c.Peek()
	if err != nil || string(b) != "body " {
		t.Fatalf("Peek: %q, %v", b, err)
	}
	c.Discard(2)
	rest, err := io.ReadAll(c)
	if err != nil || string(rest) != "dy of some octets" {
		t.Errorf("Read: %q, %v", rest, err)
	}
}

func TestLineBuffered(t *testing.T) {
	c := NewConn(&drip{input: []byte("a\r\nb\r\nhalf\r\n"), pieces: []int{8}}, 0, 0)
	for i, want := range []bool{true, false} {
		if _, err := c.ReadLine(10); err != nil || c.LineBuffered() != want {
			t.Errorf("after line %d: LineBuffered %v, %v", i, c.LineBuffered(), err)
		}
	}
}

func TestWriteAndFlush(t *testing.T) {
	c, client := pair(t, 0, 0)
	var want bytes.Buffer
	sent := make(chan error, 1)
	var got []byte
	go func() {
		var err error
		got, err = io.ReadAll(client)
		sent <- err
	}()
	for i, n := range []int{1, 100, writeBuffer - 101, 0, writeBuffer, 5, 3*maxSend + 1, writeBuffer - 1, 1, 2} {
		p := bytes.Repeat([]byte{byte('a' + i)}, n)
		want.Write(p)
		var wrote int
		var err error
		if i%2 == 0 {
			wrote, err = c.Write(p)
		} else {
			wrote, err = c.WriteString(string(p))
		}
		if wrote != n || err != nil {
			t.Fatalf("write of %d: %d, %v", n, wrote, err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("client got %d octets and %v, want %d", len(got), err, want.Len())
	}
}

// TestSlowReaderOfLargeOutput: the write timeout bounds each piece, not a whole
// large message.
func TestSlowReaderOfLargeOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, 0, time.Minute)
		done := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 10*maxSend))
			done <- err
		}()
		buf := make([]byte, maxSend)
		for range 10 {
			<-time.After(50 * time.Second)
			if _, err := io.ReadFull(client, buf); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("a client that reads a piece each 50 s: %v", err)
		}
	})
}

func TestWriteTimeoutSticks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, 0, time.Minute)
		_, err := c.Write(make([]byte, 4*maxSend))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("write to a client that does not read: %v", err)
		}
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := c.WriteString("x"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("later WriteString: %v", err)
		}
		if err := c.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("later Flush: %v", err)
		}
	})
}

func TestReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Minute, 0)
		start := time.Now()
		_, _ = client.Write([]byte("ha"))
		_, err := c.ReadLine(100)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// readAsync reads a line in its own goroutine.
func readAsync(c *Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.ReadLine(100)
		done <- err
	}()
	return done
}

func TestInterruptWakesPendingAndLaterReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Hour, 0)
		done := readAsync(c)
		synctest.Wait()
		start := time.Now()
		c.Interrupt()
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("pending read: %v after %v", err, time.Since(start))
		}
		if _, err := c.ReadLine(100); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("later read: %v", err)
		}
		if _, err := c.WriteString("bye\r\n"); err != nil || c.Flush() != nil {
			t.Errorf("writing after Interrupt: %v", err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(client, buf); err != nil || string(buf) != "bye\r\n" {
			t.Errorf("client got %q, %v", buf, err)
		}
	})
}

func TestDrainLetsWhatBeganEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Hour, 0)
		_, _ = client.Write([]byte("ha"))
		done := readAsync(c)
		synctest.Wait()
		c.Drain()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Drain broke a line that had begun: %v", err)
		default:
		}
		_, _ = client.Write([]byte("lf\r\nbody"))
		if err := <-done; err != nil {
			t.Errorf("the rest of the line: %v", err)
		}
		if b, err := c.Peek(); err != nil || string(b) != "body" {
			t.Errorf("buffered input after Drain: %q, %v", b, err)
		}
		c.Discard(4)
		_, _ = client.Write([]byte("more"))
		if b, err := c.Peek(); err != nil || string(b) != "more" {
			t.Errorf("Peek after Drain: %q, %v", b, err)
		}
		c.Discard(4)
		if _, err := c.ReadLine(10); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("next line after Drain: %v", err)
		}
	})
}

func TestDrainWakesAnIdleRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, time.Hour, 0)
		done := readAsync(c)
		synctest.Wait()
		c.Drain()
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("idle read: %v", err)
		}
	})
}

func TestLoopback(t *testing.T) {
	tests := []struct {
		client, server string
		want           bool
	}{
		{"127.0.0.1:1000", "127.0.0.1:110", true},
		{"[::1]:1000", "[::1]:110", true},
		{"[::ffff:127.0.0.1]:1000", "127.0.0.1:110", true},
		{"192.0.2.1:1000", "127.0.0.1:110", false},
		{"127.0.0.1:1000", "192.0.2.1:110", false},
		{"192.0.2.1:1000", "192.0.2.1:110", false},
	}
	for _, tt := range tests {
		_, server := memnet.Pipe(netip.MustParseAddrPort(tt.client), netip.MustParseAddrPort(tt.server))
		if got := NewConn(server, 0, 0).Loopback(); got != tt.want {
			t.Errorf("%s to %s: %v", tt.client, tt.server, got)
		}
	}
	if NewConn(&drip{Conn: noAddr{}}, 0, 0).Loopback() {
		t.Error("a socket without addresses counts as loopback")
	}
}

type noAddr struct{ net.Conn }

func (noAddr) RemoteAddr() net.Addr { return nil }
func (noAddr) LocalAddr() net.Addr  { return nil }

func TestHandshake(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, client := pair(t, time.Minute, time.Minute)
		ca := certstest.New("mail.example.org")
		cfg := ca.Server()
		inner := cfg.GetCertificate
		cfg.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := inner(h)
			NoteCertificate(h.Context(), cert)
			return cert, err
		}
		done := make(chan error, 1)
		go func() {
			tc := tls.Client(client, ca.Client("mail.example.org", version))
			_, err := tc.Write([]byte("HELO\r\n"))
			got := make([]byte, 3)
			_, err2 := io.ReadFull(tc, got)
			done <- errors.Join(err, err2)
		}()
		if _, ok := c.TLS(); ok || c.Certificate() != nil {
			t.Error("TLS before the handshake")
		}
		if err := c.Handshake(cfg, time.Minute); err != nil {
			t.Fatal(err)
		}
		line, err := c.ReadLine(100)
		if err != nil || string(line) != "HELO" {
			t.Fatalf("line over TLS: %q, %v", line, err)
		}
		_, _ = c.WriteString("ok\n")
		if err := errors.Join(c.Flush(), <-done); err != nil {
			t.Error(err)
		}
		if st, ok := c.TLS(); !ok || st.Version != version {
			t.Errorf("TLS state: %v", ok)
		}
		if c.Certificate() == nil || c.Certificate().DNSNames[0] != "mail.example.org" {
			t.Error("Certificate is not the one that was shown")
		}
		_ = client.Close()
	}
}

func TestHandshakeRefusesEarlyInput(t *testing.T) {
	c, client := pair(t, time.Minute, 0)
	_, _ = client.Write([]byte("STLS\r\nUSER eve\r\n"))
	if _, err := c.ReadLine(100); err != nil {
		t.Fatal(err)
	}
	if err := c.Handshake(certstest.New("a.example").Server(), time.Minute); err != ErrEarlyInput {
		t.Errorf("Handshake with input before it: %v", err)
	}
}

func TestHandshakeTimeoutAndDrain(t *testing.T) {
	cfg := certstest.New("a.example").Server()
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, 0, 0)
		start := time.Now()
		if err := c.Handshake(cfg, 10*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("silent client: %v after %v", err, time.Since(start))
		}
		c, _ = pair(t, 0, 0)
		done := make(chan error, 1)
		go func() { done <- c.Handshake(cfg, time.Hour) }()
		synctest.Wait()
		c.Drain()
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("drained handshake: %v", err)
		}
		c, _ = pair(t, 0, 0)
		c.Interrupt()
		if err := c.Handshake(cfg, time.Hour); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("handshake after Interrupt: %v", err)
		}
	})
}

// TestIdleConnHoldsNoBuffers is the promise of the package: what waits for a
// command costs the Conn alone.
func TestIdleConnHoldsNoBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Hour, 0)
		_, _ = client.Write([]byte("NOOP\r\n"))
		if _, err := c.ReadLine(100); err != nil {
			t.Fatal(err)
		}
		_, _ = c.WriteString("+OK\r\n")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		done := readAsync(c)
		synctest.Wait()
		if len(c.in) > idleBuffer || c.out != nil {
			t.Errorf("idle Conn holds input buffer %v, output buffer %v", len(c.in), c.out != nil)
		}
		c.Interrupt()
		<-done
	})
}

func TestNoteCertificateOutsideAHandshake(t *testing.T) {
	NoteCertificate(context.Background(), &tls.Certificate{}) // must not panic
	c, _ := pair(t, 0, 0)
	if c.Certificate() != nil {
		t.Error("a certificate from nowhere")
	}
}
