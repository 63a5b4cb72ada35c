package dbtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Cut says when a Proxy cuts a connection.
type Cut int

// A Proxy cuts once; then it lets through until it is told again.
const (
	Never        Cut = iota
	BeforeCommit     // the server never hears of the COMMIT
	InCommit         // the server may hear of it before the connection ends
	AfterCommit      // the server has committed, and the client does not hear of it
)

// Proxy stands between a test and its PostgreSQL server and makes bad weather: it
// delays, cuts, refuses and falls silent. It reads as much of the protocol as it
// needs to know a COMMIT. Safe for concurrent use.
type Proxy struct {
	delay    atomic.Int64 // each way
	cut      atomic.Int64 // a Cut
	refuses  atomic.Bool
	attempts atomic.Int64
	commits  atomic.Int64

	t        testing.TB
	listener net.Listener
	to       [2]string // network and address of the server
	wg       sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	silence  chan struct{} // nil, or closed when it ends
	closed   bool
}

// NewProxy begins a proxy to the server of URL, which ends with the test.
func NewProxy(t testing.TB) *Proxy {
	t.Helper()
	u, err := url.Parse(URL())
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, open: map[net.Conn]bool{}, to: [2]string{"tcp", u.Host}}
	if host := u.Query().Get("host"); host != "" {
		p.to = [2]string{"unix", filepath.Join(host, ".s.PGSQL.5432")}
	} else if u.Port() == "" {
		p.to[1] = net.JoinHostPort(u.Hostname(), "5432")
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.Silence(false)
		_ = p.listener.Close()
		p.CutAll()
		p.wg.Wait()
	})
	return p
}

// URL is of the database by way of the proxy.
func (p *Proxy) URL() string {
	u, err := url.Parse(URL())
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	q.Del("host")
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	u.Host = "127.0.0.1:" + strconv.Itoa(p.listener.Addr().(*net.TCPAddr).Port)
	return u.String()
}

// Delay holds back everything for so long, each way.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// CutNext cuts the next connection that commits, as c says.
func (p *Proxy) CutNext(c Cut) { p.cut.Store(int64(c)) }

// Refuse closes new connections at once, or no longer does.
func (p *Proxy) Refuse(yes bool) { p.refuses.Store(yes) }

// Silence lets nothing through any more, and cuts nothing either; or it lets
// through what was held back.
func (p *Proxy) Silence(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silence != nil {
		close(p.silence)
	}
	p.silence = nil
	if yes {
		p.silence = make(chan struct{})
	}
}

// CutAll cuts all connections that are open.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

// Attempts counts the connections that clients have tried to make.
func (p *Proxy) Attempts() int64 { return p.attempts.Load() }

// Commits counts the COMMITs that clients sent.
func (p *Proxy) Commits() int64 { return p.commits.Load() }

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.attempts.Add(1)
		if p.refuses.Load() || !p.holds(client) {
			_ = client.Close()
			continue
		}
		p.wg.Go(func() {
			defer p.drops(client)
			server, err := net.DialTimeout(p.to[0], p.to[1], 5*time.Second)
			if err != nil {
				return
			}
			if !p.holds(server) {
				_ = server.Close()
				return
			}
			defer p.drops(server)
			c := &crossing{p: p, client: client, server: server, commits: map[string]bool{}}
			c.run()
		})
	}
}

func (p *Proxy) holds(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.closed
}

func (p *Proxy) drops(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close()
}

// crossing is one connection through a proxy.
type crossing struct {
	p              *Proxy
	client, server net.Conn
	commits        map[string]bool // names of statements that are COMMIT
	swallows       atomic.Bool     // the answer to a COMMIT is awaited, and not passed on
}

// piece is what is under way, and when it came.
type piece struct {
	octets []byte
	at     time.Time
	last   chan struct{} // closed when it has arrived, and nothing comes after it; or nil
}

// underway is how many pieces are under way before the sender has to wait.
const underway = 1 << 10

func (c *crossing) run() {
	up, down := make(chan piece, underway), make(chan piece, underway)
	var wg sync.WaitGroup
	ends := func(fn func()) {
		wg.Go(func() {
			fn()
			_ = c.client.Close()
			_ = c.server.Close()
		})
	}
	ends(func() { c.upstream(up) })
	ends(func() { defer close(down); c.downstream(down) })
	wg.Go(func() { c.carry(up, c.server) })
	wg.Go(func() { c.carry(down, c.client) })
	wg.Wait()
}

// carry lets pieces arrive when it is time, in their order. What is due arrives
// together.
func (c *crossing) carry(pieces chan piece, to net.Conn) {
	var out []byte
	var early *piece // the first that is not due
	for {
		if early == nil {
			next, ok := <-pieces
			if !ok {
				return
			}
			early = &next
		}
		delay := time.Duration(c.p.delay.Load())
		if wait := time.Until(early.at.Add(delay)); wait > 0 {
			<-time.After(wait)
		}
		if silence := c.p.silent(); silence != nil {
			<-silence
		}
		out = out[:0]
		for due := true; due; {
			out = append(out, early.octets...)
			if early.last != nil {
				defer close(early.last) // The channel is closed behind it: this returns.
			}
			early = nil
			select {
			case next, ok := <-pieces:
				if ok {
					early = &next
				}
				due = ok && time.Since(next.at) >= delay
			default:
				due = false
			}
		}
		_, _ = to.Write(out) // Who reads finds out that it is closed.
	}
}

// upstream reads what the client says, message by message.
func (c *crossing) upstream(up chan piece) {
	arrived := make(chan struct{})
	closed := false
	defer func() {
		if !closed {
			close(up)
		}
	}()
	in := bufio.NewReaderSize(c.client, 64<<10)
	head := 4 // The first message has no kind.
	for {
		begin, err := in.Peek(head)
		if err != nil {
			return
		}
		n := head - 4 + int(binary.BigEndian.Uint32(begin[head-4:]))
		m := make([]byte, n)
		if _, err := io.ReadFull(in, m); err != nil {
			return
		}
		cut := Never
		if head == 5 && c.isCommit(m) {
			c.p.commits.Add(1)
			cut = Cut(c.p.cut.Swap(int64(Never)))
		}
		head = 5
		switch cut {
		case BeforeCommit:
			return
		case AfterCommit:
			c.swallows.Store(true)
		case InCommit: // What follows it is already here, or on its way.
			rest, _ := in.Peek(in.Buffered())
			up <- piece{append(m, rest...), time.Now(), arrived}
			close(up)
			closed = true
			<-arrived
			return
		}
		up <- piece{m, time.Now(), nil}
	}
}

// isCommit reports whether a message executes a COMMIT.
func (c *crossing) isCommit(m []byte) bool {
	words := bytes.SplitN(m[5:], []byte{0}, 3)
	if len(words) < 3 {
		return false
	}
	switch m[0] {
	case 'P': // Parse: name, text
		if string(words[1]) == "COMMIT" {
			c.commits[string(words[0])] = true
		}
	case 'B': // Bind: portal, name
		return c.commits[string(words[1])]
	}
	return false
}

// downstream reads what the server says, as it comes.
func (c *crossing) downstream(down chan piece) {
	var unsaid []byte
	for {
		m := make([]byte, 16<<10)
		n, err := c.server.Read(m)
		if err != nil {
			return
		}
		if !c.swallows.Load() {
			down <- piece{m[:n], time.Now(), nil}
		} else if unsaid = append(unsaid, m[:n]...); bytes.Contains(unsaid, []byte("COMMIT\x00Z")) {
			return
		}
	}
}

func (p *Proxy) silent() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silence
}
