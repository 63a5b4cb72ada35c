package ldapc

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// Find says who has an address: a person, or the members of groups. Errors: NotFound,
// Unavailable.
func (c *Client) Find(ctx context.Context, a mail.Address) (found directory.Entry, err error) {
	if c.cfg.Filter.IsZero() && c.cfg.GroupFilter.IsZero() {
		return found, nobodyHas(a)
	}
	err = c.ask(ctx, func(t *talk) (err error) {
		if found, err = t.person(a); mail.KindOf(err) == mail.NotFound {
			found, err = t.groups(a)
		}
		return err
	})
	return found, err
}

// Check says whether the password of the account at an address is right. Errors: NotFound
// if there is no such account, Forbidden if the password is wrong, Unavailable.
func (c *Client) Check(ctx context.Context, a mail.Address, password string) (found directory.Entry, err error) {
	if password == "" {
		return found, errWrong
	}
	err = c.ask(ctx, func(t *talk) (err error) {
		found = directory.Entry{Account: a}
		if c.cfg.UserName.IsZero() {
			if found, err = t.person(a); err != nil {
				return err
			}
			return t.bind(found.Name, password)
		}
		found.Name = c.cfg.UserName.With(variables(a))
		if err = t.bind(found.Name, password); err != nil || c.cfg.Filter.IsZero() {
			return err
		}
		found, err = t.person(a)
		return err
	})
	return found, err
}

func nobodyHas(a mail.Address) error {
	return mail.Errorf(mail.NotFound, "nobody in the LDAP directory has the address %s", a)
}

func variables(a mail.Address) ldap.Variables {
	return ldap.Variables{VarAddress: a.String(), VarLocal: a.Local, VarDomain: string(a.Domain)}
}

// person finds who has an address. Errors: NotFound, fault.
func (t *talk) person(a mail.Address) (found directory.Entry, err error) {
	c := &t.c.cfg
	if c.Filter.IsZero() {
		return found, nobodyHas(a)
	}
	if err := t.beService(); err != nil {
		return found, err
	}
	list, cut, err := t.search(ldap.Search{Base: c.Base, Scope: ldap.Subtree, Filter: c.Filter, Variables: variables(a),
		Attributes: attributes(c.Address, c.Quota), Entries: 2})
	switch {
	case err != nil:
		return found, err
	case cut || len(list) > 1:
		return found, t.wrong(a, "several entries fit the filter")
	case len(list) == 0:
		return found, nobodyHas(a)
	case list[0].DN == "":
		return found, t.wrong(a, "its entry has no name")
	}
	return t.made(a, list[0])
}

// made is what an entry says of who has the address a.
func (t *talk) made(a mail.Address, e ldap.Entry) (directory.Entry, error) {
	found := directory.Entry{Name: e.DN, Account: a}
	if name := t.c.cfg.Address; name != "" {
		at, err := addressOf(e, name)
		if err != nil {
			return found, t.wrong(a, e.DN+" "+err.Error())
		}
		if found.Account = at; !slices.Contains(t.c.cfg.Domains, at.Domain) {
			return directory.Entry{Name: e.DN, Members: []mail.Address{at}}, nil
		}
	}
	if values := e.Values(t.c.cfg.Quota); t.c.cfg.Quota != "" && len(values) > 0 {
		n, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil {
			n, err = config.ParseSize(values[0])
		}
		if err != nil || n < 0 {
			t.c.cfg.Log.Warn("an LDAP entry has a quota that is none", "entry", e.DN, "quota", values[0])
		} else {
			found.Quota = &n
		}
	}
	return found, nil
}

// addressOf is the first value of an attribute as an address.
func addressOf(e ldap.Entry, attribute string) (mail.Address, error) {
	values := e.Values(attribute)
	if len(values) == 0 {
		return mail.Address{}, mail.Errorf(mail.Invalid, "has no %s", attribute)
	}
	a, err := mail.ParseAddress(values[0])
	if err != nil {
		return a, mail.Errorf(mail.Invalid, "has a %s that is no address: %q", attribute, values[0])
	}
	return a, nil
}

// wrong is the fault that what the directory says of an address cannot be used. It is
// logged, as no server is to blame for it.
func (t *talk) wrong(a mail.Address, why string) error {
	t.c.cfg.Log.Warn("what the LDAP directory says of an address cannot be used", "address", a.String(), obs.KeyReason, why)
	return &fault{why: why, heard: true}
}

// groups finds the members of the groups that have an address. Errors: NotFound, fault.
func (t *talk) groups(a mail.Address) (found directory.Entry, err error) {
	c := &t.c.cfg
	if c.GroupFilter.IsZero() {
		return found, nobodyHas(a)
	}
	if err := t.beService(); err != nil {
		return found, err
	}
	list, cut, err := t.search(ldap.Search{Base: cmp.Or(c.GroupBase, c.Base), Scope: ldap.Subtree, Filter: c.GroupFilter, Variables: variables(a),
		Attributes: attributes(c.Member), Entries: maxGroups})
	if err != nil || len(list) == 0 {
		return found, cmp.Or(err, nobodyHas(a))
	}
	var members []string
	for _, e := range list {
		found.Name = e.DN
		members = append(members, e.Values(c.Member)...)
	}
	if cut || len(members) > MaxMembers {
		return found, t.wrong(a, "its groups have more than "+strconv.Itoa(MaxMembers)+" members, or are more than "+strconv.Itoa(maxGroups))
	}
	for _, m := range members {
		at, ok, err := t.member(m)
		if err != nil {
			return found, err
		}
		if ok && !slices.Contains(found.Members, at) {
			found.Members = append(found.Members, at)
		}
	}
	if len(found.Members) == 0 {
		return found, nobodyHas(a)
	}
	return found, nil
}

// maxGroups is how many groups may have the same address.
const maxGroups = 10

// member is the address of one: the value itself, or what the entry has that it names. One
// who has none gets nothing. The error is a fault.
func (t *talk) member(value string) (a mail.Address, ok bool, err error) {
	if a, err := mail.ParseAddress(value); err == nil && !strings.Contains(a.Local, "=") {
		return a, true, nil
	}
	name := cmp.Or(t.c.cfg.Address, defaultAddress)
	list, _, err := t.search(ldap.Search{Base: value, Scope: ldap.BaseObject, Filter: ldap.Anything(), Attributes: []string{name}, Entries: 1})
	if err != nil || len(list) == 0 {
		return a, false, err
	}
	if a, err = addressOf(list[0], name); err != nil {
		t.c.cfg.Log.Debug("a member of an LDAP group gets no mail", "entry", value, obs.KeyReason, err.Error())
		return a, false, nil
	}
	return a, true, nil
}

// defaultAddress is the attribute with the address of a member, if none is configured.
const defaultAddress = "mail"

func attributes(names ...string) []string {
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}
