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
	policy            policyRow
	messages, leftOut int64
	tries             int
	lease             int64 // the due time that we gave it
}

// SendDue makes and sends all reports that are due, one after another. One that fails
// waits for its next turn; the error is one of the database.
func (r *Reports) SendDue(ctx context.Context) error {
	for ctx.Err() == nil && r.settings.Load().Send {
		t, found, err := r.take(ctx)
		if err != nil || !found {
			return err
		}
		if err := r.send(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// take takes up what is due for the longest time, and keeps others from it for a
// while.
func (r *Reports) take(ctx context.Context) (t taken, found bool, err error) {
	now := r.o.Now()
	for {
		var due int64
		var policy string
		t = taken{lease: now.Add(leaseTime).Unix()}
		err := r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT day, domain, policy, messages, left_out, tries, due FROM reports_day WHERE due > 0 AND due <= $1 ORDER BY due LIMIT 1`,
				now.Unix()).Scan(&t.day, &t.domain, &policy, &t.messages, &t.leftOut, &t.tries, &due)
		})
		if err == sqldb.ErrNoRows {
			return t, false, nil
		}
		if err != nil {
			return t, false, err
		}
		var n int64
		err = r.o.DB.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE reports_day SET due = $4, tries = tries + 1 WHERE day = $1 AND domain = $2 AND due = $3`,
				t.day, t.domain, due, t.lease)
			return err
		})
		if err != nil {
			return t, false, err
		}
		if n == 1 {
			if json.Unmarshal([]byte(policy), &t.policy) == nil {
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

// send makes and sends one report. The error is one of the database.
func (r *Reports) send(ctx context.Context, t taken) error {
	if dayOf(r.o.Now())-t.day > maxLate {
		return r.giveUp(ctx, t, "too late: the server was away")
	}
	to, refused, err := r.destinations(ctx, t)
	switch {
	case err != nil && t.tries+1 >= maxTries:
		return r.giveUp(ctx, t, err.Error())
	case err != nil:
		r.o.Log.Info("a DMARC report waits", "domain", t.domain, "why", err.Error())
		return nil
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
	e := intake.Envelope{Item: spool.Item{Arrived: r.o.Now(), MessageID: l.MessageID(), Outgoing: mail.Outgoing{Priority: priority}}, Ours: true}
	p, err := r.o.Intake.Plan(ctx, m, e, to)
	if err != nil {
		return err
	}
	outcome := "sent to " + addresses(l.To)
	if len(refused) > 0 {
		outcome += "; " + strings.Join(refused, "; ")
	}
	_, err = r.o.Intake.Commit(ctx, p, func(tx *sqldb.Tx, _ intake.Receipt) error { return r.end(tx, t, outcome) })
	switch {
	case errors.Is(err, errGone):
		return nil
	case err != nil && isTemporary(err):
		return err
	case err != nil: // Nobody of them can have it.
		return r.giveUp(ctx, t, err.Error())
	}
	r.o.Log.Info("DMARC report sent", "domain", t.domain, "to", addresses(l.To), "messages", t.messages)
	return r.forgetSeen(ctx, t)
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

// end marks a report as done. It fails if it was.
func (r *Reports) end(tx *sqldb.Tx, t taken, outcome string) error {
	n, err := tx.Exec(`UPDATE reports_day SET due = 0, done = $3, outcome = $4 WHERE day = $1 AND domain = $2 AND done = 0`,
		t.day, t.domain, r.o.Now().Unix(), outcome)
	if err == nil && n == 0 {
		err = errGone
	}
	return err
}

// giveUp ends a report that nobody gets.
func (r *Reports) giveUp(ctx context.Context, t taken, why string) error {
	err := r.o.DB.Write(ctx, func(tx *sqldb.Tx) error { return r.end(tx, t, "not sent: "+why) })
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	r.o.Log.Info("DMARC report not sent", "domain", t.domain, "why", why)
	return r.forgetSeen(ctx, t)
}

// forgetSeen removes what a report was made of. What a crash leaves of it the sweep
// removes.
func (r *Reports) forgetSeen(ctx context.Context, t taken) error {
	return r.slices(ctx, func(tx *sqldb.Tx) (bool, error) { return forget(tx, t.day, string(t.domain)) })
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

// records reads what was seen; failed is why not all of it was.
func (r *Reports) records(ctx context.Context, t taken, failed *error) iter.Seq[dmarcreport.Record] {
	return func(yield func(dmarcreport.Record) bool) {
		last := []byte{}
		for n := recordPage; n == recordPage; {
			var page []dmarcreport.Record
			*failed = r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
				page, n = nil, 0
				rows, err := tx.Query(`SELECT hash, tuple, messages FROM reports_seen WHERE day = $1 AND domain = $2 AND hash > $3 ORDER BY hash LIMIT $4`,
					t.day, t.domain, last, recordPage)
				if err != nil {
					return err
				}
				defer rows.Close()
				at := last
				for ; rows.Next(); n++ {
					var tuple string
					var rec dmarcreport.Record
					var messages int64
					if err := rows.Scan(&at, &tuple, &messages); err != nil {
						return err
					}
					if json.Unmarshal([]byte(tuple), &rec) != nil || !rec.Source.IsValid() {
						continue // A damaged row is no reason to send nothing.
					}
					rec.Count = messages
					page = append(page, rec)
				}
				last = at
				return rows.Err()
			})
			if *failed != nil {
				return
			}
			for _, rec := range page {
				if !yield(rec) {
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
