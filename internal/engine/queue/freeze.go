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
// before they are read: what was committed before has been announced by then,
// and nothing is carried by what is known of it from before.
//
// Who is not alone has the rows themselves marked as claimed.
func (f *frozen) freeze(k key) bool {
	if !f.q.o.Alone || f.keys[k] {
		return true
	}
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	if e := f.q.board.entries[k]; e != nil && e.busy {
		return false
	} else if e != nil {
		f.q.board.unremember(e)
	}
	f.keys[k] = true
	f.q.frozen[k]++
	return true
}

// freezeOne freezes the key of a delivery as it stands now.
func (f *frozen) freezeOne(tx *sqldb.Tx, id DeliveryID) (free bool, err error) {
	if !f.q.o.Alone {
		return true, nil
	}
	var site string
	err = tx.QueryRow(`SELECT site FROM queue_delivery WHERE item = $1 AND n = $2`, id.Item, id.N).Scan(&site)
	if err == sqldb.ErrNoRows {
		return false, nil
	}
	return err == nil && f.freeze(key{id.Item, site}), err
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
