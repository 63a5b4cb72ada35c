package imapd

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// TestRows: each verb has a row, with the states that the RFCs give it (RFC 9051 §6,
// RFC 3501 §6) and the rules of RFC 9051 §5.5 and §7.5.1 about sequence numbers.
func TestRows(t *testing.T) {
	rows := commandTable()
	for want, names := range map[states]string{
		anyState:         "CAPABILITY NOOP LOGOUT ID",
		notAuthenticated: "STARTTLS AUTHENTICATE LOGIN",
		afterLogin: "ENABLE SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS " +
			"APPEND IDLE",
		inMailbox: "CLOSE UNSELECT CHECK EXPUNGE SEARCH FETCH STORE COPY MOVE UID_EXPUNGE UID_SEARCH UID_FETCH UID_STORE UID_COPY UID_MOVE",
	} {
		for name := range strings.FieldsSeq(names) {
			verb := imap.VerbOf([]byte("t " + strings.ReplaceAll(name, "_", " ")))
			if rows[verb].run == nil || rows[verb].states != want {
				t.Errorf("%s has the states %b, want %b", name, rows[verb].states, want)
			}
			rows[verb].run = nil // Seen.
		}
	}
	for verb, row := range rows {
		if row.run != nil {
			t.Errorf("no RFC has %v", imap.Verb(verb))
		}
		has := func(f flags) bool { return row.flags&f != 0 }
		switch v := imap.Verb(verb); v {
		case imap.FETCH, imap.STORE, imap.SEARCH:
			if !has(usesNumbers) || has(breaksNumbers) {
				t.Errorf("%v uses sequence numbers, and no EXPUNGE may be sent while it runs", v)
			}
		case imap.COPY, imap.MOVE, imap.UIDSEARCH:
			if !has(usesNumbers) || !has(breaksNumbers) {
				t.Errorf("%v uses sequence numbers, and EXPUNGE may be sent while it runs", v)
			}
		default:
			if has(usesNumbers) {
				t.Errorf("%v uses no sequence numbers", v)
			}
		}
		if has(expunges) && !has(breaksNumbers) {
			t.Errorf("%v expunges and does not tell", imap.Verb(verb))
		}
		if has(endsGroup) != (imap.Verb(verb) == imap.STARTTLS) {
			t.Errorf("%v ends a group: %v", imap.Verb(verb), has(endsGroup))
		}
	}
}

// proofs are commands that use a capability, at the moment for them, and what the
// answer then has.
var proofs = map[string]struct{ moment, send, want string }{
	"IMAP4rev1":          {afterSelect, "t CHECK\r\n", "t OK"},
	"IMAP4rev2":          {afterSelect, "t ENABLE IMAP4rev2\r\n", "* ENABLED IMAP4rev2"},
	"LITERAL-":           {beforeLogin, "t LOGIN {17+}\r\nalice@example.org secret\r\n", "t OK"},
	"LITERAL+":           {afterSelect, "t CREATE {3+}\r\nabc\r\n", "t OK"},
	"IDLE":               {afterSelect, "t IDLE\r\nDONE\r\n", "t OK"},
	"ID":                 {beforeLogin, "t ID NIL\r\n", "* ID ("},
	"ENABLE":             {afterSelect, "t ENABLE X\r\n", "* ENABLED"},
	"BINARY":             {afterSelect, "t FETCH 1 BINARY.PEEK[1]\r\n", "BINARY[1]"},
	"STATUS=SIZE":        {afterSelect, "t STATUS INBOX (SIZE)\r\n", "(SIZE "},
	"ESEARCH":            {afterSelect, "t SEARCH RETURN (COUNT) ALL\r\n", `* ESEARCH (TAG "t") COUNT `},
	"SEARCHRES":          {afterSelect, "t SEARCH RETURN (SAVE) ALL\r\nu FETCH $ FLAGS\r\n", "* 1 FETCH (FLAGS"},
	"CHILDREN":           {afterSelect, "t LIST \"\" % RETURN (CHILDREN)\r\n", `\HasNoChildren`},
	"LIST-EXTENDED":      {afterSelect, "t LIST (SUBSCRIBED) \"\" (\"%\" \"x\")\r\n", `\Subscribed`},
	"LIST-STATUS":        {afterSelect, "t LIST \"\" INBOX RETURN (STATUS (MESSAGES))\r\n", "* STATUS \"INBOX\" (MESSAGES "},
	"SPECIAL-USE":        {afterSelect, "t LIST (SPECIAL-USE) \"\" *\r\n", `\Sent`},
	"CREATE-SPECIAL-USE": {afterSelect, "t DELETE Archive\r\nu CREATE mine (USE (\\Archive))\r\n", "u OK"},
	"NAMESPACE":          {afterSelect, "t NAMESPACE\r\n", "* NAMESPACE (("},
	"MOVE":               {afterSelect, "t MOVE 1 Trash\r\n", "* 1 EXPUNGE"},
	"UIDPLUS":            {afterSelect, "t COPY 1 Trash\r\n", "[COPYUID "},
	"UNSELECT":           {afterSelect, "t UNSELECT\r\n", "t OK"},
	"SASL-IR":            {beforeLogin, "t AUTHENTICATE PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n", "t OK"},
	"AUTH=PLAIN":         {beforeLogin, "t AUTHENTICATE PLAIN\r\nAGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n", "t OK"},
	"AUTH=SCRAM-SHA-256": {beforeLogin, "t AUTHENTICATE SCRAM-SHA-256\r\n", "+ "},
	"STARTTLS":           {farAway, "t STARTTLS\r\n", "t OK"},
	"LOGINDISABLED":      {farAway, "t LOGIN a b\r\n", "t NO [PRIVACYREQUIRED]"},
}

