package sqldb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"yubin/internal/mail"
)

// refusal is an error as the server tells it.
type refusal struct {
	code  string // SQLSTATE
	text  string
	fatal bool // the connection ends with it
}

func newRefusal(m *pgproto3.ErrorResponse) *refusal {
	r := &refusal{code: m.Code, text: m.Message}
	severity := m.SeverityUnlocalized
	if severity == "" {
		severity = m.Severity
	}
	r.fatal = severity == "FATAL" || severity == "PANIC"
	for _, more := range []string{m.Detail, m.Hint} {
		if more != "" {
			r.text += "; " + more
		}
	}
	return r
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%s)", r.text, r.code) }

// class is the first two characters of the code: what kind of error it is.
func (r *refusal) class() string { return r.code[:min(2, len(r.code))] }

// again reports whether the transaction only stood in the way of another.
func (r *refusal) again() bool { return r.code == "40001" || r.code == "40P01" }

// noLink is why no connection came about.
type noLink struct {
	text string // in one line
	code string // the SQLSTATE, if the server refused it
}

func (n *noLink) Error() string { return n.text }

// newNoLink makes one of what ConnectConfig says: a line for each address, once with TLS
// and once without. Lines that say the same are one, and that the server has no TLS is
// not why, if there is more.
func newNoLink(err error) *noLink {
	n := &noLink{}
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
		n.code = refused.Code
	}
	var attempts []string
	what, lines, _ := strings.Cut(err.Error(), "\n")
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if !slices.Contains(attempts, line) {
			attempts = append(attempts, line)
		}
	}
	if withoutTLS := slices.DeleteFunc(slices.Clone(attempts), func(line string) bool {
		return strings.HasSuffix(line, "server refused TLS connection")
	}); len(withoutTLS) > 0 {
		attempts = withoutTLS
	}
	n.text = strings.TrimSpace(what + " " + strings.Join(attempts, "; "))
	return n
}

// lost is a connection that ended, or an answer that did not come.
type lost struct{ err error }

func (l *lost) Error() string { return "the connection to the database was lost: " + l.err.Error() }

func (l *lost) Unwrap() error { return l.err }

// failure turns an error of a link into a *mail.Error.
func (p *postgres) failure(err error) *mail.Error {
	var already *mail.Error
	var l *lost
	var r *refusal
	switch {
	case errors.As(err, &already):
		return already
	case errors.As(err, &l):
		return &mail.Error{Kind: mail.Unavailable, Text: "the database cannot be reached", Err: err}
	case errors.As(err, &r):
		kind, text := r.kind()
		return &mail.Error{Kind: kind, Text: text, Err: err}
	}
	return &mail.Error{Kind: mail.Internal, Text: "database failure", Err: err}
}

func (r *refusal) kind() (mail.Kind, string) {
	switch r.code {
	case "23505":
		return mail.Exists, "such a row exists"
	case "22021", "22P05":
		return mail.Invalid, "text that is not UTF-8 cannot be stored"
	case "53100":
		return mail.Unavailable, "the disk is full"
	case "55P03", "57014", "40001", "40P01", "25P03":
		return mail.Unavailable, "the database is busy"
	case "25006":
		return mail.Unavailable, "the database takes no writes"
	case "XX001", "XX002":
		return mail.Internal, "the database is damaged"
	case "58030", "58P01", "58P02":
		return mail.Unavailable, "the disk does not take or give data"
	}
	switch r.class() {
	case "08", "57":
		return mail.Unavailable, "the database cannot be reached"
	case "53":
		return mail.Unavailable, "the database has no more room"
	}
	return mail.Internal, "database failure"
}
