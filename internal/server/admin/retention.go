package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/retention"
	"yubin/internal/mail"
)

// Retention has mailboxes emptied of what they have kept long enough.
type Retention interface {
	Set(ctx context.Context, r retention.Rule) error
	Unset(ctx context.Context, of retention.Scope, role mail.Role) error
	Rules(ctx context.Context) ([]retention.Rule, error)
	For(ctx context.Context, account mail.AccountID, domain mail.Domain) (map[mail.Role]retention.Rule, error)
	Due(ctx context.Context, account mail.AccountID, r retention.Rule) (int, error)
	Preview(ctx context.Context, r retention.Rule) (retention.Preview, error)
}

// RetentionRule says how long mail is kept in the mailbox with a role.
type RetentionRule struct {
	Scope
	Role string `json:"role"` // trash, junk, ...
	Keep int64  `json:"keep"` // seconds since a message came into that mailbox; 0 is forever
}

// RetentionSet is a rule that was made, with what is due by it.
type RetentionSet struct {
	RetentionRule
	Accounts   int   `json:"accounts"`   // that have mail that was kept long enough
	Messages   int   `json:"messages"`   // that were
	Restorable int64 `json:"restorable"` // seconds for which what is expunged can be restored
}

// RetentionOf is what counts for a mailbox of an account.
type RetentionOf struct {
	Role     string `json:"role"`
	Mailbox  string `json:"mailbox"`
	Keep     int64  `json:"keep"`
	Rule     *Scope `json:"rule,omitempty"` // whose it is; none if no rule is for it
	Messages int64  `json:"messages"`
	Due      int    `json:"due"` // of them
}

const retentionPath = "/v1/retention"

func (h *Handler) retention() map[string]func(*http.Request) (any, error) {
	if h.Retention == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET " + retentionPath:                h.listRetention,
		"PUT " + retentionPath:                h.setRetention,
		"DELETE " + retentionPath:             h.unsetRetention,
		"POST " + retentionPath + "/preview":  h.previewRetention,
		"GET " + retentionPath + "/{address}": h.showRetention,
	}
}

// retentionScope finds whose mail is meant.
func (h *Handler) retentionScope(ctx context.Context, s Scope) (of retention.Scope, err error) {
	switch {
	case s.Account != "" && s.Domain != "":
		return of, mail.Errorf(mail.Invalid, "give an account or a domain, not both")
	case s.Account != "":
		a, err := mail.ParseAddress(s.Account)
		if err != nil {
			return of, err
		}
		found, err := h.Accounts.Account(ctx, a)
		return retention.Scope{Account: found.ID}, err
	case s.Domain != "":
		name, err := mail.ParseDomain(s.Domain)
		if err != nil {
			return of, err
		}
		d, err := h.Domains.Domain(ctx, name)
		return retention.Scope{Domain: d.Name}, err
	}
	return of, nil
}

func (h *Handler) ruleIn(r *http.Request) (in RetentionRule, rule retention.Rule, err error) {
	if in, err = body[RetentionRule](r); err != nil {
		return in, rule, err
	}
	if in.Keep < 0 || in.Keep > int64(retention.MaxKeep/time.Second) {
		return in, rule, mail.Errorf(mail.Invalid, "mail is kept for 1 to %d days, or forever", retention.MaxKeep/retention.MinKeep)
	}
	rule = retention.Rule{Role: mail.Role(in.Role), Keep: time.Duration(in.Keep) * time.Second}
	rule.Scope, err = h.retentionScope(r.Context(), in.Scope)
	return in, rule, err
}

func (h *Handler) setRetention(r *http.Request) (any, error) {
	in, rule, err := h.ruleIn(r)
	if err != nil {
		return nil, err
	}
	if err := h.Retention.Set(r.Context(), rule); err != nil {
		return nil, err
	}
	return RetentionSet{RetentionRule: in, Restorable: h.restorable()}, nil
}

// restorable is for how many seconds what is expunged can be restored.
func (h *Handler) restorable() int64 { return int64(h.Store.Retention().Expunged / time.Second) }

func (h *Handler) previewRetention(r *http.Request) (any, error) {
	in, rule, err := h.ruleIn(r)
	if err != nil {
		return nil, err
	}
	p, err := h.Retention.Preview(r.Context(), rule)
	return RetentionSet{RetentionRule: in, Accounts: p.Accounts, Messages: p.Messages, Restorable: h.restorable()}, err
}

