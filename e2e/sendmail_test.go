package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a `yubin serve` whose socket all users of this machine reach.
type machine struct {
	t                    *testing.T
	dir, socket, program string
	config               string
}

// startMachine starts a server for example.org with alice, who is the user daemon, too.
func startMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be other users")
	}
	dir, err := os.MkdirTemp("", "yubin-machine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &machine{t: t, dir: dir, socket: filepath.Join(dir, "submit.sock"), program: filepath.Join(dir, "sendmail"), config: filepath.Join(dir, "yubin.toml")}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Chmod(dir, 0o755),
		os.WriteFile(m.program, program, 0o755), // The binary itself may be where only root goes.
		os.WriteFile(m.config, fmt.Appendf(nil, `hostname = "mail.example.org"
data = %q
[tls]
self_signed = true
[[listener]]
protocol = "smtp"
address = "127.0.0.1:0"
[sendmail]
socket = %q
rate = 20
[sendmail.users]
daemon = ["alice@example.org", "shop@elsewhere.test"]
`, filepath.Join(dir, "data"), m.socket), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	log := &lockedBuffer{}
	cmd := exec.Command(binary, "serve", "--config", m.config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended: %v\n%s", err, tail(log.String(), 4000))
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", m.socket)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not start: %v\n%s", err, log)
		}
	}
	m.yubin("", "domain", "add", "example.org")
	m.yubin("a secret of alice\n", "account", "add", "alice@example.org", "--password-stdin")
	return m
}

func (m *machine) yubin(stdin string, args ...string) string {
	m.t.Helper()
	return run(m.t, stdin, binary, append(args, "--config", m.config)...)
}

// as runs a program as a user, and returns what it printed and its exit code.
func (m *machine) as(uid uint32, stdin, name string, args ...string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = m.dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true}}
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "YUBIN_SUBMIT=" + m.socket, "TMPDIR=/tmp", "MAILRC=" + filepath.Join(m.dir, "mailrc")}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Programs of Debian and their command lines, as users of the machine: what arrives, as
// whom, and what is refused.
func TestSendmail(t *testing.T) {
	m := startMachine(t)
	const root, daemon, nobody = 0, 1, 65534
	if err := os.WriteFile(filepath.Join(m.dir, "mailrc"), []byte("set sendmail="+m.program+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cron := "From: root (Cron Daemon)\nTo: %s\nSubject: cron of %s\n\nout\n.\nand more\n"
	for _, c := range []struct {
		about string
		uid   uint32
		stdin string
		args  []string
		exit  int
		says  string
	}{
		{"cron of root", root, fmt.Sprintf(cron, "root", "root"), []string{m.program, "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"}, 0, ""},
		{"cron of somebody", nobody, fmt.Sprintf(cron, "alice", "nobody"), []string{m.program, "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "alice"}, 0, ""},
		{"PHP", daemon, "To: alice@example.org\r\nSubject: php\r\nX-PHP-Originating-Script: 33:a.php\r\nFrom: Shop <shop@elsewhere.test>\r\n\r\nhello\r\n", []string{"/bin/sh", "-c", m.program + " -t -i"}, 0, ""},
		{"PHP as another", nobody, "To: alice@example.org\nFrom: shop@elsewhere.test\n\nx\n", []string{m.program, "-t", "-i"}, 77, "you may not send as shop@elsewhere.test, whom the field From names; on this machine you are nobody@example.org"},
		{"an envelope of another", nobody, "\nx\n", []string{m.program, "-falice@example.org", "alice"}, 77, "you may not send as alice@example.org"},
		{"mutt", root, "Date: Fri, 02 Jan 2026 03:04:05 +0000\nFrom: Root <root@elsewhere.test>\nTo: alice@example.org\nSubject: mutt\nBcc: x@nowhere.invalid\n\n", []string{m.program, "-oem", "-oi", "-f", "root@elsewhere.test", "--", "alice@example.org"}, 0, ""},
		{"s-nail", nobody, "by s-nail, höre\n", []string{"/usr/bin/s-nail", "-n", "-S", "v15-compat", "-S", "mta=" + m.program, "-S", "ttycharset=utf-8", "-s", "s-nail", "alice"}, 0, ""},
		{"swaks", nobody, "", []string{"/usr/bin/swaks", "--pipe", m.program + " -bs", "--from", "nobody@example.org", "--to", "alice@example.org", "--header", "Subject: swaks"}, 0, ""},
		{"nobody there", nobody, "\nx\n", []string{m.program, "nope"}, 67, "nope: there is no mailbox nope@example.org here"},
	} {
		out, exit := m.as(c.uid, c.stdin, c.args[0], c.args[1:]...)
		if exit != c.exit || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d, want %d\n%s", c.about, exit, c.exit, out)
		}
	}
	out := filepath.Join(m.dir, "out")
	m.yubin("", "export", "mbox", out, "--account", "alice@example.org")
	all, err := os.ReadFile(filepath.Join(out, "INBOX.mbox"))
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []struct{ subject, has string }{
		{"cron of root", "From: root@example.org (Cron Daemon)\n"}, {"cron of root", "To: root@example.org\n"}, {"cron of root", "\nand more\n"},
		{"cron of nobody", "From: nobody@example.org (Cron Daemon)\n"}, {"cron of nobody", "Received: by mail.example.org (from userid 65534) with local\n"},
		{"php", "From: Shop <shop@elsewhere.test>\n"}, {"php", "Return-Path: <alice@example.org>\n"}, {"php", "(from userid 1)"},
		{"mutt", "Return-Path: <root@elsewhere.test>\n"}, {"s-nail", "nobody@example.org"}, {"swaks", "Received: by mail.example.org (from userid 65534)"},
	} {
		if one := mboxMessage(string(all), message.subject); !strings.Contains(one, message.has) {
			t.Errorf("the message %q has no %q:\n%s", message.subject, message.has, one)
		}
	}
	if strings.Contains(string(all), "Bcc:") || strings.Contains(string(all), "as another") {
		t.Errorf("a Bcc stayed")
	}

	// More than a user may send waits; root's mail does not.
	for i, exit := 0, 0; exit == 0; i++ {
		var said string
		if said, exit = m.as(nobody, "\nx\n", m.program, "alice"); i > 20 || exit != 0 && (exit != 75 || !strings.Contains(said, "you sent 20 messages within an hour")) {
			t.Fatalf("message %d: exit code %d, %s", i, exit, said)
		}
	}
	if said, exit := m.as(root, "\nx\n", m.program, "alice"); exit != 0 {
		t.Errorf("root: exit code %d, %s", exit, said)
	}
	m.yubin("", "check")
}

// mboxMessage is the message of an mbox with a subject.
func mboxMessage(all, subject string) string {
	for one := range strings.SplitSeq("\n"+all, "\nFrom ") {
		if strings.Contains(one, "\nSubject: "+subject+"\n") {
			return one
		}
	}
	return ""
}
