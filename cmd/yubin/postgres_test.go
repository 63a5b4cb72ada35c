//go:build postgres

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"yubin/internal/testkit/dbtest"
)

// TestPostgresScripts runs testdata/postgres: what is another thing to say to a server
// whose database is on PostgreSQL. It wants a PostgreSQL that syncs, as yubin does:
// scripts/with-postgres --fsync.
func TestPostgresScripts(t *testing.T) {
	runScripts(t, "testdata/postgres", func(e *testscript.Env) {
		e.Setenv("DATABASE", dbtest.Options(t).URL)
	})
}
