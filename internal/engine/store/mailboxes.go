package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Mailboxes lists the mailboxes of an account by name, INBOX first. NotFound
// if there is no such account.
func (s *Store) Mailboxes(ctx context.Context, account mail.AccountID) (list []Mailbox, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		list, err = loadMailboxes(tx, account, &s.aside)
		return err
	})
	for i := range list {
		s.claimed(&list[i])
	}
	return list, err
}

// Mailbox returns the mailbox called name, or NotFound.
func (s *Store) Mailbox(ctx context.Context, account mail.AccountID, name mail.MailboxName) (Mailbox, error) {
	return s.lookup(ctx, account, func(tx *sqldb.Tx) (mail.MailboxID, error) { return findMailbox(tx, account, name) })
}

// MailboxByRole returns the mailbox with a role, or NotFound.
func (s *Store) MailboxByRole(ctx context.Context, account mail.AccountID, role mail.Role) (Mailbox, error) {
	return s.lookup(ctx, account, func(tx *sqldb.Tx) (id mail.MailboxID, err error) {
		err = tx.QueryRow(`SELECT id FROM mailbox WHERE account = $1 AND role = $2 AND role <> ''`, account, role).Scan(&id)
		if err == sqldb.ErrNoRows {
			err = errNoMailbox()
		}
		return id, err
	})
}

// MailboxByID returns a mailbox of the account, or NotFound.
func (s *Store) MailboxByID(ctx context.Context, account mail.AccountID, id mail.MailboxID) (Mailbox, error) {
	return s.lookup(ctx, account, func(*sqldb.Tx) (mail.MailboxID, error) { return id, nil })
}

func (s *Store) lookup(ctx context.Context, account mail.AccountID, find func(*sqldb.Tx) (mail.MailboxID, error)) (m Mailbox, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		id, err := find(tx)
		if err == nil {
			m, err = loadMailbox(tx, account, id)
		}
		return err
	})
	s.claimed(&m)
	return m, err
}

// claimed makes m say what is \Recent still.
func (s *Store) claimed(m *Mailbox) { m.Recent = mail.UID(s.recents.from(m.ID, uint64(m.Recent))) }

