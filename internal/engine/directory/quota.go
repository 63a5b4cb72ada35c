package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Inherit in an Allowance says that what stands above decides: of an account
// its domain, of a domain the site, and of the site nothing.
const Inherit = -1

// Allowance is the quota that an account, a domain or the site was given: each
// part a bound, 0 for none, or Inherit.
type Allowance struct {
	Octets   int64 `json:"octets"`
	Messages int64 `json:"messages"`
}

func inherits() Allowance { return Allowance{Inherit, Inherit} }

// or fills in what a inherits.
func (a Allowance) or(above Allowance) Allowance {
	if a.Octets == Inherit {
		a.Octets = above.Octets
	}
	if a.Messages == Inherit {
		a.Messages = above.Messages
	}
	return a
}

// quota is a where nothing stands above.
func (a Allowance) quota() mail.Quota {
	return mail.Quota{Octets: max(a.Octets, 0), Messages: max(a.Messages, 0)}
}

func (a Allowance) check() error {
	if a.Octets < Inherit || a.Messages < Inherit {
		return mail.Errorf(mail.Invalid, "a quota cannot be negative")
	}
	return nil
}

// Quota is what the account may hold; of one that is not there, anything.
func (d *Directory) Quota(ctx context.Context, id mail.AccountID) (q mail.Quota, err error) {
	q, epoch, ok := d.quotas.get(id)
	if ok {
		return q, nil
	}
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		q, err = readQuota(tx, id)
		return err
	})
	if err == nil {
		d.quotas.put(id, q, epoch)
	}
	return q, err
}

// QuotaIn is Quota for who is in a transaction that writes.
func (d *Directory) QuotaIn(tx *sqldb.Tx, id mail.AccountID) (mail.Quota, error) {
	q, epoch, ok := d.quotas.get(id)
	if ok {
		return q, nil
	}
	q, err := readQuota(tx, id)
	if err == nil {
		// A change of the same batch may be rolled back yet.
		tx.OnCommit(func() { d.quotas.put(id, q, epoch) })
	}
	return q, err
}

func readQuota(tx *sqldb.Tx, id mail.AccountID) (mail.Quota, error) {
	var own, domain Allowance
	err := tx.QueryRow(`SELECT a.quota_octets, a.quota_messages, d.quota_octets, d.quota_messages
		FROM directory_account a JOIN directory_domain d ON d.name = a.domain WHERE a.id = $1`, id).
		Scan(&own.Octets, &own.Messages, &domain.Octets, &domain.Messages)
	if isNoRow(err) {
		return mail.Quota{}, nil
	}
	if err != nil {
		return mail.Quota{}, err
	}
	site, err := readSite(tx)
	return own.or(domain).or(site).quota(), err
}

func readSite(tx *sqldb.Tx) (a Allowance, err error) {
	err = tx.QueryRow(`SELECT quota_octets, quota_messages FROM directory_site WHERE id = 1`).Scan(&a.Octets, &a.Messages)
	if isNoRow(err) {
		return inherits(), nil
	}
	return a, err
}

// SiteQuota is what was given to the site.
func (d *Directory) SiteQuota(ctx context.Context) (a Allowance, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		a, err = readSite(tx)
		return err
	})
	return a, err
}

// SetSiteQuota gives the site a quota, for accounts of which neither they nor
// their domain have one. Errors: Invalid.
func (d *Directory) SetSiteQuota(ctx context.Context, a Allowance) error {
	if err := a.check(); err != nil {
		return err
	}
	return d.change(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO directory_site (id, quota_octets, quota_messages) VALUES (1, $1, $2)
			ON CONFLICT (id) DO UPDATE SET quota_octets = excluded.quota_octets, quota_messages = excluded.quota_messages`,
			a.Octets, a.Messages)
		return err
	})
}

// SetDomainQuota gives a domain a quota, for its accounts that have none of
// their own. Errors: NotFound, Invalid.
func (d *Directory) SetDomainQuota(ctx context.Context, name mail.Domain, a Allowance) error {
	if err := a.check(); err != nil {
		return err
	}
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := needDomain(tx, name); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE directory_domain SET quota_octets = $2, quota_messages = $3 WHERE name = $1`, name, a.Octets, a.Messages)
		return err
	})
}

// SetQuota gives an account a quota of its own. Errors: NotFound, Invalid.
func (d *Directory) SetQuota(ctx context.Context, account mail.Address, a Allowance) error {
	if err := a.check(); err != nil {
		return err
	}
	return d.updateAccount(ctx, account, "",
		`UPDATE directory_account SET quota_octets = $2, quota_messages = $3 WHERE id = $1`, a.Octets, a.Messages)
}
