package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/audit"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Audit keeps what was changed.
type Audit interface {
	Add(context.Context, ...audit.Line) error
	List(context.Context, audit.Filter) ([]audit.Line, error)
}

// Every request that may change something passes audited, whatever handles it: what is
// not a GET leaves a line, unless it stands in changesNothing. The answer, or the last
// line of one that is streamed, leaves when the line is durable. A request that does many
// things has a line for each instead: its handler tells them with did.

// changesNothing are the requests that are no GET and leave everything as it is.
var changesNothing = map[string]bool{
	"POST " + judgePath:  true,
	"POST " + planPath:   true,
	"POST /v1/check":     true,
	"POST /v1/junk/test": true,

	"POST " + retentionPath + "/preview": true,
	"POST " + selftestPath:               true, // It takes away what it sent; the account that it makes is its own.
}

// movesAway is the request after which nothing can be written here any more: its line is
// kept before, and so the new post office has it too.
const movesAway = "POST /v1/move"

// auditWait bounds how long the line of a change is waited for: the change is made, and
// who made it waits for the answer.
const auditWait = 5 * time.Second

// maxAnswer is how much of an answer is looked at for what a change came to.
const maxAnswer = 64 << 10

// routes is a mux that knows what it has.
type routes struct {
	*http.ServeMux
	patterns []string
}

func (m *routes) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

func (m *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// audited serves a request that may change something, and keeps a line of it if it was
// not refused.
func (h *Handler) audited(w http.ResponseWriter, r *http.Request) {
	_, pattern := h.mux.Handler(r)
	if h.Audit == nil || pattern == "" || r.Method == http.MethodGet || r.Method == http.MethodHead || changesNothing[pattern] {
		h.mux.ServeHTTP(w, r)
		return
	}
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, r, h.Log, mail.Errorf(mail.Invalid, "the request cannot be read: %v", err))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(asked))
	in := withPaths(object(asked), r)
	if in["dry_run"] == true {
		h.mux.ServeHTTP(w, r)
		return
	}
	if pattern == movesAway {
		h.leaveLine(r, pattern, in, nil, false, nil)
		h.mux.ServeHTTP(w, r)
		return
	}
	before, whole := h.asItIs(r, in)
	held := &heldBack{ResponseWriter: w, status: http.StatusOK}
	var done deeds
	r = r.WithContext(context.WithValue(r.Context(), deedsKey{}, &done))
	h.mux.ServeHTTP(held, r)
	switch {
	case len(done.lines) > 0: // They are done, also if something after them was not.
		h.keepLines(r, done.lines...)
	case held.status < 300:
		h.leaveLine(r, pattern, in, before, whole, held.last)
	}
	held.release()
}

// deeds are what one request did, where that are many things.
type deeds struct{ lines []audit.Line }

type deedsKey struct{}

// did notes one of many things that a request did: what, to whom, and JSON of how it was
// and is.
func did(ctx context.Context, what, subject, before, after string) {
	if d, ok := ctx.Value(deedsKey{}).(*deeds); ok {
		d.lines = append(d.lines, audit.Line{What: what, Subject: subject, Before: before, After: after})
	}
}

// withPaths is what was asked for with the paths of the files that come with the request:
// "folder" if it is one, else "folders".
func withPaths(in map[string]any, r *http.Request) map[string]any {
	places, _ := placesOf(r)
	if len(places) == 0 {
		return in
	}
	if in == nil {
		in = make(map[string]any)
	}
	if len(places) == 1 {
		in["folder"] = places[0].Path()
		return in
	}
	var paths []any
	for _, p := range places {
		paths = append(paths, p.Path())
	}
	in["folders"] = clean(paths)
	return in
}

// leaveLine keeps and logs the line of a change; whole says that before is the very
// thing that the request names.
func (h *Handler) leaveLine(r *http.Request, pattern string, in, before map[string]any, whole bool, answer []byte) {
	after := object(answer)
	if r.Method == http.MethodDelete {
		after = nil
	}
	if before != nil && (r.Method != http.MethodDelete || !whole) {
		if now, _ := h.asItIs(r, in); now != nil {
			before, after = differing(before, now)
		}
	}
	h.keepLines(r, audit.Line{What: whatOf(pattern), Subject: subjectOf(pattern, r, in, after), Asked: text(in), Before: text(before), After: text(after)})
}

// keepLines keeps and logs what a caller did.
func (h *Handler) keepLines(r *http.Request, lines ...audit.Line) {
	caller := callerOf(r.Context())
	for i := range lines {
		l := &lines[i]
		l.UID, l.Who, l.Via = caller.UID, caller.Name, caller.Via
		h.Log.Info("administration", "request", r.Method+" "+r.URL.Path, "uid", l.UID, "who", l.Who, "what", l.What, "subject", l.Subject,
			"before", l.Before, "after", l.After)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditWait)
	defer cancel()
	if err := h.Audit.Add(ctx, lines...); err != nil {
		h.Log.Error("a change was made, and its audit line not kept; the lines above have it", "what", lines[0].What, "subject", lines[0].Subject,
			"lines", len(lines), obs.Err(err))
	}
}

