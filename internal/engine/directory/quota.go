package directory

import (
	"context"
	"fmt"

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

// AllowanceChange says what to change of an Allowance; nil leaves it.
type AllowanceChange struct {
	Octets   *int64 `json:"octets,omitempty"`
	Messages *int64 `json:"messages,omitempty"`
}

// args are the two as arguments of a statement, NULL where there is none.
func (c AllowanceChange) args() (octets, messages any, err error) {
	if c.Octets != nil {
		octets = *c.Octets
	}
	if c.Messages != nil {
		messages = *c.Messages
	}
	if c.Octets != nil && *c.Octets < Inherit || c.Messages != nil && *c.Messages < Inherit {
		err = mail.Errorf(mail.Invalid, "a quota cannot be negative")
	}
	return octets, messages, err
}

// Quota is what the account may hold; of one that is not there, anything.
func (d *Directory) Quota(ctx context.Context, id mail.AccountID) (q mail.Quota, err error) {
	q, epoch, ok := d.quotas.get(id)
	if ok {
		return q, nil
	}
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		q, err = d.readQuota(tx, id)
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
	q, err := d.readQuota(tx, id)
	if err == nil {
		// A change of the same batch may be rolled back yet.
		tx.OnCommit(func() { d.quotas.put(id, q, epoch) })
	}
	return q, err
}

func (d *Directory) readQuota(tx *sqldb.Tx, id mail.AccountID) (mail.Quota, error) {
	var own, domain, site Allowance
	var known bool
	for _, level := range []struct {
		what, query string
		of          *Allowance
	}{
		{fmt.Sprintf("quota of account %d", id), `SELECT quota_octets, quota_messages FROM directory_account WHERE id = $1`, &own},
		{fmt.Sprintf("quota of the domain of account %d", id), `SELECT d.quota_octets, d.quota_messages FROM directory_account a
			JOIN directory_domain d ON d.name = a.domain WHERE a.id = $1`, &domain},
		{"quota of the site", `SELECT s.quota_octets, s.quota_messages FROM directory_site s
			JOIN directory_account a ON a.id = $1 WHERE s.id = 1`, &site},
	} {
		err := tx.QueryRow(level.query, id).Scan(&level.of.Octets, &level.of.Messages)
		switch {
		case isNoRow(err):
			*level.of = inherits()
		case d.aside.Takes(sqldb.Named(level.what, err)):
			*level.of = inherits()
			known = true
		case err != nil:
			return mail.Quota{}, err
		default:
			known = true
		}
	}
	if !known {
		return mail.Quota{}, nil
	}
	return own.or(domain).or(site).quota(), nil
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

// SetSiteQuota changes the quota of the site, which is for accounts of which
// neither they nor their domain have one. Errors: Invalid.
func (d *Directory) SetSiteQuota(ctx context.Context, c AllowanceChange) error {
	octets, messages, err := c.args()
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO directory_site (id, quota_octets, quota_messages) VALUES (1, coalesce($1, -1), coalesce($2, -1))
			ON CONFLICT (id) DO UPDATE SET quota_octets = coalesce($1, directory_site.quota_octets),
			quota_messages = coalesce($2, directory_site.quota_messages)`, octets, messages)
		return err
	})
}

// SetDomainQuota changes the quota of a domain, which is for its accounts that
// have none of their own. Errors: NotFound, Invalid.
func (d *Directory) SetDomainQuota(ctx context.Context, name mail.Domain, c AllowanceChange) error {
	octets, messages, err := c.args()
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := needDomain(tx, name); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE directory_domain SET quota_octets = coalesce($2, quota_octets),
			quota_messages = coalesce($3, quota_messages) WHERE name = $1`, name, octets, messages)
		return err
	})
}

// SetQuota changes an account's own quota. Errors: NotFound, Invalid.
func (d *Directory) SetQuota(ctx context.Context, account mail.Address, c AllowanceChange) error {
	octets, messages, err := c.args()
	if err != nil {
		return err
	}
	return d.updateAccount(ctx, account, "", updateQuota, octets, messages)
}

const updateQuota = `UPDATE directory_account SET quota_octets = coalesce($2, quota_octets),
	quota_messages = coalesce($3, quota_messages) WHERE id = $1`

// setQuota is SetQuota in a transaction.
func setQuota(tx *sqldb.Tx, id mail.AccountID, c AllowanceChange) error {
	octets, messages, err := c.args()
	if err != nil {
		return err
	}
	_, err = tx.Exec(updateQuota, id, octets, messages)
	return err
}
