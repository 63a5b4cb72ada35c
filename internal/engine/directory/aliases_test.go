package directory

import (
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// TestAliasInPlace: targets come and go, and at no moment is there no alias.
func TestAliasInPlace(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	for _, step := range []struct {
		add, drop []string
		want      []mail.AccountID
	}{
		{[]string{"alice"}, nil, []mail.AccountID{alice}},
		{[]string{"bob", "ALICE"}, nil, []mail.AccountID{alice, bob}},
		{nil, []string{"Alice"}, []mail.AccountID{bob}},
		{[]string{"alice"}, []string{"bob"}, []mail.AccountID{alice}},
	} {
		_, err := h.ChangeAlias(t.Context(), addr("team"), addrs(step.add...), addrs(step.drop...))
		h.must(err)
		h.wantRoute("team", "", step.want...)
	}
	_, err := h.ChangeAlias(t.Context(), addr("team"), nil, addrs("alice"))
	wantKind(t, err, mail.Conflict)
	_, err = h.ChangeAlias(t.Context(), addr("team"), nil, addrs("bob"))
	wantKind(t, err, mail.NotFound)
	_, err = h.ChangeAlias(t.Context(), addr("none"), nil, addrs("bob"))
	wantKind(t, err, mail.NotFound)
	_, err = h.ChangeAlias(t.Context(), addr("alice"), addrs("bob"), nil)
	wantKind(t, err, mail.Exists)
	_, err = h.SetAlias(t.Context(), Alias{Address: addr("team"), Targets: addrs("nobody")})
	wantKind(t, err, mail.NotFound)
	h.wantRoute("team", "", alice)
	_, err = h.AddAlias(t.Context(), Alias{Address: addr("team"), Targets: addrs("bob")})
	if mail.KindOf(err) != mail.Exists || !strings.Contains(err.Error(), "goes to alice@example.org") {
		t.Errorf("adding it again: %v", err)
	}
}

// TestCatchAllToAnything: to several, to an alias, and to somebody elsewhere.
func TestCatchAllToAnything(t *testing.T) {
	h := open(t, nil)
	alice, bob := h.account("alice"), h.account("bob")
	h.alias("team", "bob")
	h.must(h.catchAll("example.org", "alice", "team", "x@elsewhere.example"))
	h.wantSent("whoever+x", " alice/0 bob/0 x@elsewhere.example/0")
	h.wantRoute("bob", "", bob)
	wantKind(t, h.RemoveAlias(t.Context(), addr("team")), mail.Conflict)
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	h.wantSent("whoever", " bob/0 x@elsewhere.example/0")
	list, err := h.Aliases(t.Context(), Filter{})
	h.must(err)
	if len(list) != 2 || list[0].Address != CatchAll("example.org") || list[0].Unreadable != "" || NameOf(list[0].Address) != "@example.org" {
		t.Errorf("listed %+v", list)
	}
	rest, err := h.Aliases(t.Context(), Filter{After: list[0].Address})
	if err != nil || len(rest) != 1 {
		t.Errorf("after it %+v, %v", rest, err)
	}
	if d, err := h.Domain(t.Context(), "example.org"); err != nil || d.Aliases != 1 || len(d.CatchAll) != 3 {
		t.Errorf("domain %+v, %v", d, err)
	}
	if may, err := h.MayUse(t.Context(), mail.Principal{Account: bob}, addr("whoever")); err != nil || may {
		t.Errorf("a catch-all gives a sender: %v", err)
	}
	wantKind(t, h.catchAll("elsewhere.example", "alice"), mail.NotFound)
	h.must(h.RemoveAlias(t.Context(), CatchAll("example.org")))
	h.wantNoRoute("whoever", mail.NotFound)
	h.must(h.SetDisabled(t.Context(), addr("alice"), false))
	h.wantRoute("alice", "", alice)
}

// TestImportAliases: in any order; what is wrong is told of and stops nothing else.
func TestImportAliases(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	bob := h.account("bob")
	h.alias("there", "bob")
	record := func(line int, name string, targets ...string) AliasRecord {
		a := CatchAll("example.org")
		if name != "@" {
			a = addr(name)
		}
		return AliasRecord{Line: line, Alias: Alias{Address: a, Targets: addrs(targets...)}}
	}
	records := []AliasRecord{
		record(1, "all", "sales", "team"),
		record(2, "team", "alice", "bob"),
		record(3, "sales", "team", "x@elsewhere.example"),
		record(4, "there", "alice"),
		record(5, "alice", "bob"),
		record(6, "lost", "nobody"),
		record(7, "a", "b"),
		record(8, "b", "a"),
		record(9, "out@elsewhere.example", "bob"),
		record(10, "@", "all"),
		{Line: 11, Err: mail.Errorf(mail.Invalid, "no address")},
		record(12, "team", "bob"),
	}
	report, err := h.ImportAliases(t.Context(), records)
	h.must(err)
	var lines []int
	for _, f := range report.Failures {
		lines = append(lines, f.Line)
	}
	slices.Sort(lines)
	if report.Added != 4 || report.Skipped != 2 || report.Failed != 6 || !slices.Equal(lines, []int{5, 6, 7, 8, 9, 11}) {
		t.Errorf("report %+v", report)
	}
	h.wantSent("whoever", " alice/0 bob/0 x@elsewhere.example/0")
	h.wantRoute("there", "", bob)
	if _, err := h.ImportAliases(t.Context(), make([]AliasRecord, MaxAliasImport+1)); mail.KindOf(err) != mail.TooLarge {
		t.Errorf("too many: %v", err)
	}
}
