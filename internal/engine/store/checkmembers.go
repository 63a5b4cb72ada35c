package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// mailbox checks the memberships of a mailbox in one snapshot.
func (c *checker) mailbox(account mail.AccountID, id mail.MailboxID) error {
	return c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error {
		m := memberCheck{checker: c, tx: tx, account: account, id: id}
		err := tx.QueryRow(`SELECT `+tallyColumns+` FROM tally t WHERE t.account = $1 AND t.mailbox = $2`, account, id).
			Scan(m.says.targets()...)
		if err == sqldb.ErrNoRows {
			return nil // It was deleted meanwhile.
		}
		if err == nil {
			err = m.tombstones()
		}
		if err == nil {
			m.names, err = readNames(tx, id)
		}
		if err == nil {
			err = eachBundle(tx, id, allUIDs(), everyBundle, m.bundle)
		}
		if err == nil {
			err = m.counters()
		}
		return err
	})
}

// memberCheck is the check of one mailbox.
type memberCheck struct {
	*checker
	tx      *sqldb.Tx
	account mail.AccountID
	id      mail.MailboxID
	says    tally // what the row says
	counted tally
	modseq  mail.ModSeq // the highest
	last    mail.UID
	buried  mail.UIDSet
	names   *names
	named   words // looked up already
	members []member
}

func (m *memberCheck) bundle(at int64, octets []byte) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	list, err := appendMembers(m.members[:0], at, octets)
	if err != nil {
		m.problem("memberships are unreadable: mailbox %d from UID %d on", m.id, uint32(at))
		return nil
	}
	if at <= place(m.id, m.last) || place(m.id, list[0].UID) < at {
		m.problem("memberships are misplaced: mailbox %d from UID %d on", m.id, uint32(at))
	}
	m.members = list
	for i := range list {
		if err := m.member(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memberCheck) member(e *member) error {
	if e.UID <= m.last {
		m.problem("UIDs do not ascend: mailbox %d UID %d", m.id, e.UID)
	}
	for len(m.buried) > 0 && m.buried[0].Last < e.UID {
		m.buried = m.buried[1:]
	}
	if len(m.buried) > 0 && m.buried[0].First <= e.UID {
		m.problem("expunged and still there: mailbox %d UID %d", m.id, e.UID)
	}
	m.last, m.modseq = e.UID, max(m.modseq, e.ModSeq)
	m.counted.count(e.Flags, e.size, 1)
	if e.words != m.named && !m.names.has(e.words) {
		m.problem("keywords without a name: mailbox %d UID %d", m.id, e.UID)
	}
	m.named = e.words
	return m.email(e)
}

// email compares a membership with what it repeats.
func (m *memberCheck) email(e *member) error {
	is := member{state: e.state, email: e.email, saved: e.saved}
	var account mail.AccountID
	err := m.tx.QueryRow(`SELECT e.account, e.blob, e.size, b.lacking, e.ascii, e.received, e.zone
		FROM email e JOIN blob b ON b.id = e.blob WHERE e.id = $1`, int64(e.email)).
		Scan(&account, &is.blob, &is.size, &is.lacking, &is.ascii, &is.received, &is.zone)
	if err != nil && err != sqldb.ErrNoRows {
		return err
	}
	if err != nil || account != m.account || is != *e {
		m.problem("message without its email: mailbox %d UID %d", m.id, e.UID)
	}
	return nil
}

// tombstones checks that each holds the members that its range of UIDs says, and
// notes who is in them.
func (m *memberCheck) tombstones() error {
	rows, err := m.tx.Query(`SELECT uid, last, entries FROM tombstone WHERE mailbox = $1`, int64(m.id))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r mail.UIDRange
		var octets sqldb.Borrowed
		if err := rows.Scan(&r.First, &r.Last, &octets); err != nil {
			return err
		}
		m.buried.AddRange(r.First, r.Last)
		list, err := appendMembers(m.members[:0], place(m.id, r.First), octets)
		if err != nil || list[0].UID != r.First || list[len(list)-1].UID != r.Last || len(list) != int(r.Last-r.First)+1 {
			m.problem("tombstone without its members: mailbox %d UID %d", m.id, r.First)
		}
	}
	return rows.Err()
}

func (m *memberCheck) counters() error {
	var buried tally
	err := m.tx.QueryRow(`SELECT max(modseq), max(last) FROM tombstone WHERE mailbox = $1`, int64(m.id)).Scan(&buried.modseq, &buried.uidnext)
	if err != nil {
		return err
	}
	forgotten, err := forgottenUntil(m.tx, m.id)
	if err != nil {
		return err
	}
	var left int
	err = m.tx.QueryRow(`SELECT count(*) FROM tombstone WHERE mailbox = $1 AND modseq <= $2`, int64(m.id), int64(forgotten)).Scan(&left)
	if err != nil {
		return err
	}
	if left > 0 || forgotten > m.says.modseq {
		m.problem("tombstones are forgotten and still there, or too many are forgotten: mailbox %d", m.id)
	}
	t, n := &m.says, &m.counted
	if t.messages != n.messages || t.unseen != n.unseen || t.deleted != n.deleted || t.size != n.size {
		m.problem("counters differ from the rows: mailbox %d", m.id)
	}
	if t.recent > t.uidnext || t.uidnext <= max(uint64(m.last), buried.uidnext) || t.modseq < max(m.modseq, buried.modseq) {
		m.problem("UID or ModSeq beyond its mailbox: mailbox %d", m.id)
	}
	return nil
}

// tallyMembers counts the memberships of each email from first to end.
func tallyMembers(ctx context.Context, tx *sqldb.Tx, first, end int64) ([]uint32, error) {
	counts := make([]uint32, end-first)
	rows, err := tx.Query(`SELECT place, entries FROM membership`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []member
	for rows.Next() {
		var at int64
		var octets []byte
		if err := rows.Scan(&at, &octets); err != nil {
			return nil, err
		}
		if list, err = appendMembers(list[:0], at, octets); err != nil {
			continue // It was reported.
		}
		for _, m := range list {
			if id := int64(m.email); id >= first && id < end {
				counts[id-first]++
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return counts, rows.Err()
}
