package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// TestBackupAndRestore backs a server up while mail comes in, twice, the first
// time with the command killed at some moment, and starts another server over
// what is restored: it has all that was acknowledged before the backup began and
// nothing that was not sent. A backup at rest is equal in every answer.
func TestBackupAndRestore(t *testing.T) {
	s := startServer(t)
	dir := filepath.Join(t.TempDir(), "backup")
	l := &load{sent: map[string][]byte{}, acknowledged: map[string]bool{}}
	l.start(s)
	l.more(50)
	killBackup(t, s, dir)
	l.more(50)
	before := l.known()
	if out, err := s.yubin("backup", dir); err != nil {
		t.Fatalf("yubin backup: %v\n%s", err, out)
	}
	l.stop()
	l.compare(t, restored(t, s, dir), before)

	flagSome(t, s)
	out, err := s.yubin("backup", dir)
	if err != nil {
		t.Fatalf("yubin backup: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	for _, args := range [][]string{{"backup", "verify", dir, "--each"}, {"backup", "list", dir}} {
		if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
			t.Errorf("yubin %v: %v\n%s", args, err, out)
		}
	}
	other := restored(t, s, dir)
	for _, account := range []string{"alice", "bob"} {
		if was, is := everything(t, s, account), everything(t, other, account); was != is {
			t.Errorf("%s differs: %d octets of answers, were %d", account, len(is), len(was))
		}
	}
	putBack(t, other, dir)
}

// load is mail that comes in, and what is known of it.
type load struct {
	mu           sync.Mutex
	sent         map[string][]byte // by message-id
	acknowledged map[string]bool
	err          error
	leg          int // tells the messages of several loads apart
	over         atomic.Bool
	senders      sync.WaitGroup
}

func (l *load) start(s *server) {
	for i := range 4 {
		c := s.smtp()
		l.senders.Go(func() {
			defer c.Close()
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for n := 0; !l.over.Load(); n++ {
				l.send(c, fmt.Sprintf("b%d.%d.%d", l.leg, i, n), rng)
			}
		})
	}
}

func (l *load) send(c *mailclient.Conn, id string, rng *rand.Rand) {
	body := testMessage(id, rng)
	l.mu.Lock()
	l.sent[id] = body
	l.mu.Unlock()
	err := deliver(c, []string{"alice", "bob"}, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
		l.over.Store(true)
		return
	}
	l.acknowledged[id] = true
}

// more waits until n more messages are acknowledged.
func (l *load) more(n int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := len(l.known()) + n; len(l.known()) < end && !l.over.Load(); {
		<-tick.C
	}
}

func (l *load) known() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[string]bool{}
	for id := range l.acknowledged {
		known[id] = true
	}
	return known
}

func (l *load) stop() {
	l.over.Store(true)
	l.senders.Wait()
}

// compare compares what a server has with what was sent, and with what was
// known when its backup began.
func (l *load) compare(t *testing.T, s *server, before map[string]bool) {
	t.Helper()
	if l.err != nil {
		t.Fatal(l.err)
	}
	for _, account := range []string{"alice", "bob"} {
		have := map[string]bool{}
		for _, m := range s.messages(account, "INBOX") {
			id := idField.FindSubmatch(m)
			if id == nil {
				t.Fatalf("a message that nobody sent: %.200q", m)
			}
			if have[string(id[1])] || !bytes.HasSuffix(m, l.sent[string(id[1])]) {
				t.Errorf("%s: %s is there twice or is not what was sent", account, id[1])
			}
			have[string(id[1])] = true
		}
		for id := range before {
			if !have[id] {
				t.Errorf("%s: %s was acknowledged before the backup and is not in it", account, id)
			}
		}
		t.Logf("%s: %d messages restored, %d were acknowledged before the backup, %d sent in all", account, len(have), len(before), len(l.sent))
	}
}

// killBackup begins a backup and kills the command.
func killBackup(t *testing.T, s *server, dir string) {
	t.Helper()
	c := exec.Command(binary, "backup", dir, "--data", s.data)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(30 * time.Millisecond)
	_ = c.Process.Kill()
	_ = c.Wait()
	// The server notices and ends it; until then the folder is in use.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		out, err := exec.Command(binary, "backup", "list", dir).CombinedOutput()
		if err == nil || strings.Contains(string(out), "there is no backup") {
			return
		}
		<-tick.C
	}
	t.Error("the folder of a backup whose command was killed stays in use")
}

