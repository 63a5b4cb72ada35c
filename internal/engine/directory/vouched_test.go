package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
)

var errTold = errors.New("told to the client")

// vouches logs in as whom a voucher for example.org names.
func (h *house) vouches(v Voucher, user, shown string, from netip.Addr, who func() (Vouched, error)) (mail.Principal, error) {
	if v.Domains == nil {
		v.Name, v.Domains = "id.example", []mail.Domain{"example.org"}
	}
	return h.Vouched(h.t.Context(), user, shown, imapFrom(from), v, func(context.Context) (Vouched, error) { return who() })
}

func is(a mail.Address) func() (Vouched, error) {
	return func() (Vouched, error) { return Vouched{a, "a test"}, nil }
}

func refuses(guess bool) func() (Vouched, error) {
	return func() (Vouched, error) {
		return Vouched{}, &mail.Error{Kind: mail.Forbidden, Text: "no", Err: &Unproven{Why: "it has expired", Guess: guess, Err: errTold}}
	}
}

func TestVouched(t *testing.T) {
	h := open(t, nil)
	id := h.account("Alice")
	h.must(h.LimitPassword(t.Context(), addr("alice"), Scope{Protocols: []Protocol{Web}}))
	_, err := h.AliasDomain(t.Context(), "old.example", "example.org")
	h.must(err)
	_, err = h.AddDomain(t.Context(), "other.example")
	h.must(err)
	other := mail.Address{Local: "dave", Domain: "other.example"}
	_, err = h.AddAccount(t.Context(), NewAccount{Address: other, Password: "secret"})
	h.must(err)
	want := mail.Principal{Account: id, Address: addr("Alice"), Version: 1, Credential: mail.Credential{Via: "a test"}}
	for _, c := range []struct {
		user string
		of   mail.Address
		why  string
	}{
		{"", addr("ALICE"), ""},
		{"alice@example.org", addr("alice"), ""},
		{"ALICE@old.example", addr("alice"), ""},
		{"", mail.Address{Local: "alice", Domain: "old.example"}, ""},
		{"bob@example.org", addr("alice"), `the client says that it is "bob@example.org", and the token is of alice@example.org`},
		{"alice", addr("alice"), `the client says that it is "alice", and the token is of alice@example.org`},
		{"", addr("bob"), "there is no account bob@example.org"},
		{"", addr("alice+tag"), "there is no account alice+tag@example.org"},
		{"", other, "id.example does not speak for the domain of dave@other.example"},
		{"", mail.Address{Local: "x", Domain: "far.example"}, "id.example does not speak for the domain of x@far.example"},
	} {
		p, err := h.vouches(Voucher{}, c.user, "a token", home, is(c.of))
		if c.why == "" && (err != nil || p != want) || c.why != "" && (mail.KindOf(err) != mail.Forbidden || Reason(err) != c.why || p != (mail.Principal{})) {
			t.Errorf("%q, %s: %v, %q, %v", c.user, c.of, p, Reason(err), err)
		}
		if err != nil && (IsWrongPassword(err) || IsUnknownUser(err)) {
			t.Errorf("%s bans: %v", c.of, err)
		}
	}
	h.must(h.Confirm(t.Context(), want))
	if !h.knows("alice@example.org", home.String()) {
		t.Error("where the owner is has not been noted")
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if _, err = h.vouches(Voucher{}, "", "x", home, is(addr("alice"))); !errors.Is(err, ErrDisabled) {
		t.Error(err)
	}
	if err := h.Confirm(t.Context(), want); !errors.Is(err, ErrDisabled) {
		t.Error(err)
	}
}

// What the voucher did not say is passed on, and counts as what it is.
func TestVouchedFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		from := netip.MustParseAddr("198.51.100.1")
		for i := range 3 * NetworkFailures { // Programs try old tokens; that is no guessing.
			if _, err := h.vouches(Voucher{}, "", fmt.Sprint("old", i), from, refuses(false)); Reason(err) != "it has expired" || !errors.Is(err, errTold) {
				t.Fatal(err)
			}
			if _, err := h.vouches(Voucher{}, "", "x", from, func() (Vouched, error) { return Vouched{}, mail.Errorf(mail.Unavailable, "away") }); mail.KindOf(err) != mail.Unavailable {
				t.Fatal(err)
			}
		}
		for range 3 * NetworkFailures { // The same again tells nobody anything.
			if _, err := h.vouches(Voucher{}, "", "made up", from, refuses(true)); mail.KindOf(err) != mail.Forbidden || !errors.Is(err, errTold) {
				t.Fatal(err)
			}
		}
		limited := false
		for i := range 2 * NetworkFailures {
			_, err := h.vouches(Voucher{}, "", fmt.Sprint("made up", i), from, refuses(true))
			limited = limited || mail.KindOf(err) == mail.RateLimited
		}
		if !limited {
			t.Error("somebody makes up tokens without end")
		}
		if _, err := h.vouches(Voucher{}, "", "right", from, func() (Vouched, error) {
			t.Error("the voucher is asked for who is limited")
			return Vouched{}, nil
		}); mail.KindOf(err) != mail.RateLimited {
			t.Error(err)
		}
		_, err := h.vouches(Voucher{}, "", "right", home, is(addr("alice")))
		h.must(err)
	})
}

func TestVouchedMakesAccounts(t *testing.T) {
	h := open(t, nil)
	makes := Voucher{Name: "id.example", Domains: []mail.Domain{"example.org", "far.example"}, Makes: true}
	h.account("alice")
	h.alias("sales", "alice")
	var all sync.WaitGroup
	ids := make([]mail.AccountID, 8)
	for i := range ids {
		all.Go(func() {
			p, err := h.vouches(makes, "", "x", home, is(addr("Dave")))
			if ids[i] = p.Account; err != nil || p.Address != addr("Dave") {
				t.Error(p, err)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id == 0 || id != ids[0] {
			t.Fatalf("%v", ids)
		}
	}
	if n := h.roomCount(); n != 2 {
		t.Errorf("%d accounts have mailboxes", n)
	}
	list, err := h.Passwords(t.Context(), addr("dave"))
	if err != nil || len(list) != 1 || !list[0].Missing {
		t.Errorf("%+v, %v", list, err)
	}
	for _, password := range []string{"", "x", "pw of dave"} {
		wantKind(t, h.login("dave@example.org", password), mail.Forbidden)
	}
	if _, _, err := h.talkScram("dave@example.org", "x"); err == nil {
		t.Error("SCRAM without a password")
	}
	if !h.OffersScram(t.Context()) {
		t.Error("an account without a password keeps SCRAM from the others")
	}
	for of, why := range map[mail.Address]string{
		addr("sales"):                         "there is no account sales@example.org, and ",
		addr("alice+home"):                    "there is no account alice+home@example.org, and none is made: what stands behind a +",
		addr("Hostmaster"):                    "there is no account Hostmaster@example.org, and none is made: by such an address",
		addr(`"a b"`):                         `"a b"@example.org cannot be the address of an account: `,
		{Local: "eve", Domain: "far.example"}: "there is no account eve@far.example, and none can be made: ",
	} {
		if _, err := h.vouches(makes, "", "x", home, is(of)); mail.KindOf(err) != mail.Forbidden || !strings.HasPrefix(Reason(err), why) {
			t.Errorf("%s: %q, %v", of, Reason(err), err)
		}
	}
	h.must(h.SetPassword(t.Context(), addr("dave"), "a password", false))
	h.must(h.login("dave@example.org", "a password"))
	if found := h.problems(); len(found) > 0 {
		t.Error(found)
	}
}
