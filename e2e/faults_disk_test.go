package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yubin/internal/testkit/crashfs"
)

// failures are what disks do, each for a while under load. Paths are below the
// data folder; none means any file.
var failures = []struct {
	name  string
	paths []string
	fault crashfs.Fault
	ends  bool // the server, if the fault meets a checkpoint
}{
	{"every second sync of the WAL fails", []string{"yubin.db-wal"}, crashfs.Fault{Calls: "fdatasync,fsync", Error: "EIO", When: "1+2"}, false},
	{"every sync of the WAL fails", []string{"yubin.db-wal"}, crashfs.Fault{Calls: "fdatasync,fsync", Error: "EIO"}, false},
	{"every sync fails", nil, crashfs.Fault{Calls: "fdatasync,fsync", Error: "EIO"}, true},
	{"every third write of the WAL fails", []string{"yubin.db-wal"}, crashfs.Fault{Calls: "pwrite64", Error: "EIO", When: "1+3"}, false},
	{"no room in the WAL now and then", []string{"yubin.db-wal"}, crashfs.Fault{Calls: "pwrite64", Error: "ENOSPC", When: "2+3"}, false},
	{"no write of the database", []string{"yubin.db"}, crashfs.Fault{Calls: "pwrite64", Error: "EIO"}, false},
	{"no sync of the database", []string{"yubin.db"}, crashfs.Fault{Calls: "fdatasync,fsync", Error: "EIO"}, true},
	{"the database cannot be read", []string{"yubin.db", "yubin.db-wal"}, crashfs.Fault{Calls: "pread64", Error: "EIO", When: "1+2"}, false},
	{"message files cannot be moved", nil, crashfs.Fault{Calls: "rename,renameat,renameat2", Error: "EIO"}, false},
	{"files cannot be opened", nil, crashfs.Fault{Calls: "openat", Error: "EIO", When: "1+2"}, false},
	{"no folder can be made", nil, crashfs.Fault{Calls: "mkdirat,mkdir", Error: "ENOSPC"}, false},
	{"too many open files", nil, crashfs.Fault{Calls: "openat", Error: "EMFILE"}, false},
}

// TestDiskErrors makes the disk fail under load in one way after the other. The
// server may refuse what it cannot keep; nothing of that may be visible, it goes
// on by itself when the disk does, or ends to be started again if the disk could
// not keep its database, and after SIGKILL all is there that it
// acknowledged.
func TestDiskErrors(t *testing.T) {
	s := startServer(t)
	l := newLedger()
	refused, hits, ends := 0, 0, 0
	for i, f := range failures {
		if !long() && i%3 != 0 {
			continue
		}
		w := startTraffic(s, l, i, 4, 2)
		w.goesOn(t, 20, 30*time.Second, "before the fault")
		fault := f.fault
		for _, p := range f.paths {
			fault.Paths = append(fault.Paths, filepath.Join(s.data, p))
		}
		in, err := crashfs.Attach(s.cmd.Process.Pid, fault)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(choose(5*time.Second, 700*time.Millisecond))
		n, err := in.Stop()
		if err != nil {
			t.Fatalf("%s: the server ended: %v\n%s", f.name, err, tail(s.log.String(), 2000))
		}
		hits += n
		if f.ends && strings.Count(s.log.String(), gaveUp) > ends {
			ends++
			_ = s.cmd.Wait()
			s.start()
		}
		w.goesOn(t, 20, 30*time.Second, "after "+f.name)
		s.kill()
		w.finish()
		s.start()
		refused += len(w.refused)
		t.Logf("%s: %d calls failed, %d messages refused, %d acknowledged", f.name, n, len(w.refused), w.acked)
		l.verify(t, s)
		s.check()
		if t.Failed() {
			return
		}
	}
	t.Logf("ledger: disk errors: %d system calls failed, %d messages refused; %d deliveries and %d commands acknowledged, all kept",
		hits, refused, l.delivered, l.commands)
}

// gaveUp is what the server says when it ends because the disk failed to keep
// its database: the service manager would start it again.
const gaveUp = "the disk failed to keep the database"

// stopOnBadDisk is stop where syncs fail: the server may have given up, and must
// have said so.
func (s *server) stopOnBadDisk() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	if said := strings.Contains(s.log.String(), gaveUp); said != (err != nil) {
		s.t.Errorf("the server ended: %v; it said that it gives up: %v", err, said)
	}
	s.cmd = nil
}

// TestRefusedIsInvisible: what was refused because a sync failed is not there,
// before and after the disk is well again.
func TestRefusedIsInvisible(t *testing.T) {
	s := startServer(t)
	l := newLedger()
	w := startTraffic(s, l, 1, 4, 1)
	w.goesOn(t, 20, 30*time.Second, "before the fault")
	in, err := crashfs.Attach(s.cmd.Process.Pid, crashfs.Fault{Calls: "fdatasync,fsync", Error: "EIO", When: "1+2",
		Paths: []string{filepath.Join(s.data, "yubin.db-wal")}})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	if _, err := in.Stop(); err != nil {
		t.Fatal(err)
	}
	w.goesOn(t, 10, 30*time.Second, "after the fault")
	w.finish()
	if len(w.refused) == 0 {
		t.Error("nothing was refused")
	}
	w.refusedAreGone(t)
	l.verify(t, s)
	s.check()
	t.Logf("ledger: refused is invisible: %d refused, none to be seen; %d acknowledged, all there", len(w.refused), w.acked)
}

