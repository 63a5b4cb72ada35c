package judge

import (
	"context"
	"fmt"
	"math"
	"slices"

	"yubin/internal/engine/dnslist"
	"yubin/internal/mail"
)

// Lists asks lists in the DNS: *dnslist.Lists.
type Lists interface {
	Ask(ctx context.Context, subjects ...dnslist.Subject) dnslist.Findings
}

// askLists asks about subjects, beside all else; nil if nobody is to be asked.
func (c *Case) askLists(subjects ...dnslist.Subject) {
	if c.j.o.Lists != nil && len(subjects) > 0 {
		c.lists = append(c.lists, ask(c, func(ctx context.Context) dnslist.Findings { return c.j.o.Lists.Ask(ctx, subjects...) }))
	}
}

// listedAtMail are what is asked at MAIL.
func (c *Case) listedAtMail() (all []dnslist.Subject) {
	if !c.client.Remote.IsValid() {
		return nil
	}
	all = append(all, dnslist.Subject{About: dnslist.Client, Addr: c.client.Remote.Unmap()})
	if !c.sender.IsNull() {
		all = append(all, dnslist.Subject{About: dnslist.Sender, Domain: c.sender.Domain})
	}
	if d, err := mail.ParseDomain(c.client.Hello); err == nil && !d.IsLiteral() {
		all = append(all, dnslist.Subject{About: dnslist.Sender, Domain: dnslist.Registrable(d)})
	}
	return all
}

// listedAuthors are what is asked when the header is there.
func listedAuthors(domains []mail.Domain) (all []dnslist.Subject) {
	for _, d := range domains {
		all = append(all, dnslist.Subject{About: dnslist.Sender, Domain: d})
	}
	return all
}

// listedLinks are what is asked when the message is complete.
func listedLinks(f *Facts) []dnslist.Subject {
	var hosts []string
	for _, l := range f.Content.Links {
		if l.Host != "" {
			hosts = append(hosts, l.Host)
		}
	}
	return dnslist.OfLinks(hosts)
}

// hearLists waits for what the lists say.
func (c *Case) hearLists(f *Facts) {
	for _, a := range c.lists {
		found := a.get()
		f.Lists = append(f.Lists, found.Found...)
		for _, name := range found.Unknown {
			if u := "what the list " + name + " says (it did not answer)"; !slices.Contains(f.Unknown, u) {
				f.Unknown = append(f.Unknown, u)
			}
		}
	}
}

// listed gives a reason for each list that has something of the message: that which
// weighs most. Several entries of one list are one reason.
func listed(f *Facts) (reasons []Reason) {
	heaviest := map[string]dnslist.Finding{}
	for _, x := range f.Lists {
		if old, ok := heaviest[x.List]; !ok || math.Abs(x.Weight) > math.Abs(old.Weight) {
			heaviest[x.List] = x
		}
	}
	for _, x := range f.Lists {
		if h, ok := heaviest[x.List]; ok && h == x {
			delete(heaviest, x.List)
			reasons = append(reasons, Reason{Name: "list-" + x.List, Weight: x.Weight,
				Text: fmt.Sprintf("the list %s has the %s %s: %s", printable(x.List), x.Subject.About, printable(x.Subject.String()), printable(x.Meaning))})
		}
	}
	return reasons
}
