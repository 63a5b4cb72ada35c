package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/certificates"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/session/webd"
	"yubin/internal/world/acme"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/resolver"
)

// openCertificates opens what has certificates made.
func (s *Store) openCertificates(ctx context.Context, cfg config.Config, d Deps) (err error) {
	s.certificates, err = certificates.Open(ctx, certificates.Options{
		DB: s.db, Secrets: s.secrets, Directory: s.directory,
		Resolver: func() (certificates.Resolver, error) { // The usual one remembers that a name was not there.
			up, err := upstream(*s.outgoing.dns.Load())
			if err != nil {
				return nil, err
			}
			return resolver.New(resolver.Options{Upstream: up, Now: d.Now})
		},
		Authority: func(st certificates.Settings) (certificates.Authority, error) { return s.authority(st, d) },
		Own:       s.reachedAt,
		Binding:   s.binding,
		Zones:     proofRecords{updates{s, d}},
		Now:       d.Now, Log: d.Log, Name: string(cfg.Hostname), Alone: true, Observe: s.metrics.Certificate,
		Settings: certificateSettings(cfg),
	})
	return err
}

// certificateSettings is what of cfg is about ordering certificates.
func certificateSettings(cfg config.Config) certificates.Settings {
	a := cfg.ACME
	out := certificates.Settings{Off: !a.On, Directory: a.Directory, Contact: a.Email, Kind: acme.Kind(a.Challenge), Hostname: cfg.Hostname}
	for _, name := range a.Names {
		wild, plain := "", name
		if rest, is := strings.CutPrefix(name, "*."); is {
			wild, plain = "*.", rest
		}
		if n, err := dns.NameOf(mail.Domain(plain)); err == nil {
			out.Names = append(out.Names, wild+string(n))
		}
	}
	return out
}

// reachedAt are the addresses at which others may reach this machine.
func (s *Store) reachedAt() []netip.Addr {
	own := slices.DeleteFunc(hostAddresses(), netip.Addr.IsLoopback)
	return append(own, s.known.Load().Addresses...)
}

// binding is the account that the operator has with the authority.
func (s *Store) binding() (acme.Binding, error) {
	a := s.known.Load().ACME
	key, err := a.EAB()
	if err != nil {
		return acme.Binding{}, mail.Errorf(mail.Invalid, "the key of [acme] eab_key_file cannot be read: %v", err)
	}
	return acme.Binding{KeyID: a.EABKeyID, MAC: key}, nil
}

// authority is the one that is configured.
func (s *Store) authority(st certificates.Settings, d Deps) (certificates.Authority, error) {
	o := acme.Options{Directory: st.Directory, Agent: "yubin/" + d.Version, Now: d.Now, Dial: s.dial}
	pem, err := s.known.Load().ACME.Roots()
	if err != nil {
		return nil, mail.Errorf(mail.Invalid, "the file of [acme] root cannot be read: %v", err)
	}
	if pem != nil {
		o.Roots = x509.NewCertPool()
		o.Roots.AppendCertsFromPEM(pem)
	}
	return acme.New(o), nil
}

// dialTime is how long one address of a host has to answer.
const dialTime = 10 * time.Second

// dial connects to a host by the addresses that our resolver has, one after the other.
func (s *Store) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return s.dialAllowed(ctx, network, address, nil)
}

