package directory

import (
	"context"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// checkKept says what is wrong with an address of a row, if it is none that
// mail.ParseAddress gives.
func checkKept(a mail.Address) error {
	p, err := mail.ParseAddress(a.String())
	if err == nil && (p != a || a.Local == "") {
		err = mail.Errorf(mail.Internal, "%q is no address", a.String())
	}
	return err
}

// named gives what a row is shown as: its address, or, if that or the key it is
// found under cannot be, the key as it stands, and why.
func named(a, key mail.Address) (mail.Address, error) {
	err := checkKept(a)
	if isCatchAll(a) {
		err = checkDomain(a.Domain)
	}
	if err == nil && a.Key() != key {
		err = mail.Errorf(mail.Internal, "it is filed under %q", key.Local)
	}
	if err != nil {
		return key, err
	}
	return a, nil
}

// unreadable is what Unreadable of a row says.
func unreadable(err error) string {
	if err == nil {
		return ""
	}
	return sqldb.Why(err).Error()
}

// checkReadable reads every row that is listed.
func (d *Directory) checkReadable(ctx context.Context, report func(string)) error {
	tell := func(what, name, why string) {
		if why != "" {
			report(fmt.Sprintf("directory: %s %s cannot be read: %s; \"yubin %s remove %s\" removes it", what, name, why, what, name))
		}
	}
	domains, err := d.Domains(ctx)
	if err != nil {
		return err
	}
	for _, e := range domains {
		tell("domain", string(e.Name), e.Unreadable)
	}
	for f := (Filter{}); ; {
		page, err := d.Accounts(ctx, f)
		if err != nil {
			return err
		}
		for _, a := range page {
			tell("account", a.Address.String(), a.Unreadable)
			f.After = a.Address
		}
		if len(page) < f.limit() {
			break
		}
	}
	for f := (Filter{}); ; {
		page, err := d.Aliases(ctx, f)
		if err != nil {
			return err
		}
		for _, a := range page {
			tell("alias", NameOf(a.Address), a.Unreadable)
			f.After = a.Address
		}
		if len(page) < f.limit() {
			return nil
		}
	}
}
