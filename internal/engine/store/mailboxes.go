package store

import (
	"context"
	"errors"
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

// HasMailbox reports whether the account has the mailbox, in the snapshot of tx.
func (s *Store) HasMailbox(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID) (bool, error) {
	err := tx.QueryRow(`SELECT 1 FROM tally WHERE account = $1 AND mailbox = $2`, account, id).Scan(new(int))
	if err == sqldb.ErrNoRows {
		return false, nil
	}
	return err == nil, err
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
	for above, levels := m.Parent, 1; err == nil && above != 0 && levels <= mail.MaxMailboxDepth; levels++ {
		var label mail.MailboxName
		err = tx.QueryRow(`SELECT parent, label FROM mailbox WHERE id = $1`, above).Scan(&above, &label)
		m.Name = label + mail.MailboxSeparator + m.Name
	}
	if err != nil && err != sqldb.ErrNoRows {
		return Mailbox{}, err
	}
	if err == nil {
		err = checkName(m.Name)
	} else {
		err = errors.New("what it is below is not there")
	}
	if err != nil {
		return Mailbox{}, unreadableBox(account, id, err)
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM subscription WHERE account = $1 AND name = $2)`, account, m.Name).
		Scan(&m.Subscribed)
	return m, err
}

func loadMailboxes(tx *sqldb.Tx, account mail.AccountID, aside *sqldb.Aside) ([]Mailbox, error) {
	subscribed, err := loadSubscriptions(tx, account, aside)
	if err != nil {
		return nil, err
	}
	list, bad, err := loadMailboxRows(tx, account)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, mail.Errorf(mail.NotFound, "no such account")
	}
	list = slices.DeleteFunc(list, func(m Mailbox) bool { return aside.Takes(bad[m.ID]) })
	for i := range list {
		_, list[i].Subscribed = slices.BinarySearch(subscribed, list[i].Name)
	}
	slices.SortFunc(list, func(a, b Mailbox) int { return compareNames(a.Name, b.Name) })
	return list, nil
}

// loadMailboxRows reads the mailboxes of an account, without what is subscribed. bad
// has an Unreadable for each that has a value that it cannot have, or has no name:
// of those the list has what could be read, in the order of the columns.
func loadMailboxRows(tx *sqldb.Tx, account mail.AccountID) (list []Mailbox, bad map[mail.MailboxID]error, err error) {
	rows, err := tx.Query(`SELECT m.id, m.parent, m.label, m.role, t.uidvalidity, t.uidnext, t.recent, t.modseq,
		t.messages, t.unseen, t.deleted, t.size
		FROM tally t JOIN mailbox m ON m.id = t.mailbox WHERE t.account = $1 AND t.mailbox > 0`, account)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	bad = make(map[mail.MailboxID]error)
	for rows.Next() {
		m := Mailbox{Account: account}
		err := rows.Scan(&m.ID, &m.Parent, &m.Name, &m.Role, &m.UIDValidity, &m.UIDNext, &m.Recent, &m.ModSeq,
			&m.Exists, &m.Unseen, &m.Deleted, &m.Size)
		if err != nil {
			bad[m.ID] = unreadableBox(account, m.ID, sqldb.Why(err))
		}
		list = append(list, m)
	}
	nameMailboxes(list, bad)
	return list, bad, rows.Err()
}

// nameMailboxes makes full names of labels and finds who has children. Those that
// get no name that a mailbox can have are noted in bad.
func nameMailboxes(list []Mailbox, bad map[mail.MailboxID]error) {
	at := make(map[mail.MailboxID]*Mailbox, len(list))
	for i := range list {
		at[list[i].ID] = &list[i]
	}
	named := make(map[mail.MailboxID]bool, len(list)) // false while it is being done
	var name func(m *Mailbox)
	name = func(m *Mailbox) {
		if _, begun := named[m.ID]; begun {
			return
		}
		named[m.ID] = false
		p := at[m.Parent]
		if p != nil {
			name(p)
			p.HasChildren = true
			m.Name = p.Name + mail.MailboxSeparator + m.Name
		}
		err := checkName(m.Name)
		if m.Parent != 0 && (p == nil || !named[p.ID]) {
			err, m.Name = errors.New("what it is below is not there, or below itself"), ""
		}
		if err != nil && bad[m.ID] == nil {
			bad[m.ID] = unreadableBox(m.Account, m.ID, err)
		}
		named[m.ID] = true
	}
	for i := range list {
		name(&list[i])
	}
}

// checkName says what is wrong with a name out of the database.
func checkName(name mail.MailboxName) error {
	parsed, err := mail.ParseMailboxName(string(name))
	if err == nil && parsed != name {
		err = fmt.Errorf("its name %q is written otherwise", name)
	}
	return err
}

// unreadableBox is the error about a mailbox that cannot be read.
func unreadableBox(account mail.AccountID, id mail.MailboxID, err error) error {
	return unreadable(boxRow(account, id), err)
}

// unreadable is an error of our own about a row, whatever kind it has to who reads
// such a value elsewhere.
func unreadable(row string, err error) error {
	return &mail.Error{Kind: mail.Internal, Text: "a row of the database cannot be read", Err: &sqldb.Unreadable{Row: row, Err: err}}
}

// boxRow is what an Unreadable calls a mailbox.
func boxRow(account mail.AccountID, id mail.MailboxID) string {
	return fmt.Sprintf("mailbox %d of account %d", id, account)
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
		names, err = loadSubscriptions(tx, account, &s.aside)
		return err
	})
	return names, err
}

func loadSubscriptions(tx *sqldb.Tx, account mail.AccountID, aside *sqldb.Aside) (names []mail.MailboxName, err error) {
	return names, eachName(tx, account, "subscription", func(name mail.MailboxName, bad error) {
		if !aside.Takes(bad) {
			names = append(names, name)
		}
	})
}

// eachName calls fn with the names that a table has of an account, sorted; bad is an
// Unreadable about those that are none.
func eachName(tx *sqldb.Tx, account mail.AccountID, table string, fn func(name mail.MailboxName, bad error)) error {
	rows, err := tx.Query(`SELECT name FROM `+table+` WHERE account = $1 ORDER BY name`, account)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name mail.MailboxName
		err := sqldb.Why(rows.Scan(&name))
		if err == nil {
			err = checkName(name)
		}
		if err != nil {
			err = unreadable(fmt.Sprintf("%s %q of account %d", table, name, account), err)
		}
		fn(name, err)
	}
	return rows.Err()
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
		if added += n; n > 0 {
			if err := l.subscriptionChanged(name); err != nil {
				return 0, err
			}
		}
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
	if all.subscribed -= n; err != nil || n == 0 {
		return n, err
	}
	return n, l.subscriptionChanged(name)
}

// subscriptionChanged notes it of the mailbox called name, if there is one.
func (l *ledger) subscriptionChanged(name mail.MailboxName) error {
	id, err := findMailbox(l.tx, l.account, name)
	if mail.KindOf(err) == mail.NotFound && err != nil {
		return nil
	}
	if err == nil {
		l.mailboxChanged(id, MailboxUpdated)
	}
	return err
}

func errSubscribed() error {
	return mail.Errorf(mail.TooLarge, "an account is subscribed to at most %d names", MaxSubscribed)
}
