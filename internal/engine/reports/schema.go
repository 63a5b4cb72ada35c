package reports

import (
	"context"
	"fmt"

	"yubin/internal/engine/store"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "reports", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are seconds since 1970, days are days
// since then, both in UTC. A kind is a Kind.
func schema() []string {
	return []string{`
	CREATE TABLE reports_arrival ( -- mail with a report that is to be read
		id {id},
		blob {int} NOT NULL, -- held
		prefix {blob},
		arrived {int} NOT NULL,
		sender {text} NOT NULL, -- the reverse-path, for the log
		message_id {text} NOT NULL, -- likewise
		came_by {text} NOT NULL -- likewise: the connection and transaction
	);

	CREATE TABLE reports_received ( -- what a report says of one domain
		id {id},
		kind {text} NOT NULL,
		domain {text} NOT NULL, -- where the policy stands
		org {text} NOT NULL,
		number {text} NOT NULL, -- that the reporter gave it
		contact {text} NOT NULL,
		begins {int} NOT NULL,
		ends {int} NOT NULL,
		arrived {int} NOT NULL,
		policy {text} NOT NULL, -- as the reporter found it, for people
		fault {text} NOT NULL, -- what the reporter says is wrong with it
		messages {int} NOT NULL, -- in all records; of TLS: sessions
		left_out {int} NOT NULL, -- of them, in records that are not kept
		ours {text} NOT NULL, -- the domain of ours that it counts for
		reporter {text} NOT NULL, -- the domain that is authenticated, or ''
		newcomer {int} NOT NULL, -- none of the reporter was kept before that day
		kept {int} NOT NULL -- records, when it came
	);
	CREATE UNIQUE INDEX reports_received_once ON reports_received (kind, domain, org, number);
	CREATE INDEX reports_received_ends ON reports_received (kind, domain, ends);
	CREATE INDEX reports_received_arrived ON reports_received (arrived);
	CREATE INDEX reports_received_ours ON reports_received (kind, ours, arrived);
	CREATE INDEX reports_received_reporter ON reports_received (kind, ours, reporter, arrived);

	CREATE TABLE reports_row ( -- messages of one DMARC report that fared alike
		report {int} NOT NULL,
		n {int} NOT NULL,
		source {text} NOT NULL,
		author {text} NOT NULL, -- the domain of From
		disposition {int} NOT NULL,
		dkim {int} NOT NULL, -- aligned
		spf {int} NOT NULL, -- aligned
		reason {text} NOT NULL, -- why the policy was not followed
		spf_domain {text} NOT NULL,
		spf_result {text} NOT NULL,
		dkim_domain {text} NOT NULL,
		dkim_selector {text} NOT NULL,
		dkim_result {text} NOT NULL,
		messages {int} NOT NULL,
		PRIMARY KEY (report, n)
	) {clustered};

	CREATE TABLE reports_tls ( -- sessions of one TLS report
		report {int} NOT NULL,
		n {int} NOT NULL,
		policy {text} NOT NULL, -- the type, and the mode of MTA-STS: "sts enforce"
		result {text} NOT NULL, -- how they failed; '' for all sessions under the policy
		host {text} NOT NULL, -- of ours that they were with, as far as it is told
		reason {text} NOT NULL, -- in the reporter's words
		sessions {int} NOT NULL,
		failed {int} NOT NULL, -- of them
		PRIMARY KEY (report, n)
	) {clustered};

	CREATE TABLE reports_day ( -- what is to be reported of one day to one domain
		kind {text} NOT NULL,
		day {int} NOT NULL,
		domain {text} NOT NULL,
		policy {text} NOT NULL, -- of DMARC: the last one that was seen, as JSON
		tuples {int} NOT NULL,
		messages {int} NOT NULL, -- of TLS: sessions
		left_out {int} NOT NULL, -- of them, beyond the bound of tuples
		due {int} NOT NULL, -- when the report is to be made; 0 if nothing is to be done any more
		tries {int} NOT NULL,
		done {int} NOT NULL, -- when it was sent or given up, or 0
		outcome {text} NOT NULL, -- whom it was sent to, or why it was not
		PRIMARY KEY (kind, day, domain)
	) {clustered};
	CREATE INDEX reports_day_due ON reports_day (kind, due) WHERE due > 0;

	CREATE TABLE reports_seen ( -- messages, or sessions, of one day that fared alike
		kind {text} NOT NULL,
		day {int} NOT NULL,
		domain {text} NOT NULL,
		hash {blob} NOT NULL, -- of the tuple
		tuple {text} NOT NULL, -- a record of a report, as JSON
		messages {int} NOT NULL,
		PRIMARY KEY (kind, day, domain, hash)
	) {clustered}`}
}

// Held is the store.Holder of reports that are to be read.
func Held(tx *sqldb.Tx, after int64, held func(store.BlobRef)) (last int64, more bool, err error) {
	return store.HeldBy(`SELECT id, blob FROM reports_arrival WHERE id > $1 ORDER BY id`)(tx, after, held)
}

// Check verifies what of the rows can be: that none is of a report or day that is
// gone, and that their messages add up. The error is one of reading.
func (r *Reports) Check(ctx context.Context, report func(problem string)) error {
	return r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		for _, c := range []struct{ what, query string }{
			{"a DMARC report whose records do not add up", `SELECT r.id FROM reports_received r WHERE r.kind = 'dmarc' AND r.messages <> r.left_out +
				coalesce((SELECT sum(w.messages) FROM reports_row w WHERE w.report = r.id), 0) ORDER BY r.id LIMIT 100`},
			{"records of a DMARC report that is not there", `SELECT DISTINCT w.report FROM reports_row w LEFT JOIN reports_received r ON r.id = w.report
				AND r.kind = 'dmarc' WHERE r.id IS NULL ORDER BY w.report LIMIT 100`},
			{"a TLS report without all of its records", `SELECT r.id FROM reports_received r WHERE r.kind = 'tls' AND r.kept <>
				(SELECT count(*) FROM reports_tls w WHERE w.report = r.id) ORDER BY r.id LIMIT 100`},
			{"records of a TLS report that is not there", `SELECT DISTINCT w.report FROM reports_tls w LEFT JOIN reports_received r ON r.id = w.report
				AND r.kind = 'tls' WHERE r.id IS NULL ORDER BY w.report LIMIT 100`},
			{"what was seen on a day that is not there", `SELECT DISTINCT s.day FROM reports_seen s LEFT JOIN reports_day d ON d.kind = s.kind AND d.day = s.day
				AND d.domain = s.domain WHERE d.day IS NULL ORDER BY s.day LIMIT 100`},
		} {
			rows, err := tx.Query(c.query)
			if err != nil {
				return err
			}
			for rows.Next() {
				var n int64
				if err := rows.Scan(&n); err != nil {
					rows.Close()
					return err
				}
				report(fmt.Sprintf("reports: %s: %d", c.what, n))
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