// Moments of a session.
const (
	beforeLogin = "before login"
	farAway     = "before login, not on loopback"
	afterSelect = "with a mailbox selected"
)

// TestOffersAreThere: whatever CAPABILITY tells at any moment is used, and works.
func TestOffersAreThere(t *testing.T) {
	h := newHouse(t)
	dial := func(moment string) net.Conn {
		h.far = moment == farAway
		c := h.dial(t)
		if moment != afterSelect {
			expect(t, c, "ready\r\n")
			return c
		}
		_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\n")
		expect(t, c, "b OK")
		return c
	}
	told := map[string]bool{}
	for _, moment := range []string{beforeLogin, farAway, afterSelect} {
		c := dial(moment)
		_, _ = io.WriteString(c, "z CAPABILITY\r\n")
		_, list, _ := strings.Cut(expect(t, c, "z OK"), "* CAPABILITY ")
		list, _, _ = strings.Cut(list, "\r\n")
		for name := range strings.FieldsSeq(list) {
			if _, ok := proofs[name]; !ok {
				t.Errorf("%s is told %s, and no proof is known", name, moment)
			}
			told[name] = true
		}
	}
	for name, proof := range proofs {
		if !told[name] {
			t.Errorf("%s is never told", name)
		}
		h.deliver(mail.Inbox, simple("for "+name), 0)
		c := dial(proof.moment)
		_, _ = io.WriteString(c, proof.send)
		expect(t, c, proof.want)
	}
}

// TestNumbersUnderWay: a client that sends sequence numbers before it heard the
// answer to the command before means the messages that it knows; it is told of
// others' expunges only after that.
func TestNumbersUnderWay(t *testing.T) {
	h := newHouse(t)
	for i := range 4 {
		h.deliver(mail.Inbox, simple(fmt.Sprintf("message %d", i+1)), 0)
	}
	c := h.dial(t)
	_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\n")
	expect(t, c, "b OK")
	for _, step := range []struct {
		gone            string // the UID that another client expunges
		send, end, want string // want without what is after the conditions
	}{
		{"1", "c NOOP\r\nd STORE 2 +FLAGS.SILENT (\\Flagged)\r\ne UID FETCH 2 FLAGS\r\n", "e OK",
			"c OK|d OK|* 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent))|* 1 EXPUNGE|e OK"},
		{"2", "f UID FETCH 3 UID\r\ng UID SEARCH 1:2\r\nh NOOP\r\ni NOOP\r\n", "i OK",
			"* 2 FETCH (UID 3)|f OK|* SEARCH 2 3|* 1 EXPUNGE|g OK|h OK|i OK"},
		{"3", "j EXPUNGE\r\nk FETCH 1 UID\r\n", "k OK", "* 1 EXPUNGE|j OK|* 1 FETCH (UID 4)|k OK"},
	} {
		if err := h.expungeElsewhere(step.gone); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, step.send)
		var got []string
		for line := range strings.Lines(expect(t, c, step.end)) {
			if line = strings.TrimRight(line, "\r\n"); !strings.HasPrefix(line, "*") {
				line = line[:len("c OK")]
			}
			got = append(got, line)
		}
		if text := strings.Join(got, "|"); text != step.want {
			t.Errorf("%q:\n got %s\nwant %s", step.send, text, step.want)
		}
	}
}

// TestNothingBehindSTARTTLS: what is pipelined behind it ends the session, and where
// no TLS can be had, it is a command that is refused.
func TestNothingBehindSTARTTLS(t *testing.T) {
	h := newHouse(t)
	c := h.dial(t)
	_, _ = io.WriteString(c, "a STARTTLS\r\nb NOOP\r\n")
	if got := expect(t, c, "* BYE input came before the response"); strings.Contains(got, "a OK") {
		t.Errorf("the handshake was to begin: %q", got)
	}
	c = h.dial(t)
	_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\nb STARTTLS\r\nc NOOP\r\n")
	if got := expect(t, c, "c OK"); !strings.Contains(got, "b BAD already logged in") {
		t.Errorf("after login: %q", got)
	}
}
