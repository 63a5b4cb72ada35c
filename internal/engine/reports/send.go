package reports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/world/sqldb"
)

// When reports are made.
const (
	notBefore = 15 * time.Minute // after the end of the day: what was noted is written by then
	notAfter  = 6 * time.Hour
	leaseTime = 30 * time.Minute // who took up a report has so long for it
	maxTries  = 12               // then it is given up
	maxLate   = 3                // days after which nobody is told any more

	// maxTriesTLS are tries of a report about TLS, each after twice the time: 15 hours in
	// all (RFC 8460 §5.5 has 24).
	maxTriesTLS = 6
	tlsAtOnce   = 4 // reports about TLS that are made and sent at a time
)

// priority is that of a report in the queue: it gives way to what people write.
const priority = -4

// drawDue draws when the report of a day is made.
func (r *Reports) drawDue(day int64) int64 {
	within := float64(notAfter - notBefore)
	return (day+1)*secondsOfDay + int64((notBefore + time.Duration(r.o.Rand()*within)).Seconds())
}

// taken is a report that is being made.
type taken struct {
	dayKey
	policy            policyRow // of DMARC
	messages, leftOut int64
	tries             int   // before this one
	lease             int64 // the due time that we gave it
}

// lease is how long who takes up a report for another time has for it. About TLS that
// grows, for a server that takes reports may be away for longer (RFC 8460 §5.5).
func (k Kind) lease(tries int) time.Duration {
	if k == TLS {
		return leaseTime << tries
	}
	return leaseTime
}

// tries is how often a report is tried.
func (k Kind) tries() int {
	if k == TLS {
		return maxTriesTLS
	}
	return maxTries
}

// SendDue makes and sends all reports that are due. The error is one of the database.
func (r *Reports) SendDue(ctx context.Context) error {
	return errors.Join(r.sendDue(ctx, DMARC), r.sendDue(ctx, TLS))
}

