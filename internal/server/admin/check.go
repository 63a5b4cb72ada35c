package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// MaxFindings is how many problems one check tells; with more it ends.
const MaxFindings = 10000

// check streams what it finds, a line of JSON each. What is found waits in
// memory for who reads slowly: a check is mostly within a transaction, which
// must not. It ends when the client goes away.
func (h *Handler) check(w http.ResponseWriter, r *http.Request) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(obs.Printing(w))
	flush := http.NewResponseController(w)
	tell := func(f Finding) {
		if out.Encode(f) != nil || flush.Flush() != nil {
			stop()
		}
	}
	started := time.Now()
	found, done := make(chan string, MaxFindings), make(chan error, 1)
	go func() {
		defer close(found)
		done <- h.verify(ctx, r.URL.Query().Has("deep"), found)
	}()
	for problem := range found {
		tell(Finding{Problem: problem})
	}
	if err := <-done; err != nil {
		f := failureOf(err)
		h.Log.Error("check could not go on", "err", err)
		tell(Finding{Failure: &f})
		return
	}
	h.Log.Info("store checked", "took", time.Since(started))
	tell(Finding{Checked: true})
}

// verify checks the store and puts what it finds into found, which has room for
// MaxFindings.
func (h *Handler) verify(ctx context.Context, deep bool, found chan<- string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	verify := h.Store.Check
	if deep {
		verify = h.Store.CheckDeep
	}
	n := 0
	err := verify(ctx, func(problem string) {
		if n++; n > MaxFindings {
			stop()
			return
		}
		found <- problem
	})
	if n > MaxFindings {
		return mail.Errorf(mail.TooLarge, "the check ended after %d problems; there are more", MaxFindings)
	}
	return err
}
