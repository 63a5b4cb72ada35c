package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/sending"
	"yubin/internal/mail"
)

// Sending bounds what accounts send.
type Sending interface {
	Status(ctx context.Context, who sending.Sender) (sending.Status, error)
	Rule(ctx context.Context, of sending.Scope) (sending.Rule, error)
	SetRule(ctx context.Context, of sending.Scope, c sending.Change) (sending.Rule, error)
	Release(ctx context.Context, who sending.Sender, stolen bool) (sending.Held, error)
}

// SendingRule says how much an account, or each of a domain, may send. Of bounds 0 is none,
// and -1 leaves it to what is wider.
type SendingRule struct {
	MessagesHour int64  `json:"messages_hour"`
	MessagesDay  int64  `json:"messages_day"`
	NewHour      int64  `json:"new_hour"` // recipients that are new to the account
	NewDay       int64  `json:"new_day"`
	Breaker      string `json:"breaker"` // "on", "off", or "default": as what is wider says
}

// SendingChange says what to change of a rule; nil leaves it.
type SendingChange struct {
	MessagesHour *int64  `json:"messages_hour,omitempty"`
	MessagesDay  *int64  `json:"messages_day,omitempty"`
	NewHour      *int64  `json:"new_hour,omitempty"`
	NewDay       *int64  `json:"new_day,omitempty"`
	Breaker      *string `json:"breaker,omitempty"`
}

// SentCount is how much was sent in a time.
type SentCount struct {
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	New        int64 `json:"new"`
	Bounced    int64 `json:"bounced"`
}

// SendingUsual is what is usual of a number a day.
type SendingUsual struct {
	Median    int64 `json:"median"`
	Deviation int64 `json:"deviation"` // median absolute deviation
	Most      int64 `json:"most"`      // on nine days of ten
	Bound     int64 `json:"bound"`     // what is let through, if nothing is unusual
}

// SendingHeld says that mail of an account is kept back.
type SendingHeld struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	Queued int       `json:"queued"` // recipients in the queue
}

// SendingOf is what is known of what an account sends.
type SendingOf struct {
	Account string      `json:"account"`
	Off     bool        `json:"off,omitempty"` // nothing is counted here
	Own     SendingRule `json:"own"`           // said of itself
	Rule    SendingRule `json:"rule"`          // what counts

	Usage SendingUsage `json:"usage"`
}

// SendingUsage is what changes by itself.
type SendingUsage struct {
	Hour   SentCount `json:"hour"`             // of the clock
	Day    SentCount `json:"day"`              // 24 hours
	GoesOn time.Time `json:"goes_on,omitzero"` // when it may send again
	Today  SentCount `json:"today"`            // since midnight UTC, or since the release

	Days       int          `json:"days"`  // with mail, of the 30 before today
	Young      bool         `json:"young"` // that are too few to go by
	Recipients SendingUsual `json:"recipients"`
	New        SendingUsual `json:"new"`
	Bounces    float64      `json:"bounces"` // the usual share of recipients that bounce
	Hours      []int        `json:"hours"`   // UTC, in which it sends
	Networks   []string     `json:"networks"`
	Held       *SendingHeld `json:"held,omitempty"`
}

// SendingRelease lets the mail of an account go, or removes it.
type SendingRelease struct {
	Drop bool `json:"drop,omitempty"`
}

// SendingReleased says how many recipients that was.
type SendingReleased struct {
	Account    string `json:"account"`
	Dropped    bool   `json:"dropped"`
	Recipients int    `json:"recipients"`
}

func (h *Handler) sendingRoutes() map[string]func(*http.Request) (any, error) {
	if h.Sending == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET /v1/accounts/{address}/sending":   h.showSending,
		"PATCH /v1/accounts/{address}/sending": h.changeSending,
		"POST /v1/accounts/{address}/release":  h.releaseSending,
		"GET /v1/domains/{domain}/sending":     h.showDomainSending,
		"PATCH /v1/domains/{domain}/sending":   h.changeDomainSending,
	}
}

var breakers = map[int]string{sending.Off: "off", sending.On: "on", sending.Above: "default"}

func sendingRuleOf(r sending.Rule) SendingRule {
	return SendingRule{r.MessagesHour, r.MessagesDay, r.NewHour, r.NewDay, breakers[r.Breaker]}
}

func (c SendingChange) change() (out sending.Change, err error) {
	out = sending.Change{MessagesHour: c.MessagesHour, MessagesDay: c.MessagesDay, NewHour: c.NewHour, NewDay: c.NewDay}
	if c.Breaker == nil {
		return out, nil
	}
	for n, name := range breakers {
		if name == strings.ToLower(*c.Breaker) {
			out.Breaker = &n
			return out, nil
		}
	}
	return out, mail.Errorf(mail.Invalid, "the breaker is on, off or default, not %q", *c.Breaker)
}

// sender finds the account that a path names.
func (h *Handler) sender(r *http.Request) (a directory.Account, who sending.Sender, err error) {
	address, err := mail.ParseAddress(r.PathValue("address"))
	if err == nil {
		a, err = h.Accounts.Account(r.Context(), address)
	}
	return a, sending.Sender{Account: a.ID, Domain: a.Address.Domain}, err
}

func (h *Handler) showSending(r *http.Request) (any, error) {
	a, who, err := h.sender(r)
	if err != nil {
		return nil, err
	}
	return h.sendingOf(r.Context(), a, who)
}

