package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"yubin/bench/load"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// direct is a store in this process, without any protocol before it.
type direct struct {
	db     *sqldb.DB
	store  *store.Store
	folder string
	stop   func()
}

// openDirect makes one with its accounts.
func openDirect(ctx context.Context, folder string, accounts int) (*direct, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(folder, "yubin.db")})
	if err != nil {
		return nil, err
	}
	d := &direct{db: db, folder: folder}
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(run) })
	d.stop = func() { cancel(); wg.Wait() }
	if err := d.fill(ctx, accounts); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *direct) fill(ctx context.Context, accounts int) error {
	blobs, err := blob.Open(filepath.Join(d.folder, "blobs"), rand.Reader)
	if err != nil {
		return err
	}
	d.store, err = store.Open(ctx, store.Options{DB: d.db, Blobs: blobs, Now: time.Now})
	if err != nil {
		return err
	}
	if err := d.db.Migrate(ctx, "raw", []string{`CREATE TABLE raw (id {id}, octets {blob} NOT NULL)`}); err != nil {
		return err
	}
	return d.db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range accounts {
			if err := d.store.CreateAccount(tx, mail.AccountID(i+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends it.
func (d *direct) Close() error {
	d.stop()
	return d.db.Close()
}

// rate has callers goroutines call fn over and over for a time.
func rate(callers int, span time.Duration, fn func(n int64) error) (float64, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(began) < span && failed.Load() == nil {
				if err := fn(n.Add(1)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}

// deliveries is the rate of durable deliveries straight into the store.
func (d *direct) deliveries(ctx context.Context, callers, size, accounts, recipients int, span time.Duration) (float64, error) {
	var bodies [32][]byte
	for i := range bodies {
		bodies[i] = load.Body(size)
	}
	door := intake.New(intake.Options{Store: d.store})
	return rate(callers, span, func(n int64) error {
		in := door.Begin()
		defer in.Close()
		fmt.Fprintf(in, "From: <sender@example.org>\r\nTo: <someone@yubin.test>\r\nMessage-ID: <%d.%d@bench.example.org>\r\n", n, time.Now().UnixNano())
		if _, err := in.Write(bodies[n%int64(len(bodies))]); err != nil {
			return err
		}
		to := make([]store.Filing, recipients)
		for i := range to {
			to[i] = store.Filing{Account: mail.AccountID(recipient(int(n), i, accounts) + 1), Role: mail.RoleInbox, Received: time.Now()}
		}
		_, err := door.File(ctx, in, to...)
		return err
	})
}

// commits is the rate of commits of one row each: what group commit gives on this disk.
func (d *direct) commits(ctx context.Context, callers, size int, span time.Duration) (float64, error) {
	octets := load.Body(size)
	return rate(callers, span, func(int64) error {
		return d.db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Insert(`INSERT INTO raw (octets) VALUES ($1)`, octets)
			return err
		})
	})
}
