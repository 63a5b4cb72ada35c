// Package sending bounds how much accounts send, and notices when one sends unlike it does
// otherwise: somebody may have its password.
//
// # Limits
//
// An account may send so many messages, and write to so many new recipients, in an hour
// of the clock and in 24 of them. A recipient is new if the account never wrote to it or heard from it
// (Options.Acquainted) and it is not of a domain here. What an account's rule does not say its
// domain's does, else the configuration (Settings). Whoever is at a bound hears RateLimited,
// with when it may go on.
//
// # The breaker
//
// Of the last Days on which an account sent anything is known how many recipients and new
// ones it had, how many bounced, at which hours, and from which networks. Today's recipients, and
// new ones, may come to the most of: an absolute bound; Times the 90th percentile of those
// days; their median and Spread times their median absolute deviation. Both are statistics that
// some wild days do not move. The bound is half of that from a network that the account was
// not known to use a day ago, and half again at an hour at which it never sends. With less than
// Young such days there is no more than the absolute bound for the young. And of at least
// ManyBounces that bounced today, no more than BounceShare of all may, or Times the usual share.
//
// An account that is beyond is held: what it sends is kept in the queue until somebody
// releases or drops it, whatever it is. Its days since then teach nothing until it is released.
// After a release the counting of the day begins anew.
//
// Mail to the postmaster of this post office is no business of this: who takes mail neither asks
// for such recipients nor holds what is for them.
//
// # States
//
// Counts are made in memory and added to their rows every FlushEvery (sending_hour,
// sending_day: what two processes add is the sum), and rows are read again when they are
// older than FreshFor: a crash loses some seconds, and processes that share a database know of each
// other's counts that late. That an account is held is a row of its own:
//
//	none, or since = 0   it sends; day, and what was counted until the release of that day
//	since > 0            it is held; owed is what is not done about it yet
//
// Rows go with their account (Drop) and domain (DropDomain).
//
// It deliberately holds nothing itself: who takes mail asks Take, and gives the queue what it
// says. It knows no protocol.
package sending

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits of memory, and times.
const (
	MaxAccounts = 8 << 10 // that are counted in memory
	MaxKnown    = 64 << 10
	MaxNetworks = 32 // rows of an account
	FlushEvery  = 5 * time.Second
	FreshFor    = 30 * time.Second

	flushRows = 64 // accounts of one transaction
	hoursKept = 25 // the hour that is going on, and 24 before it
	maxBound  = 1_000_000_000
	day       = 24 * time.Hour
)

// The breaker's numbers.
const (
	Days  = 30 // before today that are looked at
	Young = 7  // days with mail that an account has to have before they count

	YoungRecipients, YoungNew = 1000, 200 // a day, of the young
	LeastRecipients, LeastNew = 2000, 500 // a day, of all others

	Times  = 3  // the 90th percentile
	Spread = 10 // times the median absolute deviation

	ManyBounces = 50
	BounceShare = 0.3

	NetworkAge = day // since a network was used first, until it is known
)

// Bounds are how much an account may send. In a Rule Above leaves one to what is wider; Unbounded is no bound.
type Bounds struct {
	MessagesHour, MessagesDay int64
	NewHour, NewDay           int64
}

// Values of Bounds and of Rule.Breaker that are no number.
const (
	Unbounded = 0
	Above     = -1

	Off = 0 // of Breaker
	On  = 1
)

// DefaultBounds are those of a configuration that says nothing.
func DefaultBounds() Bounds {
	return Bounds{MessagesHour: 1000, MessagesDay: 5000, NewHour: 1000, NewDay: 3000}
}

// Scope is whose rule it is: an account's or a domain's.
type Scope struct {
	Account mail.AccountID
	Domain  mail.Domain
}

// Rule says how much an account, or each of a domain, may send.
type Rule struct {
	Bounds
	Breaker int // Off, On or Above
}

// NoRule leaves all to what is wider.
func NoRule() Rule { return Rule{Bounds{Above, Above, Above, Above}, Above} }

