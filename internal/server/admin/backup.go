package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/obs"
)

// Backups copies the store into a folder, and puts messages of a copy back.
type Backups interface {
	Backup(ctx context.Context, into *files.Place, progress func(backup.Progress)) (backup.Snapshot, error)
	PutBack(ctx context.Context, from *files.Place, snapshot string, w backup.Wanted, progress func(backup.Progress)) (Returned, error)
}

// BackupLine is a line of the answer: how far it is, or at the end the snapshot.
type BackupLine struct {
	Progress *backup.Progress `json:"progress,omitempty"`
	Snapshot *backup.Brief    `json:"snapshot,omitempty"`
	Failure  *Failure         `json:"failure,omitempty"`
}

// PutBack asks for messages of a snapshot in the folder that comes with the request; see
// backup.Wanted.
type PutBack struct {
	Snapshot  string   `json:"snapshot,omitempty"` // "" for the newest
	Account   string   `json:"account"`
	Mailbox   string   `json:"mailbox,omitempty"`
	MessageID string   `json:"message_id,omitempty"`
	UID       mail.UID `json:"uid,omitempty"`
	Into      string   `json:"into,omitempty"`
}

// Returned says what was put back.
type Returned struct {
	Snapshot string `json:"snapshot"`
	backup.Returned
}

// PutBackLine is a line of the answer: how far it is, or at the end what was
// put back.
type PutBackLine struct {
	Progress *backup.Progress `json:"progress,omitempty"`
	Returned *Returned        `json:"returned,omitempty"`
	Failure  *Failure         `json:"failure,omitempty"`
}

// progressEvery is how often a line of progress is sent.
const progressEvery = 200 * time.Millisecond

// lines streams an answer, a line of JSON each.
type lines struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	begun bool
	told  time.Time
}

func (l *lines) tell(line any) {
	if !l.begun {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.begun = true
	}
	_ = json.NewEncoder(obs.Printing(l.w)).Encode(line) // Whoever went away has cancelled the context.
	_ = http.NewResponseController(l.w).Flush()
}

// progress sends what line makes of p, if it is time to.
func (l *lines) progress(line func(*backup.Progress) any) func(backup.Progress) {
	return func(p backup.Progress) {
		if l.due() {
			l.tell(line(&p))
		}
	}
}

// due reports whether it is time for a line of progress.
func (l *lines) due() bool {
	now := time.Now()
	if now.Sub(l.told) < progressEvery {
		return false
	}
	l.told = now
	return true
}

// isAskers reports whether whoever asked is at fault, who is told of it: a typing error is
// nothing that somebody else has to see to.
func isAskers(err error) bool {
	switch mail.KindOf(err) {
	case mail.Invalid, mail.NotFound, mail.Exists, mail.Forbidden:
		return true
	}
	return false
}

// fail ends the answer with err: as a status, if nothing was sent yet.
func (l *lines) fail(err error, line func(*Failure) any) {
	if !l.begun {
		fail(l.w, l.r, l.h.Log, err)
		return
	}
	request := l.r.Method + " " + l.r.URL.Path
	switch {
	case l.r.Context().Err() != nil:
		l.h.Log.Info("administration cut short: who asked went away, or the server stops", "request", request, obs.Err(err))
	case isAskers(err):
		l.h.Log.Info("administration was asked for what cannot be", "request", request, obs.Err(err))
	default:
		l.h.Log.Error("administration failed", "request", request, obs.Err(err))
	}
	f := failureOf(interrupted(l.r, err))
	l.tell(line(&f))
}

func (h *Handler) backup(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	into, err := placeOf(r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	s, err := h.Backups.Backup(r.Context(), into, l.progress(func(p *backup.Progress) any { return BackupLine{Progress: p} }))
	if err != nil {
		l.fail(err, func(f *Failure) any { return BackupLine{Failure: f} })
		return
	}
	h.Log.Info("backup made", "folder", into.Path(), "snapshot", s.ID, "octets", s.Octets(), "written", s.Written, "took", s.Took)
	made := s.Brief()
	l.tell(BackupLine{Snapshot: &made})
}

func (h *Handler) putBack(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	in, err := body[PutBack](r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	wanted, err := in.wanted()
	if err != nil {
		l.fail(err, nil)
		return
	}
	from, err := placeOf(r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	out, err := h.Backups.PutBack(r.Context(), from, in.Snapshot, wanted,
		l.progress(func(p *backup.Progress) any { return PutBackLine{Progress: p} }))
	if err != nil {
		l.fail(err, func(f *Failure) any { return PutBackLine{Failure: f} })
		return
	}
	h.Log.Info("messages put back", "folder", from.Path(), "snapshot", out.Snapshot, "account", in.Account)
	l.tell(PutBackLine{Returned: &out})
}

func (p PutBack) wanted() (w backup.Wanted, err error) {
	w = backup.Wanted{MessageID: p.MessageID, UID: p.UID}
	if w.Address, err = mail.ParseAddress(p.Account); err != nil {
		return w, err
	}
	if p.Mailbox != "" {
		if w.Mailbox, err = mail.ParseMailboxName(p.Mailbox); err != nil {
			return w, err
		}
	}
	if p.Into != "" {
		w.Into, err = mail.ParseMailboxName(p.Into)
	}
	return w, err
}

// Backup has the server make a snapshot in a folder, which is made if need be, and
// reports how far it is.
func (c *Client) Backup(ctx context.Context, into *files.Place, progress func(backup.Progress)) (s backup.Brief, err error) {
	err = stream(ctx, c.lending(into), "/v1/backup", nil, func(l BackupLine) (over bool, err error) {
		switch {
		case l.Failure != nil:
			return true, l.Failure.error()
		case l.Snapshot != nil:
			s = *l.Snapshot
			return true, nil
		case l.Progress != nil:
			progress(*l.Progress)
		}
		return false, nil
	})
	return s, err
}

// PutBack has the server put messages of a snapshot back.
func (c *Client) PutBack(ctx context.Context, from *files.Place, in PutBack, progress func(backup.Progress)) (out Returned, err error) {
	err = stream(ctx, c.lending(from), "/v1/restore", in, func(l PutBackLine) (over bool, err error) {
		switch {
		case l.Failure != nil:
			return true, l.Failure.error()
		case l.Returned != nil:
			out = *l.Returned
			return true, nil
		case l.Progress != nil:
			progress(*l.Progress)
		}
		return false, nil
	})
	return out, err
}

// stream posts in and reads lines until one is the last.
func stream[T any](ctx context.Context, c *Client, path string, in any, line func(T) (over bool, err error)) error {
	resp, err := c.send(ctx, http.MethodPost, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var l T
		if err := lines.Decode(&l); err != nil {
			return fmt.Errorf("the answer was cut short: %w", err)
		}
		if over, err := line(l); over || err != nil {
			return err
		}
	}
}