// asItIs is what a GET of the same path tells, if there is one: the whole thing that is
// changed; or else a GET of the thing that it is part of. It is nil where there is
// neither.
func (h *Handler) asItIs(r *http.Request, in map[string]any) (o map[string]any, whole bool) {
	if r.Method == http.MethodPost {
		return nil, false
	}
	get, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.URL.String(), http.NoBody)
	if err != nil {
		return nil, false
	}
	query := get.URL.Query()
	for _, scope := range []string{"account", "domain"} { // Of which thing, where the path does not say.
		if s, ok := in[scope].(string); ok && query.Get(scope) == "" {
			query.Set(scope, s)
		}
	}
	get.URL.RawQuery = query.Encode()
	_, pattern := h.mux.Handler(get)
	whole = strings.HasPrefix(pattern, "GET ")
	if !whole {
		get.URL = get.URL.JoinPath("..")
		get.URL.Path, get.URL.RawPath = strings.TrimSuffix(get.URL.Path, "/"), strings.TrimSuffix(get.URL.RawPath, "/")
		if _, pattern = h.mux.Handler(get); !strings.HasPrefix(pattern, "GET ") || !strings.HasSuffix(pattern, "}") {
			return nil, false
		}
	}
	var told glance
	h.mux.ServeHTTP(&told, get)
	if told.status >= 300 {
		return nil, false
	}
	return object(told.body.Bytes()), whole
}

// whatOf names what a request does by its pattern: "accounts add" of POST
// /v1/accounts, "queue hold" of POST /v1/queue/hold.
func whatOf(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	var words []string
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/v1/"), "/") {
		if !strings.HasPrefix(part, "{") {
			words = append(words, part)
		}
	}
	verb := map[string]string{http.MethodPut: "set", http.MethodPatch: "change", http.MethodDelete: "remove"}[method]
	if method == http.MethodPost && (len(words) == 1 && collections[words[0]] || strings.HasSuffix(path, "/pauses") || strings.HasSuffix(path, "/senders") || strings.HasSuffix(path, "/passwords")) {
		verb = "add"
	}
	return strings.TrimSpace(strings.Join(words, " ") + " " + verb)
}

// collections are what a POST adds one to; any other POST says itself what it does.
var collections = map[string]bool{"domains": true, "accounts": true, "aliases": true, "networks": true, "groups": true, "grants": true, "bans": true}

// subjectOf is what was changed: what the path names, or else what the request or the
// answer calls it.
func subjectOf(pattern string, r *http.Request, in, after map[string]any) string {
	var names []string
	for part := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, r.PathValue(strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")))
		}
	}
	for _, of := range []map[string]any{after, in} {
		for _, key := range []string{"address", "domain", "name", "network", "account", "sender", "site", "route", "folder"} {
			if s, ok := of[key].(string); ok && s != "" && len(names) == 0 {
				names = append(names, s)
			}
		}
	}
	return strings.Join(names, " ")
}

// moving are keys of what changes by itself, or follows from what else is told.
var moving = map[string]bool{"usage": true, "holds": true, "counts": true}

// secret reports whether what stands under a key is nobody's business: whole names, as
// "passed" of a report is none.
func secret(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "password") || strings.Contains(key, "secret") || strings.Contains(key, "token") ||
		key == "hash" || key == "hashes" || key == "database" || key == "code" || key == "recovery_codes"
}

// maxListed is how many entries of a list a line has.
const maxListed = 50

// object reads a JSON object, without secrets and what changes by itself; nil if it is
// none.
func object(text []byte) map[string]any {
	var o map[string]any
	if len(text) > maxAnswer || json.Unmarshal(text, &o) != nil {
		return nil
	}
	maps.DeleteFunc(o, func(key string, _ any) bool { return moving[key] })
	clean(o)
	return o
}

// clean takes secrets out of v, and the end off long lists.
func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if secret(key) && value != nil && value != "" {
				v[key] = obs.Secret("").String()
				continue
			}
			v[key] = clean(value)
		}
	case []any:
		if more := len(v) - maxListed; more > 0 {
			return append(clean(v[:maxListed:maxListed]).([]any), "and "+strconv.Itoa(more)+" more")
		}
		for i := range v {
			v[i] = clean(v[i])
		}
	}
	return v
}

