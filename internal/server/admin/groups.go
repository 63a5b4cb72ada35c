package admin

import (
	"context"
	"net/http"
	"net/url"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// Groups keeps the groups, and as whom others than who has an address may write.
type Groups interface {
	AddGroup(context.Context, directory.Group) (directory.Group, error)
	SetGroup(context.Context, directory.Group) (directory.Group, error)
	ChangeGroup(ctx context.Context, name string, add, drop []mail.Address) (directory.Group, error)
	Group(ctx context.Context, name string) (directory.Group, error)
	Groups(context.Context) ([]directory.Group, error)
	RemoveGroup(ctx context.Context, name string) (gone []mail.Address, err error)
	Allow(context.Context, directory.Grant) error
	Disallow(context.Context, directory.Grant) error
	Grants(ctx context.Context, who mail.Address) ([]directory.Grant, error)
}

// Group is accounts and other groups ("group:sales"). Addresses are the aliases that go
// to it alone.
type Group struct {
	Name      string   `json:"name"`
	Members   []string `json:"members"`
	Addresses []string `json:"addresses,omitempty"`
}

// Grant is leave to write as others. Who is the address of an account, or "group:sales";
// SendAs is an address, "domain:example.org" or "any".
type Grant struct {
	Who    string `json:"who"`
	SendAs string `json:"send_as"`
}

func (h *Handler) groupRoutes() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET /v1/groups":           h.listGroups,
		"POST /v1/groups":          h.addGroup,
		"GET /v1/groups/{name}":    h.showGroup,
		"PUT /v1/groups/{name}":    h.setGroup,
		"PATCH /v1/groups/{name}":  h.changeGroup,
		"DELETE /v1/groups/{name}": h.removeGroup,
		"GET /v1/grants":           h.listGrants,
		"POST /v1/grants":          h.grant,
		"DELETE /v1/grants":        h.revoke,
	}
}

func groupOf(g directory.Group) Group {
	out := Group{Name: g.Name, Members: namesOf(g.Members)}
	if len(g.Addresses) > 0 {
		out.Addresses = namesOf(g.Addresses)
	}
	return out
}

// group reads g. The error is of kind Invalid.
func (g Group) group() (out directory.Group, err error) {
	if out.Name, err = directory.ParseGroup(g.Name); err != nil {
		return out, err
	}
	if out.Members, err = readAll(g.Members, directory.ParseMember); err != nil {
		return out, err
	}
	out.Addresses, err = readAll(g.Addresses, mail.ParseAddress)
	return out, err
}

func (h *Handler) listGroups(r *http.Request) (any, error) {
	groups, err := h.Groups.Groups(r.Context())
	page := Page[Group]{Items: []Group{}}
	for _, g := range groups {
		page.Items = append(page.Items, groupOf(g))
	}
	return page, err
}

