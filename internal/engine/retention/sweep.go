package retention

import (
	"context"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Run keeps the rules until ctx is done.
func (t *Retention) Run(ctx context.Context) {
	for {
		wait, err := t.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			t.o.Log.Warn("what mailboxes have kept long enough is expunged later", obs.Err(err))
			wait = again
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.poked:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Sweep makes a round if it is time to, or goes on with one, and says when to come
// again.
func (t *Retention) Sweep(ctx context.Context) (wait time.Duration, err error) {
	rules, err := t.Rules(ctx)
	if err != nil || len(rules) == 0 {
		return Every, err
	}
	fresh := t.fresh.Swap(false)
	r, err := t.begin(ctx, fresh)
	if err != nil || r.wait > 0 {
		if fresh {
			t.fresh.Store(true)
		}
		return r.wait, err
	}
	if err := t.tidy(ctx, rules); err != nil {
		return 0, err
	}
	for {
		homes, err := t.o.Accounts.Homes(ctx, r.after, page)
		if err != nil {
			return 0, err
		}
		for _, h := range homes {
			if err := t.sweepHome(ctx, r, h); err != nil {
				return 0, err
			}
			r.after = h.ID
		}
		over := len(homes) < page
		if err := t.renew(ctx, r, over); err != nil || over {
			return max(again, time.Unix(r.began, 0).Add(Every).Sub(t.o.Now())), err
		}
	}
}

// round is one that this process is at.
type round struct {
	began int64          // seconds
	after mail.AccountID // up to which it came
	until int64          // seconds; of the lease
	wait  time.Duration  // until it is time to look again; 0: it is this process' turn
}

// begin takes the lease and begins a round, or goes on with one.
func (t *Retention) begin(ctx context.Context, fresh bool) (r *round, err error) {
	err = t.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Name, "retention")
		now := t.o.Now().Unix()
		r = &round{}
		var holder string
		over := true
		err := tx.QueryRow(`SELECT holder, until, began, after, over FROM retention_sweep WHERE id = 1`).
			Scan(&holder, &r.until, &r.began, &r.after, &over)
		if err != nil && err != sqldb.ErrNoRows {
			return err
		}
		none := err == sqldb.ErrNoRows
		switch {
		case !none && holder != t.holder && r.until > now && r.until <= now+int64(lease/time.Second):
			r.wait = again
			return nil
		case !none && over && !fresh && r.began <= now && r.began+int64(Every/time.Second) > now:
			r.wait = time.Duration(r.began+int64(Every/time.Second)-now) * time.Second
			return nil
		case over || fresh:
			r.began, r.after = now, 0
		}
		r.until = now + int64(lease/time.Second)
		tx.Do(`INSERT INTO retention_sweep (id, holder, until, began, after, over) VALUES (1, $1, $2, $3, $4, 0)
			ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, until = excluded.until, began = excluded.began, after = excluded.after, over = 0`,
			t.holder, r.until, r.began, int64(r.after))
		return nil
	})
	return r, err
}

// renew writes how far a round came and has the lease last on, or gives it back. Conflict
// if another process has it.
func (t *Retention) renew(ctx context.Context, r *round, over bool) error {
	return t.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		until, done := t.o.Now().Unix()+int64(lease/time.Second), 0
		if over {
			until, done = 0, 1
		}
		n, err := tx.Exec(`UPDATE retention_sweep SET until = $1, after = $2, over = $3 WHERE id = 1 AND holder = $4 AND began = $5`,
			until, int64(r.after), done, t.holder, r.began)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.Conflict, "another process is at it")
		}
		r.until = until
		return err
	})
}

// sweepHome expunges what an account has kept long enough. What goes wrong with its mail
// keeps no other from its turn.
func (t *Retention) sweepHome(ctx context.Context, r *round, h directory.Home) error {
	rules, err := t.For(ctx, h.ID, h.Domain)
	if err != nil {
		return err
	}
	gone := 0
	for _, role := range Roles() {
		n, err := t.sweepBox(ctx, r, h, rules[role])
		gone += n
		if kind := mail.KindOf(err); err != nil && (ctx.Err() != nil || kind == mail.Unavailable || kind == mail.Conflict) {
			return err
		}
		if err != nil && !t.aside.Takes(err) {
			t.o.Log.Warn("what a mailbox has kept long enough is expunged later", "account", int64(h.ID), "mailbox", string(role), obs.Err(err))
		}
	}
	if gone > 0 {
		t.o.Log.Info("mail expunged that was kept long enough", "account", int64(h.ID), "messages", gone)
	}
	return nil
}

