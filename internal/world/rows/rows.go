// Package rows writes the tables of a database as octets that are the same from
// every database that holds the same, and fills tables from such octets. It is what
// a backup and a move are made of: neither knows what the tables mean.
//
// # A row
//
// is its columns in the order of the table, one after the other: an octet that says
// the kind, then the value. NULL has none, an int is a signed varint (zigzag, as short
// as it can be), text and blob are a varint of their length and their octets. There is
// one way to write a row and Parse takes no other, so equal rows have equal octets.
//
// # A piece
//
// is neighbouring rows in the order of the primary key (numbers by value, text and
// blobs by their octets), about TargetPiece octets. Which row ends a piece follows from
// the row alone: a hash of its key, the more likely the larger it is. So a row that
// comes, changes or goes makes one piece another, or two, and not those behind it.
//
// # What a database may hold that cannot be written
//
// SQLite keeps a value of any kind in any column. A row with one that its column cannot
// have is left out and told (Scan's fault).
package rows

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"strings"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	TargetPiece = 128 << 10 // octets of a piece, about
	MinPiece    = 16 << 10  // no piece but a table's last ends before
	MaxPiece    = 512 << 10 // a piece ends at the row that reaches it
	MaxRow      = 3 << 20   // octets of one row
	page        = 512       // rows that one statement reads
)

// KeyTable is a table that has the key of t for its columns, to Parse keys with.
func KeyTable(t sqldb.Table) sqldb.Table {
	k := sqldb.Table{Name: t.Name}
	for i, c := range t.Key {
		k.Columns = append(k.Columns, t.Columns[c])
		k.Key = append(k.Key, i)
	}
	return k
}

// Row is the values of one row.
type Row = []sqldb.Value

// Append appends a row.
func Append(dst []byte, row Row) []byte {
	for _, v := range row {
		dst = append(dst, byte(v.Kind))
		switch v.Kind {
		case sqldb.Int:
			dst = binary.AppendVarint(dst, v.Int)
		case sqldb.Text, sqldb.Octets:
			dst = binary.AppendUvarint(dst, uint64(len(v.Octets)))
			dst = append(dst, v.Octets...)
		}
	}
	return dst
}

// Parse reads the first row of octets into row, which has a value for each column of
// t. The values stand in octets. The error says why it is no row of t.
func Parse(t sqldb.Table, octets []byte, row Row) (rest []byte, err error) {
	for i, c := range t.Columns {
		if len(octets) == 0 {
			return nil, fmt.Errorf("a row of table %s is cut short", t.Name)
		}
		v := sqldb.Value{Kind: sqldb.Kind(octets[0])}
		octets = octets[1:]
		ok := v.Kind == c.Kind || v.Kind == sqldb.Null && c.Optional
		switch {
		case !ok:
		case v.Kind == sqldb.Int:
			n := 0
			v.Int, n = binary.Varint(octets)
			ok = n > 0 && n == varintLen(v.Int)
			octets = octets[max(n, 0):]
		case v.Kind != sqldb.Null:
			length, n := binary.Uvarint(octets)
			ok = n > 0 && n == uvarintLen(length) && length <= uint64(len(octets)-n)
			if ok {
				v.Octets = octets[n : n+int(length) : n+int(length)]
				octets = octets[n+int(length):]
			}
		}
		if ok && v.Kind == sqldb.Text {
			ok = plain(v.Octets)
		}
		if !ok {
			return nil, fmt.Errorf("a row of table %s has a value that column %s cannot have", t.Name, c.Name)
		}
		row[i] = v
	}
	return octets, nil
}

// plain reports whether every database takes octets as text.
func plain(octets []byte) bool { return utf8.Valid(octets) && bytes.IndexByte(octets, 0) < 0 }

func uvarintLen(n uint64) int { return max(1, (bits.Len64(n)+6)/7) }

func varintLen(n int64) int { return uvarintLen(uint64(n<<1) ^ uint64(n>>63)) }

// key are the values of the primary key, with octets of their own.
func key(t sqldb.Table, row Row) Row {
	k := make(Row, 0, len(t.Key))
	for _, i := range t.Key {
		v := row[i]
		v.Octets = bytes.Clone(v.Octets)
		k = append(k, v)
	}
	return k
}

// Compare compares two keys as the database does.
func Compare(a, b Row) int {
	for i := range a {
		n := cmp.Or(cmp.Compare(a[i].Kind, b[i].Kind), cmp.Compare(a[i].Int, b[i].Int), bytes.Compare(a[i].Octets, b[i].Octets))
		if n != 0 {
			return n
		}
	}
	return 0
}

// Range is the rows whose keys are above After and not above Upto; nil is no bound.
type Range struct{ After, Upto Row }

// Scan reads the rows of a range in order. fault hears of a row that cannot be
// carried, which is left out. The row is gone when fn returns.
func Scan(tx *sqldb.Tx, t sqldb.Table, r Range, fault func(string), fn func(Row) error) error {
	row := make(Row, len(t.Columns))
	dest := make([]any, len(row))
	for i := range row {
		dest[i] = &row[i]
	}
	after := r.After
	for {
		if err := tx.Lasts(); err != nil {
			return err
		}
		query, args := selecting(t, Range{after, r.Upto})
		list, err := tx.Query(query, args...)
		if err != nil {
			return err
		}
		n := 0
		for ; list.Next(); n++ {
			if err = list.Scan(dest...); err != nil {
				break
			}
			if n == page-1 {
				after = key(t, row)
			}
			if why := wrong(t, row); why != "" {
				fault(why)
			} else if err = fn(row); err != nil {
				break
			}
		}
		if err == nil {
			err = list.Err()
		}
		list.Close()
		if err != nil || n < page {
			return err
		}
	}
}

