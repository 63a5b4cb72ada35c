package queue

import (
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// TestCheckFinds: each rule is broken once.
func TestCheckFinds(t *testing.T) {
	for _, tc := range []struct{ spoil, repair, want string }{
		{`UPDATE spool_item SET settled = 5`, `UPDATE spool_item SET settled = 0`, "not in custody"},
		{`UPDATE queue_delivery SET item = 9`, `UPDATE queue_delivery SET item = 1`, "nobody waits for"},
		{`UPDATE queue_delivery SET item = 9000000`, `UPDATE queue_delivery SET item = 1`, "delivery 9000000.1"},
		{`UPDATE queue_delivery SET state = 7, due = 0`, `UPDATE queue_delivery SET state = 1, due = 5`, "in no state"},
		{`UPDATE queue_delivery SET due = 0`, `UPDATE queue_delivery SET due = 5`, "without its time"},
		{`UPDATE queue_delivery SET state = 2`, `UPDATE queue_delivery SET state = 1`, "without its time"},
		{`UPDATE queue_delivery SET state = 3`, `UPDATE queue_delivery SET state = 1`, "holder"},
		{`UPDATE queue_delivery SET state = 3, owner = 99`, `UPDATE queue_delivery SET state = 1, owner = 0`, "holder"},
		{`UPDATE queue_delivery SET parked = 1, state = 2, due = 0`, `UPDATE queue_delivery SET parked = 0, state = 1, due = 5`, "parked"},
		{`UPDATE spool_item SET priority = 3`, `UPDATE spool_item SET priority = 0`, "lane"},
		{`INSERT INTO queue_event (item, seq, at, n, recipient, kind, note, record) VALUES (9, 1, 1, 0, '', 'hold', '', '')`,
			`DELETE FROM queue_event`, "forgotten"},
	} {
		inBubble(t, func(h *house) {
			h.send("one", from("s@a.test"), to("x@b.test"))
			exec := func(q string) {
				h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(q); return err }))
			}
			exec(tc.spoil)
			var got []string
			h.must(h.Check(ctx, func(p string) { got = append(got, p) }))
			if !strings.Contains(strings.Join(got, "; "), tc.want) {
				t.Errorf("%s: check says %q", tc.spoil, got)
			}
			exec(tc.repair)
		})
	}
}
