package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onDatabase are the flags of a server whose database is a new schema of
// YUBIN_TEST_DATABASE, or none if that is not set. scripts/with-postgres --fsync sets it.
func onDatabase() []string {
	url := os.Getenv("YUBIN_TEST_DATABASE")
	if url == "" {
		return nil
	}
	return []string{"--database", fmt.Sprintf("%s&search_path=e2e_%d", url, rand.IntN(1e9))}
}

// killPostgres kills the server of scripts/with-postgres with SIGKILL, with all its
// processes, and starts it again.
func killPostgres(t testing.TB) {
	t.Helper()
	ctl := os.Getenv("YUBIN_TEST_POSTGRES")
	data := filepath.Join(filepath.Dir(ctl), "data")
	lock := filepath.Join(data, "postmaster.pid")
	file, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(file), "\n")
	postmaster, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(postmaster, syscall.SIGKILL) // First: it would begin anew without its children.
	for begun := time.Now(); ; <-time.After(10 * time.Millisecond) {
		left := workingIn(t, data)
		if len(left) == 0 {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("processes of PostgreSQL do not go: %v", left)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for _, f := range []string{lock, filepath.Join(filepath.Dir(ctl), ".s.PGSQL.5432.lock")} {
		if err := os.Remove(f); err != nil { // Whom nobody has reaped seems to be running.
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(ctl, "start").CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(filepath.Dir(ctl), "log"))
		t.Fatalf("PostgreSQL does not start after it was killed: %v\n%s\n%s", err, out, log[max(0, len(log)-2000):])
	}
}

// workingIn are the processes whose working folder is dir, as that of all of PostgreSQL's
// is its data, also of one that was being forked when its parent was killed. A process that
// is only not reaped has none.
func workingIn(t testing.TB, dir string) (pids []int) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range found {
		if at, err := os.Readlink(filepath.Join(process, "cwd")); err == nil && at == dir {
			pid, _ := strconv.Atoi(filepath.Base(process))
			pids = append(pids, pid)
		}
	}
	return pids
}
