package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// quotas is the directory as the store asks it; the store is there first.
type quotas struct{ s *Store }

func (q quotas) Quota(ctx context.Context, id mail.AccountID) (mail.Quota, error) {
	return q.s.directory.Quota(ctx, id)
}

func (q quotas) QuotaIn(tx *sqldb.Tx, id mail.AccountID) (mail.Quota, error) {
	return q.s.directory.QuotaIn(tx, id)
}

// warnAgain is when a warning that could not be written is tried again.
const warnAgain = time.Minute

// warner writes the warnings that owners of accounts are owed as these fill up.
// What is owed stands in the database; a warning and that it is paid are one
// commit, so that none is lost and none comes twice.
type warner struct {
	s     *Store
	host  mail.Domain
	now   func() time.Time
	log   *slog.Logger
	poked chan struct{}
	aside sqldb.Aside // rows that cannot be read
}

func newWarner(s *Store, cfg config.Config, d Deps) *warner {
	return &warner{s: s, host: cfg.Hostname, now: d.Now, log: d.Log, poked: make(chan struct{}, 1),
		aside: sqldb.Aside{Log: d.Log}}
}

// poke says that somebody is owed a warning.
func (w *warner) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// run writes warnings until ctx is done, those first that were owed before.
func (w *warner) run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := w.pay(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("a warning of a full mailbox could not be written", obs.Err(err))
			again = time.After(warnAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.poked:
		case <-again:
		}
	}
}

// pay writes all that are owed. What an account has that cannot be read keeps no
// other from its own.
func (w *warner) pay(ctx context.Context) error {
	for after := mail.AccountID(0); ; {
		owed, err := w.s.mail.Warnings(ctx, after)
		if err != nil || len(owed) == 0 {
			return err
		}
		for _, o := range owed {
			if err := w.write(ctx, o); err != nil && !w.aside.Takes(err) {
				return err
			}
			after = o.Account
		}
	}
}

// write files one warning, unless there is nothing to warn of any more.
func (w *warner) write(ctx context.Context, o store.Warning) error {
	u := o.Usage
	who, err := w.s.directory.AccountByID(ctx, o.Account)
	gone := err != nil && mail.KindOf(err) == mail.NotFound
	if err != nil && !gone {
		return err
	}
	if gone || u.Quota.Percent(u.Octets, u.Messages) < o.Percent {
		return w.s.mail.DropWarning(ctx, o.Account)
	}
	language, err := dsn.ParseLanguage(who.Language)
	if err != nil {
		language = dsn.English
	}
	now := w.now()
	notice := dsn.QuotaNotice{To: who.Address, From: mail.Address{Local: postmaster, Domain: w.host}, Host: w.host, Date: now,
		ID: rand.Text(), Language: language, Octets: u.Octets, Messages: u.Messages, Quota: u.Quota}
	m := w.s.intake.Begin()
	defer m.Close()
	if _, err := m.Write(notice.Append(nil)); err != nil {
		return err
	}
	e := intake.Envelope{Item: spool.Item{Arrived: now}, Ours: true, Each: true}
	p, err := w.s.intake.Plan(ctx, m, e, []intake.Recipient{{Address: who.Address, Route: route.Routed{Accounts: []mail.AccountID{o.Account}}}})
	if err == nil {
		_, err = w.s.intake.Commit(ctx, p, func(tx *sqldb.Tx, _ intake.Receipt) error { return w.s.mail.PayWarning(tx, o.Account) })
	}
	if err != nil && mail.KindOf(err) == mail.Conflict {
		return nil // Somebody else wrote it.
	}
	return err
}
