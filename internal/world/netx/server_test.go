package netx

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/testkit/memnet"
	"yubin/internal/world/certs/certstest"
)

// echo answers each line with itself until the client or the server has enough.
func echo(ctx context.Context, c *Conn) {
	for {
		line, err := c.ReadLine(100)
		switch {
		case ctx.Err() != nil:
			_, _ = c.WriteString("bye\r\n")
			_ = c.Flush()
			return
		case err != nil:
			return
		case string(line) == "panic":
			panic("asked for")
		}
		_, _ = c.WriteString(string(line) + "\r\n")
		if c.Flush() != nil {
			return
		}
	}
}

// host is a Server on a memnet listener.
type host struct {
	*Server
	ln     *memnet.Listener
	stop   context.CancelFunc
	served chan error
	log    *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t *testing.T, l Listener, handle func(context.Context, *Conn)) *host {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &host{ln: memnet.Listen(netip.AddrPort{}), stop: stop, served: make(chan error, 1), log: &logBuffer{}}
	h.Server = NewServer(l, handle, slog.New(slog.NewTextHandler(h.log, nil)))
	h.Use(h.ln)
	go func() { h.served <- h.Serve(ctx) }()
	t.Cleanup(stop)
	return h
}

// client is a connection with lines.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (h *host) dial(t *testing.T, from string) *client {
	t.Helper()
	c, err := h.ln.Dial(context.Background(), netip.MustParseAddrPort(from))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{c, bufio.NewReader(c)}
}

func (c *client) say(t *testing.T, line string) string {
	t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return c.hear()
}

// hear returns the next line without CRLF, or "EOF".
func (c *client) hear() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "EOF"
	}
	return strings.TrimSuffix(line, "\r\n")
}

func TestServerServesAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, Listener{Name: "test"}, echo)
		a, b := h.dial(t, "192.0.2.1:1"), h.dial(t, "192.0.2.2:1")
		if a.say(t, "one") != "one" || b.say(t, "two") != "two" {
			t.Error("no echo")
		}
		if got, want := h.Stats(), (Stats{Open: 2, Accepted: 2}); got != want {
			t.Errorf("Stats %+v, want %+v", got, want)
		}
		_ = a.Close()
		synctest.Wait()
		if got := h.Stats().Open; got != 1 {
			t.Errorf("%d open, want 1", got)
		}
		h.stop()
		if got := b.hear(); got != "bye" {
			t.Errorf("idle session heard %q at the end", got)
		}
		if err := <-h.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if got := h.Stats().Open; got != 0 {
			t.Errorf("%d open after Serve", got)
		}
	})
}

func TestServerLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := NewSlots(Limits{PerAddress: 2, ExemptLoopback: true})
		h := serve(t, Listener{
			Name:   "test",
			Slots:  slots,
			Refuse: func(r Refusal) string { return "-ERR " + r.String() + "\r\n" },
		}, echo)
		const ok, one = "hi", "-ERR too many connections from this address"
		steps := []struct{ from, want string }{
			{"192.0.2.1:1", ok},
			{"192.0.2.1:2", ok},
			{"192.0.2.1:3", one},
			{"[2001:db8:0:1::1]:1", ok},
			{"[2001:db8:0:1::2]:1", ok},
			{"[2001:db8:0:1:ffff::3]:1", one},
			{"[::ffff:192.0.2.1]:4", one},
			{"[2001:db8:0:2::1]:1", ok},
			{"127.0.0.1:1", ok},
		}
		clients := map[string]*client{}
		for _, s := range steps {
			c := h.dial(t, s.from)
			_, _ = io.WriteString(c, "hi\r\n")
			if got := c.hear(); got != s.want {
				t.Errorf("%s heard %q, want %q", s.from, got, s.want)
			}
			clients[s.from] = c
		}
		if got, want := h.Stats(), (Stats{Open: 6, Accepted: 6, Refused: 3, OfAddress: 3}); got != want {
			t.Errorf("Stats %+v, want %+v", got, want)
		}
		_ = clients["192.0.2.1:1"].Close()
		synctest.Wait()
		if got := h.dial(t, "192.0.2.1:9").say(t, "again"); got != "again" {
			t.Errorf("after one left: %q", got)
		}
		slots.SetLimits(Limits{})
		if got := h.dial(t, "192.0.2.1:10").say(t, "more"); got != "more" {
			t.Errorf("without limits: %q", got)
		}
		if n := strings.Count(h.log.String(), "connection refused"); n != 1 {
			t.Errorf("%d lines about refusals within a moment, want 1:\n%s", n, h.log)
		}
		h.stop()
		<-h.served
	})
}

func TestExemptLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, Listener{Slots: NewSlots(Limits{PerAddress: 1, ExemptLoopback: true})}, echo)
		for _, from := range []string{"127.0.0.1:1", "127.0.0.1:2", "[::1]:1", "[::1]:2"} {
			if got := h.dial(t, from).say(t, "hi"); got != "hi" {
				t.Errorf("%s heard %q", from, got)
			}
		}
		h.stop()
		<-h.served
	})
}

func TestServerSurvivesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, Listener{Name: "test"}, echo)
		other := h.dial(t, "192.0.2.1:1")
		if got := h.dial(t, "192.0.2.2:1").say(t, "panic"); got != "EOF" {
			t.Errorf("the session that panicked said %q", got)
		}
		if got := other.say(t, "still here"); got != "still here" {
			t.Errorf("another session: %q", got)
		}
		if log := h.log.String(); !strings.Contains(log, "asked for") || !strings.Contains(log, "server_test.go") {
			t.Errorf("the log does not tell the panic and its stack: %s", log)
		}
		synctest.Wait() // The connection ends after the client has seen that.
		if got := h.Stats().Open; got != 1 {
			t.Errorf("%d open, want 1", got)
		}
		h.stop()
		<-h.served
	})
}

func TestDrainWaitsForWorkAndThenCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		work := func(ctx context.Context, c *Conn) {
			line, _ := c.ReadLine(100)
			if string(line) == "work" {
				<-release
				_, _ = c.WriteString("done\r\n")
				_ = c.Flush()
				return
			}
			if string(line) == "data" {
				_, _ = c.Peek() // a message under way, of which nothing more comes
				return
			}
			for err := error(nil); err == nil; { // a client that does not read
				_, err = c.Write(make([]byte, maxSend))
			}
		}
		h := serve(t, Listener{Name: "test", DrainTimeout: 10 * time.Second}, work)
		busy, silent, stuck := h.dial(t, "192.0.2.1:1"), h.dial(t, "192.0.2.3:1"), h.dial(t, "192.0.2.2:1")
		_, _ = io.WriteString(busy, "work\r\n")
		_, _ = io.WriteString(silent, "data\r\n")
		_, _ = io.WriteString(stuck, "read\r\n")
		synctest.Wait()
		start := time.Now()
		h.stop()
		synctest.Wait()
		if _, err := h.ln.Dial(context.Background(), netip.AddrPort{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial while draining: %v", err)
		}
		close(release)
		if got := busy.hear(); got != "done" {
			t.Errorf("work under way ended with %q", got)
		}
		if got := silent.hear(); got != "EOF" || time.Since(start) != drainPatience {
			t.Errorf("a client silent within a message: %q after %v", got, time.Since(start))
		}
		if err := <-h.served; err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("Serve: %v after %v", err, time.Since(start))
		}
	})
}

func TestServeReportsHangingSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := serve(t, Listener{Name: "pop3", DrainTimeout: time.Second}, func(context.Context, *Conn) { <-release })
		h.dial(t, "192.0.2.1:1")
		h.stop()
		if err := <-h.served; err == nil || err.Error() != "pop3: 1 sessions hang after their connections were closed" {
			t.Errorf("Serve: %v", err)
		}
		close(release)
	})
}

// troubled is a listener out of file descriptors for a while.
type troubled struct {
	*memnet.Listener
	failures int
}

func (l *troubled) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestServerOutlivesEMFILE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		ln := &troubled{memnet.Listen(netip.AddrPort{}), 20}
		h := &host{ln: ln.Listener, served: make(chan error, 1), log: &logBuffer{}}
		h.Server = NewServer(Listener{Name: "test"}, echo, slog.New(slog.NewTextHandler(h.log, nil)))
		h.Use(ln)
		start := time.Now()
		go func() { h.served <- h.Serve(ctx) }()
		if got := h.dial(t, "192.0.2.1:1").say(t, "hi"); got != "hi" {
			t.Errorf("after EMFILE: %q", got)
		}
		if d := time.Since(start); d < 10*time.Second || d > 20*firstBackoff+20*longestBackoff {
			t.Errorf("20 failures took %v: no back-off or too much", d)
		}
		log := h.log.String()
		if strings.Count(log, "\n") != 2 || !strings.Contains(log, "LimitNOFILE") || !strings.Contains(log, "count=20") {
			t.Errorf("want one line when it begins and one when it is over:\n%s", log)
		}
		stop()
		<-h.served
	})
}

