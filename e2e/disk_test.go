package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
)

// startOnSmallDisk starts a server whose data folder is a file system of its
// own of mib MiB, in a mount namespace that goes away with it. room is a path
// to it that the test can reach.
func startOnSmallDisk(t *testing.T, mib int, flags ...string) (s *server, room string) {
	t.Helper()
	s = &server{t: t, data: filepath.Join(t.TempDir(), "data"), offset: freeOffset(t), log: &lockedBuffer{}}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("mount -t tmpfs -o size=%dm none %[2]s && exec %[3]s localserve --data %[2]s/yubin --listen-offset %[4]d %[5]s",
		mib, s.data, binary, s.offset, strings.Join(flags, " "))
	unshare := []string{"--mount", "sh", "-c", script}
	if os.Getuid() != 0 {
		unshare = append([]string{"--user", "--map-root-user"}, unshare...)
	}
	s.cmd = exec.Command("unshare", unshare...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	if err := s.waitForPort(portPOP3S); err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, tail(s.log.String(), 2000))
	}
	return s, fmt.Sprintf("/proc/%d/root%s", s.cmd.Process.Pid, s.data)
}

// TestFullDisk fills the disk with mail. The server must refuse with 452 and
// NO, keep what it acknowledged, and go on by itself when there is room.
func TestFullDisk(t *testing.T) {
	s, room := startOnSmallDisk(t, 48)
	ballast := filepath.Join(room, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	small := bytes.Repeat([]byte("0123456789 small enough for the database\r\n"), 500)
	large := bytes.Repeat([]byte("0123456789 so large that it becomes a file\r\n"), 8000)
	acknowledged := map[string]bool{}
	n := fillDisk(t, s, acknowledged, small, large)
	appendToFullDisk(t, s, large)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitForRoom(t, s, acknowledged, fmt.Sprintf("after-%d", n), small)
	found := 0
	for _, m := range s.messages("alice", "INBOX") {
		id := idField.FindSubmatch(m)
		if id == nil || !acknowledged[string(id[1])] {
			t.Errorf("a message that was not acknowledged is there: %.200q", m)
			continue
		}
		found++
	}
	if found != len(acknowledged) {
		t.Errorf("%d messages are there of %d acknowledged", found, len(acknowledged))
	}
	if out, err := s.inside("check"); err != nil {
		t.Errorf("yubin check: %v\n%s", err, out)
	}
	t.Logf("ledger: full disk: %d messages acknowledged, all kept", found)
}

// fillDisk delivers until 452 comes for small messages and for large ones.
func fillDisk(t *testing.T, s *server, acknowledged map[string]bool, bodies ...[]byte) int {
	t.Helper()
	c := s.smtp()
	defer c.Close()
	n := 0
	for _, body := range bodies {
		for refused := 0; refused < 5; n++ {
			if n > 20000 {
				t.Fatal("the disk does not fill")
			}
			id := fmt.Sprintf("full-%d", n)
			err := deliver(c, []string{"alice"}, withID(id, body))
			switch {
			case err == nil:
				acknowledged[id] = true
			case strings.Contains(err.Error(), `"452 4.3.1`):
				refused++
			default:
				t.Fatalf("message %d: %v", n, err)
			}
		}
	}
	return n
}

func withID(id string, body []byte) []byte {
	return append([]byte("From: <sender@example.org>\r\nMessage-ID: <"+id+"@crash.test>\r\n\r\n"), body...)
}

func (s *server) smtp() *mailclient.Conn {
	s.t.Helper()
	c, err := mailclient.Dial("127.0.0.1", s.port(portMX), false)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Reply("220"); err != nil {
		s.t.Fatal(err)
	}
	if err := c.Command("250", "EHLO full.test"); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func appendToFullDisk(t *testing.T, s *server, body []byte) {
	t.Helper()
	c, err := login(s, "bob")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Append("INBOX", "", withID("append", body))
	if err == nil || !strings.Contains(err.Error(), " NO [") {
		t.Errorf("APPEND to a full disk: %v", err)
	}
	if _, err := c.IMAP(false, nil, "NOOP"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// waitForRoom tries until the server takes mail again, without a restart.
func waitForRoom(t *testing.T, s *server, acknowledged map[string]bool, id string, body []byte) {
	t.Helper()
	c := s.smtp()
	defer c.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var err error
	for range 100 {
		if err = deliver(c, []string{"alice"}, withID(id, body)); err == nil {
			acknowledged[id] = true
			return
		}
		<-tick.C
	}
	t.Errorf("the server does not take mail although there is room: %v", err)
}
