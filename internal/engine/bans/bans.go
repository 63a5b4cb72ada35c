// Package bans turns away addresses that guess passwords, look for holes or harvest
// addresses, before they cost anything, for a time that grows; and it never turns away
// those whom the post office knows.
//
// # What is counted
//
// Each Offence of an address has a weight (weights); what was counted halves every
// HalfLife, and a message that is taken makes up for an unknown recipient. An IPv4 address is counted by itself, of IPv6 the /64 that a subscriber has.
// Whoever comes to Enough is banned: FirstBan the first time, Growth times as long each
// time after, LongestBan at most; a time is forgotten for every Forgive without a ban.
// When several neighbours are banned at once, the network around them is (wider). Who only named
// unknown recipients may be a provider with a customer who gathers addresses: that is FirstBan
// every time, so that its mail is late and not lost, and no reason to ban a network.
//
// # Who is never banned
//
// Who is Exempt, as this machine, trusted networks, proxies and administrators are, and
// the networks from which owners of accounts logged in during KnownFor. That holds for any
// network that has one of these in it, and for bans by hand too; only the networks of owners an
// administrator may name (Ban.OwnersToo).
//
// # States
//
// A row (bans_network) is a network that was ever banned:
//
//	none                 it never was, or that is forgotten
//	until = 0 or ahead   it is turned away
//	until passed         it is not; the next ban will be longer by its level; swept a Memory
//	                     after its end
//
// Counting is memory alone, bounded by MaxCounted; so is who is about to be judged. The
// goroutine of Run decides: it asks for exemptions, bans in memory at once, and writes rows
// together, some seconds apart. A crash loses counts and bans of these seconds. Several
// processes over one database share the rows, which each reads every ShareEvery, and not
// the counts. There are MaxBans rows: beyond it those go first that end first.
//
// It deliberately knows no protocol and closes no connection: who accepts connections asks
// Banned.
package bans

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Thresholds and times.
const (
	Enough   = 100       // weight for a ban
	HalfLife = time.Hour // of what was counted

	forgotten = 0.1 // weight of what is not worth telling any more

	FirstBan   = 15 * time.Minute
	Growth     = 4
	LongestBan = 7 * 24 * time.Hour
	Forgive    = 7 * 24 * time.Hour // without a ban, after which it counts as one less
	Memory     = 30 * 24 * time.Hour
	KnownFor   = 30 * 24 * time.Hour // since a login from a network

	MaxCounted = 32 << 10 // addresses that are counted
	MaxBans    = 16 << 10 // rows
	MaxReason  = 200      // octets of a reason
	maxPending = 4096     // addresses that are about to be judged

	ShareEvery = 15 * time.Second
	sweepEvery = time.Hour
	exemptFor  = time.Hour       // a decision that somebody is exempt holds
	slack      = 2 * time.Minute // by which clocks of processes may differ

	minBits4, minBits6 = 8, 16 // of a network that is banned by hand

	LongestByHand = 36500 * 24 * time.Hour
)

// Offence is something that only who means no good does, or does often.
type Offence uint8

// The offences.
const (
	WrongPassword    Offence = iota // of an account; the same one again is not counted
	UnknownUser                     // a login of somebody whom nobody is
	LimitedLogin                    // a login while those before it are too many
	WebRequest                      // HTTP where mail is spoken
	SpokeFirst                      // before the greeting
	UnknownRecipient                // of a stranger's mail
	StrayRecipient                  // an unknown one as everybody names now and then
	Silent                          // a connection without a word
	offences
)

// weights are how much an offence counts, and how it is called.
var weights = [offences]struct {
	weight    float64
	one, many string
}{
	WrongPassword:    {4, "wrong password", "wrong passwords"},
	UnknownUser:      {5, "login of an unknown user", "logins of unknown users"},
	LimitedLogin:     {4, "login after too many that failed", "logins after too many that failed"},
	WebRequest:       {60, "web request", "web requests"},
	SpokeFirst:       {40, "connection that spoke before the greeting", "connections that spoke before the greeting"},
	UnknownRecipient: {2, "unknown recipient", "unknown recipients"},
	StrayRecipient:   {0.25, "unknown recipient now and then", "unknown recipients now and then"},
	Silent:           {1, "connection without a command", "connections without a command"},
}

