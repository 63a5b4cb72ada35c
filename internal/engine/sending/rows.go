package sending

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "sending", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Hours and days are numbers of them since 1970, UTC.
func schema() []string {
	return []string{`
	CREATE TABLE sending_hour (
		account {int} NOT NULL,
		hour {int} NOT NULL,
		messages {int} NOT NULL,
		recipients {int} NOT NULL,
		fresh {int} NOT NULL, -- recipients that were new
		bounced {int} NOT NULL,
		PRIMARY KEY (account, hour)
	) {clustered};
	CREATE TABLE sending_day (
		account {int} NOT NULL,
		day {int} NOT NULL,
		messages {int} NOT NULL,
		recipients {int} NOT NULL,
		fresh {int} NOT NULL,
		bounced {int} NOT NULL,
		hours {int} NOT NULL, -- a bit for each in which it sent
		odd {int} NOT NULL, -- 1: it teaches nothing
		PRIMARY KEY (account, day)
	) {clustered};
	CREATE TABLE sending_network (
		account {int} NOT NULL,
		network {text} NOT NULL,
		since {int} NOT NULL, -- seconds
		PRIMARY KEY (account, network)
	) {clustered};
	CREATE TABLE sending_rule (
		account {int} NOT NULL, -- 0: of a domain
		domain {text} NOT NULL, -- '': of an account
		messages_hour {int} NOT NULL, -- -1: as what is wider says; 0: no bound
		messages_day {int} NOT NULL,
		new_hour {int} NOT NULL,
		new_day {int} NOT NULL,
		breaker {int} NOT NULL,
		PRIMARY KEY (account, domain)
	) {clustered};
	CREATE TABLE sending_held (
		account {int} NOT NULL PRIMARY KEY,
		since {int} NOT NULL, -- milliseconds; 0: it is not held
		reason {text} NOT NULL,
		owed {int} NOT NULL, -- bits of what is not done yet
		day {int} NOT NULL, -- of the last release
		messages {int} NOT NULL, -- that day until then, and what follows
		recipients {int} NOT NULL,
		fresh {int} NOT NULL,
		bounced {int} NOT NULL
	) {clustered}`}
}

// What is owed when an account is held.
const (
	OwedOwner = 1 // a letter to its owner
	OwedQueue = 2 // that what waits in the queue is held too
	OwedAll   = OwedOwner | OwedQueue
)

// Held is an account whose mail is kept back.
type Held struct {
	Account mail.AccountID
	Since   time.Time
	Reason  string
	Owed    int // what is not done yet
}

// account returns what is known of one, as fresh as FreshFor.
func (n *Sending) account(ctx context.Context, who Sender) (*account, error) {
	n.mu.Lock()
	a, now := n.accounts[who.Account], n.o.Now()
	if a != nil && now.Sub(a.read) < FreshFor && !now.Before(a.read) && hourOf(a.read) == hourOf(now) {
		n.mu.Unlock()
		return a, nil
	}
	n.mu.Unlock()
	n.io.RLock() // Nothing is being written: the rows, and what was not added to them, are all.
	defer n.io.RUnlock()
	read := &account{id: who.Account, domain: who.Domain}
	err := n.o.DB.Read(ctx, func(tx *sqldb.Tx) error { return n.load(tx, read, now) })
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	read.rule, read.read = read.rule.over(n.settings.rule()), now
	if a = n.accounts[who.Account]; a == nil {
		n.makeRoom(now)
		a = &account{id: who.Account, addHours: map[int64]counts{}, addDays: map[int64]dayCounts{}, addNetworks: map[netip.Prefix]int64{}}
		n.accounts[who.Account] = a
	}
	a.take(read)
	if a.held != nil {
		n.held[a.id] = *a.held
	} else {
		delete(n.held, a.id)
	}
	return a, nil
}

// take puts what was read into a, with what was not written yet. Who is held here and
// not in the rows yet stays held.
func (a *account) take(read *account) {
	a.domain, a.rule, a.read, a.hours, a.days, a.networks = read.domain, read.rule, read.read, read.hours, read.days, read.networks
	for h, c := range a.addHours {
		a.hours[h] = a.hours[h].plus(c)
	}
	for d, c := range a.addDays {
		a.days[d] = a.days[d].with(c)
	}
	maps.Copy(a.networks, a.addNetworks)
	if !a.unwritten {
		a.held, a.doneDay, a.done = read.held, read.doneDay, read.done
	}
}

