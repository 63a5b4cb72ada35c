package directory

import (
	"fmt"
	"sync"
	"testing"

	"yubin/internal/mail"
)

// TestTwoAtOnce: of what cannot both be true only one becomes true, though two
// processes have the database: an account and an alias of the same name, an
// account of a domain and the end of the domain, a catch-all and the end of its
// account.
func TestTwoAtOnce(t *testing.T) {
	h := open(t, nil)
	other, err := Open(t.Context(), h.o)
	h.must(err)
	h.account("bob")
	addr := func(s string) mail.Address {
		a, err := mail.ParseAddress(s)
		h.must(err)
		return a
	}
	both := func(a, b func() error) (won int) {
		var errs [2]error
		var at sync.WaitGroup
		at.Go(func() { errs[0] = a() })
		at.Go(func() { errs[1] = b() })
		at.Wait()
		for _, err := range errs {
			if err == nil {
				won++
			} else if k := mail.KindOf(err); k != mail.Exists && k != mail.NotFound && k != mail.Conflict {
				t.Error(err)
			}
		}
		return won
	}
	account := func(d *Directory, a mail.Address) func() error {
		return func() error {
			_, err := d.AddAccount(t.Context(), NewAccount{Address: a, Password: "x"})
			return err
		}
	}
	for i := range 10 {
		name := addr(fmt.Sprintf("n%d@example.org", i))
		if n := both(account(h.Directory, name), func() error {
			_, err := other.AddAlias(t.Context(), Alias{Address: name, Targets: []mail.Address{addr("bob@example.org")}})
			return err
		}); n != 1 {
			t.Errorf("%d of an account and an alias with the same name", n)
		}
		domain := mail.Domain(fmt.Sprintf("d%d.example", i))
		_, err := h.AddDomain(t.Context(), domain)
		h.must(err)
		here := addr("a@" + string(domain))
		if n := both(account(other, here), func() error { return h.RemoveDomain(t.Context(), domain) }); n != 1 {
			t.Errorf("%d of an account and the end of its domain", n)
		}
		if _, err := h.AddDomain(t.Context(), domain); err != nil && mail.KindOf(err) != mail.Exists {
			t.Fatal(err)
		}
		catcher := addr(fmt.Sprintf("c%d@example.org", i))
		h.must(account(h.Directory, catcher)())
		if n := both(func() error {
			_, err := other.SetAlias(t.Context(), Alias{Address: CatchAll(domain), Targets: []mail.Address{catcher}})
			return err
		},
			func() error { return h.RemoveAccount(t.Context(), catcher) }); n != 1 {
			t.Errorf("%d of a catch-all and the end of its account", n)
		}
	}
}
