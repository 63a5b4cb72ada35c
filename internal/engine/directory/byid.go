package directory

import (
	"context"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// AccountByID finds the account that has the number. Errors: NotFound.
func (d *Directory) AccountByID(ctx context.Context, id mail.AccountID) (found Account, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		found, err = scanAccount(tx, tx.QueryRow(selectAccount+` WHERE id = $1`, id))
		return err
	})
	if isNoRow(err) {
		err = mail.Errorf(mail.NotFound, "there is no account %d", id)
	}
	return found, err
}

// Home is an account by its number, and where it lives.
type Home struct {
	ID     mail.AccountID
	Domain mail.Domain
}

// Homes lists accounts behind one, by number. Of those whose row cannot be read the domain
// may be none.
func (d *Directory) Homes(ctx context.Context, after mail.AccountID, limit int) (list []Home, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT id, domain FROM directory_account WHERE id > $1 ORDER BY id LIMIT $2`, int64(after), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h Home
			err := rows.Scan(&h.ID, &h.Domain)
			if err != nil && !d.aside.Takes(sqldb.Named(fmt.Sprintf("account %d", h.ID), err)) {
				return err
			}
			list = append(list, h)
		}
		return rows.Err()
	})
	return list, err
}
