package directory

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/mail"
)

func stepsText(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s %s: %s -> %s\n", s.Verb, s.What, s.From, s.To)
	}
	return b.String()
}

// applied brings h to want, and checks that nothing is to do then.
func (h *house) applied(want Declared, prune bool) string {
	h.t.Helper()
	steps, err := h.Compare(h.t.Context(), want, prune)
	h.must(err)
	h.must(h.Apply(h.t.Context(), want, prune, steps))
	left, err := h.Compare(h.t.Context(), want, prune)
	h.must(err)
	if len(left) > 0 {
		h.t.Errorf("left to do:\n%s", stepsText(left))
	}
	return stepsText(steps)
}

func declared() Declared {
	none := inherits()
	return Declared{
		Site:    &Allowance{1 << 30, Inherit},
		Domains: []DeclaredDomain{{"example.org", "", none}, {"old.example", "example.org", none}, {"xn--bcher-kva.example", "", Allowance{0, 500}}},
		Accounts: []DeclaredAccount{
			{Address: addr("Alice"), Language: "ja", Quota: none, Forward: Forward{addrs("team", "X@elsewhere.example"), true}, SendAs: []mail.Address{{}, addr("bob")}},
			{Address: addr("bob"), Disabled: true, Quota: Allowance{5, 6}},
			{Address: addr("carl@bücher.example"), Quota: none},
		},
		Aliases: []Alias{
			{Address: CatchAll("example.org"), Targets: addrs("all")},
			{Address: addr("all"), Targets: []mail.Address{addr("team"), GroupName("staff")}}, // Both come later.
			{Address: addr("team"), Targets: addrs("bob", "Carl@bücher.example")},
		},
		Groups: []DeclaredGroup{
			{Name: "all", Members: []mail.Address{GroupName("staff")}, SendAs: []mail.Address{CatchAll("elsewhere.example")}},
			{Name: "staff", Members: addrs("bob", "carl@bücher.example")},
		},
	}
}

// TestDeclared: what is declared is so in one transaction, in whatever order it stands;
// what is read of it makes the same of another post office; and twice is once.
func TestDeclared(t *testing.T) {
	h := open(t, nil)
	h.account("bob")
	h.account("dora")
	h.alias("gone", "dora")
	h.alias("team", "dora")
	want := declared()
	text := h.applied(want, false)
	for _, line := range []string{"add domain old.example: ", "add account alice@example.org: ", "change alias team@example.org goes to: dora@example.org -> bob@example.org, carl@xn--bcher-kva.example",
		"add login and mail of account bob@example.org:  -> disabled", "add quota of domain xn--bcher-kva.example:  -> any number of octets, 500 messages"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "gone") || strings.Contains(text, "dora@example.org: ") {
		t.Errorf("without prune it takes away:\n%s", text)
	}
	h.wantSent("alice@old.example", " alice/0 carl/3 X@elsewhere.example/3")
	if _, err := h.Login(t.Context(), "alice@example.org", "", imapFrom(home)); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("who has no password logs in: %v", err)
	}

	text = h.applied(want, true)
	if want := "remove account dora@example.org and its mail:  -> \nremove alias gone@example.org:  -> \n"; text != want {
		t.Errorf("pruned\n%s", text)
	}

	now, err := h.Declaration(t.Context(), true)
	h.must(err)
	other := open(t, nil)
	other.applied(now, true)
	again, err := other.Declaration(t.Context(), true)
	h.must(err)
	if !reflect.DeepEqual(now, again) {
		t.Errorf("another post office is\n%+v\nwant\n%+v", again, now)
	}

	// All the other way round, at once.
	want.Aliases[2].Targets = addrs("alice")
	want.Accounts[0].Forward = Forward{}
	want.Accounts[0].SendAs = nil
	want.Groups[0].Members, want.Groups[1].Members = addrs("alice"), []mail.Address{GroupName("all")}
	want.Domains[1].AliasOf = "xn--bcher-kva.example"
	steps, err := h.Compare(h.t.Context(), want, true)
	h.must(err)
	h.must(h.Try(h.t.Context(), want, true, steps))
	if tried, err := h.Declaration(t.Context(), true); err != nil || !reflect.DeepEqual(tried, now) {
		t.Errorf("a try left\n%+v\nof\n%+v, %v", tried, now, err)
	}
	h.applied(want, true)
	h.wantNoRoute("alice@old.example", mail.NotFound)
	h.applied(Declared{}, true)
	if now, err = h.Declaration(t.Context(), false); err != nil || len(now.Domains)+len(now.Accounts)+len(now.Aliases)+len(now.Groups) != 0 {
		t.Errorf("all is gone: %+v, %v", now, err)
	}
}

// TestDeclaredRefusals: what cannot be changes nothing, nor does a plan of before.
func TestDeclaredRefusals(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.alias("info", "alice")
	before, err := h.Declaration(t.Context(), true)
	h.must(err)
	for name, c := range map[string]struct {
		change func(*Declared)
		kind   mail.Kind
		prune  bool
	}{
		"twice": {func(d *Declared) {
			d.Aliases = append(d.Aliases, Alias{Address: addr("alice"), Targets: addrs("alice")})
		}, mail.Invalid, false},
		"a loop":        {func(d *Declared) { d.Accounts[0].Forward.To = addrs("info") }, mail.Conflict, false},
		"nobody":        {func(d *Declared) { d.Aliases[0].Targets = addrs("nobody") }, mail.NotFound, false},
		"no such group": {func(d *Declared) { d.Aliases[0].Targets = []mail.Address{GroupName("none")} }, mail.NotFound, false},
		"a foreign one": {func(d *Declared) { d.Accounts[0].Address = addr("x@elsewhere.example") }, mail.NotFound, false},
		"still led to":  {func(d *Declared) { d.Accounts = nil }, mail.Conflict, true},
		"a bad hash": {func(d *Declared) {
			d.Accounts = append(d.Accounts, DeclaredAccount{Address: addr("new"), Hash: "x", Quota: inherits()})
		}, mail.Invalid, false},
		"of itself": {func(d *Declared) { d.Domains[0].AliasOf = "example.org" }, mail.Invalid, false},
	} {
		want, err := h.Declaration(t.Context(), false)
		h.must(err)
		c.change(&want)
		steps, err := h.Compare(t.Context(), want, c.prune)
		if err == nil {
			if tried := h.Try(t.Context(), want, c.prune, steps); mail.KindOf(tried) != c.kind {
				t.Errorf("%s, tried: %v", name, tried)
			}
			err = h.Apply(t.Context(), want, c.prune, steps)
		}
		if mail.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := h.Declaration(t.Context(), true); err != nil || !reflect.DeepEqual(now, before) {
			t.Errorf("%s left %+v, %v", name, now, err)
		}
	}
	want, err := h.Declaration(t.Context(), false)
	h.must(err)
	want.Accounts[0].Language = "ja"
	steps, err := h.Compare(t.Context(), want, false)
	h.must(err)
	h.must(h.SetLanguage(t.Context(), addr("alice"), "en"))
	wantKind(t, h.Apply(t.Context(), want, false, steps), mail.Conflict)
	wantKind(t, func() error {
		_, err := h.Compare(t.Context(), Declared{Aliases: make([]Alias, MaxDeclared+1)}, false)
		return err
	}(), mail.TooLarge)
}
