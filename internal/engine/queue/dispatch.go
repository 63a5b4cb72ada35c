package queue

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// job is one errand on its way: its item, and what is to become of its due rows.
type job struct {
	errand  *errand
	item    spool.Item
	due     []Delivery // as read
	hop     Hop
	carry   []Delivery   // for the courier
	refused []settlement // settled without it
	moved   []Delivery   // their site is another one by now
	parked  []Delivery   // their site or route is paused
	more    bool         // there may be more rows than one job takes
	open    mail.Opener  // the message, if it is in memory
}

// dispatch brings errands from the board to their end: it reads their rows,
// asks for their routes, claims them all, and then carries each.
func (q *Queue) dispatch(ctx context.Context, batch []*errand) {
	jobs, err := q.prepare(ctx, batch)
	if err == nil {
		err = q.claim(jobs)
	}
	if err != nil {
		q.o.Log.Warn("deliveries cannot be claimed", "err", err)
		q.sleepJob(ctx, troubleWait)
		for _, e := range batch {
			q.finish(e, finding{}, e)
		}
		return
	}
	for i := range jobs {
		j := &jobs[i]
		q.jobs.Go(func() { q.do(ctx, j) })
	}
}

// sleepJob waits within a job.
func (q *Queue) sleepJob(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// again is what is left of the errand after this job, or nil.
func (j *job) again() *errand {
	if !j.more {
		return nil
	}
	return &errand{key: j.errand.key, lane: j.errand.lane, sender: j.errand.sender}
}

// prepare reads what is due of each errand and finds its way.
func (q *Queue) prepare(ctx context.Context, batch []*errand) ([]job, error) {
	now := q.o.Now()
	jobs := make([]job, len(batch))
	var unread []*job
	for i, e := range batch {
		j := &jobs[i]
		j.errand = e
		if e.fresh != nil {
			e.fresh.take(j)
		}
		if e.fresh == nil || !q.db.OneWriter() { // Who writes beside it may have changed the rows before they were known.
			unread = append(unread, j)
		}
	}
	if err := q.read(ctx, unread, now); err != nil {
		return nil, err
	}
	for i := range jobs {
		q.route(ctx, &jobs[i], now)
	}
	return jobs, nil
}

// read reads what is due of the errands of jobs.
func (q *Queue) read(ctx context.Context, jobs []*job, now time.Time) error {
	if len(jobs) == 0 {
		return nil
	}
	slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(a.errand.item, b.errand.item) })
	var bad []Delivery
	err := q.db.Read(context.WithoutCancel(ctx), func(tx *sqldb.Tx) error {
		bad = nil
		rows, items := make([]*sqldb.Answer, len(jobs)), make([]*sqldb.Answer, len(jobs))
		for i, j := range jobs {
			rows[i] = askDeliveries(tx, `WHERE d.item = $1 AND d.site = $2 AND d.state = $3 AND d.due <= $4 ORDER BY d.n LIMIT $5`,
				j.errand.item, j.errand.site, Waiting, millis(now), jobRecipients)
			items[i] = q.o.Spool.AskItem(tx, j.errand.item)
		}
		for i, j := range jobs {
			all, err := scanDeliveries(rows[i].Rows())
			var unread []Delivery
			j.due, unread = q.readable(all)
			if err == nil && len(j.due) > 0 {
				if j.item, err = q.o.Spool.ScanItem(items[i], j.errand.item); q.aside.Takes(err) {
					j.due, unread, err = nil, all, nil
				}
			}
			if err != nil {
				return err
			}
			bad = append(bad, unread...)
			j.more = len(all) == jobRecipients
		}
		return nil
	})
	if err != nil || len(bad) == 0 {
		return err
	}
	return q.db.Write(context.Background(), func(tx *sqldb.Tx) error { return q.setAside(tx, bad, now) })
}

// route sorts the rows of a job by what is to become of them.
func (q *Queue) route(ctx context.Context, j *job, now time.Time) {
	for _, d := range j.due {
		if returned(j.item, now) {
			j.refused = append(j.refused, ours(d, now, mail.Failed, "5.4.7", "The message could not be delivered in the time that its sender set."))
			continue
		}
		hop, err := q.o.Router.NextHop(ctx, Question{d.Address, j.item.ReversePath, j.item.Account, d.Via})
		if err != nil {
			j.refused = append(j.refused, refusal(d, now, err))
			continue
		}
		site := hop.Site()
		switch paused := q.paused(site, hop.Route); {
		case paused && expired(j.item, now):
			j.refused = append(j.refused, outlasted(d, now))
		case paused:
			d.Site = site
			j.parked = append(j.parked, d)
		case site != d.Site:
			d.Site = site
			j.moved = append(j.moved, d)
		default:
			j.hop = hop
			j.carry = append(j.carry, d)
		}
	}
}

