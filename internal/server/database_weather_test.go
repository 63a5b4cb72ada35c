//go:build postgres

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/mailclient"
	"yubin/internal/world/config"
)

// TestDatabaseWeather has mail come in and be read while PostgreSQL is cut off before,
// in and behind COMMIT, slow, silent, away, and killed. Who sends hears 250 or 4xx, who
// reads hears UNAVAILABLE or SYS/TEMP, all within their time; what was acknowledged is
// there, once, what was refused is not, and all heals by itself. It wants a PostgreSQL
// that syncs: scripts/with-postgres --fsync.
func TestDatabaseWeather(t *testing.T) {
	w := &databaseWeather{t: t, proxy: dbtest.NewProxy(t), cfg: local(t), acked: map[string]bool{}}
	w.cfg.Database = dbtest.OnURL(t, w.proxy.URL()).URL
	var stop func() error
	w.server, stop = start(t, w.cfg)
	done := make(chan struct{})
	var senders sync.WaitGroup
	for i := range 3 {
		senders.Go(func() { w.send(fmt.Sprintf("s%d", i), done) })
	}
	for _, cut := range []dbtest.Cut{dbtest.BeforeCommit, dbtest.InCommit, dbtest.AfterCommit} {
		for range 5 {
			w.proxy.CutNext(cut)
			w.pass(200 * time.Millisecond)
		}
	}
	w.proxy.Delay(20 * time.Millisecond)
	w.pass(time.Second)
	w.proxy.Delay(0)
	w.proxy.CutAll()
	w.pass(time.Second)
	w.proxy.Silence(true)
	w.pass(2 * time.Second)
	w.proxy.Silence(false)
	if out, err := exec.Command(os.Getenv("YUBIN_TEST_POSTGRES"), "restart", "-m", "immediate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.pass(time.Second)
	session, err := w.imap()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	w.proxy.Refuse(true)
	w.proxy.CutAll()
	w.away(session)
	w.proxy.Refuse(false)
	w.heals()
	close(done)
	senders.Wait()
	w.account()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// databaseWeather is a server whose database is behind a proxy.
type databaseWeather struct {
	t      *testing.T
	proxy  *dbtest.Proxy
	cfg    config.Config
	server *Server

	mu      sync.Mutex
	acked   map[string]bool // by Message-ID: it was acknowledged, or refused
	refused int
}

// slowest is what any answer may take: a client waits for minutes.
const slowest = 45 * time.Second

func (w *databaseWeather) pass(d time.Duration) { <-time.After(d) }

func (w *databaseWeather) dial(service string) (*mailclient.Conn, error) {
	a := listenerOf(w.server, w.cfg, service).(*net.TCPAddr).AddrPort()
	return mailclient.Dial(a.Addr().String(), int(a.Port()), false)
}

// temporary are the answers that clients may hear instead of what they want.
var temporary = regexp.MustCompile(`said "(4\d\d |t\d+ NO \[UNAVAILABLE\]|-ERR \[SYS/TEMP\])`)

// told fails the test unless err is nil or a temporary answer in time.
func (w *databaseWeather) told(what string, begun time.Time, err error) (ok bool) {
	if err != nil && !temporary.MatchString(err.Error()) {
		w.t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(begun); took > slowest {
		w.t.Errorf("%s took %v", what, took)
	}
	return err == nil
}

// send sends messages to bob, one a connection, until done.
func (w *databaseWeather) send(name string, done chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		default:
		}
		id := fmt.Sprintf("%s.%d@weather.test", name, n)
		begun := time.Now()
		ok := w.told("SMTP", begun, w.deliver(id))
		w.mu.Lock()
		w.acked[id] = ok
		if !ok {
			w.refused++
		}
		w.mu.Unlock()
		if !ok {
			w.pass(50 * time.Millisecond)
		}
	}
}

func (w *databaseWeather) deliver(id string) error {
	c, err := w.dial("smtp")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	err = talk(c, "EHLO weather.test", "250", "MAIL FROM:<a@weather.test>", "250", "RCPT TO:<bob@yubin.test>", "250", "DATA", "354")
	if err != nil {
		return err
	}
	return c.Command("250", "Message-ID: <%s>\r\n\r\nIt rains.\r\n.", id)
}

// imap is a session of bob with INBOX selected.
func (w *databaseWeather) imap() (*mailclient.Conn, error) {
	c, err := w.dial("imap")
	if err != nil {
		return nil, err
	}
	if _, err = c.Line(); err == nil {
		_, err = c.IMAP(false, nil, "LOGIN bob@yubin.test secret")
	}
	if err == nil {
		_, err = c.IMAP(false, nil, "SELECT INBOX")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (w *databaseWeather) pop3() error {
	c, err := w.dial("pop3")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = c.Line(); err == nil {
		_, err = c.POP3("USER bob@yubin.test")
	}
	if err == nil {
		_, err = c.POP3("PASS secret")
	}
	return err
}

// away asks by IMAP, in a session from before and in new ones, and by POP3 while
// PostgreSQL refuses everybody: for longer than anybody waits for it.
func (w *databaseWeather) away(session *mailclient.Conn) {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); w.pass(time.Second) {
		begun := time.Now()
		if _, err := session.Append("INBOX", "", []byte("Subject: not kept\r\n\r\n")); w.told("APPEND", begun, err) {
			w.t.Error("a message was appended without a database")
		}
		begun = time.Now()
		c, err := w.imap()
		if w.told("IMAP", begun, err) {
			w.t.Error("INBOX was opened without a database")
			_ = c.Close()
		}
		if !w.server.store.db.Traffic().Away {
			w.t.Error("the metrics do not say that the database is away")
		}
		if begun = time.Now(); w.told("POP3", begun, w.pop3()) {
			w.t.Error("a maildrop was opened without a database")
		}
	}
}

// heals waits until mail is taken and read again.
func (w *databaseWeather) heals() {
	begun := time.Now()
	for err := errors.New("not tried"); err != nil; w.pass(100 * time.Millisecond) {
		if time.Since(begun) > slowest {
			w.t.Fatalf("it does not heal: %v", err)
		}
		if err = w.deliver(fmt.Sprintf("healed.%d@weather.test", time.Since(begun))); err == nil {
			var c *mailclient.Conn
			if c, err = w.imap(); err == nil {
				err = errors.Join(c.Close(), w.pop3())
			}
		}
	}
	w.t.Logf("healed after %v", time.Since(begun).Round(time.Millisecond))
}

// account compares the mailbox with what was acknowledged.
func (w *databaseWeather) account() {
	c, err := w.imap()
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	found := map[string]int{}
	_, err = c.IMAP(true, func(r mailclient.Response) {
		for _, l := range r.Literals {
			id := strings.TrimSpace(strings.TrimPrefix(string(l), "Message-ID: "))
			found[strings.Trim(id, "<>")]++
		}
	}, "FETCH 1:* BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]")
	if err != nil {
		w.t.Fatal(err)
	}
	taken := 0
	for id, ok := range w.acked {
		want := 0
		if ok {
			want, taken = 1, taken+1
		}
		if found[id] != want {
			w.t.Errorf("%s is there %d times; acknowledged: %v", id, found[id], ok)
		}
	}
	w.t.Logf("ledger: %d messages acknowledged and kept, %d refused for now", taken, w.refused)
	if taken < 10 || w.refused == 0 {
		w.t.Error("that was no weather")
	}
	if err := admin.InProcess(w.server.Admin()).Check(w.t.Context(), true, func(p string) { w.t.Error("check: " + p) }); err != nil {
		w.t.Error(err)
	}
}
