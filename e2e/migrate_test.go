package e2e

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// moving is what docs/migrate-from-postfix-dovecot.md adds to a Dovecot that is
// left: a master user.
const moving = `
auth_master_user_separator = *
passdb {
  driver = static
  master = yes
  args = user=mover password=%s
}
`

// folder is a mailbox as IMAP shows it.
type folder struct {
	validity, next string
	subscribed     bool
	messages       map[string]message // by UID
}

// message is what must be the same on both servers.
type message struct {
	flags string
	date  int64
	size  int
	sum   [32]byte
}

// mover is a client that looks at mailboxes.
type mover struct {
	t testing.TB
	*mailclient.Conn
}

func newMover(t testing.TB, host string, port int, user, password string) *mover {
	t.Helper()
	c, err := mailclient.Dial(host, port, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Line(); err != nil {
		t.Fatal(err)
	}
	m := &mover{t, c}
	m.do(nil, "LOGIN %s %q", user, password)
	return m
}

func (m *mover) do(untagged func(mailclient.Response), format string, args ...any) {
	m.t.Helper()
	if _, err := m.IMAP(true, untagged, format, args...); err != nil {
		m.t.Fatalf("%.100s: %v", fmt.Sprintf(format, args...), err)
	}
}

var listLine = regexp.MustCompile(`^\* L(?:IST|SUB) \(([^)]*)\) "(.)" "?([^"]*)"?$`)

// list lists names with "/" between levels; raw has them as the server does.
func (m *mover) list(command string) (names []string, raw map[string]string) {
	m.t.Helper()
	raw = make(map[string]string)
	m.do(func(r mailclient.Response) {
		f := listLine.FindStringSubmatch(r.Text)
		if f == nil || strings.Contains(f[1], "Noselect") || strings.Contains(f[1], "NonExistent") {
			return
		}
		name := strings.ReplaceAll(f[3], f[2], "/")
		names = append(names, name)
		raw[name] = f[3]
	}, "%s", command)
	return names, raw
}

var (
	statusCode = regexp.MustCompile(`\[(UIDVALIDITY|UIDNEXT) (\d+)\]`)
	fetchLine  = regexp.MustCompile(`UID (\d+) FLAGS \(([^)]*)\) INTERNALDATE "([^"]+)"`)
)

// look reads all mailboxes that have messages or had some.
func (m *mover) look() map[string]folder {
	m.t.Helper()
	subscribed, _ := m.list(`LSUB "" "*"`)
	names, raw := m.list(`LIST "" "*"`)
	all := make(map[string]folder)
	for _, name := range names {
		f := folder{subscribed: slices.Contains(subscribed, name), messages: make(map[string]message)}
		exists := true
		m.do(func(r mailclient.Response) {
			if c := statusCode.FindStringSubmatch(r.Text); c != nil && c[1] == "UIDNEXT" {
				f.next = c[2]
			} else if c != nil {
				f.validity = c[2]
			}
			exists = exists && r.Text != "* 0 EXISTS"
		}, "EXAMINE %q", raw[name])
		if exists {
			m.do(func(r mailclient.Response) { f.take(m.t, r) }, "FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")
		}
		if f.next != "1" {
			all[name] = f
		}
	}
	return all
}

func (f folder) take(t testing.TB, r mailclient.Response) {
	c := fetchLine.FindStringSubmatch(r.Text)
	if c == nil || len(r.Literals) != 1 {
		return
	}
	flags := strings.Fields(c[2])
	flags = slices.DeleteFunc(flags, func(s string) bool { return s == `\Recent` })
	slices.Sort(flags)
	date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", c[3])
	if err != nil {
		t.Fatal(err)
	}
	f.messages[c[1]] = message{strings.Join(flags, " "), date.Unix(), len(r.Literals[0]), sha256.Sum256(r.Literals[0])}
}

// same checks that two servers hold the same mail; renamed says which mailboxes
// have another name.
func same(t *testing.T, about string, got, want map[string]folder, renamed map[string]string) {
	t.Helper()
	messages := 0
	for name, w := range want {
		if to := renamed[name]; to != "" {
			name = to
		}
		g, ok := got[name]
		if !ok || g.validity != w.validity || g.next != w.next || w.subscribed && !g.subscribed || len(g.messages) != len(w.messages) {
			t.Errorf("%s: %s: UIDVALIDITY %s UIDNEXT %s subscribed %v with %d messages; want %s %s %v %d", about, name, g.validity,
				g.next, g.subscribed, len(g.messages), w.validity, w.next, w.subscribed, len(w.messages))
		}
		for uid, m := range w.messages {
			if messages++; g.messages[uid] != m {
				got := g.messages[uid]
				t.Errorf("%s: %s UID %s: %s, %d, %d octets %x; want %s, %d, %d octets %x", about, name, uid, got.flags, got.date,
					got.size, got.sum[:4], m.flags, m.date, m.size, m.sum[:4])
			}
		}
	}
	if len(got) != len(want) || messages < 100 {
		t.Errorf("%s: %d mailboxes, want %d; %d messages", about, len(got), len(want), messages)
	}
}

// letterNumber makes a message with lines that are hard to carry.
func letterNumber(n int) string {
	text := fmt.Sprintf("From: a@example.org\r\nMessage-ID: <%d@example.org>\r\nSubject: =?utf-8?q?n=C3=BAmber?= %d\r\n\r\n", n, n)
	text += strings.Repeat(fmt.Sprintf("From %d here to there\r\n.\r\n>From it\r\n\r\n", n), 1+n%30)
	if n%50 == 49 {
		text += strings.Repeat("a line of a large message, seventy octets long, more or less of it.\r\n", 3000)
	}
	return text + strings.Repeat("no end of line", n%2)
}

// fill puts mail into the old server, with flags, keywords, dates, gaps in UIDs,
// and folders with names of all sorts.
func (m *mover) fill(first, count int) {
	m.t.Helper()
	boxes := []string{"INBOX", "Work", "Work.Plans.2026", "&ZeVnLIqe-", "Entw&APw-rfe", "Gesendet", "INBOX.below", "Trash"}
	if first == 0 {
		for _, b := range boxes[1:] {
			m.do(nil, "CREATE %q", b)
		}
		for _, b := range []string{"Work", "Work.Plans.2026", "&ZeVnLIqe-"} {
			m.do(nil, "SUBSCRIBE %q", b)
		}
	}
	flags := []string{``, `\Seen`, `\Seen \Answered $Forwarded`, `\Flagged $Label1`, `\Draft Junk`, `\Deleted \Seen`, `NonJunk $Label1 Work`}
	for n := first; n < first+count; n++ {
		box, text := boxes[n%len(boxes)], letterNumber(n)
		date := time.Unix(1_500_000_000+int64(n)*86_400*3, 0).UTC().Format("02-Jan-2006 15:04:05 -0700")
		m.do(nil, "APPEND %q (%s) %q {%d+}\r\n%s", box, flags[n%len(flags)], date, len(text), text)
	}
}

// chownAll gives a tree to the user that Dovecot reads as.
func (p *peer) chownAll(name string) {
	p.t.Helper()
	err := filepath.WalkDir(p.path(name), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, readerUID, readerUID)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// guide returns the commands of the guide that have text in them: a block of
// indented lines.
func guide(t testing.TB, text string) string {
	t.Helper()
	for block := range strings.SplitSeq(read(t, "../docs/migrate-from-postfix-dovecot.md"), "\n\n") {
		if strings.HasPrefix(block, "    ") && strings.Contains(block, text) {
			return block
		}
	}
	t.Fatalf("the guide has no command with %q", text)
	return ""
}

// follow runs commands of the guide on the old server, where yubin is in PATH.
func (p *peer) follow(o *office, commands string) string {
	p.t.Helper()
	return p.run("/bin/sh", "-c", "set -e; cd /etc/scratch; PATH=/etc/bin:$PATH; export YUBIN_DATA="+o.data+"\n"+commands)
}

// oldPassword is what people had on the old server, and have.
const oldPassword = "no-longer-new"

// movePeople takes over the accounts and aliases of the old server.
func (p *peer) movePeople(o *office) {
	p.t.Helper()
	p.folder("etc/bin", 0, 0o755)
	p.folder("etc/scratch", 0, 0o755)
	if err := os.Symlink(absolute(p.t, binary), p.path("etc/bin/yubin")); err != nil {
		p.t.Fatal(err)
	}
	users, weak := "imap@dovecot.test:{PLAIN}"+oldPassword+"::::::\n", ""
	for user, scheme := range map[string]string{"friend": "ARGON2ID", "back": "SHA512-CRYPT", "a": "SHA256-CRYPT", "b": "BLF-CRYPT", "c": "ARGON2I",
		"d": "PBKDF2", "e": "SCRAM-SHA-256", "f": "SSHA512", "g": "SSHA256", "h": "CRYPT", "weak1": "SSHA", "weak2": "MD5-CRYPT", "weak3": "DES-CRYPT"} {
		line := user + "@dovecot.test:" + strings.TrimSpace(p.run("doveadm", "pw", "-s", scheme, "-p", oldPassword)) + "::::::\n"
		if strings.HasPrefix(user, "weak") {
			weak += line
			continue
		}
		users += line
	}
	p.file("etc/dovecot/users", users)
	p.file("etc/postfix/virtual", "info@dovecot.test friend@dovecot.test, imap@dovecot.test\n@dovecot.test friend@dovecot.test\n")
	o.must("", "domain", "add", "dovecot.test")
	for _, text := range []string{"users --format passwd --dry-run\n", "virtual --format virtual --dry-run\n"} {
		p.follow(o, guide(p.t, text))
	}
	got := o.must("", "account", "list", "--domain", "dovecot.test") + o.must("", "alias", "list", "--domain", "dovecot.test")
	for _, want := range []string{"friend@", "back@", "imap@", "info@", "\n@dovecot.test"} {
		if !strings.Contains(got, want) {
			p.t.Errorf("%s is not among\n%s", want, got)
		}
	}
	for _, user := range []string{"back", "a", "b", "c", "d", "e", "f", "g", "h", "imap"} {
		for range 2 { // By the hash of Dovecot, then by ours.
			newMover(p.t, o.at, o.imap, user+"@dovecot.test", oldPassword)
		}
	}
	p.file("etc/dovecot/users", users+weak)
	o.must("", "account", "import", p.path("etc/dovecot/users"), "--format", "passwd", "--allow-weak")
	for _, user := range []string{"weak1", "weak2", "weak3"} {
		newMover(p.t, o.at, o.imap, user+"@dovecot.test", oldPassword)
	}
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestPeerMigrate does what docs/migrate-from-postfix-dovecot.md says, from a
// Dovecot with Maildirs to a yubin, and back.
func TestPeerMigrate(t *testing.T) {
	t.Parallel()
	n := newCorner(t)
	p := n.newPeer("dovecot", "mx.dovecot.test")
	p.file("etc/dovecot/dovecot.conf", fill(t, "dovecot.conf", dovecot{readerUID, p.host, p.domain(), p.address()})+fmt.Sprintf(moving, "moving"))
	p.file("etc/dovecot/users", "friend@dovecot.test:{PLAIN}"+oldPassword+"::::::\n") // See movePeople.
	p.start("/usr/sbin/dovecot", "-F")
	p.await(143)
	old := newMover(t, p.address(), 143, "friend@dovecot.test", oldPassword)
	old.fill(0, 240)
	old.do(nil, "SELECT INBOX")
	old.do(nil, `STORE 3,7,9:11 +FLAGS.SILENT (\Deleted)`)
	old.do(nil, "EXPUNGE")
	old.do(nil, "UNSELECT")

	// The new server, with the people of the old one.
	o := n.open("mx.first.test")
	p.movePeople(o)
	source := p.path("var/mail/%n")
	importMail := func(want string, flags ...string) {
		t.Helper()
		out := o.must("", append([]string{"import", "maildir", "--all", source}, flags...)...)
		if !strings.Contains(out, want) {
			t.Errorf("the import says\n%s\nwant %q", out, want)
		}
	}

	// The first import, while the old server runs; one message it has not numbered.
	p.file("var/mail/friend/new/1700000000.fresh.host", "Subject: fresh\n\nIt came by another program.\n")
	p.chown("var/mail/friend/new/1700000000.fresh.host", readerUID)
	importMail("friend@dovecot.test: 8 folders, 231 messages taken", "--running")
	now := newMover(t, o.at, o.imap, "friend@dovecot.test", oldPassword)
	renamed := map[string]string{"Gesendet": "Sent", "Entw&APw-rfe": "Drafts"}
	before := old.look() // Dovecot numbers the fresh message now.
	inbox := before["INBOX"]
	if len(inbox.messages) != 22 {
		t.Fatalf("the old INBOX has %d messages", len(inbox.messages))
	}
	importMail("1 message taken", "--running")
	same(t, "first import", now.look(), before, renamed)
	importMail("0 messages taken (0 B), 232 were there", "--running")

	// Life goes on there; then the last import.
	old.fill(240, 60)
	old.do(nil, "SELECT INBOX")
	old.do(nil, `STORE 1:4 +FLAGS (\Flagged $Label5)`)
	old.do(nil, `STORE 6:8 +FLAGS.SILENT (\Deleted)`)
	old.do(nil, "EXPUNGE")
	old.do(nil, "UNSELECT")
	importMail("59 messages taken", "--remove-gone")
	after := old.look()
	same(t, "last import", now.look(), after, renamed)
	importMail("0 messages taken", "--remove-gone")
	same(t, "import once more", now.look(), after, renamed)

	// The same by IMAP, with the master user, into a store of its own.
	other := &office{server: server{t: t, data: filepath.Join(scratch(t), "data"), log: &lockedBuffer{}}, net: n, host: p.host}
	other.must("", "domain", "add", "dovecot.test")
	other.must(password+"\n", "account", "add", "friend@dovecot.test", "--password-stdin")
	for _, want := range []string{"taken", "0 messages taken"} {
		cmd := p.inside("/bin/sh", "-c", `echo moving | "$0" import imap --all --from "$1" --tls starttls --user '%u*mover' --password-stdin --data "$2"`,
			binary, p.host, other.data)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE=/etc/tls/ca.pem")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("import imap: %v\n%s", err, out)
		}
	}
	other.check()

	// Back: Dovecot reads what both have exported.
	back := map[string]string{"Gesendet": "Sent", "Entw&APw-rfe": "Drafts"}
	for user, from := range map[string]*office{"back": o, "imap": other} {
		dir := p.path("var/mail/" + user)
		from.must("", "export", "maildir", dir, "--account", "friend@dovecot.test")
		p.chownAll("var/mail/" + user)
		if out := from.must("", "export", "maildir", dir, "--account", "friend@dovecot.test"); !strings.Contains(out, " 0 messages written") {
			t.Error(out)
		}
		p.chownAll("var/mail/" + user)
		got := newMover(t, p.address(), 143, user+"@dovecot.test", oldPassword).look()
		same(t, "export of "+user, got, after, back)
	}
}
