package directory

import (
	"context"

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
