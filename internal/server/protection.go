package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"yubin/internal/engine/bans"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/history"
	"yubin/internal/engine/sending"
	"yubin/internal/mail"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// protection is who is turned away at the door, and whose mail is kept back.
type protection struct {
	bans    *bans.Bans
	sending *sending.Sending
	breaker *breaker
	admins  administrators

	mu      sync.RWMutex
	never   []netip.Prefix // as the configuration says
	proxies []netip.Prefix
}

// openProtection opens what is known of bans and of sending.
func (s *Store) openProtection(ctx context.Context, cfg config.Config, d Deps) (err error) {
	s.admins.now = d.Now
	s.breaker = newBreaker(s, cfg, d)
	s.bans, err = bans.Open(ctx, bans.Options{DB: s.db, Now: d.Now, Log: d.Log, Exempt: s.neverBanned, Known: s.directory.OwnerSeen,
		Observe: func(o bans.Offence) { s.metrics.Ban(o.String()) }})
	if err != nil {
		return err
	}
	s.sending, err = sending.Open(ctx, sending.Options{DB: s.db, Now: d.Now, Log: d.Log, Acquainted: s.acquainted,
		Local: s.directory.IsLocal, HasAccount: s.mail.HasAccount, Tripped: s.breaker.tripped}, sendingSettings(cfg.Sending))
	s.setProtection(cfg)
	return err
}

// setProtection is what a reload changes of it.
func (s *Store) setProtection(cfg config.Config) {
	s.mu.Lock()
	s.never, s.proxies = cfg.Bans.Never, cfg.Proxies()
	s.mu.Unlock()
	if s.bans != nil && s.sending != nil { // Else the store is being opened.
		s.bans.Set(!cfg.Bans.Off)
		s.sending.Set(sendingSettings(cfg.Sending))
		s.breaker.endSessions.Store(cfg.Sending.EndSessions)
	}
}

func sendingSettings(c config.Sending) sending.Settings {
	return sending.Settings{Off: c.Off, Breaker: c.Breaker, Bounds: sending.Bounds{MessagesHour: int64(c.MessagesHour),
		MessagesDay: int64(c.MessagesDay), NewHour: int64(c.NewHour), NewDay: int64(c.NewDay)}}
}

