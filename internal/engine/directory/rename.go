package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Rename gives an account another address. Its mail, password and all that is known of
// it stay, what leads to it and who may write as it follows, and its sessions end. With alias the old address
// becomes an alias that leads to the new one. Errors: Invalid; NotFound, also for a
// domain that is not local; Exists if the new address is taken; Conflict if something needs
// the old one and no alias is made.
func (d *Directory) Rename(ctx context.Context, from, to mail.Address, alias bool) (renamed Account, err error) {
	if err := to.CheckOwn(); err != nil {
		return renamed, err
	}
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		a, err := findAccount(tx, from)
		if err != nil {
			return err
		}
		old, key := a.Address.Key(), to.Key()
		if old != key {
			if err := checkFree(tx, to); err != nil {
				return err
			}
			if !alias {
				if err := d.checkNotNeeded(tx, a.Address); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(`UPDATE directory_account SET domain = $2, local_key = $3, local = $4, version = version + 1 WHERE id = $1`,
			a.ID, key.Domain, key.Local, to.Local); err != nil {
			return err
		}
		if err := follow(tx, old, key); err != nil {
			return err
		}
		if alias && old != key {
			if err := insertAlias(tx, Alias{Address: a.Address, Targets: []mail.Address{key}}); err != nil {
				return err
			}
			if err := d.checkWays(tx, old); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			d.o.Revoked(Ended{Account: a.ID, Why: "the account is now " + to.String() + "; log in as that"})
		})
		renamed, err = findAccount(tx, to)
		return err
	})
	return renamed, err
}

// follow has what led to the key old lead to key, and from there on.
func follow(tx *sqldb.Tx, old, key mail.Address) error {
	for _, change := range []string{
		`UPDATE directory_target SET domain = $3, local_key = $4 WHERE domain = $1 AND local_key = $2`,
		`UPDATE directory_target SET target_domain = $3, target_key = $4 WHERE target_domain = $1 AND target_key = $2`,
		`DELETE FROM directory_send_as WHERE domain = $1 AND local_key = $2 AND EXISTS (SELECT 1 FROM directory_send_as o
			WHERE o.account = directory_send_as.account AND o.grp = directory_send_as.grp AND o.domain = $3 AND o.local_key = $4)`,
		`UPDATE directory_send_as SET domain = $3, local_key = $4 WHERE domain = $1 AND local_key = $2`,
	} {
		if _, err := tx.Exec(change, old.Domain, old.Local, key.Domain, key.Local); err != nil {
			return err
		}
	}
	return nil
}