// sweepBox does it for the mailbox of a rule, step by step; a rule that is changed
// meanwhile counts for the next step.
func (t *Retention) sweepBox(ctx context.Context, r *round, h directory.Home, rule Rule) (gone int, err error) {
	if rule.Keep == Forever {
		return 0, nil
	}
	box, err := t.o.Mail.MailboxByRole(ctx, h.ID, rule.Role)
	if err != nil && mail.KindOf(err) == mail.NotFound || err == nil && box.Exists == 0 {
		return 0, nil
	}
	for from := mail.UID(0); err == nil && rule.Keep != Forever; {
		var n int
		n, from, err = t.o.Mail.Lapse(ctx, box.ID, t.o.Now().Add(-rule.Keep), from)
		gone += n
		if err != nil && mail.KindOf(err) == mail.NotFound { // It was deleted meanwhile.
			return gone, nil
		}
		if err == nil && t.o.Now().Unix() > r.until-int64(lease/2/time.Second) {
			err = t.renew(ctx, r, false)
		}
		if err != nil || from == 0 {
			break
		}
		var rules map[mail.Role]Rule
		rules, err = t.For(ctx, h.ID, h.Domain)
		rule = rules[rule.Role]
	}
	return gone, err
}

// tidy removes rules whose account or domain is gone.
func (t *Retention) tidy(ctx context.Context, rules []Rule) error {
	return t.strays(ctx, rules, func(of Scope) error {
		return t.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			if of.Account != 0 {
				t.Drop(tx, of.Account)
			} else {
				t.DropDomain(tx, of.Domain)
			}
			return nil
		})
	})
}

// Preview is what a rule would do.
type Preview struct {
	Accounts int // that have such mail
	Messages int // that have been kept long enough already
}

// Preview says what a rule would do now, if it were set.
func (t *Retention) Preview(ctx context.Context, r Rule) (p Preview, err error) {
	if err := r.check(); err != nil {
		return p, err
	}
	for after := mail.AccountID(0); ; {
		homes, err := t.o.Accounts.Homes(ctx, after, page)
		if err != nil || len(homes) == 0 {
			return p, err
		}
		for _, h := range homes {
			after = h.ID
			if r.Account != 0 && r.Account != h.ID || r.Domain != "" && r.Domain != h.Domain {
				continue
			}
			rules, err := t.For(ctx, h.ID, h.Domain)
			if err != nil {
				return p, err
			}
			if said, there := rules[r.Role]; there && said.width() < r.width() {
				continue // A nearer one counts.
			}
			n, err := t.Due(ctx, h.ID, r)
			if err != nil && !t.aside.Takes(err) {
				return p, err
			}
			if p.Messages += n; n > 0 {
				p.Accounts++
			}
		}
	}
}

// width is 0 of an account's rule, 1 of a domain's, 2 of the site's.
func (r Rule) width() int {
	switch {
	case r.Account != 0:
		return 0
	case r.Domain != "":
		return 1
	}
	return 2
}

// Due counts what a rule has an account lose at the next round.
func (t *Retention) Due(ctx context.Context, account mail.AccountID, r Rule) (n int, err error) {
	if r.Keep == Forever {
		return 0, nil
	}
	box, err := t.o.Mail.MailboxByRole(ctx, account, r.Role)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return 0, nil
	}
	before := t.o.Now().Add(-r.Keep)
	for from, more := mail.UID(0), err == nil; more; {
		some, next, err := t.o.Mail.Due(ctx, box.ID, before, from)
		if err != nil {
			return n, err
		}
		n, from, more = n+some, next, next != 0
	}
	return n, err
}
