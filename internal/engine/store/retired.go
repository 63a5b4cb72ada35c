package store

import (
	"math"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// retirements are names that mailboxes left.
type retirements map[mail.MailboxName]retirement

type retirement struct {
	last  mail.UIDValidity
	below bool // holds for every name below it too
}

// retire remembers the UIDVALIDITY of a name that a mailbox leaves, and if others
// below it leave theirs with it, the highest of all of them for all.
func (l *ledger) retire(name mail.MailboxName, v mail.UIDValidity, below bool) error {
	deep := 0
	if below {
		deep = 1
	}
	names, err := l.naming()
	if err != nil {
		return err
	}
	added, err := l.tx.Exec(`INSERT INTO retired (account, name, uidvalidity, below) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		l.account, name, v, deep)
	if err != nil {
		return err
	}
	l.retired = true
	names.retired += added
	if added > 0 {
		return nil
	}
	_, err = l.tx.Exec(`UPDATE retired SET uidvalidity = CASE WHEN uidvalidity < $3 THEN $3 ELSE uidvalidity END,
		below = CASE WHEN below < $4 THEN $4 ELSE below END WHERE account = $1 AND name = $2`, l.account, name, v, deep)
	return err
}

// loadRetired reads what last needs of a name and of those below it. A row that cannot
// be read may have had any UIDVALIDITY.
func loadRetired(tx *sqldb.Tx, account mail.AccountID, name mail.MailboxName) (retirements, error) {
	rows, err := tx.Query(`SELECT name, uidvalidity, below FROM retired WHERE account = $1
		AND (below = 1 OR name = $2 OR (name > $3 AND name < $4))`,
		account, name, name+mail.MailboxSeparator, name+afterSeparator)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := retirements{}
	for rows.Next() {
		var n mail.MailboxName
		var r retirement
		if err := rows.Scan(&n, &r.last, &r.below); err != nil {
			r = retirement{last: math.MaxUint32, below: true}
		}
		found[n] = r
	}
	return found, rows.Err()
}

// afterSeparator is the octet behind mail.MailboxSeparator.
const afterSeparator = "0"

// last is the highest UIDVALIDITY that a name had which no mailbox has, or may
// have had; 0 if none.
func (r retirements) last(name mail.MailboxName) mail.UIDValidity {
	last := max(r[name].last, r[""].last)
	for above := name.Parent(); above != ""; above = above.Parent() {
		if r[above].below {
			last = max(last, r[above].last)
		}
	}
	return last
}

// foldRetired makes one row, that of the name "", of those of an account with
// more than MaxRetired: from then on every name may have had what the highest of
// them had.
func (l *ledger) foldRetired() error {
	names, err := l.naming()
	if err != nil || names.retired <= MaxRetired {
		return err
	}
	var last mail.UIDValidity
	if err := l.tx.QueryRow(`SELECT max(uidvalidity) FROM retired WHERE account = $1`, l.account).Scan(&last); err != nil {
		return err
	}
	if _, err := l.tx.Exec(`DELETE FROM retired WHERE account = $1`, l.account); err != nil {
		return err
	}
	names.retired = 0
	return l.retire("", last, true)
}
