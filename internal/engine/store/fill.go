package store

import (
	"yubin/internal/world/sqldb"
)

// filler says how what a need asks for is read from a table beside membership.
type filler struct {
	need    Need // any of it is answered here
	from    string
	id      string // the column that is the key
	key     func(*Row, *blobPart) int64
	weight  func(*Row, *blobPart) int64 // octets of memory
	columns []column
}

// column is what one need takes from a row.
type column struct {
	need    Need
	names   string
	targets func([]any, *Row, *blobPart) []any
}

func fillers() [2]filler {
	return [...]filler{{
		need: NeedForm | NeedPreview | NeedContent,
		from: "blob b LEFT JOIN content c ON c.blob = b.id", id: "b.id",
		key: func(_ *Row, b *blobPart) int64 { return b.id },
		weight: func(r *Row, b *blobPart) int64 {
			n := int64(len(b.form) + len(r.Preview) + len(b.octets))
			if b.file != "" {
				n += InlineMax // Open files are bounded too.
			}
			return n
		},
		columns: []column{
			{NeedForm, "b.form, b.size", func(t []any, _ *Row, b *blobPart) []any { return append(t, &b.read, &b.size) }},
			{NeedPreview, "b.preview", func(t []any, r *Row, _ *blobPart) []any { return append(t, &r.Preview) }},
			{NeedContent, "b.size, b.crc32c, b.file, b.sums, c.octets",
				func(t []any, _ *Row, b *blobPart) []any {
					return append(t, &b.size, &b.crc, &b.file, &b.sums, &b.octets)
				}},
		},
	}, {
		need: NeedThread | NeedContent,
		from: "email e", id: "e.id",
		key:    func(r *Row, _ *blobPart) int64 { return int64(r.Email) },
		weight: func(_ *Row, b *blobPart) int64 { return int64(len(b.prefix)) },
		columns: []column{
			{NeedThread, "CASE e.thread WHEN 0 THEN e.id ELSE e.thread END", func(t []any, r *Row, _ *blobPart) []any { return append(t, &r.Thread) }},
			{NeedContent, "e.prefix", func(t []any, _ *Row, b *blobPart) []any { return append(t, &b.prefix) }},
		},
	}}
}

// query is for rows that are neighbours by the key.
func (f *filler) query(need Need) string {
	q := "SELECT " + f.id
	for _, c := range f.columns {
		if need&c.need != 0 {
			q += ", " + c.names
		}
	}
	return q + " FROM " + f.from + " WHERE " + f.id + " BETWEEN $1 AND $2 ORDER BY " + f.id
}

// fill reads what f has for the rows, those by one query whose keys are
// neighbours: messages that came one after another. Rows are cut off when they
// take as many octets as they may.
func (r *reader) fill(tx *sqldb.Tx, f *filler, query string) error {
	r.octets = 0
	for i := 0; i < len(r.rows); {
		n := 1
		for i+n < len(r.rows) && r.key(f, i+n) == r.key(f, i)+int64(n) {
			n++
		}
		if err := r.fillRun(tx, f, query, i, i+n); err != nil {
			return err
		}
		i += n
	}
	return nil
}

func (r *reader) key(f *filler, i int) int64 { return f.key(&r.rows[i], &r.blobs[i]) }

// fillRun is fill for the rows from i up to end, which are neighbours by the key.
func (r *reader) fillRun(tx *sqldb.Tx, f *filler, query string, i, end int) error {
	first := r.key(f, i)
	rows, err := tx.Query(query, first, first+int64(end-i)-1)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	targets := make([]any, 0, 16)
	for i < end && rows.Next() {
		targets = r.targets(append(targets[:0], &id), f, i)
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if k := i + int(id-r.key(f, i)); k > i {
			r.miss(i, k)
			if err := rows.Scan(r.targets(append(targets[:0], &id), f, k)...); err != nil {
				return err
			}
			i = k
		}
		r.keepForm(&r.blobs[i])
		r.octets += f.weight(&r.rows[i], &r.blobs[i])
		i++
		if r.octets >= r.most {
			r.rows, r.blobs = r.rows[:i], r.blobs[:i]
			return nil
		}
	}
	r.miss(i, end)
	return rows.Err()
}

func (r *reader) targets(t []any, f *filler, i int) []any {
	for _, c := range f.columns {
		if r.need&c.need != 0 {
			t = c.targets(t, &r.rows[i], &r.blobs[i])
		}
	}
	return t
}

// formsAtOnce is for how many octets of forms memory is taken at a time.
const formsAtOnce = 16 << 10

// keepForm copies the form, if one was just read.
func (r *reader) keepForm(b *blobPart) {
	if b.read == nil {
		return
	}
	if n := len(b.read); n > cap(r.forms)-len(r.forms) {
		r.forms = make([]byte, 0, max(n, formsAtOnce))
	}
	start := len(r.forms)
	r.forms = append(r.forms, b.read...)
	b.form, b.read = r.forms[start:len(r.forms):len(r.forms)], nil
}

// miss notes that there is nothing for the rows from i up to end.
func (r *reader) miss(i, end int) {
	for ; i < end; i++ {
		r.blobs[i].missing = true
	}
}
