package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/session/smtpd"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Bounds of what users of this machine have open at once. The last connections are for
// those who are trusted, so that nobody keeps root's mail away.
const (
	localConnections        = 64
	localConnectionsTrusted = 16
	localConnectionsPerUser = 16
)

// rateWindow is what Sendmail.Rate counts by, and maxRated how many users are counted.
const (
	rateWindow = time.Hour
	maxRated   = 10_000
)

// locals are the users of this machine, who bring mail over a socket that says who they
// are. What they sent and have open outlives a reload.
type locals struct {
	store    *Store
	hostname mail.Domain
	now      func() time.Time
	lookup   func(uid string) (*user.User, error)

	mu   sync.Mutex
	open map[uint32]int
	all  int
	sent map[uint32]*rated
}

// rated is what a user sent in an hour.
type rated struct {
	since time.Time
	n     int
}

func newLocals(store *Store, hostname mail.Domain, now func() time.Time) *locals {
	return &locals{store: store, hostname: hostname, now: now, lookup: user.LookupId, open: map[uint32]int{}, sent: map[uint32]*rated{}}
}

// enter counts a connection, or says why there are too many.
func (l *locals) enter(uid uint32, trusted bool) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := localConnections
	if !trusted {
		most -= localConnectionsTrusted
		if l.open[uid] >= localConnectionsPerUser {
			return nil, mail.Errorf(mail.RateLimited, "you have %d connections, which is as many as a user may have; try again later", localConnectionsPerUser)
		}
	}
	if l.all >= most {
		return nil, mail.Errorf(mail.Unavailable, "too many connections; try again later")
	}
	l.open[uid]++
	l.all++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.all--; l.open[uid] == 1 {
			delete(l.open, uid)
		} else {
			l.open[uid]--
		}
	}, nil
}

// take counts a message of a user who may send so many in an hour.
func (l *locals) take(uid uint32, rate int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.sent) >= maxRated {
		for id, s := range l.sent {
			if now.Sub(s.since) >= rateWindow {
				delete(l.sent, id)
			}
		}
	}
	s := l.sent[uid]
	if s == nil || now.Sub(s.since) >= rateWindow {
		if s == nil && len(l.sent) >= maxRated {
			return mail.Errorf(mail.Unavailable, "too many users send mail; try again later")
		}
		s = &rated{since: now}
		l.sent[uid] = s
	}
	if s.n >= rate {
		return mail.Errorf(mail.RateLimited, "you sent %d messages within an hour, as many as a user may; go on at %s", s.n, s.since.Add(rateWindow).Format("15:04"))
	}
	s.n++
	return nil
}

// named is how the configuration may call a user.
func (l *locals) named(uid uint32) (login string, names []string) {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := l.lookup(number); err == nil && u.Username != "" {
		return u.Username, []string{u.Username, number}
	}
	return "uid-" + number, []string{number}
}

// users are the locals as one configuration has them.
type users struct {
	*locals
	c config.Sendmail
}

// trusts reports whether a user may write as anybody.
func (u users) trusts(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(u.c.Trusted, n) })
}

// User says who made a connection.
func (u users) User(ctx context.Context, c *netx.Conn) (smtpd.User, error) {
	uid, ok := c.User()
	if !ok {
		return smtpd.User{}, mail.Errorf(mail.Unavailable, "this system does not say who you are")
	}
	return u.who(ctx, uid)
}

func (u users) who(ctx context.Context, uid uint32) (smtpd.User, error) {
	login, names := u.named(uid)
	domain, err := u.domain(ctx)
	if err != nil {
		return smtpd.User{}, err
	}
	out := smtpd.User{ID: uid, Login: login, Domain: domain, Trusted: u.trusts(names)}
	out.Principal.Address = mail.Address{Local: login, Domain: domain}
	list := u.addresses(names)
	if len(list) == 0 {
		return out, nil
	}
	if out.Principal.Address, err = mail.ParseAddress(list[0]); err != nil {
		return out, err
	}
	account, err := u.store.directory.Account(ctx, out.Principal.Address)
	switch {
	case mail.KindOf(err) == mail.NotFound:
		return out, nil // An alias, or an address elsewhere.
	case err != nil:
		return out, err
	case account.Disabled:
		return out, mail.Errorf(mail.Forbidden, "the account %s is disabled", account.Address)
	}
	out.Principal.Account = account.ID
	return out, nil
}

