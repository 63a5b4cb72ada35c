package reports

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/world/sqldb"
)

// Overview is what was reported of one domain, in a line.
type Overview struct {
	Domain         mail.Domain
	Reports        int
	Organizations  int // that reported
	Messages       int64
	Passed         int64 // of them, by SPF or DKIM
	Begin, End     time.Time
	Policy         string // as it stands in the DNS now, or UnknownPolicy, or NoPolicy
	Reported       string // as it was reported last, if that is not the same
	Fault          string // what a reporter said last is wrong with it
	LeftOut        int64  // messages in records that were too many to be kept
	policyReported time.Time
	stops          bool // Policy asks for something to be done
}

// Source is what was reported of one address that sent mail as a domain.
type Source struct {
	Address   netip.Addr
	Messages  int64
	SPF, DKIM int64 // messages with an aligned pass
	Passed    int64 // with one or the other
	Done      map[dmarcreport.Disposition]int64
	Reporters int
	Evidence  Evidence
}

// Evidence is what the reports say about why messages of a source failed: the row
// with most of them.
type Evidence struct {
	Author    mail.Domain // of From
	SPF       dmarcreport.Sender
	Signature dmarcreport.Signature // Result "" if there was none
	Reason    string                // why a policy was not followed
}

// MaxSources is how many sources are told of; they are those with most messages.
const MaxSources = 10_000

// Overviews tells of every domain that was reported of since then, by name. With a
// domain it tells of that one alone. The DNS is asked for their policies.
func (r *Reports) Overviews(ctx context.Context, only mail.Domain, since time.Time) ([]Overview, error) {
	all := map[mail.Domain]*Overview{}
	orgs := map[mail.Domain]map[string]bool{}
	err := each(ctx, r.o.DB, DMARC, only, since, rowsOf, func(rep reported, rows []countedRow) {
		o := all[rep.domain]
		if o == nil {
			o = &Overview{Domain: rep.domain, Begin: rep.begin, End: rep.end}
			all[rep.domain], orgs[rep.domain] = o, map[string]bool{}
		}
		o.Reports++
		orgs[rep.domain][rep.org] = true
		o.Messages += rep.messages
		o.LeftOut += rep.leftOut
		for _, w := range rows {
			if w.spf || w.dkim {
				o.Passed += w.messages
			}
		}
		if rep.begin.Before(o.Begin) {
			o.Begin = rep.begin
		}
		if rep.end.After(o.End) {
			o.End = rep.end
		}
		if !rep.end.Before(o.policyReported) {
			o.policyReported, o.Reported, o.Fault = rep.end, rep.policy, rep.fault
		}
	})
	var list []Overview
	for d, o := range all {
		o.Organizations = len(orgs[d])
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b Overview) int { return cmp.Compare(a.Domain, b.Domain) })
	r.askPolicies(ctx, list)
	return list, err
}

// Sources tells who sent mail as a domain, of all that was reported since then, those
// with most messages first.
func (r *Reports) Sources(ctx context.Context, domain mail.Domain, since time.Time) ([]Source, error) {
	all := map[string]*gathered{}
	err := each(ctx, r.o.DB, DMARC, domain, since, rowsOf, func(rep reported, rows []countedRow) {
		for _, w := range rows {
			g := all[w.source]
			if g == nil {
				addr, err := netip.ParseAddr(w.source)
				if err != nil {
					continue
				}
				g = &gathered{Source: Source{Address: addr, Done: map[dmarcreport.Disposition]int64{}}, orgs: map[string]bool{}, why: map[Evidence]int64{}}
				all[w.source] = g
			}
			g.add(rep.org, w.row, w.messages)
		}
	})
	list := make([]Source, 0, len(all))
	for _, g := range all {
		list = append(list, g.source())
	}
	slices.SortFunc(list, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), a.Address.Compare(b.Address))
	})
	return list[:min(len(list), MaxSources)], err
}

// gathered is a source with what is counted while it is gathered.
type gathered struct {
	Source
	orgs map[string]bool
	why  map[Evidence]int64 // of what failed, at most maxEvidence
}

const maxEvidence = 100

func (g *gathered) add(org string, w row, n int64) {
	g.Messages += n
	g.Done[w.disposition] += n
	if w.spf {
		g.SPF += n
	}
	if w.dkim {
		g.DKIM += n
	}
	g.orgs[org] = true
	if w.spf || w.dkim {
		g.Passed += n
		return
	}
	e := Evidence{w.author, w.sender, w.signature, w.reason}
	if _, known := g.why[e]; known || len(g.why) < maxEvidence {
		g.why[e] += n
	}
}

