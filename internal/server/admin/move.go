package admin

import (
	"context"
	"net/http"

	"yubin/internal/engine/move"
	"yubin/internal/world/sqldb"
)

// Moves carries everything elsewhere.
type Moves interface {
	Move(ctx context.Context, to move.Target, progress func(move.Progress)) (move.Moved, error)
}

// NewMove asks for a move. The server writes it: Folder is an absolute path that its
// user can make, Database the URL of a database that it reaches, or "" for one in Folder.
type NewMove struct {
	Folder   string `json:"folder"`
	Database string `json:"database,omitempty"`
}

// MoveLine is a line of the answer: how far it is, or at the end what was moved.
type MoveLine struct {
	Progress *move.Progress `json:"progress,omitempty"`
	Moved    *move.Moved    `json:"moved,omitempty"`
	Failure  *Failure       `json:"failure,omitempty"`
}

func (h *Handler) move(w http.ResponseWriter, r *http.Request) {
	l := &lines{h: h, w: w, r: r}
	in, err := body[NewMove](r)
	if err != nil {
		l.fail(err, nil)
		return
	}
	h.Log.Info("move begun", "to", in.Folder)
	moved, err := h.Moves.Move(r.Context(), move.Target{Folder: in.Folder, Database: sqldb.Options{URL: in.Database, Log: h.Log}}, func(p move.Progress) {
		if l.due() {
			l.tell(MoveLine{Progress: &p})
		}
	})
	if err != nil {
		l.fail(err, func(f *Failure) any { return MoveLine{Failure: f} })
		return
	}
	h.Log.Info("moved", "to", in.Folder, "rows", moved.Rows, "octets", moved.Octets, "files", moved.Files, "rounds", moved.Rounds,
		"held", moved.Held, "took", moved.Took)
	l.tell(MoveLine{Moved: &moved})
}

// Move has the server carry everything elsewhere and reports how far it is.
func (c *Client) Move(ctx context.Context, in NewMove, progress func(move.Progress)) (moved move.Moved, err error) {
	err = stream(ctx, c, "/v1/move", in, func(l MoveLine) (over bool, err error) {
		switch {
		case l.Failure != nil:
			return true, l.Failure.error()
		case l.Moved != nil:
			moved = *l.Moved
			return true, nil
		case l.Progress != nil:
			progress(*l.Progress)
		}
		return false, nil
	})
	return moved, err
}
