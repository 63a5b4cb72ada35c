package sqldb

import (
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"yubin/internal/mail"
)

// ErrNoRows is what Row.Scan returns when there is no row. Its kind is
// NotFound, but its text is for nobody: say what was not found.
var ErrNoRows = mail.Errorf(mail.NotFound, "no such row")

// engineError is a failure as SQLite tells it.
type engineError struct {
	code int // extended
	text string
}

func (e *engineError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

var errNoLayer = mail.Errorf(mail.Internal, "SQLite does not take a layer for its WAL")

// translate turns an error of the driver into a *mail.Error.
func translate(err error) error {
	var e *engineError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return wrap(mail.Internal, "database failure", err)
	}
	switch e.code & 0xff {
	case sqlite3.SQLITE_FULL:
		return wrap(mail.Unavailable, "the disk is full", err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return wrap(mail.Unavailable, "the disk does not take or give data", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT:
		return wrap(mail.Unavailable, "the database is busy", err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return wrap(mail.Internal, "the database file is damaged", &damage{err})
	}
	switch e.code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return wrap(mail.Exists, "such a row exists", err)
	}
	return wrap(mail.Internal, "database failure", err)
}

// ErrDamaged is the cause (errors.Is) of failures that a damaged file makes.
var ErrDamaged = errors.New("sqldb: the database file is damaged")

// damage is a failure of a damaged file.
type damage struct{ error }

func (d *damage) Unwrap() error { return d.error }

// Is says that it is ErrDamaged.
func (*damage) Is(target error) bool { return target == ErrDamaged }

func wrap(kind mail.Kind, text string, err error) error {
	return &mail.Error{Kind: kind, Text: text, Err: err}
}

// spoils reports whether err leaves the transaction in doubt: SQLite may have
// rolled it back by itself.
func spoils(err error) bool {
	var e *engineError
	if !errors.As(err, &e) {
		return false
	}
	switch e.code & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY,
		sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// damaged explains a failure to open path.
func damaged(path string, err error) error {
	if mail.KindOf(err) != mail.Internal {
		return err
	}
	return wrap(mail.Internal, fmt.Sprintf(
		"%s cannot be used: %v. Keep the file and restore a backup in its place", path, cause(err)), &damage{err})
}

func cause(err error) error {
	if u := errors.Unwrap(err); u != nil {
		return u
	}
	return err
}
