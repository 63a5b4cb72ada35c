package certificates

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/sqldb"
)

// before are the names before a domain that clients and other servers look for (RFC 8461
// §3.3, and what mail programs do).
var before = [...]string{"mta-sts.", "autoconfig.", "autodiscover."}

// wanted is a certificate that there should be.
type wanted struct {
	name    string
	names   []string
	leftOut []LeftOut
}

// look is what the DNS said of a name.
type look struct {
	at      time.Time
	addrs   []netip.Addr // none if it does not lead anywhere
	trouble bool         // the DNS did not say
	why     string       // for people, where there are no addresses
}

// want says which certificates there should be. had are those that there are: what was
// wanted stays so while the DNS does not answer.
func (c *Certificates) want(ctx context.Context, s Settings, had []row) ([]wanted, error) {
	domains, err := c.o.Directory.Names(ctx)
	if err != nil {
		return nil, err
	}
	host, err := ascii(s.Hostname)
	if err != nil {
		return nil, err
	}
	if len(domains) > MaxDomains && c.once("domains") {
		c.o.Log.Warn("not all domains get certificates", "domains", len(domains), "most", MaxDomains)
	}
	domains = domains[:min(len(domains), MaxDomains)]
	names := slices.Clone(s.Names)
	if host != "" {
		names = append([]string{host}, names...)
	}
	fixed := len(names) // Those that the configuration names.
	for _, d := range domains {
		if a, err := ascii(d); err == nil {
			for _, b := range before {
				names = append(names, b+a)
			}
		}
	}
	if err := c.lookFor(ctx, names); err != nil {
		return nil, err
	}
	own := c.own(host)
	list := []wanted{{name: host}}
	for _, name := range names[:fixed] {
		if !slices.Contains(list[0].names, name) {
			list[0].take(name, c.leadsAnywhere(name, s.Kind), had)
		}
	}
	for i := fixed; i < len(names); i += len(before) {
		domain := strings.TrimPrefix(names[i], before[0])
		w := &list[0]
		if domain != host {
			list = append(list, wanted{name: domain})
			w = &list[len(list)-1]
		}
		for _, name := range names[i : i+len(before)] {
			if !slices.Contains(list[0].names, name) {
				w.take(name, c.leadsHere(name, own), had)
			}
		}
	}
	return list, nil
}

// take has a name in, or leaves it out for a reason. Where the DNS has trouble, it is in if
// it was before.
func (w *wanted) take(name string, l look, had []row) {
	if l.trouble {
		i := slices.IndexFunc(had, func(r row) bool { return r.name == w.name })
		if i >= 0 && slices.Contains(had[i].wanted, name) {
			l.why = ""
		}
	}
	switch {
	case l.why != "":
		w.leftOut = append(w.leftOut, LeftOut{name, l.why})
	case len(w.names) == acme.MaxNames:
		w.leftOut = append(w.leftOut, LeftOut{name, "a certificate has at most 100 names"})
	default:
		w.names = append(w.names, name)
	}
}

// ascii is a domain as certificates have it.
func ascii(d mail.Domain) (string, error) {
	if d == "" || d.IsLiteral() {
		return "", nil
	}
	n, err := dns.NameOf(d)
	return string(n), err
}

// own are the addresses at which this machine is reached: its own, those of the host name,
// for who is behind a router, and what is configured.
func (c *Certificates) own(host string) []netip.Addr {
	c.mu.Lock()
	list := slices.Clone(c.looked[host].addrs)
	c.mu.Unlock()
	if c.o.Own != nil {
		list = append(list, c.o.Own()...)
	}
	return list
}

// leadsAnywhere is whether a name that the configuration says is ours can be shown to be: it
// must be in the DNS, unless it is the DNS that shows it.
func (c *Certificates) leadsAnywhere(name string, k acme.Kind) look {
	if k == acme.DNS01 {
		return look{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looked[name]
}

// leadsHere is whether a name leads to this machine, and nowhere else.
func (c *Certificates) leadsHere(name string, own []netip.Addr) look {
	c.mu.Lock()
	l := c.looked[name]
	c.mu.Unlock()
	for _, a := range l.addrs {
		if !slices.Contains(own, a) {
			l.why = "it leads to " + a.String() + ", which is not this server"
			break
		}
	}
	return l
}

// lookFor asks the DNS for names, some at a time; what it said is good for lookAgain.
func (c *Certificates) lookFor(ctx context.Context, names []string) error {
	r, err := c.o.Resolver()
	if err != nil {
		return err
	}
	c.mu.Lock()
	for name := range c.looked { // What nobody asks for any more goes.
		if c.now().Sub(c.looked[name].at) > 2*lookAgain {
			delete(c.looked, name)
		}
	}
	due := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return c.now().Sub(c.looked[name].at) < lookAgain || strings.HasPrefix(name, "*.")
	})
	c.mu.Unlock()
	var g sync.WaitGroup
	next := make(chan string)
	for range min(lookers, len(due)) {
		g.Go(func() {
			for name := range next {
				l := ask(ctx, r, name)
				l.at = c.now()
				c.mu.Lock()
				c.looked[name] = l
				c.mu.Unlock()
			}
		})
	}
	for _, name := range due {
		if ctx.Err() != nil {
			break
		}
		next <- name
	}
	close(next)
	g.Wait()
	return ctx.Err()
}

// ask asks the DNS for a name.
func ask(ctx context.Context, r Resolver, name string) (l look) {
	n, err := dns.ParseName(name)
	if err != nil {
		return look{why: "it is no name of a host"}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	answer, err := r.Addresses(ctx, n)
	var fault *dns.Error
	switch {
	case err == nil:
		for _, a := range answer.Records {
			l.addrs = append(l.addrs, a.Unmap())
		}
	case errors.As(err, &fault) && fault.Failure.NotFound():
		l.why = "it is not in the DNS"
	default:
		l.trouble, l.why = true, "the DNS does not answer for it"
	}
	return l
}

// note writes what is wanted, if that is not what the rows say, and forgets certificates
// whose domain is gone.
func (c *Certificates) note(ctx context.Context, fence int64, had []row, list []wanted) error {
	var news []wanted
	for _, w := range list {
		i := slices.IndexFunc(had, func(r row) bool { return r.name == w.name })
		if i < 0 || !slices.Equal(had[i].wanted, w.names) || !slices.Equal(had[i].leftOut, w.leftOut) {
			news = append(news, w)
		}
	}
	var gone []string
	for _, r := range had {
		if !slices.ContainsFunc(list, func(w wanted) bool { return w.name == r.name }) {
			gone = append(gone, r.name)
		}
	}
	if len(news)+len(gone) == 0 {
		return nil
	}
	return c.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, fence); err != nil {
			return err
		}
		for _, w := range news {
			insertRow(tx, w)
		}
		for _, name := range gone {
			removeRow(tx, name)
		}
		return nil
	})
}