func (r Rule) over(wider Rule) Rule {
	pick := func(own *int64, above int64) {
		if *own == Above {
			*own = above
		}
	}
	pick(&r.MessagesHour, wider.MessagesHour)
	pick(&r.MessagesDay, wider.MessagesDay)
	pick(&r.NewHour, wider.NewHour)
	pick(&r.NewDay, wider.NewDay)
	if r.Breaker == Above {
		r.Breaker = wider.Breaker
	}
	return r
}

// check says what is wrong with a rule.
func (r Rule) check() error {
	for _, n := range []int64{r.MessagesHour, r.MessagesDay, r.NewHour, r.NewDay} {
		if n < Above || n > maxBound {
			return mail.Errorf(mail.Invalid, "a bound is a number up to %d, none or default", maxBound)
		}
	}
	if r.Breaker < Above || r.Breaker > On {
		return mail.Errorf(mail.Invalid, "the breaker is on, off or default")
	}
	return nil
}

// Settings are what counts for accounts that no rule is for.
type Settings struct {
	Off bool // nothing is counted, bounded or held
	Bounds
	Breaker bool
}

func (s Settings) rule() Rule {
	r := Rule{Bounds: s.Bounds}
	if s.Breaker {
		r.Breaker = On
	}
	return r
}

// Options are what a Sending is made of. Now, Log and Tripped can be nil.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
	Log *slog.Logger
	// Acquainted says whether an account wrote to an address or heard from it before.
	Acquainted func(ctx context.Context, account mail.AccountID, a mail.Address) (bool, error)
	// Local says whether a domain's mail is kept here.
	Local func(ctx context.Context, d mail.Domain) (bool, error)
	// HasAccount says whether there is an account: of one that was removed while it sent nothing is
	// written.
	HasAccount func(tx *sqldb.Tx, id mail.AccountID) (bool, error)
	// Tripped is told that an account is held from now on. It must be quick.
	Tripped func(Held)
}

// Sending counts and bounds. Safe for concurrent use.
type Sending struct {
	o     Options
	poked chan struct{}
	aside sqldb.Aside

	io sync.RWMutex // held by who writes counts, and shared by who reads them; before mu

	mu       sync.Mutex
	settings Settings
	accounts map[mail.AccountID]*account
	known    map[acquaintance]bool // who was found out not to be new, or was written to
	knownOld map[acquaintance]bool
	held     map[mail.AccountID]Held
	heldRead time.Time
}

type acquaintance struct {
	account mail.AccountID
	address mail.Address
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options, s Settings) (*Sending, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tripped == nil {
		o.Tripped = func(Held) {}
	}
	if err := o.DB.Migrate(ctx, "sending", schema()); err != nil {
		return nil, err
	}
	n := &Sending{o: o, poked: make(chan struct{}, 1), aside: sqldb.Aside{Log: o.Log}, settings: s, accounts: map[mail.AccountID]*account{}}
	return n, n.readHeld(ctx)
}

// Set changes what counts for accounts that no rule is for.
func (n *Sending) Set(s Settings) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settings = s
	for _, a := range n.accounts {
		a.read = time.Time{}
	}
}

// Sender is an account that sends, and from where.
type Sender struct {
	Account mail.AccountID
	Domain  mail.Domain
	From    netip.Addr // invalid if it is this machine
}

// IsNew reports whether a recipient is new to an account.
func (n *Sending) IsNew(ctx context.Context, of mail.AccountID, to mail.Address) (bool, error) {
	k := acquaintance{of, to.Key()}
	n.mu.Lock()
	known := n.known[k] || n.knownOld[k]
	n.mu.Unlock()
	if known {
		return false, nil
	}
	local, err := n.o.Local(ctx, to.Domain)
	if err != nil || local {
		return false, err
	}
	if known, err = n.o.Acquainted(ctx, of, to); err == nil && known {
		n.mu.Lock()
		n.knows(k)
		n.mu.Unlock()
	}
	return !known, err
}

// knows remembers that somebody is not new. The caller holds the lock.
func (n *Sending) knows(k acquaintance) {
	if n.known == nil || len(n.known) >= MaxKnown/2 {
		n.known, n.knownOld = map[acquaintance]bool{}, n.known
	}
	n.known[k] = true
}

