package admin

import (
	"context"
	"net/http"
	"net/url"

	book "yubin/internal/engine/copies"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

// Copies keeps the rules of who gets copies of mail.
type Copies interface {
	Rules() []book.Rule
	Add(ctx context.Context, r book.Rule) error
	Remove(ctx context.Context, name string) error
	Explain(ctx context.Context, q route.Question) []route.Step
}

// Copy is a rule; see copies.Rule.
type Copy struct {
	Name       string `json:"name"`
	Side       string `json:"side"` // to, from, any
	Pattern    string `json:"pattern"`
	Into       string `json:"into"`
	Mailbox    string `json:"mailbox,omitempty"`
	Envelope   bool   `json:"envelope,omitempty"`
	Reports    bool   `json:"reports,omitempty"`
	Unreadable string `json:"unreadable,omitempty"` // what is wrong with its row; then it copies nothing
}

func copyOf(r book.Rule) Copy {
	return Copy{Name: r.Name, Side: string(r.Side), Pattern: r.Pattern.String(), Into: r.Into.String(), Mailbox: string(r.Mailbox),
		Envelope: r.Envelope, Reports: r.Reports, Unreadable: r.Unreadable}
}

// rule reads c. The error is of kind Invalid.
func (c Copy) rule() (r book.Rule, err error) {
	r = book.Rule{Name: c.Name, Side: book.Side(c.Side), Envelope: c.Envelope, Reports: c.Reports}
	if r.Pattern, err = book.ParsePattern(c.Pattern); err != nil {
		return r, err
	}
	if r.Into, err = mail.ParseAddress(c.Into); err != nil {
		return r, err
	}
	if c.Mailbox != "" {
		r.Mailbox, err = mail.ParseMailboxName(c.Mailbox)
	}
	return r, err
}

func (h *Handler) listCopies(*http.Request) (any, error) {
	list := []Copy{}
	for _, r := range h.Copies.Rules() {
		list = append(list, copyOf(r))
	}
	return Page[Copy]{Items: list}, nil
}

func (h *Handler) addCopy(r *http.Request) (any, error) {
	in, err := body[Copy](r)
	if err != nil {
		return nil, err
	}
	rule, err := in.rule()
	if err != nil {
		return nil, err
	}
	return copyOf(rule), h.Copies.Add(r.Context(), rule)
}

func (h *Handler) removeCopy(r *http.Request) (any, error) {
	return done{}, h.Copies.Remove(r.Context(), r.PathValue("name"))
}

// Copies lists the rules of who gets copies.
func (c *Client) Copies(ctx context.Context) ([]Copy, error) {
	return all[Copy](ctx, c, "/v1/copies", nil)
}

// AddCopy makes a rule.
func (c *Client) AddCopy(ctx context.Context, in Copy) (made Copy, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/copies", in, &made)
	return made, err
}

// RemoveCopy deletes a rule.
func (c *Client) RemoveCopy(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/copies/"+url.PathEscape(name), nil, nil)
}
