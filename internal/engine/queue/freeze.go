package queue

import "yubin/internal/world/sqldb"

// frozen are keys that one change keeps from being carried.
type frozen struct {
	q    *Queue
	keys map[key]bool
}

func (q *Queue) newFrozen() *frozen { return &frozen{q, map[key]bool{}} }

// freeze keeps k from being carried until thaw, and reports whether it is not
// being carried now. It is called within the transaction that changes the rows,
// before they are read: with one writer what was committed before has been announced
// by then, and nothing is carried by what is known of it from before. Otherwise what
// is carried is read first.
//
// Who is not alone has the rows themselves marked as claimed.
func (f *frozen) freeze(k key) bool {
	if !f.q.o.Alone || f.keys[k] {
		return true
	}
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	if e := f.q.board.errands[k]; e != nil && e.busy {
		return false
	} else if e != nil {
		f.q.board.unremember(e)
	}
	f.keys[k] = true
	f.q.frozen[k]++
	return true
}

// freezeAll freezes the keys of deliveries as they stand now, and says which are free.
func (f *frozen) freezeAll(tx *sqldb.Tx, page []Listed) (free []bool, err error) {
	free = make([]bool, len(page))
	sites := make([]*sqldb.Answer, len(page))
	for i, l := range page {
		free[i] = !f.q.o.Alone
		if f.q.o.Alone {
			sites[i] = tx.Ask(`SELECT site FROM queue_delivery WHERE item = $1 AND n = $2`, l.Item, l.N)
		}
	}
	for i, a := range sites {
		if a == nil {
			continue
		}
		var site string
		switch err := a.Scan(&site); {
		case err == nil:
			free[i] = f.freeze(key{page[i].Item, site})
		case err != sqldb.ErrNoRows:
			return nil, err
		}
	}
	return free, nil
}

// thaw ends it.
func (f *frozen) thaw() {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	for k := range f.keys {
		if f.q.frozen[k]--; f.q.frozen[k] == 0 {
			delete(f.q.frozen, k)
		}
	}
}
