package feedback_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestLessons: what people do, in one look and with a look after each step.
func TestLessons(t *testing.T) {
	add, remove := store.FlagsAdd, store.FlagsRemove
	h := newHouse(t)
	check := func(t *testing.T, l *letter, want string) {
		t.Helper()
		h.look()
		if want != "" {
			want += fmt.Sprintf(" %d", l.email)
		}
		if got := h.pupil.said(); got != want {
			t.Errorf("learned %q, want %q", got, want)
		}
		calls := h.pupil.calls
		h.look()
		h.begin()
		h.look()
		if h.pupil.calls != calls {
			t.Error("it was told again")
		}
		clear(h.pupil.knows)
	}
	for name, one := range map[string]struct {
		do   func(*house, *letter, func())
		want string // of the letter; "" if nothing is learned of it
	}{
		"moved into Junk":        {func(h *house, l *letter, _ func()) { l.move("INBOX", "Junk") }, "junk"},
		"moved in and out":       {func(h *house, l *letter, next func()) { l.move("INBOX", "Junk"); next(); l.move("Junk", "INBOX") }, "ham"},
		"out to a mailbox":       {func(h *house, l *letter, next func()) { l.move("INBOX", "Junk"); next(); l.move("Junk", "Friends") }, "ham"},
		"moved in, then deleted": {func(h *house, l *letter, next func()) { l.move("INBOX", "Junk"); next(); l.move("Junk", "Trash") }, "junk"},
		"moved in, expunged":     {func(h *house, l *letter, next func()) { l.move("INBOX", "Junk"); next(); l.expunge("Junk") }, "junk"},
		"moved in from Trash":    {func(h *house, l *letter, next func()) { l.move("INBOX", "Trash"); next(); l.move("Trash", "Junk") }, "junk"},
		"within Junk":            {func(h *house, l *letter, next func()) { l.move("INBOX", "Trash"); next(); l.move("Trash", "Trash") }, ""},
		"without MOVE": {func(h *house, l *letter, next func()) {
			l.copy("INBOX", "Junk")
			next()
			l.expunge("INBOX")
		}, "junk"},
		"in and out without MOVE": {func(h *house, l *letter, next func()) {
			l.copy("INBOX", "Junk")
			next()
			l.expunge("INBOX")
			next()
			l.copy("Junk", "INBOX")
			next()
			l.expunge("Junk")
		}, "ham"},
		"deleted without MOVE": {func(h *house, l *letter, next func()) {
			l.move("INBOX", "Junk")
			next()
			l.copy("Junk", "Trash")
			next()
			l.expunge("Junk")
		}, "junk"},
		"a copy in Junk":          {func(h *house, l *letter, next func()) { l.copy("INBOX", "Junk") }, "junk"},
		"a copy taken back":       {func(h *house, l *letter, next func()) { l.copy("INBOX", "Junk"); next(); l.expunge("Junk") }, ""},
		"$Junk":                   {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, 0, "$Junk") }, "junk"},
		"Junk, as Thunderbird":    {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, 0, "Junk") }, "junk"},
		"NonJunk, as Thunderbird": {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, 0, "NonJunk") }, "ham"},
		"$NotJunk":                {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, 0, "$notjunk") }, "ham"},
		"$Forwarded":              {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, mail.Seen, "$Forwarded") }, ""},
		"answered":                {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, mail.Seen|mail.Answered, "") }, "ham"},
		"answered and deleted": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, mail.Answered, "")
			next()
			l.move("INBOX", "Trash")
		}, "ham"},
		"answered, then junk": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, mail.Answered, "")
			next()
			l.move("INBOX", "Junk")
		}, "junk"},
		"answered, then a copy in Junk taken back": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, mail.Answered, "")
			next()
			l.copy("INBOX", "Junk")
			next()
			l.expunge("Junk")
		}, "ham"},
		"junk, then answered": {func(h *house, l *letter, next func()) {
			l.move("INBOX", "Junk")
			next()
			l.flag("Junk", add, mail.Answered, "")
		}, "junk"},
		"$NotJunk taken back of what was filed": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, 0, "$NotJunk")
			next()
			l.move("INBOX", "Friends")
			next()
			l.flag("Friends", remove, 0, "$NotJunk")
		}, "ham"},
		"both":                {func(h *house, l *letter, _ func()) { l.flag("INBOX", add, 0, "$Junk $NotJunk") }, ""},
		"filed":               {func(h *house, l *letter, _ func()) { l.move("INBOX", "Friends") }, "ham"},
		"archived":            {func(h *house, l *letter, _ func()) { l.move("INBOX", "Archive") }, "ham"},
		"filed, then junk":    {func(h *house, l *letter, next func()) { l.move("INBOX", "Friends"); next(); l.move("Friends", "Junk") }, "junk"},
		"filed, then deleted": {func(h *house, l *letter, next func()) { l.move("INBOX", "Friends"); next(); l.move("Friends", "Trash") }, "ham"},
		"filed as spam":       {func(h *house, l *letter, _ func()) { l.move("INBOX", "Spam") }, ""},
		"filed as a copy":     {func(h *house, l *letter, _ func()) { l.copy("INBOX", "Friends") }, ""},
		"not from INBOX":      {func(h *house, l *letter, next func()) { l.move("INBOX", "Trash"); next(); l.move("Trash", "Friends") }, ""},
		"a flag after a lesson": {func(h *house, l *letter, next func()) {
			l.move("INBOX", "Junk")
			next()
			l.flag("Junk", add, mail.Seen, "")
		}, "junk"},
		"moved, whatever it was": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, 0, "$NotJunk")
			next()
			l.move("INBOX", "Junk")
		}, "junk"},
		"as Apple Mail": {func(h *house, l *letter, next func()) {
			l.flag("INBOX", add, 0, "$Junk Junk")
			next()
			l.move("INBOX", "Junk")
		}, "junk"},
		"not junk, as Apple Mail": {func(h *house, l *letter, next func()) {
			l.move("INBOX", "Junk")
			next()
			l.flag("Junk", add, 0, "$NotJunk NotJunk")
			next()
			l.move("Junk", "INBOX")
		}, "ham"},
		"a letter that is expunged": {func(h *house, l *letter, next func()) { l.expunge("INBOX") }, ""},
	} {
		for _, often := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/often=%v", name, often), func(t *testing.T) {
				l := h.comes("INBOX", 0, "")
				next := func() {
					if often {
						h.look()
						h.begin()
					}
				}
				next()
				one.do(h, l, next)
				check(t, l, one.want)
			})
		}
	}
	for name, one := range map[string]struct {
		words mail.Keywords
		do    func(*letter)
		want  string
	}{
		"what is filed in Junk":      {"$Junk", func(l *letter) {}, ""},
		"and read there":             {"$Junk", func(l *letter) { l.flag("Junk", add, mail.Seen, "") }, ""},
		"and expunged":               {"", func(l *letter) { l.expunge("Junk") }, ""},
		"and deleted":                {"", func(l *letter) { l.move("Junk", "Trash") }, ""},
		"and answered there":         {"$Junk", func(l *letter) { l.flag("Junk", add, mail.Answered, "") }, ""},
		"and moved out":              {"$Junk", func(l *letter) { l.move("Junk", "INBOX") }, "ham"},
		"without keywords, out":      {"", func(l *letter) { l.move("Junk", "INBOX") }, "ham"},
		"moved out and read":         {"$Junk", func(l *letter) { l.move("Junk", "INBOX"); l.flag("INBOX", add, mail.Seen, "") }, "ham"},
		"moved out and in again":     {"", func(l *letter) { l.move("Junk", "INBOX"); l.move("INBOX", "Junk") }, "junk"},
		"$NotJunk there":             {"$Junk", func(l *letter) { l.flag("Junk", store.FlagsReplace, 0, "$NotJunk") }, "ham"},
		"moved within Junk, no more": {"", func(l *letter) { l.move("Junk", "Junk") }, ""},
	} {
		t.Run("judged/"+name, func(t *testing.T) {
			l := h.comes("Junk", 0, one.words)
			h.look()
			one.do(l)
			check(t, l, one.want)
		})
	}
	t.Run("keywords taken away", func(t *testing.T) {
		a, b := h.comes("INBOX", 0, ""), h.comes("INBOX", 0, "")
		a.flag("INBOX", add, 0, "$Junk")
		b.flag("INBOX", add, 0, "$NotJunk")
		h.look()
		a.flag("INBOX", remove, 0, "$Junk")
		b.flag("INBOX", remove, 0, "$NotJunk")
		check(t, a, "ham")
	})
}