func (g *gathered) source() Source {
	s, most := g.Source, int64(0)
	s.Reporters = len(g.orgs)
	for e, n := range g.why {
		if n > most || n == most && cmp.Compare(e.SPF.Domain, s.Evidence.SPF.Domain) < 0 {
			s.Evidence, most = e, n
		}
	}
	return s
}

// reported is a row of reports_received.
type reported struct {
	id                 int64
	domain             mail.Domain
	org, policy, fault string
	begin, end         time.Time
	messages, leftOut  int64
}

// each gives every report of a kind and a period that ended after since, with what rowsOf
// reads of it. Reports that come or go meanwhile are in it or not.
func each[R any](ctx context.Context, db *sqldb.DB, kind Kind, domain mail.Domain, since time.Time, rowsOf func(tx *sqldb.Tx, report int64) (R, error),
	visit func(rep reported, rows R)) error {
	for last, more := int64(0), true; more; {
		var list []reported
		var rows []R
		at := last
		err := db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			list, rows, at = nil, nil, last
			if list, err = reportsAfter(tx, kind, last, domain, since); err != nil {
				return err
			}
			more = len(list) == reportPage
			for i, rep := range list {
				if i > 0 && tx.Enough() {
					list, more = list[:i], true
					break
				}
				w, err := rowsOf(tx, rep.id)
				if err != nil {
					return err
				}
				rows, at = append(rows, w), rep.id
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, rep := range list {
			visit(rep, rows[i])
		}
		last = at
	}
	return nil
}

// reportPage is how many reports are read at a time, at most.
const reportPage = 50

func reportsAfter(tx *sqldb.Tx, kind Kind, after int64, domain mail.Domain, since time.Time) (list []reported, err error) {
	rows, err := tx.Query(`SELECT id, domain, org, policy, fault, begins, ends, messages, left_out FROM reports_received
		WHERE id > $1 AND ends >= $2 AND (domain = $3 OR $3 = '') AND kind = $4 ORDER BY id LIMIT $5`, after, since.Unix(), string(domain), kind, reportPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var rep reported
		var begin, end int64
		if err := rows.Scan(&rep.id, &rep.domain, &rep.org, &rep.policy, &rep.fault, &begin, &end, &rep.messages, &rep.leftOut); err != nil {
			return nil, err
		}
		rep.begin, rep.end = time.Unix(begin, 0).UTC(), time.Unix(end, 0).UTC()
		list = append(list, rep)
	}
	return list, rows.Err()
}

// countedRow is a row of reports_row.
type countedRow struct {
	row
	messages int64
}

func rowsOf(tx *sqldb.Tx, report int64) (list []countedRow, err error) {
	rows, err := tx.Query(`SELECT source, author, disposition, dkim, spf, reason, spf_domain, spf_result, dkim_domain, dkim_selector, dkim_result, messages
		FROM reports_row WHERE report = $1 ORDER BY n`, report)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w countedRow
		if err := rows.Scan(&w.source, &w.author, &w.disposition, &w.dkim, &w.spf, &w.reason, &w.sender.Domain, &w.sender.Result,
			&w.signature.Domain, &w.signature.Selector, &w.signature.Result, &w.messages); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// Sent is what became of the report of a day to a domain.
type Sent struct {
	Kind     Kind
	Day      time.Time
	Domain   mail.Domain
	Messages int64     // of TLS: sessions
	Due      time.Time // when it is made; zero if it was
	Outcome  string    // whom it was sent to, or why it was not; "" if it is not made yet
}

// SentReports tells of the reports of the last days, the last day first, at most
// limit. With a domain it tells of those about that one alone. Those about TLS are told
// of once the domain was asked whether it wants any.
func (r *Reports) SentReports(ctx context.Context, only mail.Domain, since time.Time, limit int) (list []Sent, err error) {
	err = r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT kind, day, domain, messages, due, outcome FROM reports_day WHERE day >= $1 AND (domain = $2 OR $2 = '')
			AND (kind = $3 OR tries > 0 OR done > 0) ORDER BY day DESC, domain, kind LIMIT $4`, dayOf(since), string(only), DMARC, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s Sent
			var day, due int64
			if err := rows.Scan(&s.Kind, &day, &s.Domain, &s.Messages, &due, &s.Outcome); err != nil {
				return err
			}
			s.Day = time.Unix(day*secondsOfDay, 0).UTC()
			if due > 0 {
				s.Due = time.Unix(due, 0).UTC()
			}
			list = append(list, s)
		}
		return rows.Err()
	})
	return list, err
}

// Fate is what was done with the messages of a source: those that the policy did
// nothing about, those treated as suspicious, those refused.
func (s Source) Fate() (delivered, junk, refused int64) {
	junk, refused = s.Done[dmarcreport.Quarantine], s.Done[dmarcreport.Reject]
	return s.Messages - junk - refused, junk, refused
}
