package route

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

const denied = "forbidden: relaying denied"

// TestPrecedence: each route added goes before those that were there.
func TestPrecedence(t *testing.T) {
	h := open(t)
	q := ask("Dave+Lists@a.b.else.example", "Alice+x@yubin.test", loggedIn)
	h.want(q, "MX>Dave+Lists@a.b.else.example")
	for _, s := range []struct{ name, to, from string }{
		{"all", "*", ""},
		{"sender-domain", "", "yubin.test"},
		{"sender-base", "", "alice@yubin.test"},
		{"sender", "", "ALICE+X@yubin.test"},
		{"top", ".example", ""},
		{"upper", ".else.example", ""},
		{"lower", ".b.else.example", ""},
		{"domain", "a.b.else.example", ""},
		{"base", "dave@a.b.else.example", ""},
		{"address", "DAVE+lists@a.b.else.example", ""},
	} {
		h.set(s.name, s.to, s.from)
		h.want(q, s.name+">Dave+Lists@a.b.else.example")
		h.wantNext(q, s.name+" smtp:"+s.name+".example:26")
	}
	h.want(ask("dave@else.example", "", loggedIn), "top>dave@else.example")
	h.want(ask("dave@example", "alice", loggedIn), "sender-base>dave@example")
	h.want(ask("dave@other.test", "bob", loggedIn), "sender-domain>dave@other.test")
	h.want(ask("dave@other.test", "", loggedIn), "all>dave@other.test")
	h.must(h.RemoveRoute(t.Context(), "all"))
	h.want(ask("dave@other.test", "", loggedIn), "MX>dave@other.test")
	h.want(ask("dave@[192.0.2.9]", "", loggedIn), "MX>dave@[192.0.2.9]")
	h.wantNext(ask("dave@[192.0.2.9]", ""), " mx:[192.0.2.9]")
	h.set("literal", "[192.0.2.9]", "")
	h.want(ask("dave@[192.0.2.9]", "", loggedIn), "literal>dave@[192.0.2.9]")
}

// TestLocal: a local address goes before all that does not name it.
func TestLocal(t *testing.T) {
	h := open(t)
	h.set("all", "* .test", "yubin.test")
	h.want(ask("alice+x", "bob", loggedIn), "1 +x")
	h.want(ask("nobody", ""), "not found: there is no mailbox nobody@yubin.test here")
	h.want(ask("carl", ""), "forbidden: mailbox disabled")
	h.set("rest", "yubin.test", "", unknown)
	h.want(ask("alice+x", ""), "1 +x")
	h.want(ask("carl", ""), "forbidden: mailbox disabled")
	h.want(ask("nobody", ""), "rest>nobody@yubin.test")
	h.wantNext(ask("nobody", ""), "rest smtp:rest.example:26")
	h.set("bobs", "bob@yubin.test", "")
	h.want(ask("Bob+y", ""), "bobs>Bob+y@yubin.test")
	h.want(ask("bob+y", "", client("203.0.113.1")), "bobs>bob+y@yubin.test")
	h.must(h.RemoveRoute(t.Context(), "rest"))
	h.set("whole", "yubin.test", "")
	h.want(ask("alice", ""), "whole>alice@yubin.test")
	h.want(ask("nobody", ""), "whole>nobody@yubin.test")
	h.want(ask("bob", ""), "bobs>bob@yubin.test")
}

// TestAliasDomain: what a route takes of a domain beside those who are here it takes by
// the domain's other name.
func TestAliasDomain(t *testing.T) {
	h := open(t)
	_, err := h.dir.AliasDomain(t.Context(), "old.test", "yubin.test")
	h.must(err)
	h.want(ask("alice+x@old.test", ""), "1 +x")
	h.want(ask("nobody@old.test", ""), "not found: there is no mailbox nobody@old.test here")
	h.set("rest", "yubin.test", "", unknown)
	h.want(ask("nobody@old.test", ""), "rest>nobody@yubin.test")
	h.want(ask("alice@old.test", ""), "1")
	h.set("old", "nobody@old.test", "")
	h.want(ask("nobody@old.test", ""), "old>nobody@old.test")
}

