package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Way is how mail for an address finds who has it, for people to read.
type Way struct {
	Local   bool        // the domain is of this server
	AliasOf mail.Domain // which the domain is another name of, if nobody has the address in it himself; or ""
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
	Forwards bool // an account that sends its mail on,
	SendsOn  bool // and keeps no copy
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
		if r.at.Domain != key.Domain {
			w.AliasOf = r.at.Domain
		}
		if r.via == viaNothing {
			return nil
		}
		t := tree{tx: tx, seen: map[mail.Address]bool{}}
		err = t.add(r.name, 0)
		w.Members = t.members
		return err
	})
	return w, err
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
	n, err := step(t.tx, name)
	if err != nil {
		return err
	}
	m.Account, m.Disabled, m.Foreign, m.Forwards, m.SendsOn = n.end.account, n.end.disabled, n.end.foreign, n.end.forwards, n.end.sendsOn
	t.members = append(t.members, m)
	if m.Again {
		return nil
	}
	t.seen[name.Key()] = true
	for _, target := range n.targets {
		if err := t.add(target, depth+1); err != nil {
			return err
		}
	}
	return nil
}
