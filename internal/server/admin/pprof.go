package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime"
	"strconv"
	"sync"

	"yubin/internal/mail"
)

// MaxProfileSeconds is how long a profile may take.
const MaxProfileSeconds = 300

// Rates of what is recorded only while somebody asks for it.
const (
	mutexFraction = 100    // one of so many contentions of a mutex
	blockRate     = 10_000 // nanoseconds of blocking for one sample
)

// profiles adds Go's profiles (package net/http/pprof) under /debug/pprof/.
func (h *Handler) profiles() {
	p := new(profiler)
	for pattern, do := range map[string]http.HandlerFunc{
		"GET /debug/pprof/":        pprof.Index, // heap, allocs, goroutine, threadcreate
		"GET /debug/pprof/cmdline": pprof.Cmdline,
		"GET /debug/pprof/profile": pprof.Profile,
		"GET /debug/pprof/symbol":  pprof.Symbol,
		"GET /debug/pprof/trace":   pprof.Trace,
		"GET /debug/pprof/mutex":   p.mutex,
		"GET /debug/pprof/block":   p.block,
	} {
		h.mux.HandleFunc(pattern, socketOnly(boundedTime(do)))
	}
}

// socketOnly serves what comes over the socket of the data folder, or from this
// process, and else knows nothing: what is in the memory of a mail server is
// for its owner only.
func socketOnly(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		at := r.Context().Value(http.LocalAddrContextKey)
		if _, unix := at.(*net.UnixAddr); at != nil && !unix {
			http.NotFound(w, r)
			return
		}
		do(w, r)
	}
}

func boundedTime(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := r.FormValue("seconds"); s != "" {
			if n, err := strconv.ParseFloat(s, 64); err != nil || !(n >= 0 && n <= MaxProfileSeconds) {
				http.Error(w, fmt.Sprintf("seconds must be from 0 to %d", MaxProfileSeconds), http.StatusBadRequest)
				return
			}
		}
		do(w, r)
	}
}

// profiler switches on, one at a time, what costs too much to be always on.
type profiler struct{ mu sync.Mutex }

func (p *profiler) mutex(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := runtime.SetMutexProfileFraction(mutexFraction)
	defer runtime.SetMutexProfileFraction(before)
	pprof.Handler("mutex").ServeHTTP(w, r)
}

func (p *profiler) block(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	runtime.SetBlockProfileRate(blockRate)
	defer runtime.SetBlockProfileRate(0)
	pprof.Handler("block").ServeHTTP(w, r)
}

// profilePath is the profile by the name that people give it, or "".
func profilePath(kind string) string {
	switch kind {
	case "cpu":
		return "profile"
	case "heap", "allocs", "goroutine", "mutex", "block", "trace":
		return kind
	}
	return ""
}

// Profile writes a profile of the server to w: "cpu", "heap", "allocs",
// "goroutine", "mutex", "block" or "trace". With seconds it is of what happens
// from now on for so long; "cpu", "mutex", "block" and "trace" need that.
func (c *Client) Profile(ctx context.Context, kind string, seconds int, w io.Writer) error {
	path := profilePath(kind)
	if path == "" {
		return mail.Errorf(mail.Invalid, "there is no profile %q", kind)
	}
	query := url.Values{}
	if seconds > 0 {
		query.Set("seconds", strconv.Itoa(seconds))
	}
	resp, err := c.send(ctx, http.MethodGet, "/debug/pprof/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
