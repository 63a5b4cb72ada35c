package reports

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/world/sqldb"
)

// Limits of what is kept of a report about TLS.
const (
	MaxTLSRows    = 500 // records about one domain, those with most sessions; the others' sessions are only counted
	MaxTLSDomains = 20  // domains of ours that one report is about; others are passed over
	maxTLSAsked   = 100 // domains of one report that are looked at
)

// tlsRow is what is kept of a record: sessions under a policy, or those of them that failed
// alike.
type tlsRow struct {
	policy, result, host, reason string
	sessions, failed             int64
}

// tlsRows are what a report says of one domain.
type tlsRows struct {
	ours     mail.Domain // see received
	policies []string    // by their names
	sessions int64
	list     []tlsRow // of whole policies first
	left     int64    // sessions that failed, of those not in the list
}

// readTLS reads a document as a report about TLS. The error is Forbidden if it is about no
// domain of ours.
func (r *Reports) readTLS(ctx context.Context, document io.Reader) ([]*received, error) {
	report, err := tlsrpt.Parse(document)
	if err != nil {
		return nil, err
	}
	var all []*received
	var notOurs error
	of := map[mail.Domain]*tlsRows{} // nil of one that is not ours
	for _, p := range report.Policies {
		rows, asked := of[p.Domain]
		if !asked && len(of) < maxTLSAsked && len(all) < MaxTLSDomains {
			ours, err := r.oursAbove(ctx, p.Domain)
			switch {
			case mail.KindOf(err) == mail.Forbidden && err != nil:
				notOurs = err
			case err != nil:
				return nil, err
			default:
				rows = &tlsRows{ours: ours}
				all = append(all, &received{kind: TLS, domain: p.Domain, org: report.Organization, number: report.ID, contact: report.Contact,
					begin: report.Begin, end: report.End, records: rows})
			}
			of[p.Domain] = rows
		}
		if rows != nil {
			rows.add(p)
		}
	}
	if len(all) == 0 {
		return nil, notOurs
	}
	for _, g := range all {
		rows := of[g.domain]
		rows.choose()
		g.ours, g.policy, g.messages = rows.ours, strings.Join(rows.policies, ", "), rows.sessions
	}
	return all, nil
}

// add counts in what sessions under a policy came to.
func (g *tlsRows) add(p tlsrpt.PolicyResult) {
	policy, all := policyName(p.Policy), p.Successful+p.Failed
	if !slices.Contains(g.policies, policy) {
		g.policies = append(g.policies, policy)
	}
	g.sessions += all
	g.list = append(g.list, tlsRow{policy: policy, sessions: all, failed: p.Failed})
	for _, f := range p.Failures {
		g.list = append(g.list, tlsRow{policy: policy, result: or(string(f.Result), string(tlsrpt.ValidationFailure)), host: hostName(f.Failure),
			reason: f.ReasonCode, sessions: f.Sessions, failed: f.Sessions})
	}
}

// policyName is a policy in two words: its type, and the mode of MTA-STS.
func policyName(p tlsrpt.Policy) string {
	if p.Type == tlsrpt.STS {
		for _, line := range p.Strings {
			switch name, value, _ := strings.Cut(line, ":"); {
			case strings.TrimSpace(name) != "mode":
			case slices.Contains([]string{"enforce", "testing", "none"}, strings.TrimSpace(value)):
				return p.Type.String() + " " + strings.TrimSpace(value)
			}
		}
	}
	return p.Type.String()
}

// hostName is the host that a session was with, as far as it is told.
func hostName(f tlsrpt.Failure) string {
	switch {
	case f.MXHostname != "":
		return strings.ToLower(strings.TrimSuffix(f.MXHostname, "."))
	case f.ReceivingIP.IsValid():
		return f.ReceivingIP.String()
	}
	return strings.ToLower(f.HELO)
}

// choose adds up what is alike, and leaves what is kept.
func (g *tlsRows) choose() {
	type key struct{ policy, result, host, reason string }
	at := map[key]int{}
	var list []tlsRow
	for _, w := range g.list {
		k := key{w.policy, w.result, w.host, w.reason}
		i, known := at[k]
		if !known {
			at[k], list = len(list), append(list, w)
			continue
		}
		list[i].sessions += w.sessions
		list[i].failed += w.failed
	}
	slices.SortStableFunc(list, func(a, b tlsRow) int {
		return cmp.Or(cmp.Compare(min(len(a.result), 1), min(len(b.result), 1)), cmp.Compare(b.sessions, a.sessions))
	})
	g.list = list
	g.left = g.beyond(MaxTLSRows)
	g.list = list[:min(len(list), MaxTLSRows)]
}

func (g *tlsRows) size() int64 { return int64(len(g.list)) }

func (g *tlsRows) beyond(n int64) int64 {
	left := g.left
	for _, w := range g.list[min(int64(len(g.list)), n):] {
		left += w.failed
	}
	return left
}

func (g *tlsRows) write(tx *sqldb.Tx, report, n int64) {
	for i, w := range g.list[:n] {
		tx.Do(`INSERT INTO reports_tls (report, n, policy, result, host, reason, sessions, failed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			report, i, w.policy, w.result, w.host, w.reason, w.sessions, w.failed)
	}
}