var bob = history.Correspondent{Address: mail.Address{Local: "bob", Domain: "example.org"}, Network: netip.MustParseAddr("192.0.2.1")}

func (h *house) record() history.Record {
	h.t.Helper()
	k, err := h.history.Ask(ctx, me, bob)
	h.must(err)
	if k.Of.Network != k.Of.Address {
		h.t.Errorf("the network has %+v, the address %+v", k.Of.Network, k.Of.Address)
	}
	r := k.Of.Address
	r.First, r.Last = time.Time{}, time.Time{}
	return r
}

// TestAcquaintances: what was done with whose mail is counted once for each email.
func TestAcquaintances(t *testing.T) {
	h := newHouse(t)
	var list []*letter
	for range 12 {
		list = append(list, h.comes("INBOX", 0, ""))
	}
	want := func(what string, r history.Record) {
		t.Helper()
		h.look()
		h.begin()
		if got := h.record(); got != r {
			t.Errorf("%s: %+v, want %+v", what, got, r)
		}
	}
	want("nothing", history.Record{})
	list[0].flag("INBOX", store.FlagsAdd, mail.Answered|mail.Seen, "")
	want("answered", history.Record{Answered: 1})
	list[0].flag("INBOX", store.FlagsAdd, mail.Flagged, "")
	list[0].move("INBOX", "Friends")
	want("filed", history.Record{Answered: 1, Filed: 1})
	list[0].move("Friends", "INBOX")
	list[0].move("INBOX", "Friends")
	list[1].move("INBOX", "Archive")
	want("filed twice", history.Record{Answered: 1, Filed: 2})
	list[2].move("INBOX", "Trash")
	list[3].expunge("INBOX")
	list[4].flag("INBOX", store.FlagsAdd, mail.Seen, "")
	list[4].move("INBOX", "Trash")
	list[5].flag("INBOX", store.FlagsAdd, mail.Seen, "")
	list[5].expunge("INBOX")
	want("deleted", history.Record{Answered: 1, Filed: 2, DeletedUnread: 2})
	list[2].expunge("Trash")
	want("Trash emptied", history.Record{Answered: 1, Filed: 2, DeletedUnread: 2})
	list[6].move("INBOX", "Junk")
	list[7].move("INBOX", "Junk")
	want("junk", history.Record{Answered: 1, Filed: 2, DeletedUnread: 2, Junk: 2})
	list[6].expunge("Junk")
	list[7].move("Junk", "INBOX")
	want("not junk", history.Record{Answered: 1, Filed: 2, DeletedUnread: 2, Junk: 1, NotJunk: 1})
}

