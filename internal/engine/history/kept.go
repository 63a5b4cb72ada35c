package history

import (
	"maps"
	"time"

	"yubin/internal/mail"
)

// kept are records in memory, in two halves: what is used comes into the young one,
// and when that is full it becomes the old one, and what was in that is forgotten. So
// what was used lately stays, at the cost of a map.
type kept struct{ young, old map[key]*keptRecord }

type keptRecord struct {
	Record
	read time.Time // from the database
}

func (k *kept) get(id key, now time.Time) (Record, bool) {
	r := k.young[id]
	if r == nil {
		if r = k.old[id]; r == nil {
			return Record{}, false
		}
		delete(k.old, id)
		k.insert(id, r)
	}
	if age := now.Sub(r.read); age < 0 || age >= FreshFor {
		delete(k.young, id)
		return Record{}, false
	}
	return r.Record, true
}

func (k *kept) put(id key, r Record, now time.Time) { k.insert(id, &keptRecord{r, now}) }

func (k *kept) insert(id key, r *keptRecord) {
	if k.young == nil || len(k.young) >= MaxKept/2 {
		k.young, k.old = make(map[key]*keptRecord), k.young
	}
	k.young[id] = r
	delete(k.old, id)
}

// add changes what is kept of a name.
func (k *kept) add(id key, r Record) {
	for _, half := range []map[key]*keptRecord{k.young, k.old} {
		if had := half[id]; had != nil {
			had.Record = had.Plus(r)
		}
	}
}

// drop forgets an account.
func (k *kept) drop(account mail.AccountID) {
	for _, half := range []map[key]*keptRecord{k.young, k.old} {
		maps.DeleteFunc(half, func(id key, _ *keptRecord) bool { return id.account == account })
	}
}
