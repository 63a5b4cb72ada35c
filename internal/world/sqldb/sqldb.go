// Package sqldb is the database as the engines see it: transactions over SQL, on
// SQLite in a file or on a PostgreSQL server, with one meaning. The dialects live
// here and nowhere else; engines write plain SQL with $1 placeholders and a few
// words between braces. Their suites run on both: see testkit/dbtest.
//
//	db, err := sqldb.Open(ctx, sqldb.Options{Path: "data/yubin.db"})
//	defer db.Close()
//	go db.Run(ctx) // checkpoints; the database works without it, only slower
//	err = db.Migrate(ctx, "directory", []string{`CREATE TABLE account (
//		id {id}, name {text} NOT NULL UNIQUE, secret {blob}, created {int} NOT NULL)`})
//
//	var id mail.AccountID
//	err = db.Write(ctx, func(tx *sqldb.Tx) error {
//		n, err := tx.Insert(`INSERT INTO account (name, created) VALUES ($1, $2)`, name, now.Unix())
//		id = mail.AccountID(n)
//		tx.OnCommit(func() { ... }) // durable now; callers hear of it after this
//		return err
//	})
//	err = db.Read(ctx, func(tx *sqldb.Tx) error {
//		return tx.QueryRow(`SELECT id FROM account WHERE name = $1`, name).Scan(&id)
//	})
//
// What every closure given to Write must obey: it may run several times (the
// changes and hooks of those before are then gone), so it assigns its results
// afresh each time; it does nothing slow, as others wait; it calls neither Write
// nor Read. Write returns after the commit is on disk. Named integer and string
// types of package mail can be arguments and scan targets; a time is stored as
// the integer its owner chooses.
//
// # Words
//
// The text of a schema or a statement has these where the databases differ:
//
//	{id}         a key that the database gives, called id, never used twice
//	{int}        64 bits; a boolean is 1 or 0
//	{text}       UTF-8 without NUL, compared by its octets
//	{blob}       octets
//	{clustered}  after the closing parenthesis of a table: rows lie in the
//	             order of the primary key
//	{free}       at the end of a SELECT within a change of rows that it chooses: rows
//	             that others have locked are left out, so nobody waits for anybody
//	{lock WORD}  at the end of a SELECT: the rows that it finds are locked until
//	             the transaction ends; $1 is the key of what WORD says they are
//
// Several statements travel together where nobody waits for each: Tx.Do changes
// and asks nothing, Tx.Ask asks for what is used later, Tx.NewIDs gives ids
// before the rows are there. Write a transaction as: ask for all that can be
// asked, use the answers, change, return. On PostgreSQL each use of an answer
// that is not there yet is one round trip, and so are Exec, Query, QueryRow,
// Insert and InsertNew.
//
// # Locks
//
// On SQLite one transaction writes at a time. On PostgreSQL transactions write
// side by side, and each statement sees what was committed when it began: so who
// reads what it then changes, or what must stay as it is until the commit,
// locks it first. Rows that are there are locked by the SELECT that reads them
// ({lock account} for an account's counters, {lock item} for an item of the
// spool); Tx.Lock locks what has no row. Locks are taken in the order of
// LockWord: the directory, domains, accounts by id, items by id, names. A
// transaction that comes back to an earlier one could wait for somebody who waits
// for it; with Options.CheckLocks, as tests have it, that is an error on both
// databases. What one UPDATE or DELETE computes from the row itself (n = n + 1)
// needs no lock, and ON CONFLICT decides between two who insert.
//
// # What both understand
//
// PostgreSQL has types and wants to know them, SQLite is lenient:
//
//   - A parameter that stands for itself, as in SELECT $1, is text on PostgreSQL unless
//     the argument is a number. Write CAST($1 AS {text}), {int} or {blob}.
//   - A boolean is an {int}, 1 or 0: WHERE flag = 1, and CASE WHEN a > b THEN 1 ELSE 0
//     END where one is stored. A comparison that is selected can be scanned into a bool.
//   - A number in the text, and CAST(x AS INTEGER), have 32 bits on PostgreSQL:
//     write CAST(1 AS {int}) << 40.
//   - NULL comes first on SQLite and last on PostgreSQL: order by x IS NULL before x.
//   - LIKE looks at case on PostgreSQL and not on SQLite; lower() and length() do not
//     agree about all characters. What is compared so is made in Go, when it is written.
//   - max(a, b) of one row is a CASE. All columns that are selected beside an aggregate
//     are in GROUP BY. UPDATE and DELETE have no ORDER BY or LIMIT of their own.
//   - A result that is still being read may be followed by other statements, but not by
//     changes of the rows that it may still visit.
//
// # PostgreSQL
//
// Each transaction has a connection of a bounded pool. Writes are READ COMMITTED
// and run side by side; a Read is REPEATABLE READ, READ ONLY, and sees one moment.
// BEGIN travels with the first statement that is waited for, the last changes with
// COMMIT.
//
//	what happens                          what Write does
//	another stands in its way             runs the closure again, twelve times at most
//	(40001, 40P01)
//	the connection ends before COMMIT     runs it once more, on a new one
//	it ends inside COMMIT                 asks the server what became of the transaction,
//	                                      and returns that, or runs it once more; if the
//	                                      server does not say for half a minute, it is
//	                                      Unavailable though it may be done, and the log
//	                                      has it
//
// A transaction is asked after by its id; see life for what a crash makes of those. A
// Read whose connection ends before it answered anything is begun again, later it is
// Unavailable.
//
// While the server is away, one attempt to connect is made at a time, ever more
// rarely, up to every two seconds; calls wait for Options.Patience and then get
// Unavailable, at once if it has been away that long. Every statement and every
// wait for a place has Options.Timeout, a lock ten seconds.
//
// Between yubin and the server there may be no pooler that gives a connection to others
// between two transactions: statements are prepared once for each connection.
//
// Open refuses a server that is older than 14, is a standby, has another encoding than
// UTF-8, or does not sync what it commits.
//
// # SQLite: group commit
//
// Closures queue. A caller that finds nobody at work becomes the leader: it runs
// all that wait in one BEGIN IMMEDIATE, commits once, runs their OnCommit hooks
// in order, hands the lead to the next in the queue and wakes the batch. While
// a commit syncs, the next batch gathers by itself; there is no timer and no
// goroutine. The first attempt uses no savepoints. Only when a closure fails
// after it wrote is the batch rolled back and run again, with a savepoint around
// each, so that the failure harms nobody else.
//
// # SQLite: states
//
//	on disk                              after a crash
//	path        pages up to the last     what SQLite recovers: every commit
//	            checkpoint               that returned, none that did not
//	path-wal    commits since, then      replayed at the next Open, up to the
//	            older ones or zeros;     last whole commit; before that it is
//	            cut short at Close       written and synced again, see below
//	path-shm    index of the WAL         rebuilt
//	path.lock   held by the process      free: the lock dies with its holder
//
// A full disk or a failed sync of the WAL rolls the whole batch back with kind
// Unavailable; the next write tries anew. Errors are *mail.Error.
//
// # SQLite: failed syncs
//
// After a failed sync the system may forget what it had to write: reads give
// it as long as it is in memory, later syncs succeed, and a power loss shows
// that it never was on the disk. So nothing may rely on octets that were written
// before a failed sync and not again after it.
//
// Of the WAL, those are the frames of the commit that failed. SQLite rolls it
// back, and the next commit writes the same places again, from the last frame of
// the commit before. After a crash however they could be read as a whole commit,
// to be followed by more: so Open writes the WAL again as it is, and syncs it,
// before SQLite reads it.
//
// Of the database file, those are the pages of every checkpoint since the last
// one that reached the end of the WAL: only that one syncs, while each lets the
// next begin where it ended. So after a failed sync of the file there is no
// checkpoint any more, at Close neither, and no write, which could begin the WAL
// anew: writes get kind Unavailable, Run ends, reads go on. The WAL has all those
// pages, and the next Open copies it from its beginning.
//
// # Slices
//
// What may take long, because somebody has a hundred thousand messages, is done
// through Slices: in many transactions that end when Tx.Enough says so. The
// first slice runs with what else waits, unless the operation is known to be long
// (LongSlices); mostly it is the only one. Each further
// slice runs alone, and what waited when the one before ended runs before it,
// so nobody waits for more than one slice, however large the operations of others
// are and however many of them there are. A slice has Options.Slice with its
// commit: on a slow disk it does less. On PostgreSQL further slices have a quarter of the
// connections at most, locks are given back between slices, and a slice has longer the farther the
// server is: its ways there and back are not its work.
//
// It deliberately has no query builder and no models.
package sqldb

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/mail"
)

