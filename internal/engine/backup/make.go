package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"yubin/internal/engine/schemas"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
	"yubin/internal/world/rows"
	"yubin/internal/world/sqldb"
)

// Source is what is backed up.
type Source struct {
	Folder string // the data folder
	DB     *sqldb.DB
	Blobs  *blob.Dir
	Skip   []string // names in Folder, beside those of datadir, that a new data folder has of its own
}

// Options say how to work.
type Options struct {
	Now      func() time.Time
	Version  string         // of this program, for people
	Progress func(Progress) // is called often and must be quick; nil for none
}

// Check tells before anything is written that folder cannot hold the backup of
// source: one must not be in the other.
func Check(folder string, source Source) error {
	if !filepath.IsAbs(folder) {
		return mail.Errorf(mail.Invalid, "the path of a backup must be absolute")
	}
	if files.Overlap(folder, source.Folder) {
		return mail.Errorf(mail.Invalid, "the backup %s and the data folder %s must not be in each other; choose another disk if you can", folder, source.Folder)
	}
	return nil
}

// Make makes a snapshot of source in d. If it fails, d has no new snapshot, and
// what was written already need not be written again.
func Make(ctx context.Context, d *depot.Depot, source Source, o Options) (Snapshot, error) {
	m := &maker{ctx: ctx, d: d, source: source, o: o, started: o.Now()}
	m.list.put = m.put
	m.snap = Snapshot{Format: format, Version: o.Version}
	release := source.Blobs.Hold()
	err := m.run()
	if e := release(); err == nil && e != nil {
		err = e
	}
	return m.snap, err
}

// maker is one Make.
type maker struct {
	ctx     context.Context
	d       *depot.Depot
	source  Source
	o       Options
	started time.Time
	snap    Snapshot
	list    listWriter
	files   []store.File // large messages of the snapshot
	at      Progress
	buf     []byte
}

func (m *maker) run() error {
	if err := m.source.DB.Snapshot(m.ctx, m.database); err != nil {
		return err
	}
	m.at.Phase = "messages"
	if err := m.messages(); err != nil {
		return err
	}
	m.at.Phase = "files"
	if err := m.others(); err != nil {
		return err
	}
	return m.save()
}

// put keeps a piece.
func (m *maker) put(piece []byte) (depot.Hash, error) {
	if err := m.ctx.Err(); err != nil {
		return depot.Hash{}, err
	}
	h, n, err := m.d.Put(piece)
	m.at.Written += n
	return h, err
}

func (m *maker) done(n int64) {
	m.at.Done += n
	if m.o.Progress != nil {
		m.o.Progress(m.at)
	}
}

// database copies the rows of one moment.
func (m *maker) database(tx *sqldb.Tx) error {
	m.snap.Time = m.o.Now().UTC()
	about, err := m.source.DB.Sizes() // As the database keeps them; as rows they are fewer.
	if err != nil {
		return err
	}
	m.at = Progress{Phase: "database", Total: about.Database}
	err = store.Files(tx, func(f store.File) error {
		m.files = append(m.files, f)
		m.at.Total += f.Size
		return nil
	})
	if err != nil {
		return err
	}
	if m.snap.Engines, err = schemas.In(tx); err != nil {
		return err
	}
	tables, err := schemas.Tables(tx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := m.table(tx, t); err != nil {
			return err
		}
	}
	m.at.Total -= about.Database - m.at.Done
	return nil
}

// table copies the rows of a table.
func (m *maker) table(tx *sqldb.Tx, t sqldb.Table) error {
	out := Table{Name: t.Name, Columns: columnsOf(t)}
	w := &indexWriter{put: m.put}
	count := rows.NewCounter(t)
	err := rows.Pieces(tx, t, nil, func(why string) { m.fault("%s", why) }, func(p rows.Piece) error {
		count.Add(p.Octets, p.Rows)
		m.done(int64(len(p.Octets)))
		return w.add(p.Octets, p.Rows)
	})
	if err == nil {
		err = w.close()
	}
	if err == nil && t.Numbered {
		out.LastID, err = tx.LastID(t.Name)
	}
	c := count.Count()
	out.Rows, out.Octets, out.Sum, out.Indexes = c.Rows, c.Octets, c.Sum, w.out
	m.snap.Tables = append(m.snap.Tables, out)
	return err
}

