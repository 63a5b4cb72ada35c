package server

import (
	"context"
	"errors"
	"sync"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/blob"
	"yubin/internal/world/config"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
	"yubin/internal/world/secrets"
)

// backups are the backups of a Store.
type backups struct {
	s      *Store
	d      Deps
	blobs  *blob.Dir
	making *sync.Mutex // held while a snapshot is made: one at a time, it takes a reader of the database
}

func (b backups) source() backup.Source {
	return backup.Source{Folder: b.s.folder.Path(""), DB: b.s.db, Blobs: b.blobs,
		Skip: []string{admin.SocketName, config.SendmailName, secrets.FileName}}
}

func (b backups) options(progress func(backup.Progress)) backup.Options {
	return backup.Options{Now: b.d.Now, Version: b.d.Version, Progress: progress}
}

// Backup makes a snapshot in a folder, which it makes if need be.
func (b backups) Backup(ctx context.Context, into *files.Place, progress func(backup.Progress)) (s backup.Snapshot, err error) {
	if !b.making.TryLock() {
		return s, mail.Errorf(mail.Conflict, "a backup is being made already; wait for it to end")
	}
	defer b.making.Unlock()
	d, err := depot.Open(depot.Options{Place: into, Write: true, Make: true})
	if err != nil {
		return s, err
	}
	s, err = backup.Make(ctx, d, b.source(), b.options(progress))
	return s, errors.Join(err, d.Close())
}

// PutBack puts messages of a snapshot in a folder into an account. The database of the
// snapshot is rebuilt in the data folder: SQLite needs a path, and of the depot only its
// lender has one.
func (b backups) PutBack(ctx context.Context, from *files.Place, snapshot string, w backup.Wanted, progress func(backup.Progress)) (out admin.Returned, err error) {
	account, err := b.s.directory.Account(ctx, w.Address)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return out, mail.Errorf(mail.NotFound, "there is no account %s here to put mail into; make it first", w.Address)
	}
	if err != nil {
		return out, err
	}
	if w.Scratch, err = b.s.folder.Scratch(); err != nil {
		return out, err
	}
	d, err := depot.Open(depot.Options{Place: from})
	if err != nil {
		return out, err
	}
	s, err := backup.Find(d, snapshot)
	if err == nil {
		out.Snapshot = s.ID
		out.Returned, err = backup.Return(ctx, d, s, b.s.mail, b.s.intake, account.ID, w, b.options(progress))
	}
	return out, errors.Join(err, d.Close())
}
