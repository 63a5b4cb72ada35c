package server

import (
	"context"
	"sync"

	"yubin/internal/engine/move"
	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/blob"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
)

// moves are the moves of a Store to elsewhere.
type moves struct {
	s      *Store
	d      Deps
	blobs  *blob.Dir
	moving *sync.Mutex // held while one is made
}

// Move carries everything to another folder and database; a server that runs here ends
// then.
func (m moves) Move(ctx context.Context, to move.Target, progress func(move.Progress)) (moved move.Moved, err error) {
	if !m.moving.TryLock() {
		return moved, mail.Errorf(mail.Conflict, "a move is under way already")
	}
	defer m.moving.Unlock()
	moved, err = move.Run(ctx, m.source(), to, move.Options{Now: m.d.Now, Log: m.d.Log, Progress: progress})
	if err == nil && m.s.gone != nil {
		m.s.gone(&datadir.MovedError{Path: m.s.folder.Path(""), To: to.Folder})
	}
	return moved, err
}

func (m moves) source() move.Source {
	return move.Source{Folder: m.s.folder.Path(""), Dir: m.s.folder, DB: m.s.db, Blobs: m.blobs,
		Skip: []string{admin.SocketName, config.SendmailName}, Hold: m.hold}
}

// hold ends what is being sent, so that it is not sent from both places, and then keeps
// everybody from changing anything: who tries hears that it is not possible now, before
// anything was promised.
func (m moves) hold(ctx context.Context) (release func(), err error) {
	resume, err := m.s.carriage.pause(ctx)
	if err != nil {
		return nil, err
	}
	m.d.Log.Info("held for a move")
	let := m.s.db.Hold(mail.Errorf(mail.Unavailable, "the post office is moving; try again in a minute"))
	return func() {
		let()
		resume()
		m.d.Log.Info("no longer held")
	}, nil
}

// endMove does what a move to here that was cut short at its last moment left to do. A
// database that a move fills is not opened.
func (s *Store) endMove(ctx context.Context) error {
	if s.folder.Unsettled() {
		if err := move.Finish(ctx, s.db); err != nil {
			return err
		}
		return s.folder.Settle()
	}
	filler, err := schemas.Unfinished(ctx, s.db)
	if err == nil && filler != "" {
		err = mail.Errorf(mail.Conflict, "the database %s is not complete: it is being filled by %s, or that was cut short; run it again", s.db.Path(), filler)
	}
	return err
}
