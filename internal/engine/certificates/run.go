package certificates

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Run reads what other nodes made, and orders and renews what is due, until ctx is done.
func (c *Certificates) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := errors.Join(c.Refresh(ctx), c.Pass(ctx))
		if err != nil && ctx.Err() == nil {
			c.o.Log.Warn("the certificates could not be looked after; it goes on in a while", obs.Err(err))
		}
		t := time.NewTimer(min(passEvery, refreshEvery))
		select {
		case <-ctx.Done():
		case <-c.kick:
		case <-t.C:
		}
		t.Stop()
	}
	c.release()
}

// Pass does once all that is due, if the lease is ours.
func (c *Certificates) Pass(ctx context.Context) error {
	c.passing.Lock()
	defer c.passing.Unlock()
	s := c.settingsNow()
	if s.Off {
		return nil
	}
	fence, err := c.lease(ctx)
	if err != nil || fence == 0 {
		return err
	}
	if err := c.tidy(ctx, fence); err != nil {
		return err
	}
	had, err := c.list(ctx)
	if err != nil {
		return err
	}
	list, err := c.want(ctx, s, had)
	if err != nil {
		return err
	}
	if err := c.note(ctx, fence, had, list); err != nil {
		return err
	}
	return c.work(ctx, s, fence)
}

// work asks the authority when to renew, and orders what is due. The first certificate is
// the host's; of the others those that have waited longest come first.
func (c *Certificates) work(ctx context.Context, s Settings, fence int64) error {
	rows, keys, err := c.state(ctx)
	if err != nil {
		return err
	}
	var authority Authority
	var cannot error
	orders, windows := 0, 0
	for _, r := range inOrder(rows, s) {
		askFirst := r.asks(s, c.now()) && windows < maxWindows
		if _, due := c.due(r, keys[r.name], s); !askFirst && (!due || orders == maxOrders) {
			continue
		}
		if authority == nil && cannot == nil {
			authority, cannot = c.o.Authority(s)
		}
		if now, err := c.lease(ctx); err != nil || now != fence { // One order may take long.
			return err
		}
		if askFirst && cannot == nil {
			windows++
			if r, err = c.askWindow(ctx, authority, r, fence); err != nil {
				return err
			}
		}
		if why, due := c.due(r, keys[r.name], s); due && orders < maxOrders {
			orders++
			if err := c.order(ctx, authority, cannot, s, r, why, fence); err != nil {
				return err
			}
		}
	}
	return nil
}

// state reads all rows, and of each certificate its keys.
func (c *Certificates) state(ctx context.Context) (rows []row, keys map[string][]Key, err error) {
	err = c.db.Read(ctx, func(tx *sqldb.Tx) error {
		if rows, err = c.rows(tx); err != nil {
			return err
		}
		all, err := keysOf(tx, "")
		keys = map[string][]Key{}
		for _, k := range all {
			keys[k.Certificate] = append(keys[k.Certificate], k)
		}
		return err
	})
	return rows, keys, err
}

// asks reports whether the authority is to be asked when to renew.
func (r row) asks(s Settings, now time.Time) bool {
	return r.is() && len(r.wanted) > 0 && r.authority == s.Directory && !now.Before(r.window.again) && now.Before(r.ends)
}