// neverBanned says why no address of a network is ever banned; "" if it may be. The networks
// of owners are the directory's to know.
func (s *Store) neverBanned(p netip.Prefix) string {
	within := func(list []netip.Prefix) (netip.Prefix, bool) {
		i := slices.IndexFunc(list, p.Overlaps)
		if i < 0 {
			return netip.Prefix{}, false
		}
		return list[i], true
	}
	if _, is := within(loopbacks); is {
		return "this machine itself"
	}
	for _, own := range s.outgoing.self.interfaces() {
		if p.Contains(own) {
			return "an address of this machine: " + own.String()
		}
	}
	if n, is := within(s.outgoing.router.TrustedNetworks()); is {
		return "a trusted network: " + n.String()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n, is := within(s.proxies); is {
		return "a proxy of a listener: " + n.String()
	}
	if n, is := within(s.never); is {
		return "in never of [bans]: " + n.String()
	}
	if a, is := s.admins.in(p); is {
		return "where an administrator is logged in from: " + a.String()
	}
	return ""
}

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// acquainted reports whether an account wrote to an address or heard from it. That somebody brought a letter in the name
// of an address, and proved nothing, does not count: anybody can.
func (s *Store) acquainted(ctx context.Context, account mail.AccountID, a mail.Address) (bool, error) {
	for _, proven := range []mail.Domain{a.Domain, ""} {
		known, err := s.learning.history.Ask(ctx, account, history.Correspondent{Address: a, Authenticated: proven})
		r := known.Of.Address
		if proven == "" {
			r.Received = 0
		}
		if err != nil || r.WrittenTo+r.Received+r.Answered > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// isOurPostmaster reports whether an address is one of who looks after this post office.
func (s *Store) isOurPostmaster(host mail.Domain) func(context.Context, mail.Address) bool {
	return func(ctx context.Context, a mail.Address) bool {
		if !strings.EqualFold(a.Local, postmaster) {
			return false
		}
		local, err := s.directory.IsLocal(ctx, a.Domain)
		return a.Domain == host || err == nil && local
	}
}

// metered is the Sending of the sessions; what it refuses is counted.
type metered struct {
	*sending.Sending
	refused func()
}

// May is that of sending.Sending.
func (l metered) May(ctx context.Context, who sending.Sender, to mail.Address, before int) (isNew bool, err error) {
	if isNew, err = l.Sending.May(ctx, who, to, before); err != nil {
		l.refused()
	}
	return isNew, err
}

// guessed counts a login that failed as what it is.
func (s *Store) guessed(from netip.Addr, err error) {
	switch {
	case err == nil:
	case directory.IsWrongPassword(err):
		s.bans.Offended(from, bans.WrongPassword)
	case directory.IsUnknownUser(err):
		s.bans.Offended(from, bans.UnknownUser)
	case mail.KindOf(err) == mail.RateLimited:
		s.bans.Offended(from, bans.LimitedLogin)
	}
}

// turnedAway says whether a client is banned, and what it hears in the protocol of a listener.
func (s *Store) turnedAway(p config.Protocol) func(netip.Addr) (line string, banned bool) {
	return func(a netip.Addr) (string, bool) {
		ban, banned := s.bans.Banned(a)
		if !banned {
			return "", false
		}
		until := "until somebody lifts it"
		if !ban.Until.IsZero() {
			until = "until " + ban.Until.UTC().Format("2006-01-02 15:04 MST")
		}
		text := "your network is banned " + until + "; ask the postmaster"
		if p == config.HTTP {
			return fmt.Sprintf("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n", len(text)+1, text), true
		}
		return goodbyes[p] + text + "\r\n", true
	}
}

// goodbyes are how each protocol of mail says that there is no service for a client (RFC 5321 §3.1,
// RFC 9051 §7.1.5, RFC 1939 §3). Deviation: after 554 QUIT is not waited for.
var goodbyes = map[config.Protocol]string{config.SMTP: "554 5.7.1 ", config.IMAP: "* BYE ", config.POP3: "-ERR "}

// silent wraps the handler of a listener: who says nothing is counted.
func (s *Store) silent(serve func(context.Context, *netx.Conn)) func(context.Context, *netx.Conn) {
	return func(ctx context.Context, c *netx.Conn) {
		serve(ctx, c)
		if c.Received() == 0 && ctx.Err() == nil {
			s.bans.Offended(c.Remote().Addr(), bans.Silent)
		}
	}
}

// administrators are the addresses from which people came who administrate here, as their
// commands say it: whoever administrates must not lock himself out.
type administrators struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[netip.Addr]time.Time
}

// adminStays is how long an administrator counts as logged in after a command, and maxAdmins
// how many addresses are remembered.
const (
	adminStays = 12 * time.Hour
	maxAdmins  = 64
)

// note remembers that somebody who is logged in from an address administrates.
func (l *administrators) note(a netip.Addr) {
	if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsLoopback() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.seen == nil {
		l.seen = map[netip.Addr]time.Time{}
	}
	if l.seen[a] = now; len(l.seen) <= maxAdmins {
		return
	}
	oldest := a
	for other, at := range l.seen {
		if at.Before(l.seen[oldest]) {
			oldest = other
		}
	}
	delete(l.seen, oldest)
}

// in returns the address of an administrator whose address, or what counts as one with it,
// is in a network.
func (l *administrators) in(p netip.Prefix) (netip.Addr, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, at := range l.seen {
		if l.now().Sub(at) < adminStays && obs.LoginNetwork(a).Overlaps(p) {
			return a, true
		}
	}
	return netip.Addr{}, false
}
