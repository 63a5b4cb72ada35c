package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/zone"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/session/smtpc"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/dnsupdate"
	"yubin/internal/world/netx"
	"yubin/internal/world/resolver"
)

// openZone opens what knows the records of the domains.
func (s *Store) openZone(ctx context.Context, d Deps) (err error) {
	s.zone, err = zone.Open(ctx, zone.Options{
		DB: s.db, Directory: s.directory, Keys: s.outgoing.signing,
		Clients: s.clients, Certificates: shown{s, d}, Resolvers: askers{s, d}, Hosts: strangersEyes{s, d}, Updater: updates{s, d},
		Settings: func() zone.Settings { return zoneSettings(*s.known.Load()) },
		Own:      func() []netip.Addr { return ownAddresses(*s.known.Load()) },
		Now:      d.Now, Log: d.Log,
	})
	return err
}

// zoneSettings is what of c is about records.
func zoneSettings(c config.Config) zone.Settings {
	out := zone.Settings{
		Host: c.Hostname, Addresses: c.Addresses, STSOff: c.MTASTS.Mode == config.STSOff, STSAge: c.MTASTS.MaxAge,
		Server: c.DNSUpdate.Server, Automatic: c.DNSUpdate.Automatic,
	}
	out.STS, _ = mtasts.ParseMode(string(c.MTASTS.Mode))
	for _, l := range c.Listeners {
		at, err := net.ResolveTCPAddr("tcp", l.Address)
		if err != nil || l.Loopback() && !slices.Contains(c.Addresses, at.AddrPort().Addr().Unmap()) {
			continue
		}
		out.TakesMail = out.TakesMail || l.Protocol == config.SMTP && l.Profile == config.ProfileMX
		out.Web = out.Web || l.Protocol == config.HTTP && l.TLS == config.TLSImplicit && at.Port == webPort
	}
	if len(c.Reports.Addresses) > 0 {
		out.DMARCReports = c.Reports.Addresses[0]
	}
	for _, z := range c.DNSUpdate.Zones {
		out.Zones = append(out.Zones, dns.Name(z))
	}
	return out
}

// ownAddresses are those of this machine; of a toy they are nobody's business.
func ownAddresses(c config.Config) []netip.Addr {
	if c.Open {
		return nil
	}
	return hostAddresses()
}

// shown are the certificates: those of the server that runs, else those of the files that
// the configuration names.
type shown struct {
	s *Store
	d Deps
}

// Shown implements zone.Certificates.
func (c shown) Shown(host string) []*x509.Certificate {
	if running := c.s.watcher.server.Load(); running != nil {
		if now := running.certs.Load(); now != nil {
			return now.Shown(host)
		}
		return nil
	}
	files := c.s.known.Load().TLS.Files()
	if len(files) == 0 {
		return nil
	}
	opened, err := certs.Open(certs.Options{Files: files, Now: c.d.Now, Log: c.d.Log})
	if err != nil {
		return nil // Who starts the server hears why.
	}
	return opened.Shown(host)
}

// Next implements zone.Certificates.
func (shown) Next() [][]byte { return nil }

// askers ask the DNS for the records of domains; they remember nothing from one question
// of people to the next.
type askers struct {
	s *Store
	d Deps
}

// Times of questions to a single name server.
const (
	authorityTimeout  = 3 * time.Second
	authorityAttempts = 2
)

// Ask implements zone.Resolvers.
func (a askers) Ask(server string) (zone.Names, error) {
	up, err := upstream(*a.s.outgoing.dns.Load())
	if server != "" {
		at, parseErr := config.ParseServer(server)
		if parseErr != nil {
			return nil, mail.Errorf(mail.Invalid, "the resolver must be an address and a port, such as 127.0.0.1:53 or [::1]:53, not %q", server)
		}
		up, err = resolver.Upstream{Servers: []netip.AddrPort{at}}, nil
	}
	if err != nil {
		return nil, err
	}
	return a.asking(up)
}

// At implements zone.Resolvers.
func (a askers) At(server netip.AddrPort) (zone.Names, error) {
	return a.asking(resolver.Upstream{Servers: []netip.AddrPort{server}, Trust: resolver.TrustNone, Timeout: authorityTimeout, Attempts: authorityAttempts})
}

func (a askers) asking(up resolver.Upstream) (zone.Names, error) {
	r, err := resolver.New(resolver.Options{Upstream: up, Now: a.d.Now})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// strangersEyes look at hosts as others do.
type strangersEyes struct {
	s *Store
	d Deps
}

// lookTime bounds the look at a host.
const lookTime = 10 * time.Second

// Look implements zone.Hosts.
func (e strangersEyes) Look(ctx context.Context, at netip.Addr, host dns.Name) (seen zone.Seen) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c := e.s.known.Load()
	conn, err := netx.Dialer{}.Dial(ctx, netip.AddrPortFrom(at, cmp.Or(c.DeliverPort, smtpPort)), netip.Addr{})
	if err != nil {
		return zone.Seen{Fault: err.Error(), Refused: errors.Is(err, syscall.ECONNREFUSED)}
	}
	talk := smtpc.New(conn, smtpc.Config{Now: e.d.Now})
	defer talk.Quit(ctx)
	fault, ok := talk.Open(ctx, mail.Opening{Name: c.Hostname, Host: string(host), TLS: mail.TLSOpportunistic})
	why := fault.Text
	if fault.Trouble == mail.NoTrouble { // A stranger's words are not passed on.
		why = fmt.Sprintf("it answers with code %d", fault.Code)
	}
	switch st, on := conn.TLS(); {
	case !ok && fault.Phase == mail.PhaseTLS:
		seen.TLSFault = why
	case !ok:
		seen.Fault, seen.Refused = why, true
	case !on:
		seen.TLSFault = "it does not offer STARTTLS"
	default:
		seen.TLS, seen.Chain = talk.Connection().TLS, st.PeerCertificates
	}
	return seen
}

// Ports that others go to.
const (
	smtpPort = 25
	webPort  = 443
)

// updates writes into zones.
type updates struct {
	s *Store
	d Deps
}

// Update implements zone.Updater.
func (u updates) Update(ctx context.Context, at dns.Name, add, remove []dns.ZoneRecord) error {
	c := u.s.known.Load().DNSUpdate
	key, err := dnsupdate.ReadKey(c.KeyFile, c.Key, c.Algorithm)
	if err != nil && mail.KindOf(err) != mail.Invalid {
		err = mail.Errorf(mail.Invalid, "the key of [dns_update] cannot be read: %v", err)
	}
	if err != nil {
		return err
	}
	return dnsupdate.Updater{Now: u.d.Now}.Update(ctx, c.Server, at, key, add, remove)
}
