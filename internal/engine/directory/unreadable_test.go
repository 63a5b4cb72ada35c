package directory

import (
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// damage changes rows behind the directory's back.
func (h *house) damage(query string) {
	h.t.Helper()
	h.must(h.db.Write(h.t.Context(), func(tx *sqldb.Tx) error {
		tx.OnCommit(h.forget)
		_, err := tx.Exec(query)
		return err
	}))
}

// wantProblem looks for a problem of check that names something.
func (h *house) wantProblem(name string) {
	h.t.Helper()
	if found := h.problems(); !slices.ContainsFunc(found, func(p string) bool {
		return strings.Contains(p, name) && strings.Contains(p, "cannot be read")
	}) {
		h.t.Errorf("check says %q, want something about %s", found, name)
	}
}

// TestUnreadableAccount: an account whose row cannot be read is listed with what is
// wrong, named by check, and removed by what the list shows; all others log in and
// get their mail.
func TestUnreadableAccount(t *testing.T) {
	for _, tc := range []struct {
		name, set, shown string
		number           bool // the column is of numbers
	}{
		{"local part", "local = 'bo b\t'", "bob@example.org", false},
		{"key", `local_key = 'BOB'`, "BOB@example.org", false},
		{"domain", `domain = 'exa..mple'`, "bob@exa..mple", false},
		{"language", `language = 'a language'`, "bob@example.org", false},
		{"disabled", `disabled = 'perhaps'`, "bob@example.org", true},
		{"quota", `quota_octets = 'much'`, "bob@example.org", true},
		{"created", `created = 'once'`, "bob@example.org", true},
	} {
		if tc.number && dbtest.OnServer() {
			continue // A column of numbers has nothing else there.
		}
		t.Run(tc.name, func(t *testing.T) {
			h := open(t, nil)
			for _, name := range []string{"alice", "bob", "carl"} {
				h.account(name)
			}
			h.damage(`UPDATE directory_account SET ` + tc.set + ` WHERE local_key = 'bob'`)
			list, err := h.Accounts(t.Context(), Filter{})
			h.must(err)
			var shown mail.Address
			for _, a := range list {
				if a.Unreadable != "" {
					shown = a.Address
				}
			}
			if len(list) != 3 || shown.Local+"@"+string(shown.Domain) != tc.shown {
				t.Fatalf("listed %+v", list)
			}
			h.wantProblem(shown.String())
			for _, name := range []string{"alice", "carl"} {
				_, err := h.Login(t.Context(), name+"@example.org", "pw of "+name, imapFrom(home))
				h.must(err)
				_, err = h.Resolve(t.Context(), addr(name))
				h.must(err)
				_, err = h.Quota(t.Context(), list[0].ID)
				h.must(err)
			}
			h.must(h.RemoveAccount(t.Context(), shown))
			if list, err = h.Accounts(t.Context(), Filter{}); err != nil || len(list) != 2 {
				t.Errorf("left %+v, %v", list, err)
			}
			if found := h.problems(); len(found) != 0 {
				t.Errorf("check says %q", found)
			}
		})
	}
}

// TestUnreadableHash: who has a hash that cannot be read cannot log in; the others can.
func TestUnreadableHash(t *testing.T) {
	h := open(t, nil)
	for _, name := range []string{"alice", "bob"} {
		_, err := h.AddAccount(t.Context(), NewAccount{Address: addr(name), Password: "secret"})
		h.must(err)
	}
	h.damage(`UPDATE directory_account SET password = 'none' WHERE local_key = 'bob'`)
	_, err := h.Login(t.Context(), "bob@example.org", "secret", imapFrom(home))
	wantKind(t, err, mail.Internal)
	_, err = h.Login(t.Context(), "alice@example.org", "secret", imapFrom(home))
	h.must(err)
	h.wantProblem("bob@example.org")
	h.must(h.SetPassword(t.Context(), addr("bob"), "other", false))
	_, err = h.Login(t.Context(), "bob@example.org", "other", imapFrom(home))
	h.must(err)
}

// TestUnreadableAlias: a target that nobody can have gets nothing and keeps nothing
// from the others; an alias that has no others puts mail off.
func TestUnreadableAlias(t *testing.T) {
	h := open(t, nil)
	bob := h.account("bob")
	h.alias("team", "bob", "x@elsewhere.example")
	h.alias("away", "y@elsewhere.example")
	h.alias("fine", "bob")
	h.damage(`UPDATE directory_target SET target_domain = 'else..where' WHERE target_domain = 'elsewhere.example'`)
	h.wantRoute("team", "", bob)
	h.wantNoRoute("away", mail.Unavailable)
	h.wantRoute("fine", "", bob)
	h.wantProblem("team@example.org")
	h.damage(`UPDATE directory_alias SET local_key = 'FINE' WHERE local_key = 'fine'`)
	list, err := h.Aliases(t.Context(), Filter{})
	h.must(err)
	var bad []mail.Address
	for _, a := range list {
		if a.Unreadable != "" {
			bad = append(bad, a.Address)
		}
	}
	if len(list) != 3 || len(bad) != 3 {
		t.Fatalf("listed %+v", list)
	}
	for _, a := range bad {
		h.must(h.RemoveAlias(t.Context(), a))
	}
	h.damage(`DELETE FROM directory_target WHERE local_key = 'fine'`) // It lost its alias.
}

// TestUnreadableDomain: a domain that cannot be read is no domain, is shown and can
// be removed; nor is it the first one, where the postmaster is.
func TestUnreadableDomain(t *testing.T) {
	h := open(t, nil)
	bob := h.account("bob")
	h.damage(`INSERT INTO directory_domain (name) VALUES ('EXAMPLE.org'), ('a..b')`)
	wrong := 2
	if !dbtest.OnServer() { // A column of numbers has nothing else there.
		wrong++
		h.damage(`UPDATE directory_domain SET quota_octets = 'much' WHERE name = 'example.org'`)
		h.damage(`INSERT INTO directory_site (id, quota_octets, quota_messages) VALUES (1, 'little', 7)`)
	}
	h.wantRoute("bob", "", bob)
	if q, err := h.Quota(t.Context(), bob); err != nil || q != (mail.Quota{}) {
		t.Errorf("quota %+v, %v", q, err)
	}
	if first, err := h.FirstDomain(t.Context()); err != nil || first != "example.org" {
		t.Errorf("the first is %q, %v", first, err)
	}
	list, err := h.Domains(t.Context())
	h.must(err)
	bad := 0
	for _, d := range list {
		if d.Unreadable != "" {
			bad++
		}
	}
	if len(list) != 4 || bad != wrong {
		t.Fatalf("listed %+v", list)
	}
	h.wantProblem("a..b")
	for _, name := range []mail.Domain{"EXAMPLE.org", "a..b"} {
		h.must(h.RemoveDomain(t.Context(), name))
	}
	h.must(h.SetDomainQuota(t.Context(), "example.org", AllowanceChange{Octets: new(int64)}))
	h.damage(`DELETE FROM directory_site`)
}