func (h *Handler) unsetRetention(r *http.Request) (any, error) {
	scope, err := h.retentionScope(r.Context(), scopeOf(r))
	if err != nil {
		return nil, err
	}
	role := mail.Role(r.URL.Query().Get("role"))
	if !slices.Contains(retention.Roles(), role) {
		return nil, mail.Errorf(mail.Invalid, "%q is no kind of mailbox; there are %s", string(role), retention.RoleWords())
	}
	return done{}, h.Retention.Unset(r.Context(), scope, role)
}

func (h *Handler) listRetention(r *http.Request) (any, error) {
	rules, err := h.Retention.Rules(r.Context())
	if err != nil {
		return nil, err
	}
	names, err := h.accountNames(r.Context(), rules)
	page := Page[RetentionRule]{Items: make([]RetentionRule, 0, len(rules))}
	for _, rule := range rules {
		page.Items = append(page.Items, RetentionRule{Scope{names[rule.Account], string(rule.Domain)}, string(rule.Role), int64(rule.Keep / time.Second)})
	}
	return page, err
}

// accountNames are the addresses of the accounts that have rules.
func (h *Handler) accountNames(ctx context.Context, rules []retention.Rule) (map[mail.AccountID]string, error) {
	names := make(map[mail.AccountID]string)
	for _, rule := range rules {
		if rule.Account == 0 || names[rule.Account] != "" {
			continue
		}
		a, err := h.Accounts.AccountByID(ctx, rule.Account)
		if err != nil && mail.KindOf(err) != mail.NotFound {
			return nil, err
		}
		if names[rule.Account] = a.Address.String(); err != nil {
			names[rule.Account] = "an account that is gone"
		}
	}
	return names, nil
}

func (h *Handler) showRetention(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	a, err := h.Accounts.Account(r.Context(), address)
	if err != nil {
		return nil, err
	}
	boxes, err := h.Store.Mailboxes(r.Context(), a.ID)
	if err != nil {
		return nil, err
	}
	rules, err := h.Retention.For(r.Context(), a.ID, a.Address.Domain)
	if err != nil {
		return nil, err
	}
	page := Page[RetentionOf]{Items: []RetentionOf{}}
	for _, role := range retention.Roles() {
		for _, b := range boxes {
			if b.Role != role {
				continue
			}
			of, err := h.retentionOf(r.Context(), a, rules[role])
			if err != nil {
				return nil, err
			}
			of.Role, of.Mailbox, of.Messages = string(role), string(b.Name), int64(b.Exists)
			page.Items = append(page.Items, of)
		}
	}
	return page, nil
}

// retentionOf is what a rule says for an account; the zero Rule is none.
func (h *Handler) retentionOf(ctx context.Context, a directory.Account, rule retention.Rule) (of RetentionOf, err error) {
	if rule.Role == "" {
		return of, nil
	}
	of.Keep, of.Rule = int64(rule.Keep/time.Second), &Scope{Domain: string(rule.Domain)}
	if rule.Account != 0 {
		of.Rule.Account = a.Address.String()
	}
	of.Due, err = h.Retention.Due(ctx, a.ID, rule)
	return of, err
}

// RetentionRules lists all rules.
func (c *Client) RetentionRules(ctx context.Context) ([]RetentionRule, error) {
	return all[RetentionRule](ctx, c, retentionPath, nil)
}

// RetentionOf says what counts for the mailboxes of an account.
func (c *Client) RetentionOf(ctx context.Context, address string) ([]RetentionOf, error) {
	return all[RetentionOf](ctx, c, retentionPath+"/"+url.PathEscape(address), nil)
}

// SetRetention makes a rule, or changes it; Accounts and Messages are not counted.
func (c *Client) SetRetention(ctx context.Context, r RetentionRule) (set RetentionSet, err error) {
	err = c.call(ctx, http.MethodPut, retentionPath, r, &set)
	return set, err
}

// PreviewRetention says what a rule would do.
func (c *Client) PreviewRetention(ctx context.Context, r RetentionRule) (set RetentionSet, err error) {
	err = c.call(ctx, http.MethodPost, retentionPath+"/preview", r, &set)
	return set, err
}

// UnsetRetention removes a rule.
func (c *Client) UnsetRetention(ctx context.Context, s Scope, role string) error {
	return c.call(ctx, http.MethodDelete, retentionPath+"?"+s.query()+"&role="+url.QueryEscape(role), nil, nil)
}
