package sending

import (
	"context"
	"maps"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Count is how much was sent in a time.
type Count struct{ Messages, Recipients, New, Bounced int64 }

func (c counts) public() Count { return Count{c.messages, c.recipients, c.fresh, c.bounced} }

// Status is all that is known of what an account sends.
type Status struct {
	Own, Rule Rule // what was said of itself, and what counts
	Off       bool // nothing is counted here

	Hour, Day Count     // of the clock; of the last 24
	GoesOn    time.Time // when it may send again; zero: now
	Today     Count     // UTC, since the release if there was one
	Baseline  Baseline
	Held      *Held
}

// Status tells what is known of an account, after what was counted is written.
func (n *Sending) Status(ctx context.Context, who Sender) (s Status, err error) {
	a, err := n.account(ctx, who)
	if err != nil {
		return s, err
	}
	if s.Own, err = n.Rule(ctx, Scope{Account: who.Account}); err != nil {
		return s, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now()
	hour, day := a.used(now)
	s.Rule, s.Off, s.Hour, s.Day, s.Today, s.Baseline = a.rule, n.settings.Off, hour.public(), day.public(), a.today(now).public(), a.baseline(now)
	if a.rule.MessagesHour > 0 && hour.messages >= a.rule.MessagesHour {
		s.GoesOn = time.Unix((hourOf(now)+1)*3600, 0).UTC()
	}
	if a.rule.MessagesDay > 0 && day.messages >= a.rule.MessagesDay {
		s.GoesOn = a.roomAt(now, a.rule.MessagesDay-1, func(c counts) int64 { return c.messages }).UTC()
	}
	if a.held != nil {
		h := *a.held
		s.Held = &h
	}
	return s, nil
}

// Held lists the accounts that are held, by their numbers.
func (n *Sending) Held() (list []Held) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(n.held)) {
		list = append(list, n.held[id])
	}
	return list
}

// Told remembers that something that was owed of an account that is held is done, in the
// caller's transaction. Conflict if it was before, or the account is not held any more.
func (n *Sending) Told(tx *sqldb.Tx, h Held, what int) error {
	left, err := tx.Exec(`UPDATE sending_held SET owed = owed - $3 WHERE account = $1 AND since = $2 AND (owed / $3) % 2 = 1`, h.Account, h.Since.UnixMilli(), what)
	if err != nil {
		return err
	}
	if left == 0 {
		return mail.Errorf(mail.Conflict, "it is done already")
	}
	tx.OnCommit(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if now, ok := n.held[h.Account]; ok && now.Since.Equal(h.Since) {
			now.Owed &^= what
			n.held[h.Account] = now
		}
		if a := n.accounts[h.Account]; a != nil && a.held != nil {
			a.held.Owed &^= what
		}
	})
	return nil
}

// Release lets an account send again; counting of the day begins anew. If it was
// wrongly held its days count as others do, else (stolen) they teach nothing. NotFound if it is
// not held.
func (n *Sending) Release(ctx context.Context, who Sender, stolen bool) (Held, error) {
	if err := n.Flush(ctx); err != nil {
		return Held{}, err
	}
	a, err := n.account(ctx, who)
	if err != nil {
		return Held{}, err
	}
	n.io.Lock()
	defer n.io.Unlock()
	n.mu.Lock()
	now := n.o.Now()
	if a.held == nil {
		n.mu.Unlock()
		return Held{}, mail.Errorf(mail.NotFound, "its mail is not held")
	}
	was, done, today := *a.held, a.days[dayOf(now)].counts, dayOf(now)
	n.mu.Unlock()
	odd := int64(0)
	if stolen {
		odd = 1
	}
	err = n.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`INSERT INTO sending_held (account, since, reason, owed, day, messages, recipients, fresh, bounced)
			VALUES ($1, 0, '', 0, $2, $3, $4, $5, $6) ON CONFLICT (account) DO UPDATE SET since = 0, reason = '', owed = 0,
			day = excluded.day, messages = excluded.messages, recipients = excluded.recipients, fresh = excluded.fresh,
			bounced = excluded.bounced`, who.Account, today, done.messages, done.recipients, done.fresh, done.bounced)
		tx.Do(`UPDATE sending_day SET odd = $3 WHERE account = $1 AND day >= $2`, who.Account, dayOf(was.Since), odd)
		return nil
	})
	if err != nil {
		return Held{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a.held, a.unwritten, a.doneDay, a.done, a.read = nil, false, today, done, time.Time{}
	for d, c := range a.addDays { // What came meanwhile.
		c.odd = stolen
		a.addDays[d] = c
	}
	delete(n.held, who.Account)
	return was, nil
}

// Rule is what was said of an account or a domain itself.
func (n *Sending) Rule(ctx context.Context, of Scope) (r Rule, err error) {
	err = n.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		r = NoRule()
		return eachRule(tx.Ask(`SELECT account, domain, messages_hour, messages_day, new_hour, new_day, breaker FROM sending_rule
			WHERE account = $1 AND domain = $2`, of.Account, string(of.Domain)), func(_ Scope, found Rule, bad error) {
			if !n.aside.Takes(bad) {
				r = found
			}
		})
	})
	return r, err
}

// Change is what to change of a Rule; nil leaves it.
type Change struct {
	MessagesHour, MessagesDay, NewHour, NewDay *int64
	Breaker                                    *int
}

// SetRule changes what is said of an account or a domain, which the caller knows to be there. Errors: Invalid.
func (n *Sending) SetRule(ctx context.Context, of Scope, c Change) (r Rule, err error) {
	if (of.Account != 0) == (of.Domain != "") {
		return r, mail.Errorf(mail.Invalid, "a rule is for an account or a domain")
	}
	err = n.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Name, "sending", int64(of.Account), string(of.Domain))
		r = NoRule()
		err := eachRule(tx.Ask(`SELECT account, domain, messages_hour, messages_day, new_hour, new_day, breaker FROM sending_rule
			WHERE account = $1 AND domain = $2`, of.Account, string(of.Domain)), func(_ Scope, found Rule, bad error) {
			if bad == nil {
				r = found
			}
		})
		if err != nil {
			return err
		}
		for _, p := range []struct{ to, from *int64 }{{&r.MessagesHour, c.MessagesHour}, {&r.MessagesDay, c.MessagesDay}, {&r.NewHour, c.NewHour}, {&r.NewDay, c.NewDay}} {
			if p.from != nil {
				*p.to = *p.from
			}
		}
		if c.Breaker != nil {
			r.Breaker = *c.Breaker
		}
		if err := r.check(); err != nil {
			return err
		}
		tx.OnCommit(n.forgetRules)
		if r == NoRule() {
			tx.Do(`DELETE FROM sending_rule WHERE account = $1 AND domain = $2`, of.Account, string(of.Domain))
			return nil
		}
		tx.Do(`INSERT INTO sending_rule (account, domain, messages_hour, messages_day, new_hour, new_day, breaker) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (account, domain) DO UPDATE SET messages_hour = excluded.messages_hour, messages_day = excluded.messages_day,
			new_hour = excluded.new_hour, new_day = excluded.new_day, breaker = excluded.breaker`,
			of.Account, string(of.Domain), r.MessagesHour, r.MessagesDay, r.NewHour, r.NewDay, r.Breaker)
		return nil
	})
	return r, err
}

// forgetRules has the rows of all accounts read anew.
func (n *Sending) forgetRules() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.accounts {
		a.read = time.Time{}
	}
}