// Limits and sizes.
const (
	MaxBatch        = 256        // closures in one commit
	DefaultReaders  = 4          // snapshot readers at a time
	DefaultWALPages = 6 << 10    // 24 MiB of WAL: the background checkpoint
	walFactor       = 4          // times as much: the writer itself makes room
	DefaultCache    = 64 << 20   // octets of all page caches: three quarters the writer's, a quarter the readers'
	maxStatements   = 256        // prepared statements kept per connection
	applicationID   = 0x79756269 // "yubi", marks our files
	pageSize        = 4096
)

// Options say where the database is.
type Options struct {
	Path    string       // the database file; -wal, -shm and .lock stand beside it
	URL     string       // instead of Path: postgres://…; its search_path names the schema, or it is yubin
	Readers int          // snapshot readers at a time; 0 means DefaultReaders
	Log     *slog.Logger // nil drops
	MaxSize int64        // octets the file may grow to, 0 for no bound: writes beyond it are Unavailable

	WALPages  int64 // pages of WAL at which Run checkpoints; 0 means DefaultWALPages
	CacheSize int64 // octets of all page caches; 0 means DefaultCache

	Slice time.Duration // how long a slice holds the writer, about; 0 means DefaultSlice

	Observe func(Commit) // hears of every batch; must be quick; nil for none

	Connections int           // to a server at a time; 0 means DefaultConnections
	Patience    time.Duration // to wait for a server that cannot be reached; 0 means DefaultPatience
	Timeout     time.Duration // for one statement on a server, and to wait for a connection; 0 means DefaultTimeout
	Unsafe      bool          // for tests: a server that does not sync is taken

	Plain      bool // for tests: without what is known of SQLite's inside
	CheckLocks bool // for tests: locks taken out of order are errors
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	on   database
	lite *sqlite // on, or nil

	gate sync.RWMutex // held to read by every write
	held error        // what writes get meanwhile, see Hold; under gate
}

