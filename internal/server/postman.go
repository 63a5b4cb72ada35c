package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// summaryKey is what stands in alarm for the last summary; summaryLate is how late one
// is still written by a server that has written none before, and maxSummaryLines how
// many warnings it has.
const (
	summaryKey      = "summary"
	summaryLate     = time.Hour
	maxSummaryLines = 20
)

// keysOf are what stands in alarm for a concern: one that got worse is told once more.
func keysOf(c admin.Concern) []string {
	if c.State == admin.Trouble {
		return []string{c.Cause, c.Cause + " (critical)"}
	}
	return []string{c.Cause}
}

// tell mails the postmaster what he was not told of, in one letter, and forgets what is
// well for long enough.
func (w *watcher) tell(ctx context.Context, all []admin.Concern) error {
	told, err := w.alarm.Told(ctx)
	if err != nil {
		return err
	}
	var fresh []admin.Concern
	var keys []string
	now := w.now()
	for _, c := range all {
		var unknown []string
		for _, key := range keysOf(c) {
			if delete(w.calm, key); told[key].IsZero() {
				unknown = append(unknown, key)
			}
			delete(told, key)
		}
		if len(unknown) > 0 {
			fresh, keys = append(fresh, c), append(keys, unknown...)
		}
	}
	for key := range told {
		switch since, ok := w.calm[key]; {
		case key == summaryKey, strings.HasPrefix(key, selftestKey): // It is told by who wrote it.
		case !ok:
			w.calm[key] = now
		case now.Sub(since) >= watchCalm:
			if err := w.alarm.Well(ctx, key); err != nil {
				return err
			}
			delete(w.calm, key)
		}
	}
	if len(fresh) == 0 || !w.watch.Load().Mail {
		return nil
	}
	letter := dsn.Letter{Subject: fmt.Sprintf("%s needs a hand: %s", w.host, causes(fresh))}
	for _, c := range fresh {
		letter.Paragraphs = append(letter.Paragraphs, sentence(c.Text))
	}
	letter.Paragraphs = append(letter.Paragraphs, fmt.Sprintf("You are told once, and again only after it was well for %s. \"yubin status\" on %s shows how it is now.",
		hours(watchCalm), w.host))
	return w.send(ctx, letter, func(tx *sqldb.Tx) error {
		for _, key := range keys {
			if err := w.alarm.Tell(tx, key, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func hours(d time.Duration) string {
	if d == time.Hour {
		return "an hour"
	}
	return fmt.Sprintf("%d hours", int(d.Hours()))
}

// causes names them: "disk, queue".
func causes(list []admin.Concern) string {
	var names []string
	seen := map[string]bool{}
	for _, c := range list {
		name, _, _ := strings.Cut(c.Cause, ":")
		name, _, _ = strings.Cut(name, "-")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// sentence begins s as a sentence does, and ends it.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// send writes a letter to the postmaster, in one commit with also. Where nobody is
// postmaster the log has it already.
func (w *watcher) send(ctx context.Context, l dsn.Letter, also func(*sqldb.Tx) error) error {
	to := mail.Address{Local: postmaster, Domain: w.host}
	routed, err := w.s.outgoing.router.Route(ctx, route.Question{Recipient: to})
	if err != nil {
		return fmt.Errorf("mail for %s has no way: %w", to, err)
	}
	now := w.now()
	l.From, l.To, l.Host, l.Date, l.ID = to, to, w.host, now, rand.Text()
	m := w.s.intake.Begin()
	defer m.Close()
	if _, err := m.Write(l.Append(nil)); err != nil {
		return err
	}
	p, err := w.s.intake.Plan(ctx, m, intake.Envelope{Item: spool.Item{Arrived: now}, Ours: true, Each: true},
		[]intake.Recipient{{Address: to, Route: routed, Notify: mail.NotifyNever}})
	if err != nil {
		return err
	}
	done, err := w.s.intake.Commit(ctx, p, func(tx *sqldb.Tx, _ intake.Receipt) error { return also(tx) })
	if mail.KindOf(err) == mail.Conflict && err != nil {
		return nil // It was told already.
	}
	if err == nil {
		w.s.journal.Add(journalOf(done, to, l.ID, now))
	}
	return err
}

// journalOf is what is remembered of a letter that this server wrote and delivered.
func journalOf(done intake.Receipt, to mail.Address, id string, at time.Time) journal.Entry {
	e := journal.Entry{At: at, Kind: journal.Accepted, Service: admin.OwnService, Recipients: []mail.Address{to}, MessageID: "<" + id + "@" + string(to.Domain) + ">",
		Code: 250, Enhanced: "2.0.0", Text: "written here"}
	for i, f := range done.Filed {
		e.Filed = append(e.Filed, journal.Filed{Account: done.Plan.Filings[i].Account, Mailbox: f.Mailbox, UID: f.UID, Copy: done.Plan.Filings[i].Copy})
	}
	if len(done.Items) > 0 {
		e.Item = done.Items[0]
	}
	return e
}

// summarize writes the summary of the day when it is time for it.
func (w *watcher) summarize(ctx context.Context) error {
	at := w.watch.Load().Summary
	if at < 0 {
		return nil
	}
	now := w.now()
	y, month, d := now.Date()
	due := time.Date(y, month, d, int(at.Hours()), int(at.Minutes())%60, 0, 0, now.Location())
	if due.After(now) || !w.filed.Before(due) {
		return nil
	}
	told, err := w.alarm.Told(ctx)
	if err != nil {
		return err
	}
	last := told[summaryKey]
	if !last.Before(due) || last.IsZero() && now.Sub(due) > summaryLate {
		w.filed = due
		return nil
	}
	o, err := w.Overview(ctx)
	if err != nil {
		return err
	}
	if err := w.send(ctx, w.summary(o), func(tx *sqldb.Tx) error { return w.alarm.Tell(tx, summaryKey, due) }); err != nil {
		return err
	}
	w.filed, w.began = due, now
	for _, n := range w.day.all() {
		n.Store(0)
	}
	return nil
}

func (w *watcher) summary(o admin.Overview) dsn.Letter {
	l := dsn.Letter{Subject: fmt.Sprintf("%s: summary of the day, %s", w.host, o.State)}
	if len(o.Concerns) > 0 {
		var lines []string
		for _, c := range o.Concerns {
			lines = append(lines, sentence(c.Text))
		}
		l.Paragraphs = append(l.Paragraphs, "It needs a hand:\n"+strings.Join(lines, "\n"))
	}
	d := &w.day
	l.Paragraphs = append(l.Paragraphs, fmt.Sprintf("Since %s:\nmessages accepted: %d\nrecipients or messages refused: %d\ncopies filed in mailboxes: %d\n"+
		"recipients handed on: %d\nrecipients given up: %d\nattempts put off: %d", w.began.Format(time.DateTime+" MST"),
		d.accepted.Load(), d.refused.Load(), d.filed.Load(), d.sent.Load(), d.failed.Load(), d.deferred.Load()))
	var state []string
	if q := o.Queue; q != nil {
		line := fmt.Sprintf("queue: %d waiting, %d held", q.Waiting, q.Held)
		if !q.Oldest.IsZero() {
			line += ", the oldest since " + q.Oldest.Format(time.DateTime+" MST")
		}
		state = append(state, line)
	}
	if o.Disk != nil {
		state = append(state, fmt.Sprintf("disk: %s of %s free", mebibytes(o.Disk.Free), mebibytes(o.Disk.Total)))
	}
	for _, c := range o.Certificates {
		state = append(state, fmt.Sprintf("certificate %s: ends on %s", c.File, c.Ends.Format(time.DateOnly)))
	}
	l.Paragraphs = append(l.Paragraphs, "Now:\n"+strings.Join(state, "\n"))
	if len(o.Warnings) > 0 {
		lines := []string{"Warnings of the last 24 hours:"}
		for i, warning := range o.Warnings {
			if i == maxSummaryLines {
				lines = append(lines, fmt.Sprintf("and %d more", len(o.Warnings)-i))
				break
			}
			line := fmt.Sprintf("%d× %s", warning.Count, warning.Message)
			if warning.Reason != "" {
				line += ": " + warning.Reason
			}
			lines = append(lines, obs.Printable(line))
		}
		l.Paragraphs = append(l.Paragraphs, strings.Join(lines, "\n"))
	}
	return l
}
