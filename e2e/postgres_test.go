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
	lock := filepath.Join(filepath.Dir(ctl), "data", "postmaster.pid")
	file, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(file), "\n")
	postmaster, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]int{postmaster}, children(t, postmaster)...)
	for _, pid := range all { // The postmaster first: it would begin anew without its children.
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range all {
		for range 500 {
			if syscall.Kill(pid, 0) != nil || isZombie(pid) {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	for _, f := range []string{lock, filepath.Join(filepath.Dir(ctl), ".s.PGSQL.5432.lock")} {
		if err := os.Remove(f); err != nil { // Whom nobody has reaped seems to be running.
			t.Fatal(err)
		}
	}
	// One that was being forked then lives on for a moment, and has the shared memory.
	var out []byte
	for range 20 {
		if out, err = exec.Command(ctl, "start").CombinedOutput(); err == nil {
			return
		}
		<-time.After(500 * time.Millisecond)
	}
	t.Fatalf("PostgreSQL does not start after it was killed: %v\n%s", err, out)
}

// stat is what the system says of a process after its name: state, parent, and so on.
func stat(pid string) []string {
	b, _ := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

func isZombie(pid int) bool {
	f := stat(strconv.Itoa(pid))
	return len(f) == 0 || f[0] == "Z"
}

func children(t testing.TB, parent int) (pids []int) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range found {
		f := stat(filepath.Base(dir))
		if len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}
