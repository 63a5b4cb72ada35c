package directory

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Way is how mail for an address finds who has it, for people to read.
type Way struct {
	Local   bool // the domain is of this server
	Found   Found
	Members []Member // in the order of reading, an alias before its targets
}

// Found is what an address was recognised by.
type Found string

// The ways of the package comment.
const (
	FoundNothing    Found = ""
	FoundName       Found = "name"
	FoundSubaddress Found = "subaddress"
	FoundPostmaster Found = "postmaster"
	FoundCatchAll   Found = "catch-all"
)

var foundBy = map[via]Found{viaName: FoundName, viaSubaddress: FoundSubaddress, viaPostmaster: FoundPostmaster, viaCatchAll: FoundCatchAll}

// Member is an account, alias or foreign address on the way.
type Member struct {
	Address  mail.Address
	Depth    int // aliases above it
	Account  mail.AccountID
	Disabled bool
	Foreign  bool
	Again    bool // stands farther up already, and gets one copy
}

// Way says how mail for a finds who has it. It is Resolve for people.
func (d *Directory) Way(ctx context.Context, a mail.Address) (w Way, err error) {
	key := a.Key()
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		w = Way{}
		r, err := d.find(tx, key)
		if err != nil || r.via == viaElsewhere {
			return err
		}
		w.Local, w.Found = true, foundBy[r.via]
		top, err := d.standsFor(tx, key, r)
		if err != nil || r.via == viaNothing {
			return err
		}
		t := tree{tx: tx, seen: map[mail.Address]bool{}}
		err = t.add(top, 0)
		w.Members = t.members
		return err
	})
	return w, err
}

// standsFor is the account or alias that key was found to mean.
func (d *Directory) standsFor(tx *sqldb.Tx, key mail.Address, r route) (mail.Address, error) {
	switch r.via {
	case viaSubaddress:
		key.Local, _, _ = strings.Cut(key.Local, separator)
	case viaPostmaster:
		return d.answersFor(tx, r)
	case viaCatchAll:
		return r.names[0], nil
	}
	return key, nil
}

// answersFor is the name that stood in for the postmaster in r.
func (d *Directory) answersFor(tx *sqldb.Tx, r route) (mail.Address, error) {
	key := d.o.Postmaster.Key()
	if !key.IsZero() {
		found, err := members(tx, key)
		if err != nil || slices.ContainsFunc(found, takesMail) {
			return key, err
		}
	}
	return r.names[0], nil
}

// tree collects members, depth first.
type tree struct {
	tx      *sqldb.Tx
	seen    map[mail.Address]bool
	members []Member
}

func (t *tree) add(name mail.Address, depth int) error {
	if depth > MaxAliasDepth || len(t.members) == MaxAliasMembers {
		return nil
	}
	m := Member{Address: name, Depth: depth, Again: t.seen[name.Key()]}
	end, targets, err := step(t.tx, name)
	if err != nil {
		return err
	}
	if len(end) > 0 {
		m.Account, m.Disabled, m.Foreign = end[0].account, end[0].disabled, end[0].foreign
	}
	t.members = append(t.members, m)
	if m.Again {
		return nil
	}
	t.seen[name.Key()] = true
	for _, target := range targets {
		if err := t.add(target, depth+1); err != nil {
			return err
		}
	}
	return nil
}
