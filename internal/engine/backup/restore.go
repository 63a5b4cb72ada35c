package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"

	"yubin/internal/engine/certificates"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/schemas"
	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/world/blob"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
	"yubin/internal/world/sqldb"
)

// Restored says what became of a Restore.
type Restored struct {
	Snapshot string   `json:"snapshot"`
	Files    int      `json:"files"` // the database, as one, included
	Octets   int64    `json:"octets"`
	Held     int      `json:"held"`               // deliveries put on hold
	Sealed   int      `json:"sealed"`             // private keys that are sealed: secrets.key is not in a backup
	Problems []string `json:"problems,omitempty"` // that the store had already
}

// Destination is where a snapshot is restored to.
type Destination struct {
	Folder   string        // a new data folder: it does not exist or is empty
	Database sqldb.Options // the URL of an empty database; without one, a file in Folder
	Sending  bool          // mail that waits to be sent is sent again, instead of being put on hold
}

// Restore makes a post office of a snapshot. Every object is verified on the way. A
// Restore that was cut short leaves what no server takes, and can be begun anew.
func Restore(ctx context.Context, d *depot.Depot, s Snapshot, dest Destination, o Options) (r Restored, err error) {
	if err := Check(d.Path(), Source{Folder: dest.Folder}); err != nil {
		return r, err
	}
	to, err := datadir.Fill(dest.Folder)
	if err != nil {
		return r, mail.Errorf(mail.Conflict, "%w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	w := &restorer{ctx: ctx, d: d, to: to, o: o, at: Progress{Phase: "restore", Total: s.Octets()}, folders: map[string]bool{".": true}}
	if err := room(dest.Folder, dest.needs(s)); err != nil {
		return r, err
	}
	if err := w.all(s); err != nil {
		return r, err
	}
	r = Restored{Snapshot: s.ID, Files: s.Files.Count + 1, Octets: s.Octets()}
	db, err := w.database(s, dest.Database)
	if err != nil {
		return r, refuse(s, err)
	}
	if err := settle(ctx, db, to, s, dest.Sending, o, &r); err != nil {
		return r, err
	}
	return r, to.Done()
}

// restorer writes the files of a snapshot.
type restorer struct {
	ctx     context.Context
	d       *depot.Depot
	to      *datadir.Filling
	o       Options
	at      Progress
	folders map[string]bool // below the data folder
}

func (w *restorer) wrote(n int64) error {
	w.at.Done += n
	if w.o.Progress != nil {
		w.o.Progress(w.at)
	}
	return w.ctx.Err()
}

func (w *restorer) all(s Snapshot) error {
	for e, err := range entries(w.d, s.Files) {
		if err == nil && taken(e.Path) {
			err = &depot.Damaged{Why: fmt.Sprintf("it has a file %s, which a data folder has of its own", e.Path)}
		}
		if err == nil {
			err = w.file(e)
		}
		if err != nil {
			return refuse(s, err)
		}
	}
	return w.syncFolders()
}

// needs is how many octets the folder gets.
func (dest Destination) needs(s Snapshot) int64 {
	if dest.Database.URL != "" {
		return s.Files.Octets
	}
	return s.Octets()
}

// database makes the database and fills it.
func (w *restorer) database(s Snapshot, o sqldb.Options) (*sqldb.DB, error) {
	db, err := schemas.Open(w.ctx, w.to.Path(datadir.Database), o)
	if err != nil {
		return nil, err
	}
	resumed, err := schemas.Begin(w.ctx, db, "a restore into "+w.to.Path(""))
	if err == nil && resumed {
		err = schemas.Clear(w.ctx, db)
	}
	if err == nil {
		err = schemas.Own(w.ctx, w.to, db, o)
	}
	if err == nil {
		l := &loader{ctx: w.ctx, d: w.d, db: db, wrote: w.wrote, lost: strictly}
		err = l.load(s)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// refuse says what a damaged snapshot means for who restores it.
func refuse(s Snapshot, err error) error {
	var known *mail.Error
	switch bad := (*depot.Damaged)(nil); {
	case errors.As(err, &bad):
		return &mail.Error{Kind: mail.Conflict, Err: err, Text: fmt.Sprintf(
			"snapshot %s is damaged and was not restored: %v. yubin backup verify says what is left; another snapshot may be whole", s.ID, bad)}
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	}
	return &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("the data folder cannot be written: %v", err), Err: err}
}

func (w *restorer) file(e entry) error {
	f, err := w.create(e.Path)
	if errors.Is(err, fs.ErrExist) {
		return &depot.Damaged{Why: fmt.Sprintf("it has a file %s twice", e.Path)}
	}
	if err != nil {
		return err
	}
	return errors.Join(copyFile(w.d, e, f, w.wrote), finish(f))
}

func (w *restorer) create(name depot.Name) (*os.File, error) {
	for at := path.Dir(name.String()); !w.folders[at]; at = path.Dir(at) {
		w.folders[at] = true
	}
	root := w.to.Folder().Root()
	if err := root.MkdirAll(path.Dir(name.String()), 0o700); err != nil {
		return nil, err
	}
	return root.OpenFile(name.String(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// room tells before anything is written that a snapshot does not fit a disk: it
// may claim any size.
func room(folder string, octets int64) error {
	if free, ok := files.Free(folder); ok && uint64(octets) > free {
		return mail.Errorf(mail.Unavailable, "the snapshot has %d MiB, the disk of %s has %d MiB free", octets>>20, folder, free>>20)
	}
	return nil
}

func finish(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }

func (w *restorer) syncFolders() error {
	for name := range w.folders {
		if err := w.to.Folder().Sync(name); err != nil {
			return err
		}
	}
	return nil
}

// settle opens what was restored, verifies it, and sees to it that no mail is
// sent twice. It closes the database.
func settle(ctx context.Context, db *sqldb.DB, to *datadir.Filling, s Snapshot, sending bool, o Options, r *Restored) error {
	blobs, err := blob.Open(to.Path(datadir.Blobs), rand.Reader)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	e, err := openEngines(ctx, db, blobs, o.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = e.check(ctx, false, func(p string) {
		if len(r.Problems) < MaxFaults {
			r.Problems = append(r.Problems, p)
		}
	})
	if err == nil && s.has("queue") && !sending {
		note := "restored from the backup of " + s.Time.UTC().Format("2006-01-02 15:04:05 UTC")
		r.Held, err = e.queue.Hold(ctx, queue.Filter{}, note, nil)
	}
	if err == nil && s.has("signing") {
		err = db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			r.Sealed, err = signing.Sealed(tx)
			return err
		})
	}
	if err == nil && s.has("certificates") {
		err = db.Read(ctx, func(tx *sqldb.Tx) error {
			n, err := certificates.Sealed(tx)
			r.Sealed += n
			return err
		})
	}
	if err == nil {
		err = schemas.End(ctx, db)
	}
	return errors.Join(err, e.close())
}
