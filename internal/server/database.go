package server

import (
	"context"
	"crypto/rand"

	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/sqldb"
)

// openDatabase opens the database of the data folder: on the server that the
// configuration names or the folder remembers, else the file in the folder. A folder
// and a database on a server belong to each other for good: with another one, messages
// would have no octets, and octets no messages.
func openDatabase(ctx context.Context, folder *datadir.Dir, cfg config.Config, o sqldb.Options) (*sqldb.DB, error) {
	is, err := folder.Remote()
	if err != nil {
		return nil, err
	}
	want := is
	switch {
	case cfg.Database == "" && is.URL == "":
		o.Path = folder.Path(datadir.Database)
		return sqldb.Open(ctx, o)
	case is.URL == "" && folder.HasDatabase():
		return nil, mail.Errorf(mail.Conflict, "the mail of this data folder is in %s, and database names another place; "+
			"carry it there with yubin move, or take database out of the configuration", folder.Path(datadir.Database))
	case is.URL == "":
		want.ID = rand.Text()
	}
	if cfg.Database != "" {
		want.URL = cfg.Database
	}
	if !is.Claimed { // First the folder knows: it must not get a file meanwhile.
		if err := folder.SetRemote(want); err != nil {
			return nil, err
		}
	}
	o.URL = want.URL
	db, err := sqldb.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := claim(ctx, folder, db, is, want); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// claim has the database know the folder.
func claim(ctx context.Context, folder *datadir.Dir, db *sqldb.DB, is, want datadir.Remote) error {
	if err := db.Claim(ctx, schemas.Owner(folder.Path(""), want), is.Claimed); err != nil {
		return err
	}
	if want.Claimed = true; want == is {
		return nil
	}
	return folder.SetRemote(want)
}

// Erase empties a data folder, and the database that it has on a server.
func Erase(ctx context.Context, path string) error {
	folder, err := datadir.Open(ctx, path, 0)
	if err != nil {
		return err
	}
	defer folder.Close()
	is, err := folder.Remote()
	if err != nil {
		return err
	}
	if is.Claimed {
		if err := sqldb.Erase(ctx, sqldb.Options{URL: is.URL}, schemas.Owner(folder.Path(""), is)); err != nil && mail.KindOf(err) != mail.Conflict {
			return err
		}
	}
	return folder.Clear()
}
