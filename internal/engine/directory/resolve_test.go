package directory

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

func TestResolveAccounts(t *testing.T) {
	h := open(t, nil)
	alice := h.account("Alice")
	cpp := h.account("c+plus")
	bob := h.account("bob@bücher.example")
	jörg := h.account("Jörg@bücher.example")

	h.wantRoute("alice", "", alice)
	h.wantRoute("ALICE@EXAMPLE.ORG", "", alice)
	h.wantRoute("alice+Lists", "Lists", alice)
	h.wantRoute("alice+a+b", "a+b", alice)
	h.wantRoute("alice+", "", alice)
	h.wantRoute("C+Plus", "", cpp)
	h.wantNoRoute("c", mail.NotFound)
	h.wantNoRoute("c+other", mail.NotFound)
	h.wantNoRoute("+alice", mail.NotFound)
	h.wantRoute("bob@xn--bcher-kva.example", "", bob)
	h.wantRoute("jÖRG@BÜCHER.example", "", jörg)
	h.wantRoute("jo\u0308rg+ÄB@bücher.example", "ÄB", jörg)
	h.wantNoRoute("bob", mail.NotFound)
	h.wantNoRoute("alice@elsewhere.example", mail.Forbidden)

	for name, want := range map[mail.Domain]bool{"example.org": true, "xn--bcher-kva.example": true, "elsewhere.example": false} {
		if got, err := h.IsLocal(t.Context(), name); err != nil || got != want {
			t.Errorf("IsLocal(%s) = %v, %v", name, got, err)
		}
	}
}

func TestAnExactNameWinsOverASubaddress(t *testing.T) {
	h := open(t, nil)
	alice := h.account("alice")
	h.wantRoute("alice+work", "work", alice)
	work := h.account("alice+work")
	h.wantRoute("alice+work", "", work)
	h.wantRoute("alice+play", "play", alice)
	h.alias("alice+play", "alice+work")
	h.wantRoute("alice+play", "", work)
}

func TestResolveAliases(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob@bücher.example")
	h.alias("sales", "ALICE", "bob@bücher.example", "alice")
	h.alias("all", "bob@bücher.example", "sales", "alice")
	h.alias("alias@bücher.example", "all")

	h.wantRoute("Sales", "", alice, bob)
	h.wantRoute("all", "", bob, alice)
	h.wantRoute("all+x", "x", bob, alice)
	h.wantRoute("alias@bücher.example", "", bob, alice)
}

func TestAliasRefusals(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.alias("a", "alice")
	h.alias("b", "a")
	for _, c := range []struct {
		name, target string
		kind         mail.Kind
	}{
		{"alice", "b", mail.Exists},
		{"A", "alice", mail.Exists},
		{"c", "nobody", mail.NotFound},
		{"c", "alice+tag", mail.NotFound},
		{"c@elsewhere.example", "alice", mail.NotFound},
		{"c", "c", mail.Conflict},
	} {
		_, err := h.AddAlias(t.Context(), Alias{Address: addr(c.name), Targets: addrs(c.target)})
		wantKind(t, err, c.kind)
	}
	_, err := h.AddAlias(t.Context(), Alias{Address: addr("c"), Targets: nil})
	wantKind(t, err, mail.Invalid)
	var many []mail.Address
	for i := range MaxAliasTargets + 1 {
		many = append(many, addr(fmt.Sprint("t", i)))
	}
	_, err = h.AddAlias(t.Context(), Alias{Address: addr("c"), Targets: many})
	wantKind(t, err, mail.TooLarge)
	_, err = h.AddAccount(t.Context(), NewAccount{Address: addr("B"), Password: "x"})
	wantKind(t, err, mail.Exists)
	h.wantNoRoute("c", mail.NotFound) // nothing of a refused alias is left
}

