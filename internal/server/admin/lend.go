package admin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/lending"
	"yubin/internal/world/obs"
)

// The files of backups, imports, exports and lessons are those of who calls: the client
// opens them, as the user that it runs as, and the server works with what it is handed.
// A request that needs files asks for the protocol of package lending (RFC 9110 §7.8);
// after 101 the client lends its places, and the answer comes over that. In one process
// the places stand in the context of the request.

// placesKey is the key of the places in a context.
type placesKey struct{}

func withPlaces(ctx context.Context, places []*files.Place) context.Context {
	return context.WithValue(ctx, placesKey{}, places)
}

// placesOf returns what is lent with a request.
func placesOf(r *http.Request) ([]*files.Place, error) {
	places, ok := r.Context().Value(placesKey{}).([]*files.Place)
	if !ok {
		return nil, mail.Errorf(mail.Invalid, "the files for this come with the request, as the yubin command sends it")
	}
	return places, nil
}

// placeOf is placesOf for one.
func placeOf(r *http.Request) (*files.Place, error) {
	places, err := placesOf(r)
	if err == nil && len(places) != 1 {
		err = mail.Errorf(mail.Invalid, "one file or folder goes with the request, not %d", len(places))
	}
	if err != nil {
		return nil, err
	}
	return places[0], nil
}

// loans are the requests whose files come with them.
type loans struct {
	mu  sync.Mutex
	all map[*lending.Borrower]chan struct{} // closed when it is over
}

func (l *loans) add(b *lending.Borrower) (over func()) {
	done := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*lending.Borrower]chan struct{})
	}
	l.all[b] = done
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, b)
		close(done)
	}
}

// Drain waits for the answers of requests whose files come with them, which an
// http.Server does not, and ends what is left when ctx ends.
func (h *Handler) Drain(ctx context.Context) {
	h.loans.mu.Lock()
	all := make(map[*lending.Borrower]chan struct{}, len(h.loans.all))
	for b, done := range h.loans.all {
		all[b] = done
	}
	h.loans.mu.Unlock()
	for b, done := range all {
		select {
		case <-done:
		case <-ctx.Done():
			_ = b.Close()
		}
	}
}

// serveLent serves a request whose files come with it.
func (h *Handler) serveLent(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != lending.Protocol {
		fail(w, r, h.Log, mail.Errorf(mail.Invalid, "the server speaks %s: run the command of the same yubin as the server", lending.Protocol))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, r, h.Log, mail.Errorf(mail.Invalid, "the request cannot be read: %v", err))
		return
	}
	b, err := h.upgrade(w, r)
	if err != nil {
		h.Log.Warn("files were not lent", "request", r.Method+" "+r.URL.Path, obs.Err(err))
		return
	}
	over := h.loans.add(b)
	defer over()
	defer b.Close()
	lent := r.WithContext(withPlaces(b.Context(), b.Places()))
	lent.Body = io.NopCloser(bytes.NewReader(body))
	out := &lentAnswer{to: bufio.NewWriter(b), header: http.Header{}}
	h.audited(out, lent)
	out.WriteHeader(http.StatusOK)
	out.Flush()
}

// upgrade makes a loan of the connection of a request.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) (*lending.Borrower, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, r, h.Log, err)
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok || buffered.Reader.Buffered() > 0 {
		_ = conn.Close()
		return nil, mail.Errorf(mail.Invalid, "files are lent over the socket, once the server has agreed")
	}
	_, err = fmt.Fprintf(unix, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", lending.Protocol)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return lending.Borrow(r.Context(), unix)
}

// lentAnswer writes the answer to a request as HTTP has it (RFC 9112), up to the end of
// the connection.
type lentAnswer struct {
	to     *bufio.Writer
	header http.Header
	once   sync.Once
}

func (a *lentAnswer) Header() http.Header { return a.header }

func (a *lentAnswer) WriteHeader(status int) {
	a.once.Do(func() {
		fmt.Fprintf(a.to, "HTTP/1.1 %d %s\r\nConnection: close\r\n", status, http.StatusText(status))
		_ = a.header.Write(a.to)
		_, _ = a.to.WriteString("\r\n")
	})
}

func (a *lentAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.to.Write(p)
}

// Flush sends what is held back.
func (a *lentAnswer) Flush() { _ = a.to.Flush() }

// lender makes requests whose files come with them, over a connection of their own each.
type lender struct {
	folder string
	places []*files.Place
}

// RoundTrip returns as soon as the server has begun to answer.
func (t lender) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, err := dial(r.Context(), t.folder)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
	resp, err := t.ask(conn.(*net.UnixConn), r)
	if err != nil {
		stop()
		_ = conn.Close()
		if r.Context().Err() != nil {
			err = r.Context().Err()
		}
		return nil, err
	}
	resp.Body = &lentBody{resp.Body, func() { stop(); _ = conn.Close() }}
	return resp, nil
}

// ask sends the request and, when the server agrees, lends until it has answered.
func (t lender) ask(conn *net.UnixConn, r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", lending.Protocol)
	if err := out.Write(conn); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	answer, to := io.Pipe()
	go func() { _ = to.CloseWithError(lending.Lend(r.Context(), conn, t.places, to)) }()
	return http.ReadResponse(bufio.NewReader(answer), r)
}

// lentBody ends the loan with the answer.
type lentBody struct {
	io.ReadCloser
	done func()
}

func (b *lentBody) Close() error {
	b.done()
	return b.ReadCloser.Close()
}
