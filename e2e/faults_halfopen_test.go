package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// apart marks a run of this test binary in a network namespace of its own.
const apart = "YUBIN_APART"

// gone is the address of clients whose cable is pulled.
const gone = "127.99.0.2"

// TestHalfOpenConnections: clients vanish without a word, as when their cable
// is pulled: some idle, some in the midst of a message, some in the midst of a
// large answer. Others are served meanwhile, and in the long form the server
// notices and lets go of all of them. It runs in a network namespace of its own,
// as root.
func TestHalfOpenConnections(t *testing.T) {
	if os.Getenv(apart) == "" {
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c",
			`ip link set lo up && exec "$@"`, "sh",
			os.Args[0], "-test.run", "^TestHalfOpenConnections$", "-test.v", "-test.timeout", "25m")
		if os.Getuid() != 0 {
			cmd.Args = append(cmd.Args[:1], append([]string{"--user", "--map-root-user"}, cmd.Args[1:]...)...)
		}
		cmd.Env = append(os.Environ(), apart+"=1", "YUBIN_BINARY="+binary)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	halfOpen(t)
}

func halfOpen(t *testing.T) {
	each := choose(300, 50)
	s := startServer(t)
	c := s.smtp()
	if err := deliver(c, []string{"alice"}, withID("large", []byte(strings.Repeat("a line of a large message\r\n", 400<<10)))); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	from := func(port int) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(gone)}, Timeout: 10 * time.Second}
			return d.Dial("tcp", s.address(port))
		}
	}
	var idle, sending, reading crowd
	idle.gather(t, each, from(portIMAP), func(c net.Conn, r *bufio.Reader) error { return says(c, r, append(imapLogin, "c IDLE", "+")...) })
	sending.gather(t, each, from(portMX), func(c net.Conn, r *bufio.Reader) error {
		return says(c, r, "", "220", "EHLO gone.test", "250 ", "MAIL FROM:<>", "250", "RCPT TO:<bob@yubin.test>", "250", "DATA", "354")
	})
	reading.gather(t, each, from(portIMAP), func(c net.Conn, r *bufio.Reader) error {
		return says(c, r, append(imapLogin, "c FETCH 1 BODY.PEEK[]", "* 1 FETCH")...)
	})
	run(t, "", "ip", "route", "add", "blackhole", gone+"/32", "table", "local")
	began := time.Now()
	if n := established(t); n < 3*each {
		t.Fatalf("only %d connections are left", n)
	}
	p := startNormal(s, "half")
	<-time.After(choose(time.Minute, time.Second))
	if long() {
		within(t, 20*time.Minute, "the server lets go of who is gone", func() bool { return established(t) == 0 })
	}
	took, left := time.Since(began).Round(time.Second), established(t)
	p99 := p.finish(t, 2*time.Second)
	p.kept(t)
	s.check()
	s.kill() // A stop would give those who are gone their time to finish.
	t.Logf("ledger: half-open: %d connections without their clients for %v, %d left; normal clients served %d times, p99 %v; all kept",
		3*each, took, left, len(p.took), p99)
	for _, c := range []*crowd{&idle, &sending, &reading} {
		c.close()
	}
}

// established is how many connections to clients that are gone the server has.
func established(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		// local remote state: 127.99.0.2 in the order of the machine, 01 is ESTABLISHED.
		if f := strings.Fields(line); len(f) > 3 && strings.HasPrefix(f[2], "0200637F:") && f[3] == "01" {
			n++
		}
	}
	return n
}
