package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// maxFollowed is how many changes a view is brought up to date by; after more of
// them the mailbox is read anew.
const maxFollowed = 4 * maxSlice

// readChanged reads what changed in a mailbox after a view. If that is not known,
// or too much, it is not known.
func (s *Store) readChanged(ctx context.Context, id mail.MailboxID, v *View) (c commit, known bool, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		at, err := readMoment(tx, id)
		if err != nil {
			return err
		}
		var list []Change
		known = true
		err = eachChange(tx, v.line.account, v.modseq, func(_ mail.ModSeq, r *recordReader) error {
			for r.more() {
				if one := r.next(); one.Mailbox == id && !one.Kind.ofMailbox() {
					list = append(list, one)
				}
			}
			if known = len(list) <= maxFollowed; !known {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, ErrCannotCalculate) {
			known, err = false, nil
		}
		if err != nil || !known {
			return err
		}
		c = commit{before: v.modseq, modseq: at.modseq}
		if c.names, err = readNames(tx, id); err != nil {
			return err
		}
		c.changes, known, err = readStates(tx, id, list)
		return err
	})
	return c, known && err == nil, err
}

// readStates makes of what happened to the messages of a mailbox what they are now.
// There is something wrong if one is missing.
func readStates(tx *sqldb.Tx, id mail.MailboxID, list []Change) (changes []change, whole bool, err error) {
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(a.UID, b.UID) })
	var set mail.UIDSet
	for i, one := range list {
		if i+1 < len(list) && list[i+1].UID == one.UID {
			continue // Only the last says where it led.
		}
		changes = append(changes, change{state: state{UID: one.UID}, kind: one.Kind, email: one.Email})
		if !one.Kind.gone() {
			set.Add(one.UID)
		}
	}
	missing := set.Len()
	next := 0
	for _, sp := range spans(set) {
		err := eachState(tx, id, sp.UIDRange, func(e *state) error {
			if e.UID < sp.First || e.UID > sp.Last || !sp.has(e.UID) {
				return nil
			}
			for changes[next].UID < e.UID {
				next++
			}
			changes[next].state = *e
			missing--
			return nil
		})
		if err != nil {
			return nil, false, err
		}
	}
	return changes, missing == 0, nil
}