// askWindow asks it. What the authority does not say counts as before.
func (c *Certificates) askWindow(ctx context.Context, a Authority, r row, fence int64) (row, error) {
	var w acme.Window
	list, err := c.chain(ctx, r.name)
	if err == nil {
		w, err = a.Window(ctx, list[0])
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	now := c.now()
	r.window.again = now.Add(askWindow)
	switch {
	case errors.Is(err, acme.ErrNoWindow):
		r.window.start, r.window.end, r.window.reason, r.renew = time.Time{}, time.Time{}, "", time.Time{}
	case err != nil:
		c.o.Log.Info("the authority does not say when a certificate is to be renewed", "certificate", r.name, obs.Err(err))
	default:
		if !w.Again.IsZero() {
			r.window.again = now.Add(min(max(w.Again.Sub(now), leastWindow), mostWindow)).Truncate(time.Millisecond)
		}
		w.Start, w.End = w.Start.Truncate(time.Millisecond), w.End.Truncate(time.Millisecond)
		if !w.Start.Equal(r.window.start) || !w.End.Equal(r.window.end) {
			if w.Reason != "" {
				c.o.Log.Info("the authority says when a certificate is to be renewed, and why", "certificate", r.name,
					"from", w.Start, "to", w.End, "url", w.Reason)
			}
			r.window.start, r.window.end, r.window.reason = w.Start, w.End, w.Reason
			r.renew = c.within(w.Start, w.End)
		}
	}
	err = c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		tx.Do(`UPDATE certificate SET window_start = $2, window_end = $3, window_reason = $4, window_again = $5, renew = $6 WHERE name = $1`,
			r.name, millis(r.window.start), millis(r.window.end), r.window.reason, millis(r.window.again), millis(r.renew))
		return nil
	})
	return r, err
}

// within is a time between two, by chance (RFC 9773 §4.2).
func (c *Certificates) within(from, to time.Time) time.Time {
	n, err := rand.Int(c.o.Random, big.NewInt(max(1, int64(to.Sub(from)/time.Millisecond))))
	if err != nil {
		return from
	}
	return from.Add(time.Duration(n.Int64()) * time.Millisecond)
}

// lease takes the lease, or keeps it, and returns its fence; 0 while it is another's.
func (c *Certificates) lease(ctx context.Context) (fence int64, err error) {
	c.mu.Lock()
	ours := c.fence
	c.mu.Unlock()
	now := c.now()
	err = c.change(ctx, func(tx *sqldb.Tx) error {
		var until int64
		err := tx.QueryRow(`SELECT until, fence FROM certificate_lease WHERE id = 1`).Scan(&until, &fence)
		switch {
		case err == sqldb.ErrNoRows:
			fence = 1
			tx.Do(`INSERT INTO certificate_lease (id, owner, until, fence) VALUES (1, $1, $2, 1)`, c.o.Name, millis(now.Add(leaseTime)))
			return nil
		case err != nil:
			return err
		case fence != ours && !c.o.Alone && until > millis(now):
			fence = 0
			return nil
		case fence != ours:
			fence++
		}
		tx.Do(`UPDATE certificate_lease SET owner = $1, until = $2, fence = $3 WHERE id = 1`, c.o.Name, millis(now.Add(leaseTime)), fence)
		return nil
	})
	if err == nil {
		c.mu.Lock()
		c.fence = fence
		c.mu.Unlock()
	}
	return fence, err
}

// release gives the lease back. Who is alone takes it whoever has it.
func (c *Certificates) release() {
	c.mu.Lock()
	fence := c.fence
	c.fence = 0
	c.mu.Unlock()
	if fence == 0 || c.o.Alone {
		return
	}
	err := c.change(context.Background(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE certificate_lease SET until = 0 WHERE id = 1 AND fence = $1`, fence)
		return err
	})
	if err != nil {
		c.o.Log.Warn("the lease on the certificates could not be given back; it ends by itself", obs.Err(err))
	}
}

// errLease: another node orders by now.
var errLease = mail.Errorf(mail.Conflict, "another node looks after the certificates")

// held fails unless the lease is the one with the fence; 0 is of who needs none.
func held(tx *sqldb.Tx, fence int64) error {
	var is int64
	if fence == 0 {
		return nil
	}
	if err := tx.QueryRow(`SELECT fence FROM certificate_lease WHERE id = 1`).Scan(&is); err != nil {
		return err
	}
	if is != fence {
		return errLease
	}
	return nil
}

// tidy removes challenges that a crash has left.
func (c *Certificates) tidy(ctx context.Context, fence int64) error {
	left := 0
	err := c.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM certificate_challenge WHERE until < $1`, millis(c.now())).Scan(&left)
	})
	if err != nil || left == 0 {
		return err
	}
	return c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		tx.Do(`DELETE FROM certificate_challenge WHERE until < $1`, millis(c.now()))
		return nil
	})
}