// TestForwards: what an account sends on goes in the name of the domain that was written
// to, and with its copy if it keeps one.
func TestForwards(t *testing.T) {
	h := open(t)
	h.must(h.dir.SetForward(t.Context(), addr("alice"), directory.Forward{To: []mail.Address{addr("x@far.test"), addr("bob")}, Keep: true}))
	r, err := h.Route(t.Context(), ask("alice", "s@else.test"))
	h.must(err)
	if tell(r, nil) != "1 2 MX>x@far.test" || r.Onward[0].Forward != "yubin.test" || r.Onward[0].By != 1 || !slices.Equal(r.By, []mail.AccountID{0, 1}) {
		t.Errorf("routed %+v", r)
	}
	h.set("bobs", "bob@yubin.test", "")
	r, err = h.Route(t.Context(), ask("alice", "s@else.test"))
	h.must(err)
	if tell(r, nil) != "1 bobs>bob@yubin.test MX>x@far.test" || r.Onward[0].By != 1 {
		t.Errorf("routed %+v", r)
	}
	h.must(h.dir.SetForward(t.Context(), addr("alice"), directory.Forward{To: []mail.Address{addr("x@far.test")}}))
	h.want(ask("alice+tag", "s@else.test"), "MX>x@far.test +tag")
}

// returns knows one address that was made for a forward.
type returns struct{}

func (returns) Return(_ context.Context, a mail.Address) (mail.Address, error) {
	if a.Local != "SRS0=ours" {
		return mail.Address{}, mail.Errorf(mail.NotFound, "forged")
	}
	return addr("s@else.test"), nil
}

// TestReportOfAForwardFindsHome: a catch-all, be it elsewhere, gets no report about mail
// that was sent on.
func TestReportOfAForwardFindsHome(t *testing.T) {
	h := open(t)
	h.Router.o.Returns = returns{}
	_, err := h.dir.SetAlias(t.Context(), directory.Alias{Address: directory.CatchAll("yubin.test"), Targets: []mail.Address{addr("x@far.test")}})
	h.must(err)
	h.want(ask("SRS0=ours", ""), "MX>s@else.test")
	h.want(ask("SRS0=forged", ""), "MX>x@far.test")
	h.want(ask("SRS0=ours", "somebody@else.test"), "MX>x@far.test")
	h.want(ask("whoever", ""), "MX>x@far.test")
}

// TestNoOpenRelay: nobody sends to foreign addresses without a reason.
func TestNoOpenRelay(t *testing.T) {
	h := open(t)
	h.set("all", "*", "yubin.test alice@yubin.test")
	h.set("plain", "plain.example .plain.example friend@else.example", "")
	h.set("backup", "backup.example .backup.example", "", relay)
	h.set("shut", "shut.backup.example", "", reject)
	h.set("host", "host.backup.example", "")
	h.set("one", "one@else.example", "", relay)
	h.set("vip", "vip@backup.example", "")
	h.must(h.Trust(t.Context(), mustNetwork("192.0.2.0/24")))
	h.must(h.Trust(t.Context(), mustNetwork("2001:db8::/32")))
	for _, c := range []struct {
		q    Question
		want string
	}{
		{ask("x@else.example", "alice"), denied},
		{ask("x@else.example", ""), denied},
		{ask("friend@else.example", ""), denied},
		{ask("x@plain.example", "alice"), denied},
		{ask("x@a.plain.example", "alice"), denied},
		{ask("x@[192.0.2.1]", "alice"), denied},
		{ask("x@mx.yubin.test", "alice"), denied},
		{ask("alice%else.example@mx.yubin.test", "alice"), denied},
		{ask(`"x@else.example"@yubin.test`, ""), `not found: there is no mailbox "x@else.example"@yubin.test here`},
		{ask("x@else.example", "alice", client("198.51.100.1")), denied},
		{ask("x@else.example", "alice", client("2001:db9::1")), denied},
		{ask("x@host.backup.example", "alice"), denied}, // a narrower route that does not relay
		{ask("x@shut.backup.example", "alice"), denied},

		{ask("x@else.example", "alice", loggedIn), "all>x@else.example"},
		{ask("x@else.example", "", ours), "all>x@else.example"},
		{ask("x@else.example", "", client("192.0.2.200")), "all>x@else.example"},
		{ask("x@else.example", "", client("::ffff:192.0.2.200")), "all>x@else.example"},
		{ask("x@else.example", "", client("2001:db8::25")), "all>x@else.example"},
		{ask("x@backup.example", ""), "backup>x@backup.example"},
		{ask("x@a.b.backup.example", "q@w.example"), "backup>x@a.b.backup.example"},
		{ask("VIP+1@backup.example", ""), "vip>VIP+1@backup.example"},
		{ask("One@else.example", ""), "one>One@else.example"},
		{ask("x@shut.backup.example", "", loggedIn), "forbidden: no mail for shut"},
	} {
		h.want(c.q, c.want)
	}
	h.must(h.Untrust(t.Context(), "192.0.2.0/24"))
	h.want(ask("x@else.example", "", client("192.0.2.200")), denied)
}

