package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// QueueList gives a page of the deliveries that f chooses, those after a place:
// "", or the Next of the page before.
func (c *Client) QueueList(ctx context.Context, f QueueFilter, after string, limit int) (page Page[QueueDelivery], err error) {
	q := f.query()
	q.Set("after", after)
	q.Set("limit", strconv.Itoa(limit))
	err = c.call(ctx, http.MethodGet, "/v1/queue?"+q.Encode(), nil, &page)
	return page, err
}

// QueueCount sums up what f chooses.
func (c *Client) QueueCount(ctx context.Context, f QueueFilter) (counts QueueCounts, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/queue/count?"+f.query().Encode(), nil, &counts)
	return counts, err
}

// QueueShow tells the story of a message.
func (c *Client) QueueShow(ctx context.Context, item string) (m QueueMessage, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/queue/messages/"+url.PathEscape(item), nil, &m)
	return m, err
}

// QueueDo does an act (hold, release, retry, reroute, fail, drop) and returns
// how many deliveries it changed, also with an error. progress hears how many so
// far.
func (c *Client) QueueDo(ctx context.Context, act string, change QueueChange, progress func(changed int)) (changed int, err error) {
	resp, err := c.send(ctx, http.MethodPost, "/v1/queue/"+act, change)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for in := json.NewDecoder(resp.Body); ; {
		var p QueueProgress
		if err := in.Decode(&p); err != nil {
			return changed, fmt.Errorf("it was cut short: %w", err)
		}
		changed = p.Changed
		switch {
		case p.Failure != nil:
			return changed, p.Failure.error()
		case p.Done:
			return changed, nil
		}
		progress(changed)
	}
}

// QueueSites lists the sites where mail waits and those that the scheduler knows, of one
// state if that is not "".
func (c *Client) QueueSites(ctx context.Context, state string) ([]QueueSite, error) {
	return all[QueueSite](ctx, c, "/v1/queue/sites", url.Values{"state": {state}})
}

// QueuePauses lists the pauses in force.
func (c *Client) QueuePauses(ctx context.Context) ([]QueuePause, error) {
	return all[QueuePause](ctx, c, "/v1/queue/pauses", nil)
}

// QueuePause stops sending to a site, by a route, or at all.
func (c *Client) QueuePause(ctx context.Context, p QueuePause) (now QueuePause, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/queue/pauses", p, &now)
	return now, err
}

// QueueResume ends a pause.
func (c *Client) QueueResume(ctx context.Context, scope, name string) error {
	q := url.Values{"scope": {scope}, "name": {name}}
	return c.call(ctx, http.MethodDelete, "/v1/queue/pauses?"+q.Encode(), nil, nil)
}

// Trace tells what is known of messages.
func (c *Client) Trace(ctx context.Context, about string, since time.Time, limit int) (t Trace, err error) {
	q := url.Values{"about": {about}, "limit": {strconv.Itoa(limit)}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	err = c.call(ctx, http.MethodGet, "/v1/trace?"+q.Encode(), nil, &t)
	return t, err
}
