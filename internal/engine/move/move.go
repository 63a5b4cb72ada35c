package move

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
	"yubin/internal/world/files"
	"yubin/internal/world/rows"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	MaxRounds   = 12        // with the last one
	littleLeft  = 4 << 20   // octets that a round brought, at which the next is the last
	segment     = 16 << 20  // octets of rows that are read from one moment, but in the last round
	batch       = 4 << 20   // octets of rows that one transaction writes, about
	rangesAtOne = 64        // ranges of rows that one transaction removes
	MaxProblems = 1000      // that are named
	copyBuffer  = 256 << 10 // octets
)

// Source is the post office that moves.
type Source struct {
	Folder string // its data folder
	Dir    *datadir.Dir
	DB     *sqldb.DB
	Blobs  *blob.Dir
	Skip   []string // names in Folder, beside those of datadir, that are not carried

	// Hold has all who change anything wait or be refused, until release. Mail that is
	// being sent is first sent to its end.
	Hold func(context.Context) (release func(), err error)
}

// Target is where it goes.
type Target struct {
	Folder   string        // a new data folder
	Database sqldb.Options // the URL of an empty database; without one, a file in Folder
}

// Options say how to work.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Progress func(Progress) // is called often and must be quick; nil for none

	// Step hears the name of each step before it is taken. An error ends the move right
	// there and leaves everything as it is, as a crash would. For tests; nil for none.
	Step func(name string) error
}

// Progress says how far a move is.
type Progress struct {
	Round int    `json:"round"`
	Held  bool   `json:"held,omitempty"` // the source is: this is the last round
	What  string `json:"what"`           // a table, or "messages", "files", "compare"
	Rows  int64  `json:"rows"`           // read in this round
	Done  int64  `json:"done"`           // octets read in this round
	Total int64  `json:"total"`          // of them, about
	New   int64  `json:"new"`            // octets brought in this round
}

// Moved says what was carried.
type Moved struct {
	To       string        `json:"to"`
	Tables   int           `json:"tables"`
	Rows     int64         `json:"rows"`
	Octets   int64         `json:"octets"` // of rows
	Files    int           `json:"files"`  // large messages and others
	Rounds   int           `json:"rounds"`
	Held     time.Duration `json:"held"` // how long nobody could change anything
	Took     time.Duration `json:"took"`
	Problems []string      `json:"problems,omitempty"` // what the source lacks already
}

// Check tells before anything is written that a move cannot be.
func Check(s Source, t Target) error {
	if !filepath.IsAbs(t.Folder) {
		return mail.Errorf(mail.Invalid, "the path of the new data folder must be absolute")
	}
	if files.Overlap(t.Folder, s.Folder) {
		return mail.Errorf(mail.Invalid, "the new data folder %s and the old one, %s, must not be in each other; give the new configuration a folder of its own", t.Folder, s.Folder)
	}
	return nil
}

// Run moves. If it fails before the source was marked, the source goes on, and Run
// called again goes on where it was. After a move that is done the source cannot be
// opened any more, and its Hold was not released.
func Run(ctx context.Context, s Source, t Target, o Options) (moved Moved, err error) {
	if err := Check(s, t); err != nil {
		return moved, err
	}
	m := &mover{ctx: ctx, s: s, t: t, o: o, began: o.Now(), kept: map[string]fileMark{}}
	m.moved.To = t.Folder
	release := s.Blobs.Hold()
	err = m.run()
	if e := release(); err == nil && e != nil && m.over {
		o.Log.Warn("message files that were removed meanwhile stay in the old folder", "err", e)
	}
	m.moved.Took = o.Now().Sub(m.began)
	return m.moved, err
}

// mover is one Run.
type mover struct {
	ctx   context.Context
	s     Source
	t     Target
	o     Options
	began time.Time
	moved Moved
	over  bool // the source is marked

	to    *datadir.Filling
	db    *sqldb.DB // the target's
	blobs *blob.Dir // the target's
	at    Progress
	left  bool                // something of this round has to be tried again
	kept  map[string]fileMark // other files that were copied
}

func (m *mover) step(name string) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	if m.o.Step != nil {
		return m.o.Step(name)
	}
	return nil
}

func (m *mover) tell(octets int64, rows int) {
	m.at.Done += octets
	m.at.Rows += int64(rows)
	m.at.Total = max(m.at.Total, m.at.Done)
	if m.o.Progress != nil {
		m.o.Progress(m.at)
	}
}

