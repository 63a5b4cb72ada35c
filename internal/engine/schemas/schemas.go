// Package schemas knows the tables of all engines: which there are, in which version a
// database has them, and how to make them empty in another one. What carries a whole
// post office, a backup or a move, stands on it. It does not know what the tables mean.
package schemas

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"

	"yubin/internal/engine/alarm"
	"yubin/internal/engine/audit"
	"yubin/internal/engine/bans"
	"yubin/internal/engine/certificates"
	"yubin/internal/engine/copies"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/feedback"
	"yubin/internal/engine/forward"
	"yubin/internal/engine/greylist"
	"yubin/internal/engine/history"
	"yubin/internal/engine/lessons"
	"yubin/internal/engine/preferences"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/reports"
	"yubin/internal/engine/retention"
	"yubin/internal/engine/route"
	"yubin/internal/engine/sending"
	"yubin/internal/engine/signing"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/engine/transfer"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
	"yubin/internal/world/datadir"
	"yubin/internal/world/sqldb"
)

// All are the tables of all engines.
func All() []sqldb.Schema {
	return []sqldb.Schema{store.Schema(), directory.Schema(), route.Schema(), spool.Schema(), queue.Schema(), transfer.Schema(),
		history.Schema(), feedback.Schema(), lessons.Schema(), signing.Schema(), reports.Schema(), preferences.Schema(), forward.Schema(), greylist.Schema(),
		retention.Schema(), audit.Schema(), alarm.Schema(), copies.Schema(), tlspolicy.Schema(), certificates.Schema(), zone.Schema(), bans.Schema(), sending.Schema()}
}

// Engine says which version the tables of an engine have (sqldb.DB.Migrate).
type Engine struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// Open opens the database that o names by its URL, or else the file at path, which is
// made for its owner only.
func Open(ctx context.Context, path string, o sqldb.Options) (*sqldb.DB, error) {
	if o.URL != "" {
		return sqldb.Open(ctx, o)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives the files beside it the same mode.
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("%s cannot be made", path), Err: err}
	}
	o.Path = path
	return sqldb.Open(ctx, o)
}

// Owner is a data folder as its database on a server knows it.
func Owner(folder string, r datadir.Remote) sqldb.Owner {
	host, _ := os.Hostname()
	return sqldb.Owner{ID: r.ID, Name: folder + " on " + host}
}

// Own has a folder that is being filled and its database on a server, if that is where
// it is, belong to each other.
func Own(ctx context.Context, to *datadir.Filling, db *sqldb.DB, o sqldb.Options) error {
	if o.URL == "" {
		return nil
	}
	r, err := to.Remote()
	if err != nil {
		return err
	}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	r.URL, r.Claimed = o.URL, true
	if err := to.SetRemote(r); err != nil {
		return &mail.Error{Kind: mail.Unavailable, Text: "the new data folder cannot be written", Err: err}
	}
	return db.Claim(ctx, Owner(to.Path(""), r), false)
}

// In tells which engines have tables in a database, by name. All must be known: what
// nobody can make anew cannot be carried.
func In(tx *sqldb.Tx) (list []Engine, err error) {
	versions, err := tx.Versions()
	if err != nil {
		return nil, err
	}
	for name, version := range versions {
		if _, known := find(name); !known {
			return nil, mail.Errorf(mail.Internal, "the tables of %s are not known to the backup", name)
		}
		list = append(list, Engine{name, version})
	}
	slices.SortFunc(list, func(a, b Engine) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Make makes the tables of engines in the versions that are said. It is of kind
// Conflict if one is newer than this program.
func Make(ctx context.Context, db *sqldb.DB, engines []Engine) error {
	for _, e := range engines {
		s, known := find(e.Name)
		if !known || e.Version > len(s.Steps) {
			return mail.Errorf(mail.Conflict, "the tables of %.100q are of a newer yubin (version %d); use that version", e.Name, e.Version)
		}
		if err := db.Migrate(ctx, e.Name, s.Steps[:e.Version]); err != nil {
			return err
		}
	}
	return nil
}

// Tables describes the tables of a database, without that of their versions.
func Tables(tx *sqldb.Tx) ([]sqldb.Table, error) {
	list, err := tx.Tables()
	return slices.DeleteFunc(list, func(t sqldb.Table) bool { return t.Name == sqldb.VersionTable || t.Name == sqldb.OwnerTable }), err
}

// Mark is the table of a database that is being filled, until it is whole: who fills it.
const Mark = "unfinished"

const (
	filling = "filling" // its engine
	marker  = `CREATE TABLE unfinished (filler {text} NOT NULL PRIMARY KEY)`
)

// Begin marks a database as being filled by whom filler says, for people, so that nobody
// takes it for a post office. It must be empty, or marked by the same already: then it is
// resumed.
func Begin(ctx context.Context, db *sqldb.DB, filler string) (resumed bool, err error) {
	by, err := Unfinished(ctx, db)
	switch {
	case err != nil:
		return false, err
	case by == filler:
		return true, nil
	case by != "":
		return false, mail.Errorf(mail.Conflict, "the database %s is being filled by %s; end that, or name an empty one", db.Path(), by)
	}
	tables, err := list(ctx, db)
	if err != nil {
		return false, err
	}
	if len(tables) > 0 {
		return false, mail.Errorf(mail.Conflict, "the database %s is not empty; name an empty one", db.Path())
	}
	if err := db.Migrate(ctx, filling, []string{marker}); err != nil {
		return false, err
	}
	return false, db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO unfinished (filler) VALUES ($1)`, filler)
		return err
	})
}

// Unfinished says who fills a database; "" if nobody does.
func Unfinished(ctx context.Context, db *sqldb.DB) (filler string, err error) {
	tables, err := list(ctx, db)
	if err != nil || !slices.ContainsFunc(tables, func(t sqldb.Table) bool { return t.Name == Mark }) {
		return "", err
	}
	err = db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(`SELECT filler FROM unfinished`).Scan(&filler) })
	if err == sqldb.ErrNoRows { // It was cut short between the two.
		return "nobody any more", nil
	}
	return filler, err
}

// End takes the mark away.
func End(ctx context.Context, db *sqldb.DB) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error { return tx.Drop(filling, Mark) })
}

// Clear removes all of a database but the mark.
func Clear(ctx context.Context, db *sqldb.DB) error {
	tables, err := list(ctx, db)
	if err != nil {
		return err
	}
	return db.Write(ctx, func(tx *sqldb.Tx) error {
		versions, err := tx.Versions()
		if err != nil {
			return err
		}
		for engine := range versions {
			if engine != filling {
				if err := tx.Drop(engine); err != nil {
					return err
				}
			}
		}
		for _, t := range tables {
			if t.Name == Mark {
				continue
			}
			if err := tx.Drop(t.Name, t.Name); err != nil {
				return err
			}
		}
		return tx.Drop("", sqldb.OwnerTable)
	})
}

func list(ctx context.Context, db *sqldb.DB) (tables []sqldb.Table, err error) {
	err = db.Read(ctx, func(tx *sqldb.Tx) error {
		tables, err = Tables(tx)
		return err
	})
	return tables, err
}

func find(engine string) (sqldb.Schema, bool) {
	all := All()
	i := slices.IndexFunc(all, func(s sqldb.Schema) bool { return s.Engine == engine })
	if i < 0 {
		return sqldb.Schema{}, false
	}
	return all[i], true
}
