package directory

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
)

// people is a Source that has what a test says.
type people struct {
	mu        sync.Mutex
	passwords map[string]string // of accounts, by their keys
	others    map[string]Entry  // other addresses
	quota     *int64
	down      bool
	finds     []string
	checks    []string
}

func (p *people) Find(_ context.Context, a mail.Address) (Entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finds = append(p.finds, a.String())
	if p.down {
		return Entry{}, mail.Errorf(mail.Unavailable, "down")
	}
	if _, there := p.passwords[a.String()]; there {
		return Entry{Name: "uid=" + a.Local, Account: a, Quota: p.quota}, nil
	}
	if f, there := p.others[a.String()]; there {
		return f, nil
	}
	return Entry{}, mail.Errorf(mail.NotFound, "nobody")
}

func (p *people) Check(ctx context.Context, a mail.Address, password string) (Entry, error) {
	f, err := p.Find(ctx, a)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks = append(p.checks, a.String())
	switch {
	case err == nil && (f.Account.IsZero() || p.passwords[f.Account.Key().String()] != password):
		err = mail.Errorf(mail.Forbidden, "wrong")
	}
	return f, err
}

// asked is how often it was asked, since the last time.
func (p *people) asked() (finds, checks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	finds, checks = len(p.finds), len(p.checks)
	p.finds, p.checks = nil, nil
	return finds, checks
}

func (p *people) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// openSource makes a directory whose domain example.org people know.
func openSource(t *testing.T) (*house, *people, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	h := open(t, func(o *Options) { o.Now = c.Now })
	p := &people{passwords: map[string]string{"alice@example.org": "pw of alice", "bob@example.org": "pw of bob"}, others: map[string]Entry{}}
	h.SetSources(map[mail.Domain]Source{"example.org": p})
	return h, p, c
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// The first login makes the account; a right and a wrong password are remembered for a
// while, and what is down is nobody's fault.
func TestLoginBySource(t *testing.T) {
	h, p, c := openSource(t)
	for _, w := range []struct {
		user, password string
		kind           mail.Kind
		checks         int
	}{
		{"alice@example.org", "pw of alice", 0, 1},
		{"ALICE@example.org", "pw of alice", 0, 0},
		{"alice@example.org", "wrong", mail.Forbidden, 1},
		{"alice@example.org", "wrong", mail.Forbidden, 0},
		{"nobody@example.org", "wrong", mail.Forbidden, 1},
		{"alice@example.org", "", mail.Forbidden, 0},
		{"bob@example.org", "pw of bob", 0, 1},
	} {
		err := h.login(w.user, w.password)
		if (err == nil) != (w.kind == 0) || err != nil && mail.KindOf(err) != w.kind {
			t.Errorf("%s %q: %v", w.user, w.password, err)
		}
		if _, n := p.asked(); n != w.checks {
			t.Errorf("%s %q: asked %d times, want %d", w.user, w.password, n, w.checks)
		}
	}
	if _, err := h.Account(t.Context(), addr("bob")); err != nil {
		t.Error(err)
	}
	if _, err := h.Account(t.Context(), addr("nobody")); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}

	p.change(func() { p.down = true })
	if err := h.login("alice@example.org", "pw of alice"); err != nil {
		t.Errorf("what was right a moment ago: %v", err)
	}
	c.pass(SourceMemory + time.Second)
	for _, password := range []string{"pw of alice", "wrong", "another"} {
		if err := h.login("alice@example.org", password); mail.KindOf(err) != mail.Unavailable {
			t.Errorf("down, %q: %v", password, err)
		}
	}
	p.change(func() { p.down, p.passwords["alice@example.org"] = false, "new" })
	wantKind(t, h.login("alice@example.org", "pw of alice"), mail.Forbidden)
	if err := h.login("alice@example.org", "new"); err != nil {
		t.Error(err)
	}
	p.change(func() { delete(p.passwords, "alice@example.org") })
	c.pass(SourceMemory + time.Second)
	wantKind(t, h.login("alice@example.org", "new"), mail.Forbidden)
	if _, err := h.Account(t.Context(), addr("alice")); err != nil {
		t.Errorf("the account stays: %v", err)
	}
	for _, made := range h.problems() {
		t.Error(made)
	}
}

