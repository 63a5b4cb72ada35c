package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// damage changes rows behind the queue's back.
func (h *house) damage(query string, args ...any) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

// TestUnreadableRows: a row that cannot be read is set aside, told of, and can be
// dropped; all others go their way.
func TestUnreadableRows(t *testing.T) {
	for _, tc := range []struct{ name, damage string }{
		{"recipient", `UPDATE queue_delivery SET recipient = 'no address' WHERE item = $1 AND n = 1`},
		{"attempt", `UPDATE queue_delivery SET last = '{' WHERE item = $1 AND n = 1`},
		{"number", `UPDATE queue_delivery SET attempts = 'many' WHERE item = $1 AND n = 1`},
		{"sender", `UPDATE spool_item SET sender = 'no sender' WHERE id = $1`},
	} {
		if tc.name == "number" && dbtest.OnServer() { // Has no number that is none.
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.answer = byLocal
				bad := h.send("bad", from("s@a.test"), to("x@b.test", "y@b.test"))
				h.damage(tc.damage, bad)
				for range 5 {
					h.send("good", from("s@a.test"), to("x@b.test", "no@c.test"))
				}
				h.Queue = h.queue("node", !h.shared) // It does not know what it would read.
				h.run()
				h.pass(time.Minute)
				h.want("good ones taken", h.gotBy("good x@b.test"), 5)
				h.want("reports of good ones", len(h.told()), 5)
				page, err := h.List(ctx, Filter{}, DeliveryID{}, 10)
				h.must(err)
				if len(page) == 0 || page[0].Item != bad || page[0].State != Held || page[0].Unreadable == "" {
					t.Fatalf("listed %+v", page)
				}
				var problems []string
				h.must(h.Queue.Check(ctx, func(p string) { problems = append(problems, p) }))
				h.must(h.spool.Check(ctx, func(p string) { problems = append(problems, p) }))
				if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, "cannot be read") }) {
					t.Errorf("check says %q", problems)
				}
				s, err := h.Show(ctx, bad)
				h.must(err)
				h.want("shown", []bool{s.Unreadable != "", s.Deliveries[0].Unreadable != "", s.Item.MessageID == "<bad@test>"},
					[]bool{tc.name == "sender", tc.name != "sender", true})
				found, err := h.Trace(ctx, "<bad@test>", time.Time{}, 0, 10)
				h.must(err)
				h.want("traced", len(found), 1)
				n, err := h.Drop(ctx, Filter{Item: bad}, "", nil)
				h.must(err)
				h.want("dropped", n >= 1, true)
				h.want("left", h.count(Filter{}).Total(), 0)
			})
		})
	}
}

// TestUnreadableOwed: the reports of others do not wait for a row that cannot be
// read, and one put off with its site holds nobody up.
func TestUnreadableOwed(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		bad := h.send("bad", from("s@a.test"), notify(mail.NotifySuccess, []Recipient{{OutgoingRecipient: to("x@b.test")[0].OutgoingRecipient, Filed: true}}))
		h.damage(`UPDATE queue_delivery SET recipient = 'x' WHERE item = $1`, bad)
		h.send("good", from("s@a.test"), to("no@b.test"))
		h.run()
		h.pass(5 * time.Minute)
		h.want("told", h.told(), []string{"failed no@b.test"})
		page, err := h.List(ctx, Filter{State: Held}, DeliveryID{}, 10)
		h.must(err)
		h.want("held", len(page), 1)
		_, err = h.Drop(ctx, Filter{Item: bad}, "", nil)
		h.must(err)
	})
}
