package queue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// MaxList is how many deliveries one List gives.
const MaxList = 1000

// Filter chooses deliveries; zero fields choose all.
type Filter struct {
	Item        spool.ItemID
	N           int // one recipient of Item
	State       State
	Parked      bool // of those that wait, put off because of their site
	Sender      mail.Address
	NullSender  bool // mail from <>
	Recipient   mail.Address
	Domain      mail.Domain // of the recipient
	Site        string
	OlderThan   time.Duration  // arrived longer ago
	YoungerThan time.Duration  // arrived later
	Account     mail.AccountID // that sent it
	HeldBy      string         // what keeps those that are held: Hold.By
}

// ofMessage reports whether f looks at what only spool_item has.
func (f Filter) ofMessage() bool {
	return !f.Sender.IsZero() || f.NullSender || f.OlderThan > 0 || f.YoungerThan > 0 || f.Account != 0
}

// where is the filter in SQL over queue_delivery d and, if it is ofMessage,
// spool_item i. Arguments are numbered from the end of args. If byKey is set, no
// term tempts the database away from the primary key.
func (f Filter) where(c carried, byKey bool, args []any) (string, []any) {
	now := c.now
	var terms []string
	add := func(term string, arg any) {
		args = append(args, arg)
		terms = append(terms, fmt.Sprintf(term, len(args)))
	}
	if f.Item != 0 {
		add("d.item = $%d", f.Item)
	}
	if f.N != 0 {
		add("d.n = $%d", f.N)
	}
	if f.State != 0 {
		var term string
		term, args = c.term(f.State, args)
		terms = append(terms, term)
	}
	if f.Parked {
		terms = append(terms, "d.parked > 0")
	}
	if !f.Sender.IsZero() {
		add("lower(i.sender) = $%d", foldASCII(f.Sender.String()))
	}
	if f.NullSender {
		terms = append(terms, "i.sender = ''")
	}
	if !f.Recipient.IsZero() {
		add("lower(d.recipient) = $%d", foldASCII(f.Recipient.String()))
	}
	if f.Domain != "" {
		// A recipient that needs UTF-8 is kept with U-labels.
		args = append(args, "%@"+likeEscape(string(f.Domain)), "%@"+likeEscape(f.Domain.Unicode()))
		terms = append(terms, fmt.Sprintf(`(d.recipient LIKE $%d ESCAPE '\' OR d.recipient LIKE $%d ESCAPE '\')`, len(args)-1, len(args)))
	}
	switch {
	case f.Site != "" && byKey:
		add("d.site || '' = $%d", f.Site)
	case f.Site != "":
		add("d.site = $%d", f.Site)
	}
	if f.Account != 0 {
		add("i.account = $%d", int64(f.Account))
	}
	if f.HeldBy != "" {
		add("d.held_by = $%d", f.HeldBy)
		terms = append(terms, "d.state = 2")
	}
	if f.OlderThan > 0 {
		add("i.arrived < $%d", millis(now.Add(-f.OlderThan)))
	}
	if f.YoungerThan > 0 {
		add("i.arrived > $%d", millis(now.Add(-f.YoungerThan)))
	}
	if len(terms) == 0 {
		return "1 = 1", args
	}
	return strings.Join(terms, " AND "), args
}

func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

// Listed is a delivery with what a list shows of its item.
type Listed struct {
	Delivery
	Sender  mail.ReversePath
	Size    int64
	Arrived time.Time
	Expire  time.Time
}

// foldASCII is lower() of SQLite.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// List gives deliveries that f chooses, in order, those after a place: the zero
// DeliveryID, or the last of the page before. limit is at most MaxList. What
// has an index is found at once: an item, a site; for anything else the rows are
// looked through, a million in about a second.
func (q *Queue) List(ctx context.Context, f Filter, after DeliveryID, limit int) (page []Listed, err error) {
	carried := q.carried()
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		page = nil
		crowd, err := crowded(tx, f.Site)
		if err != nil {
			return err
		}
		where, args := f.where(carried, crowd, []any{after.Item, after.N, min(max(limit, 1), MaxList)})
		rows, err := tx.Query(`SELECT `+deliveryColumns+`, i.sender, i.size, i.arrived, i.expire
			FROM queue_delivery d JOIN spool_item i ON i.id = d.item
			WHERE (d.item, d.n) > ($1, $2) AND `+where+` ORDER BY d.item, d.n LIMIT $3`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			l, err := scanListed(rows)
			if err != nil {
				return err
			}
			carried.mark(&l.Delivery)
			page = append(page, l)
		}
		return rows.Err()
	})
	for i := range page {
		q.markProbe(&page[i].Delivery)
		q.markPause(ctx, &page[i].Delivery, page[i].Sender)
	}
	return page, err
}

