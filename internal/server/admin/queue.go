package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// The queue of outgoing mail. A filter is, in a query and in a body alike, any
// of id (several; "12" or "12.1"), sender, null_sender, recipient, domain, site,
// state, older and younger ("72h").
//
//	GET    /v1/queue?filter&after&limit   {items: [QueueDelivery], next}
//	GET    /v1/queue/count?filter         QueueCounts
//	GET    /v1/queue/messages/{item}      QueueMessage
//	POST   /v1/queue/{act}                QueueChange; a stream of QueueProgress
//	GET    /v1/queue/sites?state&after&limit  {items: [QueueSite], next}
//	GET    /v1/queue/pauses               {items: [QueuePause]}   POST QueuePause
//	DELETE /v1/queue/pauses?scope&name
//
// The acts are hold, release, retry, reroute, fail and drop.

// MaxQueueIDs is how many messages or recipients one request can name.
const MaxQueueIDs = 1000

// Queue is the schedule of outgoing mail: queue.Queue is.
type Queue interface {
	List(ctx context.Context, f queue.Filter, after queue.DeliveryID, limit int) ([]queue.Listed, error)
	Count(context.Context, queue.Filter) (queue.Counts, error)
	Show(context.Context, spool.ItemID) (queue.Story, error)
	Trace(ctx context.Context, about string, since time.Time, before spool.ItemID, limit int) ([]queue.Story, error)
	SitePage(ctx context.Context, state queue.SiteState, after string, limit int) (page []queue.SiteStatus, next string, err error)
	SitesNamed(ctx context.Context, name string) ([]string, error)
	QueueHands
}

// QueueHands are what an operator does to a queue.
type QueueHands interface {
	Hold(ctx context.Context, f queue.Filter, note string, p queue.Progress) (int, error)
	Release(ctx context.Context, f queue.Filter, note string, p queue.Progress) (int, error)
	Retry(ctx context.Context, f queue.Filter, note string, p queue.Progress) (int, error)
	Reroute(ctx context.Context, f queue.Filter, via, note string, p queue.Progress) (int, error)
	Fail(ctx context.Context, f queue.Filter, note string, p queue.Progress) (int, error)
	Drop(ctx context.Context, f queue.Filter, note string, p queue.Progress) (int, error)
	Pause(ctx context.Context, scope queue.Scope, name, why string) error
	Resume(ctx context.Context, scope queue.Scope, name string) error
	Pauses() []queue.Pause
}

// QueueFilter chooses deliveries; zero fields choose all.
type QueueFilter struct {
	IDs        []string `json:"id,omitempty"`
	Sender     string   `json:"sender,omitempty"`
	NullSender bool     `json:"null_sender,omitempty"`
	Recipient  string   `json:"recipient,omitempty"`
	Domain     string   `json:"domain,omitempty"`
	Site       string   `json:"site,omitempty"`
	State      string   `json:"state,omitempty"`
	Older      string   `json:"older,omitempty"`   // arrived longer ago
	Younger    string   `json:"younger,omitempty"` // arrived later
}

// IsZero reports whether f chooses all.
func (f QueueFilter) IsZero() bool {
	return len(f.IDs) == 0 && !f.NullSender && f.Sender+f.Recipient+f.Domain+f.Site+f.State+f.Older+f.Younger == ""
}

// QueueChange asks for an act.
type QueueChange struct {
	QueueFilter
	All   bool   `json:"all,omitempty"`   // fail and drop want it if the filter chooses all
	Note  string `json:"note,omitempty"`  // kept with the story of each message; of fail, the reason that its sender reads
	Route string `json:"route,omitempty"` // of reroute; "" is what the tables say
}

// QueueProgress is one line about an act under way.
type QueueProgress struct {
	Changed int      `json:"changed"`
	Done    bool     `json:"done,omitempty"`
	Failure *Failure `json:"failure,omitempty"` // it could not go on
}

