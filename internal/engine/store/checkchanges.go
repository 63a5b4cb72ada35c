package store

import (
	"math"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// changes checks that what is remembered of an account's changes is whole, and that
// it leads to the mailboxes as they are. First the rows, in slices; then the
// mailboxes, each on a snapshot of its own, some at a time.
func (c *checker) changes(account mail.AccountID) error {
	rows := changeRows{checker: c, account: account}
	for more := true; more; {
		err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) (err error) {
			more, err = rows.check(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	if rows.damaged {
		return nil
	}
	for r := (replay{checker: c, account: account}); !r.end; {
		if err := c.s.db.Read(c.ctx, r.read); err != nil {
			return err
		}
		for id, list := range r.members {
			if err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error { return r.compare(tx, id, list) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// changeRows is the check of the rows of change of an account.
type changeRows struct {
	*checker
	account mail.AccountID
	last    mail.ModSeq // of the row that was looked at last
	total   int64       // of it
	damaged bool
}

// check looks at the next rows, and after them at the latest changes.
func (c *changeRows) check(tx *sqldb.Tx) (more bool, err error) {
	rows, err := tx.Query(`SELECT modseq, since, total, entries FROM change WHERE account = $1 AND modseq > $2 ORDER BY modseq`,
		int64(c.account), int64(c.last))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && tx.Enough() {
			return true, c.ctx.Err()
		}
		var modseq, since mail.ModSeq
		var total int64
		var entries sqldb.Borrowed
		if err := rows.Scan(&modseq, &since, &total, &entries); err != nil {
			return false, err
		}
		first := c.last == 0
		if !first && since != c.last { // Unless all before were forgotten meanwhile.
			var before int64
			if err := tx.QueryRow(`SELECT count(*) FROM change WHERE account = $1 AND modseq < $2`, int64(c.account), int64(modseq)).Scan(&before); err != nil {
				return false, err
			}
			first = before == 0
		}
		if !first && (since != c.last || total != c.total+int64(len(entries))) {
			c.missing()
		}
		c.records(since, modseq, entries)
		c.last, c.total = modseq, total
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return false, c.latest(tx)
}

func (c *changeRows) missing() {
	c.damaged = true
	c.problem("changes are missing: account %d after ModSeq %d", c.account, c.last)
}

// latest checks the changes in the account's row.
func (c *changeRows) latest(tx *sqldb.Tx) error {
	var modseq mail.ModSeq
	var octets []byte
	err := tx.QueryRow(`SELECT modseq, changes FROM tally WHERE account = $1 AND mailbox = 0`, int64(c.account)).Scan(&modseq, &octets)
	if err == sqldb.ErrNoRows {
		c.damaged = true // The account was removed meanwhile.
		return nil
	}
	if err != nil {
		return err
	}
	p, ok := readPending(octets, modseq)
	if !ok {
		c.damaged = true
		c.unreadable(damagedChanges(c.account))
		return nil
	}
	if c.last != 0 && (p.since != c.last || p.total != c.total) {
		c.missing()
	}
	c.records(p.since, modseq, p.records)
	return nil
}

// records checks that records lead from one ModSeq to another.
func (c *changeRows) records(since, modseq mail.ModSeq, records []byte) {
	count := mail.ModSeq(0)
	err := eachRecord(c.account, since, records, 0, func(_ mail.ModSeq, r *recordReader) error {
		for r.more() {
			r.next()
		}
		count++
		return nil
	})
	if err != nil || since+count != modseq {
		c.damaged = true
		c.problem("changes are damaged: account %d after ModSeq %d", c.account, since)
	}
}

// replay goes through the changes of an account and holds what they lead to
// against the mailboxes.
type replay struct {
	*checker
	account mail.AccountID
	after   mail.MailboxID // those up to here are done
	end     bool
	floor   mail.ModSeq // changes up to here are forgotten
	at      mail.ModSeq // changes up to here were read
	members map[mail.MailboxID]map[mail.UID]Change
}

// read reads the last change of each member of the next mailboxes, as many as
// memory should hold at once, or of one.
func (r *replay) read(tx *sqldb.Tx) (err error) {
	if r.floor, err = forgottenChanges(tx, r.account); err != nil {
		return r.removed(err)
	}
	last, count := mail.MailboxID(math.MaxInt64), 0
	r.members = make(map[mail.MailboxID]map[mail.UID]Change)
	mailboxes := make(map[mail.MailboxID]ChangeKind)
	err = eachChange(tx, r.account, r.floor, func(at mail.ModSeq, rec *recordReader) error {
		r.at = at
		for rec.more() {
			one := rec.next()
			one.ModSeq = at
			switch {
			case one.Mailbox <= r.after || one.Mailbox > last:
				continue
			case one.Kind.ofMailbox():
				mailboxes[one.Mailbox] = one.Kind
				continue
			}
			of := r.members[one.Mailbox]
			if of == nil {
				of = make(map[mail.UID]Change)
				r.members[one.Mailbox] = of
			}
			if _, known := of[one.UID]; !known {
				count++
			}
			of[one.UID] = one
			for count > checkWindow && len(r.members) > 1 {
				last = r.highest()
				count -= len(r.members[last])
				delete(r.members, last)
				last--
			}
		}
		return nil
	})
	if err != nil {
		return r.removed(err)
	}
	r.end, r.after = last == math.MaxInt64, last
	for id, kind := range mailboxes {
		if id > last {
			continue
		}
		var there bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM mailbox WHERE id = $1 AND account = $2)`, int64(id), int64(r.account)).Scan(&there); err != nil {
			return err
		}
		if there == (kind == MailboxDestroyed) {
			r.problem("changes do not lead to the mailboxes: account %d, mailbox %d", r.account, id)
		}
	}
	return nil
}

// removed is no error if the account was removed meanwhile.
func (r *replay) removed(err error) error {
	if mail.KindOf(err) == mail.NotFound {
		r.end, r.members = true, nil
		return nil
	}
	return err
}

func (r *replay) highest() (id mail.MailboxID) {
	for i := range r.members {
		id = max(id, i)
	}
	return id
}

// compare holds a mailbox against the last changes of its members and what
// happened since those were read.
func (r *replay) compare(tx *sqldb.Tx, id mail.MailboxID, list map[mail.UID]Change) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if _, err := readMoment(tx, id); err != nil {
		if mail.KindOf(err) == mail.NotFound {
			return nil
		}
		return err
	}
	err := eachChange(tx, r.account, r.at, func(at mail.ModSeq, rec *recordReader) error {
		for rec.more() {
			if one := rec.next(); one.Mailbox == id && !one.Kind.ofMailbox() {
				one.ModSeq = at
				list[one.UID] = one
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var members []member
	var wrong []mail.UID
	err = eachBundle(tx, id, allUIDs(), everyBundle, func(at int64, octets []byte) error {
		read, err := appendMembers(members[:0], at, octets)
		if err != nil {
			return nil // It was reported.
		}
		members = read
		for _, m := range members {
			last, known := list[m.UID]
			delete(list, m.UID)
			if known != (m.ModSeq > r.floor) || known && (last.ModSeq != m.ModSeq || last.Email != m.email || last.Kind.gone()) {
				wrong = append(wrong, m.UID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for uid, last := range list {
		if !last.Kind.gone() {
			wrong = append(wrong, uid)
		}
	}
	slices.Sort(wrong)
	for _, uid := range wrong {
		r.problem("changes do not lead to what is there: mailbox %d UID %d", id, uid)
	}
	return nil
}
