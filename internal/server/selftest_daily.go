package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// selftestKey is what stands in alarm for the last selftest of a day; with a colon and what
// it is about, for each thing of which the postmaster knows that it is not well.
const selftestKey = "selftest"

// maxSelftestKey bounds such a cause.
const maxSelftestKey = 200

// watchersToo reports whether the watcher tells of it by itself, as of all that comes from
// state: whatever that looks at.
func (t *selftest) watchersToo(one admin.Test) bool {
	if one.Check == "certificate" {
		return one.About != string(t.s.known.Load().Hostname) // What the listeners show nobody else looks at.
	}
	return !slices.Contains([]string{"clock", "resolver", "port", "submission", "mx", "imap", "mail", "dkim", "dns", "lists"}, one.Check)
}

// run tries the server out each day, at the time that is configured, until ctx is done.
func (t *selftest) run(ctx context.Context) {
	if t.s.watcher.server.Load() == nil {
		return // A command has the folder.
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := t.daily(ctx); err != nil && ctx.Err() == nil {
			t.d.Log.Warn("the selftest of the day was not made", obs.Err(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// daily makes the selftest of the day when it is time for it. One that is hours late, because
// the server did not run, is made the next day.
func (t *selftest) daily(ctx context.Context) error {
	w := t.s.watcher
	at := w.watch.Load().Selftest
	if at < 0 {
		return nil
	}
	now := t.d.Now()
	y, month, d := now.Date()
	due := time.Date(y, month, d, int(at.Hours()), int(at.Minutes())%60, 0, 0, now.Location())
	if now.Before(due) || now.Sub(due) > summaryLate {
		return nil
	}
	told, err := w.alarm.Told(ctx)
	if err != nil || !told[selftestKey].Before(due) {
		return err
	}
	tests, err := t.Selftest(ctx, "")
	if mail.KindOf(err) == mail.Conflict && err != nil {
		return nil // Somebody tries it by hand; in a minute, then.
	}
	if err != nil {
		return err
	}
	t.logTests(ctx, tests)
	return t.tell(ctx, due, tests, told)
}

// tell mails the postmaster what became different, and remembers what he knows.
func (t *selftest) tell(ctx context.Context, due time.Time, tests []admin.Test, told map[string]time.Time) error {
	var fresh, still []admin.Test
	var keys []string
	for _, one := range tests {
		key := causeOf(one)
		_, known := told[key]
		delete(told, key) // Of what could not be found out nothing is said.
		switch {
		case one.State != admin.TestWrong && one.State != admin.TestWarning, t.watchersToo(one):
			if known && one.State == admin.TestOK {
				told[key] = due
			}
		case known:
			still = append(still, one)
		default:
			if fresh = append(fresh, one); !slices.Contains(keys, key) { // Two keys of a domain are one cause.
				keys = append(keys, key)
			}
		}
	}
	var well []string
	for key := range told {
		if strings.HasPrefix(key, selftestKey+":") && !unknownToday(tests, key) {
			well = append(well, key)
		}
	}
	slices.Sort(well)
	w := t.s.watcher
	mark := func(tx *sqldb.Tx) error {
		for _, key := range append(keys, selftestKey) {
			if err := w.alarm.Tell(tx, key, due); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if len(fresh)+len(well) > 0 && w.watch.Load().Mail {
		err = w.send(ctx, t.letter(fresh, still, well), mark)
	} else {
		err = t.s.db.Write(ctx, mark)
	}
	for _, key := range well {
		err = errors.Join(err, w.alarm.Well(ctx, key))
	}
	return err
}

// causeOf is what stands in alarm for a test.
func causeOf(one admin.Test) string {
	key := strings.TrimSpace(selftestKey + ":" + one.Check + " " + one.About)
	return key[:min(len(key), maxSelftestKey)]
}

// unknownToday reports whether what a cause is about could not be found out, as a whole or of
// its kind.
func unknownToday(tests []admin.Test, key string) bool {
	return slices.ContainsFunc(tests, func(one admin.Test) bool {
		return one.State == admin.TestUnknown && (causeOf(one) == key || strings.HasPrefix(key, causeOf(one)+" "))
	})
}

// letter says what became different.
func (t *selftest) letter(fresh, still []admin.Test, well []string) dsn.Letter {
	host := t.s.known.Load().Hostname
	l := dsn.Letter{Subject: fmt.Sprintf("%s: the selftest finds all well again", host)}
	lines := func(head string, tests []admin.Test) {
		if len(tests) == 0 {
			return
		}
		text := []string{head}
		for _, one := range tests {
			line := strings.TrimSpace(one.Check+" "+one.About) + ": " + one.Text
			if one.Mend != "" {
				line += ". To do: " + one.Mend
			}
			text = append(text, obs.Printable(line))
		}
		l.Paragraphs = append(l.Paragraphs, strings.Join(text, "\n"))
	}
	switch {
	case len(fresh) > 0:
		l.Subject = fmt.Sprintf("%s: the selftest finds what is not right: %s", host, checks(fresh))
	case len(still) > 0:
		l.Subject = fmt.Sprintf("%s: the selftest finds less that is not right", host)
	}
	lines("New since the last selftest:", fresh)
	if len(well) > 0 {
		text := []string{"Well again:"}
		for _, key := range well {
			text = append(text, obs.Printable(strings.TrimPrefix(key, selftestKey+":")))
		}
		l.Paragraphs = append(l.Paragraphs, strings.Join(text, "\n"))
	}
	lines("As before:", still)
	l.Paragraphs = append(l.Paragraphs, fmt.Sprintf(`You are told when something becomes different. "yubin selftest" on %s tries all of it now.`, host))
	return l
}

// checks names them: "dns, mx".
func checks(list []admin.Test) string {
	var names []string
	for _, one := range list {
		if !slices.Contains(names, one.Check) {
			names = append(names, one.Check)
		}
	}
	return strings.Join(names, ", ")
}