// database is what each of the two does in its own way.
type database interface {
	write(ctx context.Context, fn func(*Tx) error, later bool) error // later: it is a slice that runs after what waits
	read(ctx context.Context, fn func(*Tx) error, long bool) error   // long: it is a Snapshot
	run(ctx context.Context) error
	integrity(ctx context.Context, report func(problem string)) error
	sizes() (Sizes, error)
	traffic() Traffic
	close() error
	name() string // for people
}

// Open opens or creates the database. Of a file, it fails with kind Conflict if
// another process has it open, with Internal if it is damaged or not ours. Of a
// server, it fails with Unavailable if that cannot be reached, and with Invalid
// if it would not keep what it is given; the text says what to do.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Slice <= 0 {
		o.Slice = DefaultSlice
	}
	if o.URL != "" {
		p, err := openPostgres(ctx, o)
		if err != nil {
			return nil, err
		}
		return &DB{on: p}, nil
	}
	lite, err := openSQLite(ctx, o)
	if err != nil {
		return nil, err
	}
	return &DB{on: lite, lite: lite}, nil
}

// Write runs fn in a transaction and returns after it is durable, or with fn's
// error after all that fn changed is undone. If ctx ends before fn's turn, fn
// does not run; later, ctx is not looked at. See the package comment for what
// fn must obey.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error { return db.write(ctx, fn, false) }

func (db *DB) write(ctx context.Context, fn func(*Tx) error, later bool) error {
	db.gate.RLock()
	defer db.gate.RUnlock()
	if db.held != nil {
		return db.held
	}
	return db.on.write(ctx, fn, later)
}

// Hold waits for the writes under way and has all later ones of this process get why,
// until release. Reads go on.
func (db *DB) Hold(why *mail.Error) (release func()) {
	set := func(why error) {
		db.gate.Lock()
		defer db.gate.Unlock()
		db.held = why
	}
	set(why)
	return func() { set(nil) }
}

// Read runs fn on a snapshot: what is committed when fn reads first. fn may
// take long only at the price of a growing WAL, so what may be long ends when
// Tx.Enough says so and goes on in another; it must not write, and must not call
// Write or Read. It waits for a free reader; if ctx ends meanwhile, fn does
// not run. Before fn has its first answer it may be begun again.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error { return db.on.read(ctx, fn, false) }

// Run does what is to be done in the background, until ctx ends: on SQLite it
// checkpoints, so that no commit has to. It ends with an error, which says what to
// do, when the disk failed to keep the database file: nothing is written any more
// then, and the process should begin anew.
func (db *DB) Run(ctx context.Context) error { return db.on.run(ctx) }

// Integrity reads the whole database and reports what is damaged, one table at a
// time, each on its own snapshot.
func (db *DB) Integrity(ctx context.Context, report func(problem string)) error {
	return db.on.integrity(ctx, report)
}

// Close waits for writes and reads under way and closes the database. Later calls
// get kind Unavailable. Cancel Run first.
func (db *DB) Close() error { return db.on.close() }

// OneWriter reports whether transactions write one at a time: the hooks of one have
// run then before another begins. See Tx.OnCommit.
func (db *DB) OneWriter() bool { return db.lite != nil }

// Path returns where the database is, for people: its file, or the server's host,
// database and schema.
func (db *DB) Path() string { return db.on.name() }

var errClosed = mail.Errorf(mail.Unavailable, "the store is shutting down")
