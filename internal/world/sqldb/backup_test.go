package sqldb_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
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
// waits; what was written does not show in the snapshot's pages.
func TestSnapshotDoesNotStopWriters(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	var log lockedLog
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(dir, "a.db"), WALPages: 64, Log: slog.New(slog.NewTextHandler(&log, nil))})
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
	var image []byte
	err = db.PageSnapshot(ctx, func(s *sqldb.Snapshot) error {
		for range 400 {
			if err := write(); err != nil {
				return err
			}
		}
		if text := log.String(); text != "" { // Whoever waits for readers in vain says so.
			t.Errorf("a write waited: %s", text)
		}
		for range s.Pages {
			var err error
			if image, err = s.Read(image, 1); err != nil {
				return err
			}
		}
		_, err := s.Read(nil, 1)
		if err == nil {
			t.Error("there is a page behind the last one")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 401 {
		t.Errorf("%d rows in the database", n)
	}
	copied := filepath.Join(dir, "b.db")
	if err := os.WriteFile(copied, image, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := sqldb.Open(ctx, sqldb.Options{Path: copied})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if n := count(t, other); n != 1 {
		t.Errorf("%d rows in the snapshot", n)
	}
	if err := other.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
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
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, "t", nil); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	err = db.PageSnapshot(ctx, func(s *sqldb.Snapshot) error {
		go func() { closed <- db.Close() }()
		for {
			if _, err := s.Read(nil, 0); err != nil {
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