// messages copies the files that the snapshot names. Those that the snapshot
// before has are not read again: they never change.
func (m *maker) messages() error {
	before, stop := iter.Pull(m.before())
	defer stop()
	old, more := before()
	for _, f := range m.files {
		path, err := depot.ParseName(datadir.Blobs + "/" + f.Name[:min(2, len(f.Name))] + "/" + f.Name)
		if err != nil {
			m.fault("a message has its octets in %q, which is no name of a file", f.Name)
			continue
		}
		for more && old.Path.String() < path.String() {
			old, more = before()
		}
		if more && old.Path == path && old.Size == f.Size && m.hasAll(old) {
			if err := m.list.add(old); err != nil {
				return err
			}
			m.done(f.Size)
			continue
		}
		if err := m.message(path, f); err != nil {
			return err
		}
	}
	return nil
}

// before yields the large messages of the newest snapshot, as far as it can be
// read: what is not known is copied.
func (m *maker) before() iter.Seq[entry] {
	return func(yield func(entry) bool) {
		last, err := Find(m.d, "")
		if err != nil {
			return
		}
		for e, err := range entries(m.d, last.Files) {
			if err != nil || !e.Path.In(datadir.Blobs) || !yield(e) {
				return
			}
		}
	}
}

func (m *maker) hasAll(e entry) bool {
	for _, h := range e.Pieces {
		if !m.d.Has(h) {
			return false
		}
	}
	return true
}

func (m *maker) message(path depot.Name, f store.File) error {
	in, err := m.source.Blobs.Open(f.Name)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		m.fault("%s is missing in the store", path)
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	e, err := m.copy(path, in)
	if err != nil {
		return err
	}
	if e.Size != f.Size {
		m.fault("%s has %d octets of %d in the store", path, e.Size, f.Size)
	}
	return m.list.add(e)
}

func (m *maker) fault(format string, args ...any) {
	if len(m.snap.Faults) < MaxFaults {
		m.snap.Faults = append(m.snap.Faults, fmt.Sprintf(format, args...))
	}
}

// copy keeps a file as it is now.
func (m *maker) copy(path depot.Name, in io.Reader) (e entry, err error) {
	e.Path = path
	m.buf = slices.Grow(m.buf[:0], filePiece)
	for {
		n, err := io.ReadFull(in, m.buf[:filePiece])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return e, &mail.Error{Kind: mail.Unavailable, Text: "cannot read " + path.String() + " of the data folder", Err: err}
		}
		if n > 0 {
			h, putErr := m.put(m.buf[:n])
			if putErr != nil {
				return e, putErr
			}
			e.Pieces = append(e.Pieces, h)
			e.Size += int64(n)
			m.done(int64(n))
		}
		if e.Size > MaxFile {
			return e, mail.Errorf(mail.TooLarge, "%s has over %d octets", path, int64(MaxFile))
		}
		if err != nil {
			return e, nil
		}
	}
}

// others copies what else stands in the data folder.
func (m *maker) others() error {
	root := m.source.Folder
	from, err := files.Open(root)
	if err != nil {
		return &mail.Error{Kind: mail.Unavailable, Text: "cannot read the data folder", Err: err}
	}
	defer from.Close()
	err = datadir.Each(root, m.source.Skip, func(name string, f fs.DirEntry) error { return m.other(from, name, f) })
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = &mail.Error{Kind: mail.Unavailable, Text: "cannot read the data folder", Err: err}
	}
	return err
}

func (m *maker) other(from *files.Folder, name string, f fs.DirEntry) error {
	if !f.Type().IsRegular() {
		m.fault("%s is a link and was left out", name)
		return nil
	}
	kept, err := depot.ParseName(name)
	if err != nil {
		m.fault("%q cannot be the name of a file in a backup and was left out", name)
		return nil
	}
	in, err := from.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &mail.Error{Kind: mail.Unavailable, Text: "cannot read " + name + " of the data folder", Err: err}
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil {
		m.at.Total += info.Size()
	}
	e, err := m.copy(kept, in)
	if err != nil {
		return err
	}
	return m.list.add(e)
}

// save writes the record, when all else is durable.
func (m *maker) save() error {
	if err := m.list.close(); err != nil {
		return err
	}
	m.snap.Files = m.list.out
	m.snap.Written = m.at.Written
	m.snap.Took = m.o.Now().Sub(m.started)
	for n := 1; ; n++ {
		m.snap.ID = m.snap.Time.Format(idTime)
		if n > 1 {
			m.snap.ID += fmt.Sprintf("-%d", n)
		}
		text, err := json.Marshal(m.snap)
		if err != nil {
			return err
		}
		err = m.d.Save(m.snap.ID, append(text, '\n'))
		if err == nil || mail.KindOf(err) != mail.Exists {
			return err
		}
	}
}
