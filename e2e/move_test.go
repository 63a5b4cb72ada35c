package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// moveMessages is how many messages the account has that is to be equal in every
// answer; YUBIN_MOVE_MESSAGES says another number.
func moveMessages() int {
	if long() {
		return 100_000
	}
	return 400
}

// TestMove moves a server to another folder and, if YUBIN_TEST_DATABASE names one, into
// a database on a server, and from there back into a file, while mail comes. Who has no
// more mail meanwhile sees the same in every answer; what was acknowledged to others is
// there, once; who came too late was told to come again; the old server ends and does
// not start again.
func TestMove(t *testing.T) {
	s := startServer(t)
	total, err := strconv.Atoi(cmp.Or(os.Getenv("YUBIN_MOVE_MESSAGES"), strconv.Itoa(moveMessages())))
	if err != nil {
		t.Fatal(err)
	}
	fillAccount(t, s, "carol", total)
	was := everything(t, s, "carol")
	database := ""
	if url := os.Getenv("YUBIN_TEST_DATABASE"); url != "" {
		database = fmt.Sprintf("%s&search_path=move_%d", url, rand.IntN(1e9))
	}
	for leg, url := range []string{database, ""} {
		l := &load{sent: map[string][]byte{}, acknowledged: map[string]bool{}, leg: leg}
		l.start(s)
		l.more(30)
		next := moved(t, s, url)
		l.senders.Wait() // The server ended: they cannot go on.
		if text := fmt.Sprint(l.err); !regexp.MustCompile(`45\d |421 |EOF|reset|broken pipe`).MatchString(text) {
			t.Errorf("who sent mail meanwhile heard %s", text)
		}
		next.start()
		if out, err := next.yubin("check", "--deep"); err != nil {
			t.Errorf("yubin check: %v\n%s", err, out)
		}
		began := time.Now()
		if is := everything(t, next, "carol"); was != is {
			t.Errorf("carol's mail differs: %d octets of answers, were %d", len(is), len(was))
		}
		t.Logf("%d octets of answers are equal; reading them took %v", len(was), time.Since(began).Round(time.Millisecond))
		known := l.known()
		for _, account := range []string{"alice", "bob"} {
			all := map[string]int{}
			for _, m := range next.messages(account, "INBOX") {
				if id := idField.FindSubmatch(m); id != nil {
					all[string(id[1])]++
				}
			}
			for id := range known {
				if all[id] != 1 {
					t.Errorf("%s has %s %d times; it was acknowledged", account, id, all[id])
				}
			}
		}
		t.Logf("%d messages were acknowledged while it moved", len(known))
		s = next
	}
}

// fillAccount delivers messages to an account and flags some.
func fillAccount(t *testing.T, s *server, account string, total int) {
	t.Helper()
	var senders sync.WaitGroup
	failed := make(chan error, 8)
	for i := range 8 {
		c := s.smtp()
		senders.Go(func() {
			defer c.Close()
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for n := i; n < total; n += 8 {
				body := testMessage(fmt.Sprintf("q%d", n), rng)
				if n%100 > 0 && len(body) > 4<<10 { // One in a hundred may be large.
					body = body[:bytes.LastIndexByte(body[:4<<10], '\n')+1]
				}
				if err := deliver(c, []string{account}, body); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	senders.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	c, err := login(s, account)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, line := range []string{`STORE 1:200 +FLAGS (\Seen $Label1)`, `STORE 3,5,40 +FLAGS (\Deleted)`, `UID COPY 1:90 Archive`, `EXPUNGE`} {
		if _, err := c.IMAP(false, nil, "%s", line); err != nil {
			t.Fatal(err)
		}
	}
}

// moved moves a server into a new folder and a database, and returns the one to start
// there. The old one must have ended.
func moved(t *testing.T, s *server, database string) *server {
	t.Helper()
	next := &server{t: t, data: filepath.Join(t.TempDir(), "moved"), offset: freeOffset(t), log: &lockedBuffer{}}
	config := filepath.Join(t.TempDir(), "new.toml")
	text := fmt.Sprintf("hostname = \"mail.yubin.test\"\ndata = %q\n", next.data)
	if database != "" {
		text += fmt.Sprintf("database = %q\n", database)
	}
	text += "[[listener]]\nprotocol = \"smtp\"\nprofile = \"lmtp\"\naddress = \"127.0.0.1:24\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, err := s.yubin("move", "--to", config)
	if err != nil || !strings.Contains(out, "all compared") {
		t.Fatalf("yubin move: %v\n%s\n%s", err, out, tail(s.log.String(), 2000))
	}
	t.Logf("moved in %v:\n%s", time.Since(began).Round(time.Millisecond), out)
	if err := s.cmd.Wait(); err == nil {
		t.Error("the old server ended as if it had been asked to")
	}
	s.cmd = nil
	if out, err := s.yubin("account", "list"); err == nil || !strings.Contains(out, "has moved to "+next.data) {
		t.Errorf("the old folder says %v\n%s", err, out)
	}
	t.Cleanup(next.stop)
	return next
}
