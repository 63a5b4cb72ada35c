package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/testkit/memnet"
	"yubin/internal/world/sqldb"
)

// FuzzSession sends lines at a session that is logged in and has a mailbox
// selected: it must neither panic nor hang, and answer or close.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"a FETCH 1:* (FLAGS BODY[] BINARY[1] ENVELOPE BODYSTRUCTURE)\r\n",
		"a UID FETCH *:4294967295 (RFC822.SIZE BODY[1.2.3.MIME]<4294967295.4294967295>)\r\n",
		"a STORE 1:2 +FLAGS (\\Deleted x)\r\nb EXPUNGE\r\nc UID EXPUNGE $\r\n",
		"a SEARCH RETURN (SAVE MIN) OR TEXT \"x\" NOT (BODY y 1:* UID $)\r\nb FETCH $ UID\r\n",
		"a APPEND INBOX (\\Seen) {5+}\r\nab\x00de\r\nb APPEND INBOX UTF8 (~{3+}\r\nabc)\r\n",
		"a LIST (SUBSCRIBED RECURSIVEMATCH) \"a\" (\"%*\" \"\") RETURN (STATUS (SIZE RECENT))\r\nb LSUB \"\" \"%\"\r\n",
		"a IDLE\r\nDONE\r\nb IDLE\r\nx\r\n",
		"a CREATE x/y (USE (\\Junk))\r\nb RENAME INBOX z\r\nc DELETE INBOX\r\nd SELECT z\r\ne CLOSE\r\n",
		"a MOVE 1 Trash\r\nb COPY 1:* INBOX\r\nc ENABLE IMAP4rev2\r\nd EXAMINE Trash\r\ne UNSELECT\r\n",
		"a ID (\"name\" \"x\")\r\nb NAMESPACE\r\nc STATUS INBOX (RECENT SIZE)\r\nd LOGOUT\r\n",
	} {
		f.Add([]byte(s))
	}
	h := newHouse(f)
	for i := range 4 {
		h.deliver(mail.Inbox, simple(fmt.Sprintf("message %d", i)), 0)
	}
	h.deliver(mail.Inbox, h.testMessage("nested"), 0)
	f.Fuzz(func(t *testing.T, input []byte) {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.serve(theirs)
		}()
		go func() {
			_, _ = io.WriteString(ours, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\n")
			_, _ = ours.Write(input)
			_ = ours.CloseWrite()
		}()
		answered := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, ours)
			answered <- n
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			buf := make([]byte, 1<<16)
			t.Fatalf("the session hangs\n%s", buf[:runtime.Stack(buf, true)])
		}
		if n := <-answered; n == 0 {
			t.Fatal("not a word")
		}
		h.prune(t)
	})
}

