package admin

import (
	"net/http"
	"strings"

	"yubin/internal/engine/queue"
	"yubin/internal/mail"
)

func (h *Handler) listSites(*http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	page := Page[QueueSite]{Items: []QueueSite{}}
	for _, s := range h.Queue.Sites() {
		page.Items = append(page.Items, QueueSite{Site: s.Site, Queued: s.InMemory, More: s.More, Busy: s.Busy, Concurrency: s.Concurrency,
			Down: s.Down, Probe: s.Probe, Words: s.Words, Paused: s.Paused})
	}
	return page, nil
}

func (h *Handler) listPauses(*http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	page := Page[QueuePause]{Items: []QueuePause{}}
	for _, p := range h.Queue.Pauses() {
		page.Items = append(page.Items, QueuePause{Scope: string(p.Scope), Name: p.Name, Since: p.Since, Why: p.Why})
	}
	return page, nil
}

func (h *Handler) pause(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	in, err := body[QueuePause](r)
	if err != nil {
		return nil, err
	}
	if err := h.Queue.Pause(r.Context(), queue.Scope(in.Scope), in.Name, in.Why); err != nil {
		return nil, err
	}
	for _, p := range h.Queue.Pauses() {
		if string(p.Scope) == in.Scope && p.Name == in.Name {
			in.Since = p.Since
		}
	}
	return in, nil
}

func (h *Handler) resume(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	scope, name := q.Get("scope"), q.Get("name")
	err := h.Queue.Resume(r.Context(), queue.Scope(scope), name)
	if mail.KindOf(err) == mail.NotFound {
		err = mail.Errorf(mail.NotFound, "there is no such pause: %s", strings.TrimSpace(scope+" "+name))
	}
	return done{}, err
}
