package transfer

import (
	"context"
	"errors"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "transfer", Steps: schema()} }

func schema() []string {
	return []string{`
CREATE TABLE transfer_origin (
	id {id},
	account {int} NOT NULL,
	kind {text} NOT NULL,
	name {text} NOT NULL,
	mailbox {int} NOT NULL
);
CREATE UNIQUE INDEX transfer_origin_name ON transfer_origin (account, kind, name);

CREATE TABLE transfer_taken (
	mailbox {int} NOT NULL,
	origin {int} NOT NULL,
	key {text} NOT NULL,
	uid {int} NOT NULL,
	flags {int} NOT NULL, -- at the source
	keywords {text} NOT NULL, -- at the source
	PRIMARY KEY (mailbox, origin, key)
) {clustered}`}
}

// origin is a row of transfer_origin.
type origin struct {
	id      int64
	mailbox mail.MailboxID
}

// taken is a row of transfer_taken.
type taken struct {
	key      string
	uid      mail.UID
	flags    mail.Flags
	keywords mail.Keywords
}

// sweep removes the rows of mailboxes of the account that are gone, and of accounts
// that are.
func (t *Transfer) sweep(ctx context.Context, account mail.AccountID) error {
	return t.db.Write(ctx, func(tx *sqldb.Tx) error {
		accounts, err := ids[mail.AccountID](tx, `SELECT DISTINCT account FROM transfer_origin`)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			there, err := t.store.HasAccount(tx, a)
			if err != nil {
				return err
			}
			if there && a != account {
				continue
			}
			if err := t.sweepAccount(tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *Transfer) sweepAccount(tx *sqldb.Tx, account mail.AccountID) error {
	mailboxes, err := ids[mail.MailboxID](tx, `SELECT DISTINCT mailbox FROM transfer_origin WHERE account = $1`, account)
	if err != nil {
		return err
	}
	for _, m := range mailboxes {
		there, err := t.store.HasMailbox(tx, account, m)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := tx.Exec(`DELETE FROM transfer_taken WHERE mailbox = $1`, m); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM transfer_origin WHERE account = $1 AND mailbox = $2`, account, m); err != nil {
			return err
		}
	}
	return nil
}

// ids reads a column of numbers.
func ids[ID ~int64](tx *sqldb.Tx, query string, args ...any) (list []ID, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id ID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

// findOrigin returns the row of a folder that was taken from before.
func (t *Transfer) findOrigin(ctx context.Context, account mail.AccountID, kind, name string) (o origin, err error) {
	err = t.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT id, mailbox FROM transfer_origin WHERE account = $1 AND kind = $2 AND name = $3`,
			account, kind, name).Scan(&o.id, &o.mailbox)
	})
	if err == sqldb.ErrNoRows {
		err = nil
	}
	return o, err
}

func (t *Transfer) addOrigin(ctx context.Context, account mail.AccountID, kind, name string, mailbox mail.MailboxID) (o origin, err error) {
	o.mailbox = mailbox
	err = t.db.Write(ctx, func(tx *sqldb.Tx) error {
		o.id, err = tx.Insert(`INSERT INTO transfer_origin (account, kind, name, mailbox) VALUES ($1, $2, $3, $4)`,
			account, kind, name, mailbox)
		return err
	})
	return o, err
}

// load reads what was taken from o by key, and which UIDs other origins gave. Rows that
// cannot be read are lost: their messages are as if they had not been taken.
func (t *Transfer) load(ctx context.Context, o origin) (rows map[string]taken, others map[mail.UID]bool, lost int, err error) {
	rows, others = make(map[string]taken), make(map[mail.UID]bool)
	err = t.db.Read(ctx, func(tx *sqldb.Tx) error {
		lost = 0
		list, err := tx.Query(`SELECT origin, key, uid, flags, keywords FROM transfer_taken WHERE mailbox = $1`, o.mailbox)
		if err != nil {
			return err
		}
		defer list.Close()
		for list.Next() {
			var id int64
			var r taken
			err := list.Scan(&id, &r.key, &r.uid, &r.flags, &r.keywords)
			if u := (*sqldb.Unreadable)(nil); errors.As(err, &u) {
				lost++
				continue
			}
			if err != nil {
				return err
			}
			if id == o.id {
				rows[r.key] = r
			} else {
				others[r.uid] = true
			}
		}
		return list.Err()
	})
	return rows, others, lost, err
}

// keep writes rows, within the transaction that makes them true.
func (o origin) keep(tx *sqldb.Tx, rows []taken) error {
	for _, r := range rows {
		_, err := tx.Exec(`INSERT INTO transfer_taken (mailbox, origin, key, uid, flags, keywords) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (mailbox, origin, key) DO UPDATE SET uid = excluded.uid, flags = excluded.flags, keywords = excluded.keywords`,
			o.mailbox, o.id, r.key, r.uid, r.flags, r.keywords)
		if err != nil {
			return err
		}
	}
	return nil
}

// rowSlice is how many rows one transaction writes.
const rowSlice = 500

// write is keep in transactions of its own.
func (t *Transfer) write(ctx context.Context, o origin, rows []taken) error {
	for len(rows) > 0 {
		n := min(rowSlice, len(rows))
		if err := t.db.Write(ctx, func(tx *sqldb.Tx) error { return o.keep(tx, rows[:n]) }); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// forget removes rows.
func (t *Transfer) forget(ctx context.Context, o origin, rows []taken) error {
	for len(rows) > 0 {
		n := min(rowSlice, len(rows))
		err := t.db.Write(ctx, func(tx *sqldb.Tx) error {
			for _, r := range rows[:n] {
				if _, err := tx.Exec(`DELETE FROM transfer_taken WHERE mailbox = $1 AND origin = $2 AND key = $3`, o.mailbox, o.id, r.key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// Forget removes what is remembered of imports into an account: the next one
// takes what it finds as new, but for what has the same octets.
func (t *Transfer) Forget(ctx context.Context, account mail.AccountID) (messages int64, err error) {
	err = t.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		messages, err = tx.Exec(`DELETE FROM transfer_taken WHERE mailbox IN (SELECT mailbox FROM transfer_origin WHERE account = $1)`, account)
		if err == nil {
			_, err = tx.Exec(`DELETE FROM transfer_origin WHERE account = $1`, account)
		}
		return err
	})
	return messages, err
}
