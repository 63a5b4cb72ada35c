package store

import (
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// tally is a row of that table: the counters of a mailbox, or of an account.
type tally struct {
	id          mail.MailboxID
	role        mail.Role // known if the tally was found by it
	modseq      mail.ModSeq
	was         mail.ModSeq // modseq before this change
	uidvalidity mail.UIDValidity
	uidnext     uint64 // may be one past the last UID
	recent      uint64
	messages    int64
	unseen      int64
	deleted     int64
	size        int64
	full        int64  // of the account: since when it refuses mail, in seconds; 0 if it has room
	warned      int64  // of the account: percent of the quota that its owner was last warned at
	names       *names // nil: not read yet; what it is now
	doomed      bool   // the mailbox is gone: its messages are, one after another, and nothing counts them
	changes     []change
	arrivals    []member // to be filed, ascending
	last        lastBundle
}

const tallyColumns = `t.mailbox, t.modseq, t.uidvalidity, t.uidnext, t.recent, t.messages, t.unseen, t.deleted, t.size, t.full_since, t.warned`

func (t *tally) targets(more ...any) []any {
	list := make([]any, 0, 12)
	list = append(list, &t.id, &t.modseq, &t.uidvalidity, &t.uidnext, &t.recent, &t.messages, &t.unseen, &t.deleted, &t.size,
		&t.full, &t.warned)
	return append(list, more...)
}

// ledger gathers what a transaction changes in one account: it reads each
// counter once, writes it once, and makes views and subscribers follow after
// the commit.
type ledger struct {
	s         *Store
	tx        *sqldb.Tx
	account   mail.AccountID
	total     tally // the account's row
	had       tally // the same before the change
	boxes     []*tally
	modseq    mail.ModSeq // of this change
	changes   []byte      // the account's latest; see changes.go
	mailboxes []Change    // mailboxes that came, changed otherwise than by their messages, or went
	listed    bool        // the list of mailboxes changed
	named     bool        // a mailbox has another name or UIDVALIDITY
	retired   bool        // a mailbox left its name
	counted   *naming     // nil: not read
	before    *naming     // the same before the change
	ours      bool        // what comes is from this server: no quota holds it back
	weighed   bool        // what the account holds changed, and it has a quota if it is limited
	limited   bool
}

// openLedger starts a change of an account. NotFound if there is no such account.
func (s *Store) openLedger(tx *sqldb.Tx, account mail.AccountID) (*ledger, error) {
	return s.openAsked(tx, account, askAccount(tx, account))
}

// lockAccount locks an account for who changes rows of it without a ledger. One that
// is gone has no row: what is left of it is the sweeps', which lock its number.
func lockAccount(tx *sqldb.Tx, account mail.AccountID) {
	tx.Lock(sqldb.Account, int64(account))
	tx.Ask(`SELECT account FROM tally WHERE account = $1 AND mailbox = 0 {lock account}`, int64(account))
}

// askAccount asks for the row of an account, and locks it.
func askAccount(tx *sqldb.Tx, account mail.AccountID) *sqldb.Answer {
	return tx.Ask(`SELECT `+tallyColumns+`, t.changes FROM tally t WHERE t.account = $1 AND t.mailbox = 0 {lock account}`, int64(account))
}

// openAsked starts the change of an account that was asked for.
func (s *Store) openAsked(tx *sqldb.Tx, account mail.AccountID, asked *sqldb.Answer) (*ledger, error) {
	l := &ledger{s: s, tx: tx, account: account}
	err := asked.Scan(l.total.targets(&l.changes)...)
	if err == sqldb.ErrNoRows {
		return nil, mail.Errorf(mail.NotFound, "no such account")
	}
	l.modseq, l.had = l.total.modseq+1, l.total
	return l, err
}

// askMailbox asks for the row of a mailbox, by its number or else by its role, and
// for its last bundle.
func askMailbox(tx *sqldb.Tx, account mail.AccountID, mailbox mail.MailboxID, role mail.Role) *sqldb.Answer {
	const columns = `SELECT ` + tallyColumns + `, ` + lastBundleColumn + ` FROM `
	if mailbox != 0 {
		return tx.Ask(columns+`tally t WHERE t.account = $1 AND t.mailbox = $2`, int64(account), int64(mailbox))
	}
	return tx.Ask(columns+`mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
		WHERE m.account = $1 AND m.role = $2 AND m.role <> ''`, int64(account), string(role))
}

// openBox takes the mailbox that was asked for to the change, if there is one.
func (l *ledger) openBox(asked *sqldb.Answer, role mail.Role) error {
	b := &tally{role: role}
	var last int64
	err := asked.Scan(b.targets(&last)...)
	if err == sqldb.ErrNoRows {
		return nil
	}
	b.last = readLastBundle(b.id, last)
	l.boxes = append(l.boxes, b)
	return err
}

// lockOwner locks the account of a mailbox. NotFound if that is gone.
func lockOwner(tx *sqldb.Tx, id mail.MailboxID) error {
	var account mail.AccountID
	err := tx.QueryRow(`SELECT account FROM mailbox WHERE id = $1`, id).Scan(&account)
	if err == sqldb.ErrNoRows {
		return errNoMailbox()
	}
	if err != nil {
		return err
	}
	lockAccount(tx, account)
	err = tx.QueryRow(`SELECT account FROM mailbox WHERE id = $1`, id).Scan(&account)
	if err == sqldb.ErrNoRows {
		return errNoMailbox()
	}
	return err
}

// openMailbox starts a change of the account that has the mailbox.
func (s *Store) openMailbox(tx *sqldb.Tx, id mail.MailboxID) (*ledger, *tally, error) {
	var account mail.AccountID
	err := tx.QueryRow(`SELECT account FROM mailbox WHERE id = $1`, id).Scan(&account)
	if err == sqldb.ErrNoRows {
		return nil, nil, errNoMailbox()
	}
	if err != nil {
		return nil, nil, err
	}
	row := askAccount(tx, account)
	asked := tx.Ask(`SELECT `+tallyColumns+` FROM tally t WHERE t.account = $1 AND t.mailbox = $2`, int64(account), int64(id))
	l, err := s.openAsked(tx, account, row)
	if err != nil {
		return nil, nil, err
	}
	box := new(tally)
	if err := asked.Scan(box.targets()...); err == sqldb.ErrNoRows {
		return nil, nil, errNoMailbox()
	} else if err != nil {
		return nil, nil, err
	}
	l.boxes = append(l.boxes, box)
	return l, box, nil
}

func errNoMailbox() error { return mail.Errorf(mail.NotFound, "no such mailbox") }

// box returns the counters of a mailbox of the account.
func (l *ledger) box(id mail.MailboxID) (*tally, error) {
	for _, b := range l.boxes {
		if b.id == id {
			return b, nil
		}
	}
	b := new(tally)
	err := l.tx.QueryRow(`SELECT `+tallyColumns+` FROM tally t WHERE t.account = $1 AND t.mailbox = $2`,
		l.account, id).Scan(b.targets()...)
	if err == sqldb.ErrNoRows {
		return nil, errNoMailbox()
	}
	if err != nil {
		return nil, err
	}
	l.boxes = append(l.boxes, b)
	return b, nil
}

// boxByRole is box for the mailbox with a role.
func (l *ledger) boxByRole(role mail.Role) (*tally, error) {
	for _, b := range l.boxes {
		if b.role == role && role != "" {
			return b, nil
		}
	}
	b := &tally{role: role}
	err := l.tx.QueryRow(`SELECT `+tallyColumns+` FROM mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
		WHERE m.account = $1 AND m.role = $2 AND m.role <> ''`, l.account, role).Scan(b.targets()...)
	if err == sqldb.ErrNoRows {
		return nil, mail.Errorf(mail.NotFound, "the account has no mailbox with the role %q", role)
	}
	if err != nil {
		return nil, err
	}
	for _, o := range l.boxes {
		if o.id == b.id {
			o.role = role
			return o, nil
		}
	}
	l.boxes = append(l.boxes, b)
	return b, nil
}

// takeUIDs gives n UIDs of the mailbox and returns the first.
func (b *tally) takeUIDs(n int) (mail.UID, error) {
	first := b.uidnext
	if first+uint64(n) > maxUID {
		return 0, mail.Errorf(mail.OverQuota, "the mailbox has no UIDs left")
	}
	b.uidnext += uint64(n)
	return mail.UID(first), nil
}

// added counts a message that b has now, EmailCreated or EmailAdded; close files it
// behind all others.
func (l *ledger) added(b *tally, m member, kind ChangeKind) {
	l.count(b, m.Flags, m.size, 1)
	b.changes = append(b.changes, change{m.state, kind, m.email, m.received})
	b.arrivals = append(b.arrivals, m)
}

// removed counts a message that b has no longer: EmailRemoved or EmailDestroyed.
func (l *ledger) removed(b *tally, m *member, kind ChangeKind) {
	if !b.doomed {
		l.count(b, m.Flags, m.size, -1)
	}
	b.changes = append(b.changes, change{state{UID: m.UID, ModSeq: l.modseq}, kind, m.email, m.received})
}

// reflagged counts a message whose flags were old.
func (l *ledger) reflagged(b *tally, old mail.Flags, e state, email mail.EmailID) {
	l.count(b, old, 0, -1)
	l.count(b, e.Flags, 0, 1)
	b.changes = append(b.changes, change{e, EmailFlagged, email, 0})
}

func (l *ledger) count(b *tally, f mail.Flags, size, sign int64) {
	b.count(f, size, sign)
	l.total.count(f, size, sign)
}

// count adds a message with sign 1, takes it away with -1.
func (t *tally) count(f mail.Flags, size, sign int64) {
	t.messages += sign
	t.size += sign * size
	if f&mail.Seen == 0 {
		t.unseen += sign
	}
	if f&mail.Deleted != 0 {
		t.deleted += sign
	}
}

// touch stamps b as changed even if no message of it is.
func (b *tally) touch(modseq mail.ModSeq) {
	if b.modseq != modseq {
		b.was, b.modseq = b.modseq, modseq
	}
}

// close writes what arrived and the counters, if anything changed, and
// announces the change when it is committed. OverQuota if the account would
// hold more than it may.
func (l *ledger) close() error {
	changed := l.listed || len(l.mailboxes) > 0
	for _, b := range l.boxes {
		if len(b.changes) > 0 && b.doomed {
			changed = true
		} else if len(b.changes) > 0 {
			b.touch(l.modseq)
		}
		if b.modseq != l.modseq {
			continue
		}
		changed = true
		if err := l.file(b); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	if l.retired {
		if err := l.foldRetired(); err != nil {
			return err
		}
	}
	if err := l.writeNaming(); err != nil {
		return err
	}
	l.total.modseq = l.modseq
	if err := l.weigh(); err != nil {
		return err
	}
	if err := l.record(); err != nil {
		return err
	}
	l.writeTotal()
	if l.s.announces != nil {
		l.tx.OnCommit(func() { l.s.announces(l.announce) })
		return nil
	}
	l.tx.OnCommit(l.announce)
	return nil
}

// file writes what arrived in b, and its counters.
func (l *ledger) file(b *tally) error {
	b.recent = min(l.s.recents.from(b.id, b.recent), b.uidnext)
	if len(b.arrivals) > 0 {
		if err := addMembers(l.tx, b.id, b.last, b.arrivals); err != nil {
			return err
		}
		b.arrivals, b.last = nil, lastBundle{}
	}
	l.write(b)
	return nil
}

// write writes the counters of a mailbox.
func (l *ledger) write(b *tally) {
	l.tx.Do(`UPDATE tally SET modseq = $1, uidvalidity = $2, uidnext = $3, recent = $4,
		messages = $5, unseen = $6, deleted = $7, size = $8
		WHERE account = $9 AND mailbox = $10`,
		int64(b.modseq), int64(b.uidvalidity), int64(b.uidnext), int64(b.recent),
		b.messages, b.unseen, b.deleted, b.size, int64(l.account), int64(b.id))
}

// writeTotal writes the account's row.
func (l *ledger) writeTotal() {
	b := &l.total
	l.tx.Do(`UPDATE tally SET modseq = $1, uidvalidity = $2, messages = $3, unseen = $4, deleted = $5, size = $6, full_since = $7,
		warned = $8, changes = $9 WHERE account = $10 AND mailbox = 0`, int64(b.modseq), int64(b.uidvalidity),
		b.messages, b.unseen, b.deleted, b.size, b.full, b.warned, l.changes, int64(l.account))
}

// announce runs after the commit.
func (l *ledger) announce() {
	if l.weighed {
		l.s.usages.know(l.account, usage{l.modseq, l.total.size, l.total.messages, l.total.full}, l.limited)
	}
	for _, b := range l.boxes {
		if b.modseq == l.modseq {
			l.s.views.apply(b.id, commit{b.was, l.modseq, b.changes, b.names})
			l.s.recents.kept(b.id, b.recent)
		}
	}
	for _, b := range l.boxes {
		if b.modseq == l.modseq {
			l.s.opt.Publish(Event{Account: l.account, Mailbox: b.id, ModSeq: l.modseq, Came: b.onlyCame()})
		}
	}
	if l.listed {
		l.s.opt.Publish(Event{Account: l.account, ModSeq: l.modseq})
	}
}

// onlyCame reports whether the change was new emails and nothing else.
func (b *tally) onlyCame() bool {
	for i := range b.changes {
		if b.changes[i].kind != EmailCreated {
			return false
		}
	}
	return len(b.changes) > 0
}
