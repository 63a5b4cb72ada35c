package store_test

import (
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Every range of a message, short or in a file, with trace or without.
func TestContentRanges(t *testing.T) {
	h := newHouse(t)
	f := h.inbox(h.account(1))
	id := h.box(1, mail.Inbox).ID
	traced := f
	traced.Trace = []byte("Received: here\r\n")
	for _, body := range []string{"short", strings.Repeat("long ", store.InlineMax/4)} {
		h.deliver(text("x", "ranges", body), f, traced)
	}
	v := h.view(id)
	for _, e := range v.All() {
		whole := h.read(id, e.UID)
		rows, _, err := h.Rows(ctx, id, []mail.UID{e.UID}, store.NeedContent)
		h.must(err)
		n := int64(len(whole))
		for _, r := range [][2]int64{{0, n}, {0, 0}, {0, 5}, {5, 16}, {10, 30}, {16, 17}, {17, n}, {n - 1, n}, {n, n}} {
			var b strings.Builder
			h.must(rows[0].Content.WriteRange(&b, r[0], r[1]))
			if b.String() != whole[r[0]:r[1]] {
				t.Errorf("UID %d, %d to %d: %d octets that differ", e.UID, r[0], r[1], b.Len())
			}
		}
		if err := rows[0].Content.WriteRange(new(strings.Builder), 0, n+1); err == nil {
			t.Errorf("UID %d: a range beyond the end was written", e.UID)
		}
		h.must(rows[0].Content.Close())
	}
}
