package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Language is the tag (RFC 5646) of the language that the account's owner
// reads; "" if it is not known. NotFound if there is no such account.
func (d *Directory) Language(ctx context.Context, id mail.AccountID) (tag string, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT language FROM directory_account WHERE id = $1`, id).Scan(&tag)
	})
	if err == sqldb.ErrNoRows {
		err = mail.Errorf(mail.NotFound, "there is no account %d", id)
	}
	return tag, err
}

// SetLanguage says what to write to the account's owner in; "" for not known.
// Errors: NotFound; Invalid if tag is no language tag.
func (d *Directory) SetLanguage(ctx context.Context, a mail.Address, tag string) error {
	if err := checkLanguage(tag); err != nil {
		return err
	}
	return d.updateAccount(ctx, a, "", `UPDATE directory_account SET language = $2 WHERE id = $1`, tag)
}