func (c dayCounts) with(o dayCounts) dayCounts {
	return dayCounts{c.plus(o.counts), c.hours | o.hours, c.odd || o.odd}
}

// clean reports whether all of a is in rows.
func (a *account) clean() bool {
	return len(a.addHours)+len(a.addDays)+len(a.addNetworks) == 0 && !a.unwritten
}

// makeRoom forgets accounts that were not asked for lately. The caller holds the lock.
func (n *Sending) makeRoom(now time.Time) {
	if len(n.accounts) < MaxAccounts {
		return
	}
	maps.DeleteFunc(n.accounts, func(_ mail.AccountID, a *account) bool { return a.clean() && now.Sub(a.read) >= FreshFor })
	for id, a := range n.accounts {
		if len(n.accounts) < MaxAccounts*3/4 {
			return
		}
		if a.clean() {
			delete(n.accounts, id)
		}
	}
}

// load reads the rows of an account.
func (n *Sending) load(tx *sqldb.Tx, a *account, now time.Time) error {
	a.hours, a.days, a.networks, a.held, a.doneDay, a.done = map[int64]counts{}, map[int64]dayCounts{}, map[netip.Prefix]int64{}, nil, 0, counts{}
	hours := tx.Ask(`SELECT hour, messages, recipients, fresh, bounced FROM sending_hour WHERE account = $1 AND hour > $2`, a.id, hourOf(now)-hoursKept)
	days := tx.Ask(`SELECT day, messages, recipients, fresh, bounced, hours, odd FROM sending_day WHERE account = $1 AND day >= $2`, a.id, dayOf(now)-Days)
	networks := tx.Ask(`SELECT network, since FROM sending_network WHERE account = $1`, a.id)
	held := tx.Ask(`SELECT since, reason, owed, day, messages, recipients, fresh, bounced FROM sending_held WHERE account = $1`, a.id)
	rules := tx.Ask(`SELECT account, domain, messages_hour, messages_day, new_hour, new_day, breaker FROM sending_rule
		WHERE account = $1 AND domain = '' OR account = 0 AND domain = $2`, a.id, string(a.domain))
	err := each(hours, func(rows *sqldb.Rows) error {
		var h int64
		var c counts
		err := rows.Scan(&h, &c.messages, &c.recipients, &c.fresh, &c.bounced)
		a.hours[h] = c
		return err
	})
	if err != nil {
		return err
	}
	err = each(days, func(rows *sqldb.Rows) error {
		var d int64
		var c dayCounts
		err := rows.Scan(&d, &c.messages, &c.recipients, &c.fresh, &c.bounced, &c.hours, &c.odd)
		a.days[d] = c
		return err
	})
	if err != nil {
		return err
	}
	err = each(networks, func(rows *sqldb.Rows) error {
		var text string
		var since int64
		if err := rows.Scan(&text, &since); err != nil {
			return err
		}
		if p, err := netip.ParsePrefix(text); err == nil { // Check reports others.
			a.networks[p] = since
		}
		return nil
	})
	if err != nil {
		return err
	}
	h := Held{Account: a.id}
	var since int64
	err = held.Scan(&since, &h.Reason, &h.Owed, &a.doneDay, &a.done.messages, &a.done.recipients, &a.done.fresh, &a.done.bounced)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return err
	}
	if err == nil && since > 0 {
		h.Since = time.UnixMilli(since).UTC()
		a.held = &h
	}
	a.rule = NoRule()
	return eachRule(rules, func(s Scope, r Rule, bad error) {
		switch {
		case n.aside.Takes(bad):
		case s.Account != 0:
			a.rule = r.over(a.rule)
		default:
			a.rule = a.rule.over(r)
		}
	})
}

