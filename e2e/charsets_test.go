package e2e

import (
	"fmt"
	"strings"
	"testing"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/mailgen"
)

// TestSwaksDeliversEveryCharset delivers one message in each charset from
// outside, and finds it by what it says.
func TestSwaksDeliversEveryCharset(t *testing.T) {
	s := startServer(t)
	var sent []mailgen.Message
	seen := map[string]bool{}
	for g := mailgen.New(3, false); len(seen) < mailgen.Charsets(); {
		m := g.Next()
		if m.Phrase == "" || seen[m.Charset] {
			continue
		}
		seen[m.Charset] = true
		sent = append(sent, m)
		run(t, "", "swaks", "--server", s.address(portMX), "--from", "x@example.org", "--to", "alice@yubin.test",
			"--data", "@"+write(t, "m.eml", m.Octets), "--silent", "2")
	}
	c, err := login(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, m := range sent {
		literal := fmt.Sprintf("{%d+}\r\n%s", len(m.Phrase), strings.ToUpper(m.Phrase))
		if len(strings.ToUpper(m.Phrase)) != len(m.Phrase) {
			literal = fmt.Sprintf("{%d+}\r\n%s", len(m.Phrase), m.Phrase)
		}
		hits := ""
		_, err := c.IMAP(false, func(r mailclient.Response) {
			if strings.HasPrefix(r.Text, "* SEARCH") {
				hits = r.Text
			}
		}, "SEARCH CHARSET UTF-8 SUBJECT %s TEXT %s", literal, literal)
		if want := fmt.Sprintf("* SEARCH %d", i+1); err != nil || hits != want {
			t.Errorf("%s: %q, %v; want %q", m.Charset, hits, err, want)
		}
	}
}