func (h *Handler) showGroup(r *http.Request) (any, error) {
	name, err := directory.ParseGroup(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	g, err := h.Groups.Group(r.Context(), name)
	return groupOf(g), err
}

func (h *Handler) addGroup(r *http.Request) (any, error) {
	in, err := body[Group](r)
	if err != nil {
		return nil, err
	}
	return writeGroup(r.Context(), in, h.Groups.AddGroup)
}

func (h *Handler) setGroup(r *http.Request) (any, error) {
	in, err := body[Group](r)
	if err != nil {
		return nil, err
	}
	in.Name = r.PathValue("name")
	return writeGroup(r.Context(), in, h.Groups.SetGroup)
}

func writeGroup(ctx context.Context, in Group, write func(context.Context, directory.Group) (directory.Group, error)) (any, error) {
	g, err := in.group()
	if err != nil {
		return nil, err
	}
	g, err = write(ctx, g)
	return groupOf(g), err
}

// changeGroup adds members and drops others.
func (h *Handler) changeGroup(r *http.Request) (any, error) {
	in, err := body[AliasChange](r)
	if err != nil {
		return nil, err
	}
	name, err := directory.ParseGroup(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	add, err := readAll(in.Add, directory.ParseMember)
	if err != nil {
		return nil, err
	}
	drop, err := readAll(in.Drop, directory.ParseMember)
	if err != nil {
		return nil, err
	}
	g, err := h.Groups.ChangeGroup(r.Context(), name, add, drop)
	return groupOf(g), err
}

// removeGroup answers with the addresses that went along.
func (h *Handler) removeGroup(r *http.Request) (any, error) {
	name, err := directory.ParseGroup(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	gone, err := h.Groups.RemoveGroup(r.Context(), name)
	return groupOf(directory.Group{Name: name, Addresses: gone}), err
}

func (g Grant) grant() (out directory.Grant, err error) {
	if out.Who, err = directory.ParseMember(g.Who); err != nil {
		return out, err
	}
	out.As, err = directory.ParseSenders(g.SendAs)
	return out, err
}

func grantOf(g directory.Grant) Grant {
	return Grant{directory.NameOf(g.Who), directory.SendersText(g.As)}
}

func (h *Handler) listGrants(r *http.Request) (any, error) {
	who, err := directory.ParseMember(r.URL.Query().Get("who"))
	if err != nil {
		return nil, err
	}
	grants, err := h.Groups.Grants(r.Context(), who)
	page := Page[Grant]{Items: []Grant{}}
	for _, g := range grants {
		page.Items = append(page.Items, grantOf(g))
	}
	return page, err
}

func (h *Handler) grant(r *http.Request) (any, error) {
	in, err := body[Grant](r)
	if err != nil {
		return nil, err
	}
	g, err := in.grant()
	if err != nil {
		return nil, err
	}
	return grantOf(g), h.Groups.Allow(r.Context(), g)
}

func (h *Handler) revoke(r *http.Request) (any, error) {
	q := r.URL.Query()
	g, err := Grant{q.Get("who"), q.Get("send_as")}.grant()
	if err != nil {
		return nil, err
	}
	return grantOf(g), h.Groups.Disallow(r.Context(), g)
}

// Groups lists the groups.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	return all[Group](ctx, c, "/v1/groups", nil)
}

// Group returns one group.
func (c *Client) Group(ctx context.Context, name string) (g Group, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/groups/"+url.PathEscape(name), nil, &g)
	return g, err
}

// AddGroup makes a group.
func (c *Client) AddGroup(ctx context.Context, g Group) (made Group, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/groups", g, &made)
	return made, err
}

// SetGroup makes a group, or gives it other members.
func (c *Client) SetGroup(ctx context.Context, g Group) (made Group, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/groups/"+url.PathEscape(g.Name), g, &made)
	return made, err
}

// ChangeGroup adds members to a group and takes others away.
func (c *Client) ChangeGroup(ctx context.Context, name string, change AliasChange) (now Group, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/groups/"+url.PathEscape(name), change, &now)
	return now, err
}

// RemoveGroup deletes a group, and returns it with the addresses that went along.
func (c *Client) RemoveGroup(ctx context.Context, name string) (gone Group, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/groups/"+url.PathEscape(name), nil, &gone)
	return gone, err
}

// Grants lists as whom an account or group may write.
func (c *Client) Grants(ctx context.Context, who string) ([]Grant, error) {
	return all[Grant](ctx, c, "/v1/grants", url.Values{"who": {who}})
}

// Grant lets an account or group write as others.
func (c *Client) Grant(ctx context.Context, g Grant) (made Grant, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/grants", g, &made)
	return made, err
}

// Revoke takes a grant back.
func (c *Client) Revoke(ctx context.Context, g Grant) (gone Grant, err error) {
	query := url.Values{"who": {g.Who}, "send_as": {g.SendAs}}
	err = c.call(ctx, http.MethodDelete, "/v1/grants?"+query.Encode(), nil, &gone)
	return gone, err
}
