package directory

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits on groups. MaxAliasDepth bounds how deep they nest, and MaxAliasMembers what
// one leads to.
const (
	MaxGroups       = 10000
	MaxGroupMembers = MaxAliasMembers // named by one group
	MaxGroupName    = 64              // octets
)

// groupPrefix stands before the name of a group where an address could stand.
const groupPrefix = "group:"

var groupForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// Group is a set of accounts, for mail and for what they may do.
type Group struct {
	Name      string         `json:"name"`
	Members   []mail.Address `json:"members"`             // accounts and, as GroupName has them, other groups
	Addresses []mail.Address `json:"addresses,omitempty"` // the aliases that go to it alone
}

// GroupName is the group of that name where an address could stand: a member of another
// one, or the target of an alias. NameOf writes it as "group:sales".
func GroupName(name string) mail.Address { return mail.Address{Local: name} }

func isGroup(a mail.Address) bool { return a.Domain == "" && a.Local != "" }

// ParseTarget reads what an alias may lead to: an address, or "group:sales".
func ParseTarget(s string) (mail.Address, error) {
	if name, ok := strings.CutPrefix(s, groupPrefix); ok {
		name, err := ParseGroup(name)
		return GroupName(name), err
	}
	return mail.ParseAddress(s)
}

// ParseMember reads who may be in a group: an address, or the name of a group.
func ParseMember(s string) (mail.Address, error) {
	if strings.Contains(s, "@") {
		return mail.ParseAddress(s)
	}
	return ParseTarget(groupPrefix + strings.TrimPrefix(s, groupPrefix))
}

// ParseGroup reads the name of a group, in any case.
func ParseGroup(s string) (string, error) {
	name := strings.ToLower(s)
	if len(name) > MaxGroupName || !groupForm.MatchString(name) {
		return "", mail.Errorf(mail.Invalid, "the name of a group is 1 to %d letters, digits and . _ -, beginning with a letter or digit, not %q", MaxGroupName, s)
	}
	return name, nil
}

// AddGroup makes a group, and aliases of its Addresses that lead to it. Errors: Exists;
// others as SetGroup and AddAlias.
func (d *Directory) AddGroup(ctx context.Context, g Group) (made Group, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		there, err := groupExists(tx, g.Name)
		if err == nil && there {
			err = mail.Errorf(mail.Exists, "group %s exists already", g.Name)
		}
		if err != nil {
			return err
		}
		made, err = d.writeGroup(tx, g)
		return err
	})
	return made, err
}

// SetGroup makes a group, or gives one that is there other members; aliases of Addresses
// lead to it as well. Errors: Invalid; NotFound for a member that does not exist;
// Conflict for a group that would be in itself or nest deeper than MaxAliasDepth;
// TooLarge.
func (d *Directory) SetGroup(ctx context.Context, g Group) (made Group, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		made, err = d.writeGroup(tx, g)
		return err
	})
	return made, err
}

// ChangeGroup adds members to a group and takes others from it. Errors: NotFound, also
// for who is taken and no member; others as SetGroup.
func (d *Directory) ChangeGroup(ctx context.Context, name string, add, drop []mail.Address) (made Group, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		g, err := readGroup(tx, name)
		if err != nil {
			return err
		}
		for _, m := range drop {
			key := m.Key()
			i := slices.Index(g.Members, key)
			if i < 0 {
				return mail.Errorf(mail.NotFound, "%s is no member of group %s", NameOf(m), name)
			}
			g.Members = slices.Delete(g.Members, i, i+1)
		}
		g.Members, g.Addresses = append(g.Members, add...), nil
		made, err = d.writeGroup(tx, g)
		return err
	})
	return made, err
}

