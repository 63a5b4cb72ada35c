package history

import (
	"context"
	"errors"
	"fmt"

	"yubin/internal/world/sqldb"
)

// checkRows is how many rows of a check are read in one transaction.
const checkRows = 4096

// Check reports rows that cannot be read, or say what cannot be. It reads a page of
// them in a transaction each.
func (h *History) Check(ctx context.Context, report func(problem string)) error {
	from := key{account: -1}
	for more := true; more; {
		err := h.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
			from, more, err = checkPage(tx, from, report)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPage checks the rows behind a key, and says which was the last.
func checkPage(tx *sqldb.Tx, from key, report func(string)) (last key, more bool, err error) {
	rows, err := tx.Query(`SELECT account, name, received, unread, since, latest FROM history WHERE (account, name) > ($1, $2)
		ORDER BY account, name LIMIT $3`, int64(from.account), from.name, checkRows)
	if err != nil {
		return from, false, err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var received, unread, since, latest int64
		err := rows.Scan(&from.account, &from.name, &received, &unread, &since, &latest)
		row := fmt.Sprintf("history of account %d with %q", from.account, from.name)
		switch u := (*sqldb.Unreadable)(nil); {
		case errors.As(err, &u):
			report(fmt.Sprintf("%s cannot be read: %v", row, u.Err))
		case err != nil:
			return from, false, err
		case from.account < Site || from.name == "" || len(from.name) > maxName:
			report(row + ": nobody is called so")
		case received < 0 || unread < 0 || since > latest:
			report(row + ": it counts less than nothing, or ends before it begins")
		}
	}
	return from, n == checkRows, rows.Err()
}
