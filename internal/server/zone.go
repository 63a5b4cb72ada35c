package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
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
	"yubin/internal/world/web"
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
	out.DMARCReports, out.TLSReports = reportAddress(c, "dmarc-reports"), reportAddress(c, "tls-reports")
	for _, z := range c.DNSUpdate.Zones {
		out.Zones = append(out.Zones, dns.Name(z))
	}
	return out
}

// reportAddress is who gets reports: the usual address if it takes any, else the first.
func reportAddress(c config.Config, usual string) string {
	switch all := c.Reports.Addresses; {
	case slices.Contains(all, usual):
		return usual
	case len(all) > 0:
		return all[0]
	}
	return ""
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
func (c shown) Shown(host string) (chain []*x509.Certificate) {
	if running := c.s.watcher.server.Load(); running != nil {
		if now := running.certs.Load(); now != nil {
			return now.Shown(host)
		}
		return nil
	}
	o := certs.Options{Files: c.s.known.Load().TLS.Files(), Now: c.d.Now, Log: c.d.Log}
	if len(o.Files) > 0 {
		if opened, err := certs.Open(o); err == nil { // Who starts the server hears why not.
			chain = opened.Shown(host)
		}
		return chain
	}
	ordered := c.s.certificates.Certificate(host)
	if ordered == nil {
		return nil
	}
	for _, der := range ordered.Certificate {
		if one, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, one)
		}
	}
	return chain
}

// Next implements zone.Certificates.
func (c shown) Next() [][]byte { return c.s.certificates.Next() }

// authorities are those that are known by another name than the host of their directory
// (RFC 8659 §4.2), and whether they heed accounturi (RFC 8657).
var authorities = map[string]struct {
	domain  string
	account bool
}{
	"acme-v02.api.letsencrypt.org":         {"letsencrypt.org", true},
	"acme-staging-v02.api.letsencrypt.org": {"letsencrypt.org", true},
	"dv.acme-v02.api.pki.goog":             {"pki.goog", true},
	"acme.zerossl.com":                     {"sectigo.com", false},
}

// Issuers implements zone.Certificates: of files nothing can be said, nor of an authority that
// nobody here knows and that does not name itself.
func (c shown) Issuers(context.Context) ([]zone.Issuer, error) {
	at := c.s.known.Load().ACME
	u, err := url.Parse(at.Directory)
	if err != nil || !at.On {
		return nil, nil
	}
	named, account := c.s.certificates.Issuer()
	a, ok := authorities[u.Hostname()]
	switch {
	case ok && a.account:
		return []zone.Issuer{{Domain: a.domain, Account: account}}, nil
	case ok:
		return []zone.Issuer{{Domain: a.domain}}, nil
	case named != "": // It said so when our account was made.
		return []zone.Issuer{{Domain: named}}, nil
	}
	return nil, nil
}

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

// Policy implements zone.Hosts. It asks from this machine, whose own addresses are allowed.
func (e strangersEyes) Policy(ctx context.Context, names zone.Names, d mail.Domain) (p mtasts.Policy, err error) {
	host, err := mtasts.HostName(d)
	if err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	pages := web.NewPages(web.PagesOptions{Resolver: names, Agent: "yubin/" + e.d.Version, Allowed: func(netip.Addr) bool { return true }})
	page, err := pages.Get(ctx, host, mtasts.Path, mtasts.MaxSize)
	switch {
	case err != nil:
		return p, err
	case page.Type != mtasts.MediaType:
		return p, mail.Errorf(mail.Invalid, "what %s has there is not %s", host, mtasts.MediaType)
	}
	return mtasts.Parse(page.Body)
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
