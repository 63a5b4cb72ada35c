package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/machine"
	"yubin/internal/world/obs"
)

// Bounds of a selftest.
const (
	selftestTime    = 90 * time.Second
	selftestDomains = 20  // whose records are looked at
	maxMend         = 200 // octets of a record that is shown; that of a key is longer
	selftestRecords = 20  // that are not right, of a domain
	selftestPassing = 10 * time.Minute
)

// selftestAccount is what the account is called that is made to send mail round.
const selftestAccount = "yubin-selftest"

// selftest tries the server out as those do who use it: it sends mail round and looks at all
// that mail stands on.
//
// Each day, if that is configured, it does so by itself, and the postmaster hears of what
// became different since the last time. What he was told is rows of engine/alarm, whose
// causes begin with selftestKey; what the watcher looks at every minute, the watcher tells.
type selftest struct {
	s     *Store
	d     Deps
	clock func() machine.Clock
	roots *x509.CertPool // whom others believe; nil is whom the system does
	on    atomic.Bool
}

func newSelftest(s *Store, d Deps) *selftest { return &selftest{s: s, d: d, clock: machine.ReadClock} }

// Selftest implements admin.Selftests.
func (t *selftest) Selftest(ctx context.Context, account string) ([]admin.Test, error) {
	srv := t.s.watcher.server.Load()
	if srv == nil {
		return nil, mail.Errorf(mail.Unavailable, "no server runs here that could be tried out; start it first")
	}
	if !t.on.CompareAndSwap(false, true) {
		return nil, mail.Errorf(mail.Conflict, "a selftest is on already; wait for its end, a minute or so")
	}
	defer t.on.Store(false)
	who, failed, err := t.traveller(ctx, account)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, selftestTime)
	defer cancel()
	at := t.reachedAt(ctx)
	parts := []func(context.Context) []admin.Test{
		t.state, t.ofClock, t.ofResolver,
		func(ctx context.Context) []admin.Test { return t.doors(ctx, srv, at) },
		func(ctx context.Context) []admin.Test {
			if who.Address.IsZero() {
				return []admin.Test{failed}
			}
			return t.round(ctx, srv, who)
		},
		t.names,
		func(ctx context.Context) []admin.Test { return t.lists(ctx, at) },
	}
	found := make([][]admin.Test, len(parts))
	var g sync.WaitGroup
	for i, part := range parts {
		g.Go(func() { found[i] = part(ctx) })
	}
	g.Wait()
	return slices.Concat(found...), nil
}

// traveller is who sends mail to himself: the account that was named, or one that is made
// for it. Without a domain there is nobody, and the test that failed.
func (t *selftest) traveller(ctx context.Context, name string) (a directory.Account, failed admin.Test, err error) {
	if name != "" {
		address, err := mail.ParseAddress(name)
		if err != nil {
			return a, failed, err
		}
		a, err = t.s.directory.Account(ctx, address)
		return a, failed, err
	}
	domains, err := t.s.directory.Domains(ctx)
	if err != nil {
		return a, failed, err
	}
	i := slices.IndexFunc(domains, func(d directory.Domain) bool { return d.AliasOf == "" })
	if i < 0 {
		return a, admin.Test{Check: "mail", State: admin.TestWrong, Text: "no mail could be sent round: there is no domain", Mend: "yubin domain add example.org"}, nil
	}
	address := mail.Address{Local: selftestAccount, Domain: domains[i].Name}
	a, err = t.s.directory.Account(ctx, address)
	if mail.KindOf(err) == mail.NotFound && err != nil {
		a, err = t.s.directory.AddAccount(ctx, directory.NewAccount{Address: address, Password: rand.Text()}) // Nobody knows it.
		if err == nil {
			t.d.Log.Info("an account was made for the selftest", obs.KeyUser, address.String())
		}
	}
	return a, failed, err
}

// reachedAt are the addresses at which others reach this server; none if nobody knows any.
func (t *selftest) reachedAt(ctx context.Context) []netip.Addr {
	c := t.s.known.Load()
	if len(c.Addresses) > 0 || c.Open {
		return c.Addresses
	}
	own := slices.DeleteFunc(machine.Addresses(), netip.Addr.IsPrivate)
	if len(own) > 0 {
		return own
	}
	host, err := dns.NameOf(c.Hostname)
	if err != nil {
		return nil
	}
	there, err := t.s.outgoing.resolver.Addresses(ctx, host)
	if err != nil {
		return nil
	}
	return there.Records
}

