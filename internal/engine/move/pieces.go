package move

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"

	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/world/rows"
	"yubin/internal/world/sqldb"
)

// schema is what the target knows until the move is over: which pieces of tables it
// holds.
const schema = `
CREATE TABLE move_piece (
	name {text} NOT NULL, -- of the table
	above {blob} NOT NULL, -- the key that the piece begins after, as rows.Append writes it; empty for none
	upto {blob} NOT NULL, -- its last key; empty for no bound
	sum {blob} NOT NULL, -- SHA-256 of its rows
	octets {int} NOT NULL,
	PRIMARY KEY (name, above, upto)
)`

// engine is the name of schema in the database.
const engine = "move"

// claim makes sure that a database is ours to fill: it is empty, or an earlier move from
// the same folder to the same one began it.
func claim(ctx context.Context, db *sqldb.DB, from, to string) error {
	_, err := schemas.Begin(ctx, db, fmt.Sprintf("a move from %s to %s", from, to))
	if err != nil {
		return err
	}
	return db.Migrate(ctx, engine, []string{schema})
}

// Finish takes away what a move that is over kept in the database.
func Finish(ctx context.Context, db *sqldb.DB) error {
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return tx.Drop(engine, "move_piece") }); err != nil {
		return err
	}
	return schemas.End(ctx, db)
}

// piece is a piece of a table without its rows.
type piece struct {
	rows.Range
	sum    [sha256.Size]byte
	octets int64
}

func newPiece(p rows.Piece) piece {
	return piece{p.Range, sha256.Sum256(p.Octets), int64(len(p.Octets))}
}

// note writes the line of a piece.
func (p piece) note(tx *sqldb.Tx, t sqldb.Table) error {
	_, err := tx.Exec(`INSERT INTO move_piece (name, above, upto, sum, octets) VALUES ($1, $2, $3, $4, $5)`,
		t.Name, rows.Append([]byte{}, p.After), rows.Append([]byte{}, p.Upto), p.sum[:], p.octets)
	return err
}

// inventory is what a target has of a table: pieces that do not overlap, in order. Rows
// that no piece has may be there too.
type inventory struct {
	table sqldb.Table
	list  []piece
}

// inventoryOf reads it.
func inventoryOf(ctx context.Context, db *sqldb.DB, t sqldb.Table) (*inventory, error) {
	h := &inventory{table: t}
	err := db.Read(ctx, func(tx *sqldb.Tx) error {
		h.list = nil
		lines, err := tx.Query(`SELECT above, upto, sum, octets FROM move_piece WHERE name = $1`, t.Name)
		if err != nil {
			return err
		}
		defer lines.Close()
		keys := rows.KeyTable(t)
		for lines.Next() {
			var p piece
			var above, upto, sum []byte
			if err := lines.Scan(&above, &upto, &sum, &p.octets); err != nil {
				return err
			}
			for from, to := range map[*[]byte]*rows.Row{&above: &p.After, &upto: &p.Upto} {
				if len(*from) == 0 {
					continue
				}
				*to = make(rows.Row, len(t.Key))
				if _, err := rows.Parse(keys, *from, *to); err != nil {
					return mail.Errorf(mail.Internal, "what the new database says of table %s cannot be read: %w", t.Name, err)
				}
			}
			if copy(p.sum[:], sum) != len(sum) {
				return mail.Errorf(mail.Internal, "what the new database says of table %s cannot be read", t.Name)
			}
			h.list = append(h.list, p)
		}
		return lines.Err()
	})
	slices.SortFunc(h.list, func(a, b piece) int { return compareFrom(a.After, b.After) })
	return h, err
}

// compareFrom compares the keys that two ranges begin after; nil is before all.
func compareFrom(a, b rows.Row) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return rows.Compare(a, b)
}

// overlap is the pieces, of those that it has, with keys in a range.
func (h *inventory) overlap(r rows.Range) []piece {
	from := sort.Search(len(h.list), func(i int) bool {
		p := h.list[i]
		return p.Upto == nil || r.After == nil || rows.Compare(p.Upto, r.After) > 0
	})
	to := from
	for to < len(h.list) && (r.Upto == nil || h.list[to].After == nil || rows.Compare(h.list[to].After, r.Upto) < 0) {
		to++
	}
	return h.list[from:to]
}

// other are the pieces of a list that it has not just so.
func (h *inventory) other(list []piece) (other []piece) {
	for _, p := range list {
		have := h.overlap(p.Range)
		if len(have) != 1 || have[0].sum != p.sum || compareFrom(have[0].After, p.After) != 0 || !sameEnd(have[0].Upto, p.Upto) {
			other = append(other, p)
		}
	}
	return other
}

func sameEnd(a, b rows.Row) bool {
	return a == nil && b == nil || a != nil && b != nil && rows.Compare(a, b) == 0
}

// empty removes all rows of some ranges, and the lines of the pieces that had them, in
// one transaction.
func (h *inventory) empty(ctx context.Context, db *sqldb.DB, some []piece) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, p := range some {
			if err := rows.Delete(tx, h.table, p.Range); err != nil {
				return err
			}
			for _, gone := range h.overlap(p.Range) {
				_, err := tx.Exec(`DELETE FROM move_piece WHERE name = $1 AND above = $2 AND upto = $3`,
					h.table.Name, rows.Append([]byte{}, gone.After), rows.Append([]byte{}, gone.Upto))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}