// dialAllowed is dial to addresses that are allowed; nil allows all.
func (s *Store) dialAllowed(ctx context.Context, network, address string, allowed func(netip.Addr) bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else {
		name, err := dns.ParseName(host)
		if err != nil {
			return nil, err
		}
		answer, err := s.outgoing.resolver.Addresses(ctx, name)
		if err != nil {
			return nil, err
		}
		addrs = answer.Records
	}
	var errs []error
	for _, a := range addrs {
		if allowed != nil && !allowed(a) {
			errs = append(errs, fmt.Errorf("%s is at %s, which it may not lead us to", host, a))
			continue
		}
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// proofRecords writes what dns-01 shows into the zones of [dns_update].
type proofRecords struct{ updates }

// proofTTL is how long others remember it.
const proofTTL = time.Minute

// Put implements certificates.Zones.
func (p proofRecords) Put(ctx context.Context, n dns.Name, text string) error {
	return p.update(ctx, n, []dns.ZoneRecord{{Name: n, Type: dns.TypeTXT, TTL: proofTTL, Value: text}}, nil)
}

// Remove implements certificates.Zones.
func (p proofRecords) Remove(ctx context.Context, n dns.Name, text string) error {
	return p.update(ctx, n, nil, []dns.ZoneRecord{{Name: n, Type: dns.TypeTXT, TTL: proofTTL, Value: text}})
}

// update changes the longest zone that a name is in.
func (p proofRecords) update(ctx context.Context, n dns.Name, add, remove []dns.ZoneRecord) error {
	zone, is := dns.Name(""), false
	for _, d := range p.s.known.Load().DNSUpdate.Zones {
		if z, err := dns.NameOf(d); err == nil && n.Within(z) && len(z) > len(zone) {
			zone, is = z, true
		}
	}
	if !is {
		return mail.Errorf(mail.Invalid, "the record of %s is in no zone of [dns_update]: name its zone there", n)
	}
	return p.Update(ctx, zone, add, remove)
}

// challengePath is below which authorities look for what http-01 shows (RFC 8555 §8.3).
const challengePath = "/.well-known/acme-challenge/"

// proofs is where authorities look, by any name that leads here; they come without TLS.
func (s *Server) proofs() webd.Mount {
	return webd.Mount{Name: "acme", Path: challengePath, Plain: true, Any: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := s.store.certificates.Answer(r.Context(), strings.TrimPrefix(r.URL.Path, challengePath))
		switch {
		case mail.KindOf(err) == mail.NotFound && err != nil:
			http.NotFound(w, r)
		case err != nil:
			http.Error(w, "try later", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write([]byte(text))
		}
	})}
}

// openCerts opens what shows certificates: those of files, those that were ordered, and
// without files the self-signed one until there is one.
func (s *Server) openCerts(cfg config.Config) (*certs.Certs, error) {
	o := certs.Options{Files: cfg.TLS.Files(), Now: s.deps.Now, Log: s.deps.Log}
	if cfg.ACME.On {
		o.Source = s.store.certificates
	}
	if len(o.Files) == 0 && (cfg.TLS.SelfSigned || cfg.ACME.On) {
		f, err := certs.SelfSigned(s.store.folder.Path(tlsFolder), string(cfg.Hostname), s.deps.Now())
		if err != nil {
			return nil, err
		}
		o.Reserve = f
	}
	if len(o.Files) == 0 && o.Reserve == (certs.Files{}) {
		return nil, nil // No listener speaks TLS; config has checked that.
	}
	return certs.Open(o)
}

// ofCertificates are the certificates that need a hand: files at their end, and those
// that cannot be had or renewed.
func (w *watcher) ofCertificates(ctx context.Context) (all []admin.Concern) {
	add := func(name, text string, ended bool) {
		c := admin.Concern{Cause: "certificate:" + name, State: admin.Warning, Text: text}
		if ended {
			c.State = admin.Trouble
		}
		all = append(all, c)
	}
	for _, f := range w.faultyCertificates() {
		add("unread:"+f.Files.Cert, fmt.Sprintf("a changed certificate does not load, and the old one stays in use: %v", f.Err), false)
	}
	known := w.s.known.Load()
	for _, c := range certs.Concerns(w.certificates(), known.CertificateName(), w.now()) {
		switch {
		case !c.Named:
			add(c.Files.Cert, fmt.Sprintf("the certificate %s %s", c.Files.Cert, c.Text), c.Ended)
		case !known.ACME.On: // else it is ordered, and told of below
			add("names", fmt.Sprintf("the certificate %s %s", c.Files.Cert, c.Text), false)
		}
	}
	if w.s.certificates == nil {
		return all
	}
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	list, err := w.s.certificates.Concerns(ctx)
	if err != nil {
		return all // What is wrong with the database is told elsewhere.
	}
	for _, c := range list {
		add("acme:"+c.Name, c.Text+" (yubin cert show "+c.Name+")", c.Ended)
	}
	return all
}
