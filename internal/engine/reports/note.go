package reports

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/world/sqldb"
)

// Limits of what is noted: strangers choose domains and addresses. Those of TLS are
// lower, as its tuples are longer: a policy is in each.
const (
	MaxPending    = 50_000    // tuples in memory; what comes beyond is not counted
	MaxTuples     = 20_000    // of one day and domain; messages of others are only counted
	MaxDomains    = 100_000   // of one day; others get no report
	MaxDayTuples  = 2_000_000 // of one day and all domains
	MaxTLSPending = 5000
	MaxTLSTuples  = 1000
	MaxTLSDay     = 200_000
)

// noteLimits are the limits of a kind.
type noteLimits struct{ pending, tuples, domains, day int64 }

func (k Kind) limits() noteLimits {
	if k == TLS {
		return noteLimits{MaxTLSPending, MaxTLSTuples, MaxDomains, MaxTLSDay}
	}
	return noteLimits{MaxPending, MaxTuples, MaxDomains, MaxDayTuples}
}

// Observation is a message that was judged.
type Observation struct {
	At           time.Time
	Source       netip.Addr
	From         mail.Domain // the author's
	EnvelopeFrom mail.Domain // "" for a null sender
	Verdict      dmarc.Verdict
	// Done is what was done: None, Quarantine or Reject. Reasons say why, if that is
	// not what the policy says.
	Done    dmarcreport.Disposition
	Reasons []dmarcreport.Reason
	SPF     dmarcreport.Sender
	DKIM    []dmarcreport.Signature
	To      []mail.Address // for whom it was
}

// Note counts a message for the reports of the day, if the author's domain wants any.
// It is quick: nothing is written yet.
func (r *Reports) Note(_ context.Context, o Observation) {
	v := o.Verdict
	if !r.settings.Load().Send || v.Record == nil || len(v.Record.Aggregate) == 0 || v.Result != dmarc.Pass && v.Result != dmarc.Fail ||
		!o.Source.IsValid() || slices.ContainsFunc(o.To, r.IsAddress) {
		return
	}
	domain, ok := v.Domain.Domain()
	if !ok {
		return
	}
	tuple, err := json.Marshal(o.tuple(domain))
	if err != nil {
		return // Not with these fields.
	}
	k := tupleKey{dayKey{DMARC, dayOf(o.At), domain}, sha256.Sum256(tuple)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.add(k, &counted{tuple: tuple}, v.Record)
}

// tuple is what a record of a report says of the message, for one.
func (o Observation) tuple(policy mail.Domain) dmarcreport.Record {
	v := o.Verdict
	rec := dmarcreport.Record{Source: o.Source.Unmap().WithZone(""), Disposition: o.Done, DKIM: v.DKIM, SPF: v.SPF, Reasons: o.Reasons,
		From: o.From, EnvelopeFrom: o.EnvelopeFrom, Sender: o.SPF, Signatures: foremost(o.DKIM, o.From)}
	published := v.Record.Policy
	if policy != o.From {
		published = v.Record.Subdomains
	}
	if v.Result == dmarc.Pass {
		if rec.Disposition == dmarcreport.None && published != dmarc.NoPolicy {
			rec.Disposition = dmarcreport.Pass
		}
		return rec
	}
	// RFC 9990 §3.1.1.9: there is a reason if what was done is not what the policy says.
	if len(rec.Reasons) == 0 && rec.Disposition.String() != v.Published.String() {
		why := "local_policy"
		if v.Record.Test && rec.Disposition.String() == v.Policy.String() {
			why = "policy_test_mode"
		}
		rec.Reasons = []dmarcreport.Reason{{Type: why}}
	}
	return rec
}

// maxSignatures is how many signatures of a message are told of: a stranger chooses how
// many there are, and each set of them is a tuple.
const maxSignatures = 10

// foremost are the signatures that are told of, in the order of RFC 9990 §3.1.3.
func foremost(all []dmarcreport.Signature, author mail.Domain) []dmarcreport.Signature {
	rank := func(s dmarcreport.Signature) int {
		switch {
		case s.Result == "pass" && s.Domain == author:
			return 0
		case s.Result == "pass" && (isBelow(s.Domain, author) || isBelow(author, s.Domain)):
			return 1
		case s.Result == "pass":
			return 2
		}
		return 3
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b dmarcreport.Signature) int { return cmp.Compare(rank(a), rank(b)) })
	return all[:min(len(all), maxSignatures)]
}

// dayOf is the day of a moment, in UTC.
func dayOf(t time.Time) int64 { return t.Unix() / secondsOfDay }

// dayKey is a row of reports_day.
type dayKey struct {
	kind   Kind
	day    int64
	domain mail.Domain
}

