// Package audit remembers what administrators changed: who, when, what, and how it was
// before and after. It is told by the one place where changes pass (server/admin), and
// knows nothing of what they mean.
//
// # State
//
//	audit_line  one change; what it was before and after are JSON texts, or empty
//
// A line is never changed. It goes after Keep, or when there are MaxLines younger ones
// (Run sweeps once an hour). A line is written after the change that it tells of and
// before whoever asked for it hears that it is done, in a commit of its own: a crash
// between the two leaves a change without a line.
//
// It deliberately takes no secrets: whoever tells it leaves them out.
package audit

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	DefaultKeep = 400 * 24 * time.Hour
	MaxLines    = 1_000_000
	MaxWord     = 1000    // octets of a name, of what was done and to what
	MaxText     = 8 << 10 // octets of each of Asked, Before and After; a longer one is left out, and said so
	MaxPage     = 1000    // lines of one List

	sweepEvery = time.Hour
	sweepMost  = 10_000 // lines of one transaction
	addMost    = 500    // and of one that adds
)

// TooLong stands for a text over MaxText.
const TooLong = `"too long to be kept"`

// Line is one change.
type Line struct {
	ID      int64
	At      time.Time
	UID     int    // of whoever asked, on this machine; -1 if that is not known
	Who     string // the name of that user
	Via     string // how it was asked: "socket", or "process" if no server ran
	What    string // "accounts add"
	Subject string // what was changed: an address, a domain, a name
	Asked   string // the request, without secrets: JSON, or ""
	Before  string // JSON, or ""
	After   string // JSON, or ""
}

// Filter says which lines are wanted; zero values want all.
type Filter struct {
	Since time.Time
	Who   string // a user's name or uid
	What  string // part of What or Subject, in any case
	Below int64  // lines with smaller numbers: for the next page
	Limit int    // at most MaxPage, which 0 means
}

// Options of Open. DB must be given.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
	Log *slog.Logger
}

// Audit is safe for concurrent use.
type Audit struct {
	o    Options
	keep atomic.Int64 // a time.Duration
}

// Open makes the table if it is not there.
func Open(ctx context.Context, o Options) (*Audit, error) {
	if err := o.DB.Migrate(ctx, "audit", schema()); err != nil {
		return nil, err
	}
	a := &Audit{o: o}
	a.SetKeep(DefaultKeep)
	return a, nil
}

// Schema is the table of this engine.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "audit", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE audit_line (
		id {id},
		at {int} NOT NULL, -- microseconds since 1970
		uid {int} NOT NULL,
		who {text} NOT NULL,
		via {text} NOT NULL,
		what {text} NOT NULL,
		subject {text} NOT NULL,
		asked {text} NOT NULL,
		was {text} NOT NULL,
		became {text} NOT NULL
	);
	CREATE INDEX audit_line_at ON audit_line (at)`}
}

// SetKeep changes how long lines are kept; 0 is the default.
func (a *Audit) SetKeep(d time.Duration) {
	if d <= 0 {
		d = DefaultKeep
	}
	a.keep.Store(int64(d))
}

// Add keeps lines in their order, in a commit for each addMost of them; their numbers
// and, where they have none, their times are given here. They are durable when Add returns.
func (a *Audit) Add(ctx context.Context, lines ...Line) error {
	now := a.o.Now()
	for some := range slices.Chunk(lines, addMost) {
		err := a.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			for _, l := range some {
				if l.At.IsZero() {
					l.At = now
				}
				if _, err := tx.Exec(`INSERT INTO audit_line (at, uid, who, via, what, subject, asked, was, became)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
					l.At.UnixMicro(), l.UID, word(l.Who), word(l.Via), word(l.What), word(l.Subject), text(l.Asked), text(l.Before), text(l.After)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// word is s as it can be kept: printable, and of bounded length.
func word(s string) string {
	s = obs.Printable(s)
	for len(s) > MaxWord {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

func text(s string) string {
	if len(s) > MaxText {
		return TooLong
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}

// List returns lines, the latest first.
func (a *Audit) List(ctx context.Context, f Filter) (list []Line, err error) {
	switch {
	case f.Limit < 0 || f.Limit > MaxPage:
		return nil, mail.Errorf(mail.Invalid, "limit must be from 1 to %d", MaxPage)
	case f.Limit == 0:
		f.Limit = MaxPage
	}
	since := int64(0)
	if !f.Since.IsZero() {
		since = f.Since.UnixMicro()
	}
	below := f.Below
	if below <= 0 {
		below = 1<<63 - 1
	}
	uid := -2 // nobody's
	if n, err := strconv.Atoi(f.Who); err == nil {
		uid = n
	}
	err = a.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT id, at, uid, who, via, what, subject, asked, was, became FROM audit_line
			WHERE id < $1 AND at >= $2 AND (who = $3 OR uid = $4 OR $3 = '')
			ORDER BY id DESC`, below, since, f.Who, uid)
		if err != nil {
			return err
		}
		defer rows.Close()
		for len(list) < f.Limit && rows.Next() {
			var l Line
			var at int64
			if err := rows.Scan(&l.ID, &at, &l.UID, &l.Who, &l.Via, &l.What, &l.Subject, &l.Asked, &l.Before, &l.After); err != nil {
				return err
			}
			l.At = time.UnixMicro(at).UTC()
			if f.matches(l) {
				list = append(list, l)
			}
		}
		return rows.Err()
	})
	return list, err
}

func (f Filter) matches(l Line) bool {
	return f.What == "" || strings.Contains(strings.ToLower(l.What+" "+l.Subject), strings.ToLower(f.What))
}

// Run forgets what is old until ctx is done.
func (a *Audit) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := a.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Warn("old audit lines were not removed", obs.Err(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sweep forgets what is old, and what is beyond MaxLines.
func (a *Audit) Sweep(ctx context.Context) error {
	old := a.o.Now().Add(-time.Duration(a.keep.Load())).UnixMicro()
	for {
		var gone int64
		err := a.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			var err error
			gone, err = tx.Exec(`DELETE FROM audit_line WHERE id IN (SELECT id FROM audit_line
				WHERE at < $1 OR id <= (SELECT max(id) FROM audit_line) - $2 ORDER BY id LIMIT $3)`, old, MaxLines, sweepMost)
			return err
		})
		if err != nil || gone < sweepMost {
			return err
		}
	}
}
