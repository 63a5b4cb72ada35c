package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	format     = 1                  // of Snapshot
	pagePiece  = 16                 // pages in one piece of the database
	filePiece  = 1 << 20            // octets in one piece of a file
	indexLen   = 4096               // pieces named by one index
	listOctets = 512 << 10          // of one list of files, about
	shelfList  = 16 << 10           // octets at which a list may end early, between two folders
	MaxFile    = 32 << 30           // octets of one file
	MaxFiles   = 1 << 26            // of one snapshot
	MaxStream  = 1 << 44            // octets of the database: what SQLite can have in pages of 4 KiB
	MaxOctets  = 1 << 50            // of all files
	MaxFaults  = 1000               // named in one snapshot
	idTime     = "20060102T150405Z" // of an ID
	pieceSize  = pagePiece * sqldb.PageSize
)

// Snapshot says what one backup consists of.
type Snapshot struct {
	Format     int           `json:"format"`
	ID         string        `json:"id"`
	Time       time.Time     `json:"time"` // the moment that it shows
	Version    string        `json:"version"`
	Database   Stream        `json:"database"`
	Base       depot.Name    `json:"base"`       // name of the database file
	BlobFolder depot.Name    `json:"blobFolder"` // name of the folder of large messages
	Files      Files         `json:"files"`
	Written    int64         `json:"written"` // octets that it added to the depot
	Took       time.Duration `json:"took"`
	Faults     []string      `json:"faults,omitempty"` // what the store lacked already
}

// Octets returns how large what it shows is.
func (s Snapshot) Octets() int64 { return s.Database.Size + s.Files.Octets }

// Stream is octets in pieces of one size.
type Stream struct {
	Size    int64        `json:"size"`
	Piece   int64        `json:"piece"` // octets of each piece but the last
	Indexes []depot.Hash `json:"indexes"`
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
	db := s.Database
	switch {
	case s.ID != name:
		return fmt.Sprintf("it calls itself %q", s.ID)
	case !s.Base.Single() || !s.BlobFolder.Single() || s.taken(s.BlobFolder) || slices.Contains(datadir.Own(), s.Base.String()):
		return fmt.Sprintf("a data folder cannot have its database in %q and messages in %q", s.Base, s.BlobFolder)
	case db.Size < 0 || db.Size > MaxStream || db.Piece < sqldb.PageSize || db.Piece > depot.MaxObject ||
		int64(len(db.Indexes)) != parts(parts(db.Size, db.Piece), indexLen):
		return fmt.Sprintf("its database cannot have %d octets in pieces of %d under %d indexes", db.Size, db.Piece, len(db.Indexes))
	case s.Files.Count < 0 || s.Files.Count > MaxFiles || s.Files.Octets < 0 || s.Files.Octets > MaxOctets || len(s.Files.Lists) > s.Files.Count:
		return fmt.Sprintf("it cannot have %d files of %d octets in %d lists", s.Files.Count, s.Files.Octets, len(s.Files.Lists))
	}
	return ""
}

// taken reports whether a name in the data folder is the database's, with the
// files beside it, or the folder's own.
func (s Snapshot) taken(name depot.Name) bool {
	rest, of := strings.CutPrefix(name.String(), s.Base.String())
	return of && slices.Contains([]string{"", "-wal", "-shm", "-journal", ".lock"}, rest) || slices.Contains(datadir.Own(), name.String())
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
