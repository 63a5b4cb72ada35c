// Package preferences keeps what the site, its domains and its accounts want done with
// the mail of strangers: from which scores on it goes into Junk or is refused, and whom
// they always let in, or never.
//
// What an account says goes before what its domain says, and that before the site. Of
// senders an address goes before a domain, and a domain before one above it.
//
// # State
//
//	preference_level   thresholds of a scope
//	preference_sender  a sender that a scope lets in or keeps out
//
// Scopes that were asked about are kept in memory, MaxKept of them. Changes made here
// are seen at once, those of another process after FreshFor. The rows of an account
// or domain go with it (Drop, DropDomain).
//
// It deliberately weighs nothing: engine/judge does.
package preferences

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	MaxSenders = 1000        // of one scope
	MaxKept    = 16 << 10    // scopes in memory
	FreshFor   = time.Minute // how long what is in memory is believed
	MinScore   = 0.1         // of a threshold
	MaxScore   = 1000.0      // of a threshold
	unit       = 1000        // thresholds are kept in thousandths
)

// Scope is whose preference it is.
type Scope string

// Site is the scope of all.
const Site Scope = "site"

// OfDomain is the scope of a domain of ours.
func OfDomain(d mail.Domain) Scope { return Scope("domain " + string(d)) }

// OfAccount is the scope of an account.
func OfAccount(id mail.AccountID) Scope { return Scope("account " + strconv.FormatInt(int64(id), 10)) }

// Levels are thresholds; 0 is what the wider scope says.
type Levels struct{ Junk, Refuse float64 }

// Sender is one that is let in or kept out.
type Sender struct {
	Pattern string // an address, or a domain with all below it
	Allow   bool
}

// Answer is what holds for a message.
type Answer struct {
	Levels
	Listed  bool // a sender is on a list:
	Allow   bool // let in, or kept out
	Pattern string
	Scope   Scope // whose list
}

// Options are what Preferences are made of.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
}

// Preferences are those of all scopes. Safe for concurrent use.
type Preferences struct {
	o Options

	mu   sync.Mutex
	kept map[Scope]*said
	era  uint64 // counts changes made here
}

// said is what a scope says.
type said struct {
	levels  Levels
	senders map[string]bool
	read    time.Time
}

// Open prepares the tables.
func Open(ctx context.Context, o Options) (*Preferences, error) {
	if err := o.DB.Migrate(ctx, "preferences", schema()); err != nil {
		return nil, err
	}
	return &Preferences{o: o, kept: make(map[Scope]*said)}, nil
}

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "preferences", Steps: schema()} }

func schema() []string {
	return []string{`
	CREATE TABLE preference_level (
		scope {text} PRIMARY KEY,
		junk {int} NOT NULL,  -- thousandths; 0 is what the wider scope says
		refuse {int} NOT NULL
	);
	CREATE TABLE preference_sender (
		scope {text} NOT NULL,
		sender {text} NOT NULL, -- an address or a domain, folded
		allow {int} NOT NULL,
		PRIMARY KEY (scope, sender)
	)`}
}

// Ask says what holds for mail of a sender to an account, which was written to at a
// domain of ours. Account 0 is nobody here.
func (p *Preferences) Ask(ctx context.Context, account mail.AccountID, at mail.Domain, sender mail.Address) (a Answer, err error) {
	scopes := []Scope{Site}
	if at != "" {
		scopes = []Scope{OfDomain(at), Site}
	}
	if account != 0 {
		scopes = append([]Scope{OfAccount(account)}, scopes...)
	}
	for _, scope := range scopes {
		s, err := p.of(ctx, scope)
		if err != nil {
			return a, err
		}
		if a.Junk == 0 {
			a.Junk = s.levels.Junk
		}
		if a.Refuse == 0 {
			a.Refuse = s.levels.Refuse
		}
		if len(s.senders) == 0 || a.Listed || sender.IsZero() {
			continue
		}
		for _, pattern := range patterns(sender) {
			if allow, ok := s.senders[pattern]; ok {
				a.Listed, a.Allow, a.Pattern, a.Scope = true, allow, pattern, scope
				break
			}
		}
	}
	return a, nil
}

// patterns are what a sender is listed by, the nearest first.
func patterns(a mail.Address) []string {
	list := []string{strings.ToLower(a.Key().String())}
	for d := strings.ToLower(string(a.Domain)); d != ""; {
		list = append(list, d)
		_, above, found := strings.Cut(d, ".")
		if !found {
			break
		}
		d = above
	}
	return list
}

// ParsePattern reads an address or a domain, with an @ before it or without. The error
// is of kind Invalid.
func ParsePattern(s string) (string, error) {
	s = strings.TrimPrefix(s, "@")
	if strings.Contains(s, "@") {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return "", err
		}
		return strings.ToLower(a.Key().String()), nil
	}
	d, err := mail.ParseDomain(s)
	if err != nil || d.IsLiteral() {
		return "", mail.Errorf(mail.Invalid, "a sender is an address or a domain, like ann@example.org or example.org, not %q", s)
	}
	return strings.ToLower(string(d)), nil
}

// of is what a scope says, from memory in most cases.
func (p *Preferences) of(ctx context.Context, scope Scope) (*said, error) {
	now := p.o.Now()
	p.mu.Lock()
	s, era := p.kept[scope], p.era
	p.mu.Unlock()
	if s != nil && now.Sub(s.read) < FreshFor {
		return s, nil
	}
	fresh, err := p.read(ctx, scope)
	if err != nil {
		return nil, err
	}
	fresh.read = now
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.era == era {
		if len(p.kept) >= MaxKept {
			clear(p.kept)
		}
		p.kept[scope] = fresh
	}
	return fresh, nil
}

func (p *Preferences) read(ctx context.Context, scope Scope) (*said, error) {
	s := &said{senders: make(map[string]bool)}
	err := p.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		clear(s.senders)
		s.levels = Levels{}
		rows, err := tx.Query(`SELECT junk, refuse FROM preference_level WHERE scope = $1`, string(scope))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var junk, refuse int64
			if err := rows.Scan(&junk, &refuse); err != nil {
				return err
			}
			s.levels = Levels{float64(junk) / unit, float64(refuse) / unit}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		senders, err := tx.Query(`SELECT sender, allow FROM preference_sender WHERE scope = $1`, string(scope))
		if err != nil {
			return err
		}
		defer senders.Close()
		for senders.Next() {
			var sender string
			var allow int64
			if err := senders.Scan(&sender, &allow); err != nil {
				return err
			}
			s.senders[sender] = allow != 0
		}
		return senders.Err()
	})
	return s, err
}
