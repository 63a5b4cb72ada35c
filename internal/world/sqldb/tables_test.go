package sqldb_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// lockedLog keeps what is logged.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestSnapshotDoesNotStopWriters: while a snapshot is read, over four times the
// pages that make the writer itself empty the WAL are written, and no write
// waits; what was written does not show in the snapshot.
func TestSnapshotDoesNotStopWriters(t *testing.T) {
	ctx := context.Background()
	var log lockedLog
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db"), WALPages: 64, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(running) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(ctx, "t", []string{`CREATE TABLE t (id {id}, b {blob})`}); err != nil {
		t.Fatal(err)
	}
	write := func() error {
		return db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Insert(`INSERT INTO t (b) VALUES ($1)`, make([]byte, 20_000))
			return err
		})
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	seen, last := 0, int64(0)
	err = db.Snapshot(ctx, func(tx *sqldb.Tx) error {
		for range 400 {
			if err := write(); err != nil {
				return err
			}
		}
		if text := log.String(); text != "" { // Whoever waits for readers in vain says so.
			t.Errorf("a write waited: %s", text)
		}
		if err := tx.QueryRow(`SELECT count(*) FROM t`).Scan(&seen); err != nil {
			return err
		}
		last, err = tx.LastID("t")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 401 || seen != 1 || last != 1 {
		t.Errorf("%d rows in the database, %d in the snapshot, numbered to %d", n, seen, last)
	}
}

func count(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	err := db.Read(context.Background(), func(tx *sqldb.Tx) error { return tx.QueryRow(`SELECT count(*) FROM t`).Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSnapshotEndsWithTheDatabase: closing waits for a snapshot and ends it.
func TestSnapshotEndsWithTheDatabase(t *testing.T) {
	ctx := context.Background()
	db := openTables(t, "")
	closed := make(chan error)
	err := db.Snapshot(ctx, func(tx *sqldb.Tx) error {
		go func() { closed <- db.Close() }()
		for {
			if err := tx.Lasts(); err != nil {
				return err
			}
		}
	})
	if err == nil || mail.KindOf(err) != mail.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// openTables opens a database with some tables.
func openTables(t *testing.T, tables string) *sqldb.DB {
	t.Helper()
	db := dbtest.Open(t)
	if err := db.Migrate(context.Background(), "t", []string{tables}); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestTables: a table is described as its schema says; one that could not be carried
// is told, with what it needs.
func TestTables(t *testing.T) {
	ctx := context.Background()
	describe := func(tables string) (list []sqldb.Table, err error) {
		err = openTables(t, tables).Read(ctx, func(tx *sqldb.Tx) error {
			list, err = tx.Tables()
			return err
		})
		return list, err
	}
	list, err := describe(`CREATE TABLE a (id {id}, n {int}, s {text} NOT NULL);
		CREATE TABLE b (x {text} NOT NULL, y {int} NOT NULL, z {blob}, PRIMARY KEY (y, x)) {clustered}`)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{a [{id int false} {n int true} {s text false}] [0] true} {b [{x text false} {y int false} {z blob true}] [1 0] false}"
	if got := fmt.Sprint(list); !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for tables, want := range map[string]string{
		`CREATE TABLE a (n {int})`:                              "table a has no primary key; give it one",
		`CREATE TABLE a (n {int} NOT NULL PRIMARY KEY, r REAL)`: "column r of table a is of type real; use {int}, {text} or {blob}",
	} {
		if _, err := describe(tables); err == nil || !strings.Contains(strings.ToLower(err.Error()), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSetLastID: numbers go on behind the one that is set, in a table that never gave
// one too.
func TestSetLastID(t *testing.T) {
	ctx := context.Background()
	db := openTables(t, `CREATE TABLE t (id {id}, n {int})`)
	for _, last := range []int64{0, 41, 99} {
		var id, told int64
		err := db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			if err := tx.SetLastID("t", last); err != nil {
				return err
			}
			if told, err = tx.LastID("t"); err != nil {
				return err
			}
			id, err = tx.Insert(`INSERT INTO t (n) VALUES (1)`)
			return err
		})
		if err != nil || told != last || id != last+1 {
			t.Errorf("after %d came %d, told %d: %v", last, id, told, err)
		}
	}
}

// TestHold: a hold waits for what is being written; later writes get its reason and
// change nothing, until it is released. Reads go on.
func TestHold(t *testing.T) {
	ctx := context.Background()
	db := openTables(t, `CREATE TABLE t (id {id}, n {int})`)
	insert := func(tx *sqldb.Tx) error {
		_, err := tx.Insert(`INSERT INTO t (n) VALUES (1)`)
		return err
	}
	writing, finish, wrote := make(chan bool), make(chan bool), make(chan error)
	go func() {
		wrote <- db.Write(ctx, func(tx *sqldb.Tx) error {
			close(writing)
			<-finish
			return insert(tx)
		})
	}()
	<-writing
	held := make(chan func())
	go func() { held <- db.Hold(mail.Errorf(mail.Unavailable, "moving")) }()
	select {
	case <-held:
		t.Error("it did not wait")
	default:
	}
	close(finish)
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	release := <-held
	for _, write := range []func(context.Context, func(*sqldb.Tx) error) error{db.Write, db.Slices().Write} {
		if err := write(ctx, insert); mail.KindOf(err) != mail.Unavailable || !strings.Contains(fmt.Sprint(err), "moving") {
			t.Errorf("got %v", err)
		}
	}
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows", n)
	}
	release()
	if err := db.Write(ctx, insert); err != nil {
		t.Error(err)
	}
}

// TestAnalyze: a server knows how many rows were loaded.
func TestAnalyze(t *testing.T) {
	ctx := context.Background()
	db := openTables(t, `CREATE TABLE t (id {id}, n {int})`)
	known := int64(500)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		tables, err := tx.Tables()
		if err != nil {
			return err
		}
		for _, one := range tables {
			if one.Name != "t" {
				continue
			}
			in := tx.Load(one)
			for n := range int64(500) {
				if err := in.Add([]sqldb.Value{{Kind: sqldb.Int, Int: n + 1}, {Kind: sqldb.Int, Int: n}}); err != nil {
					return err
				}
			}
			if err := in.End(); err != nil {
				return err
			}
		}
		if err := tx.Analyze(tables); err != nil || !dbtest.OnServer() {
			return err
		}
		return tx.QueryRow(`SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = CAST('t' AS regclass)`).Scan(&known)
	})
	if n := count(t, db); err != nil || n != 500 || known != 500 {
		t.Errorf("%d rows, of which %d are known: %v", n, known, err)
	}
}