// TestNoRouteMakesAnOpenRelay: what would is refused.
func TestNoRouteMakesAnOpenRelay(t *testing.T) {
	h := open(t)
	for _, r := range []Route{
		{Name: "a", To: patterns("*"), Relay: true, Action: MX},
		{Name: "a", To: patterns("a.example *"), Relay: true, Action: MX},
		{Name: "a", From: patterns("a.example"), Relay: true, Action: MX},
		{Name: "a", To: patterns("a.example"), From: patterns("a.example"), Relay: true, Action: MX},
		{Name: "a", Relay: true, Action: MX},
	} {
		_, err := h.SetRoute(t.Context(), r)
		wantKind(t, err, mail.Invalid)
	}
	for _, wide := range []string{"0.0.0.0/0", "::/0", "128.0.0.0/1", "8000::/3"} {
		wantKind(t, h.Trust(t.Context(), mustNetwork(wide)), mail.Invalid)
	}
}

// TestHostPostmaster: RFC 5321 §4.5.1.
func TestHostPostmaster(t *testing.T) {
	h := open(t)
	h.want(ask("PostMaster@mx.yubin.test", ""), "1")
	h.want(ask("postmaster@else.example", ""), denied)
	h.set("pm", "postmaster@mx.yubin.test", "", relay)
	h.want(ask("postmaster@mx.yubin.test", ""), "pm>postmaster@mx.yubin.test")
	h.must(h.RemoveRoute(t.Context(), "pm"))
	for _, name := range []string{"alice", "bob", "carl"} {
		h.must(h.dir.RemoveAccount(t.Context(), addr(name)))
	}
	h.must(h.dir.RemoveDomain(t.Context(), "yubin.test"))
	h.want(ask("postmaster@mx.yubin.test", ""), denied)
}

func TestRejectAndDiscard(t *testing.T) {
	h := open(t)
	h.set("no", "no.example bob@yubin.test", "", reject)
	h.set("hole", "hole.example sink@yubin.test", "", discard)
	h.want(ask("x@no.example", "", loggedIn), "forbidden: no mail for no")
	h.want(ask("bob", ""), "forbidden: no mail for no")
	h.want(ask("x@hole.example", "", loggedIn), "discard by hole")
	h.want(ask("sink", ""), "discard by hole")
	_, err := h.Route(t.Context(), ask("bob", ""))
	var r *Refusal
	if !errors.As(err, &r) || r.Route != "no" || r.Enhanced != "5.7.1" {
		t.Errorf("%v, %+v", err, r)
	}
	h.wantNext(ask("x@no.example", ""), "forbidden: no mail for no")
	h.wantNext(ask("x@hole.example", ""), "forbidden: mail for x@hole.example is not carried any more")
}