// needQueue fails if this server has no queue.
func (h *Handler) needQueue() error {
	if h.Queue == nil {
		return mail.Errorf(mail.Unavailable, "this server has no queue")
	}
	return nil
}

// queueRoutes adds the handlers of the queue.
func (h *Handler) queueRoutes() {
	for pattern, do := range map[string]func(*http.Request) (any, error){
		"GET /v1/queue":                 h.listQueue,
		"GET /v1/queue/count":           h.countQueue,
		"GET /v1/queue/messages/{item}": h.showMessage,
		"GET /v1/queue/sites":           h.listSites,
		"GET /v1/queue/pauses":          h.listPauses,
		"POST /v1/queue/pauses":         h.pause,
		"DELETE /v1/queue/pauses":       h.resume,
		"GET /v1/trace":                 h.trace,
	} {
		h.mux.HandleFunc(pattern, h.answer(do))
	}
	for act, do := range acts {
		h.mux.HandleFunc("POST /v1/queue/"+act, func(w http.ResponseWriter, r *http.Request) { h.changeQueue(w, r, act, do) })
	}
}

// act does one thing to what a filter chooses.
type act func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error)

var acts = map[string]act{
	"hold": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Hold(ctx, f, c.Note, p)
	},
	"release": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Release(ctx, f, c.Note, p)
	},
	"retry": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Retry(ctx, f, c.Note, p)
	},
	"reroute": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Reroute(ctx, f, c.Route, c.Note, p)
	},
	"fail": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Fail(ctx, f, c.Note, p)
	},
	"drop": func(ctx context.Context, q Queue, f queue.Filter, c QueueChange, p queue.Progress) (int, error) {
		return q.Drop(ctx, f, c.Note, p)
	},
}

func (h *Handler) listQueue(r *http.Request) (any, error) {
	query := r.URL.Query()
	filters, err := h.queueFilters(r.Context(), queryFilter(query))
	if err != nil {
		return nil, err
	}
	var after queue.DeliveryID
	if s := query.Get("after"); s != "" {
		if after, err = parseDeliveryID(s); err != nil {
			return nil, err
		}
	}
	limit, err := pageLimit(query, MaxPage)
	if err != nil {
		return nil, err
	}
	page, names := Page[QueueDelivery]{Items: []QueueDelivery{}}, h.sitesNamer()
	for _, f := range filters {
		list, err := h.Queue.List(r.Context(), f, after, limit-len(page.Items))
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			page.Items = append(page.Items, queueDeliveryOf(l, names))
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].ID
			break
		}
	}
	return page, nil
}

// pageLimit reads the limit of a list.
func pageLimit(query map[string][]string, most int) (int, error) {
	s := query["limit"]
	if len(s) == 0 || s[0] == "" {
		return most, nil
	}
	n, err := strconv.Atoi(s[0])
	if err != nil || n < 1 || n > most {
		return 0, mail.Errorf(mail.Invalid, "limit must be from 1 to %d", most)
	}
	return n, nil
}

func (h *Handler) countQueue(r *http.Request) (any, error) {
	filters, err := h.queueFilters(r.Context(), queryFilter(r.URL.Query()))
	if err != nil {
		return nil, err
	}
	var sum QueueCounts
	for _, f := range filters {
		c, err := h.Queue.Count(r.Context(), f)
		if err != nil {
			return nil, err
		}
		sum.Add(c)
	}
	return sum, nil
}

func (h *Handler) showMessage(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	id, err := parseDeliveryID(r.PathValue("item"))
	if err != nil {
		return nil, err
	}
	s, err := h.Queue.Show(r.Context(), id.Item)
	if err != nil {
		return nil, err
	}
	m := queueMessageOf(s, h.sitesNamer())
	if m.Came, err = h.came(r.Context(), s.Item, newPlaces()); err != nil {
		return nil, err
	}
	return m, nil
}

