// Package alarm remembers what the postmaster was told of: that something needs a
// hand, once until it is well again, and the summaries of days. What is told is told
// in the commit that remembers it, so that a restart neither loses nor repeats it.
//
//	state   row            left by a crash   who goes on
//	well    none           as it is          whoever finds that it is not
//	told    cause, since   as it is          whoever finds that it is well
//
// It deliberately does not know what the causes mean.
package alarm

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// maxCause is how long the name of a cause may be, in octets, and maxCauses how many
// are remembered at a time.
const (
	maxCause  = 200
	maxCauses = 1000
)

// Alarm is the memory. Safe for concurrent use.
type Alarm struct{ db *sqldb.DB }

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "alarm", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970.
func schema() []string {
	return []string{`
	CREATE TABLE alarm (
		cause {text} NOT NULL,
		since {int} NOT NULL,
		PRIMARY KEY (cause)
	) {clustered}`}
}

// Open prepares the table.
func Open(ctx context.Context, db *sqldb.DB) (*Alarm, error) {
	return &Alarm{db}, db.Migrate(ctx, "alarm", schema())
}

// Told lists what was told and is not well yet, with when it was told.
func (a *Alarm) Told(ctx context.Context) (told map[string]time.Time, err error) {
	err = a.db.Read(ctx, func(tx *sqldb.Tx) error {
		told = map[string]time.Time{}
		rows, err := tx.Query(`SELECT cause, since FROM alarm ORDER BY cause LIMIT $1`, maxCauses)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var cause string
			var since int64
			if err := rows.Scan(&cause, &since); err != nil {
				return err
			}
			told[cause] = time.UnixMilli(since).UTC()
		}
		return rows.Err()
	})
	return told, err
}

// Tell remembers that something is told, in the caller's transaction. Conflict if
// it was told since already: then nothing is to be said.
func (a *Alarm) Tell(tx *sqldb.Tx, cause string, since time.Time) error {
	if cause == "" || len(cause) > maxCause {
		return mail.Errorf(mail.Invalid, "a cause has 1 to %d octets", maxCause)
	}
	n, err := tx.Exec(`INSERT INTO alarm (cause, since) VALUES ($1, $2)
		ON CONFLICT (cause) DO UPDATE SET since = $2 WHERE alarm.since < $2`, cause, since.UnixMilli())
	if err == nil && n == 0 {
		err = mail.Errorf(mail.Conflict, "%s was told of already", cause)
	}
	return err
}

// Well forgets a cause.
func (a *Alarm) Well(ctx context.Context, cause string) error {
	return a.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`DELETE FROM alarm WHERE cause = $1`, cause)
		return err
	})
}
