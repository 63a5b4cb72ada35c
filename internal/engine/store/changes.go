package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// The memory of changes: an account's changes in the order of their ModSeqs, a
// record for each commit that changed it, none left out. So the ModSeq of a record
// follows from where it stands.
//
// The latest records stand in the account's row of tally, which every change writes
// anyway. When they are pendingOctets, they go into a row of change together.
// Rows go when they are older than Retention.Changes, or beyond Retention.ChangeOctets,
// the oldest first.
//
// Octets of a record: the time less that of the record before (of the first: less
// 0), how many octets follow, and sections. A section: a ChangeKind, the mailbox,
// and of those of emails how many members, their UIDs, emails and, where an email
// comes to be or goes, INTERNALDATEs; see appendMembersOf. Numbers are varints.

// ChangeKind is what happened to an email in a mailbox, or to a mailbox.
type ChangeKind uint8

// The kinds of changes. An email is in a mailbox by a membership, which has the UID.
const (
	EmailCreated     ChangeKind = iota + 1 // it came to be in the mailbox, or was restored
	EmailAdded                             // it is in this mailbox as well, or came from another
	EmailFlagged                           // flags or keywords of the membership changed
	EmailRemoved                           // it left the mailbox, and is in others
	EmailDestroyed                         // it left the last mailbox that it was in
	MailboxCreated                         //
	MailboxUpdated                         // its name, role, UIDVALIDITY or subscription changed
	MailboxDestroyed                       // its emails follow, as removed or destroyed
)

func (k ChangeKind) ofMailbox() bool { return k >= MailboxCreated }

// gone says that a membership ended.
func (k ChangeKind) gone() bool { return k == EmailRemoved || k == EmailDestroyed }

// dated says that the record has the INTERNALDATE.
func (k ChangeKind) dated() bool { return k == EmailCreated || k == EmailDestroyed }

// Change is one thing that a commit changed.
type Change struct {
	ModSeq  mail.ModSeq // of the commit
	Kind    ChangeKind
	Mailbox mail.MailboxID
	Email   mail.EmailID // zero if the mailbox itself changed
	UID     mail.UID

	received int64 // seconds; of dated kinds
}

// ChangeState is a place in the memory of changes: all up to ModSeq, and Part
// changes of the commit after it.
type ChangeState struct {
	ModSeq mail.ModSeq
	Part   int
}

// Changes are changes in the order in which they happened, and the state that they
// lead to.
type Changes struct {
	List  []Change
	State ChangeState
	More  bool // there are more after State
}

// MaxChanges is how many changes one call of Store.Changes gives.
const MaxChanges = 8192

// pendingOctets is how many octets of records stay in the row of tally.
const pendingOctets = 128

// arrivalsEvery is after how many octets of records the index of arrivals follows.
const arrivalsEvery = 2048

// ErrCannotCalculate says that a state is older than what is remembered of an
// account's changes, or never was: who has it must read all anew (RFC 8620 §5.2).
var ErrCannotCalculate error = mail.Errorf(mail.Conflict, "what changed since then is not known any more")

// Changes lists what changed in an account after a state, at most limit changes.
// With a Part the limit may end within a commit: what is already listed of it is
// not listed again. NotFound if there is no such account, ErrCannotCalculate if
// the state is too old.
func (s *Store) Changes(ctx context.Context, account mail.AccountID, since ChangeState, limit int) (c Changes, err error) {
	if limit <= 0 || limit > MaxChanges {
		limit = MaxChanges
	}
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		c = Changes{State: since}
		return eachChange(tx, account, since.ModSeq, func(at mail.ModSeq, r *recordReader) error {
			skip := 0
			if at == since.ModSeq+1 {
				skip = since.Part
			}
			n := 0
			for r.more() {
				one := r.next()
				if one.ModSeq = at; n >= skip {
					if c.More = len(c.List) == limit; c.More {
						c.State = ChangeState{at - 1, n}
						return errEnough
					}
					c.List = append(c.List, one)
				}
				n++
			}
			c.State = ChangeState{ModSeq: at}
			return nil
		})
	})
	if err != nil {
		return Changes{}, err
	}
	return c, nil
}

