package bans

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "bans", Steps: schema()} }

// schema are the steps of sqldb.Migrate. Times are milliseconds since 1970.
func schema() []string {
	return []string{`
	CREATE TABLE bans_network (
		network {text} NOT NULL PRIMARY KEY,
		since {int} NOT NULL,
		until {int} NOT NULL, -- 0: until it is lifted
		level {int} NOT NULL, -- bans before it; -1 of one that was lifted
		by_hand {int} NOT NULL,
		reason {text} NOT NULL,
		changed {int} NOT NULL
	) {clustered};
	CREATE INDEX bans_changed ON bans_network (changed)`}
}

// Bounds of one transaction.
const writeRows = 256

// write writes the rows that are behind.
func (b *Bans) write(ctx context.Context) error {
	for {
		b.mu.RLock()
		var rows []*held
		for p := range b.unwritten {
			if rows = append(rows, b.all[p]); len(rows) == writeRows {
				break
			}
		}
		b.mu.RUnlock()
		rows = slices.DeleteFunc(rows, func(h *held) bool { return h == nil })
		if len(rows) == 0 {
			return nil
		}
		if err := b.writeRows(ctx, rows); err != nil {
			return err
		}
		b.mu.Lock()
		for _, h := range rows {
			if b.all[h.Network] == h {
				delete(b.unwritten, h.Network)
			}
		}
		b.mu.Unlock()
	}
}

func (b *Bans) writeRows(ctx context.Context, rows []*held) error {
	slices.SortFunc(rows, func(a, b *held) int { return a.Network.Compare(b.Network) })
	return b.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		for _, h := range rows {
			tx.Do(`INSERT INTO bans_network (network, since, until, level, by_hand, reason, changed) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (network) DO UPDATE SET since = excluded.since, until = excluded.until, level = excluded.level,
				by_hand = excluded.by_hand, reason = excluded.reason, changed = excluded.changed`,
				h.Network.String(), h.Since.UnixMilli(), millis(h.Until), h.Level, h.ByHand, h.Reason, h.changed)
		}
		return nil
	})
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// share reads what other processes, or this one before, wrote since the last time.
func (b *Bans) share(ctx context.Context) error {
	var rows []*held
	err := b.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		rows = nil
		return eachRow(tx, b.seen, func(h *held, bad error) {
			if bad == nil {
				rows = append(rows, h)
			} else {
				b.aside.Takes(bad)
			}
		})
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range rows {
		b.seen = max(b.seen, h.changed-slack.Milliseconds())
		if old := b.all[h.Network]; old == nil || old.changed < h.changed && !b.unwritten[h.Network] {
			b.put(h)
		}
	}
	return nil
}

// eachRow calls fn with the rows that were changed since a time; bad is an Unreadable
// about one with a value that it cannot have.
func eachRow(tx *sqldb.Tx, since int64, fn func(h *held, bad error)) error {
	rows, err := tx.Query(`SELECT network, since, until, level, by_hand, reason, changed FROM bans_network WHERE changed >= $1`, since)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		h := &held{}
		var network string
		var from, until int64
		err := rows.Scan(&network, &from, &until, &h.Level, &h.ByHand, &h.Reason, &h.changed)
		h.Since, h.Until = fromMillis(from), fromMillis(until)
		if err == nil {
			if h.Network, err = netip.ParsePrefix(network); err == nil && h.Network.String() != network {
				err = mail.Errorf(mail.Invalid, "%q is no network", network)
			}
		}
		if err != nil {
			err = &sqldb.Unreadable{Row: fmt.Sprintf("ban of %q", network), Err: sqldb.Why(err)}
		}
		fn(h, err)
	}
	return rows.Err()
}

// sweep forgets what ended long ago, and what there is too much of.
func (b *Bans) sweep(ctx context.Context) error {
	now := b.o.Now()
	b.mu.RLock()
	over := len(b.all) - MaxBans
	b.mu.RUnlock()
	if over <= 0 && now.Sub(b.swept) < sweepEvery {
		return nil
	}
	b.mu.Lock()
	var gone []*held
	for _, h := range b.all {
		if !h.Until.IsZero() && (over > 0 && !h.ByHand || now.Sub(h.Until) >= Memory) {
			gone = append(gone, h)
		}
	}
	slices.SortFunc(gone, func(a, b *held) int { return a.Until.Compare(b.Until) })
	old := 0
	for old < len(gone) && now.Sub(gone[old].Until) >= Memory {
		old++
	}
	if over > 0 { // Some more, so that it is not done for each.
		old = min(len(gone), max(old, over+MaxBans/16))
	}
	gone = gone[:old]
	for _, h := range gone {
		b.remove(h.Network)
		delete(b.unwritten, h.Network)
	}
	b.mu.Unlock()
	for len(gone) > 0 {
		some := gone[:min(len(gone), writeRows)]
		gone = gone[len(some):]
		err := b.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			for _, h := range some {
				tx.Do(`DELETE FROM bans_network WHERE network = $1 AND changed = $2`, h.Network.String(), h.changed)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.swept = now
	return nil
}

// Check reports rows that cannot be read.
func (b *Bans) Check(ctx context.Context, report func(problem string)) error {
	return b.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		return eachRow(tx, 0, func(_ *held, bad error) {
			if bad != nil {
				report(bad.Error())
			}
		})
	})
}