// ours is a settlement that no remote had a part in.
func ours(d Delivery, now time.Time, o mail.Outcome, enhanced, text string) settlement {
	return settlement{d: d, result: mail.Result{Outcome: o, Attempts: []mail.Attempt{{At: now, Phase: mail.PhaseRoute,
		Enhanced: enhanced, Text: text, Ours: true, Outcome: o}}}}
}

// outlasted is the end of a delivery whose site was paused until it was too late.
func outlasted(d Delivery, now time.Time) settlement {
	if d.Last.At.IsZero() {
		d.Last = mail.Attempt{At: now, Phase: mail.PhaseRoute, Enhanced: "4.3.2", Ours: true, Outcome: mail.Deferred,
			Text: "The postmaster has paused mail to this destination."}
	}
	return settlement{d: d, over: true}
}

// refusal is what a Router's error means.
func refusal(d Delivery, now time.Time, err error) settlement {
	switch mail.KindOf(err) {
	case mail.Internal:
		return ours(d, now, mail.Deferred, "4.3.0", "The mail system could not find the way to the recipient.")
	case mail.Unavailable, mail.RateLimited:
		return ours(d, now, mail.Deferred, "4.4.0", err.Error())
	}
	enhanced := "5.4.4"
	var rule *route.Refusal
	if errors.As(err, &rule) {
		enhanced = rule.Enhanced
	}
	return ours(d, now, mail.Failed, enhanced, err.Error())
}

