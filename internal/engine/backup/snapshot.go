package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	format     = 2                  // of Snapshot
	filePiece  = 1 << 20            // octets in one piece of a file
	indexLen   = 4096               // pieces named by one index, at most
	indexEnds  = 256                // of so many pieces one ends an index
	listOctets = 512 << 10          // of one list of files, about
	shelfList  = 16 << 10           // octets at which a list may end early, between two folders
	MaxFile    = 32 << 30           // octets of one file
	MaxFiles   = 1 << 26            // of one snapshot
	MaxTables  = 1000               // of one snapshot
	MaxRows    = 1 << 40            // of one table
	MaxTable   = 1 << 44            // octets of one table
	MaxOctets  = 1 << 50            // of all files
	MaxFaults  = 1000               // named in one snapshot
	maxID      = 1 << 60            // that an {id} may have given
	idTime     = "20060102T150405Z" // of an ID
)

// Snapshot says what one backup consists of.
type Snapshot struct {
	Format  int              `json:"format"`
	ID      string           `json:"id"`
	Time    time.Time        `json:"time"` // the moment that it shows
	Version string           `json:"version"`
	Engines []schemas.Engine `json:"engines"`
	Tables  []Table          `json:"tables"`
	Files   Files            `json:"files"`
	Written int64            `json:"written"` // octets that it added to the depot
	Took    time.Duration    `json:"took"`
	Faults  []string         `json:"faults,omitempty"` // what the store lacked already
}

// Brief is a Snapshot for who made it or lists it: without what only a restore needs.
type Brief struct {
	ID      string        `json:"id"`
	Time    time.Time     `json:"time"`
	Version string        `json:"version"`
	Octets  int64         `json:"octets"`
	Written int64         `json:"written"` // octets that it added
	Files   int           `json:"files"`   // the database, as one, included
	Took    time.Duration `json:"took"`    // nanoseconds
	Faults  []string      `json:"faults,omitempty"`
}

// Brief is s in short.
func (s Snapshot) Brief() Brief {
	return Brief{ID: s.ID, Time: s.Time, Version: s.Version, Octets: s.Octets(), Written: s.Written, Files: s.Files.Count + 1, Took: s.Took, Faults: s.Faults}
}

// Octets returns how large what it shows is.
func (s Snapshot) Octets() int64 { return s.rows() + s.Files.Octets }

// rows is the octets of all tables.
func (s Snapshot) rows() (n int64) {
	for _, t := range s.Tables {
		n += t.Octets
	}
	return n
}

// has reports whether an engine has tables in it.
func (s Snapshot) has(engine string) bool {
	return slices.ContainsFunc(s.Engines, func(e schemas.Engine) bool { return e.Name == engine })
}

// Table is all rows of a table, in pieces (package rows).
type Table struct {
	Name    string       `json:"name"`
	Columns []string     `json:"columns"` // name and kind of each
	Rows    int64        `json:"rows"`
	Octets  int64        `json:"octets"`
	Sum     depot.Hash   `json:"sum"`              // rows.Count
	LastID  int64        `json:"lastID,omitempty"` // the highest number that was given
	Indexes []depot.Hash `json:"indexes"`
}

// columnsOf is Table.Columns of a table.
func columnsOf(t sqldb.Table) (list []string) {
	for _, c := range t.Columns {
		list = append(list, c.Name+" "+c.Kind.String())
	}
	return list
}

// Files are files, in the order of their paths for each of two parts: large
// messages, then the rest.
type Files struct {
	Count  int          `json:"count"`
	Octets int64        `json:"octets"`
	Lists  []depot.Hash `json:"lists"`
}

// entry is one file in a list.
type entry struct {
	Path   depot.Name   `json:"path"` // in the data folder
	Size   int64        `json:"size"`
	Pieces []depot.Hash `json:"pieces"`
}

// Snapshots lists the snapshots, oldest first. damaged are the names of those
// that cannot be read, with the reason.
func Snapshots(d *depot.Depot) (list []Snapshot, damaged []string, err error) {
	names, err := d.Records()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		s, err := load(d, name)
		if bad := (*depot.Damaged)(nil); errors.As(err, &bad) {
			damaged = append(damaged, fmt.Sprintf("snapshot %s: %s", name, bad.Why))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, s)
	}
	return list, damaged, nil
}

