package directory

import (
	"fmt"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// wantForeign checks the names of the accounts, then the foreign addresses.
func (h *house) wantForeign(name, accounts, foreign string) {
	h.t.Helper()
	r, err := h.Resolve(h.t.Context(), addr(name))
	if got := list(r.Names); err != nil || got != accounts || list(r.Foreign) != foreign || len(r.Names) != len(r.Accounts) {
		h.t.Errorf("Resolve(%s) = %q, foreign %q, %v; want %q, %q", name, got, list(r.Foreign), err, accounts, foreign)
	}
}

func list(all []mail.Address) string {
	var names []string
	for _, a := range all {
		names = append(names, a.String())
	}
	return strings.Join(names, " ")
}

// TestForwarding: aliases lead outside too; the case of a foreign local part is
// the other host's.
func TestForwarding(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.account("bob")
	h.alias("out", "Carol@Elsewhere.Example", "carol@elsewhere.example")
	h.alias("both", "ALICE", "Dave@other.example", "out")
	h.alias("all", "both", "out", "CAROL@elsewhere.example", "bob")
	h.wantForeign("out", "", "Carol@elsewhere.example")
	h.wantForeign("out+tag", "", "Carol@elsewhere.example")
	h.wantForeign("both", "alice@example.org", "Dave@other.example Carol@elsewhere.example")
	h.wantForeign("all", "bob@example.org alice@example.org", "CAROL@elsewhere.example Dave@other.example")

	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	h.wantForeign("both", "", "Dave@other.example Carol@elsewhere.example")
	wantKind(t, h.RemoveDomain(t.Context(), "example.org"), mail.Conflict)
	aliases, err := h.Aliases(t.Context(), Filter{After: addr("both")})
	if err != nil || len(aliases) != 1 || aliases[0].Targets[0].Local != "Carol" {
		t.Errorf("%+v, %v", aliases, err)
	}
	if may, err := h.MayUse(t.Context(), mail.Principal{Account: 1}, addr("out")); may || err != nil {
		t.Errorf("a forwarding alias belongs to somebody: %v", err)
	}
}

// TestForwardedDomain: a domain that aliases forward to cannot become local
// under them.
func TestForwardedDomain(t *testing.T) {
	h := open(t, nil)
	h.alias("out", "carol@elsewhere.example")
	_, err := h.AddDomain(t.Context(), "elsewhere.example")
	wantKind(t, err, mail.Conflict)
	h.must(h.RemoveAlias(t.Context(), addr("out")))
	_, err = h.AddDomain(t.Context(), "elsewhere.example")
	h.must(err)
	_, err = h.AddAlias(t.Context(), Alias{Address: addr("out"), Targets: addrs("carol@elsewhere.example")})
	wantKind(t, err, mail.NotFound)
}

// TestForwardingLimits: foreign targets count like all others, and a way that
// leaves this server is no loop of ours.
func TestForwardingLimits(t *testing.T) {
	h := open(t, nil)
	for g := range MaxAliasMembers / MaxAliasTargets {
		var targets []string
		for i := range MaxAliasTargets {
			targets = append(targets, fmt.Sprintf("u%d-%d@elsewhere.example", g, i))
		}
		h.alias(fmt.Sprint("g", g), targets...)
	}
	h.alias("four", "g0", "g1", "g2", "g3")
	_, err := h.AddAlias(t.Context(), Alias{Address: addr("five"), Targets: addrs("four", "g4")})
	wantKind(t, err, mail.TooLarge)
	r, err := h.Resolve(t.Context(), addr("four"))
	if err != nil || len(r.Foreign) != 4*MaxAliasTargets || len(r.Accounts) != 0 {
		t.Errorf("%d foreign, %d accounts, %v", len(r.Foreign), len(r.Accounts), err)
	}
	h.alias("deep1", "x@elsewhere.example")
	for i := 2; i <= MaxAliasDepth; i++ {
		h.alias(fmt.Sprint("deep", i), fmt.Sprint("deep", i-1))
	}
	h.wantForeign(fmt.Sprint("deep", MaxAliasDepth), "", "x@elsewhere.example")
}

// TestPostmasterOutside: an alias may send the postmaster's mail away.
func TestPostmasterOutside(t *testing.T) {
	h := open(t, func(o *Options) { o.Postmaster = addr("admins") })
	h.account("first")
	h.alias("admins", "team@elsewhere.example")
	h.wantForeign("postmaster", "", "team@elsewhere.example")
	h.wantForeign("postmaster@bücher.example", "", "team@elsewhere.example")
}

func TestWay(t *testing.T) {
	h := open(t, func(o *Options) { o.Postmaster = addr("boss") })
	h.account("alice")
	h.account("bob")
	h.must(h.SetDisabled(t.Context(), addr("bob"), true))
	h.alias("sales", "alice", "bob", "x@elsewhere.example")
	h.alias("all", "sales", "alice", "sales")
	h.alias("boss", "all")
	h.must(h.catchAll("xn--bcher-kva.example", "alice"))
	for name, want := range map[string]string{
		"alice":                   "name: alice@example.org=1",
		"Alice+x":                 "subaddress: alice@example.org=1",
		"all":                     "name: all@example.org >sales@example.org >>alice@example.org=1 >>bob@example.org=2- >>x@elsewhere.example! >alice@example.org=1*",
		"sales+x":                 "subaddress: sales@example.org >alice@example.org=1 >bob@example.org=2- >x@elsewhere.example!",
		"nobody":                  ":",
		"bob":                     "name: bob@example.org=2-",
		"any@bücher.example":      "catch-all: @xn--bcher-kva.example >alice@example.org=1",
		"alice@elsewhere.example": "not local",
		"Postmaster":              "postmaster: boss@example.org >all@example.org >>sales@example.org >>>alice@example.org=1 >>>bob@example.org=2- >>>x@elsewhere.example! >>alice@example.org=1*",
	} {
		w, err := h.Way(t.Context(), addr(name))
		if got := wayText(w); err != nil || got != want {
			t.Errorf("%s: %s, %v\nwant %s", name, got, err, want)
		}
	}
	// Without a configured one who takes mail it is the first account.
	h.must(h.RemoveAlias(t.Context(), addr("boss")))
	if w, err := h.Way(t.Context(), addr("postmaster")); err != nil || wayText(w) != "postmaster: alice@example.org=1" {
		t.Errorf("%s, %v", wayText(w), err)
	}
}

func wayText(w Way) string {
	if !w.Local {
		return "not local"
	}
	parts := []string{string(w.Found) + ":"}
	for _, m := range w.Members {
		s := strings.Repeat(">", m.Depth) + NameOf(m.Address)
		if m.Account != 0 {
			s += fmt.Sprint("=", m.Account)
		}
		if m.Disabled {
			s += "-"
		}
		if m.Foreign {
			s += "!"
		}
		if m.Again {
			s += "*"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}
