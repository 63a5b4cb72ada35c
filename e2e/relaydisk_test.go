package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"yubin/internal/testkit/smtpsink"
)

// TestRelayFullDisk fills the disk with mail to be carried, while the host that
// it goes to does not answer. The server must refuse with 452. Then the host
// answers for what it has, while nothing can be written down; and then there is
// room. The server must go on by itself, and carry what it acknowledged once.
func TestRelayFullDisk(t *testing.T) {
	far := startFarHost(t)
	answers := make(chan struct{})
	far.sink.Behave = func(e smtpsink.Event) smtpsink.Say {
		if e.Moment == smtpsink.End {
			<-answers
		}
		return smtpsink.Say{}
	}
	s, room := startOnSmallDisk(t, 48, "--deliver")
	if out, err := s.inside("route", "set", "far", "--to", "far.test", "--relay", "--smtp", far.address()); err != nil {
		t.Fatalf("yubin route set: %v: %s", err, out)
	}
	ballast := filepath.Join(room, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	fillQueue(t, s, acknowledged)
	close(answers)
	unkept := s.awaitLog("the outcome of a delivery cannot be kept", 3*time.Second)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	emptyQueue(t, time.Minute, func() (string, error) { return s.inside("queue", "count", "--json") })
	c := s.smtp()
	defer c.Close()
	if err := relay(c, "stranger@far.test", []string{"last@far.test"}, withID("last", nil)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	acknowledged["last@far.test last@crash.test"] = true
	emptyQueue(t, time.Minute, func() (string, error) { return s.inside("queue", "count", "--json") })
	for key := range acknowledged {
		if n := len(far.of(key)); n != 1 {
			t.Errorf("acknowledged, and at the host %d times: %s", n, key)
		}
	}
	if n := far.count(); n != len(acknowledged) || len(far.reports) > 0 {
		t.Errorf("the host has %d messages of %d acknowledged, and reports for %q", n, len(acknowledged), far.reports)
	}
	if out, err := s.inside("check"); err != nil {
		t.Errorf("yubin check: %v\n%s", err, out)
	}
	t.Logf("%d messages acknowledged before the disk was full; an outcome had to wait for room: %v", len(acknowledged)-1, unkept)
}

// inside runs a subcommand on the data folder of a server on a disk of its own.
func (s *server) inside(args ...string) (string, error) {
	enter := []string{"--mount", "--target", strconv.Itoa(s.cmd.Process.Pid), binary}
	if os.Getuid() != 0 {
		enter = append([]string{"--user", "--preserve-credentials"}, enter...)
	}
	out, err := exec.Command("nsenter", append(append(enter, args...), "--data", s.data+"/yubin")...).CombinedOutput()
	return string(out), err
}

// awaitLog waits for words in the log and reports whether they came.
func (s *server) awaitLog(words string, limit time.Duration) bool {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); ; {
		if strings.Contains(s.log.String(), words) {
			return true
		}
		select {
		case <-end:
			return false
		case <-tick.C:
		}
	}
}

// fillQueue relays until 452 comes for large messages and for small ones.
func fillQueue(t *testing.T, s *server, acknowledged map[string]bool) {
	t.Helper()
	c := s.smtp()
	defer c.Close()
	n := 0
	for _, lines := range []int{8000, 500, 1} {
		body := bytes.Repeat([]byte("0123456789 of a size that fills the disk\r\n"), lines)
		for refused := 0; refused < 5; n++ {
			id := fmt.Sprintf("full-%d", n)
			err := relay(c, "stranger@far.test", []string{"r@far.test"}, withID(id, body))
			switch {
			case err == nil:
				acknowledged["r@far.test "+id+"@crash.test"] = true
			case strings.Contains(err.Error(), `"452 4.3.1`):
				refused++
			default:
				t.Fatalf("message %d: %v", n, err)
			}
		}
	}
}
