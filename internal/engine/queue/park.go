package queue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// putOff makes what is due of keys wait for the next turn of its schedule
// without an attempt, because its site is down. What thereby expires fails.
func (q *Queue) putOff(ctx context.Context, keys []key) error {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(a.item, b.item) }) // As they are locked.
	for len(keys) > 0 {
		n := min(len(keys), bulkSlice/4)
		if err := q.putOffSlice(context.WithoutCancel(ctx), keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (q *Queue) putOffSlice(ctx context.Context, keys []key) error {
	now := q.o.Now()
	var over, late []job
	parked := 0
	var soonest time.Time
	frozen := q.newFrozen()
	defer frozen.thaw()
	err := q.db.Write(ctx, func(tx *sqldb.Tx) error {
		over, late, parked, soonest = nil, nil, 0, time.Time{}
		for _, k := range keys {
			if !frozen.freeze(k) {
				continue
			}
			j := job{errand: &errand{key: k}}
			q.o.Spool.Lock(tx, k.item)
			all, err := deliveries(tx, `WHERE d.item = $1 AND d.site = $2 AND d.state = $3 AND d.due <= $4 LIMIT $5`,
				k.item, k.site, Waiting, millis(now), jobRecipients)
			rows, bad := q.readable(all)
			if err == nil && len(rows) > 0 {
				if j.item, err = q.o.Spool.Item(tx, k.item); q.aside.Takes(err) {
					rows, bad, err = nil, all, nil
				}
			}
			if err == nil {
				err = q.setAside(tx, bad, now)
			}
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				continue
			}
			due := q.putOffRows(tx, &j, rows, now)
			if soonest.IsZero() || !due.IsZero() && due.Before(soonest) {
				soonest = due
			}
			parked += len(rows) - len(j.refused)
			if len(j.refused) > 0 {
				over = append(over, j)
			} else if q.late(j.item, now) && slices.ContainsFunc(rows, mayBeNoticed) {
				late = append(late, j)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !soonest.IsZero() {
		q.expect(soonest)
	}
	for range parked {
		q.o.Observe(Observation{Kind: ObservedParked})
	}
	for _, j := range over {
		q.settle(ctx, j.item, j.refused)
	}
	for _, j := range late {
		q.notice(ctx, j.item)
	}
	return nil
}

// putOffRows puts off rows of one key. Those that expire are claimed and become
// the job's refused. It returns when the first of the others is due.
func (q *Queue) putOffRows(tx *sqldb.Tx, j *job, rows []Delivery, now time.Time) (soonest time.Time) {
	why := q.siteDown(j.errand.site, now)
	for _, d := range rows {
		if d.Last.At.IsZero() || d.Last.Ours {
			d.Last = why
		}
		if expired(j.item, now) {
			j.refused = append(j.refused, settlement{d: d, over: true})
			q.claimOne(tx, d)
			continue
		}
		due := q.next(j.item, d.Deferrals+1, now)
		if soonest.IsZero() || due.Before(soonest) {
			soonest = due
		}
		tx.Do(`UPDATE queue_delivery SET due = $1, deferrals = deferrals + 1, parked = $7, last = $2,
			lane = CASE lane WHEN $3 THEN $4 ELSE lane END WHERE item = $5 AND n = $6`,
			millis(due), formatRecord(d.Last, false), laneFresh, laneRetry, d.Item, d.N, millis(now))
	}
	return soonest
}

// mayBeNoticed reports whether the sender of d may have to hear of its delay.
func mayBeNoticed(d Delivery) bool { return !d.Noticed && wantsDelay(d.Notify) }

// untried is what is said of an attempt that is not made; why stands in the next line.
const untried = "The mail system of the recipient did not take other mail; this message was not tried."

// Untried says of an attempt that was not made why its site was down, or "" if that is not
// known; ok is false of one that was made.
func Untried(a mail.Attempt) (why string, ok bool) {
	why, ok = strings.CutPrefix(a.Text, untried)
	return strings.TrimPrefix(why, "\n"), ok && a.Ours
}

// siteDown stands for an attempt that is not made because its site is down.
func (q *Queue) siteDown(name string, now time.Time) mail.Attempt {
	a := mail.Attempt{At: now, Phase: mail.PhaseConnect, Enhanced: "4.4.1", Ours: true, Outcome: mail.Deferred,
		Text: untried}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.board.sites[name]; s != nil && s.why.Text != "" {
		a.Text += "\n" + s.why.Text
		a.Host, a.Remote, a.Phase, a.Enhanced = s.why.Host, s.why.Remote, s.why.Phase, s.why.Status()
	}
	return a
}

// unpark makes some of what was put off for the sake of a site due again, now
// that the site is well and has little to do: what waited longest first.
func (q *Queue) unpark(ctx context.Context, now time.Time) error {
	for _, r := range q.releases() {
		var n int64
		err := q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE queue_delivery SET due = $1, parked = 0 WHERE (item, n) IN
				(SELECT item, n FROM queue_delivery WHERE site = $2 AND parked > 0 AND parked <= $3 AND state = $4
				ORDER BY parked LIMIT $5 {free})`, millis(now), r.site.name, millis(r.until), Waiting, siteWindow/2)
			return err
		})
		if err != nil {
			return err
		}
		q.mu.Lock()
		if n < siteWindow/2 && r.site.release.Equal(r.until) {
			r.site.release = time.Time{}
		}
		if n > 0 {
			for l := range lanes {
				q.board.want(r.site, l)
			}
		} else if !r.site.hasMore() {
			q.board.searched(r.site)
		}
		q.mu.Unlock()
		if err := q.refill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// release is a site whose put off mail is made due, as far as it was put off until
// then.
type release struct {
	site  *site
	until time.Time
}

func (q *Queue) releases() (list []release) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s := range q.board.wanting {
		if !s.release.IsZero() && !s.dead && s.queued < siteWindow/2 && !q.pauses.covers(s.name, "") {
			list = append(list, release{s, s.release})
		}
	}
	return list
}