// sendDue makes and sends those of a kind, one after another; of those about TLS, as
// servers may be slow to take them, some at a time. One that fails waits for its next
// turn.
func (r *Reports) sendDue(ctx context.Context, kind Kind) error {
	places, send := 1, r.sendDMARC
	if kind == TLS {
		places, send = tlsAtOnce, r.sendTLS
	}
	var g sync.WaitGroup
	errs := make([]error, places)
	for place := range places {
		g.Go(func() {
			for ctx.Err() == nil && r.settings.Load().Send && errs[place] == nil {
				t, found, err := r.take(ctx, kind)
				if err != nil || !found {
					errs[place] = err
					return
				}
				if dayOf(r.o.Now())-t.day > maxLate {
					errs[place] = r.giveUp(ctx, t, "too late: the server was away")
					continue
				}
				errs[place] = send(ctx, t)
			}
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

// take takes up what is due for the longest time, and keeps others from it for a
// while.
func (r *Reports) take(ctx context.Context, kind Kind) (t taken, found bool, err error) {
	now := r.o.Now()
	for {
		var due int64
		var policy string
		t = taken{dayKey: dayKey{kind: kind}}
		err := r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT day, domain, policy, messages, left_out, tries, due FROM reports_day WHERE kind = $1 AND due > 0 AND due <= $2
				ORDER BY due LIMIT 1`, kind, now.Unix()).Scan(&t.day, &t.domain, &policy, &t.messages, &t.leftOut, &t.tries, &due)
		})
		if err == sqldb.ErrNoRows {
			return t, false, nil
		}
		if err != nil {
			return t, false, err
		}
		t.lease = now.Add(kind.lease(t.tries)).Unix()
		var n int64
		err = r.o.DB.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE reports_day SET due = $5, tries = tries + 1 WHERE kind = $1 AND day = $2 AND domain = $3 AND due = $4`,
				kind, t.day, t.domain, due, t.lease)
			return err
		})
		if err != nil {
			return t, false, err
		}
		if n == 1 {
			if kind != DMARC || json.Unmarshal([]byte(policy), &t.policy) == nil {
				return t, true, nil
			}
			if err := r.giveUp(ctx, t, "the policy in the database cannot be read"); err != nil {
				return t, false, err
			}
		}
	}
}

// errGone is that somebody else made the report.
var errGone = mail.Errorf(mail.Conflict, "the report was made already")

// sendDMARC makes and sends one report. The error is one of the database.
func (r *Reports) sendDMARC(ctx context.Context, t taken) error {
	to, refused, err := r.destinations(ctx, t)
	switch {
	case err != nil:
		return r.wait(ctx, t, err)
	case len(to) == 0:
		return r.giveUp(ctx, t, strings.Join(refused, "; "))
	}
	m := r.o.Intake.Begin()
	defer m.Close()
	l := r.letter(t, to)
	var failed error
	if err := l.Write(m, r.records(ctx, t, &failed)); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	err = r.deliver(ctx, t, m, l.MessageID(), r.o.Hostname, to, outcome(addresses(l.To), refused))
	if err != nil && !isTemporary(err) { // Nobody of them can have it.
		return r.giveUp(ctx, t, err.Error())
	}
	return err
}

// outcome is what became of a report that was sent.
func outcome(to string, refused []string) string {
	return strings.Join(append([]string{"sent to " + to}, refused...), "; ")
}

// deliver mails a report, whose message is complete, and marks it as done in the same
// commit.
func (r *Reports) deliver(ctx context.Context, t taken, m *intake.Message, messageID string, signFor mail.Domain, to []intake.Recipient, outcome string) error {
	e := intake.Envelope{Item: spool.Item{Arrived: r.o.Now(), MessageID: messageID, SignFor: signFor, Outgoing: mail.Outgoing{Priority: priority}}, Ours: true}
	p, err := r.o.Intake.Plan(ctx, m, e, to)
	if err != nil {
		return err
	}
	_, err = r.o.Intake.Commit(ctx, p, func(tx *sqldb.Tx, _ intake.Receipt) error { return r.end(tx, t, outcome) })
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.ended(ctx, t, outcome)
}

func addresses(list []mail.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

func isTemporary(err error) bool {
	switch mail.KindOf(err) {
	case mail.Internal, mail.Unavailable, mail.RateLimited, mail.OverQuota:
		return true
	}
	return false
}

// wait leaves a report that cannot be sent now to the next try, if there is one.
func (r *Reports) wait(ctx context.Context, t taken, why error) error {
	if t.tries+1 >= t.kind.tries() {
		return r.giveUp(ctx, t, why.Error())
	}
	r.o.Log.Info("a "+t.kind.String()+" report waits", "domain", t.domain, "why", why.Error())
	return nil
}

// end marks a report as done. It fails if it was.
func (r *Reports) end(tx *sqldb.Tx, t taken, outcome string) error {
	n, err := tx.Exec(`UPDATE reports_day SET due = 0, done = $4, outcome = $5 WHERE kind = $1 AND day = $2 AND domain = $3 AND done = 0`,
		t.kind, t.day, t.domain, r.o.Now().Unix(), outcome)
	if err == nil && n == 0 {
		err = errGone
	}
	return err
}

// giveUp ends a report that nobody gets.
func (r *Reports) giveUp(ctx context.Context, t taken, why string) error {
	return r.finish(ctx, t, "not sent: "+why)
}

// finish ends a report with what became of it.
func (r *Reports) finish(ctx context.Context, t taken, outcome string) error {
	err := r.o.DB.Write(ctx, func(tx *sqldb.Tx) error { return r.end(tx, t, outcome) })
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	return r.ended(ctx, t, outcome)
}

// ended tells what became of a report, and removes what it was made of. What a crash
// leaves of that the sweep removes.
func (r *Reports) ended(ctx context.Context, t taken, outcome string) error {
	r.o.Log.Info(t.kind.String()+" report to others", "domain", t.domain, "outcome", outcome, "messages", t.messages)
	return r.slices(ctx, func(tx *sqldb.Tx) (bool, error) { return forget(tx, t.dayKey) })
}

// letter is the mail that carries a report.
func (r *Reports) letter(t taken, to []intake.Recipient) *dmarcreport.Letter {
	s := r.settings.Load()
	l := &dmarcreport.Letter{From: r.postmaster(), Receiver: r.o.Hostname, Date: r.o.Now()}
	for _, one := range to {
		l.To = append(l.To, one.Address)
	}
	// The same however often it is made.
	id := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", r.o.Hostname, t.domain, t.day))
	p := t.policy
	l.Report = dmarcreport.Report{
		Organization: s.Organization, Contact: s.Contact.String(), ID: hex.EncodeToString(id[:12]), Generator: strings.TrimSpace("yubin " + r.o.Version),
		Begin: time.Unix(t.day*secondsOfDay, 0).UTC(), End: time.Unix((t.day+1)*secondsOfDay-1, 0).UTC(),
		Published: dmarcreport.Published{Domain: t.domain, P: p.P, SP: p.SP, NP: p.NP, DKIM: p.DKIM, SPF: p.SPF, Testing: p.Testing, Discovery: "treewalk"},
	}
	if t.leftOut > 0 {
		l.Note = fmt.Sprintf("%d more messages fared in too many ways to be listed.", t.leftOut)
	}
	return l
}

// recordPage is how many records are in memory at a time.
const recordPage = 500

// records are those of a report; failed is why there are not all of them.
func (r *Reports) records(ctx context.Context, t taken, failed *error) iter.Seq[dmarcreport.Record] {
	return func(yield func(dmarcreport.Record) bool) {
		for tuple, messages := range r.seen(ctx, t.dayKey, failed) {
			var rec dmarcreport.Record
			if json.Unmarshal([]byte(tuple), &rec) != nil || !rec.Source.IsValid() {
				continue // A damaged row is no reason to send nothing.
			}
			if rec.Count = messages; !yield(rec) {
				return
			}
		}
	}
}

// seen reads what was seen of a domain on a day, a page at a time, and how often; failed
// is why not all of it was.
func (r *Reports) seen(ctx context.Context, k dayKey, failed *error) iter.Seq2[string, int64] {
	type row struct {
		tuple    string
		messages int64
	}
	return func(yield func(string, int64) bool) {
		last := []byte{}
		for n := recordPage; n == recordPage; {
			var page []row
			*failed = r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
				page, n = nil, 0
				rows, err := tx.Query(`SELECT hash, tuple, messages FROM reports_seen WHERE kind = $1 AND day = $2 AND domain = $3 AND hash > $4
					ORDER BY hash LIMIT $5`, k.kind, k.day, k.domain, last, recordPage)
				if err != nil {
					return err
				}
				defer rows.Close()
				at := last
				for ; rows.Next(); n++ {
					var one row
					if err := rows.Scan(&at, &one.tuple, &one.messages); err != nil {
						return err
					}
					page = append(page, one)
				}
				last = at
				return rows.Err()
			})
			if *failed != nil {
				return
			}
			for _, one := range page {
				if !yield(one.tuple, one.messages) {
					return
				}
			}
		}
	}
}

// way finds where mail for a destination goes; why is set if none does.
func (r *Reports) way(ctx context.Context, to mail.Address) (one intake.Recipient, why error, err error) {
	routed, err := r.o.Router.Route(ctx, route.Question{Recipient: to, Ours: true})
	if err != nil && isTemporary(err) {
		return one, nil, err
	}
	return intake.Recipient{Address: to, Route: routed, Notify: mail.NotifyNever}, err, nil
}
