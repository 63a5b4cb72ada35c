package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/sending"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// breakAgain is when what could not be done about an account that is held is tried again.
const breakAgain = time.Minute

// breaker does what is to be done when an account sends unlike it does otherwise: what waits of
// its mail is held too, its sessions end if the configuration says so, and its owner gets a letter.
// What is not done yet stands in the database (sending.Held.Owed), so that a restart goes
// on with it. The postmaster is told by the watcher, of which it is a concern.
type breaker struct {
	s           *Store
	host        mail.Domain
	now         func() time.Time
	log         *slog.Logger
	poked       chan struct{}
	endSessions atomic.Bool
}

func newBreaker(s *Store, cfg config.Config, d Deps) *breaker {
	return &breaker{s: s, host: cfg.Hostname, now: d.Now, log: d.Log, poked: make(chan struct{}, 1)}
}

// tripped is told that an account is held from now on.
func (b *breaker) tripped(sending.Held) {
	b.s.metrics.SendingHeld()
	select {
	case b.poked <- struct{}{}:
	default:
	}
}

// run does what is owed until ctx is done.
func (b *breaker) run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := b.pay(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("an account is held, and not all is done about it yet", obs.Err(err))
			again = time.After(breakAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-b.poked:
			b.s.watcher.poke()
		case <-again:
		}
	}
}

// pay does all that is owed.
func (b *breaker) pay(ctx context.Context) error {
	if err := b.s.sending.Flush(ctx); err != nil { // The rows say what is done.
		return err
	}
	var errs []error
	for _, h := range b.s.sending.Held() {
		if h.Owed&sending.OwedQueue != 0 {
			errs = append(errs, b.stop(ctx, h))
		}
		if h.Owed&sending.OwedOwner != 0 {
			errs = append(errs, b.write(ctx, h))
		}
	}
	return errors.Join(errs...)
}

// stop holds what waits of the account's mail, and ends its sessions.
func (b *breaker) stop(ctx context.Context, h sending.Held) error {
	if b.endSessions.Load() {
		b.s.guests.revoke(directory.Ended{Account: h.Account, Why: "this account sends much more than usual, so its mail is kept back; ask the postmaster"})
	}
	_, err := b.s.outgoing.queue.HoldFor(ctx, queue.Filter{Account: h.Account}, queue.Hold{By: queue.HeldBySending, Note: h.Reason}, nil)
	if err != nil {
		return err
	}
	return told(b.s.db.Write(ctx, func(tx *sqldb.Tx) error { return b.s.sending.Told(tx, h, sending.OwedQueue) }))
}

// told is err, unless somebody else did it.
func told(err error) error {
	if err != nil && mail.KindOf(err) == mail.Conflict {
		return nil
	}
	return err
}

// write files the letter to the owner.
func (b *breaker) write(ctx context.Context, h sending.Held) error {
	who, err := b.s.directory.AccountByID(ctx, h.Account)
	if err != nil {
		if mail.KindOf(err) == mail.NotFound {
			return nil // Its rows are going.
		}
		return err
	}
	language, err := dsn.ParseLanguage(who.Language)
	if err != nil {
		language = dsn.English
	}
	now := b.now()
	notice := dsn.HeldNotice{To: who.Address, From: mail.Address{Local: postmaster, Domain: b.host}, Host: b.host, Date: now,
		ID: rand.Text(), Language: language, Since: h.Since}
	m := b.s.intake.Begin()
	defer m.Close()
	if _, err := m.Write(notice.Append(nil)); err != nil {
		return err
	}
	e := intake.Envelope{Item: spool.Item{Arrived: now}, Ours: true, Each: true}
	p, err := b.s.intake.Plan(ctx, m, e, []intake.Recipient{{Address: who.Address, Route: route.Routed{Accounts: []mail.AccountID{h.Account}}}})
	if err == nil {
		_, err = b.s.intake.Commit(ctx, p, func(tx *sqldb.Tx, _ intake.Receipt) error { return b.s.sending.Told(tx, h, sending.OwedOwner) })
	}
	return told(err)
}

// maxHeldShown is how many accounts that are held are told of one by one.
const maxHeldShown = 20

// ofSending are the accounts whose mail is kept back.
func (w *watcher) ofSending(ctx context.Context) (all []admin.Concern) {
	for i, h := range w.s.sending.Held() {
		if i == maxHeldShown {
			break
		}
		who, err := w.s.directory.AccountByID(ctx, h.Account)
		if err != nil {
			continue // It is being removed, or the database is a concern of its own.
		}
		all = append(all, admin.Concern{Cause: fmt.Sprintf("sending:%d-%d", h.Account, h.Since.Unix()), State: admin.Warning,
			Text: fmt.Sprintf(`mail from %s is kept in the queue since %s: %s. "yubin account sending %s" says what is usual; `+
				`"yubin account release %s" lets it go, and with --drop removes it. If the password was stolen, set another`,
				who.Address, h.Since.UTC().Format(time.DateTime+" MST"), h.Reason, who.Address, who.Address)})
	}
	return all
}