// restored starts a server over the newest snapshot in dir.
func restored(t *testing.T, s *server, dir string) *server {
	t.Helper()
	other := &server{t: t, data: filepath.Join(t.TempDir(), "restored"), offset: freeOffset(t), log: &lockedBuffer{}}
	out, err := exec.Command(binary, "restore", dir, "--to", other.data).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verified") {
		t.Fatalf("yubin restore: %v\n%s", err, out)
	}
	other.start()
	t.Cleanup(other.stop)
	if out, err := other.yubin("check", "--deep"); err != nil {
		t.Errorf("yubin check of what was restored: %v\n%s", err, out)
	}
	return other
}

// flagSome flags, copies and expunges.
func flagSome(t *testing.T, s *server) {
	t.Helper()
	c, err := login(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, line := range []string{`STORE 1:20 +FLAGS (\Seen $Label1)`, `STORE 3,5,40 +FLAGS (\Deleted)`, `UID COPY 1:9 Archive`, `EXPUNGE`} {
		if _, err := c.IMAP(false, nil, "%s", line); err != nil {
			t.Fatal(err)
		}
	}
}

// everything is all that a client can see of an account's mailboxes.
func everything(t *testing.T, s *server, account string) string {
	t.Helper()
	c, err := login(s, account)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all strings.Builder
	note := func(r mailclient.Response) { fmt.Fprintf(&all, "%s %q\n", r.Text, r.Literals) }
	for _, name := range []string{"INBOX", "Archive", "Trash"} {
		for _, line := range []string{
			`STATUS ` + name + ` (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)`,
			`EXAMINE ` + name,
			`UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])`,
		} {
			if _, err := c.IMAP(true, note, "%s", line); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	return all.String()
}

// putBack puts one message of a snapshot back into a server that runs.
func putBack(t *testing.T, s *server, dir string) {
	t.Helper()
	for _, want := range []string{"INBOX: 1 message put into Restored ", "INBOX: 0 messages put into Restored .*, 1 were there"} {
		out, err := s.yubin("restore", dir, "--account", "alice@yubin.test", "--mailbox", "INBOX", "--uid", "7")
		if err != nil || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("yubin restore: %v, want %s\n%s", err, want, out)
		}
	}
	c, err := login(s, "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := ""
	if _, err := c.IMAP(false, func(r mailclient.Response) { found += r.Text }, `LIST "" "Restored*/*" RETURN (SUBSCRIBED STATUS (MESSAGES))`); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(found, "(MESSAGES 1)") {
		t.Errorf("clients see %q", found)
	}
}

// TestBackupToFullDisk: a backup that does not fit says so, leaves no snapshot,
// and what it wrote is used once there is room.
func TestBackupToFullDisk(t *testing.T) {
	s := startServer(t)
	c := s.smtp()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 12 {
		body := testMessage(fmt.Sprintf("d%d", n), rng)
		for range 5000 {
			body = fmt.Appendf(body, "%x%x%x%x\r\n", rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64())
		}
		if err := deliver(c, []string{"alice"}, body); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	s.stop()
	room := t.TempDir()
	script := fmt.Sprintf(`mount -t tmpfs -o size=1m none %[1]s && ! %[2]s backup %[1]s/b --data %[3]s && ! %[2]s backup verify %[1]s/b &&
		mount -o remount,size=60m %[1]s && %[2]s backup %[1]s/b --data %[3]s && %[2]s backup verify %[1]s/b`, room, binary, s.data)
	unshare := []string{"--mount", "sh", "-c", script}
	if os.Getuid() != 0 {
		unshare = append([]string{"--user", "--map-root-user"}, unshare...)
	}
	out, err := exec.Command("unshare", unshare...).CombinedOutput()
	for _, want := range []string{"the disk of " + room + "/b is full; make room and run this again", "has no snapshot", "the backup is good: 1 snapshot"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q in\n%s", err, want, out)
		}
	}
}
