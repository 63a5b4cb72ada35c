package zone

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// State is what became of a record.
type State uint8

// The states.
const (
	Right State = iota
	Missing
	Wrong
	Unknown // it could not be found out
)

var stateNames = [...]string{"right", "missing", "wrong", "unknown"}

func (s State) String() string { return stateNames[s] }

// Finding is what a check found of the records of one name and type, or of something else
// that mail stands on.
type Finding struct {
	Kind  Kind
	Name  dns.Name
	Type  dns.Type
	Need  Need
	State State
	There []string         // what is there, at most MaxShown
	Want  []dns.ZoneRecord // what is to be written, unless it is right
	// Fault says what is wrong, and Advice what could be better although it is right: a
	// sentence each, for people; strangers' words are in There alone.
	Fault, Advice string
	Note          string // of the record that is wanted
	// Servers is what the name servers of the zone say, where they differ.
	Servers []Said
}

// Said is what a name server says.
type Said struct {
	Server  string // name and address
	Records []string
	Fault   string // why it says nothing
}

// Checked is what there is of what a domain should have.
type Checked struct {
	Wanted
	Findings []Finding
}

// OK reports whether all that is needed is right. What a machine cannot see of itself from
// inside does not count.
func (c Checked) OK() bool {
	return !slices.ContainsFunc(c.Findings, func(f Finding) bool {
		return f.Need == Needed && f.State != Right && (f.State != Unknown || f.Kind != TLS)
	})
}