// May says whether a sender may begin to write to one recipient more, of a message that has
// so many new ones already: nil, or RateLimited with when it may go on. isNew says whether
// that recipient would be one more. What cannot be found out is no reason to refuse.
func (n *Sending) May(ctx context.Context, who Sender, to mail.Address, before int) (isNew bool, err error) {
	n.mu.Lock()
	off := n.settings.Off
	n.mu.Unlock()
	if off || who.Account == 0 {
		return false, nil
	}
	isNew, err = n.IsNew(ctx, who.Account, to)
	if err == nil {
		var a *account
		if a, err = n.account(ctx, who); err == nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			more := int64(before)
			if isNew {
				more++
			}
			return isNew, a.room(n.o.Now(), more)
		}
	}
	if ctx.Err() == nil {
		n.o.Log.Warn("how much an account sends is not known", "account", int64(who.Account), "err", err)
	}
	return isNew, nil
}

// Taken is a message that was counted.
type Taken struct {
	Hold string // why the queue keeps it; "" if it goes on
	undo func()
}

// Undo takes the counts back: the message was refused after all.
func (t Taken) Undo() {
	if t.undo != nil {
		t.undo()
	}
}

// Take counts a message to so many recipients, of which some are new, and says whether it is
// held. RateLimited if others of the account took what was left meanwhile.
func (n *Sending) Take(ctx context.Context, who Sender, recipients int, fresh []mail.Address) (Taken, error) {
	n.mu.Lock()
	off := n.settings.Off
	n.mu.Unlock()
	if off || who.Account == 0 {
		return Taken{}, nil
	}
	a, err := n.account(ctx, who)
	if err != nil {
		if ctx.Err() == nil {
			n.o.Log.Warn("how much an account sends is not known", "account", int64(who.Account), "err", err)
		}
		return Taken{}, nil
	}
	now := n.o.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if current := n.accounts[a.id]; current != nil {
		a = current
	} else { // It was forgotten to make room.
		n.accounts[a.id] = a
	}
	if err := a.room(now, int64(len(fresh))); err != nil {
		return Taken{}, err
	}
	c := counts{messages: 1, recipients: int64(recipients), fresh: int64(len(fresh))}
	a.add(now, c)
	for _, to := range fresh {
		n.knows(acquaintance{who.Account, to.Key()})
	}
	unusual := a.unusual(who.From, now)
	a.uses(who.From, now)
	if a.held == nil && a.rule.Breaker == On {
		if why := a.beyond(now, unusual); why != "" {
			n.trip(a, why, now)
		}
	}
	t := Taken{undo: func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		a.add(now, counts{messages: -1, recipients: -c.recipients, fresh: -c.fresh})
	}}
	if a.held != nil {
		t.Hold = a.held.Reason
	}
	return t, nil
}

// Bounced counts a recipient of mail of an account that was given up.
func (n *Sending) Bounced(account mail.AccountID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.accounts[account]
	if n.settings.Off || a == nil { // Of who sent nothing lately it says nothing.
		return
	}
	now := n.o.Now()
	a.add(now, counts{bounced: 1})
	if a.held == nil && a.rule.Breaker == On {
		if why := a.bouncing(now); why != "" {
			n.trip(a, why, now)
		}
	}
}

// trip holds an account. The caller holds the lock.
func (n *Sending) trip(a *account, why string, now time.Time) {
	h := Held{Account: a.id, Since: now.Truncate(time.Millisecond).UTC(), Reason: why, Owed: OwedAll}
	a.held, a.unwritten = &h, true
	for _, days := range []map[int64]dayCounts{a.days, a.addDays} {
		today := days[dayOf(now)]
		today.odd = true
		days[dayOf(now)] = today
	}
	n.held[a.id] = h
	n.o.Log.Warn("an account sends unlike it does otherwise; its mail is kept back", "account", int64(a.id), "reason", why)
	n.o.Tripped(h)
	select {
	case n.poked <- struct{}{}:
	default:
	}
}
