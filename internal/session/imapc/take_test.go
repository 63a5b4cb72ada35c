package imapc

import (
	"strings"
	"testing"

	"yubin/internal/mail"
)

// TestTake: a message is found by its Message-ID, read and removed; what is not there, and
// what is refused, is told.
func TestTake(t *testing.T) {
	c := anna(t, "IMAP4rev1",
		step{`SELECT "INBOX"`, "* 9 EXISTS\r\nTAG OK [READ-WRITE] done\r\n"},
		step{`UID SEARCH HEADER MESSAGE-ID "<a@example.org>"`, "* SEARCH 7 12\r\nTAG OK done\r\n"},
		step{"UID FETCH 12 (UID BODY.PEEK[])", "* 3 FETCH (UID 12 BODY[] {5}\r\nhello)\r\nTAG OK done\r\n"},
		step{`UID STORE 12 +FLAGS.SILENT (\Deleted)`, "TAG OK done\r\n"},
		step{"UID EXPUNGE 12", "* 3 EXPUNGE\r\nTAG OK done\r\n"},
		step{`SELECT "Junk"`, "TAG NO there is no such mailbox\r\n"},
		step{`SELECT "INBOX"`, "TAG OK done\r\n"},
		step{`UID SEARCH HEADER MESSAGE-ID "<b@example.org>"`, "* SEARCH\r\nTAG OK done\r\n"},
		step{"UID FETCH 12 (UID BODY.PEEK[])", "TAG NO not today\r\n"},
	).Client
	found, err := c.Find(t.Context(), "INBOX", "<a@example.org>")
	if err != nil || len(found) != 2 || found[1] != 12 {
		t.Fatalf("found %v, %v", found, err)
	}
	text, err := c.Take(t.Context(), 12, 1000)
	if err != nil || string(text) != "hello" {
		t.Errorf("took %q, %v", text, err)
	}
	if _, err := c.Find(t.Context(), "Junk", "<a@example.org>"); mail.KindOf(err) != mail.NotFound || err == nil {
		t.Errorf("no mailbox: %v", err)
	}
	if found, err := c.Find(t.Context(), "INBOX", "<b@example.org>"); err != nil || len(found) != 0 {
		t.Errorf("nothing is there: %v, %v", found, err)
	}
	if _, err := c.Take(t.Context(), 12, 1000); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("refused: %v", err)
	}
	if _, err := c.Find(t.Context(), "INBOX\r\nx", ""); mail.KindOf(err) != mail.Invalid || err == nil {
		t.Errorf("a line end: %v", err)
	}
}
