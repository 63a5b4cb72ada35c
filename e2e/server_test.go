package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the yubin under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

// buildAndRun takes the binary from YUBIN_BINARY, or builds one.
func buildAndRun(m *testing.M) int {
	if binary = os.Getenv("YUBIN_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "yubin-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "yubin")
	build := exec.Command("go", "build", "-o", binary, "yubin/cmd/yubin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// The ports of localserve, before the offset.
const (
	portMX          = 2525
	portSubmission  = 2587
	portSubmissions = 2465
	portLMTP        = 2424
	portIMAP        = 2143
	portIMAPS       = 2993
	portPOP3        = 2110
	portPOP3S       = 2995
	portMetrics     = 2590
	portHTTPS       = 2443
	portHTTP        = 2080
)

const password = "yubin-local"

// server is a running `yubin localserve`.
type server struct {
	t      testing.TB
	data   string
	offset int
	flags  []string // more of them
	cmd    *exec.Cmd
	log    *lockedBuffer
}

// lockedBuffer keeps what the server printed.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startServer starts a server on a new data folder and stops it with the test.
func startServer(t testing.TB, flags ...string) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(t.TempDir(), "data"), offset: freeOffset(t), flags: flags, log: &lockedBuffer{}}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", tail(s.log.String(), 4000))
		}
	})
	return s
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// freeOffset finds an offset at which every port of localserve is free, below
// those that the system gives to clients.
func freeOffset(t testing.TB) int {
	t.Helper()
	for range 100 {
		if offset := 5000 + rand.IntN(24000); allFree(offset) {
			return offset
		}
	}
	t.Fatal("no free ports for a server")
	return 0
}

func allFree(offset int) bool {
	for _, p := range []int{portMX, portSubmission, portSubmissions, portLMTP, portIMAP, portIMAPS, portPOP3, portPOP3S, portMetrics, portHTTPS, portHTTP} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p+offset))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func (s *server) port(p int) int { return p + s.offset }

// address is "127.0.0.1:port".
func (s *server) address(p int) string { return "127.0.0.1:" + strconv.Itoa(s.port(p)) }

// start runs the binary and waits until the last of its ports is open.
func (s *server) start() {
	s.t.Helper()
	args := []string{"localserve", "--data", s.data, "--listen-offset", strconv.Itoa(s.offset)}
	s.cmd = exec.Command(binary, append(args, s.flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- s.waitForPort(portPOP3S) }()
	if err := <-exited; err != nil {
		s.kill()
		s.t.Fatalf("the server did not start: %v\n%s", err, tail(s.log.String(), 2000))
	}
}

func (s *server) waitForPort(p int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); ; {
		conn, err := net.Dial("tcp", s.address(p))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-limit:
			return err
		case <-tick.C:
		}
	}
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// stop ends the server with SIGTERM and checks that it went well.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server did not stop cleanly: %v", err)
	}
	s.cmd = nil
}

// yubin runs a subcommand on the server's data folder and returns what it printed.
func (s *server) yubin(args ...string) (string, error) {
	out, err := exec.Command(binary, append(args, "--data", s.data)...).CombinedOutput()
	return string(out), err
}

// check runs `yubin check`, which must find nothing.
func (s *server) check() {
	s.t.Helper()
	if out, err := s.yubin("check"); err != nil {
		s.t.Errorf("yubin check: %v\n%s", err, out)
	}
}
