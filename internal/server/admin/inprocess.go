package admin

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"yubin/internal/world/files"
)

// inProcess serves requests with a handler in this process, as if over a
// connection: the answer can be read while it is being written.
type inProcess struct {
	handler http.Handler
	places  []*files.Place // that are lent with the request
}

// RoundTrip returns as soon as the handler has begun to answer.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r = r.WithContext(withPlaces(r.Context(), t.places))
	body, out := io.Pipe()
	w := &answer{header: http.Header{}, out: out, begun: make(chan int, 1)}
	go func() {
		t.handler.ServeHTTP(w, r.WithContext(byThisProcess(r.Context())))
		w.WriteHeader(http.StatusOK)
		_ = out.Close()
	}()
	select {
	case <-r.Context().Done():
		_ = body.Close() // The handler's writes fail from here on.
		return nil, r.Context().Err()
	case status := <-w.begun:
		return &http.Response{
			Status:     fmt.Sprintf("%d %s", status, http.StatusText(status)),
			StatusCode: status,
			Header:     w.header,
			Body:       body,
			Request:    r,
		}, nil
	}
}

// answer is the http.ResponseWriter of inProcess.
type answer struct {
	header http.Header
	out    *io.PipeWriter
	once   sync.Once
	begun  chan int
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.once.Do(func() { a.begun <- status }) }

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(p)
}

// Flush does nothing: nothing is held back.
func (a *answer) Flush() {}
