package route

import (
	"context"
	"errors"
	"testing"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// fixed is a Directory of a few addresses and domains.
type fixed struct {
	addresses map[string]directory.Resolution
	domains   []directory.Domain
	err       error // for all other addresses
}

func (f fixed) Resolve(_ context.Context, a mail.Address) (directory.Resolution, error) {
	if res, ok := f.addresses[a.String()]; ok {
		return res, nil
	}
	return directory.Resolution{}, f.err
}

func (f fixed) Domains(context.Context) ([]directory.Domain, error) { return f.domains, nil }

var foreign = mail.Errorf(mail.Forbidden, "mx.example is not a domain of this server")

func TestRoute(t *testing.T) {
	r := New(fixed{addresses: map[string]directory.Resolution{
		"a+lists@yubin.test": {Accounts: []mail.AccountID{7, 9}, Detail: "lists"},
	}}, "mx.example")
	got, err := r.Route(context.Background(), mail.Address{Local: "a+lists", Domain: "yubin.test"})
	if err != nil || len(got.Accounts) != 2 || got.Accounts[1] != 9 || got.Detail != "lists" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	disk := mail.Errorf(mail.Unavailable, "the disk is gone")
	disabled := &mail.Error{Kind: mail.Forbidden, Text: "mailbox disabled", Err: directory.ErrDisabled}
	cases := []struct {
		err  error
		kind mail.Kind
		text string
	}{
		{foreign, mail.Forbidden, "relaying denied"},
		{mail.Errorf(mail.NotFound, "there is no mailbox a@yubin.test here"), mail.NotFound, "there is no mailbox a@yubin.test here"},
		{disabled, mail.Forbidden, "mailbox disabled"},
		{disk, mail.Unavailable, "the disk is gone"},
	}
	for _, c := range cases {
		r := New(fixed{err: c.err, domains: []directory.Domain{{Name: "yubin.test"}}}, "mx.example")
		_, err := r.Route(context.Background(), mail.Address{Local: "a", Domain: "b.example"})
		if mail.KindOf(err) != c.kind || err.Error() != c.text || !errors.Is(err, c.err) {
			t.Errorf("%v: got %v (%v)", c.err, err, mail.KindOf(err))
		}
	}
}

// TestHostPostmaster: RFC 5321 §4.5.1.
func TestHostPostmaster(t *testing.T) {
	dir := fixed{
		addresses: map[string]directory.Resolution{"postmaster@yubin.test": {Accounts: []mail.AccountID{3}}},
		domains:   []directory.Domain{{Name: "yubin.test"}, {Name: "z.example"}},
		err:       foreign,
	}
	r := New(dir, "mx.example")
	got, err := r.Route(context.Background(), mail.Address{Local: "PostMaster", Domain: "mx.example"})
	if err != nil || len(got.Accounts) != 1 || got.Accounts[0] != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := r.Route(context.Background(), mail.Address{Local: "postmaster", Domain: "b.example"}); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("postmaster of another host: %v", err)
	}
	dir.domains = nil
	if _, err := New(dir, "mx.example").Route(context.Background(), mail.Address{Local: "postmaster", Domain: "mx.example"}); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("without a domain: %v", err)
	}
}
