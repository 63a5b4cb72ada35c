// Package copies keeps the rules by which somebody gets a copy of mail that comes to,
// goes from or passes others: an archive, a journal, a colleague. A rule has a side (to,
// from, any), a pattern (an address, an account, a domain, all) and a target, which is
// an address or a mailbox of an account.
//
// It answers intake.Plan, so that a copy is in the commit of the message. What holds:
//
//   - A copy changes nothing for the message: neither what the client hears nor what
//     others get. One that cannot be filed goes through the queue, and who is told that
//     it failed is the postmaster, in whose name it travels, never the sender.
//   - No copy is made of a copy. Each has a field X-Yubin-Copy with a seal over its
//     Message-ID, by a key of the rule; a stranger cannot keep mail from being copied.
//     What comes from the queue was looked at when it was accepted.
//   - Of reports and of what this server writes itself there are copies only for rules
//     that want them, and never of reports to whom copies are sent by.
//   - Who a message was for stands in a copy only if the rule says so: all of them, for
//     rules of a sender or of all that passes; for rules of recipients, those that match.
//
// Addresses are kept as they were given, and looked up when a message comes.
package copies

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	MaxRules   = 200
	MaxCopies  = 16 // of one message
	maxName    = 64 // octets
	maxMailbox = 255
)

// Side is whose part in a message counts.
type Side string

// The sides.
const (
	To   Side = "to"
	From Side = "from"
	Any  Side = "any"
)

// Rule says who gets copies of what.
type Rule struct {
	Name     string
	Side     Side
	Pattern  Pattern
	Into     mail.Address
	Mailbox  mail.MailboxName // of the account Into, made if there is none; "" sends to the address Into
	Envelope bool             // the copy says who sent the message to whom
	Reports  bool             // of reports and this server's own mail, too

	Unreadable string // what is wrong with the row; then it copies nothing

	key []byte
}

// seal is what shows that a message with that Message-ID is a copy by the rule.
func (r *Rule) seal(messageID []byte) string {
	h := hmac.New(sha256.New, r.key)
	fmt.Fprintf(h, "%s\n%s", r.Name, messageID)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Directory says who has a local address: *directory.Directory.
type Directory interface {
	Resolve(ctx context.Context, a mail.Address) (directory.Resolution, error)
}

// Router says where mail goes: *route.Router.
type Router interface {
	Route(ctx context.Context, q route.Question) (route.Routed, error)
}

// Options are what a Book needs.
type Options struct {
	DB        *sqldb.DB
	Directory Directory
	Router    Router
	Sender    mail.Address // in whose name copies travel, and who is told of those that fail
	Log       *slog.Logger
}

// Book has the rules. Safe for concurrent use.
type Book struct {
	o        Options
	changing sync.Mutex
	rules    atomic.Pointer[[]Rule] // by name
	aside    sqldb.Aside            // rows that cannot be read
}

// Open brings the table up to date and returns the rules.
func Open(ctx context.Context, o Options) (*Book, error) {
	if err := o.DB.Migrate(ctx, "copies", schema()); err != nil {
		return nil, err
	}
	b := &Book{o: o, aside: sqldb.Aside{Log: o.Log}}
	return b, o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		rules, bad, err := load(tx)
		if err == nil {
			b.show(rules, bad)
		}
		return err
	})
}

