package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// OffersScram reports whether SCRAM works for everybody: it does not while there is an
// account that only a hash of another server is known of (a disabled one does not count),
// and a mail program that finds SCRAM offered may not try anything else. It does not either
// while a Source knows the passwords of a domain, as it is only asked about them. An error counts as
// true: then no login works.
func (d *Directory) OffersScram(ctx context.Context) bool {
	if len(d.sources.Load().of) > 0 {
		return false
	}
	offers, epoch, ok := d.scram.get(struct{}{})
	if ok {
		return offers
	}
	foreign, err := d.Foreign(ctx, 1)
	if err != nil {
		return true
	}
	d.scram.put(struct{}{}, len(foreign) == 0, epoch)
	return len(foreign) == 0
}

// Foreign lists up to limit accounts that SCRAM does not work for before their next login.
func (d *Directory) Foreign(ctx context.Context, limit int) (list []mail.Address, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		list, err = collect(tx, `SELECT local, domain FROM directory_account WHERE scram = '' AND password <> '' AND disabled = 0
			ORDER BY id LIMIT $1`, limit)
		return err
	})
	return list, err
}
