package admin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
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
	var known *mail.Error
	if !errors.As(err, &known) || known.Kind == mail.Internal {
		return Failure{mail.Internal.String(), "internal failure; the log has the cause"}
	}
	return Failure{known.Kind.String(), known.Text}
}

func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	kind := mail.KindOf(err)
	if kind == mail.Internal {
		log.Error("administration failed", "request", r.Method+" "+r.URL.Path, obs.Err(err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(kind))
	_ = json.NewEncoder(obs.Printing(w)).Encode(failureOf(err))
}
