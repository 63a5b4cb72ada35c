// Package schemas knows the tables of all engines: which there are, in which version a
// database has them, and how to make them empty in another one. What carries a whole
// post office, a backup or a move, stands on it. It does not know what the tables mean.
package schemas

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// All are the tables of all engines.
func All() []sqldb.Schema {
	return []sqldb.Schema{store.Schema(), directory.Schema(), route.Schema(), spool.Schema(), queue.Schema(), transfer.Schema()}
}

// Engine says which version the tables of an engine have (sqldb.DB.Migrate).
type Engine struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
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

// Tables describes the tables of the engines, without that of their versions.
func Tables(tx *sqldb.Tx) ([]sqldb.Table, error) {
	list, err := tx.Tables()
	return slices.DeleteFunc(list, func(t sqldb.Table) bool { return t.Name == sqldb.VersionTable || t.Name == sqldb.OwnerTable }), err
}

func find(engine string) (sqldb.Schema, bool) {
	all := All()
	i := slices.IndexFunc(all, func(s sqldb.Schema) bool { return s.Engine == engine })
	if i < 0 {
		return sqldb.Schema{}, false
	}
	return all[i], true
}
