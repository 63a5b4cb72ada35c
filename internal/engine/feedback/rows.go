package feedback

import (
	"context"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "feedback", Steps: schema()} }

func schema() []string {
	return []string{`
CREATE TABLE feedback_cursor (
	account {int} NOT NULL PRIMARY KEY,
	modseq {int} NOT NULL -- up to here all was told of the account
);

CREATE TABLE feedback_mark (
	account {int} NOT NULL,
	email {int} NOT NULL,
	marks {int} NOT NULL, -- see mark
	PRIMARY KEY (account, email)
) {clustered}`}
}

// mark is what is known of an email, in bits.
type mark int64

const (
	called   mark = 3      // a label: how its owner called it last
	word     mark = 3 << 2 // a label: what its keywords called it, when they were looked at
	copied   mark = 1 << 4 // it is junk as a copy in Junk, and stands elsewhere as well
	answered mark = 1 << 5 // that was told
	filed    mark = 1 << 6 // that was told
	unread   mark = 1 << 7 // that it was deleted so was told
	kept     mark = 1 << 8 // it was answered or filed

	wordShift = 2
)

// label is how somebody calls an email.
type label int64

const (
	none label = iota
	junk
	ham
	wanted // what a lesson says of an email that was kept and never called anything
)

func (m mark) called() label { return label(m & called) }
func (m mark) word() label   { return label(m & word >> wordShift) }

// lesson is what is to be learned of an email.
func (m mark) lesson() label {
	if l := m.called(); l != none || !m.has(kept) {
		return l
	}
	return wanted
}

func (m mark) callIt(l label) mark { return m&^called | mark(l) }
func (m mark) wordIs(l label) mark { return m&^word | mark(l)<<wordShift }
func (m mark) has(bit mark) bool   { return m&bit != 0 }
func (m mark) with(bit mark) mark  { return m | bit }
func (m mark) without(b mark) mark { return m &^ b }

// ahead is where a look goes on, which the cursor may not say yet.
type ahead struct {
	at     mail.ModSeq
	stored mail.ModSeq // the cursor; 0 if there is none
}

// maxAhead is how many accounts are known to be ahead of their cursors.
const maxAhead = 64 << 10

// where says where a look at an account goes on.
func (f *Follower) where(ctx context.Context, account mail.AccountID) (a ahead, err error) {
	if a, known := f.ahead[account]; known {
		return a, nil
	}
	err = f.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		a.stored, err = cursor(tx, account)
		return err
	})
	a.at = a.stored
	return a, err
}

// cursor is the row of an account, 0 if there is none: then all is to be told.
func cursor(tx *sqldb.Tx, account mail.AccountID) (at mail.ModSeq, err error) {
	err = tx.QueryRow(`SELECT modseq FROM feedback_cursor WHERE account = $1`, int64(account)).Scan(&at)
	if err == sqldb.ErrNoRows {
		err = nil
	}
	return at, err
}

// cursors are those of accounts after one and up to another, by what is known here.
func (f *Follower) cursors(ctx context.Context, after, last mail.AccountID) (all map[mail.AccountID]store.AccountState, err error) {
	err = f.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		all = make(map[mail.AccountID]store.AccountState)
		rows, err := tx.Query(`SELECT account, modseq FROM feedback_cursor WHERE account > $1 AND account <= $2`, int64(after), int64(last))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s store.AccountState
			if err := rows.Scan(&s.Account, &s.ModSeq); err != nil {
				return err
			}
			all[s.Account] = s
		}
		return rows.Err()
	})
	f.looking.Lock()
	defer f.looking.Unlock()
	for id, s := range all {
		if a, known := f.ahead[id]; known {
			s.ModSeq = max(s.ModSeq, a.at)
			all[id] = s
		}
	}
	return all, err
}

// errOvertaken says that somebody else told what was to be told.
var errOvertaken error = mail.Errorf(mail.Conflict, "somebody else looked at the account")

// advance moves the cursor of an account within a transaction, unless somebody else did.
func advance(tx *sqldb.Tx, account mail.AccountID, from ahead, to mail.ModSeq) error {
	tx.Lock(sqldb.Name, "feedback", int64(account))
	at, err := cursor(tx, account)
	if err == nil && at != from.stored {
		err = errOvertaken
	}
	if err != nil {
		return err
	}
	tx.Do(`INSERT INTO feedback_cursor (account, modseq) VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET modseq = $2`,
		int64(account), int64(to))
	return nil
}

// marks reads those of emails.
func (f *Follower) marks(ctx context.Context, account mail.AccountID, emails []mail.EmailID) (all map[mail.EmailID]mark, err error) {
	err = f.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		all = make(map[mail.EmailID]mark)
		asked := make([]*sqldb.Answer, len(emails))
		for i, id := range emails {
			asked[i] = tx.Ask(`SELECT marks FROM feedback_mark WHERE account = $1 AND email = $2`, int64(account), int64(id))
		}
		for i, id := range emails {
			var m mark
			err := asked[i].Scan(&m)
			if err == sqldb.ErrNoRows {
				continue
			}
			if err != nil {
				return err
			}
			all[id] = m
		}
		return nil
	})
	return all, err
}

// writeMark writes that of an email, which without any has no row.
func writeMark(tx *sqldb.Tx, account mail.AccountID, email mail.EmailID, m mark) {
	if m == 0 {
		tx.Do(`DELETE FROM feedback_mark WHERE account = $1 AND email = $2`, int64(account), int64(email))
		return
	}
	tx.Do(`INSERT INTO feedback_mark (account, email, marks) VALUES ($1, $2, $3) ON CONFLICT (account, email) DO UPDATE SET marks = $3`,
		int64(account), int64(email), int64(m))
}

// trimMarks removes those of the oldest emails, if an account has too many.
func trimMarks(tx *sqldb.Tx, account mail.AccountID) {
	tx.Do(`DELETE FROM feedback_mark WHERE account = $1 AND email <=
		(SELECT email FROM feedback_mark WHERE account = $1 ORDER BY email DESC LIMIT 1 OFFSET $2)`, int64(account), MaxMarks)
}

// Drop removes what is known of an account, in the transaction that removes it.
func (f *Follower) Drop(tx *sqldb.Tx, account mail.AccountID) {
	tx.Do(`DELETE FROM feedback_cursor WHERE account = $1`, int64(account))
	tx.Do(`DELETE FROM feedback_mark WHERE account = $1`, int64(account))
}

// forget drops an account that is gone.
func (f *Follower) forget(ctx context.Context, account mail.AccountID) error {
	return f.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		f.Drop(tx, account)
		return nil
	})
}