// changeQueue does an act and streams how far it is.
func (h *Handler) changeQueue(w http.ResponseWriter, r *http.Request, name string, do act) {
	change, filters, err := h.queueChange(r, name)
	if err != nil {
		fail(w, r, h.Log, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(obs.Printing(w)), http.NewResponseController(w)
	total := 0
	tell := func(p QueueProgress) {
		_ = out.Encode(p) // Whoever went away has cancelled the context.
		_ = flush.Flush()
	}
	for _, f := range filters {
		var n int
		n, err = do(r.Context(), h.Queue, f, change, func(n int) { tell(QueueProgress{Changed: total + n}) })
		total += n
		if err != nil {
			break
		}
	}
	last := QueueProgress{Changed: total, Done: err == nil}
	if err != nil {
		if mail.KindOf(err) == mail.Internal {
			h.Log.Error("administration failed", "request", r.Method+" "+r.URL.Path, "err", err)
		}
		f := failureOf(err)
		last.Failure = &f
	}
	tell(last)
}

func (h *Handler) queueChange(r *http.Request, name string) (c QueueChange, filters []queue.Filter, err error) {
	if c, err = body[QueueChange](r); err != nil {
		return c, nil, err
	}
	if filters, err = h.queueFilters(r.Context(), c.QueueFilter); err != nil {
		return c, nil, err
	}
	if c.IsZero() && !c.All && (name == "fail" || name == "drop") {
		return c, nil, mail.Errorf(mail.Invalid, "nothing says which mail; \"all\" says that all of the queue is meant")
	}
	return c, filters, nil
}

// queueFilters gives a filter, or one for each site, message or recipient that f
// names, the latter in their order.
func (h *Handler) queueFilters(ctx context.Context, f QueueFilter) ([]queue.Filter, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	one, err := f.parse()
	if err != nil {
		return nil, err
	}
	sites := []string{""}
	if f.Site != "" {
		if sites, err = h.sitesCalled(ctx, f.Site); err != nil {
			return nil, err
		}
	}
	var filters []queue.Filter
	if len(f.IDs) == 0 {
		for _, one.Site = range sites {
			filters = append(filters, one)
		}
		return filters, nil
	}
	if len(f.IDs) > MaxQueueIDs {
		return nil, mail.Errorf(mail.TooLarge, "at most %d messages at once", MaxQueueIDs)
	}
	ids, err := parseDeliveryIDs(f.IDs)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		one.Item, one.N = id.Item, id.N
		for _, one.Site = range sites {
			filters = append(filters, one)
		}
	}
	return filters, nil
}

// parse reads all but the IDs and the site.
func (f QueueFilter) parse() (out queue.Filter, err error) {
	out.NullSender = f.NullSender
	if out.Parked = f.State == stateParked; f.State != "" && !out.Parked {
		var ok bool
		if out.State, ok = queue.ParseState(f.State); !ok {
			return out, mail.Errorf(mail.Invalid, "%q is no state: there are waiting, parked, held, active and owed", f.State)
		}
	}
	if f.Sender != "" {
		if out.Sender, err = mail.ParseAddress(f.Sender); err != nil {
			return out, err
		}
	}
	if f.Recipient != "" {
		if out.Recipient, err = mail.ParseAddress(f.Recipient); err != nil {
			return out, err
		}
	}
	if f.Domain != "" {
		if out.Domain, err = mail.ParseDomain(strings.TrimPrefix(f.Domain, "@")); err != nil {
			return out, err
		}
	}
	if out.OlderThan, err = parseAge(f.Older); err != nil {
		return out, err
	}
	out.YoungerThan, err = parseAge(f.Younger)
	return out, err
}

// stateParked is of those that wait, what waits for its site and not for its turn.
const stateParked = "parked"

func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, mail.Errorf(mail.Invalid, "%q is no time like 90m or 72h", s)
	}
	return d, nil
}
