package e2e

import (
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
)

// TestJunkIsLearned: what an IMAP client moves into Junk is learned as junk, moved back
// it is not, and a restart changes nothing. What is answered is not junk either.
func TestJunkIsLearned(t *testing.T) {
	s := startServer(t)
	stats := func(want string) {
		t.Helper()
		out, err := s.yubin("junk", "stats", "--account", "alice@yubin.test")
		if err != nil || !strings.Contains(out, "alice@yubin.test: "+want+"\n") {
			t.Errorf("stats %q, %v; want %s", out, err, want)
		}
	}
	stats("0 junk, 0 ham")
	c, err := mailclient.Dial("127.0.0.1", s.port(portIMAP), false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Line(); err != nil {
		t.Fatal(err)
	}
	imap := func(command string) {
		t.Helper()
		if answer, err := c.IMAP(false, nil, "%s", command); err != nil {
			t.Fatalf("%s: %s, %v", command, answer, err)
		}
	}
	imap("LOGIN alice@yubin.test yubin-local")
	if _, err := c.Append("INBOX", "", []byte("From: x@example.org\r\nSubject: cheap pills\r\n\r\nBuy.\r\n")); err != nil {
		t.Fatal(err)
	}
	imap("SELECT INBOX")
	imap("MOVE 1 Junk")
	stats("1 junk, 0 ham")
	s.kill()
	s.start()
	stats("1 junk, 0 ham")
	c2, err := mailclient.Dial("127.0.0.1", s.port(portIMAP), false)
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if _, err := c2.Line(); err != nil {
		t.Fatal(err)
	}
	c = c2
	imap("LOGIN alice@yubin.test yubin-local")
	imap("SELECT Junk")
	imap("MOVE 1 INBOX")
	stats("0 junk, 1 ham")
	imap("SELECT INBOX")
	imap("MOVE 1 Junk")
	stats("1 junk, 0 ham")
	if _, err := c.Append("INBOX", "", []byte("From: y@example.org\r\nSubject: cheap tea\r\n\r\nBuy.\r\n")); err != nil {
		t.Fatal(err)
	}
	imap("SELECT INBOX")
	imap(`STORE 1 +FLAGS (\Answered)`)
	stats("1 junk, 1 ham")
	s.check()
}
