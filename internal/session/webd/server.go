// Package webd is the web listener: one HTTP server (RFC 9110, 9112, 9113) over the
// connections of netx, with mounts of others on it. It knows hosts, paths, methods and
// limits, and nothing of what is served.
//
//	s := webd.New(webd.Config{Mounts: mounts, Ours: isOurs, ...})
//	netx.NewServer(l, func(ctx context.Context, c *netx.Conn) { s.Serve(ctx, c, "https") }, log)
//
// Who asks for a name that is not ours hears 421, or 404 without TLS, and nothing else.
// Without TLS everything leads to https, except mounts that say Plain. There are no lists
// of folders, no guessed paths and no answers to methods that a mount does not name.
//
// A connection counts in netx.Slots with those of mail, and what its requests hold in
// memory comes out of its heap.Share. It is not hijacked by anybody.
package webd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Limits of a client.
const (
	MaxHeader     = 8 << 10 // octets of a request's line and fields, about: net/http allows 4 KiB more
	MaxTarget     = 2 << 10 // octets of a path with its query
	MaxStreams    = 8       // requests at once in one connection of HTTP/2
	MaxPerAddress = 64      // requests at once of one address, or IPv6 /64; loopback is not counted

	headerTimeout = 10 * time.Second // for a request's fields to be there
	readTimeout   = 30 * time.Second // for all of a request
	writeTimeout  = time.Minute      // for the answer
	idleTimeout   = time.Minute      // between requests
	pingTimeout   = 15 * time.Second // for a client of HTTP/2 to show that it is there
)

// What is held in memory, in octets, about.
const (
	connMemory    = 24 << 10              // of a connection, beyond TLS: buffers, and tables of HTTP/2
	twoMemory     = MaxStreams * 48 << 10 // of one of HTTP/2, beyond that: requests whose fields are too many, which net/http answers by itself
	requestMemory = 6*MaxHeader + 32<<10  // of a request, beyond its body: a short field takes six times its octets
)

// Limits of HTTP/2. The windows are the least that the protocol and net/http have.
const (
	frameSize  = 16 << 10
	window     = 64 << 10
	tableSize  = 4 << 10
	retryAfter = 10 // seconds, of answers that there is no room
)

// Config is what a Server is made of.
type Config struct {
	Mounts []Mount
	Ours   func(context.Context, mail.Domain) bool // names that lead here
	HTTPS  uint16                                  // the port of https; 0 if there is none
	// HSTS has browsers come back by https only (RFC 6797).
	HSTS    bool
	Observe func(Request) // hears of each request; nil for nobody
	Log     *slog.Logger
	Now     func() time.Time
}

// Request is what became of a request.
type Request struct {
	Mount  string // "" if it led to none
	Status int
	Took   time.Duration
}

// Server serves mounts. Safe for concurrent use.
type Server struct {
	c      Config
	mounts []Mount
	http   *http.Server
	crowd  crowd
}

// New returns a server; it does nothing by itself.
func New(c Config) *Server {
	s := &Server{c: c, mounts: sorted(c.Mounts), crowd: crowd{at: map[netip.Prefix]int{}}}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	s.http = &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               MaxHeader,
		DisableGeneralOptionsHandler: true,
		ConnState:                    rest,
		BaseContext:                  func(l net.Listener) context.Context { return l.(*single).ctx },
		ErrorLog:                     slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // It is what strangers do.
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: MaxStreams, MaxReadFrameSize: frameSize,
			MaxReceiveBufferPerConnection: window, MaxReceiveBufferPerStream: window,
			MaxDecoderHeaderTableSize: tableSize, MaxEncoderHeaderTableSize: tableSize,
			SendPingTimeout: idleTimeout, PingTimeout: pingTimeout, WriteByteTimeout: pingTimeout,
		},
	}
	return s
}

// Refusal is what a connection without TLS hears that is over the limits.
func Refusal(why netx.Refusal) string {
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: %d\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\n",
		retryAfter, len(why.String())+1, why)
}

// visit is one connection.
type visit struct {
	conn   *netx.Conn
	listen string
	ending <-chan struct{} // it takes no more requests
}

type visitKey struct{}

// single is a net.Listener of one connection: http.Server has no other way to be given one.
type single struct {
	ctx  context.Context
	conn net.Conn
}

// Accept returns the connection the first time.
func (l *single) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

// Close does nothing: the connection is not the listener's.
func (l *single) Close() error { return nil }

// Addr is of no use here.
func (l *single) Addr() net.Addr { return nil }

// Serve serves one connection to its end. When ctx is done requests that have begun are
// finished, unless the connection is shown out.
func (s *Server) Serve(ctx context.Context, c *netx.Conn, listen string) {
	holds := connMemory
	if state, is := c.TLS(); is && state.NegotiatedProtocol == "h2" {
		holds += twoMemory
	}
	if c.Share().Take(holds) != nil {
		return
	}
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		if why := netx.ShownOut(ctx); why != nil {
			cancel(why)
		}
	})()
	l := &single{context.WithValue(base, visitKey{}, &visit{c, listen, ctx.Done()}), c.Hand()}
	_ = s.http.Serve(l) // It takes the connection and finds no other.
	<-c.Gone()
}