// Folded says what many changes come to: of each email and mailbox that is another
// after them than before, once, in the order in which they first changed. What came
// and went between is left out.
type Folded struct {
	Created, Updated, Destroyed                            []mail.EmailID
	MailboxesCreated, MailboxesUpdated, MailboxesDestroyed []mail.MailboxID
}

// Fold folds changes.
func Fold(list []Change) (f Folded) {
	emails, mailboxes := fates[mail.EmailID]{}, fates[mail.MailboxID]{}
	for _, c := range list {
		if c.Kind.ofMailbox() {
			mailboxes.add(c.Mailbox, c.Kind)
		} else {
			emails.add(c.Email, c.Kind)
		}
	}
	f.Created, f.Updated, f.Destroyed = emails.sort(EmailCreated, EmailDestroyed)
	f.MailboxesCreated, f.MailboxesUpdated, f.MailboxesDestroyed = mailboxes.sort(MailboxCreated, MailboxDestroyed)
	return f
}

// fates are the first and the last change of each thing.
type fates[ID comparable] struct {
	order       []ID
	first, last map[ID]ChangeKind
}

func (f *fates[ID]) add(id ID, kind ChangeKind) {
	if f.first == nil {
		f.first, f.last = map[ID]ChangeKind{}, map[ID]ChangeKind{}
	}
	if _, known := f.first[id]; !known {
		f.first[id] = kind
		f.order = append(f.order, id)
	}
	f.last[id] = kind
}

// sort divides the things by whether they came to be, went, or both or neither.
func (f *fates[ID]) sort(birth, end ChangeKind) (created, updated, destroyed []ID) {
	for _, id := range f.order {
		switch came, went := f.first[id] == birth, f.last[id] == end; {
		case came && went:
		case came:
			created = append(created, id)
		case went:
			destroyed = append(destroyed, id)
		default:
			updated = append(updated, id)
		}
	}
	return created, updated, destroyed
}

// eachChange calls fn for the record of each commit after since, until it returns
// errEnough.
func eachChange(tx *sqldb.Tx, account mail.AccountID, since mail.ModSeq, fn func(at mail.ModSeq, r *recordReader) error) error {
	latest, now, err := loadPending(tx, account)
	if err != nil {
		return err
	}
	if since > now {
		return ErrCannotCalculate
	}
	if since < latest.since {
		if err := eachChangeRow(tx, account, since, latest.since, fn); err != nil {
			return enough(err)
		}
	}
	return enough(eachRecord(account, latest.since, latest.records, since, fn))
}

// forgottenChanges is the ModSeq up to which nothing is remembered of an account's
// changes. NotFound if there is no such account.
func forgottenChanges(tx *sqldb.Tx, account mail.AccountID) (floor mail.ModSeq, err error) {
	err = tx.QueryRow(`SELECT since FROM change WHERE account = $1 ORDER BY modseq LIMIT 1`, int64(account)).Scan(&floor)
	if err != sqldb.ErrNoRows {
		return floor, err
	}
	latest, _, err := loadPending(tx, account)
	return latest.since, err
}

func enough(err error) error {
	if err == errEnough {
		return nil
	}
	return err
}

