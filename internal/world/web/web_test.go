package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func handler(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/echo":
		fmt.Fprintf(w, "%d %q %s", r.ContentLength, r.Header["Rcpt"], body)
	case "/away":
		http.Redirect(w, r, "/echo", http.StatusFound)
	case "/large":
		_, _ = io.WriteString(w, strings.Repeat("x", MaxAnswer+1))
	default:
		http.NotFound(w, r)
	}
}

func TestPost(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	tcp := httptest.NewServer(http.HandlerFunc(handler))
	defer tcp.Close()
	dir, err := os.MkdirTemp("", "web")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	local := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(handler)}}
	local.Start()
	defer local.Close()
	for _, address := range []string{strings.TrimPrefix(tcp.URL, "http://"), l.Addr().String()} {
		s := NewService(address)
		defer s.Close()
		post := func(ctx context.Context, path string) (string, error) {
			b, err := s.Post(ctx, path, map[string][]string{"rcpt": {"a", "b"}}, strings.NewReader("body"), 4)
			return string(b), err
		}
		if got, err := post(t.Context(), "/echo"); err != nil || got != `4 ["a" "b"] body` {
			t.Errorf("%s: %q, %v", address, got, err)
		}
		for path, kind := range map[string]mail.Kind{"/away": mail.Unavailable, "/none": mail.Unavailable, "/large": mail.TooLarge} {
			if got, err := post(t.Context(), path); mail.KindOf(err) != kind {
				t.Errorf("%s%s: %.40q, %v", address, path, got, err)
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := post(gone, "/echo"); err == nil {
			t.Error("it answers who has given up")
		}
	}
}