// differing are the entries in which two states differ.
func differing(before, after map[string]any) (was, is map[string]any) {
	was, is = map[string]any{}, map[string]any{}
	for key := range before {
		if !reflect.DeepEqual(before[key], after[key]) {
			was[key] = before[key]
		}
	}
	for key := range after {
		if !reflect.DeepEqual(before[key], after[key]) {
			is[key] = after[key]
		}
	}
	return was, is
}

func text(o map[string]any) string {
	if len(o) == 0 {
		return ""
	}
	b, err := json.Marshal(o)
	if err != nil {
		return ""
	}
	return string(b)
}

// heldBack keeps the last thing that was written until it is released.
type heldBack struct {
	http.ResponseWriter
	status int
	begun  bool
	last   []byte
}

func (w *heldBack) WriteHeader(status int) { w.status = status }

func (w *heldBack) Write(p []byte) (int, error) {
	if w.last != nil {
		if err := w.send(); err != nil {
			return 0, err
		}
	}
	w.last = slices.Clone(p)
	return len(p), nil
}

func (w *heldBack) send() error {
	if !w.begun {
		w.begun = true
		w.ResponseWriter.WriteHeader(w.status)
	}
	_, err := w.ResponseWriter.Write(w.last)
	w.last = nil
	return err
}

// FlushError sends what was written but for the last.
func (w *heldBack) FlushError() error {
	if !w.begun {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets a handler have the connection to itself.
func (w *heldBack) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *heldBack) release() {
	if w.last != nil {
		_ = w.send()
	} else if !w.begun && w.status != http.StatusOK {
		w.ResponseWriter.WriteHeader(w.status)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// glance takes an answer into memory, up to maxAnswer.
type glance struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (g *glance) Header() http.Header {
	if g.header == nil {
		g.header = http.Header{}
	}
	return g.header
}

func (g *glance) WriteHeader(status int) { g.status = status }

func (g *glance) Write(p []byte) (int, error) {
	if g.body.Len()+len(p) > maxAnswer {
		return 0, io.ErrShortBuffer
	}
	return g.body.Write(p)
}

// AuditLine is one change by an administrator. Asked, Before and After are JSON:
// objects, or a text of one thing; without secrets. Of what was changed in place they have what differs.
type AuditLine struct {
	ID      int64           `json:"id"`
	At      time.Time       `json:"at"`
	UID     int             `json:"uid"` // -1 if it is not known
	Who     string          `json:"who"`
	Via     string          `json:"via"` // "socket", or "process" while no server ran
	What    string          `json:"what"`
	Subject string          `json:"subject,omitempty"`
	Asked   json.RawMessage `json:"asked,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
}

// AuditFilter says which lines are wanted.
type AuditFilter struct {
	Since time.Time
	Who   string
	What  string
}

func (h *Handler) listAudit(r *http.Request) (any, error) {
	if h.Audit == nil {
		return nil, mail.Errorf(mail.Unavailable, "this server keeps no audit lines")
	}
	query := r.URL.Query()
	f := audit.Filter{Who: query.Get("who"), What: query.Get("what"), Limit: MaxPage}
	var err error
	if s := query.Get("since"); s != "" {
		if f.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, mail.Errorf(mail.Invalid, "since must be a time as in RFC 3339")
		}
	}
	if s := query.Get("after"); s != "" {
		if f.Below, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, mail.Errorf(mail.Invalid, "after must be a number")
		}
	}
	if s := query.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 1 || f.Limit > MaxPage {
			return nil, mail.Errorf(mail.Invalid, "limit must be from 1 to %d", MaxPage)
		}
	}
	list, err := h.Audit.List(r.Context(), f)
	page := Page[AuditLine]{Items: make([]AuditLine, len(list))}
	for i, l := range list {
		page.Items[i] = AuditLine{ID: l.ID, At: l.At, UID: l.UID, Who: l.Who, Via: l.Via, What: l.What, Subject: l.Subject,
			Asked: raw(l.Asked), Before: raw(l.Before), After: raw(l.After)}
	}
	if len(list) == f.Limit {
		page.Next = strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return page, err
}

func raw(s string) json.RawMessage {
	if s == "" || !json.Valid([]byte(s)) {
		return nil
	}
	return json.RawMessage(s)
}

// AuditLines returns changes, the latest first, at most limit of them.
func (c *Client) AuditLines(ctx context.Context, f AuditFilter, limit int) (list []AuditLine, err error) {
	query := url.Values{"who": {f.Who}, "what": {f.What}}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	for len(list) < limit {
		query.Set("limit", strconv.Itoa(min(MaxPage, limit-len(list))))
		var page Page[AuditLine]
		if err := c.call(ctx, http.MethodGet, "/v1/audit?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Items...)
		if page.Next == "" {
			break
		}
		query.Set("after", page.Next)
	}
	return list, nil
}
