package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startUnder starts a server on a new folder by another program, which is to
// run what follows its arguments in its own place.
func startUnder(t *testing.T, env []string, program string, args ...string) *server {
	t.Helper()
	s := startServer(t)
	s.stop()
	s.startUnder(env, program, args...)
	return s
}

func (s *server) startUnder(env []string, program string, args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(program, append(args, binary, "localserve", "--data", s.data, "--listen-offset", strconv.Itoa(s.offset))...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.waitForPort(portPOP3S); err != nil {
		s.t.Fatalf("%v\n%s", err, tail(s.log.String(), 2000))
	}
}

// TestDescriptorsExhausted opens more connections than the server may have file
// descriptors, again and again, while others send and read. It says so without
// flooding its log, goes on with those who are in, takes new ones when some go,
// and loses nothing.
func TestDescriptorsExhausted(t *testing.T) {
	const limit = 160
	s := startUnder(t, nil, "prlimit", fmt.Sprintf("--nofile=%d:%d", limit, limit))
	l := newLedger()
	w := startTraffic(s, l, 1, 4, 2)
	w.goesOn(t, 20, 30*time.Second, "before")
	rounds := choose(60, 2)
	began := time.Now()
	for round := range rounds {
		var conns []net.Conn
		for range 2 * limit { // The system queues those who are not let in.
			c, err := net.DialTimeout("tcp", s.address(portMX), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		within(t, 10*time.Second, "the descriptors are exhausted", func() bool { return s.descriptors() >= limit-2 })
		<-time.After(choose(2*time.Second, 500*time.Millisecond))
		for _, c := range conns {
			_ = c.Close()
		}
		w.goesOn(t, 20, 30*time.Second, fmt.Sprint("after round ", round))
	}
	w.finish()
	told := strings.Count(s.log.String(), "cannot accept connections")
	if most := 8 * (2 + int(time.Since(began)/(5*time.Second))); told < 1 || told > most { // Of each listener one in five seconds.
		t.Errorf("the log says %d times that it cannot accept", told)
	}
	within(t, 10*time.Second, "connections end", func() bool { return s.descriptors() < limit/2 })
	l.verify(t, s)
	s.kill()
	s.start()
	l.verify(t, s)
	s.check()
	t.Logf("ledger: descriptors: exhausted %d times, told %d times; %d messages refused, %d connections broke; %d deliveries and %d commands acknowledged, all kept",
		rounds, told, len(w.refused), w.broken, l.delivered, l.commands)
}

// cage is a control group of memory of our own.
type cage struct{ folder, limit, peak, procs string }

// newCage makes a group that may have mib MiB, or says why there is none.
func newCage(t *testing.T, mib int) (*cage, error) {
	name := fmt.Sprintf("yubin-test-%d", os.Getpid())
	c := &cage{filepath.Join("/sys/fs/cgroup", name), "memory.max", "memory.peak", "cgroup.procs"}
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil { // Version 1.
		c = &cage{filepath.Join("/sys/fs/cgroup/memory", name), "memory.limit_in_bytes", "memory.max_usage_in_bytes", "cgroup.procs"}
	}
	if err := os.Mkdir(c.folder, 0o755); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := os.Remove(c.folder); err != nil {
			t.Errorf("the control group stays: %v", err)
		}
	})
	return c, os.WriteFile(filepath.Join(c.folder, c.limit), []byte(strconv.Itoa(mib<<20)), 0o600)
}

// TestMemoryLimit gives a server little memory, by GOMEMLIMIT and by a control
// group, and then large messages and many sessions. It is to stay within; if it
// is killed all the same, nothing is lost.
func TestMemoryLimit(t *testing.T) {
	const soft, hard = 128, 320
	args := []string{"-c", `exec "$@"`, "sh"}
	c, err := newCage(t, hard)
	caged := fmt.Sprintf("in a group of %d MiB", hard)
	if err != nil {
		caged = fmt.Sprintf("in no group, as none can be made here (%v)", err)
	} else {
		args = []string{"-c", `echo $$ > "` + filepath.Join(c.folder, c.procs) + `" && exec "$@"`, "sh"}
	}
	env := []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", soft)}
	s := startUnder(t, env, "sh", args...)
	pid := s.cmd.Process.Pid
	l := newLedger()
	w := startTraffic(s, l, 1, 8, 4)
	var sessions crowd
	sessions.gather(t, choose(400, 100), dialer(s, portIMAP), func(c net.Conn, r *bufio.Reader) error { return says(c, r, imapLogin...) })
	large := manyLarge(t, s, choose(60*time.Second, 2*time.Second))
	peak := s.memory()
	w.goesOn(t, 20, 30*time.Second, "after large messages")
	w.finish()
	sessions.close()
	if s.cmd.Process.Pid != pid {
		t.Error("another process serves")
	}
	found := 0
	for _, m := range s.messages("captured", "INBOX") {
		if idField.Match(m) {
			found++
		}
	}
	if found != large {
		t.Errorf("%d large messages are there of %d acknowledged", found, large)
	}
	if peak > hard {
		t.Errorf("the server had %d MiB resident, more than %d", peak, hard)
	}
	group := ""
	if c != nil {
		b, err := os.ReadFile(filepath.Join(c.folder, c.peak))
		if err != nil {
			t.Error(err)
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		group = fmt.Sprintf(", %d MiB with the page cache", n>>20)
	}
	l.verify(t, s)
	s.check()
	s.kill()
	s.start()
	l.verify(t, s)
	s.check()
	t.Logf("ledger: memory: GOMEMLIMIT %d MiB %s: %d messages of 10 MiB, %d sessions, %d deliveries and %d commands acknowledged, all kept; %d MiB resident at most%s; not killed",
		soft, caged, large, len(sessions.conns), l.delivered, l.commands, peak, group)
}

// manyLarge sends messages of 10 MiB on eight connections for a while, and says
// how many were acknowledged.
func manyLarge(t *testing.T, s *server, spell time.Duration) int {
	t.Helper()
	body := bytes.Repeat([]byte("a line of a large message, of which many are under way at a time\r\n"), 10<<20/66)
	done := make(chan int, 8)
	end := time.Now().Add(spell)
	for i := range 8 {
		go func() {
			n := 0
			defer func() { done <- n }()
			c := s.smtp()
			defer c.Close()
			for n < 20 && time.Now().Before(end) {
				if err := deliver(c, []string{"captured"}, withID(fmt.Sprintf("large-%d-%d", i, n), body)); err != nil {
					t.Error(err)
					return
				}
				n++
			}
		}()
	}
	total := 0
	for range 8 {
		total += <-done
	}
	return total
}
