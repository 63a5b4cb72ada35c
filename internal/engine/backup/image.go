package backup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/sqldb"
)

// image is a snapshot opened to be read: its database in a scratch folder, its
// large messages fetched when they are wanted.
type image struct {
	*engines
	d       *depot.Depot
	scratch string
	files   map[string]entry // by the name of the blob
	left    leftOut
}

// leftOut is the log of engines that are only read, as far as it is about rows that
// cannot be and are left out (sqldb.Aside).
type leftOut struct {
	mu   sync.Mutex
	rows []string
}

func (l *leftOut) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *leftOut) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *leftOut) WithGroup(string) slog.Handler                    { return l }

func (l *leftOut) Handle(_ context.Context, r slog.Record) error {
	var row, why string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "row":
			row = a.Value.String()
		case "err":
			why = a.Value.String()
		}
		return true
	})
	if row != "" {
		l.add(row, why)
	}
	return nil
}

func (l *leftOut) add(row, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, row+" cannot be read: "+why)
}

// openImage rebuilds the database. lost hears of what is damaged and is left out, of a
// list of files with an empty Table; if it is nil, damage is an error.
func openImage(ctx context.Context, d *depot.Depot, s Snapshot, scratch string, o Options, lost func(t Table, first, many int64, err error) error) (im *image, err error) {
	if lost == nil {
		lost = strictly
	}
	im = &image{d: d, files: make(map[string]entry)}
	if im.scratch, err = makeScratch(d, scratch); err != nil {
		return nil, err
	}
	if err := im.open(ctx, s, o, lost); err != nil {
		return nil, refuse(s, errors.Join(err, im.close()))
	}
	return im, nil
}

func makeScratch(d *depot.Depot, folder string) (string, error) {
	if folder == "" {
		return d.Temp()
	}
	path, err := os.MkdirTemp(folder, "yubin-backup-")
	if err != nil {
		return "", mail.Errorf(mail.Unavailable, "no scratch folder can be made in %s: %w", folder, err)
	}
	return path, nil
}

func (im *image) open(ctx context.Context, s Snapshot, o Options, lost func(t Table, first, many int64, err error) error) error {
	for e, err := range entries(im.d, s.Files) {
		if err != nil {
			if err := lost(Table{}, 0, 0, err); err != nil {
				return err
			}
			continue
		}
		if e.Path.In(datadir.Blobs) {
			im.files[e.Path.Base()] = e
		}
	}
	if err := room(im.scratch, s.rows()); err != nil {
		return err
	}
	log := slog.New(&im.left)
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(im.scratch, "snapshot.db"), Log: log})
	if err != nil {
		return err
	}
	at := Progress{Phase: "rebuild", Total: s.rows()}
	l := &loader{ctx: ctx, d: im.d, db: db, lost: lost, wrote: func(n int64) error {
		at.Done += n
		if o.Progress != nil {
			o.Progress(at)
		}
		return ctx.Err()
	}}
	if err := l.load(s); err != nil {
		return errors.Join(err, db.Close())
	}
	im.engines, err = openEngines(ctx, db, blob.Elsewhere(im.scratch, im.fetch), o.Now, log)
	return err
}

// fetch writes the octets of a large message.
func (im *image) fetch(name string, to io.Writer) error {
	e, ok := im.files[name]
	if !ok {
		return mail.Errorf(mail.NotFound, "the snapshot has no file %s", name)
	}
	err := copyFile(im.d, e, to, func(int64) error { return nil })
	if bad := (*depot.Damaged)(nil); errors.As(err, &bad) {
		return mail.Errorf(mail.NotFound, "the file %s is damaged in the backup: %w", name, err)
	}
	return err
}

func (im *image) close() error {
	var err error
	if im.engines != nil {
		err = im.engines.close()
	}
	return errors.Join(err, os.RemoveAll(im.scratch))
}
