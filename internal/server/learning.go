package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/feedback"
	"yubin/internal/engine/history"
	"yubin/internal/engine/lessons"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// learning is what the post office learns from what people do with their mail: who
// follows that, and what was learned.
type learning struct {
	store    *store.Store
	db       *sqldb.DB
	log      *slog.Logger
	history  *history.History
	lessons  *lessons.Book
	feedback *feedback.Follower
}

func (l *learning) open(ctx context.Context, s *Store, d Deps) (err error) {
	l.store, l.db, l.log = s.mail, s.db, d.Log
	if l.history, err = history.Open(ctx, history.Options{DB: s.db, Now: d.Now, Log: d.Log}); err != nil {
		return err
	}
	l.lessons, err = lessons.Open(ctx, lessons.Options{DB: s.db, Store: s.mail, Learner: lessons.NewJunk(), Fresh: func() lessons.Learner { return lessons.NewJunk() }, Now: d.Now, Log: d.Log})
	if err != nil {
		return err
	}
	l.feedback, err = feedback.Open(ctx, feedback.Options{
		DB: s.db, Store: s.mail, Lessons: l.lessons, Acquaintances: l.history, Log: d.Log,
	})
	return err
}

// heard passes an event on.
func (l *learning) heard(e store.Event) {
	if l.feedback != nil { // Else the store is being opened.
		l.feedback.Heard(e)
	}
}

// goneEvery is how often it is looked for what is left of accounts that are gone: what
// passed by while they were removed.
const goneEvery = 24 * time.Hour

// run learns until ctx is done.
func (l *learning) run(ctx context.Context) {
	var g sync.WaitGroup
	g.Go(func() { l.history.Run(ctx) })
	g.Go(func() { l.feedback.Run(ctx) })
	g.Go(func() {
		tick := time.NewTicker(goneEvery)
		defer tick.Stop()
		for {
			if err := l.sweep(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("what was learned from accounts that are gone is removed later", obs.Err(err))
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	g.Wait()
}

// sweep removes what is left of accounts that are gone.
func (l *learning) sweep(ctx context.Context) error {
	for _, list := range []func(context.Context, mail.AccountID, int) ([]mail.AccountID, error){l.history.Accounts, l.lessons.Accounts} {
		const page = 512
		for after, more := history.Site, true; more; {
			accounts, err := list(ctx, after, page)
			if err != nil {
				return err
			}
			if more = len(accounts) == page; len(accounts) > 0 {
				after = accounts[len(accounts)-1]
			}
			for _, id := range accounts {
				if err := l.dropGone(ctx, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (l *learning) dropGone(ctx context.Context, id mail.AccountID) error {
	var there bool
	err := l.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
		there, err = l.store.HasAccount(tx, id)
		return err
	})
	if err != nil || there {
		return err
	}
	return l.db.Write(ctx, func(tx *sqldb.Tx) error {
		l.drop(tx, id)
		return nil
	})
}

// drop removes what was learned from an account.
func (l *learning) drop(tx *sqldb.Tx, id mail.AccountID) {
	l.history.Drop(tx, id)
	l.lessons.Drop(tx, id)
	l.feedback.Drop(tx, id)
}

// accounts is what keeps what accounts have, as the directory asks it.
type accounts struct{ s *Store }

func (a accounts) CreateAccount(tx *sqldb.Tx, id mail.AccountID) error {
	return a.s.mail.CreateAccount(tx, id)
}

func (a accounts) DeleteAccount(tx *sqldb.Tx, id mail.AccountID) error {
	if err := a.s.mail.DeleteAccount(tx, id); err != nil {
		return err
	}
	a.s.learning.drop(tx, id)
	if a.s.prefs != nil { // Else the store is being opened.
		a.s.prefs.Drop(tx, id)
	}
	if a.s.retention != nil {
		a.s.retention.Drop(tx, id)
	}
	if a.s.sending != nil {
		a.s.sending.Drop(tx, id)
	}
	return nil
}

// domainRemoved removes what is kept of a domain that goes.
func (s *Store) domainRemoved(tx *sqldb.Tx, name mail.Domain) {
	if s.prefs != nil { // Else the store is being opened.
		s.prefs.DropDomain(tx, name)
	}
	if s.retention != nil {
		s.retention.DropDomain(tx, name)
	}
	if s.sending != nil {
		s.sending.DropDomain(tx, name)
	}
}
