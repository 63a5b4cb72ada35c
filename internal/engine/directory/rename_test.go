package directory

import (
	"slices"
	"testing"

	"yubin/internal/mail"
)

// TestRename: an account with another address keeps its number, password and all that
// leads to it; its sessions end.
func TestRename(t *testing.T) {
	var revoked []mail.AccountID
	h := open(t, func(o *Options) { o.Revoked = func(e Ended) { revoked = append(revoked, e.Account) } })
	alice, bob := h.account("alice"), h.account("bob")
	h.alias("team", "bob", "alice")
	h.must(h.catchAll("example.org", "alice"))
	h.forward("bob", true, "alice")
	h.forward("alice", true, "x@elsewhere.example")
	before, err := h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(home))
	h.must(err)

	a, err := h.Rename(t.Context(), addr("ALICE"), addr("Al@bücher.example"), false)
	h.must(err)
	if a.ID != alice || a.Address != addr("Al@bücher.example") || !slices.Equal(revoked, []mail.AccountID{alice}) {
		t.Errorf("renamed %+v, revoked %v", a, revoked)
	}
	wantKind(t, h.Confirm(t.Context(), before), mail.Forbidden)
	p, err := h.Login(t.Context(), "al@bücher.example", "pw of alice", imapFrom(home))
	h.must(err)
	if p.Account != alice || p.Version == before.Version {
		t.Errorf("logged in as %+v, before %+v", p, before)
	}
	_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(home))
	wantKind(t, err, mail.Forbidden)
	h.wantSent("team", " bob/0 al/0 x@elsewhere.example/1")
	h.wantSent("whoever", " al/0 x@elsewhere.example/1")
	h.wantRoute("alice", "", alice) // by the catch-all
	list, err := h.Aliases(t.Context(), Filter{})
	h.must(err)
	if len(list) != 2 || !slices.Equal(list[1].Targets, addrs("bob", "al@bücher.example")) {
		t.Errorf("aliases %+v", list)
	}

	_, err = h.Rename(t.Context(), addr("al@bücher.example"), addr("alice"), true)
	h.must(err)
	h.wantSent("AL@bücher.example", " alice/0 x@elsewhere.example/1")
	if may, err := h.MayUse(t.Context(), mail.Principal{Account: alice}, addr("al@bücher.example")); err != nil || !may {
		t.Errorf("may not write as before: %v", err)
	}
	_, err = h.Rename(t.Context(), addr("alice"), addr("Alice"), true) // its case alone
	h.must(err)
	if a, err = h.Account(t.Context(), addr("alice")); err != nil || a.Address != addr("Alice") {
		t.Errorf("account %+v, %v", a, err)
	}
	for to, kind := range map[string]mail.Kind{"bob": mail.Exists, "team": mail.Exists, "x@elsewhere.example": mail.NotFound, `"a b"@example.org`: mail.Invalid} {
		_, err := h.Rename(t.Context(), addr("alice"), addr(to), true)
		wantKind(t, err, kind)
	}
	_, err = h.Rename(t.Context(), addr("nobody"), addr("somebody"), false)
	wantKind(t, err, mail.NotFound)
	h.wantSent("bob", " bob/0 alice/2 x@elsewhere.example/1")
	if bob != 2 {
		t.Errorf("bob is %d", bob)
	}
}
