package directory

import (
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestAliasDomain: every address of a domain that is another name of one is that one's,
// but those that somebody has in it himself; to log in and to write from, too.
func TestAliasDomain(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	h.alias("team", "alice", "bob")
	d, err := h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	if d.Name != "old.example" || d.AliasOf != "example.org" {
		t.Errorf("made %+v", d)
	}
	if local, err := h.IsLocal(t.Context(), "old.example"); err != nil || !local {
		t.Errorf("it is not local: %v", err)
	}
	h.wantRoute("Alice+tag@old.example", "tag", alice)
	h.wantRoute("team@old.example", "", alice, bob)
	h.wantRoute("postmaster@old.example", "", alice)
	h.wantNoRoute("nobody@old.example", mail.NotFound)

	own := h.account("bob@old.example")
	h.wantRoute("bob+x@old.example", "x", own)
	h.alias("info@old.example", "alice@old.example", "bob@old.example", "bob")
	h.wantRoute("info@old.example", "", alice, own, bob)
	h.must(h.catchAll("example.org", "bob@old.example"))
	h.wantRoute("nobody@old.example", "", own)

	for _, c := range []struct {
		who  mail.AccountID
		from string
		want bool
	}{{alice, "alice@old.example", true}, {alice, "team+x@old.example", true}, {bob, "bob@old.example", false}, {own, "bob@old.example", true}, {own, "bob", false}, {alice, "nobody@old.example", false}} {
		if got, err := h.MayUse(t.Context(), mail.Principal{Account: c.who}, addr(c.from)); err != nil || got != c.want {
			t.Errorf("MayUse(%d, %s) = %v, %v", c.who, c.from, got, err)
		}
	}
	for user, want := range map[string]mail.AccountID{"Alice@OLD.example": alice, "bob@example.org": bob} {
		p, err := h.Login(t.Context(), user, "pw of "+map[mail.AccountID]string{alice: "alice", bob: "bob"}[want], imapFrom(home))
		if err != nil || p.Account != want {
			t.Errorf("%s is %v, %v", user, p, err)
		}
	}
	p, err := h.Login(t.Context(), "bob@old.example", "pw of bob@old.example", imapFrom(home))
	if err != nil || p.Account != own {
		t.Errorf("logged in as %v, %v", p, err)
	}
	_, err = h.Login(t.Context(), "nobody@old.example", "pw of alice", imapFrom(home))
	wantKind(t, err, mail.Forbidden)

	for name, of := range map[mail.Domain]mail.Domain{"older.example": "old.example", "example.org": "xn--bcher-kva.example"} {
		_, err := h.AliasDomain(t.Context(), name, of) // One is an alias, the other has one.
		wantKind(t, err, mail.Conflict)
	}
	_, err = h.AliasDomain(t.Context(), "x.example", "y.example")
	wantKind(t, err, mail.NotFound)
	_, err = h.AliasDomain(t.Context(), "x.example", "x.example")
	wantKind(t, err, mail.Invalid)
	wantKind(t, h.catchAll("old.example", "alice"), mail.Conflict)
	wantKind(t, h.RemoveDomain(t.Context(), "example.org"), mail.Conflict)

	kept, err := h.UnaliasDomain(t.Context(), "old.example")
	if err != nil || !kept {
		t.Errorf("kept %v, %v", kept, err)
	}
	h.wantNoRoute("alice@old.example", mail.NotFound)
	h.wantRoute("bob@old.example", "", own)
	_, err = h.UnaliasDomain(t.Context(), "old.example")
	wantKind(t, err, mail.NotFound)
	h.must(h.catchAll("old.example", "alice"))
	_, err = h.AliasDomain(t.Context(), "old.example", "example.org")
	wantKind(t, err, mail.Conflict)

	_, err = h.AliasDomain(t.Context(), "empty.example", "example.org")
	h.must(err)
	if kept, err := h.UnaliasDomain(t.Context(), "empty.example"); err != nil || kept {
		t.Errorf("kept %v, %v", kept, err)
	}
	h.wantNoRoute("alice@empty.example", mail.Forbidden)
}

// TestAliasDomainIsGuessedAtTogether: a password guessed by both names of a domain is
// counted as one account's.
func TestAliasDomainIsGuessedAtTogether(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	_, err := h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	for _, user := range []string{"alice", "nobody"} {
		a, err := h.claim(t.Context(), user+"@example.org", imapFrom(home))
		h.must(err)
		b, err := h.claim(t.Context(), user+"@old.example", imapFrom(home))
		h.must(err)
		if a.user != b.user || a.name != b.name {
			t.Errorf("%s is counted as %q and as %q", user, a.name, b.name)
		}
	}
}

// TestPostmasterByAnAliasDomain: the configured postmaster may be named in either.
func TestPostmasterByAnAliasDomain(t *testing.T) {
	h := open(t, func(o *Options) { o.Postmaster = addr("boss@old.example") })
	h.account("first")
	boss := h.account("boss")
	_, err := h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	for _, name := range []string{"postmaster", "postmaster@old.example", "postmaster@bücher.example"} {
		h.wantRoute(name, "", boss)
	}
}

// TestAliasDomainsThatLoop: rows as no command makes them end no lookup.
func TestAliasDomainsThatLoop(t *testing.T) {
	h := open(t, nil)
	h.damaged = true
	h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE directory_domain SET alias_of = 'example.org'`)
		return err
	}))
	h.wantNoRoute("nobody", mail.NotFound)
	h.wantNoRoute("nobody@bücher.example", mail.NotFound)
	if len(h.problems()) == 0 {
		t.Error("check says nothing")
	}
}
