package directory

import (
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits on aliases.
const (
	MaxAliasTargets = 200  // of one alias
	MaxAliasDepth   = 8    // aliases on the way from an address to an account
	MaxAliasMembers = 1000 // names that one alias leads to, itself included: fewer than a message may have recipients
)

// members finds the accounts and foreign addresses that key leads to, itself or
// through aliases and what accounts send on: each once, in the order of the targets,
// nearest first. It is bounded even if the rows should loop.
func members(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	return walk(tx, key, func(n node) []mail.Address { return n.targets })
}

// owners is members without what accounts send on: who has the address itself.
func owners(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	return walk(tx, key, func(n node) []mail.Address {
		if n.end.account != 0 {
			return nil
		}
		return n.targets
	})
}

// reached is a name on the way, and the account that keeps a copy of what it sends
// there, or zero.
type reached struct {
	name mail.Address
	by   mail.AccountID
}

func walk(tx *sqldb.Tx, key mail.Address, follow func(node) []mail.Address) ([]target, error) {
	seen := map[mail.Address]bool{key: true}
	var ends []target
	level := []reached{{name: key}}
	for depth := 0; len(level) > 0 && depth <= MaxAliasDepth; depth++ {
		var next []reached
		for _, at := range level {
			n, err := step(tx, at.name)
			if err != nil {
				return nil, err
			}
			by := at.by
			if n.isEnd() {
				n.end.by = at.by
				ends = append(ends, n.end)
				if n.end.account != 0 && !n.end.sendsOn {
					by = n.end.account
				}
			}
			for _, t := range appendNew(nil, follow(n), seen) {
				next = append(next, reached{t, by})
			}
		}
		level = next
	}
	return ends, tooMany(seen)
}

// node is what one name stands for: an account or foreign address, or neither.
type node struct {
	end     target
	targets []mail.Address // of an alias; of an account, to whom it sends on
}

func (n node) isEnd() bool { return n.end.account != 0 || n.end.foreign }

// step finds what name stands for; in a domain that is another name of one, what it
// stands for there unless it has something of its own.
func step(tx *sqldb.Tx, name mail.Address) (n node, err error) {
	found, err := lookup(tx, name)
	if err == nil && len(found) == 0 {
		of, local, err := aliasOf(tx, name.Domain)
		switch {
		case err != nil:
			return n, err
		case !local:
			return node{end: target{foreign: true, name: name, bad: checkKept(name)}}, nil
		case of == "":
			return n, nil
		}
		name = mail.Address{Local: name.Local, Domain: of}
		found, err = lookup(tx, name)
		if err != nil || len(found) == 0 {
			return n, err
		}
	}
	if err != nil {
		return n, err
	}
	n.end = found[0]
	if n.end.account == 0 || n.end.forwards && !n.end.disabled {
		n.targets, err = targetsOf(tx, name)
	}
	if len(n.targets) == 0 {
		n.end.forwards, n.end.sendsOn = false, false
	}
	return n, err
}

// tooMany refuses what no alias may lead to.
func tooMany(seen map[mail.Address]bool) error {
	if len(seen) > MaxAliasMembers {
		return mail.Errorf(mail.TooLarge, "an address may lead to at most %d others", MaxAliasMembers)
	}
	return nil
}

// appendNew appends the names not seen yet, as long as they are not too many.
// Foreign ones that differ only in case count as one.
func appendNew(dst, names []mail.Address, seen map[mail.Address]bool) []mail.Address {
	for _, n := range names {
		if k := n.Key(); !seen[k] && len(seen) <= MaxAliasMembers {
			seen[k] = true
			dst = append(dst, n)
		}
	}
	return dst
}

// targetsOf lists the targets of the alias or account named key.
func targetsOf(tx *sqldb.Tx, key mail.Address) ([]mail.Address, error) {
	return collect(tx, `SELECT target_key, target_domain FROM directory_target
		WHERE domain = $1 AND local_key = $2 ORDER BY position`, key.Domain, key.Local)
}

// aliasesTo lists the aliases, and the accounts that send on, that have the account or
// alias named key as a target.
func aliasesTo(tx *sqldb.Tx, key mail.Address) ([]mail.Address, error) {
	return collect(tx, `SELECT DISTINCT local_key, domain FROM directory_target
		WHERE target_domain = $1 AND target_key = $2 ORDER BY domain, local_key`, key.Domain, key.Local)
}

// chain measures the longest way from key along next: how many steps it has,
// or limit+1 if it has more. Errors: Conflict if it comes back to key, TooLarge
// beyond MaxAliasMembers.
func chain(tx *sqldb.Tx, key mail.Address, limit int, next func(*sqldb.Tx, mail.Address) ([]mail.Address, error)) (int, error) {
	level := []mail.Address{key}
	for steps := 0; ; steps++ {
		seen := make(map[mail.Address]bool)
		var farther []mail.Address
		for _, name := range level {
			names, err := next(tx, name)
			if err != nil {
				return 0, err
			}
			farther = appendNew(farther, names, seen)
		}
		switch {
		case seen[key]:
			return 0, mail.Errorf(mail.Conflict, "mail for %s would come back to it", NameOf(key))
		case tooMany(seen) != nil:
			return 0, tooMany(seen)
		case len(farther) == 0 || steps > limit:
			return steps, nil
		}
		level = farther
	}
}
