// Package dbtest gives tests a database: SQLite in a scratch folder, or, when
// YUBIN_TEST_DATABASE is a URL (postgres://…), a schema of its own there. A suite that
// takes its database from here runs on both:
//
//	go test ./internal/engine/store
//	scripts/with-postgres go test -tags postgres ./internal/engine/store
//
// The tag adds what only a server has, and leaves out what only SQLite has.
//
// Locks are watched (sqldb.Options.CheckLocks): a transaction that takes them out of
// order fails on both. When the test ends its schema is dropped, and a connection that
// was left open, or a transaction, fails it.
package dbtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// URL is of the server that tests use, or empty for SQLite.
func URL() string { return os.Getenv("YUBIN_TEST_DATABASE") }

// OnServer reports whether the tests run on PostgreSQL.
func OnServer() bool { return URL() != "" }

// Open opens a new database, which is closed when the test ends. Each change is
// made to its options.
func Open(t testing.TB, change ...func(*sqldb.Options)) *sqldb.DB {
	t.Helper()
	o := Options(t)
	for _, c := range change {
		c(&o)
	}
	db, err := sqldb.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Options are of a new database. The test opens it, as often as it likes, and has
// closed it when it ends.
func Options(t testing.TB) sqldb.Options {
	t.Helper()
	if !OnServer() {
		return sqldb.Options{Path: filepath.Join(t.TempDir(), "yubin.db"), CheckLocks: true}
	}
	return OnURL(t, URL())
}

// OnURL is Options for a new schema on a server with another URL than URL, such as
// one by way of a proxy. It is dropped by way of URL.
func OnURL(t testing.TB, server string) sqldb.Options {
	t.Helper()
	schema := "test_" + strings.ToLower(rand.Text()[:16])
	t.Cleanup(func() { drop(t, schema) })
	return sqldb.Options{URL: with(t, server, schema), CheckLocks: true, Unsafe: true}
}

// with is the URL of a schema, and of connections that are called like it.
func with(t testing.TB, server, schema string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	q.Set("application_name", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// patience is how often a database is opened to be removed; each time waits as sqldb
// does, some seconds.
const patience = 6

// drop looks for what was left open and removes the schema.
func drop(t testing.TB, schema string) {
	t.Helper()
	ctx := context.Background()
	var db *sqldb.DB
	var err error
	for range patience { // After many connections that were given up a server takes its time.
		if db, err = sqldb.Open(ctx, sqldb.Options{URL: with(t, URL(), "public"), Unsafe: true}); err == nil {
			break
		}
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	left := 0
	for range 200 { // A server notices in a moment that a connection was closed.
		err = db.Read(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`SELECT pg_sleep(0.02)`)
			if err != nil {
				return err
			}
			return tx.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, schema).Scan(&left)
		})
		if err != nil || left == 0 {
			break
		}
	}
	if err == nil && left > 0 {
		t.Errorf("%d connections of %s were left open", left, schema)
		err = db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, schema)
			return err
		})
	}
	if err == nil {
		err = db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`DROP SCHEMA IF EXISTS ` + schema + ` CASCADE`)
			return err
		})
	}
	if err != nil {
		t.Error(err)
	}
}
