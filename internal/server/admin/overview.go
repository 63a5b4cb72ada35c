package admin

import (
	"context"
	"net/http"
	"time"

	"yubin/internal/mail"
)

// Health is how well something is.
type Health string

// How well, from best to worst.
const (
	Well    Health = "ok"
	Warning Health = "warning"  // it works, and needs a hand
	Trouble Health = "critical" // it does not work, or soon will not
)

// Worse returns the worse of both.
func (h Health) Worse(o Health) Health {
	if h == Trouble || o == Trouble {
		return Trouble
	}
	if h == Warning || o == Warning {
		return Warning
	}
	return Well
}

// Concern is one thing that needs a hand: what is, why, and what to do.
type Concern struct {
	Cause string `json:"cause"` // alike as long as it is the same thing: "disk", "certificate:/etc/…"
	State Health `json:"state"`
	Text  string `json:"text"`
}

// Overview is how a running server is, on one screen.
type Overview struct {
	State        Health          `json:"state"`
	Concerns     []Concern       `json:"concerns"`
	Version      string          `json:"version"`
	Hostname     string          `json:"hostname"`
	Started      time.Time       `json:"started"`
	Process      int             `json:"process"`
	Listeners    []OpenListener  `json:"listeners"`
	Queue        *QueueCounts    `json:"queue,omitempty"` // nil while it is not counted yet
	Counted      time.Time       `json:"counted,omitzero"`
	Pauses       []QueuePause    `json:"pauses"`             // of outgoing mail
	Accepted     time.Time       `json:"accepted,omitzero"`  // the last message taken since the start
	Delivered    time.Time       `json:"delivered,omitzero"` // the last one filed, or handed on
	Disk         *Disk           `json:"disk,omitempty"`     // of the data folder; nil if that is not known
	Database     int64           `json:"database"`           // octets of its file; 0 on a server
	Memory       int64           `json:"memory"`             // octets that the process has of the system
	Certificates []Certificate   `json:"certificates"`
	Warnings     []LoggedWarning `json:"warnings"` // of the last 24 hours, the latest first
}

// OpenListener is a listener of a running server.
type OpenListener struct {
	Service string `json:"service"`
	Address string `json:"address"`
	TLS     string `json:"tls"`  // none, starttls or implicit
	Open    int    `json:"open"` // connections
}

// Disk is the room on one.
type Disk struct {
	Folder string `json:"folder"`
	Free   uint64 `json:"free"`
	Total  uint64 `json:"total"`
}

// Certificate is one in use.
type Certificate struct {
	File  string    `json:"file"`
	Names []string  `json:"names"`
	Ends  time.Time `json:"ends"`
}

// LoggedWarning is a warning or an error of the log, as often as it was told in a day.
type LoggedWarning struct {
	Level   string    `json:"level"`
	Message string    `json:"message"`
	Reason  string    `json:"reason,omitempty"` // of the latest
	Count   int       `json:"count"`
	Last    time.Time `json:"last"`
}

// Overviews tells how a server is.
type Overviews interface {
	// Overview fails with Unavailable if no server runs.
	Overview(context.Context) (Overview, error)
}

// overview is GET /v1/overview.
func (h *Handler) overview(r *http.Request) (any, error) {
	if h.Overviews == nil {
		return nil, mail.Errorf(mail.Unavailable, "no server runs")
	}
	return h.Overviews.Overview(r.Context())
}

// Overview asks how the server is.
func (c *Client) Overview(ctx context.Context) (o Overview, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/overview", nil, &o)
	return o, err
}