// mild are offences that also those commit who carry mail for many, of whom one means no good: see tally.mild.
var mild = [offences]bool{UnknownRecipient: true, StrayRecipient: true, Silent: true}

// forMail is how much a message that was taken makes up for.
const forMail = 2

// Weight is how much of Enough an offence is.
func (o Offence) Weight() float64 { return weights[o].weight }

// String is the offence in the singular.
func (o Offence) String() string {
	if o >= offences {
		return "unknown"
	}
	return weights[o].one
}

// Offences are all.
func Offences() (list []Offence) {
	for o := range offences {
		list = append(list, o)
	}
	return list
}

// wider says how many networks of the narrowest kind have to be banned at once for the
// one around them to be.
var wider = map[bool][]struct{ bits, banned int }{
	false: {{24, 4}},          // IPv4
	true:  {{56, 4}, {48, 8}}, // IPv6
}

// Ban is a network that is turned away, or was.
type Ban struct {
	Network netip.Prefix
	Since   time.Time
	Until   time.Time // zero: until it is lifted
	Reason  string
	ByHand  bool
	Level   int   // bans before this one, as far as they count
	Refused int64 // connections that this process turned away because of it
}

// over reports whether b is at its end at now.
func (b *Ban) over(now time.Time) bool { return !b.Until.IsZero() && !b.Until.After(now) }

// Options are what Bans are made of. Now, Log, Exempt, Known and Observe can be nil.
type Options struct {
	DB  *sqldb.DB
	Now func() time.Time
	Log *slog.Logger
	// Exempt says why no address of a network is ever banned: "" if it may be. It must be
	// quick, and its words follow "it is" or "it has in it".
	Exempt func(netip.Prefix) string
	// Known returns a network, in p or around it, from which the owner of an account logged
	// in since a time; the zero Prefix if there is none.
	Known func(ctx context.Context, p netip.Prefix, since time.Time) (netip.Prefix, error)
	// Observe is told of each ban that was decided here, and of the offence that weighed most.
	Observe func(Offence)
}

// Bans counts, decides and knows who is turned away. Safe for concurrent use.
type Bans struct {
	o       Options
	off     atomic.Bool
	running atomic.Bool
	poked   chan struct{}
	seen    int64 // milliseconds: rows that were changed before are read; of Run alone
	swept   time.Time

	mu        sync.RWMutex
	counted   halves
	pending   map[netip.Prefix]bool // who has enough
	all       map[netip.Prefix]*held
	widths    [2]map[int]int        // of the networks in all, IPv4 and IPv6: how many have so many bits
	unwritten map[netip.Prefix]bool // whose rows are behind

	aside sqldb.Aside
}

// held is a ban in memory.
type held struct {
	Ban
	changed int64 // milliseconds, when its row was
	mild    bool  // by this process for unknown recipients alone: the network around is not banned for it
	refused atomic.Int64
}

// Open prepares the table and reads it. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Bans, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Exempt == nil {
		o.Exempt = func(netip.Prefix) string { return "" }
	}
	if o.Known == nil {
		o.Known = func(context.Context, netip.Prefix, time.Time) (netip.Prefix, error) { return netip.Prefix{}, nil }
	}
	if o.Observe == nil {
		o.Observe = func(Offence) {}
	}
	if err := o.DB.Migrate(ctx, "bans", schema()); err != nil {
		return nil, err
	}
	b := &Bans{o: o, poked: make(chan struct{}, 1), pending: map[netip.Prefix]bool{}, all: map[netip.Prefix]*held{},
		unwritten: map[netip.Prefix]bool{}, widths: [2]map[int]int{{}, {}}, aside: sqldb.Aside{Log: o.Log}}
	return b, b.share(ctx)
}

// Set turns counting and turning away on or off. Bans that there are stay, and count
// again when it is on.
func (b *Bans) Set(on bool) { b.off.Store(!on) }

// Counts reports whether this process counts: it runs, and it is on.
func (b *Bans) Counts() bool { return b.running.Load() && !b.off.Load() }

// unit is what an address is counted as; invalid for this machine itself.
func unit(a netip.Addr) netip.Prefix { return obs.LoginNetwork(a) }

