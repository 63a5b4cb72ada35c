package store

import (
	"maps"
	"slices"

	"yubin/internal/world/sqldb"
)

// refsWindow are blobs whose references are counted together, in slices that each
// have a snapshot of their own. What seems wrong may only have changed meanwhile: it
// is counted once more, and what seems wrong then, on one snapshot.
type refsWindow struct {
	*checker
	first    int64
	counts   []uint32
	suspects map[int64]uint32 // counted again, by blob; nil at first: all are
}

// check counts until nothing is suspect.
func (w *refsWindow) check() error {
	var wrong []int64
	for round := 0; round == 0 || round == 1 && len(wrong) > 0; round++ {
		if round > 0 {
			w.suspect(wrong)
		}
		for _, h := range w.holders() {
			for after, more := int64(0), true; more; {
				err := w.read(func(tx *sqldb.Tx) (err error) {
					after, more, err = h(tx, after, w.count)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
		wrong = nil
		for after, more := w.first-1, true; more; {
			err := w.read(func(tx *sqldb.Tx) (err error) {
				after, more, err = w.compare(tx, after, func(blob int64) { wrong = append(wrong, blob) })
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	w.suspect(wrong)
	return w.read(w.judge)
}

// read is a slice of the work.
func (w *refsWindow) read(fn func(*sqldb.Tx) error) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.s.db.Read(w.ctx, fn)
}

// holders are all who hold references.
func (w *refsWindow) holders() []Holder {
	emails := HeldBy(`SELECT id, blob FROM email WHERE id > $1 ORDER BY id`)
	return append([]Holder{emails}, w.s.opt.Holders...)
}

// suspect makes the window count these only, from the beginning.
func (w *refsWindow) suspect(blobs []int64) {
	w.suspects = make(map[int64]uint32, len(blobs))
	for _, b := range blobs {
		w.suspects[b] = 0
	}
}

func (w *refsWindow) count(ref BlobRef) {
	blob := int64(ref)
	if w.suspects == nil {
		if i := blob - w.first; i >= 0 && i < int64(len(w.counts)) {
			w.counts[i]++
		}
	} else if n, is := w.suspects[blob]; is {
		w.suspects[blob] = n + 1
	}
}

// compare calls wrong with the next blobs, behind one, whose row says something else
// than was counted.
func (w *refsWindow) compare(tx *sqldb.Tx, after int64, wrong func(blob int64)) (last int64, more bool, err error) {
	last = after
	rows, err := tx.Query(`SELECT id, refs FROM blob WHERE id > $1 AND id < $2 ORDER BY id`, after, w.first+int64(len(w.counts)))
	if err != nil {
		return last, false, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && n%rowSlice == 0 && tx.Enough() {
			return last, true, nil
		}
		var says int64
		if err := rows.Scan(&last, &says); err != nil {
			return last, false, err
		}
		counted, is := w.suspects[last]
		if w.suspects == nil {
			counted, is = w.counts[last-w.first], true
		}
		if is && int64(counted) != says {
			wrong(last)
		}
	}
	return last, false, rows.Err()
}

// judge counts the suspects on one snapshot.
func (w *refsWindow) judge(tx *sqldb.Tx) error {
	for _, h := range w.holders() {
		for after, more := int64(0), true; more; {
			var err error
			if after, more, err = h(tx, after, w.count); err != nil {
				return err
			}
		}
	}
	for _, blob := range slices.Sorted(maps.Keys(w.suspects)) {
		var says int64
		err := tx.QueryRow(`SELECT refs FROM blob WHERE id = $1`, blob).Scan(&says)
		if err == sqldb.ErrNoRows {
			continue // It was purged meanwhile.
		}
		if err != nil {
			return err
		}
		if n := int64(w.suspects[blob]); n != says {
			w.problem("references are miscounted: blob %d has %d, its row says %d", blob, n, says)
		}
	}
	return nil
}