// state: what the watcher looks at.
func (t *selftest) state(ctx context.Context) (all []admin.Test) {
	w := t.s.watcher
	told := map[string]bool{}
	for _, c := range w.concerns(ctx) {
		cause, about, _ := strings.Cut(c.Cause, ":")
		check, _, _ := strings.Cut(cause, "-")
		told[check] = true
		one := admin.Test{Check: check, About: about, State: admin.TestWarning, Text: c.Text}
		if c.State == admin.Trouble {
			one.State = admin.TestWrong
		}
		all = append(all, one)
	}
	well := func(check, format string, values ...any) {
		if !told[check] {
			all = append(all, admin.Test{Check: check, State: admin.TestOK, Text: fmt.Sprintf(format, values...)})
		}
	}
	well("database", "it answers")
	if free, total, ok := w.room(t.s.folder.Path(".")); ok {
		well("disk", "%s of %s are free", mebibytes(free), mebibytes(total))
	}
	if n, _, ok := t.s.metrics.Waiting(); ok {
		switch {
		case n.Total() == 0:
			well("queue", "nothing waits")
		default:
			well("queue", "%d recipients wait, the first since %s", n.Total(), n.Oldest.UTC().Format(time.DateTime+" MST"))
		}
	}
	return all
}

func (t *selftest) ofClock(context.Context) []admin.Test {
	one := admin.Test{Check: "clock", State: admin.TestOK, Text: "something keeps it right"}
	switch t.clock() {
	case machine.ClockLeft:
		one.State, one.Text = admin.TestWarning, "nothing keeps the clock of this machine right: certificates and signatures stand on it"
		one.Mend = "apt-get install systemd-timesyncd, or chrony"
	case machine.ClockUnknown:
		one.State, one.Text, one.Mend = admin.TestUnknown, "whether something keeps it right the server may not see", "timedatectl says it"
	}
	return []admin.Test{one}
}

func (t *selftest) ofResolver(ctx context.Context) []admin.Test {
	one := admin.Test{Check: "resolver", State: admin.TestOK, Text: "it answers, and validates (DNSSEC)"}
	up, err := upstream(*t.s.outgoing.dns.Load())
	var validates bool
	if err == nil {
		var r zone.Names
		if r, err = (askers{t.s, t.d}).asking(up); err == nil {
			validates, err = r.(interface {
				Validates(context.Context) (bool, error)
			}).Validates(ctx)
		}
	}
	switch {
	case err != nil:
		one.State, one.Text = admin.TestWrong, "the name servers do not answer: "+obs.Reason(err)
		one.Mend = "name one that does in /etc/resolv.conf or [dns] servers; apt-get install unbound has one on this machine"
	case !validates:
		one.State, one.Text = admin.TestWarning, "it does not validate, or is not believed: DANE does not protect what is sent"
		one.Mend = "apt-get install unbound, and nameserver 127.0.0.1 in /etc/resolv.conf"
	}
	return []admin.Test{one}
}

// names: the records of the domains.
func (t *selftest) names(ctx context.Context) []admin.Test {
	if t.s.known.Load().Open {
		return []admin.Test{{Check: "dns", State: admin.TestUnknown, Text: "what is for trying out is in no DNS"}}
	}
	domains, err := t.s.directory.Domains(ctx)
	if err != nil {
		return []admin.Test{{Check: "dns", State: admin.TestUnknown, Text: obs.Reason(err)}}
	}
	found := make([][]admin.Test, min(len(domains), selftestDomains))
	var g sync.WaitGroup
	turns := make(chan struct{}, 4)
	for i := range found {
		turns <- struct{}{}
		g.Go(func() {
			found[i] = t.ofDomain(ctx, domains[i].Name)
			<-turns
		})
	}
	g.Wait()
	all := slices.Concat(found...)
	if left := len(domains) - len(found); left > 0 {
		all = append(all, admin.Test{Check: "dns", State: admin.TestUnknown, Text: fmt.Sprintf("%d more domains are not looked at", left), Mend: "yubin dns check DOMAIN"})
	}
	return all
}