// each calls fn with the rows of an answer.
func each(answer *sqldb.Answer, fn func(*sqldb.Rows) error) error {
	rows, err := answer.Rows()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachRule calls fn with rules; bad is an Unreadable about one with a value that it cannot
// have.
func eachRule(answer *sqldb.Answer, fn func(s Scope, r Rule, bad error)) error {
	return each(answer, func(rows *sqldb.Rows) error {
		var s Scope
		var r Rule
		err := rows.Scan(&s.Account, &s.Domain, &r.MessagesHour, &r.MessagesDay, &r.NewHour, &r.NewDay, &r.Breaker)
		if err == nil {
			err = r.check()
		}
		if err != nil {
			err = &sqldb.Unreadable{Row: fmt.Sprintf("rule of sending of account %d, domain %q", s.Account, string(s.Domain)), Err: sqldb.Why(err)}
		}
		fn(s, r, err)
		return nil
	})
}

// readHeld reads which accounts are held.
func (n *Sending) readHeld(ctx context.Context) error {
	held := map[mail.AccountID]Held{}
	now := n.o.Now()
	err := n.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		clear(held)
		rows, err := tx.Query(`SELECT account, since, reason, owed FROM sending_held WHERE since > 0`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h Held
			var since int64
			if err := rows.Scan(&h.Account, &since, &h.Reason, &h.Owed); err != nil {
				return err
			}
			h.Since = time.UnixMilli(since).UTC()
			held[h.Account] = h
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, a := range n.accounts {
		if a.unwritten && a.held != nil {
			held[id] = *a.held
		}
	}
	n.held, n.heldRead = held, now
	return nil
}

// Run writes what was counted until ctx is done.
func (n *Sending) Run(ctx context.Context) {
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		if err := n.flush(ctx); err != nil && ctx.Err() == nil {
			n.o.Log.Warn("what accounts send is written later", obs.Err(err))
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), FlushEvery)
			defer cancel()
			if err := n.Flush(last); err != nil {
				n.o.Log.Warn("what accounts sent last is not written", obs.Err(err))
			}
			return
		case <-tick.C:
		case <-n.poked:
		}
	}
}

func (n *Sending) flush(ctx context.Context) error {
	if err := n.Flush(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	late := n.o.Now().Sub(n.heldRead) >= FreshFor
	n.mu.Unlock()
	if late {
		return n.readHeld(ctx)
	}
	return nil
}

// delta is what is to be added to the rows of an account.
type delta struct {
	id       mail.AccountID
	hours    map[int64]counts
	days     map[int64]dayCounts
	networks map[netip.Prefix]int64
	held     *Held
	tripped  bool
}

// Flush writes all that was counted.
func (n *Sending) Flush(ctx context.Context) error {
	n.io.Lock()
	defer n.io.Unlock()
	for {
		list := n.collect()
		if len(list) == 0 {
			return nil
		}
		if err := n.write(ctx, list); err != nil {
			n.giveBack(list)
			return err
		}
	}
}

// collect takes what was counted out of some accounts.
func (n *Sending) collect() (list []delta) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.accounts {
		if a.clean() {
			continue
		}
		list = append(list, delta{a.id, a.addHours, a.addDays, a.addNetworks, a.held, a.unwritten})
		a.addHours, a.addDays, a.addNetworks, a.unwritten = map[int64]counts{}, map[int64]dayCounts{}, map[netip.Prefix]int64{}, false
		if len(list) == flushRows {
			break
		}
	}
	slices.SortFunc(list, func(a, b delta) int { return int(a.id - b.id) })
	return list
}

func (n *Sending) giveBack(list []delta) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range list {
		a := n.accounts[d.id]
		if a == nil {
			continue // It was removed.
		}
		for h, c := range d.hours {
			a.addHours[h] = a.addHours[h].plus(c)
		}
		for day, c := range d.days {
			a.addDays[day] = a.addDays[day].with(c)
		}
		maps.Copy(a.addNetworks, d.networks)
		a.unwritten = a.unwritten || d.tripped
	}
}

