package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// domains fails as told.
type domains struct {
	allDomains
	err error
}

// allDomains and allAccounts are embedded under a name that hides no method.
type (
	allDomains  interface{ Domains }
	allAccounts interface{ Accounts }
)

func (d domains) AddDomain(_ context.Context, name mail.Domain) (directory.Domain, error) {
	return directory.Domain{Name: name}, d.err
}

// pages is a long list.
type pages struct {
	allAccounts
	list []directory.Account
}

func (a pages) find(from mail.Address) int {
	for i, e := range a.list {
		if e.Address == from {
			return i + 1
		}
	}
	return 0
}

// Accounts gives pages as the directory does.
func (a pages) Accounts(_ context.Context, f directory.Filter) ([]directory.Account, error) {
	rest := a.list[a.find(f.After):]
	return rest[:min(f.Limit, len(rest))], nil
}

// checks reports a problem, then waits to be released.
type checks struct {
	Store
	release chan struct{}
	err     error
}

func (c checks) Check(ctx context.Context, report func(string)) error {
	report("a counter is off")
	select {
	case <-c.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.err
}

// empty is a Store where nobody has anything.
type empty struct{ Store }

func (empty) Usages(_ context.Context, ids []mail.AccountID) ([]store.Usage, error) {
	return make([]store.Usage, len(ids)), nil
}

func newHandler(c Config) *Handler {
	if c.Store == nil {
		c.Store = empty{}
	}
	c.Log = slog.New(slog.DiscardHandler)
	return New(c)
}

// TestErrors: each kind crosses the API as itself; a cause never does.
func TestErrors(t *testing.T) {
	for kind := mail.Internal; kind <= mail.Unavailable; kind++ {
		h := newHandler(Config{Domains: domains{err: &mail.Error{Kind: kind, Text: "what to do", Err: errors.New("secret")}}})
		_, err := InProcess(h).AddDomain(context.Background(), "example.org")
		want := "what to do"
		if kind == mail.Internal {
			want = "internal failure; the log has the cause"
		}
		if mail.KindOf(err) != kind || err.Error() != want {
			t.Errorf("%v: got %v %q", kind, mail.KindOf(err), err)
		}
	}
	h := newHandler(Config{Domains: domains{err: errors.New("secret")}})
	if _, err := InProcess(h).AddDomain(context.Background(), "example.org"); strings.Contains(err.Error(), "secret") {
		t.Errorf("a cause crossed the API: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	h := newHandler(Config{Domains: domains{}})
	cases := []struct {
		kind, body string
		want       int
	}{
		{"application/json", `{"domain": "example.org"}`, http.StatusOK},
		{"application/json; charset=utf-8", `{"domain": "example.org"}`, http.StatusOK},
		{"text/plain", `{"domain": "example.org"}`, http.StatusUnprocessableEntity},
		{"application/json", `{"domane": "example.org"}`, http.StatusUnprocessableEntity},
		{"application/json", `{"domain": "exa mple"}`, http.StatusUnprocessableEntity},
		{"application/json", `{"domain": "` + strings.Repeat("a", MaxRequest) + `"}`, http.StatusUnprocessableEntity},
	}
	for _, c := range cases {
		r, err := http.NewRequest(http.MethodPost, "http://yubin/v1/domains", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		resp, err := inProcess{handler: h}.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %.40s: got %d, want %d", c.kind, c.body, resp.StatusCode, c.want)
		}
	}
}

// TestPages: a list longer than a page comes whole.
func TestPages(t *testing.T) {
	var list []directory.Account
	for i := range 2*MaxPage + 1 {
		list = append(list, directory.Account{Address: mail.Address{Local: fmt.Sprintf("u%05d", i), Domain: "example.org"}})
	}
	for _, n := range []int{0, 1, MaxPage, len(list)} {
		h := newHandler(Config{Accounts: pages{list: list[:n]}})
		got, err := InProcess(h).Accounts(context.Background(), "")
		if err != nil || len(got) != n || n > 0 && got[n-1].Address != list[n-1].Address.String() {
			t.Errorf("%d accounts: got %d, %v", n, len(got), err)
		}
	}
}

// TestCheckStreams: a problem is heard while the check goes on, in process and
// over the socket.
func TestCheckStreams(t *testing.T) {
	for _, over := range []string{"process", "socket"} {
		release := make(chan struct{})
		h := newHandler(Config{Store: checks{release: release}})
		c := InProcess(h)
		if over == "socket" {
			c = serve(t, t.TempDir(), h)
		}
		var found []string
		err := c.Check(context.Background(), false, func(p string) {
			found = append(found, p)
			close(release) // Only now can the check end.
		})
		if err != nil || len(found) != 1 {
			t.Errorf("%s: got %q, %v", over, found, err)
		}
	}
}

// manyProblems is a store that finds ever more, in a transaction.
type manyProblems struct {
	Store
	ended chan struct{} // closed when the transaction is over
}

func (s manyProblems) Check(ctx context.Context, report func(string)) error {
	defer close(s.ended)
	for ctx.Err() == nil {
		report("a problem")
	}
	return ctx.Err()
}

// TestCheckWaitsForNobody: who does not read what a check finds, as less does,
// holds up nothing.
func TestCheckWaitsForNobody(t *testing.T) {
	s := manyProblems{ended: make(chan struct{})}
	c := serve(t, t.TempDir(), newHandler(Config{Store: s}))
	found := 0
	err := c.Check(context.Background(), false, func(string) {
		if found++; found == 1 {
			<-s.ended
		}
	})
	if found != MaxFindings || err == nil || !strings.Contains(err.Error(), "ended after 10000 problems; there are more") {
		t.Errorf("%d found, %v", found, err)
	}
}

// TestCheckEndsWithItsClient: nothing is looked for when nobody listens.
func TestCheckEndsWithItsClient(t *testing.T) {
	ended := make(chan struct{})
	c := serve(t, t.TempDir(), newHandler(Config{Store: waits{ended: ended}}))
	ctx, cancel := context.WithCancel(context.Background())
	err := c.Check(ctx, false, func(string) { cancel() })
	if err == nil {
		t.Error("no error")
	}
	<-ended
}

// waits is a store whose check finds one problem and ends with its context.
type waits struct {
	Store
	ended chan struct{}
}

func (s waits) Check(ctx context.Context, report func(string)) error {
	defer close(s.ended)
	report("a problem")
	<-ctx.Done()
	return ctx.Err()
}

func TestCheckFails(t *testing.T) {
	release := make(chan struct{})
	close(release)
	h := newHandler(Config{Store: checks{release: release, err: mail.Errorf(mail.Unavailable, "the store is shutting down")}})
	err := InProcess(h).Check(context.Background(), false, func(string) {})
	if mail.KindOf(err) != mail.Unavailable || err.Error() != "the store is shutting down" {
		t.Errorf("got %v", err)
	}
}

// serve serves h on the socket in folder until the test ends.
func serve(t *testing.T, folder string, h http.Handler) *Client {
	t.Helper()
	ln, err := Listen(folder)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ConnContext: ConnContext}
	go server.Serve(ln)
	t.Cleanup(func() { _ = server.Close() })
	c, err := Dial(context.Background(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestSocket: the owner's only, replaced after a crash, gone after the end, and
// reachable however long its path.
func TestSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 200))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{t.TempDir(), long} {
		if _, err := Dial(context.Background(), folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without a server: %v", err)
		}
		name := filepath.Join(folder, SocketName)
		if err := os.WriteFile(name, nil, 0o600); err != nil { // As a crash leaves it.
			t.Fatal(err)
		}
		ln, err := Listen(folder)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		c, err := dial(context.Background(), folder)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	}
}

var _ Store = (*store.Store)(nil)