// addresses are those that the configuration gives a user.
func (u users) addresses(names []string) []string {
	for _, n := range names {
		if list := u.c.Users[n]; len(list) > 0 {
			return list
		}
	}
	return nil
}

// MayUse says whether a user who is not trusted may write from an address: its own with
// any subaddress, those that the configuration lists, and those of the account among
// them that it is.
func (u users) MayUse(ctx context.Context, who smtpd.User, a mail.Address) (bool, error) {
	a = a.Key()
	base := a
	base.Local, _, _ = strings.Cut(a.Local, "+")
	_, names := u.named(who.ID)
	for _, own := range append([]string{who.Principal.Address.String()}, u.addresses(names)...) {
		if d, all := strings.CutPrefix(own, "*@"); all {
			if domain, err := mail.ParseDomain(d); err == nil && domain == a.Domain {
				return true, nil
			}
		} else if is, err := mail.ParseAddress(own); err == nil && (is.Key() == a || is.Key() == base) {
			return true, nil
		}
	}
	if who.Principal.Account == 0 {
		return false, nil
	}
	return u.store.directory.MayUse(ctx, who.Principal, a)
}

// Take counts a message.
func (u users) Take(who smtpd.User) error {
	if who.Trusted || u.c.Rate == 0 {
		return nil
	}
	return u.take(who.ID, u.c.Rate)
}

// domain is that of names without one: the host's own name if it is a domain of ours, or
// the nearest above it that is, or else the first one. So answers and reports come back.
func (u users) domain(ctx context.Context) (mail.Domain, error) {
	if u.c.Domain != "" {
		return u.c.Domain, nil
	}
	for d := u.hostname; d != ""; {
		if local, err := u.store.directory.IsLocal(ctx, d); err != nil || local {
			return d, err
		}
		_, above, _ := strings.Cut(string(d), ".")
		d = mail.Domain(above)
	}
	first, err := u.store.directory.FirstDomain(ctx)
	if first == "" {
		first = u.hostname
	}
	return first, err
}

// serveLocal runs a connection of a user of this machine.
func (s *Server) serveLocal(ctx context.Context, c *netx.Conn) {
	services := s.services.Load()
	uid, ok := c.User()
	if ok { // Else the session says so.
		_, names := s.locals.named(uid)
		leave, err := s.locals.enter(uid, services.users.trusts(names))
		if err != nil {
			s.deps.Log.Warn("connection refused", obs.KeyProto, smtpd.Local.String(), "uid", uid, obs.Err(err))
			var e *mail.Error
			if errors.As(err, &e) {
				_, _ = c.WriteString("421 4.7.0 " + e.Text + "\r\n")
			}
			_ = c.Flush() // The connection ends here whether it heard us or not.
			return
		}
		defer leave()
	}
	services.smtp[smtpKind{smtpd.Local, false}].Serve(ctx, c)
}

// doesWithout reports whether a listener that cannot be opened is one that nobody asked
// for, and says so in the log.
func (s *Server) doesWithout(c config.Config, l config.Listener, err error) bool {
	if err == nil || l.Profile != config.ProfileLocal || c.Sendmail.Named {
		return false
	}
	s.deps.Log.Warn("yubin sendmail cannot be served", obs.Err(err))
	return true
}

// listenersOf are all that a configuration wants. Where users of this machine come is
// where nobody chose, if there is a folder for it.
func (s *Server) listenersOf(c config.Config) []config.Listener {
	all := slices.Clone(c.Listeners)
	if c.Sendmail.Off {
		return all
	}
	if !c.Sendmail.Named {
		folder := filepath.Dir(c.Sendmail.Socket)
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			s.deps.Log.Debug("no socket for yubin sendmail: its folder is not there", obs.KeyFile, folder)
			return all
		}
	}
	return append(all, c.SendmailListener())
}