// TestForwarding: where aliases lead is nobody's business but ours.
func TestForwarding(t *testing.T) {
	h := open(t)
	h.alias("out", "Dave@else.example")
	h.alias("team", "alice", "bob", "carl", "out", "dave@ELSE.example", "Eve@other.example")
	h.want(ask("out+x", "q@w.example"), "MX>Dave@else.example +x")
	h.want(ask("team", "q@w.example"), "1 2 MX>dave@else.example MX>Eve@other.example")
	h.set("bobs", "bob@yubin.test", "")
	h.set("w", "", "w.example")
	h.want(ask("team", "q@w.example"), "1 bobs>bob@yubin.test w>dave@else.example w>Eve@other.example")
	h.set("hole", "other.example", "", discard)
	h.want(ask("team", "q@w.example"), "1 bobs>bob@yubin.test w>dave@else.example")
	h.set("no", "else.example", "", reject)
	h.want(ask("out", "q@w.example"), "forbidden: no mail for no")
	h.want(ask("team", "q@w.example"), "1 bobs>bob@yubin.test no>dave@else.example")
	h.wantNext(ask("dave@else.example", "q@w.example"), "forbidden: no mail for no")
	h.alias("hole", "x@other.example")
	h.want(ask("hole", ""), "discard by hole")
	h.alias("both", "x@other.example", "y@else.example")
	h.want(ask("both", ""), "forbidden: no mail for no")
	// A loop through another host is not seen here, and Received ends it.
	h.alias("loop", "loop@loop.example")
	h.want(ask("loop", ""), "MX>loop@loop.example")
}

// TestNextHop: what operators and time bring about.
func TestNextHop(t *testing.T) {
	h := open(t)
	h.set("smart", "", "", func(r *Route) { r.Auth = &mail.Credentials{User: "u", Password: "p"} })
	h.set("implicit", "", "", func(r *Route) { r.ImplicitTLS = true })
	h.set("lmtp", "", "", func(r *Route) { r.Action, r.TLS = LMTP, mail.TLSRequired })
	h.set("mx", "", "", byMX, func(r *Route) { r.Port, r.TLS = 2525, mail.TLSVerified })
	h.set("no", "", "", reject)
	q := ask("dave@else.example", "alice")
	h.want(ask("dave@else.example", "alice", loggedIn), "MX>dave@else.example")
	for name, want := range map[string]string{
		"":         " mx:else.example",
		"smart":    `smart smtp:smart.example:26 user="u"`,
		"implicit": "implicit smtp:implicit.example:26 port=465 implicit",
		"lmtp":     "lmtp lmtp:lmtp.example:26 tls=required",
		"mx":       "mx mx:else.example port=2525 tls=verified",
		"no":       "forbidden: no mail for no",
		"gone":     "unavailable: there is no route gone",
	} {
		via(name)(&q)
		h.wantNext(q, want)
	}
	_, err := h.dir.AddDomain(t.Context(), "else.example")
	h.must(err)
	h.wantNext(ask("dave@else.example", ""), " local:")
	h.wantNext(ask("dave@else.example", "", via("lmtp")), "lmtp lmtp:lmtp.example:26 tls=required")
}

// TestModel compares random tables with a search of another kind: of all
// patterns of all routes that fit, the one of the best rank.
func TestModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	domains := []string{"a.example", "b.a.example", "c.b.a.example", "example", "z.test"}
	locals := []string{"u", "u+x", "v", "V+x"}
	address := func() string { return locals[rnd.IntN(len(locals))] + "@" + domains[rnd.IntN(len(domains))] }
	var found int
	for range 1000 {
		var routes []*Route
		taken := map[string]bool{}
		for _, name := range []string{"1", "2", "3", "4", "5", "6"} {
			r := &Route{Name: name, Action: MX, Relay: rnd.IntN(2) == 0}
			for range rnd.IntN(3) {
				p := [...]string{address(), domains[rnd.IntN(len(domains))], "." + domains[rnd.IntN(len(domains))], "*"}[rnd.IntN(4)]
				if !taken[strings.ToLower(p)] {
					taken[strings.ToLower(p)] = true
					r.To = append(r.To, patterns(p)...)
				}
			}
			if p := [...]string{address(), domains[rnd.IntN(len(domains))]}[rnd.IntN(2)]; rnd.IntN(3) == 0 && !taken["from "+strings.ToLower(p)] {
				taken["from "+strings.ToLower(p)] = true
				r.From = patterns(p)
			}
			routes = append(routes, r)
		}
		tab := newTables(routes, nil)
		for range 20 {
			to, from := addr(address()), addr(address())
			got, want := tab.choose(to, mail.ReversePath(from)).name(), naive(routes, to, from)
			if got != want {
				t.Fatalf("to %s from %s: %q, want %q of %+v", to, from, got, want, tab.list())
			}
			if want != "" {
				found++
			}
			if got, want := tab.relayer(to).Route != nil, naiveRelay(routes, to); got != want {
				t.Fatalf("%s relayed: %v, want %v of %+v", to, got, want, tab.list())
			}
		}
	}
	if found < 10000 || found == 20000 {
		t.Errorf("%d of 20000 found a route: the test says little", found)
	}
}

