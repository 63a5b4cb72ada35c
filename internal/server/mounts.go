package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
	"yubin/internal/session/clientconf"
	"yubin/internal/session/webd"
	"yubin/internal/world/config"
)

// webConfig is the web listener of a configuration: what is mounted, and for which names.
func (s *Server) webConfig(c config.Config) webd.Config {
	h := clientconf.New(clientconf.Config{
		Settings: s.store.clients, Hostname: c.Hostname, Now: s.deps.Now,
		Certificate: func() (*tls.Certificate, error) { return s.shownFor(c.Hostname) },
	})
	policy := webd.PolicyMount(s.store.zone, func(ctx context.Context, d mail.Domain) bool {
		local, err := s.store.clients.IsLocal(ctx, d)
		return local && err == nil
	})
	return webd.Config{
		Mounts:  append(mountsOf(h), policy, s.proofs()),
		Ours:    s.oursOnTheWeb(c),
		HTTPS:   httpsPort(c),
		HSTS:    !c.Open, // Else browsers would refuse what others serve on this machine.
		Observe: s.store.metrics.Web,
		Log:     s.deps.Log,
		Now:     s.deps.Now,
	}
}

// mountsOf are what clients find.
func mountsOf(h *clientconf.Handlers) []webd.Mount {
	domains := h.Hosts()
	autoconfig, autodiscover := h.Hosts(clientconf.AutoconfigHost), h.Hosts(clientconf.AutodiscoverHost)
	post := []string{"GET", "HEAD", "POST"}
	return []webd.Mount{
		{Name: "autoconfig", Path: clientconf.AutoconfigPath, Hosts: autoconfig, Handler: http.HandlerFunc(h.Autoconfig)},
		{Name: "autoconfig", Path: clientconf.AutoconfigWellKnown, Hosts: autoconfig, Handler: http.HandlerFunc(h.Autoconfig)},
		{Name: "autodiscover", Path: clientconf.AutodiscoverPath, Fold: true, Hosts: autodiscover, Methods: post,
			MaxBody: clientconf.MaxAutodiscover, Handler: http.HandlerFunc(h.Autodiscover)},
		{Name: "profile", Path: clientconf.ProfilePath, Hosts: domains, Handler: http.HandlerFunc(h.Profile)},
		{Name: "setup", Path: clientconf.SetupPath, Hosts: domains, Handler: http.HandlerFunc(h.Setup)},
		{Name: "welcome", Path: "/", Hosts: domains, Handler: http.HandlerFunc(h.Welcome)},
	}
}

// oursOnTheWeb says which names lead here: ours, domains that are here, and names before
// these by which others look for something.
func (s *Server) oursOnTheWeb(c config.Config) func(context.Context, mail.Domain) bool {
	return func(ctx context.Context, host mail.Domain) bool {
		if host == c.Hostname || slices.Contains(c.ACME.Names, string(host)) {
			return true
		}
		if ip, err := netip.ParseAddr(string(host)); err == nil {
			return c.Open && ip.IsLoopback()
		}
		domain := string(host)
		for _, p := range []string{clientconf.AutoconfigHost, clientconf.AutodiscoverHost, webd.PolicyHost} {
			if d, is := strings.CutPrefix(domain, p); is {
				domain = d
				break
			}
		}
		for _, name := range []mail.Domain{host, mail.Domain(domain)} {
			if local, err := s.store.clients.IsLocal(ctx, name); local && err == nil {
				return true
			}
		}
		return false
	}
}

// httpsPort is where what is asked for without TLS is found; 0 for nowhere.
func httpsPort(c config.Config) uint16 {
	for _, l := range c.Listeners {
		if l.Protocol == config.HTTP && l.TLS == config.TLSImplicit {
			return listeningAt(l.Address)
		}
	}
	return 0
}

func listeningAt(address string) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// shownFor is the certificate that clients are shown who ask for a name.
func (s *Server) shownFor(name mail.Domain) (*tls.Certificate, error) {
	t := s.tls[config.HTTP]
	if t == nil {
		return nil, errors.New("there is no certificate")
	}
	return t.GetCertificate(&tls.ClientHelloInfo{ServerName: string(name)})
}

// servicesOf are what clients are to use of the listeners of c. Those that only this machine
// reaches, or a proxy, count where no other of the protocol does.
func servicesOf(c config.Config) []clients.Service {
	var list, own []clients.Service
	open := map[clients.Protocol]bool{}
	for _, l := range c.Listeners {
		s, ok := serviceOf(l, c.Hostname)
		switch {
		case !ok:
		case l.Loopback() || len(l.Proxies) > 0: // Clients reach that at a port of the proxy's, if this is none.
			own = append(own, s)
		default:
			list = append(list, s)
			open[s.Protocol] = true
		}
	}
	for _, s := range own {
		if !open[s.Protocol] {
			list = append(list, s)
		}
	}
	return list
}

// serviceOf is what a listener is to clients; not ok for one that is not for them, or
// without TLS.
func serviceOf(l config.Listener, host mail.Domain) (s clients.Service, ok bool) {
	s = clients.Service{Host: host, Port: listeningAt(l.Address)}
	switch {
	case l.Protocol == config.IMAP:
		s.Protocol = clients.IMAP
	case l.Protocol == config.POP3:
		s.Protocol = clients.POP3
	case l.Profile == config.ProfileSubmission:
		s.Protocol = clients.Submission
	default:
		return s, false
	}
	switch l.TLS {
	case config.TLSImplicit:
		s.Security = clients.TLS
	case config.TLSStart:
		s.Security = clients.StartTLS
	default:
		return s, false
	}
	return s, s.Port != 0
}