func (n *Sending) write(ctx context.Context, list []delta) error {
	now := n.o.Now()
	return n.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		for _, d := range list {
			if there, err := n.o.HasAccount(tx, d.id); err != nil {
				return err
			} else if !there {
				continue
			}
			for _, h := range slices.Sorted(maps.Keys(d.hours)) {
				c := d.hours[h]
				tx.Do(`INSERT INTO sending_hour (account, hour, messages, recipients, fresh, bounced) VALUES ($1, $2, $3, $4, $5, $6)
					ON CONFLICT (account, hour) DO UPDATE SET messages = sending_hour.messages + excluded.messages,
					recipients = sending_hour.recipients + excluded.recipients, fresh = sending_hour.fresh + excluded.fresh,
					bounced = sending_hour.bounced + excluded.bounced`, d.id, h, c.messages, c.recipients, c.fresh, c.bounced)
			}
			for _, day := range slices.Sorted(maps.Keys(d.days)) {
				c := d.days[day]
				tx.Do(`INSERT INTO sending_day (account, day, messages, recipients, fresh, bounced, hours, odd) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
					ON CONFLICT (account, day) DO UPDATE SET messages = sending_day.messages + excluded.messages,
					recipients = sending_day.recipients + excluded.recipients, fresh = sending_day.fresh + excluded.fresh,
					bounced = sending_day.bounced + excluded.bounced, hours = sending_day.hours | excluded.hours,
					odd = CASE WHEN sending_day.odd > excluded.odd THEN sending_day.odd ELSE excluded.odd END`,
					d.id, day, c.messages, c.recipients, c.fresh, c.bounced, c.hours, c.odd)
			}
			tx.Do(`DELETE FROM sending_hour WHERE account = $1 AND hour <= $2`, d.id, hourOf(now)-hoursKept)
			tx.Do(`DELETE FROM sending_day WHERE account = $1 AND day < $2`, d.id, dayOf(now)-Days)
			if len(d.networks) > 0 {
				writeNetworks(tx, d)
			}
			if d.tripped && d.held != nil {
				tx.Do(`INSERT INTO sending_held (account, since, reason, owed, day, messages, recipients, fresh, bounced)
					VALUES ($1, $2, $3, $4, 0, 0, 0, 0, 0) ON CONFLICT (account) DO UPDATE SET since = excluded.since,
					reason = excluded.reason, owed = excluded.owed WHERE sending_held.since = 0`,
					d.id, d.held.Since.UnixMilli(), d.held.Reason, d.held.Owed)
			}
		}
		return nil
	})
}

func writeNetworks(tx *sqldb.Tx, d delta) {
	for _, p := range slices.SortedFunc(maps.Keys(d.networks), netip.Prefix.Compare) {
		tx.Do(`INSERT INTO sending_network (account, network, since) VALUES ($1, $2, $3) ON CONFLICT (account, network) DO NOTHING`, d.id, p.String(), d.networks[p])
	}
	tx.Do(`DELETE FROM sending_network WHERE account = $1 AND network NOT IN (
		SELECT network FROM sending_network WHERE account = $1 ORDER BY since, network LIMIT $2)`, d.id, MaxNetworks)
}

// Drop removes the rows of an account, in the transaction that removes it.
func (n *Sending) Drop(tx *sqldb.Tx, id mail.AccountID) {
	for _, table := range []string{"sending_hour", "sending_day", "sending_network", "sending_rule", "sending_held"} {
		tx.Do(`DELETE FROM `+table+` WHERE account = $1`, id)
	}
	tx.OnCommit(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.accounts, id)
		delete(n.held, id)
	})
}

// DropDomain removes the rule of a domain, in the transaction that removes it.
func (n *Sending) DropDomain(tx *sqldb.Tx, name mail.Domain) {
	tx.Do(`DELETE FROM sending_rule WHERE account = 0 AND domain = $1`, string(name))
}

// Check reports rows that cannot be read, or are of nobody.
func (n *Sending) Check(ctx context.Context, report func(problem string)) error {
	return n.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		accounts := map[mail.AccountID]bool{}
		err := eachRule(tx.Ask(`SELECT account, domain, messages_hour, messages_day, new_hour, new_day, breaker FROM sending_rule`), func(s Scope, _ Rule, bad error) {
			if bad != nil {
				report(bad.Error())
			}
			if s.Account != 0 {
				accounts[s.Account] = true
			}
		})
		if err != nil {
			return err
		}
		err = each(tx.Ask(`SELECT account FROM sending_held UNION SELECT account FROM sending_day`), func(rows *sqldb.Rows) error {
			var id mail.AccountID
			err := rows.Scan(&id)
			accounts[id] = true
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(accounts)) {
			there, err := n.o.HasAccount(tx, id)
			if err != nil {
				return err
			}
			if !there {
				report(fmt.Sprintf("what an account sends, of an account that is not there: %d", id))
			}
		}
		return nil
	})
}
