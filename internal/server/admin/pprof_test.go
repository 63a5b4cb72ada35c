package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serveSocket serves the handler on the socket of a folder and returns a client.
func serveSocket(t *testing.T, h http.Handler) *Client {
	t.Helper()
	folder := t.TempDir()
	ln, err := Listen(folder)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: h}
	go func() { _ = web.Serve(ln) }()
	t.Cleanup(func() { _ = web.Close() })
	c, err := Dial(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestProfiles: each kind can be taken over the socket and is what pprof reads.
func TestProfiles(t *testing.T) {
	c := serveSocket(t, New(Config{Log: slog.New(slog.DiscardHandler)}))
	for kind, seconds := range map[string]int{"cpu": 1, "heap": 0, "allocs": 0, "goroutine": 0, "mutex": 1, "block": 1} {
		t.Run(kind, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.Profile(t.Context(), kind, seconds, &b); err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(&b)
			if err != nil {
				t.Fatalf("no profile: %v", err)
			}
			if text, err := io.ReadAll(z); err != nil || len(text) == 0 {
				t.Errorf("%d octets, %v", len(text), err)
			}
		})
	}
	var b bytes.Buffer
	if err := c.Profile(t.Context(), "trace", 1, &b); err != nil || !strings.HasPrefix(b.String(), "go 1.") {
		t.Errorf("trace: %.20q, %v", b.String(), err)
	}
	if err := c.Profile(t.Context(), "cpu", MaxProfileSeconds+1, io.Discard); err == nil {
		t.Error("a profile without bound")
	}
	if err := c.Profile(t.Context(), "everything", 1, io.Discard); err == nil {
		t.Error("an unknown profile")
	}
}

// TestProfilesOnTheSocketOnly: should the handler ever be served on TCP, there
// are no profiles.
func TestProfilesOnTheSocketOnly(t *testing.T) {
	h := New(Config{Status: Status{Version: "9"}, Log: slog.New(slog.DiscardHandler)})
	for path, want := range map[string]int{
		"/v1/status": 200, "/debug/pprof/": 404, "/debug/pprof/heap": 404, "/debug/pprof/profile?seconds=1": 404,
		"/debug/pprof/cmdline": 404, "/debug/pprof/symbol": 404, "/debug/pprof/trace": 404, "/debug/pprof/mutex": 404,
		"/debug/pprof/block": 404, "/metrics": 404,
	} {
		for network, at := range map[string]net.Addr{"tcp": &net.TCPAddr{}, "unix": &net.UnixAddr{}} {
			if network == "unix" && want == 404 {
				continue // TestProfiles has them.
			}
			r := httptest.NewRequest("GET", path, nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at)))
			if w.Code != want {
				t.Errorf("%s over %s: %d, want %d", path, network, w.Code, want)
			}
		}
	}
}

// TestMetrics: the handler of the metrics is there if it is given.
func TestMetrics(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler), Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "yubin_up 1\n")
	})})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Body.String() != "yubin_up 1\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
