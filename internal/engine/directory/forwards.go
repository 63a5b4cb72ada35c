package directory

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// MaxForwards is how many addresses an account sends its mail on to.
const MaxForwards = 20

// Forward says to whom an account sends its mail on. The zero Forward is none.
type Forward struct {
	To   []mail.Address `json:"to"`
	Keep bool           `json:"keep"` // a copy stays in the account, and goes first: without it nothing is sent on
}

// forwarding is what an account does with its mail beside keeping it; its targets are
// those of an alias.
type forwarding int64

const (
	forwardsNothing forwarding = iota
	forwardsAll                // and keeps nothing
	forwardsCopy
)

// SetForward has mail for an account sent on; to nobody if f is zero. Who owns the
// account writes as before, and whom it is sent to may not write as the account.
// Errors: NotFound, also for a local address that does not exist; Conflict if mail
// would come back or go through too many; TooLarge.
func (d *Directory) SetForward(ctx context.Context, a mail.Address, f Forward) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		return d.writeForward(tx, found, f)
	})
}

func (d *Directory) writeForward(tx *sqldb.Tx, a Account, f Forward) error {
	key := a.Address.Key()
	if err := deleteTargets(tx, key); err != nil {
		return err
	}
	kind := forwardsNothing
	if len(f.To) > 0 {
		kind = forwardsAll
		if f.Keep {
			kind = forwardsCopy
		}
		if len(f.To) > MaxForwards {
			return mail.Errorf(mail.TooLarge, "an account sends its mail on to at most %d addresses; make an alias of them", MaxForwards)
		}
		clean, err := Alias{Address: a.Address, Targets: f.To}.clean()
		if err != nil {
			return err
		}
		for i, t := range clean.Targets {
			if clean.Targets[i], err = cleanTarget(tx, key, t); err != nil {
				return err
			}
		}
		if err := insertTargets(tx, key, clean.Targets); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`UPDATE directory_account SET forwarding = $2 WHERE id = $1`, a.ID, int64(kind)); err != nil {
		return err
	}
	if kind == forwardsNothing {
		return nil
	}
	return d.checkWays(tx, key)
}
