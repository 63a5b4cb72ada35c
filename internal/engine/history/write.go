package history

import (
	"context"
	"maps"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Received notes that a message of somebody came for an account. It is cheap and waits
// for nothing.
func (h *History) Received(account mail.AccountID, c Correspondent) {
	h.gather(account, c, Received)
}

// WroteTo notes that an account's owner sent a message to somebody. It is cheap and
// waits for nothing.
func (h *History) WroteTo(account mail.AccountID, recipients ...mail.Address) {
	for _, a := range recipients {
		h.gather(account, Correspondent{Address: a}, WrittenTo)
	}
}

// gather notes what is to be written with the next flush.
func (h *History) gather(account mail.AccountID, c Correspondent, act Act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := of(act, h.o.Now())
	for _, k := range written(account, c, act) {
		had, known := h.gathered[k]
		if !known && (len(h.gathered) >= MaxGathered && act != WrittenTo || len(h.gathered) >= 2*MaxGathered) {
			h.lost++
			continue
		}
		h.gathered[k] = had.Plus(r)
		h.kept.add(k, r)
	}
}

// Deed is an act with a message of somebody.
type Deed struct {
	Of  Correspondent
	Act Act
}

// Acted remembers what an account's owner did, in a transaction of the caller's: exactly
// if that is committed with what the caller read it from.
func (h *History) Acted(tx *sqldb.Tx, account mail.AccountID, deeds []Deed) {
	all := make(map[key]Record)
	now := h.o.Now()
	for _, d := range deeds {
		for _, k := range written(account, d.Of, d.Act) {
			all[k] = all[k].Plus(of(d.Act, now))
		}
	}
	h.write(tx, all)
}

// write adds to rows, in the order of their keys, so that nobody waits for who waits
// for it.
func (h *History) write(tx *sqldb.Tx, all map[key]Record) {
	for _, k := range slices.SortedFunc(maps.Keys(all), key.compare) {
		addTo(tx, k, all[k])
	}
	tx.OnCommit(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changed++
		for k, r := range all {
			h.kept.add(k, r)
			h.noteAdded(k.account)
		}
	})
}

// noteAdded counts rows that may be new, so that some are looked at once in a while.
func (h *History) noteAdded(account mail.AccountID) {
	if len(h.added) < MaxGathered || h.added[account] > 0 {
		h.added[account]++
	}
}

// trimEvery is after how many writes to rows of an account these are counted.
func trimEvery(account mail.AccountID) int { return maxNames(account) / 16 }

// Flush writes what was gathered.
func (h *History) Flush(ctx context.Context) error {
	h.mu.Lock()
	all := h.gathered
	lost := h.lost
	h.gathered, h.lost, h.flushing = make(map[key]Record), 0, true
	h.mu.Unlock()
	if lost > 0 {
		h.o.Log.Warn("more came than is remembered of who writes", "forgotten", lost)
	}
	keys := slices.SortedFunc(maps.Keys(all), key.compare)
	op := h.o.DB.Slices()
	var err error
	done := 0
	for done < len(keys) && err == nil {
		some := keys[done:min(done+flushRows, len(keys))]
		if err = op.Write(ctx, func(tx *sqldb.Tx) error {
			for _, k := range some {
				addTo(tx, k, all[k])
			}
			return nil
		}); err == nil {
			done += len(some)
		}
	}
	h.mu.Lock()
	h.flushing = false
	h.changed++
	for _, k := range keys[:done] {
		h.noteAdded(k.account)
	}
	for _, k := range keys[done:] { // The next flush has them again.
		h.gathered[k] = h.gathered[k].Plus(all[k])
	}
	var full []mail.AccountID
	for account, n := range h.added {
		if n >= trimEvery(account) {
			full = append(full, account)
			delete(h.added, account)
		}
	}
	h.mu.Unlock()
	for _, account := range full {
		if err == nil {
			err = h.Trim(ctx, account)
		}
	}
	return err
}

// Trim removes what an account remembers beyond its bound.
func (h *History) Trim(ctx context.Context, account mail.AccountID) error {
	return h.o.DB.LongSlices().Write(ctx, func(tx *sqldb.Tx) error {
		removed, err := trim(tx, account)
		if removed > 0 {
			h.forgetOnCommit(tx, account)
		}
		return err
	})
}

// Drop removes all that is remembered for an account, in the transaction that removes
// the account.
func (h *History) Drop(tx *sqldb.Tx, account mail.AccountID) {
	tx.Do(`DELETE FROM history WHERE account = $1`, int64(account))
	h.forgetOnCommit(tx, account)
	tx.OnCommit(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		maps.DeleteFunc(h.gathered, func(k key, _ Record) bool { return k.account == account })
	})
}

func (h *History) forgetOnCommit(tx *sqldb.Tx, account mail.AccountID) {
	tx.OnCommit(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changed++
		h.kept.drop(account)
	})
}

// Accounts lists accounts that rows are of, after one, by their numbers.
func (h *History) Accounts(ctx context.Context, after mail.AccountID, limit int) (list []mail.AccountID, err error) {
	err = h.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		for list = nil; len(list) < limit; {
			next := after
			if len(list) > 0 {
				next = list[len(list)-1]
			}
			err := tx.QueryRow(`SELECT account FROM history WHERE account > $1 ORDER BY account LIMIT 1`, int64(next)).Scan(&next)
			if err == sqldb.ErrNoRows {
				return nil
			}
			if err != nil {
				return err
			}
			list = append(list, next)
		}
		return nil
	})
	return list, err
}

// Run flushes until ctx ends, and once more then.
func (h *History) Run(ctx context.Context) {
	tick := time.NewTicker(FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := h.Flush(context.WithoutCancel(ctx)); err != nil {
				h.o.Log.Warn("who wrote in the last seconds is forgotten", obs.Err(err))
			}
			return
		case <-tick.C:
		}
		if err := h.Flush(ctx); err != nil && ctx.Err() == nil {
			h.o.Log.Warn("who wrote is not remembered yet", obs.Err(err))
		}
	}
}
