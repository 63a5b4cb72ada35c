package copies

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// Pattern says whose mail is meant: all of it, that of an account under all its names,
// of an address with any subaddress, or of a domain.
type Pattern struct {
	All     bool
	Account bool // Address is one of the account
	Address mail.Address
	Domain  mail.Domain // if Address is zero
}

// The words of patterns.
const (
	allMail       = "*"
	accountPrefix = "account:"
)

// ParsePattern reads "*", "account:alice@example.org", "alice@example.org", "example.org"
// or "@example.org". The error is Invalid.
func ParsePattern(text string) (p Pattern, err error) {
	switch rest, account := strings.CutPrefix(text, accountPrefix); {
	case text == allMail:
		return Pattern{All: true}, nil
	case account:
		p.Account = true
		p.Address, err = mail.ParseAddress(rest)
	case strings.IndexByte(text, '@') > 0:
		p.Address, err = mail.ParseAddress(text)
	default:
		p.Domain, err = mail.ParseDomain(strings.TrimPrefix(text, "@"))
	}
	if err != nil {
		return p, mail.Errorf(mail.Invalid, `copies are of "*", "alice@example.org", "account:alice@example.org" or "example.org", not %q`, text)
	}
	return p, nil
}

// String is the pattern as ParsePattern reads it.
func (p Pattern) String() string {
	switch {
	case p.All:
		return allMail
	case p.Account:
		return accountPrefix + p.Address.String()
	case !p.Address.IsZero():
		return p.Address.String()
	}
	return p.Domain.String()
}

// matches reports whether mail of a, or of the accounts, is meant.
func (b *Book) matches(ctx context.Context, p Pattern, a mail.Address, accounts []mail.AccountID) bool {
	switch {
	case p.All:
		return true
	case p.Account:
		res, err := b.o.Directory.Resolve(ctx, p.Address)
		return err == nil && slices.ContainsFunc(res.Accounts, func(id mail.AccountID) bool { return slices.Contains(accounts, id) })
	case a.IsZero():
		return false
	case p.Address.IsZero():
		return a.Key().Domain == p.Domain
	}
	key, want := a.Key(), p.Address.Key()
	if key == want {
		return true
	}
	key.Local, _, _ = strings.Cut(key.Local, "+")
	return key == want
}