// eachChangeRow calls fn for the records after since in rows, which must go on
// without a gap up to a ModSeq.
func eachChangeRow(tx *sqldb.Tx, account mail.AccountID, since, up mail.ModSeq, fn func(at mail.ModSeq, r *recordReader) error) error {
	rows, err := tx.Query(`SELECT modseq, since, entries FROM change WHERE account = $1 AND modseq > $2 ORDER BY modseq`,
		int64(account), int64(since))
	if err != nil {
		return err
	}
	defer rows.Close()
	at := since
	for rows.Next() {
		var last, first mail.ModSeq
		var entries sqldb.Borrowed
		if err := rows.Scan(&last, &first, &entries); err != nil {
			return err
		}
		if first > at || first < at && at != since {
			return ErrCannotCalculate
		}
		if err := eachRecord(account, first, entries, since, fn); err != nil {
			return err
		}
		at = last
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if at != up {
		return ErrCannotCalculate
	}
	return nil
}

// eachRecord calls fn for the records after since among those that follow first.
func eachRecord(account mail.AccountID, first mail.ModSeq, records []byte, since mail.ModSeq, fn func(at mail.ModSeq, r *recordReader) error) error {
	at, time := first, int64(0)
	for len(records) > 0 {
		r := recordReader{}
		if r, records = cutRecord(records, &time); !r.failed {
			if at++; at <= since {
				continue
			}
			if err := fn(at, &r); err != nil {
				return err
			}
		}
		if r.failed {
			return damagedChanges(account)
		}
	}
	return nil
}

func damagedChanges(account mail.AccountID) error {
	text := fmt.Sprintf("account %d: what is remembered of its changes is damaged", account)
	return &mail.Error{Kind: mail.Internal, Text: text,
		Err: &sqldb.Unreadable{Row: fmt.Sprintf("changes of account %d", account), Err: fmt.Errorf("%s", text)}}
}

// pending are the latest records of an account, as its row has them.
type pending struct {
	since   mail.ModSeq // they follow it
	total   int64       // octets of records that were ever written to change
	at      int64       // time of the last
	count   uint64
	records []byte

	indexed mail.ModSeq // up to here the index of arrivals has what changed
	applied int64       // total then
}

const pendingFormat = 1

// pendingHead is enough for what stands before the records, in octets.
const pendingHead = 40

// readPending reads what a row of tally with a ModSeq has.
func readPending(octets []byte, modseq mail.ModSeq) (p pending, ok bool) {
	r := memberReader{octets: octets}
	ok = r.uvarint() == pendingFormat
	p.since, p.total = mail.ModSeq(r.uvarint()), int64(r.uvarint())
	p.indexed, p.applied = p.since-mail.ModSeq(r.uvarint()), p.total-int64(r.uvarint())
	p.at, p.count, p.records = r.varint(), r.uvarint(), r.octets
	return p, ok && !r.failed && uint64(p.since)+p.count == uint64(modseq)
}

// loadPending reads the latest changes of an account, and its ModSeq. NotFound if
// there is no such account.
func loadPending(tx *sqldb.Tx, account mail.AccountID) (p pending, now mail.ModSeq, err error) {
	var octets []byte
	err = tx.QueryRow(`SELECT modseq, changes FROM tally WHERE account = $1 AND mailbox = 0`, int64(account)).Scan(&now, &octets)
	if err == sqldb.ErrNoRows {
		return p, 0, mail.Errorf(mail.NotFound, "no such account")
	}
	if err != nil {
		return p, 0, err
	}
	p, ok := readPending(octets, now)
	if !ok {
		return p, 0, damagedChanges(account)
	}
	return p, now, nil
}

func (p *pending) append(b []byte) []byte {
	b = append(b, pendingFormat)
	b = binary.AppendUvarint(b, uint64(p.since))
	b = binary.AppendUvarint(b, uint64(p.total))
	b = binary.AppendUvarint(b, uint64(p.since-p.indexed))
	b = binary.AppendUvarint(b, uint64(p.total-p.applied))
	b = binary.AppendVarint(b, p.at)
	b = binary.AppendUvarint(b, p.count)
	return append(b, p.records...)
}

// record notes what the commit changes among the latest changes of the account.
func (l *ledger) record() error {
	p, ok := readPending(l.changes, l.modseq-1)
	if !ok {
		l.s.log.Error("what changed lately in an account cannot be read and is forgotten", "account", int64(l.account))
		p = pending{since: l.modseq - 1, indexed: l.modseq - 1}
		err := l.tx.QueryRow(`SELECT total FROM change WHERE account = $1 ORDER BY modseq DESC LIMIT 1`, int64(l.account)).Scan(&p.total)
		if err != nil && err != sqldb.ErrNoRows {
			return err
		}
		p.applied = p.total
	}
	now := l.s.now().Unix()
	before := p.at
	if p.count == 0 {
		before = 0
	}
	var room [pendingOctets]byte
	sections := room[:0]
	for _, b := range l.boxes {
		sections = appendSections(sections, b.id, b.changes, now)
	}
	slices.SortStableFunc(l.mailboxes, func(a, b Change) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	for i, m := range l.mailboxes {
		if i > 0 && m.Mailbox == l.mailboxes[i-1].Mailbox {
			continue // What it was first says more: that it came to be.
		}
		sections = binary.AppendUvarint(append(sections, byte(m.Kind)), uint64(m.Mailbox))
	}
	var few [2 * binary.MaxVarintLen64]byte
	head := binary.AppendUvarint(binary.AppendVarint(few[:0], now-before), uint64(len(sections)))
	p.at, p.count = now, p.count+1
	size := len(p.records) + len(head) + len(sections)
	if size > pendingOctets {
		records := append(make([]byte, 0, size), p.records...)
		p.records = append(append(records, head...), sections...)
		if err := l.fileChanges(&p); err != nil {
			return err
		}
		l.changes = p.append(make([]byte, 0, pendingHead))
		return nil
	}
	octets := p.append(make([]byte, 0, pendingHead+size))
	l.changes = append(append(octets, head...), sections...)
	return nil
}

// fileChanges writes the latest changes to a row of their own; once in a while what
// changes say of arrivals to that index. The oldest rows go if there are too many octets
// then.
func (l *ledger) fileChanges(p *pending) error {
	p.total += int64(len(p.records))
	if p.total-p.applied >= arrivalsEvery {
		ops, err := waitingArrivals(l.tx, l.account, p)
		if err == nil {
			err = index{l.tx, l.account, byArrival}.change(ops)
		}
		if errors.Is(err, ErrCannotCalculate) {
			err = damagedChanges(l.account)
		}
		if err != nil && !l.s.aside.Takes(err) {
			return err
		}
		p.indexed, p.applied = l.modseq, p.total
	}
	l.tx.Do(`INSERT INTO change (account, modseq, since, total, at, entries) VALUES ($1, $2, $3, $4, $5, $6)`,
		int64(l.account), int64(l.modseq), int64(p.since), p.total, p.at, p.records)
	p.since, p.count, p.records = l.modseq, 0, nil
	kept := p.total - l.s.retention.Load().ChangeOctets
	for more := kept > 0; more; {
		var err error
		more, err = forgetChanges(l.tx, l.account, func(_ mail.ModSeq, _, total int64) bool { return total <= kept })
		if err != nil {
			return err
		}
	}
	return nil
}

// mailboxChanged notes that something of a mailbox changed that is no message.
func (l *ledger) mailboxChanged(id mail.MailboxID, kind ChangeKind) {
	l.mailboxes = append(l.mailboxes, Change{Kind: kind, Mailbox: id})
}

// appendSections appends sections of what changed in a mailbox, one for each kind.
func appendSections(b []byte, id mail.MailboxID, list []change, now int64) []byte {
	if len(list) == 0 {
		return b
	}
	has := [MailboxCreated]int{}
	for i := range list {
		has[list[i].kind]++
	}
	for kind := EmailCreated; kind < MailboxCreated; kind++ {
		if has[kind] == 0 {
			continue
		}
		of := list
		if has[kind] < len(list) {
			of = slices.DeleteFunc(slices.Clone(list), func(c change) bool { return c.kind != kind })
		}
		if byUID := func(a, b change) int { return cmp.Compare(a.UID, b.UID) }; !slices.IsSortedFunc(of, byUID) {
			of = slices.Clone(of)
			slices.SortFunc(of, byUID)
		}
		b = binary.AppendUvarint(append(b, byte(kind)), uint64(id))
		b = appendMembersOf(b, of, kind.dated(), now)
	}
	return b
}

// appendMembersOf appends memberships that ascend by UID: how many; then ranges of
// their UIDs, each by how many UIDs are left out before it and how many more than
// one it has; then their emails, each as the difference to the one before, doubled,
// or, as an odd number, how many more than one follow each other; then dates, each
// as the difference to the one before, the first to the time of the record.
func appendMembersOf(b []byte, list []change, dated bool, now int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	last := mail.UID(0)
	for i := 0; i < len(list); {
		n := i + 1
		for n < len(list) && list[n].UID == list[n-1].UID+1 {
			n++
		}
		b = binary.AppendUvarint(b, uint64(list[i].UID-last-1))
		b = binary.AppendUvarint(b, uint64(n-i-1))
		last, i = list[n-1].UID, n
	}
	email := mail.EmailID(0)
	for i := 0; i < len(list); {
		n := i
		for n < len(list) && list[n].email == email+mail.EmailID(n-i)+1 {
			n++
		}
		if n > i {
			b = binary.AppendUvarint(b, uint64(n-i-1)<<1|1)
			email, i = list[n-1].email, n
			continue
		}
		difference := int64(list[i].email - email)
		b = binary.AppendUvarint(b, uint64(difference<<1^difference>>63)<<1)
		email = list[i].email
		i++
	}
	if !dated {
		return b
	}
	received := now
	for i := range list {
		b = binary.AppendVarint(b, list[i].received-received)
		received = list[i].received
	}
	return b
}

// recordReader reads the changes of a record one by one. The first error sticks.
type recordReader struct {
	memberReader
	time    int64
	section []Change // what is left of the section at hand
}

// cutRecord takes a record off others; time becomes its.
func cutRecord(records []byte, time *int64) (r recordReader, rest []byte) {
	m := memberReader{octets: records}
	*time += m.varint()
	n := m.uvarint()
	if m.failed || n > uint64(len(m.octets)) {
		r.failed = true
		return r, nil
	}
	r.octets, r.time = m.octets[:n], *time
	return r, m.octets[n:]
}

func (r *recordReader) more() bool {
	if len(r.section) == 0 && len(r.octets) > 0 {
		r.readSection()
	}
	return !r.failed && len(r.section) > 0
}

func (r *recordReader) next() Change {
	c := r.section[0]
	r.section = r.section[1:]
	return c
}

// readSection reads the next section.
func (r *recordReader) readSection() {
	kind, id := ChangeKind(r.uvarint()), mail.MailboxID(r.uvarint())
	if kind < EmailCreated || kind > MailboxDestroyed {
		r.failed = true
		return
	}
	if kind.ofMailbox() {
		r.section = []Change{{Kind: kind, Mailbox: id}}
		return
	}
	n := r.uvarint()
	if n == 0 || n > maxSlice+MaxFilings || r.failed { // What one commit can change in a mailbox.
		r.failed = true
		return
	}
	list := make([]Change, n)
	uid := mail.UID(0)
	for i := 0; i < len(list) && !r.failed; {
		uid += mail.UID(r.uvarint()) + 1
		for more := r.uvarint() + 1; more > 0 && i < len(list); more-- {
			list[i] = Change{Kind: kind, Mailbox: id, UID: uid}
			i++
			uid++
		}
		uid--
	}
	email := mail.EmailID(0)
	for i := 0; i < len(list) && !r.failed; {
		token := r.uvarint()
		if token&1 == 0 {
			email += mail.EmailID(int64(token>>2) ^ -int64(token>>1&1))
			list[i].Email = email
			i++
			continue
		}
		for more := token>>1 + 1; more > 0 && i < len(list); more-- {
			email++
			list[i].Email = email
			i++
		}
	}
	if kind.dated() {
		received := r.time
		for i := range list {
			received += r.varint()
			list[i].received = received
		}
	}
	r.section = list
}