// tupleKey is a row of reports_seen.
type tupleKey struct {
	dayKey
	hash [sha256.Size]byte
}

// compare orders tuples by kind, day, domain and hash.
func (k tupleKey) compare(other tupleKey) int {
	return cmp.Or(cmp.Compare(k.kind, other.kind), cmp.Compare(k.day, other.day), cmp.Compare(k.domain, other.domain), bytes.Compare(k.hash[:], other.hash[:]))
}

// pending is what was noted and is not written.
type pending struct {
	tuples   map[tupleKey]*counted
	policies map[dayKey]*dmarc.Record // the last one seen of each; nil of TLS
	size     map[Kind]int64           // of tuples
	dropped  map[Kind]int64           // messages and sessions beyond the limit
}

type counted struct {
	tuple    []byte
	coarse   []byte // what counts in its place where there are too many; nil for none
	messages int64
}

func newPending() pending {
	return pending{tuples: map[tupleKey]*counted{}, policies: map[dayKey]*dmarc.Record{}, size: map[Kind]int64{}, dropped: map[Kind]int64{}}
}

// add counts one more of a tuple, which is one if it was not seen yet.
func (p *pending) add(k tupleKey, one *counted, policy *dmarc.Record) {
	c := p.tuples[k]
	if c == nil {
		if p.size[k.kind] >= k.kind.limits().pending {
			p.dropped[k.kind]++
			return
		}
		c = one
		p.tuples[k] = c
		p.size[k.kind]++
	}
	c.messages++
	p.policies[k.dayKey] = policy
}

// flushSlice is how many tuples one transaction writes.
const flushSlice = 256

// Flush writes what was noted. What cannot be written now stays in memory.
func (r *Reports) Flush(ctx context.Context) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	p := r.pending
	r.pending = newPending()
	r.mu.Unlock()
	if n := p.dropped[DMARC]; n > 0 {
		r.o.Log.Warn("messages are missing in the DMARC reports of today: too many different ones came at a time", "messages", n)
	}
	if n := p.dropped[TLS]; n > 0 {
		r.o.Log.Warn("sessions are missing in the TLS reports of today: too many different ones ended at a time", "sessions", n)
	}
	keys := slices.SortedFunc(maps.Keys(p.tuples), tupleKey.compare)
	op := r.o.DB.Slices()
	for batch := range slices.Chunk(keys, flushSlice) {
		if err := op.Write(ctx, func(tx *sqldb.Tx) error { return r.write(tx, batch, &p) }); err != nil {
			r.putBack(p)
			return err
		}
		for _, k := range batch {
			delete(p.tuples, k)
			p.size[k.kind]--
		}
	}
	return nil
}

// putBack takes what was not written for pending again.
func (r *Reports) putBack(p pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, c := range p.tuples {
		if now := r.pending.tuples[k]; now != nil {
			now.messages += c.messages
		} else if r.pending.size[k.kind] < k.kind.limits().pending {
			r.pending.tuples[k] = c
			r.pending.size[k.kind]++
			if r.pending.policies[k.dayKey] == nil {
				r.pending.policies[k.dayKey] = p.policies[k.dayKey]
			}
		}
	}
}

// write writes tuples, which are in order: all that is to be known of their days is
// asked for at once, in that order, so that nobody waits for who waits for it.
func (r *Reports) write(tx *sqldb.Tx, batch []tupleKey, p *pending) error {
	var days []*openDay
	for at := 0; at < len(batch); {
		d := &openDay{dayKey: batch[at].dayKey}
		for at < len(batch) && batch[at].dayKey == d.dayKey {
			d.keys, at = append(d.keys, batch[at]), at+1
		}
		d.lock(tx)
		d.asked = tx.Ask(`SELECT tuples, done FROM reports_day WHERE kind = $1 AND day = $2 AND domain = $3`, d.kind, d.day, d.domain)
		days = append(days, d)
	}
	made := map[Kind]*dayCount{DMARC: {}, TLS: {}}
	for _, d := range days {
		if err := r.open(tx, d, p, made[d.kind]); err != nil {
			return err
		}
	}
	for _, d := range days {
		if err := r.count(tx, d); err != nil {
			return err
		}
	}
	return nil
}

// openDay is tuples of one day and domain that are being written.
type openDay struct {
	dayKey
	keys     []tupleKey
	asked    *sqldb.Answer // for the row of the day
	policy   []byte
	tuples   []*sqldb.Answer // for the messages of each; none if the day is closed
	messages []int64         // that were put to each
}

// lock keeps others from a day and domain until the transaction ends.
func (k dayKey) lock(tx *sqldb.Tx) {
	tx.Lock(sqldb.Name, "report day", string(k.kind), k.day, string(k.domain))
}

