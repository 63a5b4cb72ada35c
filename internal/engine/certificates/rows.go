package certificates

import (
	"context"
	"crypto/x509"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "certificates", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970, 0 for none.
func schema() []string {
	return []string{`
	CREATE TABLE certificate (
		name {text} NOT NULL PRIMARY KEY, -- what it is called: the host name, or the domain
		wanted {text} NOT NULL, -- the names that it is to be for, a space between
		left_out {text} NOT NULL, -- a line for each name that it is not for: name, space, why
		chain {blob}, -- DER, the leaf first; NULL before the first order succeeds
		names {text} NOT NULL, -- that it is for, a space between
		begins {int} NOT NULL,
		ends {int} NOT NULL, -- 0: there is none
		issuer {text} NOT NULL,
		serial {text} NOT NULL, -- in hexadecimal
		key {int} NOT NULL, -- that it is for; 0 before
		issued {int} NOT NULL,
		authority {text} NOT NULL, -- the URL of the directory that it came from
		window_start {int} NOT NULL, -- of RFC 9773
		window_end {int} NOT NULL,
		window_reason {text} NOT NULL,
		window_again {int} NOT NULL, -- when to ask for it again
		renew {int} NOT NULL, -- within the window, by chance
		failures {int} NOT NULL, -- since the last success
		failed {int} NOT NULL, -- when the last was
		fault {text} NOT NULL, -- why
		retry {int} NOT NULL, -- not before
		asked {int} NOT NULL -- 1: somebody wants it ordered now
	) {clustered};

	CREATE TABLE certificate_key (
		id {id},
		name {text} NOT NULL, -- of the certificate
		next {int} NOT NULL, -- 1: announced; 0: current
		use_from {int} NOT NULL, -- a next one is taken by the first order from then on
		public {blob} NOT NULL, -- SubjectPublicKeyInfo
		private {blob} NOT NULL -- PKCS #8, sealed for the id (purpose "certificate")
	);
	CREATE UNIQUE INDEX certificate_key_name ON certificate_key (name, next);

	CREATE TABLE certificate_account (
		directory {text} NOT NULL PRIMARY KEY, -- the URL of the authority
		url {text} NOT NULL, -- '' before it is made there
		issuer {text} NOT NULL, -- to CAA records; '' if it does not say
		created {int} NOT NULL,
		private {blob} NOT NULL -- PKCS #8, sealed for the directory (purpose "acme")
	) {clustered};

	CREATE TABLE certificate_challenge (
		kind {text} NOT NULL,
		name {text} NOT NULL,
		token {text} NOT NULL,
		answer {text} NOT NULL, -- the key authorization
		until {int} NOT NULL,
		PRIMARY KEY (kind, token, name)
	) {clustered};

	CREATE TABLE certificate_lease (
		id {int} NOT NULL PRIMARY KEY,
		owner {text} NOT NULL,
		until {int} NOT NULL,
		fence {int} NOT NULL
	) {clustered}`}
}

// lock keeps others from changing rows until the transaction ends.
func lock(tx *sqldb.Tx) { tx.Lock(sqldb.Name, "certificates") }

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

// row is a certificate as its row has it, without the chain.
type row struct {
	name      string
	wanted    []string
	leftOut   []LeftOut
	names     []string
	begins    time.Time
	ends      time.Time // zero: there is none
	issuer    string
	serial    string
	key       int64
	issued    time.Time
	authority string
	window    struct {
		start, end, again time.Time
		reason            string
	}
	renew    time.Time
	failures int
	failed   time.Time
	fault    string
	retry    time.Time
	asked    bool
}

// is reports whether there is one.
func (r row) is() bool { return !r.ends.IsZero() }

func (r row) lifetime() time.Duration { return r.ends.Sub(r.begins) }

// LeftOut is a name that a certificate is not for, and why.
type LeftOut struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

const selectRow = `SELECT name, wanted, left_out, names, begins, ends, issuer, serial, key, issued, authority, window_start, window_end, window_reason, window_again,
	renew, failures, failed, fault, retry, asked FROM certificate`

// rows reads certificates. One that cannot be read is set aside.
func (c *Certificates) rows(tx *sqldb.Tx) (list []row, err error) {
	rows, err := tx.Query(selectRow + ` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRow(rows)
		if c.aside.Takes(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func scanRow(rows *sqldb.Rows) (r row, err error) {
	var wanted, left, names string
	var begins, ends, issued, start, end, again, renew, failed, retry int64
	err = rows.Scan(&r.name, &wanted, &left, &names, &begins, &ends, &r.issuer, &r.serial, &r.key, &issued, &r.authority, &start, &end, &r.window.reason, &again,
		&renew, &r.failures, &failed, &r.fault, &retry, &r.asked)
	if err != nil {
		return r, sqldb.Named("certificate "+r.name, err)
	}
	r.wanted, r.leftOut, r.names = strings.Fields(wanted), parseLeftOut(left), strings.Fields(names)
	r.begins, r.ends = fromMillis(begins), fromMillis(ends)
	r.issued, r.renew, r.failed, r.retry = fromMillis(issued), fromMillis(renew), fromMillis(failed), fromMillis(retry)
	r.window.start, r.window.end, r.window.again = fromMillis(start), fromMillis(end), fromMillis(again)
	return r, nil
}

// chain reads the chain of a certificate, the leaf first.
func (c *Certificates) chain(ctx context.Context, name string) (list []*x509.Certificate, err error) {
	var der []byte
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT chain FROM certificate WHERE name = $1`, name).Scan(&der)
	})
	if err != nil {
		return nil, err
	}
	if list, err = x509.ParseCertificates(der); err != nil || len(list) == 0 {
		return nil, &mail.Error{Kind: mail.Internal, Text: "the chain of the certificate " + name + " cannot be read", Err: err}
	}
	return list, nil
}

