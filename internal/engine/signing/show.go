package signing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Listed is a key as a domain has it: its own, or one of the zone's.
type Listed struct {
	Key
	Signs bool   // mail of the domain is signed with it
	Note  string // why it does not, or what it waits for; "" if there is nothing to say
}

// DomainKeys is what a domain signs with.
type DomainKeys struct {
	Domain mail.Domain
	Keys   []Listed
	// Unsigned says why mail of the domain leaves without a signature; "" if it is
	// signed.
	Unsigned string
}

// Domains lists what all domains sign with, by name. The DNS is not asked.
func (s *Signing) Domains(ctx context.Context) ([]DomainKeys, error) {
	names, err := s.o.Directory.Names(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]DomainKeys, 0, len(names))
	for _, d := range names {
		one, err := s.Domain(ctx, d)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// Domain says what one domain signs with. NotFound if it is none of ours.
func (s *Signing) Domain(ctx context.Context, d mail.Domain) (one DomainKeys, err error) {
	if err := s.needs(ctx, d); err != nil {
		return one, err
	}
	p := s.policyNow()
	h, err := s.read(ctx, Owner{Name: d}, p)
	if err != nil {
		return one, err
	}
	one.Domain = d
	signing := signersOf(h)
	for _, list := range [][]known{h.shared, h.own} {
		for _, k := range list {
			l := Listed{Key: k.Key}
			l.Signs = !p.Off && slices.ContainsFunc(signing, func(o known) bool { return o.ID == k.ID })
			l.Note = s.noteOf(k, l.Signs)
			one.Keys = append(one.Keys, l)
		}
	}
	one.Unsigned = unsigned(h, p, len(signing) > 0)
	return one, nil
}

func (s *Signing) needs(ctx context.Context, d mail.Domain) error {
	local, err := s.o.Directory.IsLocal(ctx, d)
	if err == nil && !local {
		err = mail.Errorf(mail.NotFound, "there is no domain %s here", d)
	}
	return err
}

// noteOf says of a key what its state does not.
func (s *Signing) noteOf(k known, signs bool) string {
	if k.broken {
		_, err := s.open(k.Key)
		return fmt.Sprintf("cannot be opened: %v", err)
	}
	missing := "its record is not in the DNS"
	if k.Owner.Zone {
		missing = "its record is not found by way of the CNAME"
	}
	if k.note != "" {
		missing += ": " + k.note
	}
	switch {
	case k.State == New && k.Owner.Zone && k.seen.IsZero():
		return "the zone has no record of it yet"
	case k.State <= Active && k.asked.IsZero():
		return "its record was not looked for yet"
	case k.State <= Active && k.seen.IsZero():
		return missing
	case k.State == Active && !k.missed.IsZero():
		return missing + "; it signs no more if that stays so"
	case k.State == Active && !signs:
		return "another key signs"
	case k.State == Published:
		return "signs from " + k.seen.Add(Settle).Format(time.DateTime) + " UTC"
	case k.State == Retired:
		return "keep its record until it is revoked"
	case k.State == Revoked:
		return "publish that it is revoked"
	}
	return ""
}

// unsigned says why nothing is signed.
func unsigned(h holding, p Policy, signs bool) string {
	all := append(slices.Clone(h.own), h.shared...)
	switch {
	case p.Off:
		return "signing is switched off in the configuration"
	case signs:
		return ""
	case len(all) == 0:
		return "it has no keys yet"
	case slices.ContainsFunc(all, func(k known) bool { return k.State == Active && k.broken }):
		return "its keys cannot be opened"
	case p.Zone != "":
		return "its CNAME records, or the records of the zone, are not in the DNS"
	}
	return "the records of its keys are not in the DNS"
}

// Prepare makes the keys of a domain that has none, unless keys are not wanted.
func (s *Signing) Prepare(ctx context.Context, d mail.Domain) error {
	p := s.policyNow()
	if p.Off {
		return nil
	}
	_, err := s.tending(p, tending{}).tend(ctx, ownerFor(d, p))
	s.forget()
	return err
}

// Rotate makes new keys for a domain, or for the zone that it signs with, and returns
// them: they sign once their records are in the DNS. Keys that cannot be opened are
// retired. Errors: NotFound; Conflict if new keys wait already; Unavailable if nothing
// can be sealed.
func (s *Signing) Rotate(ctx context.Context, d mail.Domain) ([]Key, error) {
	if err := s.needs(ctx, d); err != nil {
		return nil, err
	}
	p := s.policyNow()
	if err := s.sealable(); err != nil {
		return nil, err
	}
	o := ownerFor(d, p)
	made, err := s.tending(p, tending{asked: true}).tend(ctx, o)
	if err != nil || len(made) > 0 {
		return made, err
	}
	if o.Zone {
		return nil, mail.Errorf(mail.Conflict, "the zone %s has no selector free: new keys wait for their records, or mail may be under way "+
			"that was signed with the ones before (%s after they were replaced)", o.Name, p.Keep)
	}
	return nil, mail.Errorf(mail.Conflict, "%s has new keys already; they sign once their records are in the DNS: yubin dkim show-dns %s prints them", d, d)
}

// ownerFor is whose new keys a domain signs with.
func ownerFor(d mail.Domain, p Policy) Owner {
	if p.Zone != "" {
		return Owner{p.Zone, true}
	}
	return Owner{Name: d}
}

func (s *Signing) tending(p Policy, t tending) *tending {
	t.Signing, t.p = s, p
	return &t
}

// Record is a record that is to be in the DNS.
type Record struct {
	Name  string // without the dot at the end
	Type  dns.Type
	Text  string // of TXT; of CNAME the target
	Key   Key    // zero of a CNAME whose selector has no key yet
	Zone  bool   // it is one of the zone of the site, not of the domain
	Found bool   // it is there
	Note  string // what is wrong, if it is not
}

// Records says which records a domain needs, those of the zone that it points to
// after its own, and whether they are in the DNS now. Keys are made if there are
// none, and what is found counts at once.
func (s *Signing) Records(ctx context.Context, d mail.Domain) ([]Record, error) {
	if err := s.needs(ctx, d); err != nil {
		return nil, err
	}
	p := s.policyNow()
	r, err := s.o.Resolver()
	if err != nil {
		return nil, err
	}
	list, err := s.list(ctx, d, p, tending{r: r, all: true})
	for i := range list {
		rec := &list[i]
		if rec.Type == dns.TypeCNAME {
			rec.Found, rec.Note = isAlias(ctx, r, rec.Name, rec.Text)
			continue
		}
		a := ask(ctx, r, rec.Key, rec.Name)
		rec.Found, rec.Note = a.found, a.note
	}
	return list, err
}

// Wanted is Records without asking the DNS: Found and Note say nothing. There are none
// while signing is switched off.
func (s *Signing) Wanted(ctx context.Context, d mail.Domain) ([]Record, error) {
	p := s.policyNow()
	if err := s.needs(ctx, d); err != nil || p.Off {
		return nil, err
	}
	return s.list(ctx, d, p, tending{})
}

// list looks after the keys that a domain signs with, and lists their records.
func (s *Signing) list(ctx context.Context, d mail.Domain, p Policy, t tending) (list []Record, err error) {
	owners := []Owner{{Name: d}}
	if p.Zone != "" {
		owners = []Owner{{p.Zone, true}, {Name: d}}
	}
	for _, o := range owners {
		if _, err := s.tending(p, t).tend(ctx, o); err != nil {
			return nil, err
		}
	}
	h, err := s.read(ctx, Owner{Name: d}, p)
	if err != nil {
		return nil, err
	}
	if p.Zone != "" {
		list = aliases(d, p, h)
	}
	for _, keys := range [][]known{h.own, h.shared} {
		for _, k := range keys {
			list = append(list, Record{Name: k.nameAt(k.Owner.at()), Type: dns.TypeTXT, Text: k.Record(), Key: k.Key, Zone: k.Owner.Zone})
		}
	}
	return list, nil
}

// aliases are the CNAME records of a domain.
func aliases(d mail.Domain, p Policy, h holding) (list []Record) {
	for _, a := range Algorithms {
		for _, selector := range slots(a) {
			rec := Record{Name: selector + "._domainkey." + string(d), Type: dns.TypeCNAME, Text: selector + "." + string(p.Zone)}
			if i := slices.IndexFunc(h.shared, func(k known) bool { return k.Selector == selector }); i >= 0 {
				rec.Key = h.shared[i].Key
			}
			list = append(list, rec)
		}
	}
	return list
}

// isAlias reports whether a name is an alias of another.
func isAlias(ctx context.Context, r Resolver, name, target string) (found bool, note string) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	n, err := dns.ParseName(name)
	if err != nil {
		return false, "the name is too long for the DNS"
	}
	got, err := r.CNAME(ctx, n)
	switch {
	case err != nil:
		return false, dns.FailureOf(err).String()
	case string(got.Records[0]) != target:
		return false, "it points to " + got.Records[0].String()
	}
	return true, ""
}

// Check verifies the rows.
func (s *Signing) Check(ctx context.Context, report func(problem string)) error {
	return s.db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(selectKey + ` ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		active := map[string]bool{}
		for rows.Next() {
			k, err := scanKey(rows)
			if err != nil {
				report("signing: " + err.Error())
				continue
			}
			name := fmt.Sprintf("signing: key %s of %s", k.Selector, k.Owner.Name)
			if (k.sealed == nil) != (k.State >= Retired) {
				report(name + " is " + k.State.String() + ", and its private key is not as that wants it")
			}
			at := fmt.Sprint(k.Owner, k.Algorithm)
			if k.State == Active && active[at] {
				report(name + " is not the only active one")
			}
			active[at] = active[at] || k.State == Active
			if k.State < Retired {
				if _, err := s.open(k); mail.KindOf(err) == mail.Internal && err != nil {
					report(name + ": " + err.Error())
				}
			}
		}
		return rows.Err()
	})
}