// markProbe says of what is due at a site that is down when it is tried.
func (q *Queue) markProbe(d *Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.board.sites[d.Site]
	if d.State == Waiting && s != nil && s.dead && s.probeAt.After(d.Due) && q.board.errands[key{d.Item, d.Site}] != nil {
		d.Due = s.probeAt
	}
}

// crowd is how many deliveries at one site are more than a page is sorted from:
// a list of a big site reads along the primary key instead, and stops when the
// page is full.
const crowd = 5000

func crowded(tx *sqldb.Tx, site string) (bool, error) {
	if site == "" {
		return false, nil
	}
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM queue_delivery WHERE site = $1 LIMIT $2) AS few`, site, crowd).Scan(&n)
	return n == crowd, err
}

func scanListed(rows *sqldb.Rows) (l Listed, err error) {
	var sender string
	var arrived, expire int64
	if err := scanDelivery(rows, &l.Delivery, &sender, &l.Size, &arrived, &expire); err != nil {
		return l, err
	}
	l.Arrived, l.Expire = fromMillis(arrived), fromMillis(expire)
	if l.Sender, err = spool.ParseReversePath(sender); err != nil && l.Unreadable == "" {
		l.Unreadable = err.Error()
	}
	return l, nil
}

// Counts sums up deliveries.
type Counts struct {
	Waiting, Held, Active, Owed int
	Parked                      int       // of those that wait: put off because of their site
	Oldest                      time.Time // arrival; zero if there is none
	Late                        time.Time // arrival of the oldest that waits for another attempt, or for its site; zero if there is none
}

// Total counts all.
func (c Counts) Total() int { return c.Waiting + c.Held + c.Active + c.Owed }

// Count sums up what f chooses. It looks at every row, a million in about a
// second.
func (q *Queue) Count(ctx context.Context, f Filter) (c Counts, err error) {
	carried := q.carried()
	where, args := f.where(carried, false, nil)
	waiting, args := carried.term(Waiting, args)
	active, args := carried.term(Active, args)
	// Without the first term a join may go along another index, at random.
	from := `queue_delivery d WHERE (d.item, d.n) > (0, 0) AND `
	if f.ofMessage() {
		from = `queue_delivery d JOIN spool_item i ON i.id = d.item WHERE (d.item, d.n) > (0, 0) AND `
	}
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		var first, late spool.ItemID
		err := tx.QueryRow(`SELECT count(*) FILTER (WHERE `+waiting+`), count(*) FILTER (WHERE d.state = 2),
			count(*) FILTER (WHERE `+active+`), count(*) FILTER (WHERE d.state = 4),
			count(*) FILTER (WHERE d.parked > 0), coalesce(min(d.item), 0),
			coalesce(min(d.item) FILTER (WHERE d.state IN (1, 3) AND (d.attempts > 0 OR d.parked > 0)), 0) FROM `+from+where, args...).
			Scan(&c.Waiting, &c.Held, &c.Active, &c.Owed, &c.Parked, &first, &late)
		if err != nil || first == 0 {
			c.Oldest, c.Late = time.Time{}, time.Time{}
			return err
		}
		if c.Oldest, err = arrivedAt(tx, first); err == nil {
			c.Late, err = arrivedAt(tx, late)
		}
		return err
	})
	return c, err
}

// arrivedAt is when an item came, zero of item 0.
func arrivedAt(tx *sqldb.Tx, id spool.ItemID) (time.Time, error) {
	var arrived int64
	if id != 0 {
		if err := tx.QueryRow(`SELECT arrived FROM spool_item WHERE id = $1`, id).Scan(&arrived); err != nil {
			return time.Time{}, err
		}
	}
	return fromMillis(arrived), nil
}

// Progress hears, after each slice of a bulk change, how many deliveries were
// changed so far. It may be nil.
type Progress func(changed int)

// Hold keeps waiting deliveries, and those being carried if this attempt does
// not settle them, until they are released. They do not expire meanwhile.
func (q *Queue) Hold(ctx context.Context, f Filter, note string, p Progress) (int, error) {
	return q.HoldFor(ctx, f, Hold{Note: note}, p)
}

// HoldFor is Hold by something that is no operator.
func (q *Queue) HoldFor(ctx context.Context, f Filter, h Hold, p Progress) (int, error) {
	return q.bulk(ctx, f, change{kind: EventHold, note: h.Note, arg: h.By, always: true, query: `UPDATE queue_delivery SET
		state = 2, due = 0, parked = 0, held_by = $4 WHERE item = $1 AND n = $2 AND state IN (1, 3) AND $3 > 0`}, p)
}

// Release makes held deliveries wait for an attempt now, and also those that
// their sender had held for a time, unless something else than an operator held them.
func (q *Queue) Release(ctx context.Context, f Filter, note string, p Progress) (int, error) {
	return q.bulk(ctx, f, change{kind: EventRelease, note: note, always: true, query: `UPDATE queue_delivery SET
		state = CASE owner WHEN 0 THEN 1 ELSE 3 END, due = CASE held_by WHEN '' THEN $3 ELSE
		(SELECT CASE WHEN hold_until > $3 THEN hold_until ELSE $3 END FROM spool_item WHERE id = $1) END, parked = 0, held_by = ''
		WHERE item = $1 AND n = $2 AND (state = 2 OR state = 1 AND due > $3 AND attempts = 0)`}, p)
}

// Retry makes waiting deliveries due now, save those that their sender had held
// for a time, and asks sites that were down anew.
func (q *Queue) Retry(ctx context.Context, f Filter, note string, p Progress) (int, error) {
	return q.bulk(ctx, f, change{kind: EventRetry, note: note, revive: true, query: `UPDATE queue_delivery SET due = $3, parked = 0
		WHERE item = $1 AND n = $2 AND state = 1 AND due > $3
		AND NOT EXISTS (SELECT 1 FROM spool_item WHERE id = $1 AND hold_until > $3)`}, p)
}

// Reroute sends waiting and held deliveries by another route; "" is what the
// tables say. They stand at their new site at once. Those that wait after an attempt are due now. Invalid or what the Router says if
// there is no such route.
func (q *Queue) Reroute(ctx context.Context, f Filter, via, note string, p Progress) (int, error) {
	if len(via) > maxNote {
		return 0, mail.Errorf(mail.TooLarge, "a route has over %d octets", maxNote)
	}
	c := change{kind: EventReroute, note: strings.TrimSpace(via + " " + note), arg: via, query: `UPDATE queue_delivery SET
		due = CASE WHEN state = 1 AND deferrals > 0 THEN $3 ELSE due END, parked = 0, via = $4, site = $5 WHERE item = $1 AND n = $2 AND state IN (1, 2)`}
	c.site = func(l Listed) (string, error) {
		hop, err := q.o.Router.NextHop(ctx, Question{Recipient: l.Address, Sender: l.Sender, Via: via})
		switch {
		case err == nil:
			return hop.Site(), nil
		case via == "": // Who carries it tells its sender that there is no way.
			return l.Site, nil
		}
		return "", err
	}
	return q.bulk(ctx, f, c, p)
}

// Fail gives waiting and held deliveries up: their senders are told, with note
// as the reason.
func (q *Queue) Fail(ctx context.Context, f Filter, note string, p Progress) (int, error) {
	if note == "" {
		note = "The postmaster has ended the attempts to deliver the message."
	}
	a := mail.Attempt{At: q.o.Now(), Phase: mail.PhaseRoute, Enhanced: "5.7.1", Text: clip(note, mail.MaxAttemptText), Ours: true, Outcome: mail.Failed}
	return q.bulk(ctx, f, change{kind: EventFail, note: note, arg: formatRecord(a, false), settle: true, query: `UPDATE queue_delivery SET
		state = 4, due = 0, report_at = $3, parked = 0, owner = 0, last = $4 WHERE item = $1 AND n = $2 AND state IN (1, 2) AND owner = 0`}, p)
}

// Drop removes deliveries that are not being carried. Nobody is told.
func (q *Queue) Drop(ctx context.Context, f Filter, note string, p Progress) (int, error) {
	return q.bulk(ctx, f, change{kind: EventDrop, note: note, settle: true, query: `DELETE FROM queue_delivery
		WHERE item = $1 AND n = $2 AND state <> 3 AND owner = 0 AND $3 > 0`}, p)
}
