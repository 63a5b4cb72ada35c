package imapd

import (
	"fmt"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// A FETCH that is read ahead answers as one that is not: also of a damaged
// message in the middle, and when others read ahead as well.
func TestFetchOfMany(t *testing.T) {
	const n, damaged = 3*fetchBatch + 7, fetchBatch + 9
	h := newHouse(t, func(c *Config) { c.Messages = &oneDamaged{Messages: c.Messages, uid: damaged} })
	for i := range n {
		h.deliver(mail.Inbox, simple(fmt.Sprint("number ", i)), 0)
	}
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	for range 2 {
		c.log = nil
		got := c.run("FETCH 1:* (UID BODY.PEEK[TEXT])")
		log := strings.Join(c.log, "\n")
		if !strings.HasPrefix(got, "NO [SERVERBUG]") {
			t.Errorf("the command ended with %q", got)
		}
		for i := range n {
			there := strings.Contains(log, fmt.Sprintf("* %d FETCH (UID %d BODY[TEXT] {", i+1, i+1))
			if there != (i+1 != damaged) {
				t.Fatalf("message %d was answered: %v", i+1, there)
			}
		}
		for len(h.srv.ahead) < cap(h.srv.ahead) { // The second time in turn.
			h.srv.ahead <- struct{}{}
		}
	}
	c.log = nil
	if got := c.run("FETCH 1:* (INTERNALDATE)"); !strings.HasPrefix(got, "OK") || len(c.log) < n {
		t.Errorf("%q after %d lines", got, len(c.log))
	}
}
