package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Quotas says what accounts may hold. Both are asked for every message, so the
// answer should be at hand; an account that it does not know has no bound.
type Quotas interface {
	Quota(ctx context.Context, account mail.AccountID) (mail.Quota, error)
	// QuotaIn is Quota for who is in a transaction.
	QuotaIn(tx *sqldb.Tx, account mail.AccountID) (mail.Quota, error)
}

// ErrLongFull is the cause (errors.Is) of the OverQuota of an account that has
// been full for longer than the grace: there is no use in trying again.
var ErrLongFull = errors.New("store: the account has been full for long")

// Percents of a quota. An owner is warned once when one of warnings is reached,
// and again only after it was left by slack. An account that once refused mail
// counts as full until less than roomAgain is taken.
const (
	warnFirst = 80
	warnLast  = 95
	slack     = 5
	roomAgain = warnLast
)

// MaxWarnings is how many of them one call of Warnings gives.
const MaxWarnings = 100

// maxUsages is how many accounts' counters are kept at hand.
const maxUsages = 64 << 10

// SetQuotaGrace says how long an account may be full before its refusals are
// for good.
func (s *Store) SetQuotaGrace(d time.Duration) { s.quotaGrace.Store(int64(d)) }

// Usage is what an account holds, and what it may.
type Usage struct {
	Octets, Messages int64
	Quota            mail.Quota
	FullSince        time.Time // zero if it has room
}

// Usage reads what an account holds. NotFound if there is no such account.
func (s *Store) Usage(ctx context.Context, account mail.AccountID) (u Usage, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
		u, err = s.usageIn(tx, account)
		return err
	})
	return u, err
}

// Usages is Usage for many accounts; those that are gone have the zero Usage.
func (s *Store) Usages(ctx context.Context, accounts []mail.AccountID) (list []Usage, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = make([]Usage, len(accounts))
		for i, a := range accounts {
			u, err := s.usageIn(tx, a)
			if s.aside.Takes(sqldb.Named(fmt.Sprintf("counters of account %d", a), err)) {
				continue // Its own are not known.
			}
			if err != nil && mail.KindOf(err) != mail.NotFound {
				return err
			}
			list[i] = u
		}
		return nil
	})
	return list, err
}

func (s *Store) usageIn(tx *sqldb.Tx, account mail.AccountID) (u Usage, err error) {
	at, err := readUsage(tx, account)
	if err != nil {
		return u, err
	}
	u.Octets, u.Messages = at.octets, at.messages
	if at.full != 0 {
		u.FullSince = time.Unix(at.full, 0)
	}
	if s.opt.Quotas != nil {
		u.Quota, err = s.opt.Quotas.QuotaIn(tx, account)
	}
	return u, err
}

// usage is an account's counters as they were at one ModSeq.
type usage struct {
	modseq           mail.ModSeq
	octets, messages int64
	full             int64 // seconds
}

func readUsage(tx *sqldb.Tx, account mail.AccountID) (u usage, err error) {
	err = tx.QueryRow(`SELECT modseq, size, messages, full_since FROM tally WHERE account = $1 AND mailbox = 0`, account).
		Scan(&u.modseq, &u.octets, &u.messages, &u.full)
	if err == sqldb.ErrNoRows {
		err = mail.Errorf(mail.NotFound, "no such account")
	}
	return u, err
}

// usages remembers the counters of accounts that have a quota, so that Room
// need not read them. Every commit that changes such an account tells it; where
// others write to the database too it is a hint, and the transaction decides.
type usages struct {
	mu sync.Mutex
	of map[mail.AccountID]usage
}

// know keeps u unless something newer is known; of an account without a quota
// nothing is kept.
func (us *usages) know(account mail.AccountID, u usage, limited bool) {
	us.mu.Lock()
	defer us.mu.Unlock()
	old, there := us.of[account]
	switch {
	case !limited:
		delete(us.of, account)
	case there && old.modseq > u.modseq:
	case !there && len(us.of) >= maxUsages, us.of == nil:
		us.of = map[mail.AccountID]usage{account: u}
	default:
		us.of[account] = u
	}
}

func (us *usages) get(account mail.AccountID) (u usage, ok bool) {
	us.mu.Lock()
	defer us.mu.Unlock()
	u, ok = us.of[account]
	return u, ok
}

// Room says whether an account can take one more message of so many octets; 0
// if that is not known. It looks at counters in memory, so that it is cheap
// enough to ask for every recipient; Deliver decides. Errors: NotFound; OverQuota,
// with the cause ErrLongFull once the grace is over.
func (s *Store) Room(ctx context.Context, account mail.AccountID, octets int64) error {
	if s.opt.Quotas == nil {
		return nil
	}
	q, err := s.opt.Quotas.Quota(ctx, account)
	if err != nil || q.IsZero() {
		return err
	}
	u, known := s.usages.get(account)
	if !known {
		err := s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			u, err = readUsage(tx, account)
			return err
		})
		if err != nil {
			return err
		}
		s.usages.know(account, u, true)
	}
	if q.Allows(u.octets+max(octets, 1), u.messages+1) {
		return nil
	}
	if u.full == 0 {
		u = s.noteFull(ctx, account, u)
	}
	return s.errFull(u.full)
}

