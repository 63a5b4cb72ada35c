package directory

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"yubin/internal/mail"
)

func (h *house) forward(name string, keep bool, to ...string) {
	h.t.Helper()
	h.must(h.SetForward(h.t.Context(), addr(name), Forward{To: addrs(to...), Keep: keep}))
}

// wantSent checks who gets mail for name: accounts, and those elsewhere, each with the
// account whose copy must be kept for it.
func (h *house) wantSent(name, want string) {
	h.t.Helper()
	r, err := h.Resolve(h.t.Context(), addr(name))
	got := ""
	for i, a := range r.Accounts {
		got += fmt.Sprintf(" %s/%d", r.Names[i].Local, r.By[i])
		if a == 0 {
			h.t.Errorf("no account")
		}
	}
	for i, f := range r.Foreign {
		got += fmt.Sprintf(" %s/%d", f, r.ForeignBy[i])
	}
	if err != nil || got != want {
		h.t.Errorf("mail for %s goes to%s, %v; want%s", name, got, err, want)
	}
}

// TestForward: what an account sends on, with and without a copy kept, and who may write
// as whom then.
func TestForward(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	carl := h.account("carl")
	h.alias("team", "alice", "bob")

	h.forward("alice", true, "X@elsewhere.example", "carl")
	h.wantSent("alice+tag", fmt.Sprintf(" alice/0 carl/%d X@elsewhere.example/%d", alice, alice))
	h.wantSent("team", fmt.Sprintf(" alice/0 bob/0 carl/%d X@elsewhere.example/%d", alice, alice))
	h.forward("carl", true, "y@elsewhere.example")
	h.wantSent("alice", fmt.Sprintf(" alice/0 carl/%d X@elsewhere.example/%d y@elsewhere.example/%d", alice, alice, carl))
	h.forward("carl", false, "y@elsewhere.example")
	h.wantSent("alice", fmt.Sprintf(" alice/0 X@elsewhere.example/%d y@elsewhere.example/%d", alice, alice))
	h.wantSent("carl", " y@elsewhere.example/0")

	for _, c := range []struct {
		who  mail.AccountID
		from string
		want bool
	}{{alice, "alice", true}, {carl, "carl", true}, {carl, "alice", false}, {alice, "team", true}, {bob, "team", true}, {carl, "team", false}} {
		if got, err := h.MayUse(t.Context(), mail.Principal{Account: c.who}, addr(c.from)); err != nil || got != c.want {
			t.Errorf("MayUse(%d, %s) = %v, %v", c.who, c.from, got, err)
		}
	}

	a, err := h.Account(t.Context(), addr("alice"))
	h.must(err)
	if !a.Forward.Keep || !slices.Equal(a.Forward.To, addrs("X@elsewhere.example", "carl")) {
		t.Errorf("account %+v", a)
	}
	if err := h.RemoveAccount(t.Context(), addr("carl")); mail.KindOf(err) != mail.Conflict || err.Error() != "the forward of account alice@example.org leads to carl@example.org; change or remove it first" {
		t.Errorf("removing a target: %v", err)
	}
	if _, err := h.AddDomain(t.Context(), "elsewhere.example"); mail.KindOf(err) != mail.Conflict {
		t.Errorf("adding the domain of a target: %v", err)
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if _, err := h.Resolve(t.Context(), addr("alice")); !errors.Is(err, ErrDisabled) {
		t.Errorf("a disabled account: %v", err)
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), false))
	h.forward("alice", false)
	h.wantSent("alice", " alice/0")
	h.must(h.RemoveAccount(t.Context(), addr("carl"))) // with its own forward
}

// TestForwardRefusals: what would come back, lead nowhere or be too much is refused, and
// leaves what there was.
func TestForwardRefusals(t *testing.T) {
	h := open(t, nil)
	for _, name := range []string{"alice", "bob"} {
		h.account(name)
	}
	h.alias("team", "alice")
	h.forward("bob", true, "alice")
	for to, kind := range map[string]mail.Kind{"alice": mail.Conflict, "team": mail.Conflict, "bob": mail.Conflict, "nobody": mail.NotFound} {
		wantKind(t, h.SetForward(t.Context(), addr("alice"), Forward{To: addrs(to), Keep: true}), kind)
	}
	_, err := h.SetAlias(t.Context(), Alias{Address: addr("team"), Targets: addrs("bob", "team")})
	wantKind(t, err, mail.Conflict)
	var many []mail.Address
	for i := range MaxForwards + 1 {
		many = append(many, addr(fmt.Sprintf("x%d@elsewhere.example", i)))
	}
	wantKind(t, h.SetForward(t.Context(), addr("alice"), Forward{To: many}), mail.TooLarge)
	wantKind(t, h.SetForward(t.Context(), addr("nobody"), Forward{}), mail.NotFound)
	h.wantSent("bob", " bob/0 alice/2")
	h.wantSent("team", " alice/0")
}
