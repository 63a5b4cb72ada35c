// Package retention expunges what lay in a mailbox for as long as it is to be kept there:
// Trash 30 days, Junk 14. Nothing is, unless a rule says so.
//
// # Rules
//
// A rule is for the mailbox with a role (mail.Role) of an account, of all accounts of a
// domain, or of all here. For each role the account's counts, else its domain's, else the
// site's; a rule can say that mail stays, whatever a wider one says. Time counts from
// when a message came into that mailbox (store.Row.Saved), whatever its date is.
// What is in mailboxes below it, and in those that are only called so, is left alone.
//
// # States of a round
//
// A round goes through all accounts in the order of their numbers, Every, and at once
// when a rule was set. Its row, retention_sweep, has who is at it, until when (a lease,
// so that there is one sweeper however many processes), and up to which account it came:
//
//	none                  no round was ever made
//	over = 0              a round runs, or was cut short and goes on after its account
//	over = 1              it is done; the next begins Every after it began
//
// What an account has is expunged in steps of some thousand messages, each in slices
// (store.Lapse), so that nobody waits; between steps the rules are read again. An
// expunged message can be restored as any other, and its owner did not delete it: who
// learns from people is not told so. What a crash cuts short is done by the next sweep.
//
// Rules go with their account (Drop) and domain (DropDomain), in the same transaction;
// one that was set while these went, a round removes.
//
// It deliberately does not purge: how long what is expunged can be restored says the store.
package retention

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	MinKeep = 24 * time.Hour
	MaxKeep = 36500 * 24 * time.Hour
	Every   = 6 * time.Hour // from the beginning of a round to the next

	lease = 5 * time.Minute
	again = time.Minute // after a round that could not go on, or that another process is at
	page  = 256         // accounts
)

// Forever in a Rule says that mail stays.
const Forever = 0

// Scope is whose mail a rule is about: an account's, a domain's, or, the zero Scope, all.
type Scope struct {
	Account mail.AccountID
	Domain  mail.Domain
}

// Rule says how long mail is kept.
type Rule struct {
	Scope
	Role mail.Role     // of the mailbox
	Keep time.Duration // since it came there; whole seconds, or Forever
}

// Roles are those that a rule can be for.
func Roles() []mail.Role {
	return []mail.Role{mail.RoleTrash, mail.RoleJunk, mail.RoleInbox, mail.RoleSent, mail.RoleDrafts, mail.RoleArchive, mail.RoleFlagged, mail.RoleAll}
}