// noteFull remembers that an account refuses mail from now on, if that is not
// known. It is for the grace only, so what cannot be written does no harm.
func (s *Store) noteFull(ctx context.Context, account mail.AccountID, u usage) usage {
	at := s.now().Unix()
	err := s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		if _, err = tx.Exec(`UPDATE tally SET full_since = $1 WHERE account = $2 AND mailbox = 0 AND full_since = 0`, at, account); err != nil {
			return err
		}
		if u, err = readUsage(tx, account); err == nil {
			tx.OnCommit(func() { s.usages.know(account, u, true) })
		}
		return err
	})
	if err != nil {
		s.log.Warn("it could not be noted since when an account is full", "account", account, "err", err)
	}
	return u
}

// noteRefusals notes for each account that a message did not fit into that it
// is full. It was refused at the dot; who sends only large messages, and does not
// say how large, is not refused before.
func (s *Store) noteRefusals(ctx context.Context, refused Refused, err error, to []Filing, octets int64) {
	all := refused.None() && err != nil && mail.KindOf(err) == mail.OverQuota
	if refused.None() && !all {
		return
	}
	for _, f := range to {
		if why := refused.Accounts[f.Account]; all || why != nil && mail.KindOf(why) == mail.OverQuota {
			_ = s.Room(ctx, f.Account, octets+int64(len(f.Prefix)))
		}
	}
}

// errFull is the error of an account that has been full since some second, or 0
// if since now.
func (s *Store) errFull(since int64) error {
	err := mail.Errorf(mail.OverQuota, "the mailbox is full")
	if since != 0 && s.now().Sub(time.Unix(since, 0)) > time.Duration(s.quotaGrace.Load()) {
		err.Err = ErrLongFull
	}
	return err
}

// fits says whether the account may hold so much more. It is asked before
// anything is written, where that spares others a failure; close asks in the
// end.
func (l *ledger) fits(octets, messages int64) error {
	q, err := l.quota()
	if err != nil || l.ours || q.Allows(l.total.size+octets, l.total.messages+messages) {
		return err
	}
	return l.s.errFull(l.total.full)
}

func (l *ledger) quota() (q mail.Quota, err error) {
	if l.s.opt.Quotas == nil {
		return q, nil
	}
	return l.s.opt.Quotas.QuotaIn(l.tx, l.account)
}

// weigh holds what the account has after the change against what it may: it
// must not have grown beyond that. It also notes when there is room again, and
// orders a warning.
func (l *ledger) weigh() error {
	t, had := &l.total, &l.had
	if t.size == had.size && t.messages == had.messages {
		return nil
	}
	q, err := l.quota()
	if err != nil {
		return err
	}
	l.weighed, l.limited = true, !q.IsZero()
	grew := mail.Quota{}
	if t.size > had.size {
		grew.Octets = q.Octets
	}
	if t.messages > had.messages {
		grew.Messages = q.Messages
	}
	if !l.ours && !grew.Allows(t.size, t.messages) {
		return l.s.errFull(t.full)
	}
	taken := q.Percent(t.size, t.messages)
	if taken < roomAgain {
		t.full = 0
	}
	was := t.warned
	t.warned = warnedAt(taken, was)
	if l.ours { // A warning is no reason for the next one.
		t.warned = min(t.warned, was)
	}
	if t.warned <= was {
		return nil
	}
	l.tx.OnCommit(l.s.opt.Warn)
	l.tx.Do(`INSERT INTO warning (account, percent) VALUES ($1, $2)
		ON CONFLICT (account) DO UPDATE SET percent = excluded.percent`, int64(l.account), t.warned)
	return nil
}

// warnedAt is the warning that stands when so many percent are taken, after
// another stood.
func warnedAt(taken, before int64) int64 {
	for _, at := range []int64{warnLast, warnFirst} {
		if taken >= at || before >= at && taken >= at-slack {
			return at
		}
	}
	return 0
}

// Warning is owed to the owner of an account, until PayWarning says that
// it is delivered or DropWarning that none is.
type Warning struct {
	Account mail.AccountID
	Percent int64 // that was reached
	Usage   Usage
}

// Warnings lists those owed to accounts behind one, by account, at most MaxWarnings.
// Those of which something cannot be read are left out.
func (s *Store) Warnings(ctx context.Context, after mail.AccountID) (list []Warning, err error) {
	for more := true; more && len(list) == 0 && err == nil; {
		err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`SELECT account, percent FROM warning WHERE account > $1 ORDER BY account LIMIT $2`, int64(after), MaxWarnings)
			if err != nil {
				return err
			}
			defer rows.Close()
			read, from := 0, after
			for ; rows.Next(); read++ {
				var w Warning
				err := rows.Scan(&w.Account, &w.Percent)
				if err == nil {
					w.Usage, err = s.usageIn(tx, w.Account)
				}
				after = max(after, w.Account)
				if s.aside.Takes(sqldb.Named(fmt.Sprintf("warning or counters of account %d", w.Account), err)) {
					continue
				}
				if err != nil {
					return err
				}
				list = append(list, w)
			}
			more = read == MaxWarnings && after > from
			return rows.Err()
		})
	}
	return list, err
}

// DropWarning forgets the warning that is owed to an account.
func (s *Store) DropWarning(ctx context.Context, account mail.AccountID) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`DELETE FROM warning WHERE account = $1`, account)
		return err
	})
}

// PayWarning takes the warning that is delivered in the transaction off the list of
// those owed. Conflict if none is.
func (s *Store) PayWarning(tx *sqldb.Tx, account mail.AccountID) error {
	n, err := tx.Exec(`DELETE FROM warning WHERE account = $1`, account)
	if err == nil && n == 0 {
		err = mail.Errorf(mail.Conflict, "the account is owed no warning")
	}
	return err
}
