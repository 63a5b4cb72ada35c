package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// normal is a client among many strange ones: it delivers a message and reads
// its headers again and again, on new connections, and notes how long that takes.
type normal struct {
	s    *server
	stop chan struct{}
	done chan struct{}
	took []time.Duration
	err  error
	n    int
	id   string
	sent map[string]bool
}

func startNormal(s *server, name string) *normal {
	p := &normal{s: s, stop: make(chan struct{}), done: make(chan struct{}), id: name, sent: map[string]bool{}}
	go func() {
		defer close(p.done)
		for !isClosed(p.stop) && p.err == nil {
			began := time.Now()
			p.err = p.once()
			p.took = append(p.took, time.Since(began))
			<-time.After(20 * time.Millisecond)
		}
	}()
	return p
}

func (p *normal) once() error {
	p.n++
	id := fmt.Sprintf("%s-%d", p.id, p.n)
	w := &witness{steps: map[string][]step{}}
	once := make(chan struct{})
	err := w.converse(p.s, "normal", once, func(c *mailclient.Conn, _ string) error {
		close(once)
		return deliver(c, []string{"bob"}, withID(id, []byte("hello\r\n")))
	})
	if err != nil {
		return err
	}
	p.sent[id] = true
	c, err := login(p.s, "bob")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.IMAP(false, nil, "FETCH * (UID FLAGS BODY.PEEK[HEADER])")
	return err
}

// finish ends it, and says how long it had to wait: 99 of 100 times at most.
func (p *normal) finish(t *testing.T, bound time.Duration) time.Duration {
	t.Helper()
	close(p.stop)
	<-p.done
	if p.err != nil {
		t.Errorf("a normal client was not served: %v", p.err)
	}
	slices.Sort(p.took)
	p99 := p.took[len(p.took)*99/100]
	if p99 > bound {
		t.Errorf("of %d normal clients, one in a hundred waited over %v", len(p.took), p99)
	}
	return p99.Round(time.Millisecond)
}

// kept checks that all its messages are there.
func (p *normal) kept(t *testing.T) {
	t.Helper()
	there := 0
	for _, m := range p.s.messages("bob", "INBOX") {
		if id := idField.FindSubmatch(m); id != nil && p.sent[string(bytes.TrimSpace(id[1]))] {
			there++
		}
	}
	if there != len(p.sent) {
		t.Errorf("%d messages are there of %d acknowledged", there, len(p.sent))
	}
}