// What is down is never counted as a wrong password.
func TestSourceDownIsNoFailure(t *testing.T) {
	h, p, _ := openSource(t)
	p.change(func() { p.down = true })
	for i := range 2 * NetworkFailures {
		_, err := h.Login(t.Context(), "alice@example.org", strings.Repeat("x", i+1), imapFrom(netip.MustParseAddr("203.0.113.9")))
		if mail.KindOf(err) != mail.Unavailable {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if len(h.slept) > 0 {
		t.Errorf("it slept %v", h.slept)
	}
}

// An account that had a password here has it no more: neither it nor its keys for SCRAM count
// while a source knows its domain, and they count again when none does.
func TestSourceReplacesPasswords(t *testing.T) {
	h, p, _ := openSource(t)
	h.SetSources(nil)
	h.account("alice")
	if !h.OffersScram(t.Context()) {
		t.Error("SCRAM is not offered without a source")
	}
	h.SetSources(map[mail.Domain]Source{"example.org": p})
	p.change(func() { p.passwords["alice@example.org"] = "in LDAP" })
	if h.OffersScram(t.Context()) {
		t.Error("SCRAM is offered")
	}
	wantKind(t, h.login("alice@example.org", "pw of alice"), mail.Forbidden)
	if err := h.login("alice@example.org", "in LDAP"); err != nil {
		t.Error(err)
	}
	l, err := h.Scram(t.Context(), "alice@example.org", imapFrom(home))
	if err != nil || len(l.of) != 0 {
		t.Errorf("%d keys of its own, %v", len(l.of), err)
	}
	wantKind(t, h.SetPassword(t.Context(), addr("alice"), "something else", true), mail.Conflict)
	_, err = h.AddAccount(t.Context(), NewAccount{Address: addr("carol"), Password: "something else"})
	wantKind(t, err, mail.Conflict)
	app := h.app("alice", NewAppPassword{Name: "phone"})
	p.change(func() { p.down = true })
	if err := h.login("alice@example.org", app); err != nil {
		t.Errorf("an app password needs no source: %v", err)
	}
	h.SetSources(nil)
	if err := h.login("alice@example.org", "pw of alice"); err != nil {
		t.Error(err)
	}
}

// Mail for somebody whom the source knows makes the account; for who has one already nobody is
// asked; an alias and a group of the source are asked for, and remembered for a while.
func TestMailBySource(t *testing.T) {
	h, p, c := openSource(t)
	resolve := func(to string) (Resolution, error) {
		a, err := mail.ParseAddress(to)
		if err != nil {
			t.Fatal(err)
		}
		return h.Resolve(t.Context(), a)
	}
	quota := int64(1 << 20)
	p.change(func() {
		p.quota = &quota
		p.others["al@example.org"] = Entry{Account: addr("Alice")}
		p.others["crew@example.org"] = Entry{Members: []mail.Address{addr("alice"), addr("bob"), addr("gone"), addr("nested"), {Local: "far", Domain: "elsewhere.example"}}}
		p.others["nested@example.org"] = Entry{Members: []mail.Address{addr("crew"), addr("carol")}}
		p.passwords["carol@example.org"] = "x"
	})
	for _, w := range []struct {
		to    string
		names string // local parts
		asks  bool
	}{
		{"al@example.org", "alice", true},
		{"alice@example.org", "alice", false},
		{"alice+tag@example.org", "alice", false},
		{"bob+tag@example.org", "bob", true},
		{"bob@example.org", "bob", false},
		{"crew@example.org", "alice bob carol far", true},
		{"crew@example.org", "alice bob carol far", false},
		{"al+tag@example.org", "alice", true},
	} {
		p.asked()
		r, err := resolve(w.to)
		var names []string
		for _, a := range append(r.Names, r.Foreign...) {
			names = append(names, a.Local)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); err != nil || got != w.names {
			t.Errorf("%s: %q, %v; want %q", w.to, got, err, w.names)
		}
		if finds, _ := p.asked(); (finds > 0) != w.asks {
			t.Errorf("%s: asked %d times", w.to, finds)
		}
	}
	a, err := h.Account(t.Context(), addr("alice"))
	if err != nil || a.Address.Local != "Alice" {
		t.Errorf("%+v, %v", a, err)
	}
	if b, err := h.Account(t.Context(), addr("bob")); err != nil || b.Quota.Octets != quota {
		t.Errorf("%+v, %v", b, err)
	}
	who := mail.Principal{Account: a.ID, Address: a.Address}
	for _, as := range []string{"al", "crew"} {
		if may, err := h.MayUse(t.Context(), who, addr(as)); !may || err != nil {
			t.Errorf("as %s: %v, %v", as, may, err)
		}
	}
	if may, _ := h.MayUse(t.Context(), who, addr("bob")); may {
		t.Error("alice may write as bob")
	}

	_, err = resolve("nobody@example.org")
	wantKind(t, err, mail.NotFound)
	p.asked()
	_, err = resolve("nobody@example.org")
	wantKind(t, err, mail.NotFound)
	if finds, _ := p.asked(); finds != 0 {
		t.Error("that there is nobody was not remembered")
	}
	p.change(func() { p.passwords["nobody@example.org"] = "somebody now" })
	c.pass(SourceMemory + time.Second)
	if _, err = resolve("nobody@example.org"); err != nil {
		t.Error(err)
	}

	p.change(func() { p.down = true })
	c.pass(SourceMemory + time.Second)
	for to, kind := range map[string]mail.Kind{"stranger@example.org": mail.Unavailable, "crew@example.org": mail.Unavailable,
		"alice@example.org": 0, "alice+new@example.org": 0, "postmaster@example.org": 0, "x@xn--bcher-kva.example": mail.NotFound} {
		if _, err := resolve(to); (err == nil) != (kind == 0) || err != nil && mail.KindOf(err) != kind {
			t.Errorf("down: %s: %v", to, err)
		}
	}
	p.change(func() { p.down = false })
	c.pass(SourceTrouble + time.Second)
	if _, err := resolve("crew@example.org"); err != nil {
		t.Error(err)
	}
}

// A domain that is another name of one asks its source; rows and the catch-all of a domain
// count as they do elsewhere.
func TestSourceAmongRows(t *testing.T) {
	h, p, _ := openSource(t)
	if _, err := h.AliasDomain(t.Context(), "old.example", "example.org"); err != nil {
		t.Fatal(err)
	}
	r, err := h.Resolve(t.Context(), mail.Address{Local: "alice", Domain: "old.example"})
	if err != nil || len(r.Names) != 1 || r.Names[0] != addr("alice") {
		t.Errorf("%+v, %v", r, err)
	}
	if err := h.login("bob@old.example", "pw of bob"); err != nil {
		t.Error(err)
	}
	if _, err := h.AddAlias(t.Context(), Alias{Address: addr("team"), Targets: []mail.Address{addr("alice")}}); err != nil {
		t.Fatal(err)
	}
	p.change(func() { p.others["team@example.org"] = Entry{Members: []mail.Address{addr("bob")}} })
	if r, err := h.Resolve(t.Context(), addr("team")); err != nil || len(r.Names) != 1 || r.Names[0] != addr("alice") {
		t.Errorf("a row counts before the source: %+v, %v", r, err)
	}
	if _, err := h.AddAlias(t.Context(), Alias{Address: CatchAll("example.org"), Targets: []mail.Address{addr("alice")}}); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Resolve(t.Context(), addr("whoever")); err != nil || !r.CatchAll {
		t.Errorf("%+v, %v", r, err)
	}
	p.change(func() { p.down = true })
	_, err = h.Resolve(t.Context(), addr("another"))
	wantKind(t, err, mail.Unavailable)
}

// Many who come at once make one account.
func TestSourceMakesOneAccount(t *testing.T) {
	h, _, _ := openSource(t)
	var all sync.WaitGroup
	errs := make(chan error, 40)
	for range 20 {
		all.Go(func() { errs <- h.login("alice@example.org", "pw of alice") })
		all.Go(func() { _, err := h.Resolve(t.Context(), addr("alice")); errs <- err })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if list, err := h.Accounts(t.Context(), Filter{}); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A quota that changes there changes here with the next login.
func TestSourceQuota(t *testing.T) {
	h, p, c := openSource(t)
	for _, q := range []int64{1000, 2000, 0} {
		p.change(func() { p.quota = &q })
		c.pass(SourceMemory + time.Second)
		if err := h.login("alice@example.org", "pw of alice"); err != nil {
			t.Fatal(err)
		}
		if a, err := h.Account(t.Context(), addr("alice")); err != nil || a.Quota.Octets != q {
			t.Errorf("%+v, %v; want %d", a.Quota, err, q)
		}
	}
}