// RoleWords names them: "trash, junk, …".
func RoleWords() string {
	var names []string
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// Mail is the store.
type Mail interface {
	HasAccount(tx *sqldb.Tx, id mail.AccountID) (bool, error)
	MailboxByRole(ctx context.Context, account mail.AccountID, role mail.Role) (store.Mailbox, error)
	Lapse(ctx context.Context, id mail.MailboxID, before time.Time, from mail.UID) (n int, next mail.UID, err error)
	Due(ctx context.Context, id mail.MailboxID, before time.Time, from mail.UID) (n int, next mail.UID, err error)
}

// Accounts is the directory.
type Accounts interface {
	// Homes lists accounts behind one, by number, with their domains.
	Homes(ctx context.Context, after mail.AccountID, limit int) ([]directory.Home, error)
	Domain(ctx context.Context, name mail.Domain) (directory.Domain, error)
}

// Options are what a Retention is made of. Now and Log can be nil.
type Options struct {
	DB       *sqldb.DB
	Mail     Mail
	Accounts Accounts
	Now      func() time.Time
	Log      *slog.Logger
}

// Retention has the rules and keeps them. Safe for concurrent use.
type Retention struct {
	o      Options
	aside  sqldb.Aside
	holder string // of leases

	poked chan struct{}
	fresh atomic.Bool // a rule was set since a round began
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Retention, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "retention", schema()); err != nil {
		return nil, err
	}
	return &Retention{o: o, aside: sqldb.Aside{Log: o.Log}, holder: rand.Text(), poked: make(chan struct{}, 1)}, nil
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "retention", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE retention_rule (
		account {int} NOT NULL, -- 0: of a domain or the site
		domain {text} NOT NULL, -- '': of an account or the site
		role {text} NOT NULL,
		keep {int} NOT NULL, -- seconds; 0 is forever
		PRIMARY KEY (account, domain, role)
	) {clustered};
	CREATE TABLE retention_sweep (
		id {int} NOT NULL PRIMARY KEY, -- 1
		holder {text} NOT NULL,
		until {int} NOT NULL, -- seconds; of the holder's lease
		began {int} NOT NULL, -- seconds; of the round
		after {int} NOT NULL, -- the account up to which it came
		over {int} NOT NULL -- 1: to the end
	)`}
}

// check says what is wrong with a rule.
func (r Rule) check() error {
	if !slices.Contains(Roles(), r.Role) {
		return mail.Errorf(mail.Invalid, "%q is no kind of mailbox; there are %s", string(r.Role), RoleWords())
	}
	if r.Account != 0 && r.Domain != "" {
		return mail.Errorf(mail.Invalid, "a rule is for an account or a domain, not both")
	}
	if r.Keep != Forever && (r.Keep < MinKeep || r.Keep > MaxKeep || r.Keep%time.Second != 0) {
		return mail.Errorf(mail.Invalid, "mail is kept for 1 to %d days, or forever", MaxKeep/MinKeep)
	}
	return nil
}

// Set makes a rule, or changes it. A round begins soon. Errors: Invalid; NotFound if there is no such account.
func (t *Retention) Set(ctx context.Context, r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	return t.change(ctx, func(tx *sqldb.Tx) error {
		if r.Account != 0 {
			if there, err := t.o.Mail.HasAccount(tx, r.Account); err != nil || !there {
				return cmp.Or(err, error(mail.Errorf(mail.NotFound, "no such account")))
			}
		}
		tx.Do(`INSERT INTO retention_rule (account, domain, role, keep) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, domain, role) DO UPDATE SET keep = excluded.keep`,
			int64(r.Account), string(r.Domain), string(r.Role), int64(r.Keep/time.Second))
		return nil
	})
}

// Unset removes a rule: what a wider one says counts then. NotFound if there is none.
func (t *Retention) Unset(ctx context.Context, of Scope, role mail.Role) error {
	return t.change(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(`DELETE FROM retention_rule WHERE account = $1 AND domain = $2 AND role = $3`, int64(of.Account), string(of.Domain), string(role))
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "there is no such rule")
		}
		return err
	})
}

func (t *Retention) change(ctx context.Context, fn func(*sqldb.Tx) error) error {
	return t.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.OnCommit(func() {
			t.fresh.Store(true)
			select {
			case t.poked <- struct{}{}:
			default:
			}
		})
		return fn(tx)
	})
}

// Drop removes the rules of an account, in the transaction that removes it.
func (t *Retention) Drop(tx *sqldb.Tx, id mail.AccountID) {
	tx.Do(`DELETE FROM retention_rule WHERE account = $1`, int64(id))
}

// DropDomain removes the rules of a domain, in the transaction that removes it.
func (t *Retention) DropDomain(tx *sqldb.Tx, name mail.Domain) {
	tx.Do(`DELETE FROM retention_rule WHERE account = 0 AND domain = $1`, string(name))
}

// Rules lists all rules: the site's, those of domains by name, those of accounts by
// number.
func (t *Retention) Rules(ctx context.Context) ([]Rule, error) {
	return t.read(ctx, `ORDER BY account, domain, role`)
}

// For says which rules count for an account of a domain, by role; a role without is
// kept forever.
func (t *Retention) For(ctx context.Context, account mail.AccountID, domain mail.Domain) (map[mail.Role]Rule, error) {
	list, err := t.read(ctx, `WHERE account = 0 AND domain = '' OR account = 0 AND domain = $2 OR account = $1 ORDER BY account, domain`,
		int64(account), string(domain))
	rules := make(map[mail.Role]Rule)
	for _, r := range list { // The nearest is the last.
		rules[r.Role] = r
	}
	return rules, err
}

// read reads rules. One that cannot be read is none: mail stays.
func (t *Retention) read(ctx context.Context, where string, args ...any) (list []Rule, err error) {
	err = t.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		return eachRule(tx, where, args, func(r Rule, bad error) {
			if !t.aside.Takes(bad) {
				list = append(list, r)
				return
			}
			r.Keep = Forever
			list = append(list, r)
		})
	})
	return list, err
}

// eachRule calls fn with rules; bad is an Unreadable about one with a value that it
// cannot have.
func eachRule(tx *sqldb.Tx, where string, args []any, fn func(r Rule, bad error)) error {
	rows, err := tx.Query(`SELECT account, domain, role, keep FROM retention_rule `+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Rule
		var keep int64
		err := rows.Scan(&r.Account, &r.Domain, &r.Role, &keep)
		if err == nil && keep > int64(MaxKeep/time.Second) {
			err = mail.Errorf(mail.Invalid, "%d seconds are too long", keep)
		}
		if err == nil {
			r.Keep = time.Duration(keep) * time.Second
			err = r.check()
		}
		if err != nil {
			err = &sqldb.Unreadable{Row: fmt.Sprintf("rule of retention for %q of account %d, domain %q", string(r.Role), r.Account, string(r.Domain)), Err: sqldb.Why(err)}
		}
		fn(r, err)
	}
	return rows.Err()
}

// Check reports rules that cannot be read, or whose account or domain is not there.
func (t *Retention) Check(ctx context.Context, report func(problem string)) error {
	var rules []Rule
	err := t.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		rules = nil
		return eachRule(tx, `ORDER BY account, domain, role`, nil, func(r Rule, bad error) {
			if bad != nil {
				report(bad.Error())
				return
			}
			rules = append(rules, r)
		})
	})
	if err != nil {
		return err
	}
	return t.strays(ctx, rules, func(of Scope) error {
		if of.Account != 0 {
			report(fmt.Sprintf("rule of retention of an account that is not there: %d", of.Account))
		} else {
			report("rule of retention of a domain that is not here: " + string(of.Domain))
		}
		return nil
	})
}

// strays calls fn with the scopes of rules, in order, that are gone.
func (t *Retention) strays(ctx context.Context, rules []Rule, fn func(Scope) error) error {
	var last Scope
	for _, r := range rules {
		if r.Scope == last {
			continue
		}
		last = r.Scope
		there, err := true, error(nil)
		switch {
		case r.Account != 0:
			err = t.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
				there, err = t.o.Mail.HasAccount(tx, r.Account)
				return err
			})
		case r.Domain != "":
			if _, err = t.o.Accounts.Domain(ctx, r.Domain); err != nil && mail.KindOf(err) == mail.NotFound {
				there, err = false, nil
			}
		}
		if err == nil && !there {
			err = fn(r.Scope)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
