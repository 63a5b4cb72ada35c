package bans

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Run decides, writes and shares until ctx is done.
func (b *Bans) Run(ctx context.Context) {
	b.running.Store(true)
	defer b.running.Store(false)
	tick := time.NewTicker(ShareEvery)
	defer tick.Stop()
	for {
		if err := b.round(ctx); err != nil && ctx.Err() == nil {
			b.o.Log.Warn("bans are not decided or not kept; it is tried again", obs.Err(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := b.share(ctx); err != nil && ctx.Err() == nil {
				b.o.Log.Warn("bans of other processes are read later", obs.Err(err))
			}
		case <-b.poked:
		}
	}
}

// round decides of all that have enough, and writes.
func (b *Bans) round(ctx context.Context) error {
	b.mu.RLock()
	var list []netip.Prefix
	for u := range b.pending {
		list = append(list, u)
	}
	b.mu.RUnlock()
	slices.SortFunc(list, netip.Prefix.Compare)
	for _, u := range list {
		if err := b.decide(ctx, u); err != nil {
			return err // Who is left stays pending.
		}
	}
	if err := b.write(ctx); err != nil {
		return err
	}
	return b.sweep(ctx)
}

// decide bans an address that has enough, unless it is exempt.
func (b *Bans) decide(ctx context.Context, u netip.Prefix) error {
	why, err := b.exemption(ctx, u, false)
	if err != nil {
		return err
	}
	now := b.o.Now()
	b.mu.Lock()
	delete(b.pending, u)
	t := b.counted.get(u)
	if t == nil || b.off.Load() {
		b.mu.Unlock()
		return nil
	}
	words, worst, mild := t.words(), t.worst(), t.mild()
	if why != "" {
		t.exempt = now.Add(exemptFor)
		b.mu.Unlock()
		b.o.Log.Info("not banned", "network", u.String(), obs.KeyReason, words, "exempt", why)
		return nil
	}
	reason := fmt.Sprintf("%s since %s", words, t.first.UTC().Format("15:04 MST"))
	b.counted.delete(u)
	made := b.ban(u, reason, now, mild)
	b.mu.Unlock()
	b.o.Observe(worst)
	if b.tell(made); mild {
		return nil
	}
	return b.widen(ctx, u)
}

// ban turns a network away from now on. The caller holds the lock.
func (b *Bans) ban(p netip.Prefix, reason string, now time.Time, mild bool) Ban {
	h := &held{Ban: Ban{Network: p, Since: now, Reason: clip(reason)}, changed: now.UnixMilli(), mild: mild}
	if old := b.all[p]; old != nil {
		h.Level = old.nextLevel(now)
	}
	if h.Until = now.Add(lasting(h.Level)); mild {
		h.Until = now.Add(FirstBan)
	}
	b.put(h)
	b.unwritten[p] = true
	return h.Ban
}

func (b *Bans) tell(one Ban) {
	b.o.Log.Info("banned", "network", one.Network.String(), "until", one.Until.UTC().Format(time.RFC3339), obs.KeyReason, one.Reason, "before", one.Level)
}

// widen bans the networks around u in which enough others are banned too.
func (b *Bans) widen(ctx context.Context, u netip.Prefix) error {
	for _, w := range wider[u.Addr().Is6()] {
		around, err := u.Addr().Prefix(w.bits)
		if err != nil {
			continue
		}
		now := b.o.Now()
		b.mu.RLock()
		n, there := 0, false
		for p, h := range b.all {
			switch {
			case h.over(now) || h.ByHand || h.mild:
			case p == around:
				there = true
			case p.Bits() == u.Bits() && around.Contains(p.Addr()):
				n++
			}
		}
		b.mu.RUnlock()
		if n < w.banned || there {
			continue
		}
		why, err := b.exemption(ctx, around, false)
		if err != nil {
			return err
		}
		if why != "" {
			continue
		}
		b.mu.Lock()
		made := b.ban(around, fmt.Sprintf("%d of its addresses are banned", n), now, false)
		b.mu.Unlock()
		b.tell(made)
	}
	return nil
}

// clip bounds a reason, between characters.
func clip(s string) string {
	if len(s) <= MaxReason {
		return s
	}
	n := MaxReason
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// Order is a ban by hand.
type Order struct {
	Network   netip.Prefix
	For       time.Duration // 0: until it is lifted
	Reason    string
	OwnersToo bool // it may be a network from which owners of accounts log in
}

// Add bans a network by hand; a ban that there is gives way. Errors: Invalid for a
// network that is too wide; Forbidden for one that is never banned, whose text says why;
// TooLarge if there are MaxBans.
func (b *Bans) Add(ctx context.Context, o Order) (Ban, error) {
	p := o.Network.Masked()
	least := minBits4
	if p.Addr().Is6() {
		least = minBits6
	}
	switch {
	case !p.IsValid():
		return Ban{}, mail.Errorf(mail.Invalid, "there is no network to ban")
	case len(o.Reason) > MaxReason:
		return Ban{}, mail.Errorf(mail.Invalid, "a reason has at most %d octets", MaxReason)
	case o.For < 0 || o.For > LongestByHand:
		return Ban{}, mail.Errorf(mail.Invalid, "a ban is for a time, or until it is lifted")
	}
	why, err := b.exemption(ctx, p, o.OwnersToo)
	if err != nil {
		return Ban{}, err
	}
	if why != "" {
		return Ban{}, mail.Errorf(mail.Forbidden, "%s is never banned: it is, or has in it, %s", p, why)
	}
	if p.Bits() < least {
		return Ban{}, mail.Errorf(mail.Invalid, "%s is too wide: at most a /%d is banned at once", p, least)
	}
	now := b.o.Now()
	h := &held{Ban: Ban{Network: p, Since: now, Reason: o.Reason, ByHand: true}, changed: now.UnixMilli()}
	if o.For > 0 {
		h.Until = now.Add(o.For)
	}
	b.mu.RLock()
	full := len(b.all) >= MaxBans && b.all[p] == nil
	b.mu.RUnlock()
	if full {
		return Ban{}, mail.Errorf(mail.TooLarge, "there are %d bans, as many as there may be; remove some", MaxBans)
	}
	if err := b.writeRows(ctx, []*held{h}); err != nil {
		return Ban{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(h)
	delete(b.unwritten, p)
	return h.Ban, nil
}

// Lift ends the bans that hold an address or lie in a network, forgets how often these were banned
// before, and what was counted there. NotFound if there is none.
func (b *Bans) Lift(ctx context.Context, p netip.Prefix) (lifted []Ban, err error) {
	p = p.Masked()
	now := b.o.Now()
	var rows []*held
	b.mu.Lock()
	b.counted.drop(p)
	for _, h := range b.all {
		if h.Network.Overlaps(p) && !h.over(now) {
			one := h.Ban
			one.Until, one.Level = now, -1
			lifted = append(lifted, h.Ban)
			rows = append(rows, &held{Ban: one, changed: now.UnixMilli()})
		}
	}
	b.mu.Unlock()
	if len(rows) == 0 {
		return nil, mail.Errorf(mail.NotFound, "%s is not banned", p)
	}
	slices.SortFunc(lifted, func(a, b Ban) int { return a.Network.Compare(b.Network) })
	if err := b.writeRows(ctx, rows); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range rows {
		b.put(h)
		delete(b.unwritten, h.Network)
	}
	return lifted, nil
}