func parseLeftOut(text string) (list []LeftOut) {
	for line := range strings.Lines(text) {
		name, why, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		list = append(list, LeftOut{name, why})
	}
	return list
}

func writeLeftOut(list []LeftOut) string {
	var b strings.Builder
	for _, l := range list {
		b.WriteString(l.Name + " " + strings.ReplaceAll(l.Why, "\n", " ") + "\n")
	}
	return b.String()
}

// list reads all certificates.
func (c *Certificates) list(ctx context.Context) (list []row, err error) {
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		list, err = c.rows(tx)
		return err
	})
	return list, err
}

// Sealed counts the private keys in a database.
func Sealed(tx *sqldb.Tx) (n int, err error) {
	var accounts int
	if err = tx.QueryRow(`SELECT count(*) FROM certificate_key`).Scan(&n); err == nil {
		err = tx.QueryRow(`SELECT count(*) FROM certificate_account`).Scan(&accounts)
	}
	return n + accounts, err
}

// change runs fn under the lock.
func (c *Certificates) change(ctx context.Context, fn func(tx *sqldb.Tx) error) error {
	return c.db.Write(ctx, func(tx *sqldb.Tx) error {
		lock(tx)
		return fn(tx)
	})
}

// insertRow makes the row of a certificate that is wanted for the first time.
func insertRow(tx *sqldb.Tx, w wanted) {
	tx.Do(`INSERT INTO certificate (name, wanted, left_out, names, begins, ends, issuer, serial, key, issued, authority, window_start, window_end, window_reason, window_again, renew,
		failures, failed, fault, retry, asked) VALUES ($1, $2, $3, '', 0, 0, '', '', 0, 0, '', 0, 0, '', 0, 0, 0, 0, '', 0, 0)
		ON CONFLICT (name) DO UPDATE SET wanted = excluded.wanted, left_out = excluded.left_out`, w.name, strings.Join(w.names, " "), writeLeftOut(w.leftOut))
}

// removeRow forgets a certificate and its keys.
func removeRow(tx *sqldb.Tx, name string) {
	tx.Do(`DELETE FROM certificate WHERE name = $1`, name)
	tx.Do(`DELETE FROM certificate_key WHERE name = $1`, name)
}

func rowID(id int64) string { return strconv.FormatInt(id, 10) }