// writeGroup puts g in the place of what there is.
func (d *Directory) writeGroup(tx *sqldb.Tx, g Group) (Group, error) {
	if _, err := ParseGroup(g.Name); err != nil {
		return g, err
	}
	var members []mail.Address
	for _, m := range g.Members {
		m, err := cleanMember(tx, m)
		if err != nil {
			return g, err
		}
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	if len(members) > MaxGroupMembers {
		return g, mail.Errorf(mail.TooLarge, "a group names at most %d members; divide it", MaxGroupMembers)
	}
	there, err := groupExists(tx, g.Name)
	if err != nil {
		return g, err
	}
	if !there {
		if err := insertGroup(tx, g.Name); err != nil {
			return g, err
		}
	}
	node := GroupName(g.Name)
	if err := deleteTargets(tx, node); err != nil {
		return g, err
	}
	if err := insertTargets(tx, node, members); err != nil {
		return g, err
	}
	for _, a := range g.Addresses {
		if _, err := d.writeAlias(tx, Alias{Address: a, Targets: []mail.Address{node}}); err != nil {
			return g, err
		}
	}
	if err := d.checkWays(tx, node); err != nil {
		return g, err
	}
	return readGroup(tx, g.Name)
}

func insertGroup(tx *sqldb.Tx, name string) error {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM directory_group`).Scan(&n); err != nil {
		return err
	}
	if n >= MaxGroups {
		return mail.Errorf(mail.TooLarge, "there may be at most %d groups", MaxGroups)
	}
	_, err := tx.Exec(`INSERT INTO directory_group (name) VALUES ($1)`, name)
	return err
}

// cleanMember brings a member into the form of Group; it must exist.
func cleanMember(tx *sqldb.Tx, m mail.Address) (mail.Address, error) {
	if isGroup(m) {
		return m, needGroup(tx, m.Local)
	}
	m, err := canonical(tx, m.Key())
	if err != nil {
		return m, err
	}
	found, err := lookup(tx, m)
	if err == nil && (len(found) == 0 || found[0].account == 0) {
		err = mail.Errorf(mail.NotFound, "there is no account %s; members of a group are accounts and other groups", m)
	}
	return m, err
}

func groupExists(tx *sqldb.Tx, name string) (bool, error) {
	return exists(tx, `SELECT 1 FROM directory_group WHERE name = $1`, name)
}

func needGroup(tx *sqldb.Tx, name string) error {
	there, err := groupExists(tx, name)
	if err == nil && !there {
		err = mail.Errorf(mail.NotFound, "there is no group %s; add it first", name)
	}
	return err
}

func readGroup(tx *sqldb.Tx, name string) (g Group, err error) {
	if there, err := groupExists(tx, name); err != nil || !there {
		if err == nil {
			err = mail.Errorf(mail.NotFound, "there is no group %s", name)
		}
		return g, err
	}
	g.Name = name
	if g.Members, err = targetsOf(tx, GroupName(name)); err != nil {
		return g, err
	}
	g.Addresses, _, err = addressesOf(tx, name)
	return g, err
}

// addressesOf lists the aliases that lead to a group alone, and whatever else leads there.
func addressesOf(tx *sqldb.Tx, name string) (own, others []mail.Address, err error) {
	users, err := aliasesTo(tx, GroupName(name))
	if err != nil {
		return nil, nil, err
	}
	for _, u := range users {
		targets, err := targetsOf(tx, u)
		if err != nil {
			return nil, nil, err
		}
		if alias, err := aliasExists(tx, u); err != nil {
			return nil, nil, err
		} else if alias && len(targets) == 1 {
			own = append(own, u)
		} else {
			others = append(others, u)
		}
	}
	return own, others, nil
}

// Groups lists all groups by name.
func (d *Directory) Groups(ctx context.Context) (list []Group, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list, err = readGroups(tx)
		return err
	})
	return list, err
}

func readGroups(tx *sqldb.Tx) (list []Group, err error) {
	names, err := collect(tx, `SELECT name, '' FROM directory_group ORDER BY name`)
	if err != nil {
		return nil, err
	}
	list = make([]Group, len(names))
	for i, n := range names {
		if list[i], err = readGroup(tx, n.Local); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Group finds one. Errors: NotFound.
func (d *Directory) Group(ctx context.Context, name string) (g Group, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		g, err = readGroup(tx, name)
		return err
	})
	return g, err
}

// RemoveGroup deletes a group, what it was granted, and the aliases that go to it alone,
// which it returns. Errors: NotFound; Conflict while something else leads to it, as
// another group.
func (d *Directory) RemoveGroup(ctx context.Context, name string) (gone []mail.Address, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		gone, err = removeGroup(tx, name)
		return err
	})
	return gone, err
}

func removeGroup(tx *sqldb.Tx, name string) ([]mail.Address, error) {
	if there, err := groupExists(tx, name); err != nil || !there {
		if err == nil {
			err = mail.Errorf(mail.NotFound, "there is no group %s", name)
		}
		return nil, err
	}
	own, others, err := addressesOf(tx, name)
	if err == nil && len(others) > 0 {
		err = checkNotTarget(tx, GroupName(name))
	}
	if err != nil {
		return nil, err
	}
	for _, a := range own {
		if err := checkNotTarget(tx, a); err != nil {
			return nil, err
		}
		if err := removeAlias(tx, a); err != nil {
			return nil, err
		}
	}
	if err := deleteTargets(tx, GroupName(name)); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(`DELETE FROM directory_send_as WHERE account = 0 AND grp = $1`, name); err != nil {
		return nil, err
	}
	_, err = tx.Exec(`DELETE FROM directory_group WHERE name = $1`, name)
	return own, err
}

// MembersOf lists the accounts of a group, and of those in it, that are not disabled.
// Errors: NotFound.
func (d *Directory) MembersOf(ctx context.Context, name string) (list []mail.AccountID, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		if err := needGroup(tx, name); err != nil {
			return err
		}
		found, err := owners(tx, GroupName(name))
		for _, t := range found {
			if !t.disabled {
				list = append(list, t.account)
			}
		}
		return err
	})
	return list, err
}

// GroupsOf lists the groups that an account is in, itself or by way of others.
func (d *Directory) GroupsOf(ctx context.Context, account mail.AccountID) (list []string, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		key, _, err := keyOf(tx, account)
		if err == nil {
			list, err = groupsOf(tx, key)
		}
		return err
	})
	return list, err
}

// keyOf finds the key of an account by its number, and whether it is disabled.
func keyOf(tx *sqldb.Tx, account mail.AccountID) (key mail.Address, disabled bool, err error) {
	err = tx.QueryRow(`SELECT local_key, domain, disabled FROM directory_account WHERE id = $1`, account).Scan(&key.Local, &key.Domain, &disabled)
	if isNoRow(err) {
		err = mail.Errorf(mail.NotFound, "there is no account %d", account)
	}
	return key, disabled, err
}

// groupsOf is GroupsOf of the account filed under key, nearest first.
func groupsOf(tx *sqldb.Tx, key mail.Address) (names []string, err error) {
	seen := map[mail.Address]bool{key: true}
	level := []mail.Address{key}
	for depth := 0; len(level) > 0 && depth <= MaxAliasDepth; depth++ {
		var above []mail.Address
		for _, at := range level {
			users, err := aliasesTo(tx, at)
			if err != nil {
				return nil, err
			}
			users = slices.DeleteFunc(users, func(a mail.Address) bool { return !isGroup(a) })
			for _, g := range appendNew(nil, users, seen) {
				names, above = append(names, g.Local), append(above, g)
			}
		}
		level = above
	}
	return names, nil
}