// claim marks the rows of jobs as ours, in one commit. What is not there any
// more as it was read drops out of its job. Who is alone has claimed by being
// busy, see freeze, and only writes what goes elsewhere.
func (q *Queue) claim(jobs []job) error {
	if q.o.Alone && !slices.ContainsFunc(jobs, func(j job) bool { return len(j.moved)+len(j.parked) > 0 }) {
		return nil
	}
	now := q.o.Now()
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.errand.item, b.errand.item) }) // As they are locked.
	var claims []claim
	err := q.db.Write(context.Background(), func(tx *sqldb.Tx) error {
		claims = make([]claim, len(jobs))
		for i := range jobs {
			claims[i] = q.claimJob(tx, &jobs[i], now)
		}
		for i := range jobs {
			if err := claims[i].answered(&jobs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range jobs {
		j := &jobs[i]
		j.carry, j.refused = claims[i].carry, claims[i].refused
		if len(j.parked) > 0 {
			q.scan.dueAt(q.bound(j.item, now.Add(parkTime), now))
		}
		for _, d := range j.moved {
			q.board.addOrMiss(key{d.Item, d.Site}, j.errand.lane, j.errand.sender, now)
		}
	}
	return nil
}

// claim is what of a job can be had: answers first, then what they said.
type claim struct {
	carries, refuses []*sqldb.Answer
	carry            []Delivery
	refused          []settlement
}

// claimJob asks for the rows of a job, and writes what of it goes elsewhere.
func (q *Queue) claimJob(tx *sqldb.Tx, j *job, now time.Time) (c claim) {
	q.o.Spool.Lock(tx, j.errand.item)
	for _, d := range j.carry {
		c.carries = append(c.carries, q.claimOne(tx, d))
	}
	for _, s := range j.refused {
		c.refuses = append(c.refuses, q.claimOne(tx, s.d))
	}
	for _, d := range j.moved {
		tx.Do(`UPDATE queue_delivery SET site = $1 WHERE item = $2 AND n = $3 AND state = $4`, d.Site, d.Item, d.N, Waiting)
	}
	for _, d := range j.parked {
		tx.Do(`UPDATE queue_delivery SET site = $1, parked = $6, due = $2 WHERE item = $3 AND n = $4 AND state = $5`,
			d.Site, millis(q.bound(j.item, now.Add(parkTime), now)), d.Item, d.N, Waiting, millis(now))
	}
	return c
}

// answered keeps what of the job was claimed.
func (c *claim) answered(j *job) error {
	for i, a := range c.carries {
		if ok, err := isClaimed(a); err != nil {
			return err
		} else if ok {
			c.carry = append(c.carry, j.carry[i])
		}
	}
	for i, a := range c.refuses {
		if ok, err := isClaimed(a); err != nil {
			return err
		} else if ok {
			c.refused = append(c.refused, j.refused[i])
		}
	}
	return nil
}

// claimOne marks a row as ours if it is as it was read; there is no answer of who is
// alone.
func (q *Queue) claimOne(tx *sqldb.Tx, d Delivery) *sqldb.Answer {
	if q.o.Alone {
		return nil
	}
	return tx.Ask(`UPDATE queue_delivery SET state = $1, owner = $2 WHERE item = $3 AND n = $4 AND state = $5 AND site = $6 RETURNING n`,
		Active, q.holder(), d.Item, d.N, Waiting, d.Site)
}

func isClaimed(a *sqldb.Answer) (bool, error) {
	if a == nil {
		return true, nil
	}
	err := a.Scan(new(int))
	if err == sqldb.ErrNoRows {
		return false, nil
	}
	return err == nil, err
}

// do carries a claimed job and settles it. A host that answered has room for
// the next message while this one is settled.
func (q *Queue) do(ctx context.Context, j *job) {
	list, f := j.refused, finding{}
	if len(j.carry) > 0 {
		if late := !j.item.DeliverBy.At.IsZero() && q.late(j.item, q.o.Now()); late {
			q.notice(ctx, j.item) // RFC 2852 §4.1.3: whatever becomes of it now, it is late.
		}
		if j.hop.Here {
			list = append(slices.Clone(list), q.fileHere(ctx, j)...)
			f = finding{verdict: alive}
		} else {
			results := q.o.Courier.Carry(ctx, j.hop.NextHop, j.transaction(ctx, q))
			f = findingOf(ctx, results)
			carried := j.settlements(results)
			for i := range carried {
				carried[i].site = f.verdict == down
			}
			list = append(slices.Clone(list), carried...)
		}
	}
	if f.verdict == alive {
		q.answered(j.errand, f)
	}
	if len(list) > 0 {
		q.settle(ctx, j.item, list)
	}
	q.finish(j.errand, f, j.again())
}

// fileHere has a claimed job filed in mailboxes here, and settles it in the same
// commit: held mail is filed once, whatever happens in between. It returns what is
// left to be settled.
func (q *Queue) fileHere(ctx context.Context, j *job) []settlement {
	now := q.o.Now()
	var done []decision
	results, settled := q.o.Filer.File(ctx, j.hop.NextHop, j.item, j.transaction(ctx, q), func(tx *sqldb.Tx, results []mail.Result) error {
		done = done[:0]
		for _, s := range j.settlements(results) {
			done = append(done, q.decide(j.item, s, now))
		}
		q.lock(tx, j.item)
		if err := q.areOurs(tx, done); err != nil { // Who took them over may have filed them, or is about to.
			return err
		}
		reportAt := now.Add(q.o.Schedule.Gather)
		if err := q.apply(tx, j.item, done, now, reportAt); err != nil {
			return err
		}
		if slices.ContainsFunc(done, func(d decision) bool { return d.fate == owed }) {
			tx.OnCommit(func() { q.reportBy(reportAt) })
		}
		return q.conclude(tx, j.item.ID, j.item.Blob, now)
	})
	if !settled {
		return j.settlements(results)
	}
	q.settled(ctx, j.item, done, now)
	return nil
}

// areOurs fails with errChanged unless all rows are still there and ours to settle; it
// keeps others from taking them over until the transaction ends.
func (q *Queue) areOurs(tx *sqldb.Tx, list []decision) error {
	found := make([]*sqldb.Answer, len(list))
	for i, d := range list {
		found[i] = tx.Ask(`UPDATE queue_delivery SET owner = $3 WHERE item = $1 AND n = $2 AND owner = $3 AND state <> $4 RETURNING n`,
			d.d.Item, d.d.N, q.holder(), Owed)
	}
	for _, a := range found {
		if err := a.Scan(new(int)); err == sqldb.ErrNoRows {
			return errChanged
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (j *job) transaction(ctx context.Context, q *Queue) mail.Transaction {
	t := mail.Transaction{Outgoing: j.item.Outgoing, Content: j.open}
	if t.Content == nil {
		t.Content = q.opener(ctx, j.item)
	}
	if q.o.Signer != nil && !j.hop.Kind.Final() { // What is filed here or at the site's own never leaves.
		t.Sign = func(ctx context.Context, content mail.Opener, changed bool) ([]byte, error) {
			return q.o.Signer.Sign(ctx, j.item, content, changed)
		}
	}
	for _, d := range j.carry {
		t.Recipients = append(t.Recipients, d.OutgoingRecipient)
	}
	return t
}

// settlements pairs what was carried with results. Who has none was not tried.
func (j *job) settlements(results []mail.Result) (list []settlement) {
	for i, d := range j.carry {
		s := settlement{d: d, final: j.hop.Kind.Final()}
		if i < len(results) && results[i].Outcome != 0 && len(results[i].Attempts) > 0 {
			s.result = results[i]
		}
		list = append(list, s)
	}
	return list
}

// opener opens the message of an item at its start, again and again.
func (q *Queue) opener(ctx context.Context, it spool.Item) mail.Opener {
	return func() (io.ReadCloser, error) {
		c, err := q.o.Spool.Content(context.WithoutCancel(ctx), it)
		if err != nil {
			return nil, err
		}
		if err := c.Verify(0, c.Size()); err != nil { // Nobody is bothered with half a message.
			return nil, errors.Join(err, c.Close())
		}
		return &reader{Content: c}, nil
	}
}

// reader reads a Content from its start.
type reader struct {
	*store.Content
	off int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadAt(p, r.off)
	r.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// WriteTo implements io.WriterTo.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if r.off > 0 {
		return io.Copy(w, struct{ io.Reader }{r})
	}
	n, err := r.Content.WriteTo(w)
	r.off = n
	return n, err
}
