package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"yubin/internal/engine/bans"
	"yubin/internal/mail"
)

// Bans knows who is turned away.
type Bans interface {
	List() []bans.Ban
	Why(ctx context.Context, a netip.Addr) (bans.Why, error)
	Add(ctx context.Context, o bans.Order) (bans.Ban, error)
	Lift(ctx context.Context, p netip.Prefix) ([]bans.Ban, error)
	Counts() bool
}

// Ban is a network that is turned away.
type Ban struct {
	Network string    `json:"network"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // none: until it is lifted
	Reason  string    `json:"reason"`
	By      string    `json:"by"`      // "counting" or "hand"
	Before  int       `json:"before"`  // how often it was banned before, as far as that counts
	Refused int64     `json:"refused"` // connections turned away, of the process that is asked
}

// NewBan asks for a ban.
type NewBan struct {
	Network   string `json:"network"`              // or an address
	Seconds   int64  `json:"seconds,omitempty"`    // how long; 0: until it is lifted
	Reason    string `json:"reason,omitempty"`     // for who asks why
	OwnersToo bool   `json:"owners_too,omitempty"` // it may be a network from which owners of accounts log in
}

// BanWhy is all that is known of an address.
type BanWhy struct {
	Address string    `json:"address"`
	Ban     *Ban      `json:"ban,omitempty"`
	Over    *Ban      `json:"over,omitempty"`    // the last one, which is over
	Counts  bool      `json:"counts"`            // a server that counts was asked
	Counted string    `json:"counted,omitempty"` // in words
	Score   float64   `json:"score"`             // of Enough
	Enough  float64   `json:"enough"`
	First   time.Time `json:"first,omitzero"` // of what was counted
	Last    time.Time `json:"last,omitzero"`
	Exempt  string    `json:"exempt,omitempty"` // why it would not be banned now
}

const bansPath = "/v1/bans"

func (h *Handler) banRoutes() map[string]func(*http.Request) (any, error) {
	if h.Bans == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET " + bansPath:                   h.listBans,
		"POST " + bansPath:                  h.addBan,
		"GET " + bansPath + "/{network}":    h.whyBanned,
		"DELETE " + bansPath + "/{network}": h.liftBan,
	}
}

func banOf(b bans.Ban) Ban {
	by := "counting"
	if b.ByHand {
		by = "hand"
	}
	return Ban{Network: b.Network.String(), Since: b.Since, Until: b.Until, Reason: b.Reason, By: by, Before: max(0, b.Level), Refused: b.Refused}
}

func (h *Handler) listBans(*http.Request) (any, error) {
	page := Page[Ban]{Items: []Ban{}}
	for _, b := range h.Bans.List() {
		page.Items = append(page.Items, banOf(b))
	}
	return page, nil
}

func (h *Handler) addBan(r *http.Request) (any, error) {
	in, err := body[NewBan](r)
	if err != nil {
		return nil, err
	}
	p, err := bans.ParseNetwork(in.Network)
	if err != nil {
		return nil, err
	}
	if in.Seconds < 0 || in.Seconds > int64(bans.LongestByHand/time.Second) {
		return nil, mail.Errorf(mail.Invalid, "a ban is for 1 second to %d days, or until it is lifted", bans.LongestByHand/(24*time.Hour))
	}
	b, err := h.Bans.Add(r.Context(), bans.Order{Network: p, For: time.Duration(in.Seconds) * time.Second, Reason: in.Reason, OwnersToo: in.OwnersToo})
	return banOf(b), err
}

func (h *Handler) whyBanned(r *http.Request) (any, error) {
	a, err := netip.ParseAddr(r.PathValue("network"))
	if err != nil || a.Zone() != "" {
		p, bad := bans.ParseNetwork(r.PathValue("network"))
		if bad != nil {
			return nil, bad
		}
		a = p.Addr()
	}
	w, err := h.Bans.Why(r.Context(), a)
	out := BanWhy{Address: w.Address.String(), Counts: w.Counted, Counted: w.Counts, Score: float64(int(w.Score*10)) / 10, Enough: bans.Enough,
		First: w.First, Last: w.Last, Exempt: w.Exempt}
	if w.Ban != nil {
		b := banOf(*w.Ban)
		out.Ban = &b
	}
	if w.Before != nil {
		b := banOf(*w.Before)
		out.Over = &b
	}
	return out, err
}

func (h *Handler) liftBan(r *http.Request) (any, error) {
	p, err := bans.ParseNetwork(r.PathValue("network"))
	if err != nil {
		return nil, err
	}
	lifted, err := h.Bans.Lift(r.Context(), p)
	page := Page[Ban]{Items: []Ban{}}
	for _, b := range lifted {
		page.Items = append(page.Items, banOf(b))
	}
	return page, err
}

// ListBans lists who is turned away now.
func (c *Client) ListBans(ctx context.Context) ([]Ban, error) {
	return all[Ban](ctx, c, bansPath, nil)
}

// AddBan has a network turned away.
func (c *Client) AddBan(ctx context.Context, b NewBan) (made Ban, err error) {
	err = c.call(ctx, http.MethodPost, bansPath, b, &made)
	return made, err
}

// WhyBanned tells all that is known of an address.
func (c *Client) WhyBanned(ctx context.Context, address string) (w BanWhy, err error) {
	err = c.call(ctx, http.MethodGet, bansPath+"/"+url.PathEscape(address), nil, &w)
	return w, err
}

// LiftBan ends the bans of an address or network, which it returns.
func (c *Client) LiftBan(ctx context.Context, network string) ([]Ban, error) {
	var page Page[Ban]
	err := c.call(ctx, http.MethodDelete, bansPath+"/"+url.PathEscape(network), nil, &page)
	return page.Items, err
}
