package webd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// lines keeps what was logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// site is a web listener with something of everything.
type site struct {
	*Server
	log  *lines
	cert certstest.Cert
	tls  *tls.Config
	ends context.Context
	end  context.CancelFunc

	mu   sync.Mutex
	told []Request
	open chan struct{} // "/slow" answers when it is closed
}

func ours(_ context.Context, host mail.Domain) bool {
	return slices.Contains([]mail.Domain{"mail.example.org", "example.org", "mta-sts.example.org", "mta-sts.none.example", "mta-sts.down.example"}, host)
}

type policies struct{}

func (policies) Policy(_ context.Context, d mail.Domain) (mtasts.Policy, error) {
	switch d {
	case "example.org":
		return mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mail.example.org"}, MaxAge: 7 * 24 * time.Hour}, nil
	case "none.example":
		return mtasts.Policy{}, mail.Errorf(mail.NotFound, "no policy")
	}
	return mtasts.Policy{}, errors.New("sql: the database is down")
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func newSite(t *testing.T) *site {
	s := &site{log: &lines{}, cert: certstest.New("mail.example.org", "example.org"), open: make(chan struct{})}
	s.tls = s.cert.Server()
	s.tls.NextProtos = []string{"h2", "http/1.1"}
	s.ends, s.end = context.WithCancel(context.Background())
	t.Cleanup(s.end)
	local := func(_ context.Context, d mail.Domain) bool { return d != "elsewhere.example" }
	s.Server = New(Config{
		Ours: ours, HTTPS: 443, HSTS: true, Now: time.Now, Log: obs.NewLogger(s.log, obs.LogOptions{Format: obs.FormatText, Terminal: true, NoTime: true, Level: slog.LevelInfo}),
		Observe: func(r Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, r)
		},
		Mounts: []Mount{
			{Name: "root", Path: "/", Handler: text("root\n")},
			{Name: "page", Path: "/page", Handler: text("page\n")},
			{Name: "fold", Path: "/Auto/Discover.xml", Fold: true, Handler: text("folded\n")},
			{Name: "host", Path: "/only", Hosts: func(_ context.Context, d mail.Domain) bool { return d == "example.org" }, Handler: text("only\n")},
			{Name: "files", Path: "/files/", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path) })},
			{Name: "acme", Path: "/.well-known/acme-challenge/", Plain: true, Any: true, Handler: text("token\n")},
			{Name: "take", Path: "/take", Methods: []string{"POST"}, MaxBody: 10, Plain: true, Handler: http.HandlerFunc(take)},
			{Name: "panic", Path: "/panic", Plain: true, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("asked for") })},
			{Name: "slow", Path: "/slow", Plain: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-s.open:
					_, _ = io.WriteString(w, "at last\n")
				case <-r.Context().Done():
				}
			})},
			PolicyMount(policies{}, local),
		},
	})
	return s
}

// take repeats a body.
func take(w http.ResponseWriter, r *http.Request) {
	octets, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
		return
	}
	_, _ = w.Write(octets)
}

// serve is one connection without netx.Server.
func (s *site) serve(raw net.Conn, secure bool) {
	c := netx.NewConn(raw, 5*time.Minute, 0)
	defer func() { _ = c.Close() }()
	if secure && c.Handshake(s.tls, time.Minute) != nil {
		return
	}
	s.Serve(s.ends, c, "web")
}

func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.txt", func(t *testing.T, f *transcript.File) transcript.Server {
		s := newSite(t)
		secure := f.Setting("tls", "no") == "yes"
		return transcript.Server{
			Serve: func(raw net.Conn) { s.serve(raw, secure) },
			Do: func(name, _ string) (string, error) {
				switch name {
				case "open":
					close(s.open)
				case "log":
					return s.log.String(), nil
				}
				return "", nil
			},
		}
	})
}

// host runs a site on a netx.Server in memory.
type host struct {
	*site
	net    *netx.Server
	ln     *memnet.Listener
	served chan error
}

func (s *site) listen(l netx.Listener) *host {
	h := &host{site: s, ln: memnet.Listen(netip.AddrPort{}), served: make(chan error, 1)}
	l.Mode, l.TLS, l.ReadTimeout = netx.ImplicitTLS, s.tls, 5*time.Minute
	h.net = netx.NewServer(l, func(ctx context.Context, c *netx.Conn) { s.Serve(ctx, c, "https") }, slog.New(slog.DiscardHandler))
	h.net.Use(h.ln)
	go func() { h.served <- h.net.Serve(s.ends) }()
	return h
}

// client is one of HTTP/2, or 1.1, at an address.
func (h *host) client(from string, two bool) *http.Client {
	protos := []string{"http/1.1"}
	if two {
		protos = []string{"h2"}
	}
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: two,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			raw, err := h.ln.Dial(ctx, netip.MustParseAddrPort(from))
			if err != nil {
				return nil, err
			}
			cfg := h.cert.Client("mail.example.org", 0)
			cfg.NextProtos = protos
			c := tls.Client(raw, cfg)
			return c, c.HandshakeContext(ctx)
		},
	}}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	octets, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(octets)
}

