package admin

import (
	"net/http"
	"slices"
	"strings"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

func (h *Handler) listSites(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	state, err := siteState(query.Get("state"))
	if err != nil {
		return nil, err
	}
	limit, err := pageLimit(query, MaxPage)
	if err != nil {
		return nil, err
	}
	list, next, err := h.Queue.SitePage(r.Context(), state, query.Get("after"), limit)
	if err != nil {
		return nil, err
	}
	page, names := Page[QueueSite]{Items: []QueueSite{}, Next: next}, h.sitesNamer()
	for _, s := range list {
		page.Items = append(page.Items, QueueSite{Site: s.Site, Name: names.name(s.Site), State: string(s.State), Since: s.Since, Next: s.Next,
			Words: s.Words, Waiting: s.Waiting, Held: s.Held, Queued: s.InMemory, More: s.More, Busy: s.Busy, Concurrency: s.Concurrency})
	}
	return page, nil
}

func (h *Handler) listPauses(*http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	return Page[QueuePause]{Items: h.Pauses()}, nil
}

// Pauses are those in force, their sites with the names that people write.
func (h *Handler) Pauses() []QueuePause {
	list, names := []QueuePause{}, h.sitesNamer()
	for _, p := range h.Queue.Pauses() {
		one := QueuePause{Scope: string(p.Scope), Name: p.Name, Since: p.Since, Why: p.Why}
		if p.Scope == queue.PauseSite {
			one.Called = names.name(p.Name)
		}
		list = append(list, one)
	}
	return list
}

func (h *Handler) pause(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	in, err := body[QueuePause](r)
	if err != nil {
		return nil, err
	}
	names, known := []string{in.Name}, true
	switch {
	case in.Scope == string(queue.PauseSite) && in.Name != "":
		names, known, err = h.findSites(r.Context(), in.Name)
	case in.Scope == string(queue.PauseRoute) && h.Routes != nil:
		if !slices.ContainsFunc(h.Routes.Routes(), func(r route.Route) bool { return r.Name == in.Name }) {
			err = mail.Errorf(mail.NotFound, "there is no route %s", in.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	in.Unknown = !known
	for _, in.Name = range names {
		if err := h.Queue.Pause(r.Context(), queue.Scope(in.Scope), in.Name, in.Why); err != nil {
			return nil, err
		}
	}
	if in.Scope == string(queue.PauseSite) {
		in.Called = h.sitesNamer().name(in.Name)
	}
	for _, p := range h.Queue.Pauses() {
		if string(p.Scope) == in.Scope && p.Name == in.Name {
			in.Since = p.Since
		}
	}
	return in, nil
}

// pauseNames are what a pause is of: of a site its keys, of which there are several
// if it is spoken with in several ways.
func (h *Handler) pauseNames(r *http.Request, scope, name string) ([]string, error) {
	if scope != string(queue.PauseSite) || name == "" {
		return []string{name}, nil
	}
	return h.sitesCalled(r.Context(), name)
}

func (h *Handler) resume(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	scope, name := q.Get("scope"), q.Get("name")
	names, err := h.pauseNames(r, scope, name)
	if err != nil {
		return nil, err
	}
	missing := 0
	for _, one := range names {
		if err := h.Queue.Resume(r.Context(), queue.Scope(scope), one); mail.KindOf(err) == mail.NotFound {
			missing++
		} else if err != nil {
			return nil, err
		}
	}
	if missing == len(names) {
		return nil, mail.Errorf(mail.NotFound, "there is no such pause: %s", strings.TrimSpace(scope+" "+name))
	}
	return done{}, nil
}
