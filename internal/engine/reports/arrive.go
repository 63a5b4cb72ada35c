package reports

import (
	"context"
	"io"
	"strings"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dmarcreport"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/message"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Limits of what is read.
const (
	MaxMessage = 32 << 20 // octets of mail that is looked at
	MaxWaiting = 1000     // messages that wait to be read; more are not
)

// Keep implements intake.Keeper: it wants mail for the addresses for reports.
func (r *Reports) Keep(e intake.Envelope, to []intake.Recipient, m *intake.Message) intake.Keep {
	wanted := false
	for _, one := range to {
		wanted = wanted || r.isOurs(one)
	}
	switch {
	case !wanted:
		return nil
	case m.Size() > MaxMessage:
		r.o.Log.Warn("mail for reports is too large to be read", "octets", m.Size(), "max", MaxMessage)
		return nil
	case r.waiting.Load() >= MaxWaiting:
		r.o.Log.Warn("mail for reports is not read: too much of it waits", "waiting", MaxWaiting)
		return nil
	}
	arrived, sender := e.Arrived.Unix(), e.ReversePath.String()
	return func(tx *sqldb.Tx, octets store.BlobRef, prefix []byte) error {
		if _, err := tx.Insert(`INSERT INTO reports_arrival (blob, prefix, arrived, sender, message_id, came_by) VALUES ($1, $2, $3, $4, $5, $6)`,
			octets, prefix, arrived, sender, e.MessageID, e.Transaction); err != nil {
			return err
		}
		tx.OnCommit(func() {
			r.waiting.Add(1)
			select {
			case r.arrived <- struct{}{}:
			default:
			}
		})
		return nil
	}
}

// isOurs reports whether a recipient is for reports, and not somebody of that name
// elsewhere, to whom mail is only carried on.
func (r *Reports) isOurs(to intake.Recipient) bool {
	if !r.IsAddress(to.Address) {
		return false
	}
	for _, o := range to.Route.Onward {
		if o.Address == to.Address {
			return false
		}
	}
	return true
}

// arrival is a row of reports_arrival.
type arrival struct {
	id      int64
	blob    store.BlobRef
	prefix  []byte
	arrived int64

	sender, messageID, cameBy string // for the log
}

// attrs say in the log what mail it is.
func (a arrival) attrs() []any {
	return []any{obs.KeyFrom, a.sender, obs.KeyMsgID, a.messageID, "transaction", a.cameBy, "arrived", time.Unix(a.arrived, 0).UTC()}
}

// readAll reads what arrived, one message after another, until there is no more.
func (r *Reports) readAll(ctx context.Context) error {
	for ctx.Err() == nil {
		var a arrival
		err := r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT id, blob, prefix, arrived, sender, message_id, came_by FROM reports_arrival ORDER BY id LIMIT 1`).
				Scan(&a.id, &a.blob, &a.prefix, &a.arrived, &a.sender, &a.messageID, &a.cameBy)
		})
		if err == sqldb.ErrNoRows {
			r.waiting.Store(0)
			return nil
		}
		if err == nil {
			err = r.read(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads one message and lets go of it. What is no report of ours is told in the
// log and forgotten; the error is one that may go away.
func (r *Reports) read(ctx context.Context, a arrival) error {
	var all []*received
	err := isBelieved(a.prefix)
	if err == nil {
		all, err = r.reportIn(ctx, a)
	}
	if k := mail.KindOf(err); err != nil && k != mail.Invalid && k != mail.TooLarge && k != mail.NotFound && k != mail.Forbidden {
		return err
	}
	if err != nil {
		r.o.Log.Info("mail for reports has none that is kept", append(a.attrs(), obs.Err(err))...)
		all = nil
	}
	gone := false
	err = r.o.DB.Write(ctx, func(tx *sqldb.Tx) (err error) {
		n, err := tx.Exec(`DELETE FROM reports_arrival WHERE id = $1`, a.id)
		if gone = n == 0; err != nil || gone { // Another node was here.
			return err
		}
		for _, got := range all {
			if err := got.keep(tx, a.arrived); err != nil {
				return err
			}
		}
		tx.OnCommit(func() { r.waiting.Add(-1) })
		return r.o.Octets.ReleaseBlob(tx, a.blob)
	})
	if err != nil || gone {
		return err
	}
	for _, got := range all {
		r.tellBounds(got, a.arrived)
		if got.room.noReport.max == 0 {
			r.o.Log.Info(got.kind.String()+" report", "domain", got.domain, "organization", got.org,
				"reporter", or(string(got.reporter), "not authenticated"), "messages", got.messages, "new", got.kept)
		}
	}
	return nil
}

// isBelieved is Forbidden about mail whose author is forged, as our own field in front
// of it says: who reports must pass DMARC (RFC 9990 §3.5.2). Where nobody judged, or
// the author has no policy, there is nothing to go by.
func isBelieved(prefix []byte) error {
	for f := range message.Fields(prefix) {
		if !strings.EqualFold(f.Name, authres.FieldName) {
			continue
		}
		results, err := authres.Parse(f.Value)
		if err != nil {
			continue
		}
		for _, one := range results.Results {
			if one.Method == "dmarc" && one.Value == "fail" {
				return mail.Errorf(mail.Forbidden, "it is not from %s, whose report it would be: DMARC fails", one.Get("header", "from"))
			}
		}
	}
	return nil
}

// oursAbove is the domain of ours that d is or is below; the error is Forbidden if
// there is none.
func (r *Reports) oursAbove(ctx context.Context, d mail.Domain) (mail.Domain, error) {
	for name := d; name != ""; name = parent(name) {
		local, err := r.o.Domains.IsLocal(ctx, name)
		if local || err != nil {
			return name, err
		}
	}
	if d == r.o.Hostname {
		return d, nil
	}
	return "", mail.Errorf(mail.Forbidden, "the report is about %s, which is not ours", d)
}

func parent(d mail.Domain) mail.Domain {
	for i := range len(d) {
		if d[i] == '.' && !d.IsLiteral() {
			return d[i+1:]
		}
	}
	return ""
}

// reportIn finds the report in a message, and what of it is to be kept: for each domain.
// The first attachment that is one counts.
func (r *Reports) reportIn(ctx context.Context, a arrival) ([]*received, error) {
	c, err := r.o.Octets.OpenBlob(ctx, a.blob, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p := message.NewParser()
	if _, err := c.WriteTo(p); err != nil {
		return nil, err
	}
	root := p.Finish().Root
	if dmarcreport.IsFailureReport(root) {
		return nil, mail.Errorf(mail.Invalid, "it is a report of a single failure, which is for people")
	}
	parts, read, reporter := tlsrpt.Attachments(root), r.readTLS, signerOf(a.prefix)
	if len(parts) == 0 {
		parts, read, reporter = dmarcreport.Attachments(root), r.readDMARC, reporterOf(a.prefix)
	}
	err = mail.Errorf(mail.Invalid, "the message has no attachment that could be a report")
	for _, part := range parts {
		var all []*received
		document, unpacking := dmarcreport.Unpack(message.NewDecoder(io.NewSectionReader(c, part.Body, part.Size()), part.Encoding))
		if err = unpacking; err == nil {
			all, err = read(ctx, document)
		}
		if err != nil && isNone(err) {
			continue
		}
		for _, got := range all {
			got.reporter = reporter
		}
		return all, err
	}
	return nil, err
}

func isNone(err error) bool {
	k := mail.KindOf(err)
	return k == mail.Invalid || k == mail.TooLarge
}

// Sweep forgets what was kept for long enough, and what was seen on days that
// nobody will be told of any more.
func (r *Reports) Sweep(ctx context.Context) error {
	now := r.o.Now()
	before := now.Add(-r.settings.Load().Keep).Unix()
	if err := r.slices(ctx, func(tx *sqldb.Tx) (bool, error) { return sweepReceived(tx, before) }); err != nil {
		return err
	}
	for _, kind := range []Kind{DMARC, TLS} {
		if err := r.slices(ctx, func(tx *sqldb.Tx) (bool, error) { return sweepSeen(tx, kind, dayOf(now)-maxLate) }); err != nil {
			return err
		}
	}
	return r.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Do(`DELETE FROM reports_day WHERE day < $1`, min(before/secondsOfDay, dayOf(now)-maxLate))
		return nil
	})
}

const secondsOfDay = int64(24 * time.Hour / time.Second)

// sweepSlice is how many rows a statement removes.
const sweepSlice = 500

// slices runs step in slices until it says that there is no more.
func (r *Reports) slices(ctx context.Context, step func(*sqldb.Tx) (more bool, err error)) error {
	op := r.o.DB.Slices()
	for more := true; more; {
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			for more = true; more && !tx.Enough(); {
				if more, err = step(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepReceived removes one report that came before then, or some of its records.
func sweepReceived(tx *sqldb.Tx, before int64) (more bool, err error) {
	var id int64
	var kind Kind
	err = tx.QueryRow(`SELECT id, kind FROM reports_received WHERE arrived < $1 ORDER BY arrived LIMIT 1`, before).Scan(&id, &kind)
	if err != nil {
		if err == sqldb.ErrNoRows {
			err = nil
		}
		return false, err
	}
	if kind == TLS { // It has no more than MaxTLSRows.
		tx.Do(`DELETE FROM reports_tls WHERE report = $1`, id)
		tx.Do(`DELETE FROM reports_received WHERE id = $1`, id)
		return true, nil
	}
	n, err := tx.Exec(`DELETE FROM reports_row WHERE report = $1 AND n IN (SELECT n FROM reports_row WHERE report = $1 ORDER BY n LIMIT $2)`, id, sweepSlice)
	if err == nil && n < sweepSlice {
		_, err = tx.Exec(`DELETE FROM reports_received WHERE id = $1`, id)
	} else if err == nil { // The rest still adds up.
		_, err = tx.Exec(`UPDATE reports_received SET messages = left_out + coalesce((SELECT sum(messages) FROM reports_row WHERE report = $1), 0)
			WHERE id = $1`, id)
	}
	return true, err
}

// sweepSeen removes some of what was seen before a day.
func sweepSeen(tx *sqldb.Tx, kind Kind, before int64) (more bool, err error) {
	k := dayKey{kind: kind}
	err = tx.QueryRow(`SELECT day, domain FROM reports_seen WHERE kind = $1 AND day < $2 ORDER BY day, domain LIMIT 1`, kind, before).Scan(&k.day, &k.domain)
	if err != nil {
		if err == sqldb.ErrNoRows {
			err = nil
		}
		return false, err
	}
	_, err = forget(tx, k)
	return true, err
}

// forget removes some of what was seen of a domain on a day.
func forget(tx *sqldb.Tx, k dayKey) (more bool, err error) {
	n, err := tx.Exec(`DELETE FROM reports_seen WHERE kind = $1 AND day = $2 AND domain = $3 AND hash IN
		(SELECT hash FROM reports_seen WHERE kind = $1 AND day = $2 AND domain = $3 ORDER BY hash LIMIT $4)`, k.kind, k.day, k.domain, sweepSlice)
	return n == sweepSlice, err
}
