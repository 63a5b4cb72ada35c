package imapd

import (
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/heap"
)

// TestMemoryRunsOut: what would hold more than there is is NO [UNAVAILABLE], and the
// session goes on.
func TestMemoryRunsOut(t *testing.T) {
	h := newHouse(t)
	h.budget = heap.NewBudget(64 << 10)
	for range 3 {
		h.deliver(mail.Inbox, simple(strings.Repeat("long ", 100)), 0)
	}
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	for _, cmd := range []struct {
		line string
		fits bool
	}{
		{"FETCH 1:3 (UID FLAGS)", true},
		{"FETCH 1:3 BODY.PEEK[]", false},
		{"SEARCH UNSEEN", true},
		{"SEARCH TEXT long", false},
		{"SEARCH SUBJECT {30000+}\r\n" + strings.Repeat("x", 30_000), false},
		{"NOOP", true},
	} {
		got := c.run("%s", cmd.line)
		if strings.HasPrefix(got, "OK ") != cmd.fits || strings.Contains(got, "NO [UNAVAILABLE] there is not enough memory") == cmd.fits {
			t.Errorf("%.40s: %s", cmd.line, got)
		}
		c.run("NOOP")
		if held := h.budget.Stats().Held; held != 0 {
			t.Errorf("%.40s: %d octets are held afterwards", cmd.line, held)
		}
	}
}