// rank says how well a pattern fits; 0 is not at all, less is better.
func rank(pattern string, a mail.Address) int {
	whole := strings.ToLower(a.Local) + "@" + string(a.Domain)
	base := strings.ToLower(strings.SplitN(a.Local, "+", 2)[0]) + "@" + string(a.Domain)
	switch {
	case pattern == whole:
		return 1
	case pattern == base:
		return 2
	case pattern == string(a.Domain):
		return 3
	case pattern[0] == '.' && strings.HasSuffix(string(a.Domain), pattern):
		return 1000 - len(pattern)
	case pattern == "*":
		return 9000
	}
	return 0
}

func naive(routes []*Route, to, from mail.Address) (name string) {
	best := 10000
	for _, r := range routes {
		for _, p := range r.To {
			if n := rank(p.String(), to); n > 0 && n < best {
				best, name = n, r.Name
			}
		}
		for _, p := range r.From {
			if n := rank(p.String(), from); n > 0 && 2000+n < best {
				best, name = 2000+n, r.Name
			}
		}
	}
	return name
}

func naiveRelay(routes []*Route, to mail.Address) bool {
	best, relays := 9000, false
	for _, r := range routes {
		for _, p := range r.To {
			switch n := rank(p.String(), to); {
			case n == 1 || n == 2:
				if r.Relay {
					return true
				}
			case n > 0 && n < best:
				best, relays = n, r.Relay
			}
		}
	}
	return relays
}

func BenchmarkRoute(b *testing.B) {
	h := open(b)
	h.set("backup", "backup.example .backup.example", "", relay)
	h.set("bobs", "bob@yubin.test", "")
	h.alias("team", "alice", "bob", "dave@else.example")
	for name, q := range map[string]Question{
		"local":   ask("alice+x", "q@w.example"),
		"alias":   ask("team", "q@w.example"),
		"relay":   ask("x@a.backup.example", "q@w.example"),
		"onward":  ask("x@else.example", "alice", loggedIn),
		"denied":  ask("x@else.example", "q@w.example", client("198.51.100.7")),
		"nexthop": ask("x@else.example", "alice"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if name == "nexthop" {
					_, _, _ = h.NextHop(b.Context(), q)
				} else {
					_, _ = h.Route(b.Context(), q)
				}
			}
		})
	}
}

// TestAnswersBelongToTheAsker: changing them changes no table.
func TestAnswersBelongToTheAsker(t *testing.T) {
	h := open(t)
	h.set("smart", "else.example", "", func(r *Route) { r.Auth = &mail.Credentials{User: "u", Password: "p"} })
	all := h.Routes()
	all[0].To[0], all[0].Hosts[0].Port, all[0].Auth.Password = Pattern{}, 1, "q"
	got, err := h.Lookup("smart")
	if err != nil || got.To[0].Domain != "else.example" || got.Hosts[0].Port != 26 || got.Auth.Password != "p" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = h.Lookup("none")
	wantKind(t, err, mail.NotFound)
}

// A directory that fails is our own trouble.
func TestDirectoryFails(t *testing.T) {
	h := open(t)
	gone := errors.New("the disk is gone")
	h.o.Directory = broken{h.dir, gone}
	if _, err := h.Route(t.Context(), ask("alice", "")); !errors.Is(err, gone) {
		t.Error(err)
	}
	if _, _, err := h.NextHop(t.Context(), ask("x@else.example", "")); !errors.Is(err, gone) || mail.KindOf(err) != mail.Internal {
		t.Error(err)
	}
	if _, err := h.Explain(t.Context(), ask("alice", ""), nil); !errors.Is(err, gone) {
		t.Error(err)
	}
}

var _ Directory = (*directory.Directory)(nil)