func (m *mover) run() error {
	if err := m.open(); err != nil {
		return errors.Join(err, m.close())
	}
	background, stop := context.WithCancel(context.WithoutCancel(m.ctx))
	ended := make(chan error, 1)
	go func() { ended <- m.db.Run(background) }()
	err := m.rounds()
	stop()
	err = errors.Join(err, ignoreCancel(<-ended))
	if m.over { // From here on nothing undoes it: who opens the target does what fails.
		if e := errors.Join(err, Finish(context.WithoutCancel(m.ctx), m.db), m.db.Close()); e == nil {
			err = m.to.Done()
		} else {
			err = e
		}
		m.db = nil
		if err != nil {
			m.o.Log.Warn("the move is done, but its traces in the new folder are not all removed; the server that starts there does it", "err", err)
		}
		return m.close()
	}
	return errors.Join(err, m.close())
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (m *mover) close() (err error) {
	if m.db != nil {
		err = m.db.Close()
	}
	if m.to != nil {
		err = errors.Join(err, m.to.Close())
	}
	return err
}

// open begins a target or takes over what an earlier move left.
func (m *mover) open() error {
	var err error
	if err := m.step("begin"); err != nil {
		return err
	}
	if m.to, err = datadir.Continue(m.t.Folder, m.s.Folder); err != nil {
		if known := (*mail.Error)(nil); errors.As(err, &known) {
			return known
		}
		return &mail.Error{Kind: mail.Unavailable, Text: err.Error(), Err: err}
	}
	if m.db, err = schemas.Open(m.ctx, m.to.Path(datadir.Database), m.t.Database); err != nil {
		if mail.KindOf(err) == mail.Unavailable && m.t.Database.URL != "" {
			return &mail.Error{Kind: mail.Unavailable, Text: "the new database cannot be reached; the log has the cause", Err: err}
		}
		return err
	}
	if err := m.step("database"); err != nil {
		return err
	}
	if err := claim(m.ctx, m.db, m.s.Folder, m.t.Folder); err != nil {
		return err
	}
	if err := schemas.Own(m.ctx, m.to, m.db, m.t.Database); err != nil {
		return err
	}
	var engines []schemas.Engine
	err = m.s.DB.Read(m.ctx, func(tx *sqldb.Tx) error {
		engines, err = schemas.In(tx)
		return err
	})
	if err == nil {
		err = m.step("tables")
	}
	if err == nil {
		err = schemas.Make(m.ctx, m.db, engines)
	}
	if err == nil {
		m.blobs, err = blob.Open(m.to.Path(datadir.Blobs), rand.Reader)
	}
	return err
}

// rounds carries until all is there and the source is marked.
func (m *mover) rounds() error {
	for before := int64(-1); ; {
		if err := m.round(nil); err != nil {
			return err
		}
		now := m.at.New
		if m.at.Round >= MaxRounds-1 || !m.left && (now <= littleLeft || before >= 0 && now > before/5*4) {
			break
		}
		before = now
	}
	if err := m.step("hold"); err != nil {
		return err
	}
	held := m.o.Now()
	release, err := m.s.Hold(m.ctx)
	if err != nil {
		return err
	}
	err = m.last()
	m.moved.Held = m.o.Now().Sub(held)
	if !m.over {
		release()
	}
	return err
}

// round carries what differs. In the last round moment is what the source holds.
func (m *mover) round(moment *sqldb.Tx) error {
	m.left = false
	m.at = Progress{Round: m.at.Round + 1, Held: moment != nil, Total: m.at.Done}
	m.moved.Rounds = m.at.Round
	if m.at.Total == 0 {
		if about, err := m.s.DB.Sizes(); err == nil {
			m.at.Total = about.Database
		}
	}
	read := func(fn func(*sqldb.Tx) error) error { return m.s.DB.Snapshot(m.ctx, fn) }
	if moment != nil {
		read = func(fn func(*sqldb.Tx) error) error { return fn(moment) }
	}
	var tables []sqldb.Table
	err := read(func(tx *sqldb.Tx) (err error) {
		tables, err = schemas.Tables(tx)
		return err
	})
	if err != nil {
		return err
	}
	m.moved.Tables, m.moved.Rows, m.moved.Octets, m.moved.Files = len(tables), 0, 0, 0
	for _, t := range tables {
		m.at.What = t.Name
		if err := m.table(read, t, moment != nil); err != nil {
			return err
		}
	}
	m.at.What = "messages"
	if err := m.messages(read); err != nil {
		return err
	}
	m.at.What = "files"
	return m.others()
}

// last carries one moment of the source that is held, compares, and marks the source.
func (m *mover) last() error {
	if err := m.step("last round"); err != nil {
		return err
	}
	err := m.s.DB.Snapshot(m.ctx, func(tx *sqldb.Tx) error {
		if err := m.round(tx); err != nil {
			return err
		}
		return m.numbers(tx)
	})
	if err != nil {
		return err
	}
	if err := m.step("ready"); err != nil {
		return err
	}
	if err := m.to.Ready(m.s.Folder); err != nil {
		return &mail.Error{Kind: mail.Unavailable, Text: "the new data folder cannot be written", Err: err}
	}
	if err := m.step("mark"); err != nil {
		return err
	}
	if err := m.s.Dir.MarkMoved(m.t.Folder); err != nil {
		return &mail.Error{Kind: mail.Unavailable, Text: "the old data folder cannot be marked as moved", Err: err}
	}
	m.over = true
	return m.step("marked")
}

// table brings over what differs of a table. In the last round it is read as one, and
// afterwards both sides are counted and compared.
func (m *mover) table(read func(func(*sqldb.Tx) error) error, t sqldb.Table, last bool) error {
	have, err := inventoryOf(m.ctx, m.db, t)
	if err != nil {
		return err
	}
	limit := int64(segment)
	if last {
		limit = 1 << 62
	}
	count := rows.NewCounter(t)
	for after, more := rows.Row(nil), true; more; {
		err := read(func(tx *sqldb.Tx) error {
			list, err := m.pieces(tx, t, after, limit, count)
			if err != nil {
				return err
			}
			end := list[len(list)-1].Upto
			after, more = end, end != nil
			return m.bring(tx, t, have.other(list), have)
		})
		if err != nil {
			return err
		}
	}
	if !last {
		return nil
	}
	return m.compare(t, count.Count())
}

var errEnough = errors.New("enough")

// pieces lists the pieces of a table above a key, of about limit octets. The last one
// has no upper bound if there are no more.
func (m *mover) pieces(tx *sqldb.Tx, t sqldb.Table, after rows.Row, limit int64, count *rows.Counter) (list []piece, err error) {
	fault := func(why string) {
		err = errors.Join(err, mail.Errorf(mail.Conflict, "%s; see yubin check, and move when it is mended", why))
	}
	failed := rows.Pieces(tx, t, after, fault, func(p rows.Piece) error {
		if err != nil {
			return err
		}
		count.Add(p.Octets, p.Rows)
		list = append(list, newPiece(p))
		m.tell(int64(len(p.Octets)), p.Rows)
		limit -= int64(len(p.Octets))
		if limit <= 0 && p.Range.Upto != nil {
			return errEnough
		}
		return m.ctx.Err()
	})
	if failed != nil && failed != errEnough {
		return nil, cmp.Or(err, failed)
	}
	if len(list) == 0 { // Also of no rows the target has to know that there are none.
		list = append(list, newPiece(rows.Piece{Range: rows.Range{After: after}}))
	}
	return list, err
}

// bring has the target hold pieces of the source. All their ranges are emptied first:
// rows of one may stand in the way of rows of another (a unique index). What is read
// from several moments may be so in itself; that is left to the next round.
func (m *mover) bring(tx *sqldb.Tx, t sqldb.Table, list []piece, have *inventory) error {
	for some := range slices.Chunk(list, rangesAtOne) {
		if err := m.step("remove rows"); err != nil {
			return err
		}
		if err := have.empty(m.ctx, m.db, some); err != nil {
			return err
		}
	}
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && size < batch {
			size += int(list[n].octets)
			n++
		}
		if err := m.step("write rows"); err != nil {
			return err
		}
		err := m.write(tx, t, list[:n])
		if mail.KindOf(err) == mail.Exists && !m.at.Held {
			m.left, err = true, nil
		}
		if err != nil {
			return err
		}
		m.at.New += int64(size)
		m.tell(0, 0)
		list = list[n:]
	}
	return nil
}

