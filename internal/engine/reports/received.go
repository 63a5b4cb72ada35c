package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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

// received is a report as it is kept.
type received struct {
	ours     mail.Domain // that it is about, or that is above
	reporter mail.Domain // who is authenticated; "" if nobody is
	room     room
	report   dmarcreport.Report
	messages int64
	leftOut  int64
	rows     []row
	counts   map[row]int64
}

func newReceived() *received { return &received{counts: map[row]int64{}} }

// add counts a record in.
func (g *received) add(rec *dmarcreport.Record) {
	w := row{source: rec.Source.String(), author: rec.From, disposition: rec.Disposition, dkim: rec.DKIM, spf: rec.SPF,
		sender: rec.Sender, signature: mainSignature(rec)}
	w.sender.Human, w.signature.Human = "", ""
	if len(rec.Reasons) > 0 {
		w.reason = rec.Reasons[0].Type
	}
	g.messages += rec.Count
	if _, known := g.counts[w]; !known {
		if len(g.rows) == maxDistinct {
			g.leftOut += rec.Count
			return
		}
		g.rows = append(g.rows, w)
	}
	g.counts[w] += rec.Count
}

// choose leaves the rows that are kept, those with most messages.
func (g *received) choose() {
	slices.SortStableFunc(g.rows, func(a, b row) int { return cmp.Compare(g.counts[b], g.counts[a]) })
	kept := g.first(MaxRows)
	g.leftOut = g.messages - g.messagesOf(kept)
	g.rows = kept
}

func (g *received) first(n int64) []row { return g.rows[:min(int64(len(g.rows)), n)] }

func (g *received) messagesOf(rows []row) (n int64) {
	for _, w := range rows {
		n += g.counts[w]
	}
	return n
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

// keep writes the report, unless it is there already, with as many rows as there is
// room for. g.room says afterwards what bound it met.
func (g *received) keep(tx *sqldb.Tx, arrived int64) (kept bool, err error) {
	r := g.report
	g.room = room{}
	var known int64
	err = tx.QueryRow(`SELECT count(*) FROM reports_received WHERE domain = $1 AND org = $2 AND number = $3`, r.Published.Domain, r.Organization, r.ID).Scan(&known)
	if err != nil || known > 0 {
		return false, err
	}
	room, err := roomFor(tx, g.ours, g.reporter, arrived)
	if err != nil {
		return false, err
	}
	rows := g.first(room.rows)
	if len(rows) == len(g.rows) || room.noReport.max > 0 {
		room.noRows = bound{}
	}
	g.room = room
	if room.noReport.max > 0 {
		return false, nil
	}
	id, kept, err := tx.InsertNew(`INSERT INTO reports_received (domain, org, number, contact, begins, ends, arrived, policy, fault, messages, left_out,
			ours, reporter, newcomer, kept)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (domain, org, number) DO NOTHING`,
		r.Published.Domain, r.Organization, r.ID, r.Contact, r.Begin.Unix(), r.End.Unix(), arrived, policyText(r.Published), r.Error, g.messages,
		g.messages-g.messagesOf(rows), g.ours, g.reporter, room.newcomer, len(rows))
	if err != nil || !kept {
		return false, err
	}
	for n, w := range rows {
		tx.Do(`INSERT INTO reports_row (report, n, source, author, disposition, dkim, spf, reason, spf_domain, spf_result,
			dkim_domain, dkim_selector, dkim_result, messages) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			id, n, w.source, w.author, int(w.disposition), w.dkim, w.spf, w.reason, w.sender.Domain, w.sender.Result,
			w.signature.Domain, w.signature.Selector, w.signature.Result, g.counts[w])
	}
	return true, nil
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