// Offended counts something that an address did. It is quick and waits for nothing.
func (b *Bans) Offended(from netip.Addr, what Offence) {
	u := unit(from)
	if !b.Counts() || !u.IsValid() || what >= offences || b.o.Exempt(u) != "" {
		return
	}
	now := b.o.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.counted.of(u)
	if now.Before(t.exempt) {
		return
	}
	if t.add(what, now); t.score < Enough || b.pending[u] {
		return
	}
	if h := b.all[u]; h != nil && !h.over(now) {
		return
	}
	if len(b.pending) >= maxPending { // It comes again.
		return
	}
	b.pending[u] = true
	select {
	case b.poked <- struct{}{}:
	default:
	}
}

// Brought is told that mail of an address was taken: that makes up for unknown recipients, not
// for anything else.
func (b *Bans) Brought(from netip.Addr) {
	u := unit(from)
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.counted.get(u); t != nil && t.mild() {
		t.decay(b.o.Now())
		t.score = max(0, t.score-forMail)
	}
}

// Banned says whether a connection of an address is turned away now, and why. It counts
// that. It is asked for each connection, and costs some looks into memory.
func (b *Bans) Banned(a netip.Addr) (Ban, bool) {
	if b.off.Load() {
		return Ban{}, false
	}
	b.mu.RLock()
	h := b.find(a, b.o.Now())
	b.mu.RUnlock()
	if h == nil || b.o.Exempt(whole(a)) != "" {
		return Ban{}, false
	}
	h.refused.Add(1)
	return h.Ban, true
}

// whole is the network of one address.
func whole(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// find returns the ban that holds an address, the narrowest; nil for none.
func (b *Bans) find(a netip.Addr, now time.Time) (found *held) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || len(b.all) == 0 {
		return nil
	}
	for bits := range b.widths[family(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if h := b.all[p]; h != nil && !h.over(now) && (found == nil || bits > found.Network.Bits()) {
			found = h
		}
	}
	return found
}

// family is 0 for IPv4 and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// put takes a ban into memory, in place of what was there. The caller holds the lock.
func (b *Bans) put(h *held) {
	if old := b.all[h.Network]; old != nil {
		h.refused.Store(old.refused.Load())
	} else {
		b.widths[family(h.Network.Addr())][h.Network.Bits()]++
	}
	b.all[h.Network] = h
}

// remove takes one out. The caller holds the lock.
func (b *Bans) remove(p netip.Prefix) {
	if b.all[p] == nil {
		return
	}
	delete(b.all, p)
	widths := b.widths[family(p.Addr())]
	if widths[p.Bits()]--; widths[p.Bits()] == 0 {
		delete(widths, p.Bits())
	}
}

// tally is what was counted of one address.
type tally struct {
	score       float64
	at          time.Time // when score was right
	first, last time.Time
	n           [offences]int
	exempt      time.Time // until then nothing is counted
}

func (t *tally) decay(now time.Time) {
	if d := now.Sub(t.at); d > 0 {
		t.score *= math.Exp2(-float64(d) / float64(HalfLife))
	}
	t.at = now
}

func (t *tally) add(what Offence, now time.Time) {
	if t.decay(now); t.score < forgotten { // What was so long ago is no part of it.
		t.first, t.n, t.score = now, [offences]int{}, 0
	}
	t.last = now
	t.n[what]++
	t.score += weights[what].weight
}

// mild reports whether nothing was counted but what those commit too who carry mail for many.
func (t *tally) mild() bool {
	for o, n := range t.n {
		if n > 0 && !mild[o] {
			return false
		}
	}
	return true
}

// worst is the offence that weighs most.
func (t *tally) worst() (worst Offence) {
	for o := range offences {
		if float64(t.n[o])*o.Weight() > float64(t.n[worst])*worst.Weight() {
			worst = o
		}
	}
	return worst
}

// words are what was counted: "25 wrong passwords, 1 web request".
func (t *tally) words() string {
	var parts []string
	for o, n := range t.n {
		switch {
		case n == 1:
			parts = append(parts, "1 "+weights[o].one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, weights[o].many))
		}
	}
	return strings.Join(parts, ", ")
}

// halves are tallies in two halves: who is counted comes into the young one, and when
// that is full it becomes the old one, and what was in that is forgotten.
type halves struct{ young, old map[netip.Prefix]*tally }

func (c *halves) get(u netip.Prefix) *tally {
	if t := c.young[u]; t != nil {
		return t
	}
	return c.old[u]
}

