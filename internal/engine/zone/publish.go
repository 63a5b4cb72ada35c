package zone

import (
	"context"
	"fmt"
	"slices"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Action is what becomes of a record.
type Action uint8

// The actions.
const (
	Stays     Action = iota // it is there
	Adds                    // it is put there
	Removes                 // it is taken away
	Leaves                  // it is not put there: somebody else's stands in its place
	Elsewhere               // it is in no zone that takes updates
)

var actionNames = [...]string{"stays", "add", "remove", "left", "elsewhere"}

func (a Action) String() string { return actionNames[a] }

// Change is what Publish does with a record, and why, if that is not plain.
type Change struct {
	Action Action
	Kind   Kind
	Record dns.ZoneRecord
	Why    string

	zone dns.Name
	row  row // of what is added
}

// How says how Publish goes about it.
type How struct {
	Replace bool // what others put there gives way
	DryRun  bool // nothing is changed
}

// Publish puts what a domain should have into the zones that take updates, and takes away
// what it put there before and is not wanted any more. With an error, zones that it did
// come to have their part; all of it can be done again. Errors: those of Wanted; Conflict
// if no zone takes updates; Unavailable if the server does not take them.
func (z *Zone) Publish(ctx context.Context, d mail.Domain, how How) ([]Change, error) {
	changes, err := z.plan(ctx, d, how.Replace, func(Kind) bool { return true })
	if err != nil || how.DryRun {
		return changes, err
	}
	return changes, z.apply(ctx, changes)
}

// zoneFor is the zone that takes updates of a name.
func (s Settings) zoneFor(n dns.Name) (zone dns.Name, ok bool) {
	for _, one := range s.Zones {
		if n.Within(one) && (!ok || len(one) > len(zone)) {
			zone, ok = one, true
		}
	}
	return zone, ok
}

// planning is one plan.
type planning struct {
	*check        // asks whom others ask
	at      Names // asks the server that takes updates
	rows    []row
	replace bool
	s       Settings
	changes []Change
}

// plan says what is to become of the records of some kinds.
func (z *Zone) plan(ctx context.Context, d mail.Domain, replace bool, of func(Kind) bool) ([]Change, error) {
	s := z.o.Settings()
	if z.o.Updater == nil || len(s.Zones) == 0 {
		return nil, mail.Errorf(mail.Conflict, "no zone takes updates of this server: say in [dns_update] of the configuration which do, and with which key; "+
			"yubin dns records %s prints what to write by hand", d)
	}
	names, err := z.o.Resolvers.Ask("")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, CheckTime)
	defer cancel()
	p := &planning{replace: replace, s: s, check: &check{Zone: z, ctx: ctx, names: names, led: map[dns.Name]func() (bool, string){}}}
	if p.w, err = z.wanted(ctx, d, names); err != nil {
		return nil, err
	}
	if p.at, err = z.o.Resolvers.At(s.Server); err != nil {
		return nil, err
	}
	if p.rows, err = z.published(ctx, d); err != nil {
		return nil, err
	}
	for _, g := range p.w.groups() {
		if g.kind != Reverse && of(g.kind) {
			if err := p.group(g); err != nil {
				return nil, err
			}
		}
	}
	return p.changes, p.outdated(of)
}

// shows asks the server that takes updates.
func (p *planning) shows(n dns.Name, t dns.Type) ([]string, error) {
	a, err := p.at.Records(p.ctx, n, t)
	if err != nil && !dns.FailureOf(err).NotFound() {
		return nil, &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("the name server %s cannot be asked about %s: %s", p.s.Server, n, failure(err)), Err: err}
	}
	if a.Name != n { // Of the target of an alias.
		return nil, nil
	}
	return a.Records, nil
}

// isOurs reports whether a record was put there by Publish.
func (p *planning) isOurs(r dns.ZoneRecord) bool {
	return slices.ContainsFunc(p.rows, func(o row) bool { return o.is(r) })
}

// alone are the kinds of which others' records beside ours would do harm.
func (k Kind) alone() bool {
	switch k {
	case MX, Address, SPF, SPFHost, DMARC, STS, STSHost, TLSRPT, Service, Autoconfig, Autodiscover:
		return true
	}
	return false
}