// Check compares what there is with what there should be. It asks the name server with
// that address and port, or for "" those that are configured; see the package comment.
// Errors: those of Wanted, and Invalid if server is no address.
func (z *Zone) Check(ctx context.Context, d mail.Domain, server string) (Checked, error) {
	names, err := z.o.Resolvers.Ask(server)
	if err != nil {
		return Checked{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, CheckTime)
	defer cancel()
	w, err := z.wanted(ctx, d, names)
	if err != nil {
		return Checked{}, err
	}
	c := &check{Zone: z, ctx: ctx, names: names, w: w, led: map[dns.Name]func() (bool, string){}, looks: map[netip.Addr]func() Seen{}}
	for _, a := range w.Addresses {
		c.looks[a] = sync.OnceValue(func() Seen { return z.o.Hosts.Look(ctx, a, dns.Name(w.Host)) })
	}
	groups := w.groups()
	var tasks []func() []Finding
	for _, g := range groups {
		tasks = append(tasks, func() []Finding { return []Finding{c.judge(g)} })
	}
	if len(w.Addresses) == 0 {
		tasks = append(tasks, c.noAddress)
	}
	tasks = append(tasks, c.hosts, c.policyAsFetched, c.dnssec, func() []Finding { return c.servers(groups) })
	found := make([][]Finding, len(tasks))
	each(atATime, tasks, func(i int, task func() []Finding) { found[i] = task() })
	all := Checked{Wanted: w, Findings: slices.Concat(found...)}
	slices.SortStableFunc(all.Findings, func(a, b Finding) int { return int(a.Need) - int(b.Need) })
	return all, nil
}

// each does something with all of a list, n at a time, and returns when it is done.
func each[T any](n int, list []T, do func(i int, one T)) {
	var g sync.WaitGroup
	slots := make(chan struct{}, n)
	for i, one := range list {
		slots <- struct{}{}
		g.Go(func() {
			defer func() { <-slots }()
			do(i, one)
		})
	}
	g.Wait()
}

// check is one check.
type check struct {
	*Zone
	ctx   context.Context
	names Names
	w     Wanted
	looks map[netip.Addr]func() Seen // at the host's addresses, once each

	mu  sync.Mutex
	led map[dns.Name]func() (bool, string)
}

// group are the records that are wanted of one kind, name and type.
type group struct {
	kind    Kind
	name    dns.Name
	kindOf  dns.Type
	records []Record
}

func (w Wanted) groups() (list []group) {
	for _, r := range w.Records {
		i := slices.IndexFunc(list, func(g group) bool { return g.kind == r.Kind && g.name == r.Name && g.kindOf == r.Type })
		if i < 0 {
			i = len(list)
			list = append(list, group{kind: r.Kind, name: r.Name, kindOf: r.Type})
		}
		list[i].records = append(list[i].records, r)
	}
	return list
}

// need is that of the record that matters most.
func (g group) need() Need {
	need := Optional
	for _, r := range g.records {
		need = min(need, r.Need)
	}
	return need
}

func (g group) values() (list []string) {
	for _, r := range g.records {
		list = append(list, r.Value)
	}
	return list
}

// mine are those of the records at a name and of a type that are of the group's kind:
// others may use TXT at the same name for what they like.
func (g group) mine(records []string) []string {
	version := map[Kind]string{SPF: "v=spf1", SPFHost: "v=spf1", DMARC: "v=DMARC1", DMARCConsent: "v=DMARC1", STS: "v=STSv1", TLSRPT: "v=TLSRPTv1"}[g.kind]
	if version == "" {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(s string) bool {
		return len(s) < len(version) || !strings.EqualFold(s[:len(version)], version)
	})
}

// got is what a lookup came to.
type got struct {
	records   []string // of the kind
	authentic bool
	fault     string // why nothing is known; "" if it is known what there is
}

func (c *check) get(g group) got {
	a, err := c.names.Records(c.ctx, g.name, g.kindOf)
	if err != nil && !dns.FailureOf(err).NotFound() {
		return got{fault: failure(err)}
	}
	return got{records: g.mine(a.Records), authentic: a.Authentic}
}

// finding begins a finding about a group: that it is right.
func (g group) finding(there []string) Finding {
	f := Finding{Kind: g.kind, Name: g.name, Type: g.kindOf, Need: g.need(), Note: g.records[0].Note}
	for _, r := range g.records {
		f.Want = append(f.Want, r.ZoneRecord)
	}
	f.show(there)
	return f
}

// show has the finding tell what is there, within bounds.
func (f *Finding) show(there []string) {
	f.There = nil
	for _, t := range there[:min(len(there), MaxShown)] {
		if len(t) > MaxText {
			t = t[:MaxText] + "..."
		}
		f.There = append(f.There, t)
	}
}

// be is the end of a finding.
func (f Finding) be(s State, format string, values ...any) Finding {
	f.State = s
	f.Fault = fmt.Sprintf(format, values...)
	if s == Unknown {
		f.Want = nil
	}
	return f
}

// right is the end of one that is; advice may be "".
func (f Finding) right(advice string) Finding {
	f.State, f.Advice, f.Want = Right, advice, nil
	return f
}

// judge compares what there is with a group of records that are wanted.
func (c *check) judge(g group) Finding {
	switch g.kind {
	case MX:
		return c.exchangers(g)
	case Reverse:
		return c.reverse(g)
	case SPF, SPFHost:
		return c.spf(g)
	case STSHost, Autoconfig, Autodiscover:
		if g.kindOf == dns.TypeCNAME {
			return c.leadsHere(g)
		}
	}
	got := c.get(g)
	f := g.finding(got.records)
	switch {
	case got.fault != "":
		return f.be(Unknown, "%s", got.fault)
	case g.kind == CAA:
		return c.caa(f, g, got)
	case g.kind == TLSA:
		return c.tlsa(f, g, got)
	case g.kind == DMARC:
		return c.dmarc(f, g, got)
	case len(got.records) == 0:
		return f.be(Missing, "")
	}
	switch g.kind {
	case DKIM:
		return c.key(f, g, got)
	case STS:
		return c.sts(f, got)
	case TLSRPT:
		return c.tlsrpt(f, g, got)
	case DMARCConsent:
		return f.right("")
	case Address:
		return c.address(f, g, got)
	}
	return c.same(f, g, got)
}

// same compares the records as they are.
func (c *check) same(f Finding, g group, got got) Finding {
	want := g.values()
	switch missing, extra := without(want, got.records), without(got.records, want); {
	case len(missing) > 0 && len(extra) == 0:
		return f.be(Missing, "")
	case len(missing)+len(extra) > 0:
		return f.be(Wrong, "it is not as it should be")
	}
	return f.right("")
}

// without are the texts of one list that are not in another.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

// ours reports whether an address is one of this server.
func (c *check) ours(a netip.Addr) bool { return slices.Contains(c.w.Addresses, a.Unmap()) }

// leads reports whether a host is this server, by its name or an address; if that cannot
// be known, fault says why.
func (c *check) leads(host dns.Name) (here bool, fault string) {
	if host == dns.Name(c.w.Host) {
		return true, ""
	}
	c.mu.Lock()
	find, ok := c.led[host]
	if !ok {
		find = sync.OnceValues(func() (bool, string) {
			a, err := c.names.Addresses(c.ctx, host)
			if err != nil {
				return false, failure(err)
			}
			return slices.ContainsFunc(a.Records, c.ours), ""
		})
		c.led[host] = find
	}
	c.mu.Unlock()
	return find()
}

func texts[T fmt.Stringer](list []T) (all []string) {
	for _, one := range list {
		all = append(all, one.String())
	}
	return all
}
