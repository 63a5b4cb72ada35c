package memnet

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestOctetsArriveInOrder(t *testing.T) {
	client, server := Pipe(netip.AddrPort{}, netip.AddrPort{})
	sent := make([]byte, 5*Window+17)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := client.Write(sent)
		failed <- errors.Join(err, client.Close())
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %d octets and %v, want the %d sent", len(got), err, len(sent))
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestAddressesAreTCP(t *testing.T) {
	from := netip.MustParseAddrPort("203.0.113.5:1234")
	client, server := Pipe(from, netip.AddrPort{})
	if got := server.RemoteAddr().(*net.TCPAddr).AddrPort(); got != from {
		t.Errorf("remote of the server is %v, want %v", got, from)
	}
	if got := client.RemoteAddr().(*net.TCPAddr).AddrPort(); got != DefaultServer {
		t.Errorf("remote of the client is %v, want %v", got, DefaultServer)
	}
}

func TestReadDeadlineWakesAPendingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := Pipe(netip.AddrPort{}, netip.AddrPort{})
		start := time.Now()
		_ = client.SetReadDeadline(start.Add(5 * time.Minute))
		_, err := client.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Minute {
			t.Errorf("read ended after %v with %v", time.Since(start), err)
		}
		_ = client.Close()
	})
}

func TestDeadlineOfThePastWakesAPendingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := Pipe(netip.AddrPort{}, netip.AddrPort{})
		ended := make(chan error, 1)
		go func() {
			_, err := client.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		_ = client.SetReadDeadline(time.Unix(1, 0))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read ended with %v", err)
		}
	})
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := Pipe(netip.AddrPort{}, netip.AddrPort{})
		_ = client.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := client.Write(make([]byte, Window+1))
		if n != Window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d octets and %v", n, err)
		}
	})
}

func TestWritingToAClosedPeerFails(t *testing.T) {
	client, server := Pipe(netip.AddrPort{}, netip.AddrPort{})
	_ = server.Close()
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("write to a closed peer went well")
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read from a closed peer: %v, want EOF", err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read from the closed end: %v", err)
	}
}

func TestCloseWriteKeepsReading(t *testing.T) {
	client, server := Pipe(netip.AddrPort{}, netip.AddrPort{})
	_, _ = client.Write([]byte("last"))
	_ = client.CloseWrite()
	if got, err := io.ReadAll(server); string(got) != "last" || err != nil {
		t.Errorf("server read %q and %v", got, err)
	}
	_, _ = server.Write([]byte("bye"))
	_ = server.Close()
	if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
		t.Errorf("client read %q and %v", got, err)
	}
}

func TestListener(t *testing.T) {
	l := Listen(netip.AddrPort{})
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err := l.Dial(context.Background(), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	_, _ = client.Write([]byte("hi"))
	_ = client.Close()
	if got, _ := io.ReadAll(server); string(got) != "hi" {
		t.Errorf("got %q", got)
	}
	_ = l.Close()
	if _, err := l.Dial(context.Background(), netip.AddrPort{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestResetLosesWhatWasNotRead(t *testing.T) {
	client, server := Pipe(netip.AddrPort{}, netip.AddrPort{})
	_, _ = server.Write([]byte("never read"))
	server.Reset()
	for _, end := range []*Conn{client, server} {
		if n, err := end.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d octets and %v", n, err)
		}
		if _, err := end.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
	}
	_ = client.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}
