package store

import (
	"errors"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// mailbox checks the memberships of a mailbox in slices, each on a snapshot of its
// own: first what was expunged, which stays so, then what is there, by UID. If the
// mailbox changed meanwhile it is counted once more, on one snapshot.
func (c *checker) mailbox(account mail.AccountID, id mail.MailboxID) error {
	m := memberCheck{checker: c, account: account, id: id}
	for _, step := range []func() (more bool, err error){m.tombstones, m.bundles, m.counters} {
		for more := true; more; {
			err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) (err error) {
				m.tx = tx
				if more, err = m.begin(); more && err == nil {
					more, err = step()
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// memberCheck is the check of one mailbox.
type memberCheck struct {
	*checker
	tx      *sqldb.Tx
	account mail.AccountID
	id      mail.MailboxID
	says    tally // what the row says now
	moved   bool  // it says something else than when the check began
	names   *names
	members []member

	grave     mail.ModSeq // the last tombstone that was looked at
	graveUID  mail.UID
	buried    mail.UIDSet
	lastGrave mail.UID // the highest in buried

	place   int64    // the last bundle that was looked at
	from    mail.UID // all up to here were, when the slice began
	last    mail.UID
	modseq  mail.ModSeq // the highest
	counted tally
	named   words // looked up already

	elsewhere []point // members of a bundle that did not come where they are
}

// begin begins a slice. False if the mailbox is not there any more.
func (m *memberCheck) begin() (there bool, err error) {
	was := m.says
	m.says = tally{}
	err = m.tx.QueryRow(`SELECT `+tallyColumns+` FROM tally t WHERE t.account = $1 AND t.mailbox = $2`, m.account, m.id).
		Scan(m.says.targets()...)
	if err == sqldb.ErrNoRows {
		return false, nil // It was deleted meanwhile.
	}
	m.moved = m.moved || was.id != 0 && was.modseq != m.says.modseq
	return true, err
}

// bundles checks the next memberships.
func (m *memberCheck) bundles() (more bool, err error) {
	if m.names, err = readNames(m.tx, m.id); err != nil {
		return false, err
	}
	m.from, m.named = m.last, ""
	more, first := false, true
	err = eachBundle(m.tx, m.id, mail.UIDRange{First: m.from, Last: maxUID}, everyBundle, func(at int64, octets []byte) error {
		if more = !first && m.last > m.from && m.tx.Enough(); more {
			return errEnough
		}
		err := m.bundle(at, octets, first)
		first = false
		return err
	})
	if err == errEnough {
		err = nil
	}
	return more, err
}

// errEnough ends a slice.
var errEnough = errors.New("enough")

// bundle checks one. The first of a slice may be the one where the last slice
// ended, alone or joined with others.
func (m *memberCheck) bundle(at int64, octets []byte, first bool) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	list, err := appendMembers(m.members[:0], at, octets)
	had := m.place
	goesOn := first && m.from > 0 && (at <= had || m.moved)
	m.place = max(had, at)
	if err != nil {
		if at > had {
			m.problem("memberships are unreadable: mailbox %d from UID %d on", m.id, uint32(at))
		}
		return nil
	}
	m.members = list
	if place(m.id, list[0].UID) < at || !goesOn && at <= place(m.id, m.last) {
		m.problem("memberships are misplaced: mailbox %d from UID %d on", m.id, uint32(at))
	}
	m.elsewhere = m.elsewhere[:0]
	for i := range list {
		if goesOn && list[i].UID <= m.from {
			continue
		}
		if err := m.member(&list[i]); err != nil {
			return err
		}
	}
	return m.indexed(list, m.elsewhere)
}

func (m *memberCheck) member(e *member) error {
	if e.UID <= m.last {
		m.problem("UIDs do not ascend: mailbox %d UID %d", m.id, e.UID)
	}
	if m.buried.Contains(e.UID) {
		m.problem("expunged and still there: mailbox %d UID %d", m.id, e.UID)
	}
	m.last, m.modseq = max(m.last, e.UID), max(m.modseq, e.ModSeq)
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
	var came Place
	err := m.tx.QueryRow(`SELECT e.account, e.mailbox, e.uid, e.blob, e.size, b.lacking, e.ascii, e.received, e.zone
		FROM email e JOIN blob b ON b.id = e.blob WHERE e.id = $1`, int64(e.email)).
		Scan(&account, &came.Mailbox, &came.UID, &is.blob, &is.size, &is.lacking, &is.ascii, &is.received, &is.zone)
	if err != nil && err != sqldb.ErrNoRows {
		return err
	}
	if err != nil || account != m.account || is != *e {
		m.problem("message without its email: mailbox %d UID %d", m.id, e.UID)
	} else if came != (Place{m.id, e.UID}) {
		m.elsewhere = append(m.elsewhere, point{int64(e.email), int64(m.id), int64(e.UID)})
	}
	return nil
}

// tombstones checks that each of the next holds the members that its range of UIDs
// says, and notes who is in them.
func (m *memberCheck) tombstones() (more bool, err error) {
	rows, err := m.tx.Query(`SELECT modseq, uid, last, entries FROM tombstone WHERE mailbox = $1 AND (modseq, uid) > ($2, $3)
		ORDER BY modseq, uid`, int64(m.id), int64(m.grave), int64(m.graveUID))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n > 0 && m.tx.Enough() {
			return true, m.ctx.Err()
		}
		var r mail.UIDRange
		var octets sqldb.Borrowed
		if err := rows.Scan(&m.grave, &r.First, &r.Last, &octets); err != nil {
			return false, err
		}
		m.graveUID, m.lastGrave = r.First, max(m.lastGrave, r.Last)
		m.buried.AddRange(r.First, r.Last)
		list, err := appendMembers(m.members[:0], place(m.id, r.First), octets)
		if err != nil || list[0].UID != r.First || list[len(list)-1].UID != r.Last || len(list) != int(r.Last-r.First)+1 {
			m.problem("tombstone without its members: mailbox %d UID %d", m.id, r.First)
		}
	}
	return false, rows.Err()
}

// counters compares what was counted with what the mailbox says.
func (m *memberCheck) counters() (more bool, err error) {
	if m.moved {
		if err := m.count(); err != nil {
			return false, err
		}
	}
	t, n := &m.says, &m.counted
	if t.messages != n.messages || t.unseen != n.unseen || t.deleted != n.deleted || t.size != n.size {
		m.problem("counters differ from the rows: mailbox %d", m.id)
	}
	if t.recent > t.uidnext || t.uidnext <= uint64(max(m.last, m.lastGrave)) || t.modseq < max(m.modseq, m.grave) {
		m.problem("UID or ModSeq beyond its mailbox: mailbox %d", m.id)
	}
	return false, nil
}

// count counts what is there now. It looks nothing up, so that it is short.
func (m *memberCheck) count() error {
	m.counted = tally{}
	return eachBundle(m.tx, m.id, allUIDs(), everyBundle, func(at int64, octets []byte) error {
		list, err := appendMembers(m.members[:0], at, octets)
		for i := range list {
			m.counted.count(list[i].Flags, list[i].size, 1)
		}
		if err != nil {
			return nil // It was reported.
		}
		m.members = list
		return m.ctx.Err()
	})
}
