//go:build postgres

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"yubin/internal/server/admin"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/mailclient"
	"yubin/internal/world/config"
)

// TestDatabaseWeather has mail come in and be read while PostgreSQL is cut off before,
// in and behind COMMIT, slow, silent, away, killed, and out of connections. Who sends hears 250 or 4xx, who
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
	free := w.crowd()
	w.proxy.Refuse(true)
	w.proxy.CutAll()
	w.pass(500 * time.Millisecond) // The crowd takes what the server had.
	w.proxy.Refuse(false)
	w.away(session)
	free()
	w.heals()
	close(done)
	senders.Wait()
	w.account()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestDatabaseFull has mail come in while the disk of PostgreSQL's tables fills, and is
// full: it is refused for now, and what was taken is there. When there is room again,
// mail is taken by itself.
func TestDatabaseFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a disk of its own wants root")
	}
	w := &databaseWeather{t: t, proxy: dbtest.NewProxy(t), cfg: local(t), acked: map[string]bool{}}
	folder := w.smallDisk(48 << 20)
	w.cfg.Database = dbtest.OnURL(t, w.proxy.URL()+"&default_tablespace=small").URL
	var stop func() error
	w.server, stop = start(t, w.cfg)
	done := make(chan struct{})
	var senders sync.WaitGroup
	for i := range 3 {
		senders.Go(func() { w.send(fmt.Sprintf("f%d", i), done) })
	}
	w.pass(time.Second)
	filler := filepath.Join(folder, "filler")
	w.fill(filler)
	for begun := time.Now(); w.refusals() < 20; w.pass(50 * time.Millisecond) {
		if time.Since(begun) > slowest {
			t.Fatal("a full disk refused nothing")
		}
	}
	c, err := w.imap() // What is there can be read.
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.heals()
	close(done)
	senders.Wait()
	w.account()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// smallDisk is a file system of a size, where the tablespace "small" is.
func (w *databaseWeather) smallDisk(size int) (folder string) {
	u, err := url.Parse(dbtest.URL())
	if err != nil {
		w.t.Fatal(err)
	}
	folder = filepath.Join(u.Query().Get("host"), "small")
	owner, err := os.Stat(filepath.Dir(folder))
	if err == nil {
		err = os.Mkdir(folder, 0o700)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	stat := owner.Sys().(*syscall.Stat_t)
	w.t.Cleanup(func() {
		w.sql("DROP TABLESPACE small")
		if err := errors.Join(syscall.Unmount(folder, syscall.MNT_DETACH), os.Remove(folder)); err != nil {
			w.t.Error(err)
		}
	})
	if err := syscall.Mount("small", folder, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700,uid=%d,gid=%d", size, stat.Uid, stat.Gid)); err != nil {
		w.t.Fatal(err)
	}
	w.sql("CREATE TABLESPACE small LOCATION '" + folder + "'")
	return folder
}

// fill writes a file until the disk is full.
func (w *databaseWeather) fill(name string) {
	f, err := os.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for err = nil; err == nil; {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		w.t.Fatal(err)
	}
}

// sql runs a statement, not by way of the proxy.
func (w *databaseWeather) sql(statement string) {
	c, err := pgconn.Connect(context.Background(), dbtest.URL())
	if err == nil {
		_, err = c.Exec(context.Background(), statement).ReadAll()
		err = errors.Join(err, c.Close(context.Background()))
	}
	if err != nil {
		w.t.Errorf("%s: %v", statement, err)
	}
}

// crowd takes all connections that PostgreSQL has, and all that come free, until it is
// told to free them.
func (w *databaseWeather) crowd() (free func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	full := make(chan struct{})
	var crowd sync.WaitGroup
	crowd.Go(func() {
		var all []*pgconn.PgConn
		for once := sync.OnceFunc(func() { close(full) }); ctx.Err() == nil; {
			c, err := pgconn.Connect(ctx, dbtest.URL())
			if err == nil {
				all = append(all, c)
				continue
			}
			if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "53300" {
				once()
			}
			w.pass(time.Millisecond)
		}
		for _, c := range all {
			_ = c.Close(context.Background())
		}
	})
	<-full
	return func() { cancel(); crowd.Wait() }
}

func (w *databaseWeather) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
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
// PostgreSQL refuses everybody: for longer than anybody waits for it, and not so long
// that what became of a COMMIT is no longer asked (30 s).
func (w *databaseWeather) away(session *mailclient.Conn) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); w.pass(time.Second) {
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