func load(d *depot.Depot, name string) (s Snapshot, err error) {
	text, err := d.Load(name)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, &depot.Damaged{Pack: "snapshot " + name, Why: "it cannot be read: " + err.Error()}
	}
	if s.Format > format {
		return s, mail.Errorf(mail.Conflict, "snapshot %s was made by a newer yubin (%s, format %d); use that version", name, s.Version, s.Format)
	}
	if why := s.wrong(name); why != "" {
		return s, &depot.Damaged{Pack: "snapshot " + name, Why: why}
	}
	return s, nil
}

// wrong says why s cannot be a snapshot that Make recorded as name; "" if it
// can. What it claims to hold fits what it names.
func (s Snapshot) wrong(name string) string {
	switch {
	case s.Format != format:
		return fmt.Sprintf("it has format %d", s.Format)
	case s.ID != name:
		return fmt.Sprintf("it calls itself %q", s.ID)
	case s.Files.Count < 0 || s.Files.Count > MaxFiles || s.Files.Octets < 0 || s.Files.Octets > MaxOctets || len(s.Files.Lists) > s.Files.Count:
		return fmt.Sprintf("it cannot have %d files of %d octets in %d lists", s.Files.Count, s.Files.Octets, len(s.Files.Lists))
	case len(s.Tables) > MaxTables || len(s.Engines) > MaxTables:
		return fmt.Sprintf("it cannot have %d tables of %d engines", len(s.Tables), len(s.Engines))
	}
	names, indexes := map[string]bool{}, map[depot.Hash]bool{}
	for _, t := range s.Tables {
		if names[t.Name] {
			return fmt.Sprintf("it has table %.100q twice", t.Name)
		}
		names[t.Name] = true
		if t.Rows < 0 || t.Rows > MaxRows || t.Octets < 0 || t.Octets > MaxTable || t.LastID < 0 || t.LastID > maxID || int64(len(t.Indexes)) > t.Rows {
			return fmt.Sprintf("its table %.100q cannot have %d rows of %d octets under %d indexes, numbered to %d", t.Name, t.Rows, t.Octets, len(t.Indexes), t.LastID)
		}
		for _, h := range t.Indexes { // Each has rows of its own, so that no index can stand for many.
			if indexes[h] {
				return fmt.Sprintf("its table %.100q has an index twice", t.Name)
			}
			indexes[h] = true
		}
	}
	for _, e := range s.Engines {
		if names := names["engine "+e.Name]; names || e.Version < 0 {
			return fmt.Sprintf("it cannot have the engine %.100q in version %d", e.Name, e.Version)
		}
		names["engine "+e.Name] = true
	}
	return ""
}

// taken reports whether a name in the data folder is the database's, with the
// files beside it, the folder of large messages', or the folder's own.
func taken(name depot.Name) bool {
	return datadir.IsDatabase(name.String()) || name.String() == datadir.Blobs || slices.Contains(datadir.Own(), name.String())
}

// parts is how many parts of at most each make up n.
func parts(n, each int64) int64 { return (n + each - 1) / each }

// wrong says why e cannot be a file of s; "" if it can.
func (e entry) wrong() string {
	if e.Path.IsZero() || e.Size < 0 || e.Size > MaxFile || int64(len(e.Pieces)) != parts(e.Size, filePiece) {
		return fmt.Sprintf("a file %q cannot have %d octets in %d pieces", e.Path, e.Size, len(e.Pieces))
	}
	return ""
}

// Find returns the snapshot whose ID is or begins with id, or the newest if id
// is "". NotFound, or Invalid if several begin so.
func Find(d *depot.Depot, id string) (Snapshot, error) {
	names, err := d.Records()
	if err != nil {
		return Snapshot{}, err
	}
	if id == "" && len(names) > 0 {
		return load(d, names[len(names)-1])
	}
	if slices.Contains(names, id) {
		return load(d, id)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, id) })
	switch {
	case id == "":
		return Snapshot{}, mail.Errorf(mail.NotFound, "%s has no snapshot", d.Path())
	case len(names) == 0:
		return Snapshot{}, mail.Errorf(mail.NotFound, "%s has no snapshot %s", d.Path(), id)
	case len(names) > 1:
		return Snapshot{}, mail.Errorf(mail.Invalid, "%d snapshots begin with %s; say more of the name", len(names), id)
	}
	return load(d, names[0])
}

// Progress says how far a long work is.
type Progress struct {
	Phase   string `json:"phase"`
	Done    int64  `json:"done"` // octets
	Total   int64  `json:"total"`
	Written int64  `json:"written"` // octets added to the depot
}
