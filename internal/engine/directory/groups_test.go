package directory

import (
	"fmt"
	"slices"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

func (h *house) group(name string, members ...string) {
	h.t.Helper()
	g := Group{Name: name}
	for _, m := range members {
		who, err := ParseMember(m)
		h.must(err)
		g.Members = append(g.Members, who)
	}
	_, err := h.SetGroup(h.t.Context(), g)
	h.must(err)
}

// TestGroups: who is in them, by way of others too; mail for them; what may not be.
func TestGroups(t *testing.T) {
	h := open(t, nil)
	alice, bob, carl := h.account("alice"), h.account("bob"), h.account("carl")
	h.group("sales", "Alice@example.org", "bob@example.org", "alice@example.org")
	h.group("all", "sales", "carl@example.org")
	for name, want := range map[string][]mail.AccountID{"sales": {alice, bob}, "all": {carl, alice, bob}} {
		if got, err := h.MembersOf(t.Context(), name); err != nil || !slices.Equal(got, want) {
			t.Errorf("members of %s: %v, %v", name, got, err)
		}
	}
	for id, want := range map[mail.AccountID][]string{alice: {"sales", "all"}, carl: {"all"}} {
		if got, err := h.GroupsOf(t.Context(), id); err != nil || !slices.Equal(got, want) {
			t.Errorf("groups of %d: %v, %v", id, got, err)
		}
	}
	_, err := h.MembersOf(t.Context(), "none")
	wantKind(t, err, mail.NotFound)

	// Mail, by an address of its own and by an alias that has others, too.
	made, err := h.AddGroup(t.Context(), Group{Name: "team", Members: []mail.Address{addr("bob"), GroupName("sales")}, Addresses: addrs("team")})
	h.must(err)
	if !slices.Equal(made.Addresses, addrs("team")) || !slices.Equal(made.Members, []mail.Address{addr("bob"), GroupName("sales")}) {
		t.Errorf("made %+v", made)
	}
	h.wantRoute("team+x", "x", bob, alice)
	_, err = h.SetAlias(t.Context(), Alias{Address: addr("info"), Targets: []mail.Address{GroupName("all"), addr("x@elsewhere.example")}})
	h.must(err)
	h.wantSent("info", " carl/0 alice/0 bob/0 x@elsewhere.example/0")
	h.forward("bob", true, "y@elsewhere.example")
	h.wantSent("team", fmt.Sprintf(" bob/0 alice/0 y@elsewhere.example/%d", bob))
	if may, err := h.MayUse(t.Context(), mail.Principal{Account: alice}, addr("team")); err != nil || !may {
		t.Errorf("a member may not write as the group: %v", err)
	}
	h.must(h.SetDisabled(t.Context(), addr("bob"), true))
	h.wantRoute("team", "", alice)
	if got, err := h.MembersOf(t.Context(), "team"); err != nil || !slices.Equal(got, []mail.AccountID{alice}) {
		t.Errorf("members %v, %v", got, err)
	}
	h.must(h.SetDisabled(t.Context(), addr("bob"), false))

	// Changed in place.
	_, err = h.ChangeGroup(t.Context(), "sales", addrs("carl"), addrs("alice"))
	h.must(err)
	h.wantSent("team", fmt.Sprintf(" bob/0 carl/0 y@elsewhere.example/%d", bob))
	_, err = h.ChangeGroup(t.Context(), "sales", nil, addrs("alice"))
	wantKind(t, err, mail.NotFound)
	_, err = h.ChangeGroup(t.Context(), "none", addrs("alice"), nil)
	wantKind(t, err, mail.NotFound)
	_, err = h.Rename(t.Context(), addr("carl"), addr("carla"), false)
	h.must(err)
	if g, err := h.Group(t.Context(), "sales"); err != nil || !slices.Equal(g.Members, addrs("bob", "carla")) {
		t.Errorf("after a renaming %+v, %v", g, err)
	}

	for name, g := range map[string]struct {
		members []mail.Address
		kind    mail.Kind
	}{
		"sales": {[]mail.Address{GroupName("all")}, mail.Conflict}, // in itself
		"a":     {[]mail.Address{GroupName("b")}, mail.NotFound},
		"b":     {addrs("nobody"), mail.NotFound},
		"c":     {addrs("team"), mail.NotFound}, // an alias
		"d":     {addrs("x@elsewhere.example"), mail.NotFound},
		"Ä":     {nil, mail.Invalid},
		"":      {nil, mail.Invalid},
	} {
		_, err := h.SetGroup(t.Context(), Group{Name: name, Members: g.members})
		wantKind(t, err, g.kind)
	}
	_, err = h.AddGroup(t.Context(), Group{Name: "sales"})
	wantKind(t, err, mail.Exists)
	_, err = h.AddGroup(t.Context(), Group{Name: "other", Addresses: addrs("alice")})
	wantKind(t, err, mail.Exists)
	if _, err := h.Group(t.Context(), "other"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("a refused group is there: %v", err)
	}
	wantKind(t, h.SetForward(t.Context(), addr("alice"), Forward{To: addrs("nobody")}), mail.NotFound)

	// Removed only when nothing else leads to it.
	if err := h.RemoveAccount(t.Context(), addr("carla")); mail.KindOf(err) != mail.Conflict || err.Error() != "group all leads to carla@example.org; change or remove it first" {
		t.Errorf("removing a member: %v", err)
	}
	_, err = h.RemoveGroup(t.Context(), "all") // info leads to it, and to others
	wantKind(t, err, mail.Conflict)
	_, err = h.RemoveGroup(t.Context(), "sales")
	wantKind(t, err, mail.Conflict)
	gone, err := h.RemoveGroup(t.Context(), "team")
	if err != nil || !slices.Equal(gone, addrs("team")) {
		t.Errorf("gone %v, %v", gone, err)
	}
	h.wantNoRoute("team", mail.NotFound)
	list, err := h.Groups(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "all" {
		t.Errorf("groups %+v, %v", list, err)
	}

	// Nesting is bounded.
	h.group("g0", "alice@example.org")
	for i := 1; i < MaxAliasDepth; i++ {
		h.group(fmt.Sprint("g", i), fmt.Sprint("g", i-1))
	}
	_, err = h.SetGroup(t.Context(), Group{Name: "deep", Members: []mail.Address{GroupName(fmt.Sprint("g", MaxAliasDepth-1))}})
	wantKind(t, err, mail.Conflict)
}

// TestGrants: as whom somebody may write who does not get that mail.
func TestGrants(t *testing.T) {
	h := open(t, nil)
	alice, bob, relay := h.account("alice"), h.account("bob"), h.account("relay")
	h.account("sales")
	h.group("team", "alice@example.org")
	_, err := h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	may := func(who mail.AccountID, from string, want bool) {
		t.Helper()
		if got, err := h.MayUse(t.Context(), mail.Principal{Account: who}, addr(from)); err != nil || got != want {
			t.Errorf("MayUse(%d, %s) = %v, %v", who, from, got, err)
		}
	}
	grant := func(who, as string) Grant {
		w, err := ParseMember(who)
		h.must(err)
		a, err := ParseSenders(as)
		h.must(err)
		return Grant{w, a}
	}
	may(alice, "sales", false)
	h.must(h.Allow(t.Context(), grant("alice@example.org", "Sales@example.org")))
	may(alice, "sales+eu", true)
	may(alice, "sales@old.example", true)
	may(alice, "sales2", false)
	may(bob, "sales", false)
	h.wantRoute("sales", "", 4) // Mail is still for sales alone.

	h.must(h.Allow(t.Context(), grant("team", "domain:xn--bcher-kva.example")))
	h.must(h.Allow(t.Context(), grant("team", "x@elsewhere.example")))
	may(alice, "whoever@bücher.example", true)
	may(alice, "x@elsewhere.example", true)
	may(alice, "y@elsewhere.example", false)
	may(bob, "whoever@bücher.example", false)
	_, err = h.ChangeGroup(t.Context(), "team", addrs("bob"), nil)
	h.must(err)
	may(bob, "whoever@bücher.example", true)

	h.must(h.Allow(t.Context(), grant("relay@example.org", "any")))
	may(relay, "whoever@anywhere.example", true)
	may(relay, "alice", true)
	h.must(h.Allow(t.Context(), grant("bob@example.org", "domain:example.org")))
	may(bob, "nobody@old.example", true)

	list, err := h.Grants(t.Context(), addr("ALICE"))
	h.must(err)
	got := ""
	for _, g := range list {
		got += NameOf(g.Who) + " " + SendersText(g.As) + "; "
	}
	if want := "alice@example.org sales@example.org; group:team x@elsewhere.example; group:team domain:xn--bcher-kva.example; "; got != want {
		t.Errorf("grants %s", got)
	}

	_, err = h.Rename(t.Context(), addr("sales"), addr("vertrieb"), true)
	h.must(err)
	may(alice, "vertrieb", true)
	may(alice, "sales", false)
	h.must(h.SetDisabled(t.Context(), addr("relay"), true))
	may(relay, "alice", false)
	h.must(h.Disallow(t.Context(), grant("relay@example.org", "any")))
	h.must(h.SetDisabled(t.Context(), addr("relay"), false))
	may(relay, "alice", false)

	for _, c := range []struct {
		err  error
		kind mail.Kind
	}{
		{h.Allow(t.Context(), grant("alice@example.org", "vertrieb@old.example")), mail.Exists},
		{h.Allow(t.Context(), grant("nobody@example.org", "any")), mail.NotFound},
		{h.Allow(t.Context(), grant("none", "any")), mail.NotFound},
		{h.Disallow(t.Context(), grant("alice@example.org", "any")), mail.NotFound},
	} {
		wantKind(t, c.err, c.kind)
	}
	for _, s := range []string{"", "anybody", "domain:", "domain:[192.0.2.1", "@example.org"} {
		if a, err := ParseSenders(s); err == nil {
			t.Errorf("%q was read as %v", s, a)
		}
	}
	h.must(h.RemoveAlias(t.Context(), addr("sales")))
	h.must(h.RemoveAccount(t.Context(), addr("vertrieb"))) // and leave to write as it
	_, err = h.RemoveGroup(t.Context(), "team")
	h.must(err)
	if list, err := h.Grants(t.Context(), addr("alice")); err != nil || len(list) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
}

// TestGrantsAreBounded: one account is not granted more than MaxGrants.
func TestGrantsAreBounded(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
		for i := range MaxGrants {
			if err := allow(tx, Grant{addr("alice"), addr(fmt.Sprintf("x%d@elsewhere.example", i))}); err != nil {
				return err
			}
		}
		return nil
	}))
	wantKind(t, h.Allow(t.Context(), Grant{addr("alice"), addr("more@elsewhere.example")}), mail.TooLarge)
}
