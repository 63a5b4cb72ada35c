package signing

import (
	"slices"
	"time"

	"yubin/internal/mailauth/dkim"
)

// known is a key with what decides what becomes of it.
type known struct {
	Key
	sight
	broken bool // its private key cannot be opened

	private *dkim.PrivateKey // of one that signs
}

// signs reports whether it can sign where its record was looked for.
func (k known) signs() bool { return k.State == Active && !k.broken && !k.seen.IsZero() }

// step is what becomes of a key.
type step struct {
	key int64
	to  State // zero: it is forgotten
}

// steps says what is to become of the keys of one owner and algorithm, and whether
// a new one is to be made. Superseded says that the owner signs with the zone's keys
// now; asked, that somebody wants a new key.
func steps(keys []known, p Policy, now time.Time, superseded, asked bool) (list []step, wanted bool) {
	becomes := func(k *known, to State) {
		list = append(list, step{k.ID, to})
		k.State, k.Since = to, now
	}
	keys = slices.Clone(keys)
	for i := range keys {
		k := &keys[i]
		switch {
		case superseded && k.pending(), asked && k.pending() && k.broken, k.State == Revoked && now.Sub(k.Since) >= revokedFor:
			becomes(k, 0)
		case superseded && k.State == Active, asked && k.State == Active && k.broken:
			becomes(k, Retired)
		case k.State == Retired && now.Sub(k.Since) >= p.Keep:
			becomes(k, Revoked)
		case k.State == New && !k.seen.IsZero() && !k.broken:
			becomes(k, Published)
		case k.State == Published && k.seen.IsZero():
			becomes(k, New)
		}
	}
	for i := range keys {
		k := &keys[i]
		if k.State != Published || k.broken || now.Sub(k.seen) < Settle && slices.ContainsFunc(keys, known.signs) {
			continue
		}
		for j := range keys {
			if keys[j].State == Active {
				becomes(&keys[j], Retired)
			}
		}
		becomes(k, Active)
	}
	pending := slices.ContainsFunc(keys, func(k known) bool { return k.pending() })
	active := slices.IndexFunc(keys, func(k known) bool { return k.State == Active })
	switch {
	case superseded, pending:
	case active < 0:
		wanted = true
	default:
		wanted = asked || p.Rotate > 0 && now.Sub(keys[active].Since) >= p.Rotate && !keys[active].broken
	}
	return list, wanted
}