func (b *Book) show(rules []Rule, bad []sqldb.Unreadable) {
	for _, u := range bad {
		b.aside.Takes(&u)
	}
	b.rules.Store(&rules)
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "copies", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE copies_rule (
		name     {text} NOT NULL PRIMARY KEY,
		side     {text} NOT NULL,
		pattern  {text} NOT NULL,
		target   {text} NOT NULL,
		mailbox  {text} NOT NULL,
		envelope {int} NOT NULL,
		reports  {int} NOT NULL,
		seal     {text} NOT NULL
	) {clustered}`}
}

// load reads all rules by name. One that cannot be read copies nothing.
func load(tx *sqldb.Tx) (rules []Rule, bad []sqldb.Unreadable, err error) {
	rows, err := tx.Query(`SELECT name, side, pattern, target, mailbox, envelope, reports, seal FROM copies_rule ORDER BY name`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Rule
		var side, pattern, target, mailbox, seal string
		if err := rows.Scan(&r.Name, &side, &pattern, &target, &mailbox, &r.Envelope, &r.Reports, &seal); err != nil {
			return nil, nil, err
		}
		r.Side, r.Mailbox = Side(side), mail.MailboxName(mailbox)
		var wrong error
		if r.Into, wrong = mail.ParseAddress(target); wrong == nil {
			r.Pattern, wrong = ParsePattern(pattern)
		}
		if wrong == nil {
			r.key, wrong = hex.DecodeString(seal)
		}
		if wrong == nil {
			wrong = r.check()
		}
		if wrong != nil {
			r.Unreadable = wrong.Error()
			bad = append(bad, sqldb.Unreadable{Row: "copy " + r.Name, Err: fmt.Errorf("%w; it copies nothing", wrong)})
		}
		rules = append(rules, r)
	}
	return rules, bad, rows.Err()
}

// check says what no rule may be.
func (r *Rule) check() error {
	named := r.Name != "" && len(r.Name) <= maxName && !strings.ContainsFunc(r.Name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	})
	switch {
	case !named:
		return mail.Errorf(mail.Invalid, "the name of a copy is 1 to %d letters, digits, dots, - and _", maxName)
	case r.Side != To && r.Side != From && r.Side != Any:
		return mail.Errorf(mail.Invalid, "a copy is of mail to, from or any, not %q", r.Side)
	case r.Into.IsZero():
		return mail.Errorf(mail.Invalid, "a copy needs an address to go to")
	case len(r.Mailbox) > maxMailbox:
		return mail.Errorf(mail.Invalid, "the name of a mailbox has at most %d octets", maxMailbox)
	}
	return nil
}

// Targets are the addresses that copies go to, by rule, as the transaction sees them.
func (b *Book) Targets(tx *sqldb.Tx) (list []directory.Need, err error) {
	rules, _, err := load(tx)
	for _, r := range rules {
		if r.Unreadable == "" {
			list = append(list, directory.Need{By: "copy " + r.Name, Address: r.Into})
		}
	}
	return list, err
}

// Rules lists all rules by name.
func (b *Book) Rules() []Rule { return slices.Clone(*b.rules.Load()) }

// Add makes a rule. Errors: Invalid; Exists; NotFound if the target is an account's
// mailbox and nobody has the address, or is an address here that nobody has; TooLarge.
func (b *Book) Add(ctx context.Context, r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := b.reaches(ctx, r); err != nil {
		return err
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key) // It never fails.
	return b.change(ctx, func(tx *sqldb.Tx, now []Rule) error {
		switch {
		case slices.ContainsFunc(now, func(o Rule) bool { return o.Name == r.Name }):
			return mail.Errorf(mail.Exists, "there is a copy %s already", r.Name)
		case len(now) >= MaxRules:
			return mail.Errorf(mail.TooLarge, "there may be at most %d copies", MaxRules)
		}
		_, err := tx.Exec(`INSERT INTO copies_rule (name, side, pattern, target, mailbox, envelope, reports, seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			r.Name, string(r.Side), r.Pattern.String(), r.Into.String(), string(r.Mailbox), r.Envelope, r.Reports, hex.EncodeToString(key))
		return err
	})
}

// reaches finds out whether the target of a rule is there.
func (b *Book) reaches(ctx context.Context, r Rule) error {
	if r.Mailbox == "" {
		_, err := b.o.Router.Route(ctx, b.question(r.Into))
		return err
	}
	res, err := b.o.Directory.Resolve(ctx, r.Into)
	if err == nil && (len(res.Accounts) != 1 || len(res.Foreign) > 0) {
		err = mail.Errorf(mail.Invalid, "%s is not one account, so it has no mailbox", r.Into)
	}
	return err
}

func (b *Book) question(to mail.Address) route.Question {
	return route.Question{Recipient: to, Sender: mail.ReversePath(b.o.Sender), Ours: true}
}

// Remove deletes a rule. Errors: NotFound.
func (b *Book) Remove(ctx context.Context, name string) error {
	return b.change(ctx, func(tx *sqldb.Tx, _ []Rule) error {
		n, err := tx.Exec(`DELETE FROM copies_rule WHERE name = $1`, name)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "there is no copy %s", name)
		}
		return err
	})
}

// change runs fn on the rules as they are, and shows them as it leaves them when that
// is durable.
func (b *Book) change(ctx context.Context, fn func(tx *sqldb.Tx, now []Rule) error) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	return b.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Name, "copies")
		now, _, err := load(tx)
		if err != nil {
			return err
		}
		if err := fn(tx, now); err != nil {
			return err
		}
		next, bad, err := load(tx)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { b.show(next, bad) })
		return nil
	})
}

// Check reads every row and reports each that cannot be read.
func (b *Book) Check(ctx context.Context, report func(problem string)) error {
	return b.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		_, bad, err := load(tx)
		for _, u := range bad {
			report("copies: " + u.Error())
		}
		return err
	})
}
