package signing

import (
	"context"
	"fmt"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "signing", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970, 0
// for none.
func schema() []string {
	return []string{`
	CREATE TABLE signing_key (
		id {id},
		owner {text} NOT NULL, -- a domain, or the zone
		zone {int} NOT NULL, -- 1 if it is the zone
		selector {text} NOT NULL,
		algorithm {int} NOT NULL,
		state {int} NOT NULL,
		created {int} NOT NULL,
		since {int} NOT NULL, -- when it came into its state
		public {blob} NOT NULL, -- as in the tag p
		private {blob} -- sealed; NULL when it is gone
	);
	CREATE UNIQUE INDEX signing_selector ON signing_key (owner, zone, selector);

	CREATE TABLE signing_sight (
		domain {text} NOT NULL, -- '' is the zone itself
		key {int} NOT NULL,
		seen {int} NOT NULL, -- since when its record is there; 0 if it is not
		missed {int} NOT NULL, -- since when it is not there; 0 if it is
		asked {int} NOT NULL, -- when the DNS last gave an answer
		note {text} NOT NULL, -- what was wrong, for people
		PRIMARY KEY (domain, key)
	) {clustered};

	CREATE TABLE signing_lease (
		id {int} NOT NULL PRIMARY KEY,
		owner {text} NOT NULL,
		until {int} NOT NULL,
		fence {int} NOT NULL
	) {clustered}`}
}

// lock keeps others from changing rows until the transaction ends.
func lock(tx *sqldb.Tx) { tx.Lock(sqldb.Name, "signing") }

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// keysOf reads the keys of an owner, the oldest first.
func (s *Signing) keysOf(tx *sqldb.Tx, o Owner) ([]Key, error) {
	return s.scanKeys(tx.Query(selectKey+` WHERE owner = $1 AND zone = $2 ORDER BY id`, o.Name, o.Zone))
}

const selectKey = `SELECT id, owner, zone, selector, algorithm, state, created, since, public, private FROM signing_key`

// scanKeys reads keys. One that cannot be read is set aside: it does not sign.
func (s *Signing) scanKeys(rows *sqldb.Rows, err error) (list []Key, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		k, err := scanKey(rows)
		if s.aside.Takes(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

func scanKey(rows *sqldb.Rows) (k Key, err error) {
	var created, since int64
	err = rows.Scan(&k.ID, &k.Owner.Name, &k.Owner.Zone, &k.Selector, &k.Algorithm, &k.State, &created, &since, &k.Public, &k.sealed)
	k.Created, k.Since = fromMillis(created), fromMillis(since)
	name := fmt.Sprintf("key %d (%.80s of %.80s)", k.ID, k.Selector, k.Owner.Name)
	switch {
	case err != nil:
		return k, sqldb.Named(name, err)
	case k.Algorithm < RSA || k.Algorithm > Ed25519 || k.State < New || k.State > Revoked || len(k.Public) == 0 || k.Selector == "":
		return k, &sqldb.Unreadable{Row: name, Err: mail.Errorf(mail.Internal, "it has a value that none can have")}
	}
	return k, nil
}

// Sealed counts the private keys in a database.
func Sealed(tx *sqldb.Tx) (n int, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM signing_key WHERE private IS NOT NULL`).Scan(&n)
	return n, err
}

// insert gives a key, which is open, its number, and writes it.
func (s *Signing) insert(tx *sqldb.Tx, k Key) (Key, error) {
	ids, err := tx.NewIDs("signing_key", 1)
	if err != nil {
		return k, err
	}
	k.ID = ids[0]
	if err := s.seal(&k); err != nil {
		return k, err
	}
	tx.Do(`INSERT INTO signing_key (id, owner, zone, selector, algorithm, state, created, since, public, private)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, k.ID, k.Owner.Name, k.Owner.Zone, k.Selector, k.Algorithm, k.State,
		millis(k.Created), millis(k.Since), k.Public, k.sealed)
	return k, nil
}

// remove forgets a key.
func remove(tx *sqldb.Tx, id int64) {
	tx.Do(`DELETE FROM signing_sight WHERE key = $1`, id)
	tx.Do(`DELETE FROM signing_key WHERE id = $1`, id)
}

// sight is what the DNS says of a key at a domain.
type sight struct {
	seen, missed, asked time.Time
	note                string
}

// sightsAt reads what is known at a domain, by key.
func sightsAt(tx *sqldb.Tx, domain mail.Domain) (map[int64]sight, error) {
	rows, err := tx.Query(`SELECT key, seen, missed, asked, note FROM signing_sight WHERE domain = $1`, domain)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[int64]sight{}
	for rows.Next() {
		var key, seen, missed, asked int64
		var at sight
		if err := rows.Scan(&key, &seen, &missed, &asked, &at.note); err != nil {
			return nil, err
		}
		at.seen, at.missed, at.asked = fromMillis(seen), fromMillis(missed), fromMillis(asked)
		all[key] = at
	}
	return all, rows.Err()
}

func putSight(tx *sqldb.Tx, domain mail.Domain, key int64, at sight) {
	tx.Do(`INSERT INTO signing_sight (domain, key, seen, missed, asked, note) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (domain, key) DO UPDATE SET seen = excluded.seen, missed = excluded.missed, asked = excluded.asked, note = excluded.note`,
		domain, key, millis(at.seen), millis(at.missed), millis(at.asked), at.note)
}

// change is DB.Write under the lock for what is remembered.
func (s *Signing) change(ctx context.Context, fn func(*sqldb.Tx) error) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		lock(tx)
		tx.OnCommit(s.forget)
		return fn(tx)
	})
}