// rest tells a connection whether its client is waited for.
func rest(c net.Conn, state http.ConnState) {
	if n := netx.Of(c); n != nil && (state == http.StateIdle || state == http.StateActive) {
		n.Rests(state == http.StateIdle)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	if !v.conn.Enter() {
		return
	}
	defer v.conn.Leave()
	begun := s.c.Now()
	a := &answer{ResponseWriter: w}
	var t target
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			s.c.Log.Error("panic in a request; only that was ended", obs.KeyListen, v.listen, obs.KeyErr, fmt.Sprint(p), "stack", string(debug.Stack()))
			if a.status == 0 {
				a.refuse(http.StatusInternalServerError)
				p = nil
			}
		}
		s.tell(v, r, t, a, s.c.Now().Sub(begun))
		if p != nil { // The answer has begun, and must not look whole.
			panic(http.ErrAbortHandler)
		}
	}()
	s.head(a.Header(), r)
	select {
	case <-v.ending:
		a.Header().Set("Connection", "close")
	default:
	}
	if v.conn.Share().Take(requestMemory) != nil {
		a.full(r)
		return
	}
	defer v.conn.Share().Give(requestMemory)
	switch from := v.conn.Remote().Addr(); {
	case len(r.RequestURI) > MaxTarget:
		a.refuse(http.StatusRequestURITooLong)
	case !s.crowd.enter(from):
		a.later(http.StatusTooManyRequests)
	default:
		defer s.crowd.leave(from)
		t = s.find(r)
		s.serve(v, a, r, t)
	}
	if r.ProtoMajor > 1 { // What the client's window has no room for is held until it goes: it counts as long.
		_ = http.NewResponseController(a).Flush()
	}
}

// serve answers what was found.
func (s *Server) serve(v *visit, a *answer, r *http.Request, t target) {
	switch {
	case t.status == http.StatusMovedPermanently:
		http.Redirect(a, r, s.elsewhere(t.host, r), t.status)
		return
	case t.status == http.StatusMethodNotAllowed:
		for _, m := range t.mount.methods() {
			a.Header().Add("Allow", m)
		}
		a.refuse(t.status)
		return
	case t.mount == nil:
		a.refuse(t.status)
		return
	case r.ContentLength > t.mount.MaxBody, r.ContentLength < 0 && t.mount.MaxBody == 0:
		// Nothing of it is waited for.
		_ = http.NewResponseController(a).SetReadDeadline(s.c.Now())
		a.Header().Set("Connection", "close")
		a.refuse(http.StatusRequestEntityTooLarge)
		return
	}
	holds := int(t.mount.MaxBody)
	if v.conn.Share().Take(holds) != nil {
		a.later(http.StatusServiceUnavailable)
		return
	}
	defer v.conn.Share().Give(holds)
	r.Body = http.MaxBytesReader(a.ResponseWriter, r.Body, t.mount.MaxBody)
	t.mount.Handler.ServeHTTP(a, r)
}

// head sets the fields that every answer has; a mount may set others.
func (s *Server) head(h http.Header, r *http.Request) {
	if r.TLS != nil && s.c.HSTS {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// elsewhere is where https has what r asks for.
func (s *Server) elsewhere(host mail.Domain, r *http.Request) string {
	to := *r.URL
	to.Scheme, to.Host, to.User = "https", string(host), nil
	if s.c.HTTPS != 443 {
		to.Host = net.JoinHostPort(string(host), strconv.Itoa(int(s.c.HTTPS)))
	}
	return to.String()
}

// maxShown is how much of a path is told in the log.
const maxShown = 200

// tell writes the line of a request.
func (s *Server) tell(v *visit, r *http.Request, t target, a *answer, took time.Duration) {
	one := Request{Status: a.status, Took: took}
	if t.mount != nil {
		one.Mount = t.mount.Name
	}
	if one.Status == 0 {
		one.Status = http.StatusOK
	}
	if s.c.Observe != nil {
		s.c.Observe(one)
	}
	version := ""
	if r.TLS != nil {
		version = obs.TLS(r.TLS.Version)
	}
	s.c.Log.Info("request", obs.KeyProto, "http", obs.KeyListen, v.listen, obs.Remote(v.conn.Remote(), false), obs.KeyTLS, version,
		obs.KeyCommand, shown(r.Method), obs.KeyStatus, one.Status, obs.KeyOut, a.octets, obs.KeyTook, took,
		obs.KeyMount, one.Mount, obs.KeyHost, shown(r.Host), obs.KeyPath, shown(r.URL.Path))
}

func shown(s string) string { return s[:min(len(s), maxShown)] }

// answer is an http.ResponseWriter that knows what was answered.
type answer struct {
	http.ResponseWriter
	status int
	octets int64
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts the octets.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.octets += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// refuse answers with the words of a status and nothing else.
func (a *answer) refuse(status int) {
	if a.status != 0 {
		return
	}
	a.Header().Set("Content-Type", "text/plain; charset=utf-8")
	a.WriteHeader(status)
	_, _ = fmt.Fprintf(a, "%d %s\n", status, http.StatusText(status))
}

// full answers a request for which there is no memory. In HTTP/2 that is the end of its stream: a client that takes no
// octets would have us hold the words of a refusal, and of as many as it has streams.
func (a *answer) full(r *http.Request) {
	if a.status = http.StatusServiceUnavailable; r.ProtoMajor > 1 {
		panic(http.ErrAbortHandler)
	}
	a.status = 0
	a.later(http.StatusServiceUnavailable)
}

// later is refuse for now.
func (a *answer) later(status int) {
	a.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	a.refuse(status)
}

// crowd counts requests by address.
type crowd struct {
	mu sync.Mutex
	at map[netip.Prefix]int
}

// enter counts one of a; false: there are too many.
func (c *crowd) enter(a netip.Addr) bool {
	key := obs.LoginNetwork(a)
	if !key.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[key] >= MaxPerAddress {
		return false
	}
	c.at[key]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	key := obs.LoginNetwork(a)
	if !key.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[key]--; c.at[key] == 0 {
		delete(c.at, key)
	}
}
