package reports

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/world/sqldb"
)

// Limits of what is kept.
const (
	MaxRows     = 2000   // different records of one report, those with most messages; the others' are only counted
	maxDistinct = 50_000 // of them in memory
)

// row is what is kept of a record: what of it helps to say what is to be done.
// Records that differ in nothing else are one.
type row struct {
	source      string
	author      mail.Domain
	disposition dmarcreport.Disposition
	dkim, spf   bool
	reason      string
	sender      dmarcreport.Sender    // without Human
	signature   dmarcreport.Signature // the one that says most, without Human
}

// received is what a report says of one domain, as it is kept.
type received struct {
	kind          Kind
	domain        mail.Domain // that it is about
	org, number   string      // who reports, and the number that it gave
	contact       string
	begin, end    time.Time
	policy, fault string
	ours          mail.Domain // the domain of ours that it is about, or that is above
	reporter      mail.Domain // who is authenticated; "" if nobody is
	messages      int64       // or sessions
	records       records
	room          room // what bound it met
	kept          bool // it was not there before
}

// records are those of a report, the ones first that are kept rather than others.
type records interface {
	size() int64
	beyond(n int64) int64                // messages of all but the first n
	write(tx *sqldb.Tx, report, n int64) // the first n
}

// readDMARC reads a document as a DMARC report.
func (r *Reports) readDMARC(ctx context.Context, document io.Reader) ([]*received, error) {
	found := &dmarcRows{counts: map[row]int64{}}
	report, err := dmarcreport.Parse(document, func(rec *dmarcreport.Record) error {
		found.add(rec)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	found.choose()
	g := &received{kind: DMARC, domain: report.Published.Domain, org: report.Organization, number: report.ID, contact: report.Contact,
		begin: report.Begin, end: report.End, policy: policyText(report.Published), fault: report.Error, messages: found.all, records: found}
	g.ours, err = r.oursAbove(ctx, g.domain)
	return []*received{g}, err
}

// dmarcRows are records of a DMARC report, with their messages.
type dmarcRows struct {
	list   []row
	counts map[row]int64
	all    int64 // messages, of those that are not in the list too
	left   int64 // of them, in records that are not in the list
}

// add counts a record in.
func (g *dmarcRows) add(rec *dmarcreport.Record) {
	w := row{source: rec.Source.String(), author: rec.From, disposition: rec.Disposition, dkim: rec.DKIM, spf: rec.SPF,
		sender: rec.Sender, signature: mainSignature(rec)}
	w.sender.Human, w.signature.Human = "", ""
	if len(rec.Reasons) > 0 {
		w.reason = rec.Reasons[0].Type
	}
	g.all += rec.Count
	if _, known := g.counts[w]; !known {
		if len(g.list) == maxDistinct {
			g.left += rec.Count
			return
		}
		g.list = append(g.list, w)
	}
	g.counts[w] += rec.Count
}

// choose leaves the rows that are kept, those with most messages.
func (g *dmarcRows) choose() {
	slices.SortStableFunc(g.list, func(a, b row) int { return cmp.Compare(g.counts[b], g.counts[a]) })
	g.left = g.beyond(MaxRows)
	g.list = g.list[:min(len(g.list), MaxRows)]
}

func (g *dmarcRows) size() int64 { return int64(len(g.list)) }

func (g *dmarcRows) beyond(n int64) int64 {
	left := g.left
	for _, w := range g.list[min(int64(len(g.list)), n):] {
		left += g.counts[w]
	}
	return left
}

func (g *dmarcRows) write(tx *sqldb.Tx, report, n int64) {
	for i, w := range g.list[:n] {
		tx.Do(`INSERT INTO reports_row (report, n, source, author, disposition, dkim, spf, reason, spf_domain, spf_result,
			dkim_domain, dkim_selector, dkim_result, messages) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			report, i, w.source, w.author, int(w.disposition), w.dkim, w.spf, w.reason, w.sender.Domain, w.sender.Result,
			w.signature.Domain, w.signature.Selector, w.signature.Result, g.counts[w])
	}
}

// mainSignature is the signature that tells most of where mail is from: one of the
// author's domain that passes, one that passes, one of the author's, any.
func mainSignature(rec *dmarcreport.Record) (best dmarcreport.Signature) {
	most := 0
	for _, s := range rec.Signatures {
		value := 1
		if s.Result == "pass" {
			value += 2
		}
		if isBelow(s.Domain, rec.From) || isBelow(rec.From, s.Domain) {
			value++
		}
		if value > most {
			best, most = s, value
		}
	}
	return best
}

// isBelow reports whether d is a domain or one below it.
func isBelow(d, of mail.Domain) bool {
	return of != "" && (d == of || strings.HasSuffix(string(d), "."+string(of)))
}

// keep writes the report, unless it is there already, with as many records as there is
// room for. g.room says afterwards what bound it met, and g.kept whether it was written.
func (g *received) keep(tx *sqldb.Tx, arrived int64) error {
	g.room, g.kept = room{}, false
	var known int64
	err := tx.QueryRow(`SELECT count(*) FROM reports_received WHERE kind = $1 AND domain = $2 AND org = $3 AND number = $4`,
		g.kind, g.domain, g.org, g.number).Scan(&known)
	if err != nil || known > 0 {
		return err
	}
	room, err := roomFor(tx, g.kind, g.ours, g.reporter, arrived)
	if err != nil {
		return err
	}
	n := min(g.records.size(), room.rows)
	if n == g.records.size() || room.noReport.max > 0 {
		room.noRows = bound{}
	}
	if g.room = room; room.noReport.max > 0 {
		return nil
	}
	id, kept, err := tx.InsertNew(`INSERT INTO reports_received (kind, domain, org, number, contact, begins, ends, arrived, policy, fault, messages, left_out,
			ours, reporter, newcomer, kept)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (kind, domain, org, number) DO NOTHING`,
		g.kind, g.domain, g.org, g.number, g.contact, g.begin.Unix(), g.end.Unix(), arrived, g.policy, g.fault, g.messages, g.records.beyond(n),
		g.ours, g.reporter, room.newcomer, n)
	if err != nil || !kept {
		return err
	}
	g.kept = true
	g.records.write(tx, id, n)
	return nil
}

// policyText is a policy in the words of its record.
func policyText(p dmarcreport.Published) string {
	text := "p=" + p.P
	for _, tag := range []struct{ name, value, without string }{
		{"sp", p.SP, p.P}, {"np", p.NP, ""}, {"adkim", p.DKIM, "r"}, {"aspf", p.SPF, "r"}, {"pct", p.Percent, "100"}, {"t", p.Testing, "n"},
	} {
		if tag.value != "" && tag.value != tag.without {
			text += fmt.Sprintf("; %s=%s", tag.name, tag.value)
		}
	}
	return text
}