// TestAcceptTroubleIsNoFlood: where each connection that ends lets one in, runs
// of failures follow each other, and the log hears of one in a while.
func TestAcceptTroubleIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := &logBuffer{}
		log := slog.New(slog.NewTextHandler(said, nil))
		var a acceptTrouble
		for range 3 {
			for range 100 {
				a.wait(t.Context(), log, syscall.EMFILE)
				a.over(log)
			}
			<-time.After(troubleLogEvery)
		}
		for _, line := range []string{"cannot accept connections", "accepting connections again"} {
			if n := strings.Count(said.String(), line); n != 3 {
				t.Errorf("%q is in the log %d times, want 3", line, n)
			}
		}
	})
}

func TestServerStopsDuringEMFILE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		s := NewServer(Listener{}, echo, slog.New(slog.DiscardHandler))
		s.Use(&troubled{memnet.Listen(netip.AddrPort{}), 1 << 30})
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		synctest.Wait()
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestServeTellsOfAClosedListener(t *testing.T) {
	s := NewServer(Listener{Name: "pop3", Addr: "192.0.2.1:110"}, echo, slog.New(slog.DiscardHandler))
	s.Use(memnet.Listen(netip.AddrPort{}))
	_ = s.Close()
	if err := s.Serve(context.Background()); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "pop3") {
		t.Errorf("Serve: %v", err)
	}
}

// TestImplicitTLSOnTCP runs the whole server on a real socket.
func TestImplicitTLSOnTCP(t *testing.T) {
	cert := certstest.New("mail.example.org")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := NewServer(Listener{Name: "pop3s", Addr: "127.0.0.1:0", Mode: ImplicitTLS, TLS: cert.Server(),
		Slots: NewSlots(Limits{PerAddress: 1}), Refuse: func(Refusal) string { return "in clear\r\n" }},
		echo, slog.New(slog.DiscardHandler))
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c, err := tls.Dial("tcp", s.Addr().String(), cert.Client("mail.example.org", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	first := &client{c, bufio.NewReader(c)}
	if got := first.say(t, "over TLS"); got != "over TLS" {
		t.Errorf("heard %q", got)
	}
	second, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if b, err := io.ReadAll(second); len(b) > 0 || err != nil {
		t.Errorf("a refused TLS client heard %q, %v", b, err)
	}
	stop()
	if got := first.hear(); got != "bye" {
		t.Errorf("at the end: %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestBadHandshakesAreCounted: somebody who speaks no TLS on a port that is TLS
// from the first octet.
func TestBadHandshakesAreCounted(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := NewServer(Listener{Name: "imaps", Addr: "127.0.0.1:0", Mode: ImplicitTLS, TLS: certstest.New("mail.example.org").Server()},
		echo, slog.New(slog.DiscardHandler))
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "a LOGIN alice secret\r\n")
	_, _ = io.Copy(io.Discard, c)
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got, want := s.Stats(), (Stats{Accepted: 1, BadHandshakes: 1}); got != want {
		t.Errorf("Stats %+v, want %+v", got, want)
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	tests := []struct {
		l    Listener
		want string
	}{
		{Listener{Name: "imap", Addr: busy.Addr().String()}, "another program uses this port"},
		{Listener{Name: "imap", Addr: "203.0.113.77:0"}, "no interface of this host"},
		{Listener{Name: "imap", Addr: "127.0.0.1"}, "must be host:port"},
		{Listener{Name: "imap", Addr: "127.0.0.1:0", Mode: ImplicitTLS}, "needs a certificate"},
	}
	for _, tt := range tests {
		s := NewServer(tt.l, echo, slog.New(slog.DiscardHandler))
		err := s.Listen(context.Background())
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "imap") || !strings.Contains(err.Error(), tt.l.Addr) {
			t.Errorf("%s: %v, want it to name the listener, the address and %q", tt.l.Addr, err, tt.want)
		}
	}
	if got := listenAdvice(os.NewSyscallError("bind", syscall.EACCES)); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("advice on EACCES: %q", got)
	}
	if err := NewServer(Listener{}, echo, slog.New(slog.DiscardHandler)).Close(); err != nil {
		t.Errorf("Close before Listen: %v", err)
	}
}