// TestShortWrites bounds the size of files (RLIMIT_FSIZE) at an odd octet a bit
// beyond the WAL, so that writes are cut short there and then fail.
func TestShortWrites(t *testing.T) {
	rng := seeded(t)
	s := startServer(t)
	l := newLedger()
	refused := 0
	for round := range choose(40, 2) {
		w := startTraffic(s, l, round, 4, 1)
		w.goesOn(t, 20, 30*time.Second, "before the bound")
		info, err := os.Stat(filepath.Join(s.data, "yubin.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		bound(t, s, strconv.FormatInt(max(info.Size()-rng.Int64N(1<<20), 4096)+rng.Int64N(9000), 10))
		<-time.After(500 * time.Millisecond)
		bound(t, s, "unlimited")
		w.goesOn(t, 20, 30*time.Second, "after the bound")
		s.kill()
		w.finish()
		s.start()
		refused += len(w.refused)
		l.verify(t, s)
		s.check()
		if t.Failed() {
			return
		}
	}
	if refused == 0 {
		t.Error("no write was cut short")
	}
	t.Logf("ledger: short writes: %d messages refused; %d deliveries and %d commands acknowledged, all kept", refused, l.delivered, l.commands)
}

// bound sets the soft limit of the size of files.
func bound(t *testing.T, s *server, size string) {
	t.Helper()
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(s.cmd.Process.Pid), "--fsize="+size+":unlimited").CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v\n%s", err, out)
	}
}

// TestSlowDisk delays every sync of the WAL. No answer may come before its sync,
// many share one, and sessions that do not write do not wait.
func TestSlowDisk(t *testing.T) {
	for _, delay := range choose([]time.Duration{200 * time.Millisecond, time.Second, 2 * time.Second}, []time.Duration{200 * time.Millisecond}) {
		s := startServer(t)
		l := newLedger()
		reader, err := login(s, "alice")
		if err != nil {
			t.Fatal(err)
		}
		in, err := crashfs.Attach(s.cmd.Process.Pid, crashfs.Fault{Calls: "fdatasync,fsync", Delay: delay,
			Paths: []string{filepath.Join(s.data, "yubin.db-wal")}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w := startTraffic(s, l, 1, 50, 0)
		worst := time.Duration(0)
		for time.Since(began) < 10*delay {
			at := time.Now()
			if _, err := reader.IMAP(false, nil, "UID FETCH 1:* FLAGS"); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(at))
			<-time.After(10 * time.Millisecond)
		}
		acked, took := w.progress(), time.Since(began)
		w.finish()
		syncs, err := in.Stop()
		if err != nil {
			t.Fatal(err)
		}
		rate := float64(acked) / took.Seconds()
		if w.quickest < delay {
			t.Errorf("an answer came after %v, before a sync of %v", w.quickest, delay)
		}
		if least := 10 / delay.Seconds(); rate < least {
			t.Errorf("%.0f messages a second with syncs of %v, want %.0f by group commit", rate, delay, least)
		}
		if worst > 2*time.Second {
			t.Errorf("a reader waited %v for the disk of others", worst)
		}
		if w.broken > 0 || len(w.refused) > 0 {
			t.Errorf("%d connections broke and %d messages were refused: %v", w.broken, len(w.refused), w.last())
		}
		s.kill()
		s.start()
		l.verify(t, s)
		s.check()
		t.Logf("ledger: slow disk: syncs of %v: %d syncs, %.0f messages a second, answers %v to %v, readers waited at most %v; all %d kept",
			delay, syncs, rate, w.quickest.Round(time.Millisecond), w.slowest.Round(time.Millisecond), worst.Round(time.Millisecond), w.acked)
	}
}

// TestDiskFillsAndEmpties fills the disk to the last octet and empties it again
// and again while mail flows. The server refuses what there is no room for, goes
// on when there is, and keeps what it acknowledged.
func TestDiskFillsAndEmpties(t *testing.T) {
	s, room := startOnSmallDisk(t, choose(1500, 200))
	l := newLedger()
	w := startTraffic(s, l, 1, 4, 2)
	rounds, refused := choose(60, 3), 0
	for round := range rounds {
		w.goesOn(t, 20, 30*time.Second, fmt.Sprint("with room, round ", round))
		ballast := filepath.Join(room, "ballast")
		fillUp(t, ballast)
		before := w.refusals()
		within(t, 30*time.Second, "the server refuses", func() bool { return w.refusals() > before+5 })
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		refused += w.refusals() - before
	}
	w.goesOn(t, 20, 30*time.Second, "at the end")
	w.finish()
	w.refusedAreGone(t)
	l.verify(t, s)
	if out, err := s.inside("check"); err != nil {
		t.Errorf("yubin check: %v\n%s", err, out)
	}
	t.Logf("ledger: full disk: filled and emptied %d times, %d messages refused meanwhile; %d deliveries and %d commands acknowledged, all kept, nothing of the refused",
		rounds, refused, l.delivered, l.commands)
}

// fillUp writes a file until nothing more goes in.
func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 1<<20); ; {
		if _, err := f.Write(piece); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			return
		}
	}
}
