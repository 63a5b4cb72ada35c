package directory

import (
	"errors"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestQuotaPrecedence: for each part the account's counts, then the domain's,
// then the site's; a change counts at once, in transactions and outside.
func TestQuotaPrecedence(t *testing.T) {
	h := open(t, nil)
	a, err := h.AddAccount(t.Context(), NewAccount{Address: addr("alice"), Password: "x"})
	h.must(err)
	b, err := h.AddAccount(t.Context(), NewAccount{Address: addr("bob"), Password: "x"})
	h.must(err)
	want := func(id mail.AccountID, octets, messages int64) {
		t.Helper()
		q, err := h.Quota(t.Context(), id)
		h.must(err)
		var in mail.Quota
		h.must(h.db.Write(t.Context(), func(tx *sqldb.Tx) (err error) {
			in, err = h.QuotaIn(tx, id)
			return err
		}))
		if w := (mail.Quota{Octets: octets, Messages: messages}); q != w || in != w {
			t.Errorf("account %d: %+v, in a transaction %+v; want %+v", id, q, in, w)
		}
	}
	want(a.ID, 0, 0)
	want(99, 0, 0)
	h.must(h.SetSiteQuota(t.Context(), change(1000, 10)))
	want(a.ID, 1000, 10)
	h.must(h.SetDomainQuota(t.Context(), "example.org", change(2000, Inherit)))
	want(a.ID, 2000, 10)
	h.must(h.SetQuota(t.Context(), a.Address, change(Inherit, 30)))
	want(a.ID, 2000, 30)
	want(b.ID, 2000, 10)
	h.must(h.SetQuota(t.Context(), b.Address, change(0, 0)))
	want(b.ID, 0, 0)
	h.must(h.SetSiteQuota(t.Context(), change(1500, Inherit)))
	h.must(h.SetDomainQuota(t.Context(), "example.org", change(Inherit, Inherit)))
	want(a.ID, 1500, 30)
	want(b.ID, 0, 0)

	if got, err := h.Account(t.Context(), a.Address); err != nil || got.Quota != (Allowance{Inherit, 30}) {
		t.Errorf("account says %+v, %v", got, err)
	}
	if site, err := h.SiteQuota(t.Context()); err != nil || site != (Allowance{1500, Inherit}) {
		t.Errorf("site says %+v, %v", site, err)
	}
	wantKind(t, h.SetQuota(t.Context(), addr("carol"), change(1, 1)), mail.NotFound)
	wantKind(t, h.SetDomainQuota(t.Context(), "elsewhere.example", change(1, 1)), mail.NotFound)
	wantKind(t, h.SetSiteQuota(t.Context(), change(-2, 1)), mail.Invalid)
}

func change(octets, messages int64) AllowanceChange {
	return AllowanceChange{Octets: &octets, Messages: &messages}
}

// TestQuotaInPart: what is not named stays.
func TestQuotaInPart(t *testing.T) {
	h := open(t, nil)
	_, err := h.AddAccount(t.Context(), NewAccount{Address: addr("alice"), Password: "x"})
	h.must(err)
	five, six := int64(5), int64(6)
	for _, c := range []AllowanceChange{{Octets: &five}, {Messages: &six}} {
		h.must(h.SetQuota(t.Context(), addr("alice"), c))
		h.must(h.SetDomainQuota(t.Context(), "example.org", c))
		h.must(h.SetSiteQuota(t.Context(), c))
	}
	a, err := h.Account(t.Context(), addr("alice"))
	h.must(err)
	site, err := h.SiteQuota(t.Context())
	h.must(err)
	domains, err := h.Domains(t.Context())
	h.must(err)
	if want := (Allowance{5, 6}); a.Quota != want || site != want || domains[0].Quota != want {
		t.Errorf("account %+v, site %+v, domain %+v", a.Quota, site, domains[0].Quota)
	}
}

// TestQuotaRolledBack: what a transaction read that never was is not remembered.
func TestQuotaRolledBack(t *testing.T) {
	h := open(t, nil)
	a, err := h.AddAccount(t.Context(), NewAccount{Address: addr("alice"), Password: "x"})
	h.must(err)
	broken := errors.New("broken")
	err = h.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(`UPDATE directory_account SET quota_octets = 7 WHERE id = $1`, a.ID); err != nil {
			return err
		}
		if q, err := h.QuotaIn(tx, a.ID); err != nil || q.Octets != 7 {
			t.Errorf("in the transaction %+v, %v", q, err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if q, err := h.Quota(t.Context(), a.ID); err != nil || !q.IsZero() {
		t.Errorf("after it %+v, %v", q, err)
	}
}
