package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// An index of an account's emails is a set of points in order. Neighbours stand
// together in a row of email_index, packed: a change of many emails writes few rows.
// A row's key is no higher than its points, and higher than those of the row before.
//
// Octets of a row: of each point its numbers, each less that of the point before;
// of the first, less 0. They are varints.
type index struct {
	tx      *sqldb.Tx
	account mail.AccountID
	kind    indexKind
}

// indexKind says what the points of an index are.
type indexKind int64

const (
	byArrival indexKind = 1 // INTERNALDATE in seconds, email: those in a mailbox; see arrival.go
	byEmail   indexKind = 2 // email, mailbox, UID: of those that were ever copied or moved; see place.go
)

// width is how many numbers a point has.
func (k indexKind) width() int {
	if k == byArrival {
		return 2
	}
	return 3
}

// point is a member of an index; of less than three numbers the others are 0.
type point [3]int64

func comparePoints(a, b point) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]), cmp.Compare(a[2], b[2]))
}

// indexOp puts a point into an index or takes it out.
type indexOp struct {
	point
	out bool
}

// indexOctets is how many octets a row of an index has at most, about.
const indexOctets = 1024

// indexRows is how many rows are read at once by who looks for points here and there.
const indexRows = 8

// indexRow is a row of email_index.
type indexRow struct {
	key    point
	points []point
}

const indexRowColumns = `SELECT first, second, third, entries FROM email_index WHERE account = $1 AND kind = $2`

// scan reads a row.
func (x index) scan(rows interface{ Scan(...any) error }) (r indexRow, err error) {
	var octets []byte
	if err := rows.Scan(&r.key[0], &r.key[1], &r.key[2], &octets); err != nil {
		return r, err
	}
	m, width := memberReader{octets: octets}, x.kind.width()
	numbers := 0
	for _, b := range octets {
		if b < 0x80 { // Each varint ends with such a one.
			numbers++
		}
	}
	r.points = make([]point, 0, numbers/width)
	var last point
	for m.more() {
		for i := range width {
			last[i] += m.varint()
		}
		r.points = append(r.points, last)
	}
	if m.failed {
		text := fmt.Sprintf("account %d: an index of its emails is damaged", x.account)
		return r, &mail.Error{Kind: mail.Internal, Text: text, Err: &sqldb.Unreadable{Row: text, Err: errors.New(text)}}
	}
	return r, nil
}

// before returns the row that a point is in, or would be; the first row of all if it
// is before that.
func (x index) before(p point) (r indexRow, there bool, err error) {
	r, err = x.scan(x.tx.QueryRow(indexRowColumns+` AND (first, second, third) <= ($3, $4, $5)
		ORDER BY first DESC, second DESC, third DESC LIMIT 1`, int64(x.account), int64(x.kind), p[0], p[1], p[2]))
	if err == sqldb.ErrNoRows {
		r, err = x.scan(x.tx.QueryRow(indexRowColumns+` ORDER BY first, second, third LIMIT 1`, int64(x.account), int64(x.kind)))
	}
	if err == sqldb.ErrNoRows {
		return r, false, nil
	}
	return r, err == nil, err
}