func (c *halves) of(u netip.Prefix) *tally {
	if t := c.young[u]; t != nil {
		return t
	}
	t := c.old[u]
	if t == nil {
		t = &tally{}
	}
	if c.young == nil || len(c.young) >= MaxCounted/2 {
		c.young, c.old = map[netip.Prefix]*tally{}, c.young
	}
	delete(c.old, u)
	c.young[u] = t
	return t
}

func (c *halves) delete(u netip.Prefix) {
	delete(c.young, u)
	delete(c.old, u)
}

// drop forgets all in a network.
func (c *halves) drop(in netip.Prefix) {
	for _, half := range []map[netip.Prefix]*tally{c.young, c.old} {
		maps.DeleteFunc(half, func(u netip.Prefix, _ *tally) bool { return in.Overlaps(u) })
	}
}

// List are the networks that are turned away now, those first that end first.
func (b *Bans) List() []Ban {
	now := b.o.Now()
	list := []Ban{}
	b.mu.RLock()
	for _, h := range b.all {
		if !h.over(now) {
			one := h.Ban
			one.Refused = h.refused.Load()
			list = append(list, one)
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(list, func(a, b Ban) int {
		switch {
		case a.Until.IsZero() != b.Until.IsZero():
			if a.Until.IsZero() {
				return 1
			}
			return -1
		case !a.Until.Equal(b.Until):
			return a.Until.Compare(b.Until)
		}
		return a.Network.Compare(b.Network)
	})
	return list
}

// Active counts the networks that are turned away now.
func (b *Bans) Active() (n int) {
	now := b.o.Now()
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, h := range b.all {
		if !h.over(now) {
			n++
		}
	}
	return n
}

// Why is all that is known of an address.
type Why struct {
	Address netip.Addr
	Ban     *Ban // that holds it now; nil for none
	Before  *Ban // the last one of the address itself that is over and not forgotten
	Counted bool // this process counts; else what follows is not known
	Score   float64
	Counts  string // in words; "" for nothing
	First   time.Time
	Last    time.Time
	Exempt  string // why it would not be banned now; "" if it would
}

// Why tells what is known of an address.
func (b *Bans) Why(ctx context.Context, a netip.Addr) (w Why, err error) {
	a = a.Unmap().WithZone("")
	now := b.o.Now()
	w = Why{Address: a, Counted: b.Counts()}
	b.mu.RLock()
	if h := b.find(a, now); h != nil {
		one := h.Ban
		one.Refused = h.refused.Load()
		w.Ban = &one
	}
	if h := b.all[unit(a)]; h != nil && h.over(now) {
		one := h.Ban
		w.Before = &one
	}
	if t := b.counted.get(unit(a)); t != nil {
		copied := *t
		copied.decay(now)
		if copied.score >= forgotten {
			w.Score, w.Counts, w.First, w.Last = copied.score, copied.words(), copied.first, copied.last
		}
	}
	b.mu.RUnlock()
	narrow := unit(a)
	if !narrow.IsValid() {
		narrow = whole(a)
	}
	w.Exempt, err = b.exemption(ctx, narrow, false)
	return w, err
}

// exemption says why no address of p is banned; "" if they may be.
func (b *Bans) exemption(ctx context.Context, p netip.Prefix, ownersToo bool) (string, error) {
	if why := b.o.Exempt(p); why != "" || ownersToo {
		return why, nil
	}
	known, err := b.o.Known(ctx, p, b.o.Now().Add(-KnownFor))
	if err != nil || !known.IsValid() {
		return "", err
	}
	return fmt.Sprintf("a network from which the owner of an account logged in within %d days: %s", int(KnownFor.Hours()/24), known), nil
}

// lasting is how long a ban of a level is.
func lasting(level int) time.Duration {
	d := FirstBan
	for range level {
		if d *= Growth; d >= LongestBan {
			return LongestBan
		}
	}
	return d
}

// nextLevel is that of a ban after one.
func (b *Ban) nextLevel(now time.Time) int {
	return max(0, b.Level+1-int(max(0, now.Sub(b.Until))/Forgive))
}

// ParseNetwork reads an address or a network, with what is behind its bits cut off: of an IPv6 address
// it is the /64. Invalid if it is neither.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		if u := unit(a); u.IsValid() {
			return u, nil
		}
		return whole(a), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if err != nil || p.Addr().Is4In6() {
		return p, mail.Errorf(mail.Invalid, "%q is no address and no network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/48", s)
	}
	return p.Masked(), nil
}