// TestFilerIsNoFriend: who moves thousands of messages tidies up.
func TestFilerIsNoFriend(t *testing.T) {
	h := newHouse(t)
	const many = 540
	var all mail.UIDSet
	for range many {
		all.Add(h.comes("INBOX", 0, "").at["INBOX"])
	}
	_, err := h.store.Move(ctx, h.boxes["INBOX"], all, h.boxes["Friends"])
	h.must(err)
	h.look()
	if r := h.record(); r.Filed != 512 || len(h.pupil.knows) != 512 {
		t.Errorf("%d and %d of %d count", r.Filed, len(h.pupil.knows), many)
	}
	// A lesson is one, however many there are.
	_, err = h.store.Move(ctx, h.boxes["Friends"], mail.UIDSet{{First: 1, Last: 1 << 31}}, h.boxes["Junk"])
	h.must(err)
	h.look()
	if r := h.record(); r.Junk != many || len(h.pupil.knows) != many {
		t.Errorf("%+v, %d lessons", r, len(h.pupil.knows))
	}
}

// TestForgottenChanges: when nobody knows any more what happened, it goes on from now.
func TestForgottenChanges(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h := newHouse(t, func(o *store.Options) {
		o.Now = func() time.Time { return now }
		o.Retention.ChangeOctets = 4096
	})
	a := h.comes("INBOX", 0, "")
	a.move("INBOX", "Junk")
	for range 600 { // So that it is forgotten.
		a.flag("Junk", store.FlagsAdd, mail.Seen, "")
		a.flag("Junk", store.FlagsRemove, mail.Seen, "")
	}
	if _, err := h.store.Changes(ctx, me, store.ChangeState{}, 0); !errors.Is(err, store.ErrCannotCalculate) {
		t.Fatalf("it is known: %v", err)
	}
	h.look()
	if got := h.pupil.said(); got != "" {
		t.Errorf("learned %q", got)
	}
	b := h.comes("INBOX", 0, "")
	b.move("INBOX", "Junk")
	h.look()
	if got, want := h.pupil.said(), fmt.Sprintf("junk %d", b.email); got != want {
		t.Errorf("learned %q, want %q", got, want)
	}
}

