package directory

import (
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestNeeded: an address that something else sends mail to does not go, by whatever name
// it is needed; another does.
func TestNeeded(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.account("bob")
	h.account("alice+own")
	h.alias("info", "bob")
	_, err := h.AddDomain(t.Context(), "old.example")
	h.must(err)
	_, err = h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	need := ""
	h.o.Needed = func(*sqldb.Tx) ([]Need, error) {
		a, err := mail.ParseAddress(need)
		return []Need{{"copy journal", a}}, err
	}
	pruned := func(without func(*Declared)) error {
		want, err := h.Declaration(t.Context(), false)
		h.must(err)
		without(&want)
		steps, err := h.Compare(t.Context(), want, true)
		h.must(err)
		return h.Try(t.Context(), want, true, steps)
	}
	for _, need = range []string{"alice@example.org", "Alice+x@example.org", "alice@old.example", "alice+x@old.example"} {
		wantKind(t, h.RemoveAccount(t.Context(), addr("alice")), mail.Conflict)
		wantKind(t, pruned(func(d *Declared) { d.Accounts = d.Accounts[1:] }), mail.Conflict)
		_, err := h.Rename(t.Context(), addr("alice"), addr("alicia"), false)
		wantKind(t, err, mail.Conflict)
	}
	need = "info@example.org"
	wantKind(t, h.RemoveAlias(t.Context(), addr("info")), mail.Conflict)
	wantKind(t, pruned(func(d *Declared) { d.Aliases = nil }), mail.Conflict)
	need = "alice@old.example"
	wantKind(t, h.RemoveDomain(t.Context(), "old.example"), mail.Conflict)
	need = "alice+own@example.org"
	_, err = h.Rename(t.Context(), addr("alice"), addr("alicia"), false)
	h.must(err)
	h.must(h.RemoveAlias(t.Context(), addr("info")))
	h.must(h.RemoveDomain(t.Context(), "old.example"))
	h.must(h.RemoveAccount(t.Context(), addr("bob")))
}
