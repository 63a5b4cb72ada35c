package queue

import "yubin/internal/world/sqldb"

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "queue", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970, 0
// for none.
//
// The columns of queue_due stay as they are when a delivery is claimed, so a
// claim costs one row; they alone answer what is due and at which site.
func schema() []string {
	return []string{`
	CREATE TABLE queue_delivery (
		item {int} NOT NULL,
		n {int} NOT NULL, -- from 1
		recipient {text} NOT NULL,
		orcpt {text} NOT NULL,
		notify {int} NOT NULL,
		site {text} NOT NULL,
		via {text} NOT NULL, -- the route an operator chose, or ''
		lane {int} NOT NULL,
		state {int} NOT NULL,
		due {int} NOT NULL, -- of a waiting or active one; 0 otherwise
		report_at {int} NOT NULL, -- of an owed one; 0 otherwise
		attempts {int} NOT NULL,
		deferrals {int} NOT NULL, -- attempts, and times put off for the sake of its site
		parked {int} NOT NULL, -- when it was put off because of its site, not because of an answer; 0 otherwise
		noticed {int} NOT NULL, -- the sender knows of the delay
		owner {int} NOT NULL, -- who has an active one; 0 otherwise
		held_by {text} NOT NULL DEFAULT '', -- what keeps a held one; '' for operators, and of others
		last {text} NOT NULL, -- a record of the last attempt, or ''
		PRIMARY KEY (item, n)
	) {clustered};
	CREATE INDEX queue_due ON queue_delivery (due, item, n, site, lane) WHERE due > 0;
	CREATE INDEX queue_site ON queue_delivery (site, lane, due, item, n);
	CREATE INDEX queue_report ON queue_delivery (report_at, item) WHERE report_at > 0;
	CREATE INDEX queue_parked ON queue_delivery (site, parked) WHERE parked > 0;
	CREATE INDEX queue_owned ON queue_delivery (owner) WHERE owner > 0;

	CREATE TABLE queue_owner (
		id {id},
		name {text} NOT NULL,
		until {int} NOT NULL
	);

	CREATE TABLE queue_event (
		item {int} NOT NULL,
		seq {int} NOT NULL,
		at {int} NOT NULL,
		n {int} NOT NULL, -- 0 is the whole message
		recipient {text} NOT NULL,
		kind {text} NOT NULL,
		note {text} NOT NULL,
		record {text} NOT NULL, -- of an attempt, or ''
		PRIMARY KEY (item, seq)
	) {clustered};

	CREATE TABLE queue_pause (
		scope {text} NOT NULL,
		name {text} NOT NULL,
		since {int} NOT NULL,
		why {text} NOT NULL,
		PRIMARY KEY (scope, name)
	) {clustered}`}
}
