package sqldb

import (
	"context"
	"fmt"
	"strings"

	"yubin/internal/mail"
)

// Migrate brings the tables of one engine up to date: steps[n] leads from
// version n to n+1 and never changes once released. Each step is one or more
// statements separated by semicolons. All run in one transaction. A database
// with more steps than given was made by a newer program: kind Conflict.
func (db *DB) Migrate(ctx context.Context, engine string, steps []string) error {
	return db.Write(ctx, func(tx *Tx) error {
		tx.on.unhurried()
		tx.Lock(Name, "schema") // Another process may begin at the same time.
		if _, err := tx.Exec(`CREATE TABLE IF NOT EXISTS schema_version (
			engine {text} NOT NULL PRIMARY KEY, version {int} NOT NULL)`); err != nil {
			return err
		}
		var version int
		err := tx.QueryRow(`SELECT version FROM schema_version WHERE engine = $1`, engine).Scan(&version)
		if err != nil && err != ErrNoRows {
			return err
		}
		switch {
		case version > len(steps):
			return mail.Errorf(mail.Conflict, "%s was made by a newer yubin: its %s tables have version %d, this program knows %d",
				db.Path(), engine, version, len(steps))
		case version == len(steps):
			return nil
		}
		return migrateFrom(tx, engine, version, steps)
	})
}

func migrateFrom(tx *Tx, engine string, version int, steps []string) error {
	for n, step := range steps[version:] {
		for _, q := range statements(step) {
			if _, err := tx.Exec(q); err != nil {
				return fmt.Errorf("%s tables, version %d: %w", engine, version+n+1, err)
			}
		}
	}
	_, err := tx.Exec(`INSERT INTO schema_version (engine, version) VALUES ($1, $2)
		ON CONFLICT (engine) DO UPDATE SET version = $2`, engine, len(steps))
	return err
}

// statements cuts a step into its statements.
func statements(step string) []string {
	var code strings.Builder
	for line := range strings.Lines(step) {
		line, _, _ = strings.Cut(line, "--")
		code.WriteString(line + "\n")
	}
	var list []string
	for q := range strings.SplitSeq(code.String(), ";") {
		if strings.TrimSpace(q) != "" {
			list = append(list, q)
		}
	}
	return list
}
