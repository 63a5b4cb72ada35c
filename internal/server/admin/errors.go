package admin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// statuses is the table from kinds of error to HTTP statuses (RFC 9110 §15).
var statuses = [...]struct {
	kind   mail.Kind
	status int
}{
	{mail.Internal, http.StatusInternalServerError},
	{mail.Invalid, http.StatusUnprocessableEntity},
	{mail.NotFound, http.StatusNotFound},
	{mail.Exists, http.StatusConflict},
	{mail.Conflict, http.StatusConflict},
	{mail.Forbidden, http.StatusForbidden},
	{mail.OverQuota, http.StatusInsufficientStorage},
	{mail.TooLarge, http.StatusRequestEntityTooLarge},
	{mail.RateLimited, http.StatusTooManyRequests},
	{mail.Unavailable, http.StatusServiceUnavailable},
}

func statusOf(kind mail.Kind) int {
	for _, row := range statuses {
		if row.kind == kind {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

func kindNamed(name string) mail.Kind {
	for _, row := range statuses {
		if row.kind.String() == name {
			return row.kind
		}
	}
	return mail.Internal
}

// failureOf is what the other side may know of err.
func failureOf(err error) Failure {
	if errors.Is(err, sqldb.ErrDamaged) {
		return Failure{mail.Internal.String(), "the database file is damaged"}
	}
	var known *mail.Error
	if !errors.As(err, &known) || known.Kind == mail.Internal {
		return Failure{mail.Internal.String(), "internal failure; the log has the cause"}
	}
	return Failure{known.Kind.String(), known.Text}
}

// interrupted says so of an error that came of the end of r's context: who still
// hears it was cut off by a server that stops. What broke on the way, as a
// connection to another server, is not to blame.
func interrupted(r *http.Request, err error) error {
	if r.Context().Err() == nil {
		return err
	}
	switch mail.KindOf(err) {
	case mail.Internal, mail.Unavailable:
		return &mail.Error{Kind: mail.Unavailable, Text: "this server was stopped; run it again to go on", Err: err}
	}
	return err
}

func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	err = interrupted(r, err)
	kind := mail.KindOf(err)
	if kind == mail.Internal {
		log.Error("administration failed", "request", r.Method+" "+r.URL.Path, obs.Err(err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(kind))
	_ = json.NewEncoder(obs.Printing(w)).Encode(failureOf(err))
}