// selecting is the statement that reads the first rows of a range.
func selecting(t sqldb.Table, r Range) (query string, args []any) {
	var names []string
	for _, c := range t.Columns {
		names = append(names, sqldb.Quoted(c.Name))
	}
	where, args := within(t, r)
	return fmt.Sprintf(`SELECT %s FROM %s%s ORDER BY %s LIMIT %d`, strings.Join(names, ", "), sqldb.Quoted(t.Name), where, keyNames(t), page), args
}

// within is the condition that a row is in a range.
func within(t sqldb.Table, r Range) (where string, args []any) {
	var all []string
	bound := func(op string, k Row) {
		if k == nil {
			return
		}
		var places []string
		for _, v := range k {
			args = append(args, v.Arg())
			places = append(places, fmt.Sprintf("$%d", len(args)))
		}
		all = append(all, fmt.Sprintf("(%s) %s (%s)", keyNames(t), op, strings.Join(places, ", ")))
	}
	bound(">", r.After)
	bound("<=", r.Upto)
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

func keyNames(t sqldb.Table) string {
	var names []string
	for _, i := range t.Key {
		names = append(names, sqldb.Quoted(t.Columns[i].Name))
	}
	return strings.Join(names, ", ")
}

// wrong says why a row as the database has it cannot be carried; "" if it can.
func wrong(t sqldb.Table, row Row) string {
	size := 0
	for i, c := range t.Columns {
		v := row[i]
		size += len(v.Octets) + binary.MaxVarintLen64 + 1
		what := ""
		switch {
		case v.Kind == sqldb.Null && !c.Optional, v.Kind != c.Kind && v.Kind != sqldb.Null:
			what = "is " + v.Kind.String() + ", not " + c.Kind.String()
		case v.Kind == sqldb.Text && !plain(v.Octets):
			what = "is no text that every database takes"
		}
		if what != "" {
			return fmt.Sprintf("the row %s of table %s was left out: its %s %s", show(t, row), t.Name, c.Name, what)
		}
	}
	if size > MaxRow {
		return fmt.Sprintf("the row %s of table %s was left out: it has over %d octets", show(t, row), t.Name, MaxRow)
	}
	return ""
}

// show is the key of a row, for people.
func show(t sqldb.Table, row Row) string {
	var all []string
	for _, i := range t.Key {
		switch v := row[i]; v.Kind {
		case sqldb.Int:
			all = append(all, fmt.Sprint(v.Int))
		default:
			all = append(all, fmt.Sprintf("%.100q", v.Octets))
		}
	}
	return strings.Join(all, "/")
}

// Piece is neighbouring rows of a table.
type Piece struct {
	Octets []byte // gone when the function that is given the piece returns
	Rows   int
	Range  Range // of the keys: after the last one of the piece before, up to its own last
}

// Pieces reads the rows of a table above a key in pieces, in order; nil is all rows. The
// last piece has no upper bound; no rows are no piece.
func Pieces(tx *sqldb.Tx, t sqldb.Table, after Row, fault func(string), fn func(Piece) error) error {
	p := Piece{Range: Range{After: after}}
	err := Scan(tx, t, p.Range, fault, func(row Row) error {
		if p.Rows > 0 && p.Range.Upto != nil { // The row before was an end.
			if err := fn(p); err != nil {
				return err
			}
			p = Piece{Octets: p.Octets[:0], Range: Range{After: p.Range.Upto}}
		}
		begin := len(p.Octets)
		p.Octets = Append(p.Octets, row)
		p.Rows++
		if ends(t, row, len(p.Octets)-begin, len(p.Octets)) {
			p.Range.Upto = key(t, row)
		}
		return nil
	})
	if err != nil || p.Rows == 0 {
		return err
	}
	p.Range.Upto = nil
	return fn(p)
}

// ends reports whether a piece of size octets ends with a row of so many of them.
func ends(t sqldb.Table, row Row, octets, size int) bool {
	if size < MinPiece || size >= MaxPiece {
		return size >= MaxPiece
	}
	h := fnv.New64a()
	for _, i := range t.Key {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(row[i].Int))
		h.Write(n[:])
		h.Write(row[i].Octets)
	}
	// FNV's high bits hardly move with the last octets: stir them once.
	sum := h.Sum64()
	sum = (sum ^ sum>>33) * 0xff51afd7ed558ccd
	sum = (sum ^ sum>>33) * 0xc4ceb9fe1a85ec53
	return (sum^sum>>33)%TargetPiece < uint64(octets)
}

// Each calls fn for each row of a piece; keys must ascend from after, which becomes
// the last one. The error is of kind Conflict if it is no piece of t.
func Each(t sqldb.Table, octets []byte, after *Row, fn func(Row) error) (n int, err error) {
	row := make(Row, len(t.Columns))
	for ; len(octets) > 0; n++ {
		if octets, err = Parse(t, octets, row); err != nil {
			return n, mail.Errorf(mail.Conflict, "%w", err)
		}
		at := key(t, row)
		if *after != nil && Compare(*after, at) >= 0 {
			return n, mail.Errorf(mail.Conflict, "the rows of table %s are not in the order of their keys", t.Name)
		}
		*after = at
		if err := fn(row); err != nil {
			return n, err
		}
	}
	return n, nil
}
