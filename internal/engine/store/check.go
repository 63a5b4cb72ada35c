package store

import (
	"context"
	"errors"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Check verifies every invariant of the store while it is in use and reports
// what does not hold, in words for the operator. The error is that it could
// not look. Octets in files are only measured; see CheckDeep. It reads
// most in slices, each on a snapshot of its own, so that what is written
// meanwhile is not kept from the database file, and never holds the writer.
func (s *Store) Check(ctx context.Context, report func(problem string)) error {
	return s.check(ctx, report, false)
}

// CheckDeep is Check that also hashes all octets.
func (s *Store) CheckDeep(ctx context.Context, report func(problem string)) error {
	return s.check(ctx, report, true)
}

// checker is one run of Check.
type checker struct {
	s      *Store
	ctx    context.Context
	deep   bool
	report func(string)
	told   map[string]bool // of rows that cannot be read
}

func (s *Store) check(ctx context.Context, report func(string), deep bool) error {
	c := &checker{s: s, ctx: ctx, deep: deep, report: report, told: map[string]bool{}}
	for _, step := range []func() error{c.tables, c.accounts, c.threads, c.strays, c.emails, c.blobs, c.views} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) problem(format string, args ...any) { c.report(fmt.Sprintf(format, args...)) }

func (c *checker) tables() error { return c.s.db.Integrity(c.ctx, c.report) }

// rule is a query that gives a row, one text column, for each thing that is wrong.
type rule struct{ what, query string }

// check runs rules in one snapshot; args are theirs.
func (c *checker) run(rules []rule, args ...any) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error {
		for _, r := range rules {
			if err := c.runRule(tx, r, args); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *checker) runRule(tx *sqldb.Tx, r rule, args []any) error {
	rows, err := tx.Query(r.query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var found string
		if err := rows.Scan(&found); err != nil {
			return err
		}
		c.problem("%s: %s", r.what, found)
	}
	return rows.Err()
}

// accounts checks each account, then each of its mailboxes.
func (c *checker) accounts() error {
	for account := mail.AccountID(0); ; {
		err := c.one(&account, `SELECT min(account) FROM tally WHERE mailbox = 0 AND account > $1`, account)
		if err != nil || account == 0 {
			return err
		}
		if err := c.run(accountRules(), account); err != nil {
			return err
		}
		if err := c.names(account); err != nil {
			return err
		}
		if err := c.changes(account); err != nil {
			return err
		}
		if err := c.indexes(account); err != nil {
			return err
		}
		for box := mail.MailboxID(0); ; {
			err := c.one(&box, `SELECT min(mailbox) FROM tally WHERE account = $1 AND mailbox > $2`, account, box)
			if err != nil {
				return err
			}
			if box == 0 {
				break
			}
			err = sqldb.Named(boxRow(account, box), c.mailbox(account, box))
			if err != nil && !c.unreadable(err) {
				return err
			}
		}
	}
}

// names checks that the mailboxes of an account and what it is subscribed to can be
// read and have names.
func (c *checker) names(account mail.AccountID) error {
	return c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error {
		list, bad, err := loadMailboxRows(tx, account)
		if err != nil {
			return err
		}
		for _, m := range list {
			c.unreadable(bad[m.ID])
		}
		for _, table := range []string{"subscription", "retired", "former"} {
			err := eachName(tx, account, table, func(name mail.MailboxName, bad error) {
				if name != "" || table != "retired" { // See foldRetired.
					c.unreadable(bad)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// unreadable says whether err is about a row that cannot be read, and reports that,
// once.
func (c *checker) unreadable(err error) bool {
	var u *sqldb.Unreadable
	if !errors.As(err, &u) {
		return false
	}
	if !c.told[u.Row] {
		c.told[u.Row] = true
		c.problem("%v", u)
	}
	return true
}

// one reads one value.
func (c *checker) one(dest any, query string, args ...any) error {
	return c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(query, args...).Scan(dest) })
}

// accountRules have $1 for the account.
func accountRules() []rule {
	return []rule{
		{"account totals differ from its mailboxes", `SELECT 'account ' || a.account FROM tally a WHERE a.account = $1 AND a.mailbox = 0
			AND EXISTS (SELECT 1 FROM (SELECT coalesce(sum(messages), 0) AS m, coalesce(sum(unseen), 0) AS u,
				coalesce(sum(deleted), 0) AS d, coalesce(sum(size), 0) AS s FROM tally WHERE account = $1 AND mailbox > 0) AS sums
				WHERE m <> a.messages OR u <> a.unseen OR d <> a.deleted OR s <> a.size)`},
		{"names of an account differ from their count", `SELECT 'account ' || a.account FROM tally a
			LEFT JOIN naming n ON n.account = a.account WHERE a.account = $1 AND a.mailbox = 0 AND (n.account IS NULL OR n.changed > a.modseq
			OR n.mailboxes <> (SELECT count(*) FROM mailbox WHERE account = $1)
			OR n.subscribed <> (SELECT count(*) FROM subscription WHERE account = $1)
			OR n.retired <> (SELECT count(*) FROM retired WHERE account = $1))`},
		{"mailbox is newer than its account", `SELECT 'mailbox ' || t.mailbox FROM tally t
			JOIN tally a ON a.account = t.account AND a.mailbox = 0
			WHERE t.account = $1 AND (t.modseq > a.modseq OR t.uidvalidity > a.uidvalidity)`},
		{"UIDVALIDITY is used twice", `SELECT 'account ' || account || ' value ' || uidvalidity FROM tally
			WHERE account = $1 AND mailbox > 0 GROUP BY account, uidvalidity HAVING count(*) > 1`},
		{"counters without a mailbox", `SELECT 'mailbox ' || t.mailbox FROM tally t LEFT JOIN mailbox m ON m.id = t.mailbox
			WHERE t.account = $1 AND t.mailbox > 0 AND (m.id IS NULL OR m.account <> t.account)`},
		{"mailbox without counters", `SELECT 'mailbox ' || m.id FROM mailbox m
			LEFT JOIN tally t ON t.account = m.account AND t.mailbox = m.id WHERE m.account = $1 AND t.mailbox IS NULL`},
		{"mailbox without its parent", `SELECT 'mailbox ' || m.id FROM mailbox m LEFT JOIN mailbox p ON p.id = m.parent
			WHERE m.account = $1 AND m.parent <> 0 AND (p.id IS NULL OR p.account <> m.account)`},
		{"account without INBOX", `SELECT 'account ' || a.account FROM tally a WHERE a.account = $1 AND a.mailbox = 0
			AND NOT EXISTS (SELECT 1 FROM mailbox WHERE account = $1 AND parent = 0 AND label = 'INBOX' AND role = 'inbox')`},
	}
}

// strays finds rows whose owner is gone.
func (c *checker) strays() error {
	for table, query := range map[string]string{
		"membership": `SELECT min(place) >> 32 FROM membership WHERE place >= ($1 + 1) << 32`,
		"tombstone":  `SELECT min(mailbox) FROM tombstone WHERE mailbox > $1`,
	} {
		for box := mail.MailboxID(0); ; {
			err := c.one(&box, query, box)
			if err != nil {
				return err
			}
			if box == 0 {
				break
			}
			err = c.run([]rule{{"rows in " + table + " without their mailbox", `SELECT 'mailbox ' || $1
				WHERE NOT EXISTS (SELECT 1 FROM mailbox WHERE id = $1) AND NOT EXISTS (SELECT 1 FROM doomed WHERE mailbox = $1)`}}, box)
			if err != nil {
				return err
			}
		}
	}
	for what, query := range map[string]string{
		"content without a blob: blob %[1]d": `SELECT c.blob, 0, b.id IS NULL OR b.file IS NOT NULL FROM content c
			LEFT JOIN blob b ON b.id = c.blob WHERE c.blob > $1 AND $2 = 0 ORDER BY c.blob`,
		"expunged email that is not there: email %[2]d": `SELECT x.at, x.email, e.id IS NULL OR e.account <> x.account FROM expunged x
			LEFT JOIN email e ON e.id = x.email WHERE (x.at, x.email) > ($1, $2) ORDER BY x.at, x.email`,
		"mailbox that is gone and still there, or nobody's: mailbox %[1]d": `SELECT f.mailbox, 0, m.id IS NOT NULL OR t.account IS NULL FROM former f
			LEFT JOIN mailbox m ON m.id = f.mailbox LEFT JOIN tally t ON t.account = f.account AND t.mailbox = 0
			WHERE f.mailbox > $1 AND $2 = 0 ORDER BY f.mailbox`,
	} {
		for from := (progress{first: -1}); !from.end; {
			err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) (err error) {
				from, err = c.stray(tx, from, what, query)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// stray reports what a query finds to be wrong among its next rows: it gives the two
// numbers of a row's key, and whether it is.
func (c *checker) stray(tx *sqldb.Tx, from progress, what, query string) (progress, error) {
	rows, err := tx.Query(query, from.first, from.second)
	if err != nil {
		return from, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && n%rowSlice == 0 && tx.Enough() {
			return from, c.ctx.Err()
		}
		var wrong bool
		if err := rows.Scan(&from.first, &from.second, &wrong); err != nil {
			return from, err
		}
		if wrong {
			c.problem(what, from.first, from.second)
		}
	}
	from.end = true
	return from, rows.Err()
}

// views compares the views in memory with the rows.
func (c *checker) views() error {
	for _, id := range c.s.views.loaded() {
		read, _, err := c.s.readView(c.ctx, id)
		if mail.KindOf(err) == mail.NotFound && err != nil {
			continue
		}
		if mail.KindOf(err) == mail.Internal && err != nil {
			c.problem("view cannot be read: mailbox %d: %v", id, err)
			continue
		}
		if err != nil {
			return err
		}
		v, err := c.s.View(c.ctx, id)
		if err != nil {
			return err
		}
		if v.modseq == read.modseq && !v.equal(read) {
			c.problem("view differs from the rows: mailbox %d", id)
		}
	}
	return nil
}