// ofDomain: what is not right of the records of a domain. The conversation with its MX, and
// the certificate, are looked at elsewhere.
func (t *selftest) ofDomain(ctx context.Context, d mail.Domain) (all []admin.Test) {
	c, err := t.s.zone.Check(ctx, d, "")
	if err != nil {
		return []admin.Test{{Check: "dns", About: string(d), State: admin.TestUnknown, Text: obs.Reason(err)}}
	}
	for _, f := range c.Findings {
		if f.State == zone.Right || f.Need == zone.Optional || f.Kind == zone.TLS || len(all) == selftestRecords {
			continue
		}
		one := admin.Test{Check: "dns", About: strings.Join([]string{string(d), f.Kind.Title()}, " "), State: admin.TestWarning,
			Text: fmt.Sprintf("%s %s: %s", f.Name, f.Type, cmp.Or(f.Fault, "it is "+f.State.String())), Mend: "yubin dns check " + string(d) + " says more"}
		switch {
		case f.State == zone.Unknown:
			one.State = admin.TestUnknown
		case f.Need == zone.Needed:
			one.State = admin.TestWrong
		}
		if len(f.Want) > 0 && f.State != zone.Unknown && len(f.Want[0].Line()) <= maxMend {
			one.Mend = "write " + f.Want[0].Line()
			if more := len(f.Want) - 1; more > 0 {
				one.Mend += fmt.Sprintf(" and %d more: yubin dns check %s", more, d)
			}
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		all = append(all, admin.Test{Check: "dns", About: string(d), State: admin.TestOK, Text: "all that is needed and recommended is there"})
	}
	return all
}

// lists: no list of those that are asked about strangers has this server.
func (t *selftest) lists(ctx context.Context, at []netip.Addr) (all []admin.Test) {
	if len(t.s.lists.States()) == 0 || len(at) == 0 {
		return nil
	}
	f := t.s.lists.Ask(ctx, clientsOf(at)...)
	for _, one := range f.Found {
		if one.Weight > 0 {
			all = append(all, admin.Test{Check: "lists", About: one.List + " " + one.Subject.String(), State: admin.TestWrong,
				Text: fmt.Sprintf("%s is on the list %s: %s", one.Subject, one.List, one.Meaning), Mend: "find out what was sent from there (yubin trace), then ask the list on its pages to take it off"})
		}
	}
	if len(f.Unknown) > 0 {
		all = append(all, admin.Test{Check: "lists", State: admin.TestUnknown, Text: "not answered: " + strings.Join(f.Unknown, ", "), Mend: "the log says why"})
	}
	if len(all) == 0 {
		all = append(all, admin.Test{Check: "lists", State: admin.TestOK, Text: "no list that is asked has an address of this server"})
	}
	return all
}

// logTests puts what is not well into the log.
func (t *selftest) logTests(ctx context.Context, tests []admin.Test) {
	n := map[admin.TestState]int{}
	for _, one := range tests {
		if n[one.State]++; one.State == admin.TestWrong || one.State == admin.TestWarning {
			t.d.Log.LogAttrs(ctx, slog.LevelWarn, "the selftest found something", slog.String("check", one.Check), slog.String("about", one.About),
				slog.String("what", one.Text), slog.String("mend", one.Mend))
		}
	}
	t.d.Log.Info("selftest", "ok", n[admin.TestOK], "wrong", n[admin.TestWrong], "warnings", n[admin.TestWarning], "unknown", n[admin.TestUnknown])
}

// addressOf is where this machine itself reaches a listener.
func addressOf(at netip.AddrPort) netip.AddrPort {
	switch a := at.Addr().Unmap(); {
	case a.IsUnspecified() && a.Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	case a.IsUnspecified(): // Both families, where the system has them.
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	default:
		return netip.AddrPortFrom(a, at.Port())
	}
}

// opened are the listeners of the server, with the addresses that they have.
func (s *Server) opened() (list []config.Listener, at []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if a, err := netip.ParseAddrPort(l.server.Addr().String()); err == nil { // A socket in the file system has none.
			list, at = append(list, l.config), append(at, a)
		}
	}
	return list, at
}
