package route

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// rooms keeps nothing of accounts.
type rooms struct{}

func (rooms) CreateAccount(*sqldb.Tx, mail.AccountID) error { return nil }
func (rooms) DeleteAccount(*sqldb.Tx, mail.AccountID) error { return nil }

// ourselves is mx.yubin.test at 192.0.2.25.
type ourselves struct{}

func (ourselves) IsOurName(n dns.Name) bool { return n == "mx.yubin.test" }
func (ourselves) IsOurAddress(a netip.AddrPort) bool {
	return a.Addr() == netip.MustParseAddr("192.0.2.25") || a.Addr().IsLoopback()
}

// house is a Router over a directory with alice, bob and the disabled carl at
// yubin.test, who are the accounts 1, 2 and 3.
type house struct {
	*Router
	t   testing.TB
	db  *sqldb.DB
	dir *directory.Directory
}

func open(t testing.TB) *house {
	t.Helper()
	return reopen(t, dbtest.Options(t))
}

func reopen(t testing.TB, where sqldb.Options) *house {
	t.Helper()
	db, err := sqldb.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db}
	h.dir, err = directory.Open(t.Context(), directory.Options{NoFloor: true, DB: db, Accounts: rooms{},
		Cost: password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 16, HashMemory: 256})
	h.must(err)
	if _, err := h.dir.AddDomain(t.Context(), "yubin.test"); err == nil {
		for _, name := range []string{"alice", "bob", "carl"} {
			_, err := h.dir.AddAccount(t.Context(), directory.NewAccount{Address: addr(name), Password: "x"})
			h.must(err)
		}
		h.must(h.dir.SetDisabled(t.Context(), addr("carl"), true))
	}
	h.Router, err = Open(t.Context(), Options{DB: db, Directory: h.dir, Hostname: "mx.yubin.test", Ourselves: ourselves{}, Now: time.Now})
	h.must(err)
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	if h.db == nil {
		return
	}
	h.must(h.Check(context.Background(), func(p string) { h.t.Error(p) }))
	h.must(h.db.Close())
	h.db = nil
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// addr reads an address; without a domain, one of yubin.test.
func addr(s string) mail.Address {
	if !strings.Contains(s, "@") {
		s += "@yubin.test"
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func patterns(s string) (list []Pattern) {
	for _, f := range strings.Fields(s) {
		p, err := ParsePattern(f)
		if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
	return list
}

func parseHosts(s string) (list []mail.HostPort) {
	for _, f := range strings.Fields(s) {
		h, err := ParseHost(f)
		if err != nil {
			panic(err)
		}
		list = append(list, h)
	}
	return list
}

// set makes a route by SMTP to the host of its name, changed by change.
func (h *house) set(name, to, from string, change ...func(*Route)) {
	h.t.Helper()
	r := Route{Name: name, To: patterns(to), From: patterns(from), Action: SMTP, Hosts: parseHosts(name + ".example:26")}
	for _, c := range change {
		c(&r)
	}
	_, err := h.SetRoute(h.t.Context(), r)
	h.must(err)
}

func relay(r *Route)   { r.Relay = true }
func unknown(r *Route) { r.Unknown = true }
func reject(r *Route)  { r.Action, r.Hosts, r.Text = Reject, nil, "no mail for "+r.Name }
func discard(r *Route) { r.Action, r.Hosts = Discard, nil }
func byMX(r *Route)    { r.Action, r.Hosts = MX, nil }

func (h *house) alias(name string, targets ...string) {
	h.t.Helper()
	a := directory.Alias{Address: addr(name)}
	for _, t := range targets {
		a.Targets = append(a.Targets, addr(t))
	}
	_, err := h.dir.AddAlias(h.t.Context(), a)
	h.must(err)
}

// ask asks from, which may be "", with change.
func ask(to, from string, change ...func(*Question)) Question {
	q := Question{Recipient: addr(to)}
	if from != "" {
		q.Sender = mail.ReversePath(addr(from))
	}
	for _, c := range change {
		c(&q)
	}
	return q
}

func loggedIn(q *Question) { q.Account = 1 }
func ours(q *Question)     { q.Ours = true }
func client(ip string) func(*Question) {
	return func(q *Question) { q.Remote = netip.MustParseAddr(ip) }
}
func via(name string) func(*Question) { return func(q *Question) { q.Via = name } }

// tell writes an answer of Route in short: accounts, routes with addresses
// onward, or the error.
func tell(r Routed, err error) string {
	if err != nil {
		return mail.KindOf(err).String() + ": " + err.Error()
	}
	var parts []string
	for _, a := range r.Accounts {
		parts = append(parts, string('0'+rune(a)))
	}
	for _, o := range r.Onward {
		name := o.Route
		if name == "" {
			name = "MX"
		}
		parts = append(parts, name+">"+o.Address.String())
	}
	if r.Discard != "" {
		parts = append(parts, "discard by "+r.Discard)
	}
	if r.Detail != "" {
		parts = append(parts, "+"+r.Detail)
	}
	return strings.Join(parts, " ")
}

func (h *house) want(q Question, want string) {
	h.t.Helper()
	if got := tell(h.Route(h.t.Context(), q)); got != want {
		h.t.Errorf("to %s from %s: %s\nwant %s", q.Recipient, q.Sender, got, want)
	}
}

func (h *house) wantNext(q Question, want string) {
	h.t.Helper()
	hop, name, err := h.NextHop(h.t.Context(), q)
	got := name + " " + hop.Site()
	if err != nil {
		got = mail.KindOf(err).String() + ": " + err.Error()
	}
	if got != want {
		h.t.Errorf("next hop to %s from %s: %s\nwant %s", q.Recipient, q.Sender, got, want)
	}
}

func wantKind(t testing.TB, err error, want mail.Kind) {
	t.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("error %v, want kind %v", err, want)
	}
}

func names(routes []Route) string {
	var list []string
	for _, r := range routes {
		list = append(list, r.Name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func newAccount(name string) directory.NewAccount {
	return directory.NewAccount{Address: addr(name), Password: "x"}
}
