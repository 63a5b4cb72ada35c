package signing

import (
	"context"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// tending is one round of looking after keys.
type tending struct {
	*Signing
	p     Policy
	r     Resolver // nil: no record is looked for
	fence int64    // 0: somebody asked for it, whoever has the lease
	all   bool     // every record is looked for, due or not
	asked bool     // new keys are wanted
}

// holding is what an owner has: its own keys, and of a domain those of the zone too,
// each with what is known of its record there.
type holding struct {
	own, shared []known
}

// at is the domain at which records are looked for.
func (o Owner) at() mail.Domain {
	if o.Zone {
		return ""
	}
	return o.Name
}

// holding reads what an owner has.
func (s *Signing) holding(tx *sqldb.Tx, o Owner, p Policy) (h holding, err error) {
	sights, err := sightsAt(tx, o.at())
	if err != nil {
		return h, err
	}
	list := func(o Owner) (all []known, err error) {
		keys, err := s.keysOf(tx, o)
		for _, k := range keys {
			n := known{Key: k, sight: sights[k.ID]}
			if k.State < Retired {
				_, err := s.open(k)
				n.broken = err != nil
			}
			all = append(all, n)
		}
		return all, err
	}
	if h.own, err = list(o); err == nil && !o.Zone && p.Zone != "" {
		h.shared, err = list(Owner{p.Zone, true})
	}
	return h, err
}

// read is holding in a transaction of its own.
func (s *Signing) read(ctx context.Context, o Owner, p Policy) (h holding, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		h, err = s.holding(tx, o, p)
		return err
	})
	return h, err
}

// superseded reports whether a domain signs with the zone's keys.
func (h holding) superseded() bool {
	for _, a := range Algorithms {
		if !slices.ContainsFunc(h.shared, func(k known) bool { return k.Algorithm == a && k.signs() }) {
			return false
		}
	}
	return true
}

// plan says what is to become of an owner's keys, and of which algorithms new ones
// are wanted.
func (h holding) plan(o Owner, t *tending, now time.Time) (list []step, wanted []Algorithm) {
	for _, a := range Algorithms {
		keys := slices.DeleteFunc(slices.Clone(h.own), func(k known) bool { return k.Algorithm != a })
		some, want := steps(keys, t.p, now, h.superseded(), t.asked)
		list = append(list, some...)
		if want && (o.Zone || t.p.Zone == "") {
			wanted = append(wanted, a)
		}
	}
	return list, wanted
}