func (h *Handler) sendingOf(ctx context.Context, a directory.Account, who sending.Sender) (out SendingOf, err error) {
	s, err := h.Sending.Status(ctx, who)
	if err != nil {
		return out, err
	}
	b := s.Baseline
	out = SendingOf{Account: a.Address.String(), Off: s.Off, Own: sendingRuleOf(s.Own), Rule: sendingRuleOf(s.Rule), Usage: SendingUsage{
		Hour: SentCount(s.Hour), Day: SentCount(s.Day), GoesOn: s.GoesOn, Today: SentCount(s.Today), Days: b.Days, Young: b.IsYoung(),
		Recipients: SendingUsual(b.Recipients), New: SendingUsual(b.New), Bounces: b.Bounces, Hours: []int{}, Networks: []string{}}}
	for hour := range 24 {
		if b.Hours>>hour&1 == 1 {
			out.Usage.Hours = append(out.Usage.Hours, hour)
		}
	}
	for _, p := range b.Networks {
		out.Usage.Networks = append(out.Usage.Networks, p.String())
	}
	if s.Held == nil || h.Queue == nil {
		return out, nil
	}
	n, err := h.Queue.Count(ctx, queue.Filter{Account: who.Account, HeldBy: queue.HeldBySending})
	out.Usage.Held = &SendingHeld{Since: s.Held.Since, Reason: s.Held.Reason, Queued: n.Held}
	return out, err
}

func (h *Handler) changeSending(r *http.Request) (any, error) {
	a, who, err := h.sender(r)
	if err != nil {
		return nil, err
	}
	in, err := body[SendingChange](r)
	if err != nil {
		return nil, err
	}
	c, err := in.change()
	if err != nil {
		return nil, err
	}
	if _, err := h.Sending.SetRule(r.Context(), sending.Scope{Account: who.Account}, c); err != nil {
		return nil, err
	}
	return h.sendingOf(r.Context(), a, who)
}

// domainScope finds the domain that a path names.
func (h *Handler) domainScope(r *http.Request) (of sending.Scope, err error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return of, err
	}
	d, err := h.Domains.Domain(r.Context(), name)
	return sending.Scope{Domain: d.Name}, err
}

func (h *Handler) showDomainSending(r *http.Request) (any, error) {
	of, err := h.domainScope(r)
	if err != nil {
		return nil, err
	}
	rule, err := h.Sending.Rule(r.Context(), of)
	return sendingRuleOf(rule), err
}

func (h *Handler) changeDomainSending(r *http.Request) (any, error) {
	of, err := h.domainScope(r)
	if err != nil {
		return nil, err
	}
	in, err := body[SendingChange](r)
	if err != nil {
		return nil, err
	}
	c, err := in.change()
	if err != nil {
		return nil, err
	}
	rule, err := h.Sending.SetRule(r.Context(), of, c)
	return sendingRuleOf(rule), err
}

// releaseSending lets an account send again, and what is held of its mail go, or removes that.
// What is held although the account is not, as after a crash between the two, goes too.
func (h *Handler) releaseSending(r *http.Request) (any, error) {
	if err := h.needQueue(); err != nil {
		return nil, err
	}
	a, who, err := h.sender(r)
	if err != nil {
		return nil, err
	}
	in, err := body[SendingRelease](r)
	if err != nil {
		return nil, err
	}
	_, notHeld := h.Sending.Release(r.Context(), who, in.Drop)
	if notHeld != nil && mail.KindOf(notHeld) != mail.NotFound {
		return nil, notHeld
	}
	act, note := h.Queue.Release, "the account is released"
	if in.Drop {
		act, note = h.Queue.Drop, "the account was not its owner's"
	}
	n, err := act(r.Context(), queue.Filter{Account: who.Account, HeldBy: queue.HeldBySending}, note, nil)
	if err == nil && n == 0 && notHeld != nil {
		err = mail.Errorf(mail.NotFound, "nothing that %s sent is held because of what it sends", a.Address)
	}
	return SendingReleased{Account: a.Address.String(), Dropped: in.Drop, Recipients: n}, err
}

// SendingOf tells what is known of what an account sends.
func (c *Client) SendingOf(ctx context.Context, address string) (s SendingOf, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/accounts/"+url.PathEscape(address)+"/sending", nil, &s)
	return s, err
}

// SetSending changes how much an account may send.
func (c *Client) SetSending(ctx context.Context, address string, change SendingChange) (s SendingOf, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/accounts/"+url.PathEscape(address)+"/sending", change, &s)
	return s, err
}

// ReleaseSending lets an account send again.
func (c *Client) ReleaseSending(ctx context.Context, address string, drop bool) (s SendingReleased, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(address)+"/release", SendingRelease{drop}, &s)
	return s, err
}

// DomainSending tells how much each account of a domain may send, if it has no rule of its own.
func (c *Client) DomainSending(ctx context.Context, domain string) (r SendingRule, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/domains/"+url.PathEscape(domain)+"/sending", nil, &r)
	return r, err
}

// SetDomainSending changes that.
func (c *Client) SetDomainSending(ctx context.Context, domain string, change SendingChange) (r SendingRule, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/domains/"+url.PathEscape(domain)+"/sending", change, &r)
	return r, err
}