// group plans one group.
func (p *planning) group(g group) error {
	zone, ok := p.s.zoneFor(g.name)
	if !ok {
		for _, r := range g.records {
			p.changes = append(p.changes, Change{Action: Elsewhere, Kind: g.kind, Record: r.ZoneRecord, Why: "it is in none of the zones of [dns_update]"})
		}
		return nil
	}
	there, err := p.there(g)
	if err != nil {
		return err
	}
	add := func(a Action, r dns.ZoneRecord, why string) {
		p.changes = append(p.changes, Change{Action: a, Kind: g.kind, Record: r, Why: why, zone: zone})
	}
	var extra []dns.ZoneRecord // that are not wanted
	for _, r := range there {
		if !slices.ContainsFunc(g.records, func(w Record) bool { return row{ZoneRecord: w.ZoneRecord}.is(r) }) {
			extra = append(extra, r)
		}
	}
	foreign := slices.DeleteFunc(slices.Clone(extra), func(r dns.ZoneRecord) bool {
		return p.isOurs(r) || g.kind == DKIM && r.Type == g.kindOf || !g.kind.alone() && r.Type == g.kindOf
	})
	if len(foreign) > 0 && !p.replace {
		if f := p.judge(g); f.State == Right {
			for _, r := range there {
				add(Stays, r, "somebody else wrote it, and it is right")
			}
			return nil
		}
		for _, r := range g.records {
			add(Leaves, r.ZoneRecord, "there is "+listed(values(foreign))+", which this server did not put there; --replace puts this in its place")
		}
		return nil
	}
	for _, r := range extra {
		switch {
		case p.isOurs(r) || g.kind == DKIM:
			add(Removes, r, "it is not wanted any more")
		case slices.Contains(foreign, r):
			add(Removes, r, "this server did not put it there")
		}
	}
	for _, r := range g.records {
		if slices.ContainsFunc(there, func(t dns.ZoneRecord) bool { return row{ZoneRecord: t}.is(r.ZoneRecord) }) {
			add(Stays, r.ZoneRecord, "")
			continue
		}
		add(Adds, r.ZoneRecord, "")
		p.changes[len(p.changes)-1].row = row{ZoneRecord: r.ZoneRecord, kind: g.kind.String(), domain: p.w.scope(r)}
	}
	return nil
}

// there are the records at the name of a group that are of its kind or cannot be beside
// it: an alias stands alone at its name (RFC 1034 §3.6.2).
func (p *planning) there(g group) (list []dns.ZoneRecord, err error) {
	types := []dns.Type{dns.TypeCNAME, g.kindOf}
	if g.kindOf == dns.TypeCNAME {
		types = []dns.Type{dns.TypeCNAME, dns.TypeA, dns.TypeAAAA}
	}
	for _, t := range types {
		texts, err := p.shows(g.name, t)
		if err != nil {
			return nil, err
		}
		if t == g.kindOf {
			texts = g.mine(texts)
		}
		for _, text := range texts {
			list = append(list, dns.ZoneRecord{Name: g.name, Type: t, TTL: TTL, Value: text})
		}
		if t == dns.TypeCNAME && len(texts) > 0 {
			break
		}
	}
	return list, nil
}

func values(list []dns.ZoneRecord) (all []string) {
	for _, r := range list {
		all = append(all, r.Type.String()+" "+r.Data())
	}
	return all
}

// outdated plans the end of what was put there and is not wanted any more.
func (p *planning) outdated(of func(Kind) bool) error {
	for _, r := range p.rows {
		kind := slices.IndexFunc(kinds[:], func(k struct{ name, title, why string }) bool { return k.name == r.kind })
		wanted := slices.ContainsFunc(p.w.Records, func(w Record) bool { return r.is(w.ZoneRecord) })
		planned := slices.ContainsFunc(p.changes, func(c Change) bool { return r.is(c.Record) })
		zone, ok := p.s.zoneFor(r.Name)
		if kind < 0 || !of(Kind(kind)) || p.w.unsure[Kind(kind)] || wanted || planned || !ok {
			continue
		}
		p.changes = append(p.changes, Change{Action: Removes, Kind: Kind(kind), Record: r.ZoneRecord, Why: "it is not wanted any more", zone: zone})
	}
	return nil
}

// apply makes changes, a zone at a time: the rows of what is added before, those of what
// is removed after.
func (z *Zone) apply(ctx context.Context, changes []Change) error {
	var zones []dns.Name
	for _, c := range changes {
		if (c.Action == Adds || c.Action == Removes) && !slices.Contains(zones, c.zone) {
			zones = append(zones, c.zone)
		}
	}
	for _, zone := range zones {
		var add, remove []dns.ZoneRecord
		var meant []row
		for _, c := range changes {
			switch {
			case c.zone != zone:
			case c.Action == Adds:
				add, meant = append(add, c.Record), append(meant, c.row)
			case c.Action == Removes:
				remove = append(remove, c.Record)
			}
		}
		if err := z.mean(ctx, meant); err != nil {
			return err
		}
		if err := z.o.Updater.Update(ctx, zone, add, remove); err != nil {
			return err
		}
		if err := z.forget(ctx, remove); err != nil {
			return err
		}
	}
	return nil
}
