package admin

import (
	"context"
	"net/http"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

func aliasOf(a directory.Alias) Alias {
	return Alias{Address: directory.NameOf(a.Address), Targets: namesOf(a.Targets), Unreadable: a.Unreadable}
}

func namesOf(list []mail.Address) []string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = directory.NameOf(a)
	}
	return names
}

// aliasAddress reads the address of an alias, or "@example.org" for a catch-all.
func aliasAddress(text string) (mail.Address, error) {
	domain, ok := strings.CutPrefix(text, "@")
	if !ok {
		return mail.ParseAddress(text)
	}
	name, err := mail.ParseDomain(domain)
	return directory.CatchAll(name), err
}

// listAliases gives a catch-all before the aliases of its domain.
func (h *Handler) listAliases(r *http.Request) (any, error) {
	f, err := filter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	aliases, err := h.Aliases.Aliases(r.Context(), f)
	if err != nil {
		return nil, err
	}
	page := Page[Alias]{Items: []Alias{}}
	for _, a := range aliases {
		page.Items = append(page.Items, aliasOf(a))
	}
	if len(aliases) == f.Limit {
		page.Next = page.Items[len(page.Items)-1].Address
	}
	return page, nil
}

func (h *Handler) addAlias(r *http.Request) (any, error) {
	in, err := body[Alias](r)
	if err != nil {
		return nil, err
	}
	return writeAlias(r.Context(), in, h.Aliases.AddAlias)
}

func (h *Handler) setAlias(r *http.Request) (any, error) {
	in, err := body[Alias](r)
	if err != nil {
		return nil, err
	}
	in.Address = r.PathValue("address")
	return writeAlias(r.Context(), in, h.Aliases.SetAlias)
}

func writeAlias(ctx context.Context, in Alias, write func(context.Context, directory.Alias) (directory.Alias, error)) (any, error) {
	var a directory.Alias
	var err error
	if a.Address, err = aliasAddress(in.Address); err != nil {
		return nil, err
	}
	if a.Targets, err = readAll(in.Targets, directory.ParseTarget); err != nil {
		return nil, err
	}
	a, err = write(ctx, a)
	return aliasOf(a), err
}

func (h *Handler) changeAlias(r *http.Request) (any, error) {
	in, err := body[AliasChange](r)
	if err != nil {
		return nil, err
	}
	address, err := aliasAddress(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	add, err := readAll(in.Add, directory.ParseTarget)
	if err != nil {
		return nil, err
	}
	drop, err := readAll(in.Drop, directory.ParseTarget)
	if err != nil {
		return nil, err
	}
	a, err := h.Aliases.ChangeAlias(r.Context(), address, add, drop)
	return aliasOf(a), err
}

func (h *Handler) found(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	if h.Names == nil {
		return nil, mail.Errorf(mail.NotFound, "nobody is known here")
	}
	w, err := h.Names.Way(r.Context(), address)
	return Found{Local: w.Local, By: string(w.Found)}, err
}

func (h *Handler) showAlias(r *http.Request) (any, error) {
	address, err := aliasAddress(r.PathValue("address"))
	if err != nil {
		return nil, err
	}
	a, err := h.Aliases.Alias(r.Context(), address)
	return aliasOf(a), err
}

func (h *Handler) removeAlias(r *http.Request) (any, error) {
	address, err := aliasAddress(r.PathValue("address"))
	if err != nil {
		address, err = pathShown(r)
	}
	if err != nil {
		return nil, err
	}
	return done{}, h.Aliases.RemoveAlias(r.Context(), address)
}
