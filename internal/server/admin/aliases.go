package admin

import (
	"context"
	"net/http"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

func aliasOf(a directory.Alias) Alias {
	out := Alias{Address: a.Address.String(), Targets: make([]string, len(a.Targets)), Unreadable: a.Unreadable}
	for i, t := range a.Targets {
		out.Targets[i] = t.String()
	}
	return out
}

// listAliases gives the catch-alls with the first page, then the aliases.
func (h *Handler) listAliases(r *http.Request) (any, error) {
	f, err := filter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	page := Page[Alias]{Items: []Alias{}}
	if f.After.IsZero() {
		if page.Items, err = h.catchAlls(r.Context(), f.Domain); err != nil {
			return nil, err
		}
	}
	aliases, err := h.Aliases.Aliases(r.Context(), f)
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		page.Items = append(page.Items, aliasOf(a))
	}
	if len(aliases) == f.Limit {
		page.Next = aliases[len(aliases)-1].Address.String()
	}
	return page, nil
}

func (h *Handler) catchAlls(ctx context.Context, only mail.Domain) ([]Alias, error) {
	domains, err := h.Domains.Domains(ctx)
	if err != nil {
		return nil, err
	}
	list := []Alias{}
	for _, d := range domains {
		if !d.CatchAll.IsZero() && (only == "" || only == d.Name) {
			list = append(list, Alias{Address: "@" + string(d.Name), Targets: []string{d.CatchAll.String()}})
		}
	}
	return list, nil
}

func (h *Handler) addAlias(r *http.Request) (any, error) {
	in, err := body[Alias](r)
	if err != nil {
		return nil, err
	}
	targets := make([]mail.Address, len(in.Targets))
	for i, t := range in.Targets {
		if targets[i], err = mail.ParseAddress(t); err != nil {
			return nil, err
		}
	}
	if domain, ok := strings.CutPrefix(in.Address, "@"); ok {
		return h.addCatchAll(r.Context(), domain, targets)
	}
	address, err := mail.ParseAddress(in.Address)
	if err != nil {
		return nil, err
	}
	a, err := h.Aliases.AddAlias(r.Context(), directory.Alias{Address: address, Targets: targets})
	return aliasOf(a), err
}

func (h *Handler) addCatchAll(ctx context.Context, domain string, targets []mail.Address) (any, error) {
	name, err := mail.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	if len(targets) != 1 {
		return nil, mail.Errorf(mail.Invalid, "a catch-all goes to one account")
	}
	now, err := h.catchAlls(ctx, name)
	if err == nil && len(now) > 0 {
		err = mail.Errorf(mail.Exists, "the catch-all of %s is %s already; remove it first", name, now[0].Targets[0])
	}
	if err != nil {
		return nil, err
	}
	a := directory.Alias{Targets: targets}
	out := aliasOf(a)
	out.Address = "@" + string(name)
	return out, h.Domains.SetCatchAll(ctx, name, targets[0])
}

func (h *Handler) removeAlias(r *http.Request) (any, error) {
	domain, ok := strings.CutPrefix(r.PathValue("address"), "@")
	if !ok {
		address, err := pathShown(r)
		if err != nil {
			return nil, err
		}
		return done{}, h.Aliases.RemoveAlias(r.Context(), address)
	}
	name, err := mail.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	now, err := h.catchAlls(r.Context(), name)
	if err == nil && len(now) == 0 {
		err = mail.Errorf(mail.NotFound, "%s has no catch-all", name)
	}
	if err != nil {
		return nil, err
	}
	return done{}, h.Domains.SetCatchAll(r.Context(), name, mail.Address{})
}
