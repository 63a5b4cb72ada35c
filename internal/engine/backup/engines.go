package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/reports"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// engines are those over a database that no server has. Nothing of them runs:
// no mail is sent and nothing is swept.
type engines struct {
	db        *sqldb.DB
	store     *store.Store
	directory *directory.Directory
	spool     *spool.Spool
	queue     *queue.Queue
}

// openEngines opens them over a database whose tables are there. If it fails, the
// database is closed.
func openEngines(ctx context.Context, db *sqldb.DB, blobs *blob.Dir, now func() time.Time, log *slog.Logger) (*engines, error) {
	e := &engines{db: db}
	if err := e.open(ctx, blobs, now, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, nil
}

func (e *engines) open(ctx context.Context, blobs *blob.Dir, now func() time.Time, log *slog.Logger) (err error) {
	e.store, err = store.Open(ctx, store.Options{DB: e.db, Blobs: blobs, Now: now, Rand: rand.Reader, Log: log,
		Holders: []store.Holder{spool.Held, reports.Held}})
	if err != nil {
		return err
	}
	if e.directory, err = directory.Open(ctx, directory.Options{DB: e.db, Accounts: e.store, Now: now, Log: log}); err != nil {
		return err
	}
	if e.spool, err = spool.Open(ctx, spool.Options{DB: e.db, Store: e.store}); err != nil {
		return err
	}
	if err := reports.Prepare(ctx, e.db); err != nil {
		return err
	}
	e.queue, err = queue.Open(ctx, queue.Options{DB: e.db, Store: e.store, Spool: e.spool, Now: now, Log: log, Alone: true})
	return err
}

// check verifies every invariant; deep reads all octets too.
func (e *engines) check(ctx context.Context, deep bool, report func(string)) error {
	verify := e.store.Check
	if deep {
		verify = e.store.CheckDeep
	}
	for _, step := range []func(context.Context, func(string)) error{verify, e.directory.Check, e.spool.Check, e.queue.Check} {
		if err := step(ctx, report); err != nil {
			return err
		}
	}
	return nil
}

func (e *engines) close() error { return e.db.Close() }
