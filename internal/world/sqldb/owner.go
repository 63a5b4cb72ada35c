package sqldb

import (
	"context"

	"yubin/internal/mail"
)

// OwnerTable says whose a database on a server is.
const OwnerTable = "schema_owner"

// Owner is who has a database on a server: one data folder. A database in a file is
// its folder's anyway.
type Owner struct {
	ID   string // of the folder, made for this
	Name string // for people: where the folder is
}

// Claim makes a database on a server the owner's. It is of kind Conflict if it is
// another's, which the text names, or if again says that it was this one's before and
// it is nobody's: it is not the database that it was.
func (db *DB) Claim(ctx context.Context, o Owner, again bool) error {
	return db.Write(ctx, func(tx *Tx) error {
		tx.Lock(Name, "schema")
		if _, err := tx.Exec(`CREATE TABLE IF NOT EXISTS schema_owner (id {text} NOT NULL PRIMARY KEY, name {text} NOT NULL)`); err != nil {
			return err
		}
		var is Owner
		err := tx.QueryRow(`SELECT id, name FROM schema_owner`).Scan(&is.ID, &is.Name)
		switch {
		case err == ErrNoRows && again:
			return mail.Errorf(mail.Conflict, "the database %s has nothing of this data folder: it is another one, or was emptied; "+
				"name the right one, or restore a backup into a new folder", db.Path())
		case err == nil && is.ID != o.ID:
			return mail.Errorf(mail.Conflict, "the database %s belongs to the data folder %s: one folder has one database; "+
				"name another search_path for a second post office", db.Path(), is.Name)
		case err != nil && err != ErrNoRows:
			return err
		}
		_, err = tx.Exec(`INSERT INTO schema_owner (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = $2`, o.ID, o.Name)
		return err
	})
}

// Erase removes all that is in a database on a server, if it is the owner's. It is of
// kind Conflict if it is not.
func Erase(ctx context.Context, o Options, owner Owner) error {
	db, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Claim(ctx, owner, true); err != nil {
		return err
	}
	p, is := db.on.(*postgres)
	if !is {
		return mail.Errorf(mail.Internal, "only a database on a server is erased")
	}
	return db.Write(ctx, func(tx *Tx) error {
		tx.on.unhurried()
		_, err := tx.Exec(`DROP SCHEMA ` + Quoted(p.schema) + ` CASCADE`)
		return err
	})
}
