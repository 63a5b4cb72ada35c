package preferences

import (
	"context"
	"math"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Said is all that a scope says.
type Said struct {
	Levels
	Senders []Sender // in order
}

// Said returns what a scope says itself.
func (p *Preferences) Said(ctx context.Context, scope Scope) (out Said, err error) {
	s, err := p.read(ctx, scope)
	if err != nil {
		return out, err
	}
	out.Levels = s.levels
	for pattern, allow := range s.senders {
		out.Senders = append(out.Senders, Sender{pattern, allow})
	}
	slices.SortFunc(out.Senders, func(a, b Sender) int { return strings.Compare(a.Pattern, b.Pattern) })
	return out, nil
}

// SetLevels makes l the thresholds of a scope. The error is of kind Invalid if a
// threshold is none.
func (p *Preferences) SetLevels(ctx context.Context, scope Scope, l Levels) error {
	for _, n := range []float64{l.Junk, l.Refuse} {
		if n != 0 && (math.IsNaN(n) || n < MinScore || n > MaxScore) {
			return mail.Errorf(mail.Invalid, "a threshold is from %g to %g", MinScore, MaxScore)
		}
	}
	return p.change(ctx, scope, func(tx *sqldb.Tx) error {
		tx.Do(`DELETE FROM preference_level WHERE scope = $1`, string(scope))
		if l != (Levels{}) {
			tx.Do(`INSERT INTO preference_level (scope, junk, refuse) VALUES ($1, $2, $3)`, string(scope),
				int64(math.Round(l.Junk*unit)), int64(math.Round(l.Refuse*unit)))
		}
		return nil
	})
}

// List has a scope let a sender in, or keep it out. The error is of kind Invalid, or
// TooLarge over MaxSenders.
func (p *Preferences) List(ctx context.Context, scope Scope, s Sender) error {
	pattern, err := ParsePattern(s.Pattern)
	if err != nil {
		return err
	}
	allow := 0
	if s.Allow {
		allow = 1
	}
	return p.change(ctx, scope, func(tx *sqldb.Tx) error {
		tx.Do(`DELETE FROM preference_sender WHERE scope = $1 AND sender = $2`, string(scope), pattern)
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM preference_sender WHERE scope = $1`, string(scope)).Scan(&n); err != nil {
			return err
		}
		if n >= MaxSenders {
			return mail.Errorf(mail.TooLarge, "there are %d senders already, which is as many as can be; take some off first", MaxSenders)
		}
		tx.Do(`INSERT INTO preference_sender (scope, sender, allow) VALUES ($1, $2, $3)`, string(scope), pattern, allow)
		return nil
	})
}

// Unlist takes a sender off the list of a scope. The error is of kind NotFound if it
// is not there.
func (p *Preferences) Unlist(ctx context.Context, scope Scope, pattern string) error {
	pattern, err := ParsePattern(pattern)
	if err != nil {
		return err
	}
	return p.change(ctx, scope, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(`DELETE FROM preference_sender WHERE scope = $1 AND sender = $2`, string(scope), pattern)
		if err == nil && n == 0 {
			return mail.Errorf(mail.NotFound, "%s is not on the list", pattern)
		}
		return err
	})
}

// Drop removes what an account says, in the transaction that removes it.
func (p *Preferences) Drop(tx *sqldb.Tx, account mail.AccountID) { p.drop(tx, OfAccount(account)) }

// DropDomain removes what a domain says, in the transaction that removes it.
func (p *Preferences) DropDomain(tx *sqldb.Tx, name mail.Domain) { p.drop(tx, OfDomain(name)) }

func (p *Preferences) drop(tx *sqldb.Tx, scope Scope) {
	tx.Do(`DELETE FROM preference_level WHERE scope = $1`, string(scope))
	tx.Do(`DELETE FROM preference_sender WHERE scope = $1`, string(scope))
	tx.OnCommit(func() { p.forget(scope) })
}

func (p *Preferences) change(ctx context.Context, scope Scope, fn func(*sqldb.Tx) error) error {
	return p.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.OnCommit(func() { p.forget(scope) })
		return fn(tx)
	})
}

func (p *Preferences) forget(scope Scope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.era++
	delete(p.kept, scope)
}
