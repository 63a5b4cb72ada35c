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
	"yubin/internal/world/depot"
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

// openImage rebuilds the database. lost hears what is damaged; if it is nil,
// damage is an error.
func openImage(ctx context.Context, d *depot.Depot, s Snapshot, scratch string, o Options, lost func(offset int64, err error) error) (im *image, err error) {
	if lost == nil {
		lost = func(_ int64, err error) error { return refuse(s, err) }
	}
	im = &image{d: d, files: make(map[string]entry)}
	if im.scratch, err = makeScratch(d, scratch); err != nil {
		return nil, err
	}
	if err := im.open(ctx, s, o, lost); err != nil {
		return nil, errors.Join(err, im.close())
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

func (im *image) open(ctx context.Context, s Snapshot, o Options, lost func(int64, error) error) error {
	for e, err := range entries(im.d, s.Files) {
		if err != nil {
			if err := lost(-1, err); err != nil {
				return err
			}
			continue
		}
		if e.Path.In(s.BlobFolder.String()) {
			im.files[e.Path.Base()] = e
		}
	}
	path := filepath.Join(im.scratch, "snapshot.db")
	if err := im.database(ctx, s, path, o, lost); err != nil {
		return err
	}
	var err error
	im.engines, err = openEngines(ctx, path, blob.Elsewhere(im.scratch, im.fetch), o.Now, slog.New(&im.left))
	return err
}

func (im *image) database(ctx context.Context, s Snapshot, path string, o Options, lost func(int64, error) error) error {
	if err := room(im.scratch, s.Database.Size); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return refuse(s, err)
	}
	defer f.Close()
	if err := f.Truncate(s.Database.Size); err != nil {
		return refuse(s, err)
	}
	at := Progress{Phase: "rebuild", Total: s.Database.Size}
	return copyStream(im.d, s.Database, f, func(n int64) error {
		at.Done += n
		if o.Progress != nil {
			o.Progress(at)
		}
		return ctx.Err()
	}, lost)
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
