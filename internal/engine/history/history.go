// Package history remembers who wrote to whom here, and what became of it: what a
// judge asks first about somebody who brings a message (design.md, section 11).
//
// # What is remembered
//
// A row (Record) for an account and a name: how often it was written to, how often
// what came from it was answered, filed, deleted unread, called junk or not junk, how
// many messages came, when the first and the last. Names are, see names.go:
//
//	bob@example.org      an address whose domain was proven (DKIM or SPF, aligned)
//	?bob@example.org     an address that somebody claimed without proof
//	@example.org         a proven domain
//	192.0.2.0/24, 2001:db8::/48   the network that a message came from
//
// So who forges an address has a history of his own, and cannot spoil another's. Of
// each there is a row for the account and one for the site, account 0, where all of
// them are added up.
//
// # What holds
//
//   - What follows from the memory of changes (Acted) is written in the transaction of
//     who read that, and is exact. What is only a count of what passed by (Received,
//     WroteTo) is gathered in memory and written every few seconds: a crash loses those.
//   - An account has MaxNames rows, the site MaxSiteNames, and a few more between two
//     looks. Whom nobody wrote to goes first, who was heard of last stays longest.
//   - What is known is kept in memory for MaxKept names. All writes of this process go
//     through History and change what is kept; another process' writes are seen when
//     what is kept is older than FreshFor.
//   - The rows go with their account (Drop).
//
// It deliberately judges nobody: Known.Trust is an order, and what it weighs is the
// judge's. It does not know what a message says.
package history

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits.
const (
	MaxNames     = 4096            // rows of one account, about
	MaxSiteNames = 256 << 10       // rows of the site, about
	MaxKept      = 32 << 10        // names in memory
	MaxGathered  = 16 << 10        // names with something to be written; more is forgotten
	FreshFor     = 5 * time.Minute // how long what is kept is believed
	FlushEvery   = 5 * time.Second
	flushRows    = 256 // of one transaction
)

// Site is the account of what is known to all.
const Site mail.AccountID = 0

// Correspondent is who wrote a message, as far as that is known.
type Correspondent struct {
	Address       mail.Address // of the author; zero if there is none
	Authenticated mail.Domain  // which is proven for it; "" if nothing is
	Network       netip.Addr   // from where it came; invalid if that is not known
}

// Options are what a History is made of.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
	Log *slog.Logger
}

// History is the memory of correspondents. Safe for concurrent use.
type History struct {
	o Options

	mu       sync.Mutex
	kept     kept
	gathered map[key]Record // what is to be added to rows
	flushing bool           // rows of what was gathered are on their way
	changed  uint64         // counts changes of rows
	added    map[mail.AccountID]int
	lost     int // counts that found no room among gathered
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*History, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "history", schema()); err != nil {
		return nil, err
	}
	return &History{o: o, gathered: make(map[key]Record), added: make(map[mail.AccountID]int)}, nil
}

// Known is what is known of a correspondent.
type Known struct {
	Of   Records // to the account
	Site Records // to the site

	Authenticated bool // the author's domain is proven
	EverProven    bool // the address came with proof before, to anybody here
}

// Records are of a correspondent's address, domain and network; those that are not
// known are zero. Address is of the address as it comes now, with proof or without,
// but who was written to is that whoever comes.
type Records struct{ Address, Domain, Network Record }

// Ask says what is known of somebody who writes to an account. Mostly it does so from
// memory, else by one read of the database.
func (h *History) Ask(ctx context.Context, account mail.AccountID, c Correspondent) (Known, error) {
	keys := asked(account, c)
	found, missing := h.recall(keys)
	if len(missing) > 0 {
		if err := h.load(ctx, missing, found); err != nil {
			return Known{}, err
		}
	}
	k := Known{Authenticated: c.Authenticated != ""}
	for _, side := range []struct {
		account mail.AccountID
		into    *Records
	}{{account, &k.Of}, {Site, &k.Site}} {
		proven := found[key{side.account, provenName(c.Address)}]
		side.into.Address = proven
		if c.Authenticated == "" {
			side.into.Address = found[key{side.account, claimedName(c.Address)}]
			side.into.Address.WrittenTo = proven.WrittenTo
		}
		side.into.Domain = found[key{side.account, domainName(c.Authenticated)}]
		side.into.Network = found[key{side.account, networkName(c.Network)}]
		k.EverProven = k.EverProven || proven.Received > 0
	}
	return k, nil
}

// load reads rows, and keeps them if nothing changed meanwhile.
func (h *History) load(ctx context.Context, missing []key, found map[key]Record) error {
	h.mu.Lock()
	before := h.changed
	h.mu.Unlock()
	var rows map[key]Record
	err := h.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		rows, err = readRows(tx, missing)
		return err
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	steady := h.changed == before && !h.flushing
	now := h.o.Now()
	for _, k := range missing {
		r := rows[k].Plus(h.gathered[k])
		if found[k] = r; steady {
			h.kept.put(k, r, now)
		}
	}
	return nil
}

// recall finds names in memory.
func (h *History) recall(keys []key) (found map[key]Record, missing []key) {
	found = make(map[key]Record, len(keys))
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	for _, k := range keys {
		if r, ok := h.kept.get(k, now); ok {
			found[k] = r
		} else {
			missing = append(missing, k)
		}
	}
	return found, missing
}