// open makes the row of a day if there is none, and puts the tuples to it. The day
// stays closed if it was long over, or is one too many; made counts what was made.
func (r *Reports) open(tx *sqldb.Tx, d *openDay, p *pending, made *dayCount) (err error) {
	if policy := p.policies[d.dayKey]; policy != nil {
		if d.policy, err = json.Marshal(policyOf(policy)); err != nil {
			return err
		}
	}
	day, err := r.dayCount(tx, d.dayKey)
	if err != nil {
		return err
	}
	limits := d.kind.limits()
	var known, done int64
	switch err := d.asked.Scan(&known, &done); {
	case err == sqldb.ErrNoRows:
		if day.domains+made.domains >= limits.domains {
			return nil
		}
		if err := r.newDay(tx, d, day); err != nil {
			return err
		}
		made.domains++
	case err != nil || done > 0:
		return err
	}
	for _, k := range d.keys {
		c := p.tuples[k]
		d.messages = append(d.messages, c.messages)
		hash, tuple, over := k.hash, c.tuple, max(known/limits.tuples, day.tuples/limits.day) // A batch more does no harm.
		if over == 1 && c.coarse != nil {
			hash, tuple, over = sha256.Sum256(c.coarse), c.coarse, 0
		}
		if over > 0 {
			d.tuples = append(d.tuples, tx.Ask(`UPDATE reports_seen SET messages = messages + $5 WHERE kind = $1 AND day = $2 AND domain = $3 AND hash = $4
				RETURNING messages`, d.kind, d.day, d.domain, hash[:], c.messages))
			continue
		}
		d.tuples = append(d.tuples, tx.Ask(`INSERT INTO reports_seen (kind, day, domain, hash, tuple, messages) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (kind, day, domain, hash) DO UPDATE SET messages = reports_seen.messages + excluded.messages RETURNING messages`,
			d.kind, d.day, d.domain, hash[:], string(tuple), c.messages))
	}
	return nil
}

// count adds to the row of the day what was put to it.
func (r *Reports) count(tx *sqldb.Tx, d *openDay) error {
	if len(d.tuples) == 0 {
		return nil
	}
	var messages, leftOut, added int64
	for i, n := range d.messages {
		var now int64
		switch err := d.tuples[i].Scan(&now); {
		case err == sqldb.ErrNoRows:
			leftOut += n
		case err != nil:
			return err
		case now == n:
			added++
		}
		messages += n
	}
	tx.Do(`UPDATE reports_day SET policy = $4, tuples = tuples + $5, messages = messages + $6, left_out = left_out + $7
		WHERE kind = $1 AND day = $2 AND domain = $3`, d.kind, d.day, d.domain, string(d.policy), added, messages, leftOut)
	day := r.days[d.kind]
	tx.OnCommit(func() { day.tuples += added })
	return nil
}

// dayCount is how many rows a day has of a kind, about. It belongs to who has
// Reports.flushing.
type dayCount struct {
	day             int64
	domains, tuples int64
}

// dayCount is that of a day, which is remembered.
func (r *Reports) dayCount(tx *sqldb.Tx, k dayKey) (*dayCount, error) {
	c := r.days[k.kind]
	if c.day == k.day {
		return c, nil
	}
	found := dayCount{day: k.day}
	err := tx.QueryRow(`SELECT count(*), coalesce(sum(tuples), 0) FROM reports_day WHERE kind = $1 AND day = $2`, k.kind, k.day).Scan(&found.domains, &found.tuples)
	if err == nil {
		*c = found
	}
	return c, err
}

// newDay makes the row of a day and domain, and draws when the report is to be made.
func (r *Reports) newDay(tx *sqldb.Tx, d *openDay, of *dayCount) error {
	_, err := tx.Exec(`INSERT INTO reports_day (kind, day, domain, policy, tuples, messages, left_out, due, tries, done, outcome)
		VALUES ($1, $2, $3, $4, 0, 0, 0, $5, 0, 0, '')`, d.kind, d.day, d.domain, string(d.policy), r.drawDue(d.day))
	tx.OnCommit(func() { of.domains++ })
	return err
}

// policyOf is a policy as a report tells it, with where the reports go.
func policyOf(p *dmarc.Record) policyRow {
	row := policyRow{P: p.Policy.String(), SP: p.Subdomains.String(), NP: p.Nonexistent.String(), DKIM: "r", SPF: "r", Testing: "n", To: p.Aggregate}
	if p.StrictDKIM {
		row.DKIM = "s"
	}
	if p.StrictSPF {
		row.SPF = "s"
	}
	if p.Test {
		row.Testing = "y"
	}
	return row
}

// policyRow is reports_day.policy.
type policyRow struct {
	P, SP, NP, DKIM, SPF, Testing string
	To                            []string // URIs
}
