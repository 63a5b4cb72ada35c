package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/mailclient"
	"yubin/internal/world/config"
	"yubin/internal/world/files"
)

// mixedLength is for how long TestMixedLoad works; YUBIN_MIXED says otherwise,
// and `make race` says a minute.
const mixedLength = 2 * time.Second

// TestMixedLoad has everything happen at once: mail comes in and goes out, is
// read, moved and thrown away by IMAP and POP3, while administrators change
// accounts, quotas and routes, the configuration is reloaded and backups are
// made. What was acknowledged is there in the end, and the store is sound. It is
// worth most with the race detector.
func TestMixedLoad(t *testing.T) {
	length := mixedLength
	if s := os.Getenv("YUBIN_MIXED"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	m := newBustle(t)
	works := map[string]func(n int) error{
		"smtp": m.deliver, "smtp again": m.deliver, "lmtp": m.lmtp, "submission": m.submit,
		"imap": m.read, "imap again": m.read, "imap idle": m.idle, "pop3": m.fetch,
		"accounts": m.accounts, "tables": m.tables, "queue": m.queue, "check": m.check, "reload": m.reload, "backup": m.backup,
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var g sync.WaitGroup
	for name, work := range works {
		g.Go(func() {
			n := 0
			for ; n == 0 || ctx.Err() == nil; n++ {
				if err := work(n); err != nil {
					t.Errorf("%s, round %d: %v", name, n, err)
					return
				}
			}
			t.Logf("%s: %d rounds", name, n)
		})
	}
	g.Wait()
	m.account()
}

// bustle is a server under a mixed load.
type bustle struct {
	t      *testing.T
	server *Server
	cfg    config.Config
	client *admin.Client
	stop   func() error
	depot  string

	mu   sync.Mutex
	kept int // messages that were acknowledged for keep@yubin.test
}

func newBustle(t *testing.T) *bustle {
	m := &bustle{t: t, cfg: local(t), depot: t.TempDir()}
	m.server, m.stop = start(t, m.cfg)
	m.client = admin.InProcess(m.server.Admin())
	for _, local := range []string{"alice", "carol", "keep", "small", config.LocalCapture} {
		if _, err := m.client.AddAccount(t.Context(), admin.NewAccount{Address: local + "@yubin.test", Password: "secret", AllowWeakPassword: true}); err != nil {
			t.Fatal(err)
		}
	}
	few := int64(20)
	if _, err := m.client.ChangeAccount(t.Context(), "small@yubin.test", admin.AccountChange{Quota: &admin.QuotaChange{Messages: &few}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.client.AddAlias(t.Context(), admin.Alias{Address: "all@yubin.test", Targets: []string{"alice@yubin.test", "bob@yubin.test", "carol@yubin.test"}}); err != nil {
		t.Fatal(err)
	}
	return m
}

// account stops the server and compares what it has with what was acknowledged.
func (m *bustle) account() {
	who, err := m.server.store.directory.Account(m.t.Context(), mail.Address{Local: "keep", Domain: "yubin.test"})
	if err != nil {
		m.t.Fatal(err)
	}
	u, err := m.server.store.mail.Usage(m.t.Context(), who.ID)
	if err != nil || u.Messages != int64(m.kept) {
		m.t.Errorf("keep has %d messages of %d that were acknowledged, %v", u.Messages, m.kept, err)
	}
	if err := m.client.Check(m.t.Context(), true, func(problem string) { m.t.Error("check: " + problem) }); err != nil {
		m.t.Error(err)
	}
	if err := m.stop(); err != nil {
		m.t.Error(err)
	}
}

// dial connects to a listener.
func (m *bustle) dial(service string) (*mailclient.Conn, error) {
	a := listenerOf(m.server, m.cfg, service).(*net.TCPAddr).AddrPort()
	return mailclient.Dial(a.Addr().String(), int(a.Port()), strings.HasSuffix(service, "s"))
}

// talk has a conversation of commands and the beginnings of the replies to them,
// one after the other.
func talk(c *mailclient.Conn, lines ...string) error {
	for i := 0; i < len(lines); i += 2 {
		if err := c.Command(lines[i+1], "%s", lines[i]); err != nil {
			return fmt.Errorf("%.40s: %w", lines[i], err)
		}
	}
	return nil
}

// letter makes a message; some are beyond what is kept in the database.
func letter(n int) string {
	size := 300
	if n%16 == 15 {
		size = 80 << 10
	}
	return fmt.Sprintf("From: a@remote.example\r\nSubject: letter %d\r\nMessage-ID: <%d.%d@remote.example>\r\n\r\n%s.", n, n, time.Now().UnixNano(),
		strings.Repeat("some words that somebody wrote to somebody\r\n", size/43))
}

// acknowledged counts a message for keep.
func (m *bustle) acknowledged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept++
}

func (m *bustle) deliver(n int) error {
	c, err := m.dial("smtp")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	if err := talk(c, "EHLO remote.example", "250"); err != nil {
		return err
	}
	for i := range 4 {
		err := talk(c, "MAIL FROM:<a@remote.example>", "250", "RCPT TO:<nobody@yubin.test>", "550", "RCPT TO:<keep@yubin.test>", "250",
			"RCPT TO:<all@yubin.test>", "250", "DATA", "354", letter(4*n+i), "250")
		if err != nil {
			return err
		}
		m.acknowledged()
	}
	return talk(c, "QUIT", "221")
}

// lmtp also writes to an account that is full soon.
func (m *bustle) lmtp(n int) error {
	c, err := m.dial("lmtp")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	if err := talk(c, "LHLO relay.example", "250", "MAIL FROM:<>", "250", "RCPT TO:<keep@yubin.test>", "250", "DATA", "354", letter(n), "250"); err != nil {
		return err
	}
	m.acknowledged()
	if err := talk(c, "MAIL FROM:<>", "250"); err != nil {
		return err
	}
	if err := c.Command("250", "RCPT TO:<small@yubin.test>"); err != nil {
		if !strings.Contains(err.Error(), "452 4.2.2") {
			return err
		}
		return talk(c, "QUIT", "221")
	}
	return talk(c, "DATA", "354", letter(n), "250", "QUIT", "221")
}

// submit writes to somebody elsewhere, whom the capture gets, and to Bob.
func (m *bustle) submit(n int) error {
	c, err := m.dial("submissions")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Reply("220"); err != nil {
		return err
	}
	text := strings.Replace(letter(n), "a@remote.example", "alice@yubin.test", 1)
	return talk(c, "EHLO client.example", "250", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00alice@yubin.test\x00secret")), "235",
		"MAIL FROM:<alice@yubin.test>", "250", "RCPT TO:<far@remote.example> NOTIFY=SUCCESS", "250", "RCPT TO:<bob@yubin.test>", "250",
		"DATA", "354", text, "250", "QUIT", "221")
}

// keepMessages is about how many messages readers leave in a mailbox.
const keepMessages = 50

// read is Bob at one of his computers; another may do the same at the same time.
func (m *bustle) read(n int) error {
	c, err := m.dial("imaps")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Line(); err != nil {
		return err
	}
	box := fmt.Sprintf("box%d.%d", n, time.Now().UnixNano())
	for _, command := range []string{
		"LOGIN bob@yubin.test secret", `LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN SIZE))`, "SELECT INBOX",
		"UID FETCH 1:* (FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)", "UID FETCH * (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY[TEXT])",
		"CREATE " + box, "SUBSCRIBE " + box, "UID SEARCH OR SUBJECT 7 TEXT somebody", `UID STORE 1:* +FLAGS (\Seen $Read)`, "NOOP",
	} {
		if _, err := c.IMAP(false, nil, "%s", command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	if _, err := c.Append(box, `\Seen`, []byte("Subject: a draft\r\n\r\nto be sent\r\n")); err != nil {
		return err
	}
	var uids []string
	_, err = c.IMAP(false, func(r mailclient.Response) {
		if list, ok := strings.CutPrefix(r.Text, "* SEARCH"); ok {
			uids = strings.Fields(list)
		}
	}, "UID SEARCH ALL")
	if err != nil {
		return err
	}
	commands := []string{"UID COPY 1:* " + box, "UNSUBSCRIBE " + box, "DELETE " + box, "LOGOUT"}
	if len(uids) > keepMessages {
		half := uids[len(uids)/2]
		commands = append([]string{"UID MOVE 1:" + half + " Trash", `UID STORE ` + half + `:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE",
			"SELECT Trash", `UID STORE 1:* FLAGS (\Deleted)`, "CLOSE", "SELECT INBOX"}, commands...)
	}
	for _, command := range commands {
		if _, err := c.IMAP(false, nil, "%s", command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}

// idle waits for the next message to Alice.
func (m *bustle) idle(int) error {
	c, err := m.dial("imap")
	if err != nil {
		return err
	}
	defer c.Close()
	for i, line := range []string{"", "a LOGIN alice@yubin.test secret", "b SELECT INBOX", "c IDLE", "DONE", "d LOGOUT"} {
		if i > 0 {
			if err := c.Send("%s", line); err != nil {
				return err
			}
		}
		// The greeting, a tagged response, the "+" of IDLE, a message or what else the others do.
		for want := []string{"* OK", "a OK", "b OK", "+", "c OK", "d OK"}[i]; ; {
			got, err := c.Line()
			if err != nil {
				return err
			}
			if strings.HasPrefix(got, want) {
				break
			}
			if !strings.HasPrefix(got, "* ") {
				return fmt.Errorf("after %q: %q", line, got)
			}
		}
		if line != "c IDLE" {
			continue
		}
		if err := m.deliver(1); err != nil {
			return err
		}
		if _, err := c.Line(); err != nil {
			return err
		}
	}
	return nil
}

// fetch is Carol, who takes her mail home.
func (m *bustle) fetch(int) error {
	c, err := m.dial("pop3s")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Line(); err != nil {
		return err
	}
	for _, command := range []string{"USER carol@yubin.test", "PASS secret"} {
		if _, err := c.POP3("%s", command); err != nil {
			return err
		}
	}
	answer, err := c.POP3("STAT")
	if err != nil {
		return err
	}
	var messages, octets int
	if _, err := fmt.Sscanf(answer, "+OK %d %d", &messages, &octets); err != nil {
		return err
	}
	for i := range min(messages, 10) {
		if _, err := c.POP3("RETR %d", i+1); err != nil {
			return err
		}
		for line := ""; line != "."; {
			if line, err = c.Line(); err != nil {
				return err
			}
		}
		if _, err := c.POP3("DELE %d", i+1); err != nil {
			return err
		}
	}
	_, err = c.POP3("QUIT")
	return err
}

// accounts come and go, and change.
func (m *bustle) accounts(n int) error {
	ctx, address := m.t.Context(), fmt.Sprintf("new%d@yubin.test", n)
	if _, err := m.client.AddAccount(ctx, admin.NewAccount{Address: address, Password: "secret", AllowWeakPassword: true}); err != nil {
		return err
	}
	language, many := "ja", int64(1<<40+n) // more than anybody gets here
	change := admin.AccountChange{Language: &language, Quota: &admin.QuotaChange{Messages: &many}}
	if _, err := m.client.ChangeAccount(ctx, address, change); err != nil {
		return err
	}
	if _, err := m.client.SetSiteQuota(ctx, admin.QuotaChange{Octets: &many}); err != nil {
		return err
	}
	none := int64(0)
	if _, err := m.client.SetSiteQuota(ctx, admin.QuotaChange{Octets: &none}); err != nil {
		return err
	}
	if _, err := m.client.Accounts(ctx, ""); err != nil {
		return err
	}
	if _, err := m.client.Account(ctx, "bob@yubin.test"); err != nil {
		return err
	}
	return m.client.RemoveAccount(ctx, address)
}

// tables are the domains, aliases and routes.
func (m *bustle) tables(n int) error {
	ctx, domain := m.t.Context(), fmt.Sprintf("d%d.example", n)
	if _, err := m.client.AddDomain(ctx, domain); err != nil {
		return err
	}
	if _, err := m.client.AddAlias(ctx, admin.Alias{Address: "info@" + domain, Targets: []string{"alice@yubin.test"}}); err != nil {
		return err
	}
	if _, err := m.client.Explain(ctx, admin.Asked{Address: "info@" + domain, From: "a@remote.example"}); err != nil {
		return err
	}
	if err := m.client.RemoveAlias(ctx, "info@"+domain); err != nil {
		return err
	}
	network := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 32).String()
	if _, err := m.client.TrustNetwork(ctx, network); err != nil {
		return err
	}
	if err := m.client.UntrustNetwork(ctx, network); err != nil {
		return err
	}
	return m.client.RemoveDomain(ctx, domain)
}

// queue looks at the queue, and pulls at it.
func (m *bustle) queue(n int) error {
	ctx := m.t.Context()
	if _, err := m.client.QueueList(ctx, admin.QueueFilter{}, "", 10); err != nil {
		return err
	}
	if _, err := m.client.QueueSites(ctx, ""); err != nil {
		return err
	}
	if _, err := m.client.Trace(ctx, "bob@yubin.test", time.Now().Add(-time.Minute), 5); err != nil {
		return err
	}
	for _, act := range []string{"hold", "release", "retry"} {
		if _, err := m.client.QueueDo(ctx, act, admin.QueueChange{All: true}, func(int) {}); err != nil {
			return fmt.Errorf("%s: %w", act, err)
		}
	}
	return nil
}

// check verifies the store while it changes.
func (m *bustle) check(int) error {
	return m.client.Check(m.t.Context(), false, func(problem string) { m.t.Error("check: " + problem) })
}

// reload changes what a running server can change.
func (m *bustle) reload(n int) error {
	c := m.cfg
	c.Limits.MessageSize += int64(n % 2)
	c.Queue.SiteConcurrency = 1 + n%20
	reloaded, err := m.server.Reload(c)
	if len(reloaded.NeedRestart) > 0 {
		return fmt.Errorf("%v need a restart", reloaded.NeedRestart)
	}
	<-time.After(50 * time.Millisecond)
	return err
}

func (m *bustle) backup(int) error {
	_, err := m.client.Backup(m.t.Context(), files.Into(m.depot), func(backup.Progress) {})
	return err
}