func TestAliasLoops(t *testing.T) {
	h := open(t, nil)
	alice := h.account("alice")
	h.alias("a", "alice")
	h.alias("b", "a")
	h.alias("c", "b", "alice")
	for _, target := range []string{"a", "b", "c"} {
		_, err := h.SetAlias(t.Context(), Alias{Address: addr("a"), Targets: addrs("alice", target)})
		wantKind(t, err, mail.Conflict)
	}
	h.wantRoute("c", "", alice) // as before
	bob := h.account("bob")
	_, err := h.SetAlias(t.Context(), Alias{Address: addr("a"), Targets: addrs("bob")})
	h.must(err)
	h.wantRoute("c", "", alice, bob)
}

// Rows that loop, as a bug or an editor of the database could make them, must
// not hang a delivery.
func TestResolveEndsOnLoopingRows(t *testing.T) {
	h := open(t, nil)
	h.damaged = true
	alice := h.account("alice")
	h.alias("a", "alice")
	h.alias("b", "a")
	h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO directory_target VALUES ('example.org', 'a', 9, 'example.org', 'b')`)
		return err
	}))
	h.wantRoute("b", "", alice)
}

func TestAliasDepth(t *testing.T) {
	h := open(t, nil)
	alice := h.account("alice")
	h.alias("a1", "alice")
	for i := 2; i <= MaxAliasDepth; i++ {
		h.alias(fmt.Sprint("a", i), fmt.Sprint("a", i-1))
	}
	top := fmt.Sprint("a", MaxAliasDepth)
	h.wantRoute(top, "", alice)
	_, err := h.AddAlias(t.Context(), Alias{Address: addr("over"), Targets: addrs(top)})
	wantKind(t, err, mail.Conflict)
	h.alias("low", "alice")
	_, err = h.SetAlias(t.Context(), Alias{Address: addr("a1"), Targets: addrs("low")}) // too deep seen from the top
	wantKind(t, err, mail.Conflict)
	_, err = h.SetAlias(t.Context(), Alias{Address: addr("a2"), Targets: addrs("low")})
	h.must(err)
	h.wantRoute(top, "", alice)
}

func TestAliasMembers(t *testing.T) {
	h := open(t, nil)
	h.damaged = true // these accounts have no password
	h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
		for i := range MaxAliasMembers {
			if _, err := tx.Exec(`INSERT INTO directory_account (domain, local_key, local, password, factors, scram, language, created)
				VALUES ('example.org', $1, $1, '', '', '', '', 0)`, fmt.Sprint("u", i)); err != nil {
				return err
			}
		}
		return nil
	}))
	var groups []string
	for g := range MaxAliasMembers / MaxAliasTargets {
		var members []string
		for i := range MaxAliasTargets {
			members = append(members, fmt.Sprint("u", g*MaxAliasTargets+i))
		}
		groups = append(groups, fmt.Sprint("g", g))
		h.alias(groups[g], members...)
	}
	h.alias("most", groups[1:]...)
	r, err := h.Resolve(t.Context(), addr("most"))
	if err != nil || len(r.Accounts) != MaxAliasMembers-MaxAliasTargets {
		t.Errorf("%d accounts, %v", len(r.Accounts), err)
	}
	_, err = h.AddAlias(t.Context(), Alias{Address: addr("everybody"), Targets: addrs(groups...)})
	wantKind(t, err, mail.TooLarge)
}

// TestAliasMembersAsRecipients: no alias has more members than a message may have
// recipients, also if another one that it leads to grows.
func TestAliasMembersAsRecipients(t *testing.T) {
	h := open(t, func(o *Options) { o.Recipients = 3 })
	h.alias("inner", "a@x.example", "b@x.example")
	h.alias("outer", "inner", "c@x.example")
	for _, a := range []Alias{
		{Address: addr("more"), Targets: addrs("outer", "d@x.example")},
		{Address: addr("many"), Targets: addrs("a@x.example", "b@x.example", "c@x.example", "d@x.example")},
	} {
		_, err := h.AddAlias(t.Context(), a)
		wantKind(t, err, mail.TooLarge)
	}
	_, err := h.SetAlias(t.Context(), Alias{Address: addr("inner"), Targets: addrs("a@x.example", "b@x.example", "d@x.example")})
	wantKind(t, err, mail.TooLarge)
	_, err = h.SetAlias(t.Context(), Alias{Address: addr("inner"), Targets: addrs("a@x.example", "c@x.example")})
	h.must(err)
}

func TestFirstDomain(t *testing.T) {
	h := open(t, nil)
	for _, step := range []struct {
		change func() error
		want   mail.Domain
	}{
		{func() error { return nil }, "example.org"},
		{func() error { _, err := h.AddDomain(t.Context(), "a.example"); return err }, "a.example"},
		{func() error { return h.RemoveDomain(t.Context(), "a.example") }, "example.org"},
	} {
		h.must(step.change())
		for range 2 { // The second is remembered.
			if got, err := h.FirstDomain(t.Context()); err != nil || got != step.want {
				t.Errorf("got %v, %v, want %v", got, err, step.want)
			}
		}
	}
}

func TestCatchAll(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob@bücher.example")
	h.wantNoRoute("whoever", mail.NotFound)
	h.must(h.catchAll("example.org", "bob@bücher.example"))
	h.wantRoute("whoever", "", bob)
	h.wantRoute("whoever+tag", "", bob)
	h.wantRoute("alice+tag", "tag", alice)
	h.wantNoRoute("whoever@bücher.example", mail.NotFound)

	list, err := h.Domains(t.Context())
	h.must(err)
	if len(list) != 2 || !slices.Equal(list[0].CatchAll, addrs("bob@bücher.example")) || list[1].CatchAll != nil {
		t.Errorf("Domains: %+v", list)
	}
	wantKind(t, h.RemoveAccount(t.Context(), addr("bob@bücher.example")), mail.Conflict)
	h.must(h.SetDisabled(t.Context(), addr("bob@bücher.example"), true))
	h.wantNoRoute("whoever", mail.NotFound)
	h.must(h.RemoveAlias(t.Context(), CatchAll("example.org")))
	h.must(h.RemoveAccount(t.Context(), addr("bob@bücher.example")))
	wantKind(t, h.catchAll("example.org", "nobody"), mail.NotFound)
	wantKind(t, h.catchAll("elsewhere.example", "alice"), mail.NotFound)
}

func TestDisabled(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	h.alias("both", "alice", "bob")
	h.alias("only", "bob")
	h.wantRoute("both", "", alice, bob)
	h.must(h.SetDisabled(t.Context(), addr("BOB"), true))
	h.wantRoute("both", "", alice)
	for _, name := range []string{"bob", "bob+tag", "only"} {
		_, err := h.Resolve(t.Context(), addr(name))
		wantKind(t, err, mail.Forbidden)
		if !errors.Is(err, ErrDisabled) {
			t.Errorf("%s: %v is not ErrDisabled", name, err)
		}
	}
	_, err := h.Resolve(t.Context(), addr("bob@elsewhere.example"))
	if errors.Is(err, ErrDisabled) {
		t.Error("a foreign domain is ErrDisabled")
	}
	h.must(h.SetDisabled(t.Context(), addr("bob"), false))
	h.wantRoute("both", "", alice, bob)
}

// RFC 5321 §4.5.1: postmaster of every local domain is somebody.
func TestPostmaster(t *testing.T) {
	h := open(t, nil)
	h.wantNoRoute("postmaster", mail.NotFound) // nobody is here at all
	alice := h.account("alice")
	bob := h.account("bob")
	h.wantRoute("Postmaster", "", alice)
	h.wantRoute("postmaster@bücher.example", "", alice) // a domain without accounts
	h.wantRoute("Abuse@bücher.example", "", alice)
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	h.wantRoute("postmaster", "", bob)
	h.wantRoute("abuse", "", bob)
	h.must(h.catchAll("example.org", "alice"))
	h.alias("postmaster", "bob", "alice")
	h.wantRoute("postmaster", "", bob)
	carol := h.account("carol")
	h.must(h.RemoveAlias(t.Context(), addr("postmaster")))
	h.alias("postmaster", "carol")
	h.wantRoute("abuse", "", carol) // where the postmaster's goes
	h.alias("abuse", "bob")
	h.wantRoute("abuse", "", bob) // whoever has that name
	h.wantRoute("postmaster", "", carol)
}

func TestConfiguredPostmaster(t *testing.T) {
	h := open(t, func(o *Options) { o.Postmaster = addr("Admins@bücher.example") })
	first := h.account("first")
	h.wantRoute("postmaster", "", first) // until the configured one exists
	admin := h.account("admin")
	h.alias("admins@bücher.example", "admin")
	h.wantRoute("postmaster", "", admin)
	h.wantRoute("POSTMASTER@bücher.example", "", admin)
	h.must(h.SetDisabled(t.Context(), addr("admin"), true))
	h.wantRoute("postmaster", "", first)
}

func TestMayUse(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	h.account("alice+work")
	h.alias("sales", "alice")
	h.alias("all", "sales", "bob")
	h.must(h.catchAll("xn--bcher-kva.example", "alice"))
	for _, c := range []struct {
		who  mail.AccountID
		from string
		want bool
	}{
		{alice, "Alice", true}, {alice, "alice+tag", true}, {alice, "sales", true}, {alice, "sales+tag", true}, {alice, "all", true},
		{bob, "all", true}, {bob, "sales", false}, {bob, "alice", false}, {alice, "alice+work", false},
		{alice, "anything@bücher.example", false}, {alice, "alice@elsewhere.example", false}, {alice, "nobody", false},
	} {
		got, err := h.MayUse(t.Context(), mail.Principal{Account: c.who, Address: addr("alice")}, addr(c.from))
		if err != nil || got != c.want {
			t.Errorf("MayUse(%d, %s) = %v, %v", c.who, c.from, got, err)
		}
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if got, _ := h.MayUse(t.Context(), mail.Principal{Account: alice}, addr("alice")); got {
		t.Error("a disabled account may send")
	}
}

// Every change must be seen by the next lookup, also of what is in memory.
func TestChangesAreSeenAtOnce(t *testing.T) {
	h := open(t, nil)
	h.wantNoRoute("alice", mail.NotFound)
	alice := h.account("alice")
	h.wantRoute("alice", "", alice)
	h.wantNoRoute("sales", mail.NotFound)
	h.alias("sales", "alice")
	h.wantRoute("sales", "", alice)
	h.must(h.RemoveAlias(t.Context(), addr("SALES")))
	h.wantNoRoute("sales", mail.NotFound)
	h.must(h.RemoveAccount(t.Context(), addr("alice")))
	h.wantNoRoute("alice", mail.NotFound)
	h.must(h.RemoveDomain(t.Context(), "example.org"))
	h.wantNoRoute("alice", mail.Forbidden)
	if local, _ := h.IsLocal(t.Context(), "example.org"); local {
		t.Error("a removed domain is local")
	}
	_, err := h.AddDomain(t.Context(), "example.org")
	h.must(err)
	if again := h.account("alice"); again == alice {
		t.Error("an account id was used twice")
	}
}

func BenchmarkResolve(b *testing.B) {
	h := open(b, nil)
	h.account("alice")
	h.alias("sales", "alice")
	for _, name := range []string{"alice", "Alice+lists", "sales", "nobody", "jörg@bücher.example"} {
		a := addr(name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = h.route(b.Context(), a.Key())
			}
		})
	}
	b.Run("Resolve", func(b *testing.B) {
		a := addr("alice+lists")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Resolve(b.Context(), a); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		a := addr("sales")
		for b.Loop() {
			h.forget()
			if _, err := h.Resolve(b.Context(), a); err != nil {
				b.Fatal(err)
			}
		}
	})
}