// TestFailures: what fails is done again, with the same outcome.
func TestFailures(t *testing.T) {
	h := newHouse(t)
	l := h.comes("INBOX", 0, "")
	l.move("INBOX", "Junk")
	h.pupil.fails = func() bool { return true }
	if err := h.Look(ctx, me); !errors.Is(err, errSlow) {
		t.Errorf("it did not fail: %v", err)
	}
	h.pupil.fails = nil
	release := h.db.Hold(&mail.Error{Kind: mail.Unavailable, Text: "held"})
	if err := h.Look(ctx, me); err == nil {
		t.Error("it did not fail")
	}
	release()
	h.look()
	if r := h.record(); r.Junk != 1 || h.pupil.said() != fmt.Sprintf("junk %d", l.email) {
		t.Errorf("%+v, %q", r, h.pupil.said())
	}
}

// TestTwoFollowers: two that look at the same account tell everything once.
func TestTwoFollowers(t *testing.T) {
	h := newHouse(t)
	l := h.comes("INBOX", 0, "")
	h.look()
	one := h.Follower
	h.begin()
	l.move("INBOX", "Junk")
	h.look()
	h.must(one.Look(ctx, me))
	l.move("Junk", "INBOX")
	h.must(one.Look(ctx, me))
	h.look()
	if r := h.record(); r.Junk != 0 || r.NotJunk != 1 {
		t.Errorf("%+v", r)
	}
}

// TestRestartAfterLook: what a look saw is not seen otherwise after a restart, also if
// it came to what was known.
func TestRestartAfterLook(t *testing.T) {
	h := newHouse(t)
	l := h.comes("Junk", 0, "")
	l.move("Junk", "Friends")
	h.look()
	l.copy("Friends", "Junk")
	l.expunge("Friends")
	l.copy("Junk", "Friends")
	l.expunge("Junk")
	h.look()
	h.begin()
	l.expunge("Friends")
	h.look()
	deleted := h.comes("Junk", 0, "")
	deleted.copy("Junk", "Trash")
	deleted.expunge("Junk")
	h.look()
	h.begin()
	deleted.copy("Trash", "Friends")
	h.look()
	if got, want := h.pupil.said(), fmt.Sprintf("ham %d", l.email); got != want {
		t.Errorf("learned %q, want %q", got, want)
	}
}

func TestGoneAccount(t *testing.T) {
	h := newHouse(t)
	l := h.comes("INBOX", 0, "")
	l.move("INBOX", "Junk")
	h.look()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.DeleteAccount(tx, me) }))
	h.must(h.LookAll(ctx))
	h.look()
	n := -1
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT (SELECT count(*) FROM feedback_cursor) + (SELECT count(*) FROM feedback_mark)`).Scan(&n)
	}))
	if n != 0 {
		t.Errorf("%d rows are left", n)
	}
	h.must(h.store.Sweep(ctx))
}

// TestDeliveriesWriteNothing: that mail comes costs no write, for a long while.
func TestDeliveriesWriteNothing(t *testing.T) {
	h := newHouse(t)
	h.comes("INBOX", 0, "")
	h.look()
	rows := func() (n int) {
		h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT coalesce(max(modseq), 0) FROM feedback_cursor`).Scan(&n)
		}))
		return n
	}
	before := rows()
	for range 100 {
		h.comes("INBOX", 0, "")
		h.look()
	}
	if rows() != before {
		t.Error("the cursor was written")
	}
	for range 200 {
		h.comes("INBOX", 0, "")
	}
	h.look()
	if rows() == before {
		t.Error("the cursor stays behind")
	}
}

// await waits for something that the follower does.
func (h *house) await(is func() bool) {
	h.t.Helper()
	for range 1000 {
		if is() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	h.t.Fatalf("it does not come to be: learned %q", h.pupil.said())
}

// TestRun: hints wake it; those that only mail came are looked at later, and what
// nobody told of is found at the start.
func TestRun(t *testing.T) {
	h := newHouse(t)
	l := h.comes("INBOX", 0, "")
	l.move("INBOX", "Junk")
	h.begin() // It heard nothing of that.
	done := make(chan struct{})
	running, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		h.Run(running)
	}()
	h.await(func() bool { return h.pupil.said() == fmt.Sprintf("junk %d", l.email) })
	l.move("Junk", "INBOX")
	h.await(func() bool { return h.pupil.said() == fmt.Sprintf("ham %d", l.email) })
	stop()
	<-done
}
