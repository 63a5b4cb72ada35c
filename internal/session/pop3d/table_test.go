package pop3d

import (
	"io"
	"slices"
	"strings"
	"testing"

	"yubin/internal/proto/pop3"
)

// TestRows: each verb has a row, with the states that the RFCs give it, and all but
// the minimal commands (RFC 1939 §9) are announced (RFC 2449 §5).
func TestRows(t *testing.T) {
	rows := commandTable()
	for want, names := range map[states]string{
		authorization: "USER PASS AUTH STLS UTF8",
		transaction:   "RETR DELE TOP LIST UIDL STAT NOOP RSET",
		anyState:      "QUIT CAPA LANG",
	} {
		for name := range strings.FieldsSeq(names) {
			for v := range pop3.Verbs {
				if v.String() != name {
					continue
				}
				if rows[v].run == nil || rows[v].states != want {
					t.Errorf("%s has the states %b, want %b", name, rows[v].states, want)
				}
				rows[v].run = nil // Seen.
				if minimal := slices.Contains(strings.Fields("QUIT STAT LIST RETR DELE NOOP RSET PASS CAPA"), name); minimal != (rows[v].offer == nil) {
					t.Errorf("%s is announced: %v", name, rows[v].offer != nil)
				}
				if (rows[v].flags&endsGroup != 0) != (v == pop3.STLS) {
					t.Errorf("%s ends a group", name)
				}
			}
		}
	}
	for v, row := range rows {
		if row.run != nil {
			t.Errorf("no RFC has %v", pop3.Verb(v))
		}
	}
}

// proofs are commands that use what a line of CAPA says, and how the last answer
// begins.
var proofs = map[string]struct {
	loggedIn   bool
	send, want string
}{
	"TOP":                       {true, "TOP 1 0", "+OK"},
	"UIDL":                      {true, "UIDL 1", "+OK 1 "},
	"USER":                      {false, "USER anna@example.org\r\nPASS secret", "+OK 1 message"},
	"SASL":                      {false, "AUTH PLAIN AGFubmFAZXhhbXBsZS5vcmcAc2VjcmV0", "+OK 1 message"},
	"STLS":                      {false, "STLS", "+OK begin the handshake"},
	"UTF8 USER":                 {false, "UTF8\r\nUSER anna@example.org", "+OK the password"},
	"LANG":                      {false, "LANG en", "+OK en "},
	"RESP-CODES":                {false, "USER anna@example.org\r\nPASS wrong", "-ERR ["},
	"AUTH-RESP-CODE":            {false, "USER anna@example.org\r\nPASS wrong", "-ERR [AUTH] "},
	"PIPELINING":                {true, "NOOP\r\nSTAT", "+OK 1 "},
	"EXPIRE NEVER":              {true, "STAT", "+OK 1 "},
	"IMPLEMENTATION yubin-test": {true, "NOOP", "+OK"},
}

// TestOffersAreThere: each line of CAPA, before login and after, is used, and works.
func TestOffersAreThere(t *testing.T) {
	p := newPost(t)
	if err := p.deliver("Subject: x\n\nHello\n"); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, c := range []*client{p.dial(), p.logIn()} {
		c.say("CAPA")
		for line := range strings.FieldsFuncSeq(c.body(), func(r rune) bool { return r == '\r' || r == '\n' }) {
			if strings.HasPrefix(line, "SASL ") {
				line = "SASL"
			}
			if _, ok := proofs[line]; !ok {
				t.Errorf("no proof is known of %s", line)
			}
			told[line] = true
		}
		c.say("QUIT")
	}
	for line, proof := range proofs {
		if !told[line] {
			t.Errorf("%s is never told", line)
		}
		c := p.dial()
		if proof.loggedIn {
			c.say("USER anna@example.org")
			c.say("PASS secret")
		}
		if _, err := io.WriteString(c, proof.send+"\r\n"); err != nil {
			t.Fatal(err)
		}
		var got string
		for range strings.Count(proof.send, "\r\n") + 1 {
			got = c.hear()
		}
		if !strings.HasPrefix(got, proof.want) {
			t.Errorf("%s: %q is answered by %q", line, proof.send, got)
		}
		_ = c.Close()
		p.served.Wait() // Only one session has the maildrop.
	}
}
