package lessons

import (
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "lessons", Steps: schema()} }

func schema() []string {
	return []string{`
CREATE TABLE lesson_model (
	account {int} NOT NULL PRIMARY KEY, -- 0 is the site
	version {int} NOT NULL, -- changes with every change of its pages
	junk {int} NOT NULL, -- messages that are learned as that
	ham {int} NOT NULL,
	at {int} NOT NULL, -- seconds; when something was learned or taken back
	day {int} NOT NULL, -- the day, of an account, since 1970
	taught {int} NOT NULL -- of which it taught the site so many messages
);

CREATE TABLE lesson_page (
	account {int} NOT NULL,
	page {int} NOT NULL,
	octets {blob} NOT NULL, -- see engine/junk
	PRIMARY KEY (account, page)
) {clustered};

-- What was done to the site's model since its pages were written.
CREATE TABLE lesson_log (
	version {int} NOT NULL, -- of the model after it
	place {int} NOT NULL, -- among those of the version
	learned {int} NOT NULL, -- 1: a lesson was learned; 0: taken back
	octets {blob} NOT NULL, -- the lesson
	PRIMARY KEY (version, place)
) {clustered};

CREATE TABLE lesson (
	account {int} NOT NULL,
	message {text} NOT NULL, -- the number of an email, or sha256: and the hash of octets
	junk {int} NOT NULL, -- 1: as junk
	site {int} NOT NULL, -- 1: the site learned it as well
	at {int} NOT NULL, -- seconds
	octets {blob} NOT NULL, -- see engine/junk
	PRIMARY KEY (account, message)
);
CREATE INDEX lesson_at ON lesson (account, at)`}
}

// model is a row of lesson_model.
type model struct{ version, junk, ham, at, day, taught int64 }

func readModel(tx *sqldb.Tx, account mail.AccountID) (m model, err error) {
	err = tx.QueryRow(`SELECT version, junk, ham, at, day, taught FROM lesson_model WHERE account = $1`, int64(account)).
		Scan(&m.version, &m.junk, &m.ham, &m.at, &m.day, &m.taught)
	if err == sqldb.ErrNoRows {
		err = nil
	}
	return m, err
}

func (m model) write(tx *sqldb.Tx, account mail.AccountID) {
	tx.Do(`INSERT INTO lesson_model (account, version, junk, ham, at, day, taught) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (account) DO UPDATE SET version = $2, junk = $3, ham = $4, at = $5, day = $6, taught = $7`,
		int64(account), m.version, m.junk, m.ham, m.at, m.day, m.taught)
}

// count counts a message that is learned, or with -1 is not any more.
func (m *model) count(junk bool, n int64) {
	if junk {
		m.junk += n
	} else {
		m.ham += n
	}
}

// teaches says whether one more message of the account may teach the site, and counts it.
func (m *model) teaches(now int64) bool {
	if day := now / (24 * 60 * 60); day != m.day {
		m.day, m.taught = day, 0
	}
	if m.taught >= MaxTaught {
		return false
	}
	m.taught++
	return true
}

// number is a yes or no in a row.
func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func readPages(tx *sqldb.Tx, account mail.AccountID) (pages []Page, err error) {
	rows, err := tx.Query(`SELECT page, octets FROM lesson_page WHERE account = $1 ORDER BY page`, int64(account))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p := Page{Account: account}
		if err := rows.Scan(&p.Number, &p.Octets); err != nil {
			return nil, err
		}
		pages = append(pages, p)
	}
	return pages, rows.Err()
}

func (p Page) write(tx *sqldb.Tx) {
	tx.Do(`INSERT INTO lesson_page (account, page, octets) VALUES ($1, $2, $3) ON CONFLICT (account, page) DO UPDATE SET octets = $3`,
		int64(p.Account), p.Number, p.Octets)
}

// trim removes the oldest lessons of an account, if there are too many.
func trim(tx *sqldb.Tx, account mail.AccountID) error {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM lesson WHERE account = $1`, int64(account)).Scan(&n); err != nil || n <= MaxLessons {
		return err
	}
	tx.Do(`DELETE FROM lesson WHERE account = $1 AND message IN
		(SELECT message FROM lesson WHERE account = $1 ORDER BY at, message LIMIT $2)`, int64(account), n-MaxLessons)
	return nil
}

// logEntry is a row of lesson_log: what was done to the site's model.
type logEntry struct {
	learned bool
	octets  []byte
}

func writeLog(tx *sqldb.Tx, version int64, list []logEntry) {
	for i, e := range list {
		learned := 0
		if e.learned {
			learned = 1
		}
		tx.Do(`INSERT INTO lesson_log (version, place, learned, octets) VALUES ($1, $2, $3, $4)`, version, i, learned, e.octets)
	}
}

func readLog(tx *sqldb.Tx) (list []logEntry, err error) {
	rows, err := tx.Query(`SELECT learned, octets FROM lesson_log ORDER BY version, place`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e logEntry
		if err := rows.Scan(&e.learned, &e.octets); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}
