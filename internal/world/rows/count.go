package rows

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"yubin/internal/world/sqldb"
)

// Count is what a table holds, however it was cut: equal tables have equal Counts,
// in every database.
type Count struct {
	Rows   int64
	Octets int64             // of the rows as Append writes them
	Sum    [sha256.Size]byte // of what the table is called, of its columns and all rows in order
}

// Counter counts a table as its pieces come.
type Counter struct {
	count Count
	hash  hash.Hash
}

// NewCounter begins with no rows.
func NewCounter(t sqldb.Table) *Counter {
	c := &Counter{hash: sha256.New()}
	fmt.Fprintf(c.hash, "%q", t.Name)
	for _, col := range t.Columns {
		fmt.Fprintf(c.hash, " %q %s %v", col.Name, col.Kind, col.Optional)
	}
	fmt.Fprintf(c.hash, " %v\n", t.Key)
	return c
}

// Add counts the next rows.
func (c *Counter) Add(octets []byte, rows int) {
	c.count.Rows += int64(rows)
	c.count.Octets += int64(len(octets))
	c.hash.Write(octets)
}

// Count returns what was added so far.
func (c *Counter) Count() Count {
	c.hash.Sum(c.count.Sum[:0])
	return c.count
}

// CountTable reads a whole table.
func CountTable(tx *sqldb.Tx, t sqldb.Table, fault func(string)) (Count, error) {
	c := NewCounter(t)
	err := Pieces(tx, t, nil, fault, func(p Piece) error {
		c.Add(p.Octets, p.Rows)
		return nil
	})
	return c.Count(), err
}

// Delete removes the rows of a range.
func Delete(tx *sqldb.Tx, t sqldb.Table, r Range) error {
	where, args := within(t, r)
	_, err := tx.Exec(`DELETE FROM `+sqldb.Quoted(t.Name)+where, args...)
	return err
}

// Find returns the table of a name; false if there is none.
func Find(list []sqldb.Table, name string) (sqldb.Table, bool) {
	for _, t := range list {
		if t.Name == name {
			return t, true
		}
	}
	return sqldb.Table{}, false
}
