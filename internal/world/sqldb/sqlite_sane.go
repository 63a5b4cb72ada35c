package sqldb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"yubin/internal/mail"
)

// Engines before this one can damage a WAL (fixed in SQLite 3.51.3).
const (
	oldestEngine  = "3.51.3"
	fileMagic     = "SQLite format 3\x00"
	smallFile     = 16 << 20 // octets up to which Open checks every page
	lockFileWords = "This file is locked by the yubin process that has the store open.\n"
)

// lockFile takes the lock that keeps a second process off the store.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, wrap(mail.Unavailable, fmt.Sprintf("cannot open the lock file %s: %v", path, err), err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, mail.Errorf(mail.Conflict, "another process has the store open: it holds the lock on %s", path)
	}
	if err != nil {
		f.Close()
		return nil, wrap(mail.Unavailable, fmt.Sprintf("cannot lock %s: %v", path, err), err)
	}
	_, _ = f.WriteAt([]byte(lockFileWords), 0)
	return f, nil
}

// checkHeader looks at the file before SQLite does. It must not be called while
// SQLite has the file open: closing a descriptor would drop SQLite's locks.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return wrap(mail.Unavailable, fmt.Sprintf("cannot open %s: %v", path, err), err)
	}
	defer f.Close()
	var h [100]byte
	n, err := io.ReadFull(f, h[:])
	if n == 0 && err == io.EOF {
		return nil
	}
	if err != nil || string(h[:16]) != fileMagic {
		return damaged(path, errors.New("it is not a database file"))
	}
	if id := binary.BigEndian.Uint32(h[68:]); id != applicationID && id != 0 {
		return damaged(path, errors.New("it is the database of another program"))
	}
	return checkLength(path, f, int64(binary.BigEndian.Uint32(h[28:]))*pageSize)
}

// closeToOthers makes the file, if it is not there, and lets nobody but its owner open it
// or what stands beside it. SQLite makes the WAL like the file. As checkHeader, it is for
// before SQLite has the file open.
func closeToOthers(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return wrap(mail.Unavailable, fmt.Sprintf("cannot open %s: %v", path, err), err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		info, err := os.Stat(name)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(name, 0o600)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return wrap(mail.Unavailable, fmt.Sprintf("%s cannot be closed to others: %v", name, err), err)
		}
	}
	return nil
}

// checkLength finds a file that was cut short. With a WAL beside it, pages may
// rightly be missing.
func checkLength(path string, f *os.File, want int64) error {
	if st, err := os.Stat(path + "-wal"); err == nil && st.Size() > 0 {
		return nil
	}
	st, err := f.Stat()
	if err == nil && st.Size() < want {
		err = fmt.Errorf("it has %d octets of %d", st.Size(), want)
	}
	if err != nil {
		return damaged(path, err)
	}
	return nil
}

// checkEngine refuses a SQLite that could damage the file.
func (db *sqlite) checkEngine() error {
	row, err := db.writer.one("SELECT sqlite_version()")
	if err != nil {
		return damaged(db.path, err)
	}
	if v, _ := row[0].(string); olderThan(v, oldestEngine) {
		return mail.Errorf(mail.Internal, "SQLite %s can damage the store; %s or newer is needed", v, oldestEngine)
	}
	return nil
}

func olderThan(v, than string) bool {
	a, b := strings.Split(v, "."), strings.Split(than, ".")
	for i := range b {
		x, y := 0, 0
		if i < len(a) {
			x, _ = strconv.Atoi(a[i])
		}
		y, _ = strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

// checkContent is bounded: every page of a small file, else the schema and both
// edges of every table. DB.Integrity checks all.
func (db *sqlite) checkContent() error {
	row, err := db.writer.one("SELECT page_count FROM pragma_page_count")
	if err != nil {
		return damaged(db.path, err)
	}
	pages, _ := row[0].(int64)
	if pages <= 1 {
		return db.writer.do(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	}
	if pages*pageSize <= smallFile {
		row, err = db.writer.one("PRAGMA quick_check(1)")
		if err == nil && row[0] != "ok" {
			err = errors.New(strings.ReplaceAll(fmt.Sprint(row[0]), "\n", "; "))
		}
	} else {
		err = db.checkEdges()
	}
	if err != nil {
		return damaged(db.path, err)
	}
	return nil
}

func (db *sqlite) checkEdges() error {
	tables, err := tables(&db.tx.Tx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		queries := []string{"SELECT * FROM " + t.quoted + " LIMIT 1"}
		if t.hasRowID { // Each alone is one step down the tree; both in one query would read the table.
			queries = []string{"SELECT min(rowid) FROM " + t.quoted, "SELECT max(rowid) FROM " + t.quoted}
		}
		for _, q := range queries {
			if _, err := db.writer.one(q); err != nil && err != ErrNoRows {
				return err
			}
		}
	}
	return nil
}

type table struct {
	quoted   string
	hasRowID bool
}

func tables(tx *Tx) ([]table, error) {
	rows, err := tx.Query(`SELECT name, wr FROM pragma_table_list
		WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []table
	for rows.Next() {
		var name string
		var clustered bool
		if err := rows.Scan(&name, &clustered); err != nil {
			return nil, err
		}
		found = append(found, table{`"` + strings.ReplaceAll(name, `"`, `""`) + `"`, !clustered})
	}
	return found, rows.Err()
}

func (db *sqlite) integrity(ctx context.Context, report func(problem string)) error {
	var found []table
	err := db.read(ctx, func(tx *Tx) (err error) {
		found, err = tables(tx)
		return err
	}, false)
	for _, t := range found {
		if err != nil {
			return err
		}
		err = db.read(ctx, func(tx *Tx) error { return checkTable(tx, t, report) }, false)
	}
	return err
}

func checkTable(tx *Tx, t table, report func(string)) error {
	rows, err := tx.Query("PRAGMA integrity_check(" + t.quoted + ")")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			report("database: " + line)
		}
	}
	return rows.Err()
}
