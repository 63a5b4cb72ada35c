package sqldb

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Unreadable is the cause (errors.As) of the error about one row with a value
// that it cannot have. Who reads many rows goes on without it: see Aside.
type Unreadable struct {
	Row string // its name, for people: "delivery 5.1"
	Err error
}

func (u *Unreadable) Error() string { return fmt.Sprintf("%s cannot be read: %v", u.Row, u.Err) }

func (u *Unreadable) Unwrap() error { return u.Err }

// Why is what is wrong with the row that err is about, without naming it; of any
// other error it is err.
func Why(err error) error {
	var u *Unreadable
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Named is err with a name for the row that it is about, if it is about one.
func Named(row string, err error) error {
	var u *Unreadable
	if !errors.As(err, &u) {
		return err
	}
	return &Unreadable{Row: row, Err: u.Err}
}

// maxTold is how many rows an Aside remembers to have told of.
const maxTold = 1000

// Aside is where rows go that cannot be read: it tells of each in the log, once.
// The zero Aside tells nobody. Safe for concurrent use.
type Aside struct {
	Log *slog.Logger

	mu   sync.Mutex
	told map[string]bool
}

// Takes reports whether err is about such a row.
func (a *Aside) Takes(err error) bool {
	var u *Unreadable
	if !errors.As(err, &u) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Log == nil || a.told[u.Row] || len(a.told) >= maxTold {
		return true
	}
	if a.told == nil {
		a.told = map[string]bool{}
	}
	a.told[u.Row] = true
	a.Log.Error("a row cannot be read; it is left out until it is removed", "row", u.Row, "err", u.Err)
	return true
}