// TestVersions: both versions of HTTP, with the fields that every answer has.
func TestVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSite(t).listen(netx.Listener{})
		for _, two := range []bool{false, true} {
			c := h.client("192.0.2.1:1000", two)
			r, body := get(t, c, "https://mail.example.org/page")
			if r.StatusCode != 200 || body != "page\n" || (r.ProtoMajor == 2) != two {
				t.Errorf("%s: %s %q", r.Proto, r.Status, body)
			}
			for name, want := range map[string]string{
				"Strict-Transport-Security": "max-age=31536000",
				"Content-Security-Policy":   "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":    "nosniff",
				"X-Frame-Options":           "DENY",
				"Referrer-Policy":           "no-referrer",
				"Cache-Control":             "no-store",
				"Server":                    "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", r.Proto, name, got, want)
				}
			}
			if r, body := get(t, c, "https://other.example/page"); r.StatusCode != 421 || body != "421 Misdirected Request\n" {
				t.Errorf("%s: a name that is not ours: %s %q", r.Proto, r.Status, body)
			}
			c.CloseIdleConnections()
		}
		h.end()
		if err := <-h.served; err != nil {
			t.Error(err)
		}
	})
}

// TestStreams: one connection of HTTP/2 has no more requests at once than it may, and one
// address not more than that in all its connections.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSite(t).listen(netx.Listener{})
		var g sync.WaitGroup
		var mu sync.Mutex
		answers := map[int]int{}
		ask := func(c *http.Client) {
			g.Go(func() {
				r, err := c.Get("https://mail.example.org/slow")
				if err != nil {
					t.Error(err)
					return
				}
				_ = r.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				answers[r.StatusCode]++
			})
		}
		clients := make([]*http.Client, 10)
		for i := range clients {
			clients[i] = h.client(fmt.Sprintf("192.0.2.1:%d", 1000+i), true)
			get(t, clients[i], "https://mail.example.org/page") // One connection each.
			for range MaxStreams {
				ask(clients[i])
			}
			synctest.Wait()
		}
		if n := h.net.Stats().Open; n != 10 {
			t.Errorf("%d connections, want 10", n)
		}
		if answers[429] != 10*MaxStreams-MaxPerAddress {
			t.Errorf("answers are %v, want %d of 429", answers, 10*MaxStreams-MaxPerAddress)
		}
		other := h.client("198.51.100.1:1", true)
		if r, _ := get(t, other, "https://mail.example.org/page"); r.StatusCode != 200 {
			t.Errorf("another address: %s", r.Status)
		}
		close(h.open)
		g.Wait()
		synctest.Wait()
		if answers[200] != MaxPerAddress {
			t.Errorf("answers are %v, want %d of 200", answers, MaxPerAddress)
		}
		if n := len(h.crowd.at); n != 0 {
			t.Errorf("%d addresses are still counted", n)
		}
		for _, c := range append(clients, other) {
			c.CloseIdleConnections()
		}
		h.end()
		if err := <-h.served; err != nil {
			t.Error(err)
		}
	})
}

// TestMemory: a request for which there is no memory hears so, and another later is served.
func TestMemory(t *testing.T) {
	for _, two := range []bool{false, true} {
		testMemory(t, two)
	}
}

func testMemory(t *testing.T, two bool) {
	synctest.Test(t, func(t *testing.T) {
		memory := int64(200 << 10)
		if two {
			memory += twoMemory
		}
		budget := heap.NewBudget(memory)
		h := newSite(t).listen(netx.Listener{Budget: budget})
		c := h.client("192.0.2.1:1000", two)
		get(t, c, "https://mail.example.org/page")
		held := budget.Stats().Held
		var hog heap.Share
		hog.Init(budget, holder{})
		if err := hog.Take(int(memory-held) - requestMemory/2); err != nil {
			t.Fatal(err)
		}
		switch r, err := c.Get("https://mail.example.org/page"); {
		case two && err == nil:
			t.Errorf("without memory: %s", r.Status)
		case !two && (err != nil || r.StatusCode != 503 || r.Header.Get("Retry-After") == ""):
			t.Errorf("without memory: %v, %v", r, err)
		case !two:
			_ = r.Body.Close()
		}
		hog.Close()
		if r, _ := get(t, c, "https://mail.example.org/page"); r.StatusCode != 200 {
			t.Errorf("with memory: %s", r.Status)
		}
		c.CloseIdleConnections()
		h.end()
		<-h.served
		if held := budget.Stats().Held; held != 0 {
			t.Errorf("%d octets are held when all are gone", held)
		}
	})
}

