package store_test

import (
	"fmt"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

// trips counts the questions to a server that fn waits for, when all that it says was
// said before.
func (h *house) trips(fn func()) int64 {
	before := h.db.Traffic().RoundTrips
	fn()
	return h.db.Traffic().RoundTrips - before
}

// TestRoundTrips: what is waited for does not grow with recipients or messages. With a
// file there is nothing to wait for.
func TestRoundTrips(t *testing.T) {
	const accounts, many = 100, 10_000
	h := newHouse(t)
	for a := range mail.AccountID(accounts) {
		h.account(a + 1)
	}
	n := 0
	deliver := func(recipients int) func() {
		return func() {
			n++
			var to []store.Filing
			for a := range recipients {
				to = append(to, h.inbox(mail.AccountID(a+1)))
			}
			h.deliver("In-Reply-To: <first@example.org>\r\nReferences: <other@example.org>\r\n"+text(fmt.Sprint(n), "s", "b"), to...)
		}
	}
	box, sent, archive := h.manyMessages(1, many), h.box(1, "Sent").ID, h.box(1, "Archive").ID
	all := everything()
	flags := func(f mail.Flags, set mail.UIDSet) func() {
		return func() { _, err := h.SetFlags(ctx, box, set, store.FlagChange{Flags: f}); h.must(err) }
	}
	for _, c := range []struct {
		name  string
		first func() // says what is said
		do    func()
		most  int64
	}{
		{"a delivery to 1", deliver(1), deliver(1), 3},
		{"a delivery to 20", deliver(20), deliver(20), 3},
		{"a delivery to 100", deliver(100), deliver(100), 3},
		{"STORE of 1", flags(mail.Seen, mail.UIDs(7)), flags(mail.Flagged, mail.UIDs(7)), 4},
		{"STORE of 10,000", nil, flags(mail.Answered, all), 30},
		{"COPY of 10,000", nil, func() { _, err := h.Copy(ctx, box, all, sent); h.must(err) }, 150},
		{"MOVE of 10,000", nil, func() { _, err := h.Move(ctx, box, all, archive); h.must(err) }, 150},
		{"EXPUNGE of 10,000", nil, func() { _, err := h.ExpungeAny(ctx, sent, all); h.must(err) }, 400},
	} {
		if c.first != nil {
			c.first()
		}
		got := h.trips(c.do)
		t.Logf("%s: %d round trips", c.name, got)
		if got > c.most || got == 0 == dbtest.OnServer() {
			t.Errorf("%s: %d round trips, want %d at most", c.name, got, c.most)
		}
	}
}