var resident = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// memory is how many MiB the server had resident at most.
func (s *server) memory() int {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	kib, err := strconv.Atoi(resident.FindStringSubmatch(string(b))[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return kib >> 10
}

// descriptors is how many the server has open.
func (s *server) descriptors() int {
	s.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}

// crowd is many connections.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
}

// gather opens n connections, some at a time, and greets on each.
func (c *crowd) gather(t *testing.T, n int, dial func() (net.Conn, error), greet func(net.Conn, *bufio.Reader) error) {
	t.Helper()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 50 {
		wg.Go(func() {
			for range n / 50 {
				conn, err := dial()
				if err == nil {
					err = greet(conn, bufio.NewReaderSize(conn, 512))
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				c.mu.Lock()
				c.conns = append(c.conns, conn)
				c.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// trickle does one little thing a second on each connection until it breaks or
// stop. A reader may have much to read after the server has closed.
func (c *crowd) trickle(stop <-chan struct{}, little func(net.Conn) error) {
	for _, conn := range c.conns {
		go func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if little(conn) != nil {
					_ = conn.Close()
					return
				}
			}
		}()
	}
}

// says sends lines and waits for an answer with what is wanted after each.
func says(conn net.Conn, r *bufio.Reader, talk ...string) error {
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	for i := 0; i < len(talk); i += 2 {
		if talk[i] != "" {
			if _, err := io.WriteString(conn, talk[i]+"\r\n"); err != nil {
				return err
			}
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("after %q: %w", talk[i], err)
			}
			if strings.HasPrefix(line, talk[i+1]) {
				break
			}
		}
	}
	return conn.SetDeadline(time.Time{})
}

func dialer(s *server, port int) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", s.address(port), 30*time.Second) }
}

var imapLogin = []string{"", "* OK", "a LOGIN alice@yubin.test " + password, "a OK", "b SELECT INBOX", "b OK"}

// TestSlowCrowd: 2,000 clients that ask for a large message and read an octet a
// second, 2,000 that send an octet of a command a second, and 2,000 that send
// one of a message. Others are served meanwhile, memory is bounded, and in the
// long form the first two kinds are shown out after the five minutes that a
// write and a line may take.
func TestSlowCrowd(t *testing.T) {
	each := choose(2000, 100)
	s := startServer(t)
	large := withID("large", bytes.Repeat([]byte("a line of a large message that is read ever so slowly\r\n"), 80<<10))
	c := s.smtp()
	if err := deliver(c, []string{"alice"}, large); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	var readers, lines, writers crowd
	defer func() { readers.close(); lines.close(); writers.close() }()
	readers.gather(t, each, func() (net.Conn, error) {
		conn, err := dialer(s, portIMAP)()
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4096)
		}
		return conn, err
	}, func(conn net.Conn, r *bufio.Reader) error {
		return says(conn, r, append(imapLogin, "c FETCH 1 BODY.PEEK[]", "* 1 FETCH")...)
	})
	lines.gather(t, each, dialer(s, portMX), func(conn net.Conn, r *bufio.Reader) error { return says(conn, r, "", "220") })
	writers.gather(t, each, dialer(s, portMX), func(conn net.Conn, r *bufio.Reader) error {
		return says(conn, r, "", "220", "EHLO slow.test", "250 ", "MAIL FROM:<>", "250", "RCPT TO:<bob@yubin.test>", "250", "DATA", "354")
	})
	began := time.Now()
	stop := make(chan struct{})
	readers.trickle(stop, func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err })
	lines.trickle(stop, func(c net.Conn) error { _, err := c.Write([]byte("x")); return err })
	writers.trickle(stop, func(c net.Conn) error { _, err := c.Write([]byte("y")); return err })
	p := startNormal(s, "slow")
	<-time.After(choose(time.Minute, 3*time.Second))
	if n := s.descriptors(); n < 3*each {
		t.Errorf("only %d descriptors are open after %v", n, time.Since(began).Round(time.Second))
	}
	if long() {
		within(t, 8*time.Minute, "slow readers and slow lines are shown out", func() bool { return s.descriptors() < each+100 })
	}
	left := s.descriptors()
	took := time.Since(began).Round(time.Second)
	p99 := p.finish(t, 2*time.Second)
	close(stop)
	p.kept(t)
	s.check()
	if m, most := s.memory(), 250+each/5; m > most {
		t.Errorf("the server took %d MiB, more than %d", m, most)
	}
	most := s.memory()
	s.kill() // A stop would give the slow their time to finish.
	t.Logf("ledger: slow crowd: %d slow readers, %d slow lines, %d slow messages for %v, %d descriptors open then; "+
		"normal clients served %d times, p99 %v; %d MiB at most; all kept",
		each, each, each, took, left, len(p.took), p99, most)
}

// TestTenThousandConnections: half idle in IMAP, half in SMTP, and all answer in the end.
func TestTenThousandConnections(t *testing.T) {
	each := choose(5000, 250)
	s := startServer(t)
	before := s.descriptors()
	var idle, waiting crowd
	idle.gather(t, each, dialer(s, portIMAP), func(c net.Conn, r *bufio.Reader) error {
		return says(c, r, append(imapLogin, "c IDLE", "+")...)
	})
	waiting.gather(t, each, dialer(s, portMX), func(c net.Conn, r *bufio.Reader) error {
		return says(c, r, "", "220", "EHLO many.test", "250 ")
	})
	open := s.descriptors()
	if open < 2*each {
		t.Errorf("only %d descriptors are open", open)
	}
	p := startNormal(s, "many")
	<-time.After(choose(time.Minute, time.Second))
	p99 := p.finish(t, 2*time.Second)
	for _, c := range waiting.conns {
		if err := says(c, bufio.NewReader(c), "NOOP", "250"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range idle.conns {
		if err := says(c, bufio.NewReader(c), "DONE", "c OK"); err != nil {
			t.Fatal(err)
		}
	}
	idle.close()
	waiting.close()
	within(t, 30*time.Second, "the descriptors are given back", func() bool { return s.descriptors() < before+100 })
	p.kept(t)
	s.check()
	t.Logf("ledger: %d connections: normal clients served %d times, p99 %v; %d MiB at most; all kept", len(idle.conns)+len(waiting.conns), len(p.took), p99, s.memory())
}