// TestWindow: what a client of HTTP/2 asks for and does not take is held, and counts, until it
// goes; when the memory ends, streams do.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := heap.NewBudget(connMemory + twoMemory + 5*requestMemory)
		h := newSite(t).listen(netx.Listener{Budget: budget})
		raw, err := h.client("192.0.2.1:1000", true).Transport.(*http.Transport).DialTLSContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(raw, http2.ClientPreface)
		f := http2.NewFramer(raw, raw)
		if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
			t.Fatal(err)
		}
		var fields bytes.Buffer
		e := hpack.NewEncoder(&fields)
		for _, one := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "mail.example.org"}, {":path", "/page"}} {
			_ = e.WriteField(hpack.HeaderField{Name: one[0], Value: one[1]})
		}
		var ended atomic.Int64
		go func() {
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if _, is := frame.(*http2.RSTStreamFrame); is {
					ended.Add(1)
				}
			}
		}()
		for n := range uint32(MaxStreams) {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: fields.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if held, n := budget.Stats().Held, ended.Load(); held < twoMemory+3*requestMemory || n < MaxStreams-5 {
			t.Errorf("%d octets are held, %d streams ended", held, n)
		}
		_ = raw.Close()
		h.end()
		<-h.served
		if held := budget.Stats().Held; held != 0 {
			t.Errorf("%d octets are held when all are gone", held)
		}
	})
}

// holder is somebody else with memory, who holds less than one connection by the count of parties.
type holder struct{}

func (holder) Party() heap.Party { return heap.Party{Account: 1} }
func (holder) Yield()            {}

// TestShutdown: what has begun is finished, who waits is let go at once, and nothing is left.
func TestShutdown(t *testing.T) {
	for _, two := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newSite(t).listen(netx.Listener{})
			idle, busy := h.client("192.0.2.1:1000", two), h.client("192.0.2.2:1000", two)
			get(t, idle, "https://mail.example.org/page")
			answer := make(chan string)
			go func() {
				r, err := busy.Get("https://mail.example.org/slow")
				if err != nil {
					answer <- err.Error()
					return
				}
				octets, _ := io.ReadAll(r.Body)
				_ = r.Body.Close()
				answer <- string(octets)
			}()
			synctest.Wait()
			h.end()
			synctest.Wait()
			if n := h.net.Stats().Open; n != 1 {
				t.Errorf("%d connections are open after the end, want the busy one", n)
			}
			close(h.open)
			if got := <-answer; got != "at last\n" {
				t.Errorf("who was served hears %q", got)
			}
			begun := time.Now()
			if err := <-h.served; err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > time.Second {
				t.Errorf("the end took %v after the last answer", took)
			}
		})
	}
}

// TestDismissed: a connection that is shown out ends, and so does what it asked for.
func TestDismissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := netx.NewConn(theirs, time.Minute, 0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Serve(s.ends, c, "web")
		}()
		_, _ = io.WriteString(ours, "GET /slow HTTP/1.1\r\nHost: mail.example.org\r\n\r\n")
		synctest.Wait()
		c.Dismiss(mail.Errorf(mail.Unavailable, "make room"))
		<-done
		if _, err := io.ReadAll(ours); err != nil {
			t.Errorf("the client reads %v", err)
		}
	})
}

// TestMakesRoom: who has asked for nothing yet, or waits between requests, gives its place
// to who comes when there are no others.
func TestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSite(t).listen(netx.Listener{Slots: netx.NewSlots(netx.Limits{Total: 8})})
		idle := make([]*http.Client, 7)
		for i := range idle {
			idle[i] = h.client("192.0.2.1:1000", false)
			get(t, idle[i], "https://mail.example.org/page")
		}
		time.Sleep(2 * time.Second)
		comer := h.client("198.51.100.7:1000", false)
		if r, _ := get(t, comer, "https://mail.example.org/page"); r.StatusCode != 200 {
			t.Errorf("who comes: %s", r.Status)
		}
		for _, c := range append(idle, comer) {
			c.CloseIdleConnections()
		}
		h.end()
		<-h.served
	})
}

// TestObserved: metrics and log hear of every request once.
func TestObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newSite(t).listen(netx.Listener{})
		c := h.client("192.0.2.1:1000", true)
		get(t, c, "https://mail.example.org/page?secret=1")
		get(t, c, "https://mail.example.org/none")
		if r, _ := get(t, c, "https://mail.example.org/panic"); r.StatusCode != 500 {
			t.Errorf("a panic is answered with %s", r.Status)
		}
		c.CloseIdleConnections()
		h.end()
		<-h.served
		if len(h.told) != 3 || h.told[0].Mount != "page" || h.told[0].Status != 200 || h.told[1].Status != 404 || h.told[2].Status != 500 {
			t.Errorf("told of %+v", h.told)
		}
		log := h.log.String()
		for _, want := range []string{
			"msg=request proto=http listen=https remote=192.0.2.1:1000 tls=TLS1.3 command=GET status=200 out=5",
			"mount=page host=mail.example.org path=/page",
			"status=404", "panic in a request",
		} {
			if !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
		if strings.Contains(log, "secret") {
			t.Errorf("a query is in the log:\n%s", log)
		}
	})
}