// loadMailbox reads one mailbox of an account. NotFound.
func loadMailbox(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID) (Mailbox, error) {
	m := Mailbox{ID: id, Account: account}
	err := tx.QueryRow(`SELECT m.parent, m.label, m.role, t.uidvalidity, t.uidnext, t.recent, t.modseq,
		t.messages, t.unseen, t.deleted, t.size,
		EXISTS (SELECT 1 FROM mailbox c WHERE c.account = m.account AND c.parent = m.id)
		FROM mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
		WHERE m.id = $1 AND m.account = $2`, id, account).
		Scan(&m.Parent, &m.Name, &m.Role, &m.UIDValidity, &m.UIDNext, &m.Recent, &m.ModSeq,
			&m.Exists, &m.Unseen, &m.Deleted, &m.Size, &m.HasChildren)
	if err == sqldb.ErrNoRows {
		return Mailbox{}, errNoMailbox()
	}
	for above := m.Parent; err == nil && above != 0; {
		var label mail.MailboxName
		err = tx.QueryRow(`SELECT parent, label FROM mailbox WHERE id = $1`, above).Scan(&above, &label)
		m.Name = label + mail.MailboxSeparator + m.Name
	}
	if err != nil {
		return Mailbox{}, err
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM subscription WHERE account = $1 AND name = $2)`, account, m.Name).
		Scan(&m.Subscribed)
	return m, err
}

func loadMailboxes(tx *sqldb.Tx, account mail.AccountID, aside *sqldb.Aside) ([]Mailbox, error) {
	subscribed, err := loadSubscriptions(tx, account)
	if err != nil {
		return nil, err
	}
	list, err := loadMailboxRows(tx, account, aside)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, mail.Errorf(mail.NotFound, "no such account")
	}
	nameMailboxes(list)
	for i := range list {
		_, list[i].Subscribed = slices.BinarySearch(subscribed, list[i].Name)
	}
	slices.SortFunc(list, func(a, b Mailbox) int { return compareNames(a.Name, b.Name) })
	return list, nil
}

// loadMailboxRows reads the rows; Name is only the label yet. Those that cannot be
// read go to aside; if that is nil, they are an error.
func loadMailboxRows(tx *sqldb.Tx, account mail.AccountID, aside *sqldb.Aside) ([]Mailbox, error) {
	rows, err := tx.Query(`SELECT m.id, m.parent, m.label, m.role, t.uidvalidity, t.uidnext, t.recent, t.modseq,
		t.messages, t.unseen, t.deleted, t.size
		FROM tally t JOIN mailbox m ON m.id = t.mailbox WHERE t.account = $1 AND t.mailbox > 0`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Mailbox
	for rows.Next() {
		m := Mailbox{Account: account}
		err := rows.Scan(&m.ID, &m.Parent, &m.Name, &m.Role, &m.UIDValidity, &m.UIDNext, &m.Recent, &m.ModSeq,
			&m.Exists, &m.Unseen, &m.Deleted, &m.Size)
		if aside != nil && aside.Takes(sqldb.Named(fmt.Sprintf("mailbox %d of account %d", m.ID, account), err)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// nameMailboxes makes full names of labels and finds who has children.
func nameMailboxes(list []Mailbox) {
	at := make(map[mail.MailboxID]*Mailbox, len(list))
	for i := range list {
		at[list[i].ID] = &list[i]
	}
	named := make(map[mail.MailboxID]bool, len(list))
	var name func(m *Mailbox)
	name = func(m *Mailbox) {
		p := at[m.Parent]
		if p == nil || named[m.ID] {
			return
		}
		named[m.ID] = true
		name(p)
		p.HasChildren = true
		m.Name = p.Name + mail.MailboxSeparator + m.Name
	}
	for i := range list {
		name(&list[i])
	}
}

// compareNames sorts INBOX and what is below it first, then a parent before its
// children.
func compareNames(a, b mail.MailboxName) int {
	inboxA, inboxB := inInbox(a), inInbox(b)
	switch {
	case inboxA && !inboxB:
		return -1
	case inboxB && !inboxA:
		return 1
	}
	return strings.Compare(sortKey(a), sortKey(b))
}

func inInbox(n mail.MailboxName) bool {
	return n == mail.Inbox || strings.HasPrefix(string(n), string(mail.Inbox)+mail.MailboxSeparator)
}

// sortKey puts the separator before every other octet.
func sortKey(n mail.MailboxName) string {
	return strings.ReplaceAll(string(n), mail.MailboxSeparator, "\x00")
}

// Subscriptions lists the names an account subscribed to, sorted; a name may
// outlive its mailbox (RFC 9051 §6.3.7).
func (s *Store) Subscriptions(ctx context.Context, account mail.AccountID) (names []mail.MailboxName, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		names, err = loadSubscriptions(tx, account)
		return err
	})
	return names, err
}

func loadSubscriptions(tx *sqldb.Tx, account mail.AccountID) ([]mail.MailboxName, error) {
	rows, err := tx.Query(`SELECT name FROM subscription WHERE account = $1 ORDER BY name`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []mail.MailboxName
	for rows.Next() {
		var n mail.MailboxName
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, rows.Err()
}

// Subscribe adds name to the subscriptions, or takes it out. TooLarge if there
// are MaxSubscribed.
func (s *Store) Subscribe(ctx context.Context, account mail.AccountID, name mail.MailboxName, on bool) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, err := s.openLedger(tx, account)
		if err != nil {
			return err
		}
		var n int64
		if on {
			n, err = l.subscribe(name)
		} else {
			n, err = l.unsubscribe(name)
		}
		if err != nil {
			return err
		}
		l.listed = n > 0
		return l.close()
	})
}

// subscribe adds names to the subscriptions and returns how many are new.
func (l *ledger) subscribe(names ...mail.MailboxName) (added int64, err error) {
	for _, name := range names {
		n, err := l.tx.Exec(`INSERT INTO subscription (account, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, l.account, name)
		if err != nil {
			return 0, err
		}
		added += n
	}
	if added == 0 {
		return 0, nil
	}
	all, err := l.naming()
	if err != nil {
		return 0, err
	}
	if all.subscribed += added; all.subscribed > MaxSubscribed {
		return 0, errSubscribed()
	}
	return added, nil
}

// unsubscribe takes a name out of the subscriptions and returns how many had it.
func (l *ledger) unsubscribe(name mail.MailboxName) (int64, error) {
	all, err := l.naming()
	if err != nil {
		return 0, err
	}
	n, err := l.tx.Exec(`DELETE FROM subscription WHERE account = $1 AND name = $2`, l.account, name)
	all.subscribed -= n
	return n, err
}

func errSubscribed() error {
	return mail.Errorf(mail.TooLarge, "an account is subscribed to at most %d names", MaxSubscribed)
}