// prune keeps the house small over many inputs: COPY 1:* INBOX doubles it.
func (h *house) prune(t *testing.T) {
	all, err := h.store.Mailboxes(t.Context(), h.alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range all {
		if box.Exists > 50 {
			_, err = h.store.ExpungeAny(t.Context(), box.ID, mail.UIDSet{{First: 1, Last: box.UIDNext - 10}})
		}
		if len(all) > 50 && box.Role == "" && !box.HasChildren {
			err = h.store.DeleteMailbox(t.Context(), h.alice, box.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dial opens a session without any test client around it.
func (h *house) dial(t testing.TB) *memnet.Conn {
	ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
	go h.serve(theirs)
	t.Cleanup(func() { _ = ours.Close() })
	return ours
}

// expect reads until text was seen, and returns what was read.
func expect(t testing.TB, c net.Conn, text string) string {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for !strings.Contains(got.String(), text) {
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before %q; got %q", err, text, got.String())
		}
	}
	return got.String()
}

// idler opens a session that is in IDLE with INBOX selected.
func (h *house) idler(t testing.TB) *memnet.Conn {
	c := h.dial(t)
	_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
	expect(t, c, "+ idling")
	return c
}

func TestHundredIdleSessionsAreToldAtOnce(t *testing.T) {
	h := newHouse(t)
	var conns []*memnet.Conn
	for range 100 {
		conns = append(conns, h.idler(t))
	}
	h.deliver(mail.Inbox, simple("news"), 0)
	start := time.Now()
	for _, c := range conns {
		expect(t, c, "* 1 EXISTS\r\n")
	}
	took := time.Since(start)
	t.Logf("100 sessions in %v", took)
	if took > 2*time.Second { // The aim is 50 ms; the bound allows for the race detector and busy machines.
		t.Errorf("took %v", took)
	}
}

func TestIdleSessionIsCheap(t *testing.T) {
	if raceEnabled {
		return // The race detector multiplies all sizes; the ordinary run measures.
	}
	h := newHouse(t)
	h.idler(t)
	before := inUse()
	const n = 500
	for range n {
		h.idler(t)
	}
	each := (inUse() - before) / n
	t.Logf("%d octets for an idle session with its goroutine and both ends of the pipe", each)
	if each > 16<<10 {
		t.Errorf("%d octets", each)
	}
}

// inUse is the memory of heap and stacks after a collection; twice, as stacks
// shrink by half at a time.
func inUse() uint64 {
	var m runtime.MemStats
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// stuckConn is a connection whose writes do not end while it is stuck.
type stuckConn struct {
	net.Conn
	stuck   *atomic.Bool
	release chan struct{}
	writes  *atomic.Int32 // that are stuck
}

func (c stuckConn) Write(p []byte) (int, error) {
	if c.stuck.Load() {
		c.writes.Add(1)
		<-c.release
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// Clients that do not read hold up nobody else.
func TestStuckClientsHoldUpNobody(t *testing.T) {
	h := newHouse(t)
	var stuck atomic.Bool
	var writes atomic.Int32
	release := make(chan struct{})
	for range 8 {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		go h.serve(stuckConn{theirs, &stuck, release, &writes})
		_, _ = io.WriteString(ours, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
		expect(t, ours, "+ idling")
		defer ours.Close()
	}
	reader := h.idler(t)
	stuck.Store(true)
	defer close(release)
	for i := range 3 {
		h.deliver(mail.Inbox, simple(fmt.Sprint("news ", i)), 0)
		expect(t, reader, fmt.Sprintf("* %d EXISTS\r\n", i+1))
	}
	if writes.Load() == 0 {
		t.Error("no write was stuck: the test tells nothing")
	}
}

// A damaged envelope is not shown: its message is left out, and the others are not.
func TestDamagedForm(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		h.deliver(mail.Inbox, simple(fmt.Sprint("number ", i)), 0)
	}
	replace := func(old, now string) { // in the second
		h.must(h.db.Write(h.ctx, func(tx *sqldb.Tx) error {
			var form []byte
			if err := tx.QueryRow(`SELECT form FROM blob WHERE id = 2`).Scan(&form); err != nil {
				return err
			}
			_, err := tx.Exec(`UPDATE blob SET form = $1 WHERE id = 2`, bytes.Replace(form, []byte(old), []byte(now), 1))
			return err
		}))
	}
	replace("number", "Number")
	defer replace("Number", "number") // Or Check finds it.
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	for _, cmd := range []string{"FETCH 1:3 ENVELOPE", "FETCH 1:3 BODYSTRUCTURE", "FETCH 1:3 (FLAGS BODY)", "FETCH 1:3 BODY.PEEK[1]"} {
		c.log = nil
		got := c.run("%s", cmd)
		log := strings.Join(c.log, "\n")
		if !strings.HasPrefix(got, "NO [SERVERBUG]") || !strings.Contains(log, "* 1 FETCH") || strings.Contains(log, "* 2 FETCH") ||
			!strings.Contains(log, "* 3 FETCH") {
			t.Error(log)
		}
	}
	if got := c.run("FETCH 2 BODY.PEEK[]"); !strings.HasPrefix(got, "OK") {
		t.Error(got)
	}
}

// A damaged message is left out, and the rest of the answer stands.
func TestDamagedMessage(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Messages = &oneDamaged{Messages: c.Messages, uid: 2} })
	for i := range 3 {
		h.deliver(mail.Inbox, simple(fmt.Sprint("number ", i)), 0)
	}
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	c.log = nil
	got := c.run("FETCH 1:3 (UID BODY.PEEK[HEADER.FIELDS (Nothing)])")
	log := strings.Join(c.log, "\n")
	if !strings.HasPrefix(got, "NO [SERVERBUG]") || !strings.Contains(log, "* 1 FETCH") || strings.Contains(log, "* 2 FETCH") ||
		!strings.Contains(log, "* 3 FETCH") {
		t.Error(log)
	}
	c.log = nil
	c.run("SEARCH TEXT number")
	if log := strings.Join(c.log, "\n"); !strings.Contains(log, "* SEARCH 1 3") {
		t.Error(log)
	}
}

// Of a message whose file is damaged no literal begins that needs the damage.
func TestDamagedFile(t *testing.T) {
	h := newHouse(t)
	octets := simple("large") + strings.Repeat("0123456789abcdef\r\n", store.InlineMax/4)
	h.deliver(mail.Inbox, octets, 0)
	h.deliver(mail.Inbox, simple("other"), 0)
	files, err := filepath.Glob(filepath.Join(h.path, "blobs", "??", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	was, err := os.ReadFile(files[0])
	h.must(err)
	now := slices.Clone(was)
	now[3*store.InlineMax] ^= 1
	h.must(os.WriteFile(files[0], now, 0o600))
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	for cmd, want := range map[string]string{
		"FETCH 1:2 BODY.PEEK[]":                       "NO [SERVERBUG]",
		"FETCH 1:2 RFC822.PEEK":                       "NO [SERVERBUG]",
		"FETCH 1:2 BODY.PEEK[TEXT]":                   "NO [SERVERBUG]",
		"FETCH 1:2 BINARY.PEEK[1]":                    "NO [SERVERBUG]",
		"FETCH 1:2 BODY.PEEK[]<196608.10>":            "NO [SERVERBUG]",
		"FETCH 1:2 BODY.PEEK[]<0.1000>":               "OK",
		"FETCH 1:2 (BODY.PEEK[HEADER] BODYSTRUCTURE)": "OK",
	} {
		c.log = nil
		got := c.run("%s", cmd)
		log := strings.Join(c.log, "\n")
		if !strings.HasPrefix(got, want) || !strings.Contains(log, "* 2 FETCH") || strings.Contains(log, "* 1 FETCH") != (want == "OK") {
			t.Errorf("%s: %s, %.300s", cmd, got, log)
		}
	}
	for _, item := range []string{"RFC822", "BODY[]", "BODY[TEXT]", "BINARY[1]", "BODY[]<196608.10>"} {
		c.run(`STORE 1:2 -FLAGS.SILENT (\Seen)`)
		got := c.run("FETCH 1:2 %s", item)
		c.log = nil
		c.run("FETCH 1:2 FLAGS")
		if log := strings.Join(c.log, "\n"); !strings.HasPrefix(got, "NO [SERVERBUG]") ||
			!strings.Contains(log, `* 1 FETCH (FLAGS (\Recent))`) || !strings.Contains(log, `* 2 FETCH (FLAGS (\Seen`) {
			t.Errorf("%s: %s, what cannot be read is not seen: %s", item, got, log)
		}
	}
	h.must(os.WriteFile(files[0], was, 0o600))
}

// oneDamaged is a store in which the content of one message cannot be read.
type oneDamaged struct {
	Messages
	uid mail.UID
}

func (d *oneDamaged) RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) ([]store.Row, int, error) {
	for _, u := range uids {
		if u == d.uid && need&store.NeedContent != 0 {
			return nil, 0, mail.Errorf(mail.Internal, "damaged")
		}
	}
	return d.Messages.RowsSince(ctx, id, since, uids, need, most)
}

// A store that fails altogether fails the command, and tells nothing of itself.
func TestBrokenStore(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Messages = brokenRows{c.Messages} })
	h.deliver(mail.Inbox, simple("one"), 0)
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	for _, cmd := range []string{"FETCH 1 BODY[]", "FETCH 1 RFC822.SIZE", "SEARCH TEXT x", "SEARCH LARGER 1"} {
		if got := c.run("%s", cmd); !strings.HasPrefix(got, "NO [SERVERBUG]") || strings.Contains(got, "password") {
			t.Errorf("%s: %s", cmd, got)
		}
	}
	if got := c.run("FETCH 1 FLAGS"); !strings.HasPrefix(got, "OK") {
		t.Error("flags need no rows: ", got)
	}
}

type brokenRows struct{ Messages }

func (brokenRows) RowsSince(context.Context, mail.MailboxID, mail.ModSeq, []mail.UID, store.Need, int) ([]store.Row, int, error) {
	return nil, 0, fmt.Errorf("database password is wrong")
}

// A mailbox has a bounded number of different keywords; PERMANENTFLAGS tells
// when there is no room for more.
func TestKeywordLimit(t *testing.T) {
	h := newHouse(t)
	for i := range store.MaxBoxKeywords/mail.MaxKeywords + 1 {
		h.deliver(mail.Inbox, simple(fmt.Sprint(i)), 0)
	}
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	keyword := 0
	for i := range store.MaxBoxKeywords / mail.MaxKeywords {
		var list []string
		for range mail.MaxKeywords {
			list = append(list, fmt.Sprint("k", keyword))
			keyword++
		}
		if got := c.run("STORE %d FLAGS.SILENT (%s)", i+1, strings.Join(list, " ")); !strings.HasPrefix(got, "OK") {
			t.Fatal(got)
		}
	}
	for _, cmd := range []string{"STORE 5 +FLAGS (another)", "STORE 5 FLAGS (another)", "APPEND INBOX (another) {1+}\r\nx"} {
		if got := c.run("%s", cmd); !strings.HasPrefix(got, "NO [LIMIT] a mailbox has at most 256 different keywords") {
			t.Errorf("%s: %s", cmd, got)
		}
	}
	if got := c.run("STORE 5 FLAGS (K7)"); !strings.HasPrefix(got, "OK") {
		t.Error(got)
	}
	view, err := h.store.View(h.ctx, h.boxID(mail.Inbox))
	h.must(err)
	if names := flagNames(view.KeywordNames().List()); len(names) < store.MaxBoxKeywords || view.KeywordRoom() {
		t.Errorf("%d flags are told, room for more: %v", len(names), view.KeywordRoom())
	}
}

func (h *house) boxID(name mail.MailboxName) mail.MailboxID {
	h.t.Helper()
	box, err := h.store.Mailbox(h.ctx, h.alice, name)
	h.must(err)
	return box.ID
}

func TestScram(t *testing.T) {
	h := newHouse(t)
	c := h.dial(t)
	client, err := scram.SHA256.NewClient("alice@example.org", "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	conv := client.NewConversation()
	first, _ := conv.Step("")
	expect(t, c, "ready\r\n")
	fmt.Fprintf(c, "a AUTHENTICATE SCRAM-SHA-256 %s\r\n", sasl.AppendChallenge(nil, []byte(first)))
	for !conv.Done() {
		challenge := challengeOf(t, c)
		answer, err := conv.Step(challenge)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "%s\r\n", sasl.AppendChallenge(nil, []byte(answer)))
	}
	expect(t, c, "a OK [CAPABILITY")
	if !strings.Contains(h.log.String(), "mech=SCRAM-SHA-256") || strings.Contains(h.log.String(), "secret") {
		t.Error(h.log.String())
	}
}

// challengeOf reads one continuation and decodes it.
func challengeOf(t *testing.T, c net.Conn) string {
	t.Helper()
	buf := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(buf)
	line, isChallenge := strings.CutPrefix(strings.TrimRight(string(buf[:n]), "\r\n"), "+ ")
	if err != nil || !isChallenge {
		t.Fatalf("no challenge: %q %v", buf[:n], err)
	}
	b, err := sasl.DecodeLine([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// BenchmarkFetchFlags fetches FLAGS and UID of 100,000 messages.
func BenchmarkFetchFlags(b *testing.B) {
	h := newHouse(b)
	const n = 100_000
	box, err := h.store.Mailbox(h.ctx, h.alice, mail.Inbox)
	h.must(err)
	uid := h.deliver(mail.Inbox, simple("bench"), 0)
	for have := 1; have < n; { // By doubling: COPY is one statement.
		set := mail.UIDSet{{First: uid, Last: mail.UID(min(have, n-have))}}
		c, err := h.store.Copy(h.ctx, box.ID, set, box.ID)
		h.must(err)
		have += len(c.Dest)
	}
	c := h.dial(b)
	_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\n")
	if got := expect(b, c, "b OK"); !strings.Contains(got, fmt.Sprintf("* %d EXISTS\r\n", n)) {
		b.Fatal(got)
	}
	for b.Loop() {
		_, _ = io.WriteString(c, "c FETCH 1:* (UID FLAGS)\r\n")
		drain(b, c, "c OK done\r\n")
	}
}

// drain reads until what was read ends in end.
func drain(t testing.TB, c net.Conn, end string) {
	buf := make([]byte, 64<<10)
	tail := ""
	for !strings.HasSuffix(tail, end) {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		tail = (tail + string(buf[max(0, n-len(end)):n]))
		tail = tail[max(0, len(tail)-len(end)):]
	}
}

// A command that is done is answered OK, although its news cannot be had just
// then: who heard NO would send the message once more.
func TestNewsFails(t *testing.T) {
	stingy := &noRecent{}
	h := newHouse(t, func(c *Config) { stingy.Messages, c.Messages = c.Messages, stingy })
	h.deliver(mail.Inbox, simple("one"), 0)
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	stingy.off.Store(true)
	if got := c.run("APPEND INBOX {6+}\r\na: b\r\n"); !strings.HasPrefix(got, "OK") {
		t.Errorf("APPEND was done, and the client hears %q", got)
	}
	stingy.off.Store(false)
	c.log = nil
	c.run("NOOP")
	if log := strings.Join(c.log, "\n"); !strings.Contains(log, "* 2 EXISTS") || !strings.Contains(log, "* 2 RECENT") {
		t.Errorf("the news has not come later:\n%s", log)
	}
}

// noRecent is a store that cannot be written to for \Recent.
type noRecent struct {
	Messages
	off atomic.Bool
}

func (n *noRecent) TakeRecent(ctx context.Context, id mail.MailboxID) (mail.UID, error) {
	if n.off.Load() {
		return 0, mail.Errorf(mail.Unavailable, "the disk is full")
	}
	return n.Messages.TakeRecent(ctx, id)
}

// What another session expunged is read until the store does not keep it any
// more; then the client hears that it is gone.
func TestExpungedIsReadWhileItIsKept(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		h.deliver(mail.Inbox, simple(fmt.Sprint("message ", i+1)), 0)
	}
	c := h.client(t, "A")
	c.run("SELECT INBOX")
	h.must(h.expungeElsewhere("2"))
	var got []string
	c.watch = func(l string) { got = append(got, l) }
	fetch := func() string {
		got = nil
		answer := c.run("FETCH 1:3 (UID FLAGS ENVELOPE BODY.PEEK[TEXT])")
		return answer
	}
	if answer := fetch(); !strings.HasPrefix(answer, "OK done") || len(got) != 3 || !strings.Contains(got[1], "body of message 2") {
		t.Errorf("%s: %q", answer, got)
	}
	h.later = 8 * 24 * time.Hour
	h.must(h.store.Sweep(h.ctx))
	answer := fetch()
	slices.Sort(got)
	if !strings.HasPrefix(answer, "OK [EXPUNGEISSUED]") || len(got) != 3 || got[1] != `* 2 FETCH (UID 2 FLAGS (\Recent) BODY[TEXT] NIL)` {
		t.Errorf("%s: %q", answer, got)
	}
	got = nil
	if answer := c.run("SEARCH TEXT message"); !strings.HasPrefix(answer, "OK") || !slices.Equal(got, []string{"* SEARCH 1 3"}) {
		t.Errorf("%s: %q", answer, got)
	}
}