// write writes pieces with their lines in one transaction.
func (m *mover) write(tx *sqldb.Tx, t sqldb.Table, list []piece) error {
	octets := make([][]byte, len(list))
	for i, p := range list {
		err := rows.Scan(tx, t, p.Range, func(string) {}, func(row rows.Row) error {
			octets[i] = rows.Append(octets[i], row)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return m.db.Write(m.ctx, func(to *sqldb.Tx) error {
		in := to.Load(t)
		for i, p := range list {
			last := p.After
			if _, err := rows.Each(t, octets[i], &last, in.Add); err != nil {
				return err
			}
		}
		if err := in.End(); err != nil {
			return err
		}
		for _, p := range list {
			if err := p.note(to, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// compare counts a table of the target.
func (m *mover) compare(t sqldb.Table, want rows.Count) error {
	m.at.What = "compare " + t.Name
	var have rows.Count
	err := m.db.Snapshot(m.ctx, func(tx *sqldb.Tx) (err error) {
		have, err = rows.CountTable(tx, t, func(string) {})
		return err
	})
	if err == nil && have != want {
		err = mail.Errorf(mail.Internal, "table %s differs: it has %d rows of %d octets in the new database, %d of %d in the old one. The old one goes on; run the move again into a new folder and tell us",
			t.Name, have.Rows, have.Octets, want.Rows, want.Octets)
	}
	m.moved.Rows += want.Rows
	m.moved.Octets += want.Octets
	return err
}

// numbers has the target go on numbering where the source was, and look at what it has.
func (m *mover) numbers(tx *sqldb.Tx) error {
	tables, err := schemas.Tables(tx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !t.Numbered {
			continue
		}
		last, err := tx.LastID(t.Name)
		if err != nil {
			return err
		}
		if err := m.db.Write(m.ctx, func(to *sqldb.Tx) error { return to.SetLastID(t.Name, last) }); err != nil {
			return err
		}
	}
	return m.db.Write(m.ctx, func(to *sqldb.Tx) error { return to.Analyze(tables) })
}

func (m *mover) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(m.moved.Problems) < MaxProblems && !slices.Contains(m.moved.Problems, text) {
		m.moved.Problems = append(m.moved.Problems, text)
	}
}

// copyAll copies through buf, whatever shorter way the two may know.
func copyAll(to io.Writer, from io.Reader, buf []byte) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf)
}
