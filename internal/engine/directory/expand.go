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
// through aliases: each once, in the order of the targets, nearest first. It is
// bounded even if the rows should loop.
func members(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	seen := map[mail.Address]bool{key: true}
	var ends []target
	level := []mail.Address{key}
	for depth := 0; len(level) > 0 && depth <= MaxAliasDepth; depth++ {
		var next []mail.Address
		for _, name := range level {
			end, targets, err := step(tx, name)
			if err != nil {
				return nil, err
			}
			ends = append(ends, end...)
			next = appendNew(next, targets, seen)
		}
		level = next
	}
	return ends, tooMany(seen)
}

// step finds the account or foreign address that name is, or else the targets
// of the alias.
func step(tx *sqldb.Tx, name mail.Address) (end []target, targets []mail.Address, err error) {
	found, err := lookup(tx, name)
	switch {
	case err != nil:
		return nil, nil, err
	case len(found) == 0:
		local, err := domainExists(tx, name.Domain)
		if err != nil || local {
			return nil, nil, err
		}
		return []target{{foreign: true, name: name, bad: checkKept(name)}}, nil, nil
	case found[0].account != 0:
		return found, nil, nil
	}
	targets, err = targetsOf(tx, name)
	return nil, targets, err
}

// tooMany refuses what no alias may lead to.
func tooMany(seen map[mail.Address]bool) error {
	if len(seen) > MaxAliasMembers {
		return mail.Errorf(mail.TooLarge, "an alias may lead to at most %d addresses", MaxAliasMembers)
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

// targetsOf lists the targets of the alias named key; none of an account.
func targetsOf(tx *sqldb.Tx, key mail.Address) ([]mail.Address, error) {
	return collect(tx, `SELECT target_key, target_domain FROM directory_alias_target
		WHERE domain = $1 AND local_key = $2 ORDER BY position`, key.Domain, key.Local)
}

// aliasesTo lists the aliases that have the account or alias named key as a target.
func aliasesTo(tx *sqldb.Tx, key mail.Address) ([]mail.Address, error) {
	return collect(tx, `SELECT DISTINCT local_key, domain FROM directory_alias_target
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
			return 0, mail.Errorf(mail.Conflict, "alias %s would lead back to itself", key)
		case tooMany(seen) != nil:
			return 0, tooMany(seen)
		case len(farther) == 0 || steps > limit:
			return steps, nil
		}
		level = farther
	}
}
