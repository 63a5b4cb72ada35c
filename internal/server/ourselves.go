package server

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/config"
)

// ourselves knows by which names and addresses mail would come back to us (RFC
// 5321 §5.1).
type ourselves struct {
	host      mail.Domain
	open      bool // on this machine other servers are tried out: only our own ports are we
	listeners []netip.AddrPort
	now       func() time.Time

	mu      sync.Mutex
	addrs   []netip.Addr // of this host's interfaces
	fetched time.Time
}

func newOurselves(c config.Config, now func() time.Time) *ourselves {
	o := &ourselves{host: c.Hostname, open: c.Open, now: now}
	for _, l := range c.Listeners {
		if l.Protocol == config.SMTP && l.Profile == config.ProfileMX {
			if at, err := net.ResolveTCPAddr("tcp", l.Address); err == nil {
				o.listeners = append(o.listeners, at.AddrPort())
			}
		}
	}
	return o
}

// IsOurName reports whether host is what we call ourselves.
func (o *ourselves) IsOurName(host dns.Name) bool {
	d, ok := host.Domain()
	return ok && d == o.host
}

// IsOurAddress reports whether a connection to addr would reach us. Whatever is
// on a loopback address is this host, and strangers' domains may point there.
func (o *ourselves) IsOurAddress(addr netip.AddrPort) bool {
	ip := addr.Addr().Unmap()
	if ip.IsUnspecified() {
		return true
	}
	local := ip.IsLoopback() || slices.Contains(o.interfaces(), ip)
	if !o.open {
		return local
	}
	return slices.ContainsFunc(o.listeners, func(l netip.AddrPort) bool {
		own := l.Addr().Unmap()
		return l.Port() == addr.Port() && (own == ip || local && (!own.IsValid() || own.IsUnspecified()))
	})
}

// interfaces are the addresses of this host, looked up now and then.
func (o *ourselves) interfaces() []netip.Addr {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.now(); o.fetched.IsZero() || now.Sub(o.fetched) > addressMemory {
		o.addrs, o.fetched = hostAddresses(), now
	}
	return o.addrs
}

// hostAddresses is empty if the system does not tell.
func hostAddresses() (list []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, ip.Unmap())
			}
		}
	}
	return list
}
