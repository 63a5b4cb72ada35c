package admin

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

// table is a Routes and Networks of one route and one network.
type table struct {
	kept    route.Route
	network netip.Prefix
	lost    []route.LostNetwork
	asked   route.Question
}

func (t *table) Routes() []route.Route              { return []route.Route{t.kept} }
func (t *table) Lookup(string) (route.Route, error) { return t.kept, nil }
func (t *table) RemoveRoute(_ context.Context, name string) error {
	return mail.Errorf(mail.NotFound, "there is no route %s", name)
}
func (t *table) SetRoute(_ context.Context, r route.Route) (route.Route, error) {
	t.kept = r
	return r, nil
}
func (t *table) Explain(_ context.Context, q route.Question, _ dns.Resolver) ([]route.Step, error) {
	t.asked = q
	return []route.Step{{About: "result", Says: "well"}}, nil
}
func (t *table) TrustedNetworks() []netip.Prefix { return []netip.Prefix{t.network} }
func (t *table) Trust(_ context.Context, p netip.Prefix) error {
	t.network = p
	return nil
}
func (t *table) LostNetworks() []route.LostNetwork { return t.lost }
func (t *table) Untrust(_ context.Context, network string) error {
	p, _ := route.ParseNetwork(network)
	if i := slices.IndexFunc(t.lost, func(l route.LostNetwork) bool { return l.Name == network }); i >= 0 {
		t.lost = slices.Delete(t.lost, i, i+1)
	} else if p != t.network {
		return mail.Errorf(mail.NotFound, "network %s is not trusted", network)
	}
	return nil
}

// person is an Accounts of one account, disabled if its name begins with "dis".
type person struct{ allAccounts }

func (person) Account(_ context.Context, a mail.Address) (directory.Account, error) {
	return directory.Account{ID: 7, Address: a, Disabled: strings.HasPrefix(a.Local, "dis")}, nil
}

func newRoutes() (*table, *Client, *bytes.Buffer) {
	t, log := &table{}, &bytes.Buffer{}
	h := New(Config{Audit: new(kept), Routes: t, Networks: t, Accounts: person{}, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	return t, InProcess(h), log
}

// TestRouteCrossesTheAPI whole, but for the password, which only goes in and is
// not logged.
func TestRouteCrossesTheAPI(t *testing.T) {
	kept, client, log := newRoutes()
	full := Route{
		Name: "a.b-c_d", To: []string{"bob@example.org", "example.org", ".example.org", "*"}, From: []string{"example.net"},
		Relay: true, Unknown: true, Action: "smtp", Hosts: []string{"mx.example.org", "[192.0.2.1]:26", "[2001:db8::1]:27"}, Port: 26,
		TLS: "verified", ImplicitTLS: true, User: "me", Password: "horse", SourceIPv4: "192.0.2.9", SourceIPv6: "2001:db8::9",
		Text: "no", Enhanced: "5.1.1",
	}
	made, err := client.SetRoute(t.Context(), full)
	if err != nil || kept.kept.Auth.Password != "horse" || kept.kept.Name != full.Name {
		t.Fatalf("kept %+v, %v", kept.kept, err)
	}
	full.Password = ""
	listed, err := client.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := client.Route(t.Context(), full.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []Route{made, listed[0], shown} {
		if !reflect.DeepEqual(got, full) {
			t.Errorf("got %+v\nwant %+v", got, full)
		}
	}
	if strings.Contains(log.String(), "horse") || !strings.Contains(log.String(), "PUT /v1/routes/a.b-c_d") {
		t.Errorf("log: %s", log)
	}
	if err := client.RemoveRoute(t.Context(), "x y"); mail.KindOf(err) != mail.NotFound || err.Error() != "there is no route x y" {
		t.Error(err)
	}
}

func TestBadRoutes(t *testing.T) {
	_, client, _ := newRoutes()
	for _, r := range []Route{
		{Name: "a", To: []string{"@example.org"}}, {Name: "a", From: []string{"x y"}}, {Name: "a", Hosts: []string{"x:0"}},
		{Name: "a", TLS: "maybe"}, {Name: "a", SourceIPv4: "mx.example"}, {Name: "a", SourceIPv6: "1"},
	} {
		if _, err := client.SetRoute(t.Context(), r); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestNetworks(t *testing.T) {
	kept, client, _ := newRoutes()
	for in, want := range map[string]string{"192.0.2.7/24": "192.0.2.0/24", "2001:db8::7": "2001:db8::7/128"} {
		made, err := client.TrustNetwork(t.Context(), in)
		if err != nil || made.Network != want || kept.network.String() != want {
			t.Errorf("%s: %+v, %v", in, made, err)
		}
		list, err := client.Networks(t.Context())
		if err != nil || len(list) != 1 || list[0] != made {
			t.Errorf("%+v, %v", list, err)
		}
		if err := client.UntrustNetwork(t.Context(), in); err != nil {
			t.Error(err)
		}
	}
	kept.lost = []route.LostNetwork{{Name: "no/net ?", Why: "it is none"}}
	list, err := client.Networks(t.Context())
	if want := (Network{"no/net ?", "it is none"}); err != nil || len(list) != 2 || list[1] != want {
		t.Errorf("%+v, %v", list, err)
	}
	if err := client.UntrustNetwork(t.Context(), list[1].Network); err != nil || len(kept.lost) != 0 {
		t.Error(err, kept.lost)
	}
	if err := client.UntrustNetwork(t.Context(), "198.51.100.0/24"); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
	if _, err := client.TrustNetwork(t.Context(), "here"); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
}

func TestExplainAsks(t *testing.T) {
	kept, client, _ := newRoutes()
	bob := mail.Address{Local: "Bob", Domain: "example.net"}
	alice := mail.ReversePath{Local: "alice", Domain: "example.org"}
	sales := mail.ReversePath{Local: "sales+x", Domain: "example.org"}
	for _, c := range []struct {
		in   Asked
		want route.Question
	}{
		{Asked{Address: "Bob@example.net"}, route.Question{Recipient: bob}},
		{Asked{Address: "Bob@example.net", As: "alice@example.org"}, route.Question{Recipient: bob, Sender: alice, Account: 7}},
		{Asked{Address: "Bob@example.net", As: "alice@example.org", From: "<>"}, route.Question{Recipient: bob, Account: 7}},
		{Asked{Address: "Bob@example.net", From: "sales+x@example.org", Client: "192.0.2.1", Via: "a&b"},
			route.Question{Recipient: bob, Sender: sales, Remote: netip.MustParseAddr("192.0.2.1"), Via: "a&b"}},
	} {
		steps, err := client.Explain(t.Context(), c.in)
		if err != nil || len(steps) != 1 || kept.asked != c.want {
			t.Errorf("%+v: asked %+v, %v", c.in, kept.asked, err)
		}
	}
	for _, in := range []Asked{{}, {Address: "x"}, {Address: "Bob@example.net", From: "x"}, {Address: "Bob@example.net", As: "x"}, {Address: "Bob@example.net", Client: "x"}} {
		if _, err := client.Explain(t.Context(), in); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%+v: %v", in, err)
		}
	}
	if _, err := client.Explain(t.Context(), Asked{Address: "Bob@example.net", As: "disabled@example.org"}); mail.KindOf(err) != mail.Conflict {
		t.Error(err)
	}
}