// tend looks for records, takes the steps that are due and makes the keys that are
// wanted. It returns what it made.
func (t *tending) tend(ctx context.Context, o Owner) (made []Key, err error) {
	h, err := t.read(ctx, o, t.p)
	if err != nil {
		return nil, err
	}
	t.warn(h.own...)
	looks := t.look(ctx, h, o)
	list, wanted := h.plan(o, t, t.now())
	if len(looks)+len(list)+len(wanted) == 0 {
		return nil, nil
	}
	err = t.change(ctx, func(tx *sqldb.Tx) error {
		if err := held(tx, t.fence); err != nil {
			return err
		}
		if h, err = t.holding(tx, o, t.p); err != nil {
			return err
		}
		now := t.now()
		h.note(tx, o, looks, now)
		list, wanted = h.plan(o, t, now)
		for _, st := range list {
			t.take(tx, st, now)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.tell(h, list)
	for _, a := range wanted {
		k, err := t.add(ctx, o, a)
		if err != nil {
			return made, err
		}
		if k.ID != 0 {
			made = append(made, k)
			t.o.Log.Info("a key of DKIM was made; it signs once its record is in the DNS: yubin dkim show-dns", "domain", o.Name,
				"selector", k.Selector, "algorithm", k.Algorithm.String())
		}
	}
	return made, nil
}

// look asks the DNS for the records that are due. It is not asked for a zone's key
// at a domain before the zone has it.
func (t *tending) look(ctx context.Context, h holding, o Owner) (looks []look) {
	if t.r == nil {
		return nil
	}
	now := t.now()
	for _, list := range [][]known{h.own, h.shared} {
		for _, k := range list {
			if k.due(now) && (k.Owner == o || k.State > New) || t.all {
				looks = append(looks, look{key: k.Key, name: k.nameAt(o.at())})
			}
		}
	}
	var g sync.WaitGroup
	for i := range looks {
		g.Go(func() { looks[i].what = ask(ctx, t.r, looks[i].key, looks[i].name) })
	}
	g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return looks
}

// note writes what the DNS said, and has it known in h.
func (h holding) note(tx *sqldb.Tx, o Owner, looks []look, now time.Time) {
	for _, list := range [][]known{h.own, h.shared} {
		for i := range list {
			k := &list[i]
			n := slices.IndexFunc(looks, func(l look) bool { return l.key.ID == k.ID && l.key.State == k.State })
			if n >= 0 {
				k.sight = k.sight.noted(looks[n].what, now)
				putSight(tx, o.at(), k.ID, k.sight)
			}
		}
	}
}

// take writes a step.
func (s *Signing) take(tx *sqldb.Tx, st step, now time.Time) {
	switch st.to {
	case 0:
		remove(tx, st.key)
	case Retired:
		tx.Do(`UPDATE signing_key SET state = $2, since = $3, private = NULL WHERE id = $1`, st.key, st.to, millis(now))
	default:
		tx.Do(`UPDATE signing_key SET state = $2, since = $3 WHERE id = $1`, st.key, st.to, millis(now))
	}
}

// tell logs the steps that were taken.
func (s *Signing) tell(h holding, list []step) {
	for _, st := range list {
		i := slices.IndexFunc(h.own, func(k known) bool { return k.ID == st.key })
		if i < 0 || st.to == New {
			continue
		}
		k, word := h.own[i], st.to.String()
		if st.to == 0 {
			word = "forgotten"
		}
		s.o.Log.Info("a key of DKIM is "+word, "domain", k.Owner.Name, "selector", k.Selector, "algorithm", k.Algorithm.String())
	}
}

// add makes a key, if it is wanted still when it is made.
func (t *tending) add(ctx context.Context, o Owner, a Algorithm) (made Key, err error) {
	if err := t.sealable(); err != nil {
		return made, err
	}
	fresh, err := t.make(o, a)
	if err != nil {
		return made, err
	}
	err = t.change(ctx, func(tx *sqldb.Tx) error {
		made = Key{}
		if err := held(tx, t.fence); err != nil {
			return err
		}
		h, err := t.holding(tx, o, t.p)
		if err != nil {
			return err
		}
		if _, wanted := h.plan(o, t, t.now()); !slices.Contains(wanted, a) {
			return nil
		}
		k := fresh
		if k.Selector, err = h.freeSelector(tx, k); err != nil || k.Selector == "" {
			return err
		}
		made, err = t.insert(tx, k)
		return err
	})
	if err != nil {
		return Key{}, err
	}
	return made, nil
}

// freeSelector finds a selector for a new key; "" if those of the zone are both in
// use. One of a key that was revoked is free: the new record takes its place.
func (h holding) freeSelector(tx *sqldb.Tx, k Key) (string, error) {
	user := func(selector string) int {
		return slices.IndexFunc(h.own, func(k known) bool { return k.Selector == selector })
	}
	if k.Owner.Zone {
		for _, selector := range slots(k.Algorithm) {
			i := user(selector)
			if i >= 0 && h.own[i].State != Revoked {
				continue
			}
			if i >= 0 {
				remove(tx, h.own[i].ID)
			}
			return selector, nil
		}
		return "", nil
	}
	for n := range maxOfADay {
		if selector := k.selectorOf(n); user(selector) < 0 {
			return selector, nil
		}
	}
	return "", mail.Errorf(mail.RateLimited, "%s has had %d new keys today; that is enough", k.Owner.Name, maxOfADay)
}

// maxOfADay is how many keys of an algorithm a domain gets in a day.
const maxOfADay = 10

// sealable fails if nothing can be sealed: then no key is made at all. It is told
// once.
func (s *Signing) sealable() error {
	_, err := s.o.Secrets.Seal(purpose, "", nil)
	return err
}

// once reports whether the log has not been told of a matter yet.
func (s *Signing) once(matter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[matter] || len(s.told) >= maxTold {
		return false
	}
	s.told[matter] = true
	return true
}

const maxTold = 1000

// warn tells, once for each reason, of keys that cannot be opened.
func (s *Signing) warn(list ...known) {
	for _, k := range list {
		if !k.broken {
			continue
		}
		if _, err := s.open(k.Key); err != nil && s.once(err.Error()) {
			s.o.Log.Error("mail leaves without a signature, as its key cannot be opened; without the right secrets.key, yubin dkim rotate makes new keys",
				"domain", k.Owner.Name, "selector", k.Selector, obs.Err(err))
		}
	}
}
