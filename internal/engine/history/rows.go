package history

import (
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "history", Steps: schema()} }

func schema() []string {
	return []string{`
CREATE TABLE history (
	account {int} NOT NULL, -- 0 is the site
	name {text} NOT NULL, -- an address, a domain, a network; see names.go
	written {int} NOT NULL,
	answered {int} NOT NULL,
	filed {int} NOT NULL,
	unread {int} NOT NULL, -- deleted so
	junk {int} NOT NULL,
	notjunk {int} NOT NULL,
	received {int} NOT NULL,
	since {int} NOT NULL, -- seconds
	latest {int} NOT NULL, -- seconds
	PRIMARY KEY (account, name)
) {clustered}`}
}

const columns = `written, answered, filed, unread, junk, notjunk, received, since, latest`

// readRows reads the rows that there are of keys.
func readRows(tx *sqldb.Tx, keys []key) (map[key]Record, error) {
	asked := make([]*sqldb.Answer, len(keys))
	for i, k := range keys {
		asked[i] = tx.Ask(`SELECT `+columns+` FROM history WHERE account = $1 AND name = $2`, int64(k.account), k.name)
	}
	rows := make(map[key]Record, len(keys))
	for i, k := range keys {
		var r Record
		var first, last int64
		err := asked[i].Scan(&r.WrittenTo, &r.Answered, &r.Filed, &r.DeletedUnread, &r.Junk, &r.NotJunk, &r.Received, &first, &last)
		if err == sqldb.ErrNoRows {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.First, r.Last = time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC()
		rows[k] = r
	}
	return rows, nil
}

// addTo adds to a row, or makes it.
func addTo(tx *sqldb.Tx, k key, r Record) {
	tx.Do(`INSERT INTO history (account, name, `+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (account, name) DO UPDATE SET written = history.written + excluded.written,
			answered = history.answered + excluded.answered, filed = history.filed + excluded.filed,
			unread = history.unread + excluded.unread, junk = history.junk + excluded.junk,
			notjunk = history.notjunk + excluded.notjunk, received = history.received + excluded.received,
			since = CASE WHEN history.since < excluded.since THEN history.since ELSE excluded.since END,
			latest = CASE WHEN history.latest > excluded.latest THEN history.latest ELSE excluded.latest END`,
		int64(k.account), k.name, r.WrittenTo, r.Answered, r.Filed, r.DeletedUnread, r.Junk, r.NotJunk, r.Received,
		r.First.Unix(), r.Last.Unix())
}

// maxNames is how many rows an account may have.
func maxNames(account mail.AccountID) int {
	if account == Site {
		return MaxSiteNames
	}
	return MaxNames
}

// trim removes the rows of an account beyond its bound: of names of which nobody made
// anything those that were heard of longest ago, then of those that nobody wrote to, then
// of the others. So a flood of strangers washes nobody clean.
func trim(tx *sqldb.Tx, account mail.AccountID) (removed int64, err error) {
	for _, whom := range []string{
		`written <= 0 AND answered <= 0 AND filed <= 0 AND junk <= 0 AND notjunk <= 0`, `written <= 0`, `written > 0`,
	} {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM history WHERE account = $1`, int64(account)).Scan(&n); err != nil {
			return removed, err
		}
		if n <= maxNames(account) {
			return removed, nil
		}
		gone, err := tx.Exec(`DELETE FROM history WHERE account = $1 AND name IN (SELECT name FROM history
			WHERE account = $1 AND `+whom+` ORDER BY latest, name LIMIT $2)`, int64(account), n-maxNames(account))
		if err != nil {
			return removed, err
		}
		removed += gone
	}
	return removed, nil
}
