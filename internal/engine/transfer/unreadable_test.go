package transfer

import (
	"testing"

	"yubin/internal/world/sqldb"
)

// TestUnreadableRow: what is remembered of one message and cannot be read stops no
// import, is told of, and doubles nothing.
func TestUnreadableRow(t *testing.T) {
	h, f := newHouse(t), numbered(t, 3)
	h.take(f.source(), Plan{})
	h.must(h.db.Write(h.ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE transfer_taken SET flags = 1099511627776 WHERE uid = 10`)
		return err
	}))
	f.put("cur/4.a:2,", "A: 4\n\n")
	r := h.take(f.source(), Plan{})
	h.want("report", []int{r.Taken, r.There, r.Failed, len(r.Notes)}, "[1 3 0 1]")
	if n := h.box("INBOX").Exists; n != 4 {
		t.Errorf("%d messages", n)
	}
	r = h.take(f.source(), Plan{})
	h.want("again", []int{r.Taken, r.There, len(r.Notes)}, "[0 4 0]")
}