// after returns the rows behind a key, a few of them.
func (x index) after(p point, limit int) (list []indexRow, err error) {
	rows, err := x.tx.Query(indexRowColumns+` AND (first, second, third) > ($3, $4, $5) ORDER BY first, second, third LIMIT $6`,
		int64(x.account), int64(x.kind), p[0], p[1], p[2], limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := x.scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// find returns the points whose first number is one of a list, which ascends.
func (x index) find(firsts []int64) (found []point, err error) {
	var ahead []indexRow // read already
	for len(firsts) > 0 {
		row, there, err := x.before(point{firsts[0]})
		if err != nil || !there {
			return found, err
		}
		for ahead = ahead[:0]; ; row, ahead = ahead[0], ahead[1:] {
			for _, p := range row.points {
				for len(firsts) > 0 && firsts[0] < p[0] {
					firsts = firsts[1:]
				}
				if len(firsts) > 0 && firsts[0] == p[0] {
					found = append(found, p)
				}
			}
			if len(ahead) == 0 {
				if ahead, err = x.after(row.key, indexRows); err != nil || len(ahead) == 0 {
					return found, err
				}
			}
			for len(firsts) > 0 && firsts[0] < ahead[0].key[0] {
				firsts = firsts[1:]
			}
			if len(firsts) == 0 || firsts[0] > ahead[len(ahead)-1].key[0] {
				break // What is wanted next is none of the next rows, but for the last.
			}
		}
	}
	return found, nil
}

// lacks returns the points of a list that the index does not have. It sorts the list.
func (x index) lacks(list []point) (missing []point, err error) {
	slices.SortFunc(list, comparePoints)
	for len(list) > 0 {
		row, there, err := x.before(list[0])
		if err != nil {
			return nil, err
		}
		n := len(list)
		if there {
			next, err := x.after(row.key, 1)
			if err != nil {
				return nil, err
			}
			if len(next) > 0 {
				n, _ = slices.BinarySearchFunc(list, next[0].key, comparePoints)
			}
		}
		for _, p := range list[:n] {
			if _, has := slices.BinarySearchFunc(row.points, p, comparePoints); !has {
				missing = append(missing, p)
			}
		}
		list = list[n:]
	}
	return missing, nil
}

// change makes changes of an index. Of several of one point the last counts. It
// sorts the list.
func (x index) change(ops []indexOp) error {
	byPoint := func(a, b indexOp) int { return comparePoints(a.point, b.point) }
	if !slices.IsSortedFunc(ops, byPoint) {
		slices.SortStableFunc(ops, byPoint)
	}
	var ahead []indexRow // read already, behind the row at hand
	for limit := 1; len(ops) > 0; {
		row, there, err := indexRow{}, false, error(nil)
		if n := len(ahead); n > 0 && comparePoints(ahead[n-1].key, ops[0].point) > 0 {
			for comparePoints(ahead[0].key, ops[0].point) <= 0 {
				row, there, ahead = ahead[0], true, ahead[1:]
			}
		} else {
			if row, there, err = x.before(ops[0].point); err != nil {
				return err
			}
			if limit = 1; n > 0 && row.key == ahead[n-1].key { // It goes on from row to row.
				limit = indexRows
			}
			ahead = nil
			if there {
				if ahead, err = x.after(row.key, limit); err != nil {
					return err
				}
			}
		}
		n, last := len(ops), len(ahead) == 0
		if !last {
			n, _ = slices.BinarySearchFunc(ops, ahead[0].key, func(o indexOp, p point) int { return comparePoints(o.point, p) })
		}
		x.rewrite(row, there, apply(row.points, ops[:n]), last)
		ops = ops[n:]
	}
	return nil
}

// apply makes changes of points. Both ascend.
func apply(points []point, ops []indexOp) []point {
	merged := make([]point, 0, len(points)+len(ops))
	for i, op := range ops {
		if i+1 < len(ops) && ops[i+1].point == op.point {
			continue
		}
		n, has := slices.BinarySearchFunc(points, op.point, comparePoints)
		merged = append(merged, points[:n]...)
		if points = points[n:]; has {
			points = points[1:]
		}
		if !op.out {
			merged = append(merged, op.point)
		}
	}
	return append(merged, points...)
}

// rewrite replaces a row by what its points are now: as many rows as they need. Behind
// all others they are filled, elsewhere they are left with room.
func (x index) rewrite(row indexRow, there bool, points []point, last bool) {
	each := indexOctets
	if !last {
		if octets, _ := x.pack(points, math.MaxInt); len(octets) > each {
			each = len(octets)/(len(octets)/each+1) + 1
		}
	}
	if there && (len(points) == 0 || comparePoints(row.key, points[0]) > 0) {
		x.do(`DELETE FROM email_index`, row.key)
		there = false
	}
	for len(points) > 0 {
		octets, n := x.pack(points, each)
		if there {
			x.do(`UPDATE email_index SET entries = $6`, row.key, octets)
			there = false
		} else {
			x.tx.Do(`INSERT INTO email_index (account, kind, first, second, third, entries) VALUES ($1, $2, $3, $4, $5, $6)`,
				int64(x.account), int64(x.kind), points[0][0], points[0][1], points[0][2], octets)
		}
		points = points[n:]
	}
}

// do changes the row of a key.
func (x index) do(what string, key point, args ...any) {
	x.tx.Do(what+` WHERE account = $1 AND kind = $2 AND first = $3 AND second = $4 AND third = $5`,
		append([]any{int64(x.account), int64(x.kind), key[0], key[1], key[2]}, args...)...)
}

// pack packs points until they have so many octets, and says how many it took.
func (x index) pack(points []point, enough int) (octets []byte, n int) {
	octets = make([]byte, 0, min(enough, len(points)*8)+16)
	var last point
	for n < len(points) && len(octets) < enough {
		for i := range x.kind.width() {
			octets = binary.AppendVarint(octets, points[n][i]-last[i])
		}
		last = points[n]
		n++
	}
	return octets, n
}
