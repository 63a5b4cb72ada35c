package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/heap"
)

// served is a connection over TCP and what its session made of it.
type served struct {
	net.Conn
	at   *Conn
	done chan error
}

// serveOne runs session for a connection over TCP whose share is of budget.
func serveOne(t *testing.T, budget *heap.Budget, session func(context.Context, *Conn) error) *served {
	t.Helper()
	s := &served{done: make(chan error, 1)}
	at := make(chan *Conn, 1)
	server := NewServer(Listener{Name: "test", Addr: "127.0.0.1:0", Budget: budget, ReadTimeout: time.Minute}, func(ctx context.Context, c *Conn) {
		at <- c
		err := session(ctx, c)
		s.done <- errors.Join(err, context.Cause(ctx))
	}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	if err := server.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ctx) }()
	var err error
	if s.Conn, err = net.Dial("tcp", server.Addr().String()); err != nil {
		t.Fatal(err)
	}
	s.at = <-at
	t.Cleanup(func() {
		_ = s.Close()
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if held := budget.Stats().Held; held != 0 {
			t.Errorf("%d octets are held when all is over", held)
		}
	})
	return s
}

// holds waits until the session holds n octets.
func (s *served) holds(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.at.share.Held() != n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("the session holds %d octets, want %d", s.at.share.Held(), n)
		}
	}
}

func readLine(_ context.Context, c *Conn) error {
	_, err := c.ReadLine(1 << 20)
	return err
}

// TestHalfALineIsCounted: who waits with a long line takes its buffer from the
// budget; a short one fits into what every connection has.
func TestHalfALineIsCounted(t *testing.T) {
	s := serveOne(t, heap.NewBudget(1<<20), readLine)
	_, _ = s.Write(make([]byte, 200))
	s.holds(t, 0)
	_, _ = s.Write(make([]byte, 100))
	s.holds(t, readBuffer)
	_, _ = s.Write(make([]byte, 20_000))
	s.holds(t, 2*readBuffer)
	_, _ = s.Write([]byte("\r\n"))
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestHalfALineBeyondTheBudget(t *testing.T) {
	s := serveOne(t, heap.NewBudget(readBuffer), readLine)
	_, _ = s.Write(make([]byte, 20_000))
	if err := <-s.done; !errors.Is(err, heap.ErrFull) {
		t.Errorf("the read ended with %v", err)
	}
}

// TestSlowReaderIsCounted, and shown out when another needs its memory.
func TestSlowReaderIsCounted(t *testing.T) {
	budget := heap.NewBudget(writeBuffer)
	s := serveOne(t, budget, func(_ context.Context, c *Conn) error {
		for err := error(nil); ; {
			if _, err = c.Write(make([]byte, maxSend)); err != nil {
				return err
			}
		}
	})
	s.holds(t, writeBuffer)
	var other heap.Share
	other.Init(budget, noHolder{})
	if err := other.Take(1000); err != nil {
		t.Errorf("another is refused: %v", err)
	}
	other.Close()
	if err := <-s.done; !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, heap.ErrFull) {
		t.Errorf("the write ended with %v", err)
	}
}

type noHolder struct{}

func (noHolder) Party() heap.Party { return heap.Party{Account: 1} }
func (noHolder) Yield()            {}

// TestTLSIsCounted: more during the handshake, and what is read in large pieces
// comes whole.
func TestTLSIsCounted(t *testing.T) {
	cert := certstest.New("localhost")
	s := serveOne(t, heap.NewBudget(1<<20), func(_ context.Context, c *Conn) error {
		if err := c.Handshake(cert.Server(), time.Minute); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, c)
		if n != 1_000_000 {
			return errors.Join(err, errors.New("octets are missing"))
		}
		return err
	})
	s.holds(t, handshakeMemory)
	client := tls.Client(s.Conn, cert.Client("localhost", 0))
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	s.holds(t, tlsMemory)
	if _, err := client.Write(make([]byte, 1_000_000)); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if err := <-s.done; err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestEndlessHandshake(t *testing.T) {
	s := serveOne(t, heap.NewBudget(1<<20), func(_ context.Context, c *Conn) error {
		return c.Handshake(&tls.Config{}, time.Minute)
	})
	hello := []byte{22, 3, 1, 64, 0, 1, 0, 255, 255} // A record of 16 KiB that begins a ClientHello of 64 KiB.
	_, _ = s.Write(append(hello, make([]byte, 16<<10-4)...))
	for range 3 {
		_, _ = s.Write(append([]byte{22, 3, 1, 64, 0}, make([]byte, 16<<10)...))
	}
	if err := <-s.done; !errors.Is(err, errLongHandshake) {
		t.Errorf("the handshake ended with %v", err)
	}
}

func TestHandshakeBeyondTheBudget(t *testing.T) {
	s := serveOne(t, heap.NewBudget(handshakeMemory-1), func(_ context.Context, c *Conn) error {
		return c.Handshake(&tls.Config{}, time.Minute)
	})
	if err := <-s.done; !errors.Is(err, heap.ErrFull) {
		t.Errorf("the handshake ended with %v", err)
	}
}
