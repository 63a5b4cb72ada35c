package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

type ctx = context.Context

// readerUID is the user that the peers' mailboxes belong to, and peersUID the
// first of those that the peers run as when Debian's package made them none.
const (
	readerUID = 61010
	peersUID  = 61011
)

// peer is a mail server of another make (or the name server). It runs in mount
// and process namespaces of its own, where /etc and /var are folders of the
// test: its configuration and mail are where Debian has them, nothing of the
// machine is touched, and the end of the first process ends them all.
type peer struct {
	t    testing.TB
	net  *corner
	name string
	host string
	dir  string // holds etc and var
	cmd  *exec.Cmd
	out  *lockedBuffer
	// binds are further mounts: what, where.
	binds  [][2]string
	before string        // commands of the shell after the mounts
	ended  chan struct{} // closed when the first process has ended
}

// newPeer prepares the folders of a peer at the address of host.
func (n *corner) newPeer(name, host string) *peer {
	n.t.Helper()
	p := &peer{t: n.t, net: n, name: name, host: host, dir: scratch(n.t), out: &lockedBuffer{}}
	for _, dir := range []string{"etc/tls", "var/log", "var/lib", "var/mail", "var/spool", "var/tmp", "run", "opt"} {
		p.folder(dir, 0, 0o755)
	}
	if err := os.Symlink("/run", p.path("var/run")); err != nil {
		n.t.Fatal(err)
	}
	p.file("etc/resolv.conf", "nameserver "+n.nameserver()+"\noptions timeout:1 attempts:2\n")
	p.file("etc/hosts", "127.0.0.1 localhost\n"+p.address()+" "+host+"\n")
	p.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n")
	p.file("etc/services", "smtp 25/tcp mail\nsubmission 587/tcp\ndomain 53/tcp\ndomain 53/udp\n")
	p.file("etc/mailname", host+"\n")
	p.users()
	if _, err := os.Stat("/etc/alternatives"); err == nil {
		p.folder("etc/alternatives", 0, 0o755)
		p.binds = append(p.binds, [2]string{"/etc/alternatives", p.path("etc/alternatives")})
	}
	if name == "unbound" {
		return p
	}
	n.certify(p.path("etc/tls"), host)
	p.file("etc/tls/ca.pem", read(n.t, n.authority()))
	p.folder("var/mail", readerUID, 0o755)
	return p
}

// users adds the peers' users to those of the machine.
func (p *peer) users() {
	passwd, group := read(p.t, "/etc/passwd"), read(p.t, "/etc/group")
	for i, user := range []string{"reader", "Debian-exim", "opensmtpd", "opensmtpq"} {
		if strings.Contains(passwd, "\n"+user+":") {
			continue
		}
		passwd += fmt.Sprintf("%s:x:%d:%[2]d::/var/lib/%[1]s:/bin/sh\n", user, readerUID+i)
		group += fmt.Sprintf("%s:x:%d:\n", user, readerUID+i)
	}
	p.file("etc/passwd", passwd)
	p.file("etc/group", group)
}

func (p *peer) path(name string) string { return filepath.Join(p.dir, name) }

func (p *peer) address() string { return p.net.address(p.host) }

func (p *peer) domain() string { return strings.TrimPrefix(p.host, "mx.") }

func (p *peer) file(name, content string) {
	p.t.Helper()
	p.folder(filepath.Dir(name), 0, 0o755)
	put(p.t, p.path(name), content)
}

// folder makes a folder that belongs to uid.
func (p *peer) folder(name string, uid int, mode os.FileMode) {
	p.t.Helper()
	if err := os.MkdirAll(p.path(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if uid == 0 && mode == 0o755 {
		return
	}
	p.chown(name, uid)
	if err := os.Chmod(p.path(name), mode); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) chown(name string, uid int) {
	p.t.Helper()
	if err := os.Chown(p.path(name), uid, uid); err != nil {
		p.t.Fatal(err)
	}
}

// unpack shows the peer what scripts/test-packages unpacked for it, as /opt,
// and lets it find the shared libraries there.
func (p *peer) unpack() {
	p.t.Helper()
	root := unpacked(p.t, p.name)
	p.binds = append(p.binds, [2]string{root + "/usr", "/opt"})
	p.before = "ldconfig -X /opt/lib/*-linux-gnu\n"
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fill fills a configuration of testdata/peers.
func fill(t testing.TB, name string, values any) string {
	t.Helper()
	text, err := template.New(name).Option("missingkey=error").Parse(read(t, filepath.Join("testdata/peers", name)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := text.Execute(&b, values); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// unpacked is the folder into which scripts/test-packages unpacked a mail
// server that Debian does not let stand beside Postfix.
func unpacked(t testing.TB, name string) string {
	t.Helper()
	cache := os.Getenv("YUBIN_PEERS")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "yubin", "peers")
	}
	dir := filepath.Join(cache, name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%s is not unpacked (scripts/test-packages does it): %v", name, err)
	}
	return dir
}

// start runs a program that stays in the foreground, and ends it and its
// children with the test.
func (p *peer) start(program string, args ...string) {
	p.t.Helper()
	p.cmd = p.inside(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// The shell is the first process, and does not give up root as the program
	// may: that would cancel Pdeathsig.
	p.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	p.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("what %s said:\n%s", p.name, p.log())
		}
	})
}

// inside is a command that sees the peer's /etc and /var.
func (p *peer) inside(program string, args ...string) *exec.Cmd {
	script := "set -e\nPATH=$PATH:/usr/sbin:/sbin\n"
	binds := append(slices.Clone(p.binds), [2]string{p.path("var"), "/var"}, [2]string{p.path("run"), "/run"}, [2]string{p.path("etc"), "/etc"})
	for _, b := range binds {
		script += fmt.Sprintf("mount --rbind '%s' '%s'\n", b[0], b[1])
	}
	script += p.before + "[ $$ != 1 ] || mount -t proc proc /proc\n\"$@\" & wait $!\n"
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, p.name, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

// log is what the peer printed and what it wrote below /var/log.
func (p *peer) log() string {
	all := tail(p.out.String(), 2000)
	_ = filepath.WalkDir(p.path("var/log"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all += "\n" + filepath.Base(path) + ":\n" + tail(read(p.t, path), 4000)
		}
		return nil
	})
	return all
}

// await returns when the peer takes connections at the port.
func (p *peer) await(port int) {
	p.t.Helper()
	eventually(p.t, func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended at once", p.name)
		default:
		}
		conn, err := net.Dial("tcp", net.JoinHostPort(p.address(), strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// patience is how long the peers may take for what they do within a second on
// an idle machine.
const patience = 30 * time.Second

// eventually tries until do returns nil.
func eventually(t testing.TB, do func() error) {
	t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		err := do()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("after %s: %v", patience, err)
		case <-tick.C:
		}
	}
}

// mailbox reads the messages of a Maildir of the peer.
func (p *peer) mailbox(user string) (all [][]byte) {
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(p.path("var/mail/" + user + "/" + sub + "/*"))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range files {
			all = append(all, []byte(read(p.t, f)))
		}
	}
	return all
}

// arrived waits for a message with that Message-ID in the user's Maildir, and
// checks that its octets after the trace fields are the letter's.
func (p *peer) arrived(user string, l letter) []byte {
	p.t.Helper()
	var got []byte
	eventually(p.t, func() (err error) {
		got, err = single(p.mailbox(user), l.id())
		return err
	})
	compare(p.t, got, bytes.ReplaceAll(l.octets, []byte("\r\n"), []byte("\n")))
	return got
}

// single returns the only message that contains text.
func single(all [][]byte, text string) ([]byte, error) {
	var hits [][]byte
	for _, m := range all {
		if bytes.Contains(m, []byte(text)) {
			hits = append(hits, m)
		}
	}
	if len(hits) != 1 {
		return nil, fmt.Errorf("%d of %d messages have %q, want one", len(hits), len(all), text)
	}
	return hits[0], nil
}

// traceFields may stand before a message that was carried unchanged.
var traceFields = []string{"Return-Path", "Delivered-To", "X-Original-To", "Received", "Envelope-To", "Delivery-Date"}

// compare checks that got is trace fields, then sent.
func compare(t testing.TB, got, sent []byte) {
	t.Helper()
	trace, ok := bytes.CutSuffix(got, sent)
	if !ok {
		t.Errorf("the message did not arrive as it was sent:\n%.1500s\nsent:\n%.1500s", got, sent)
		return
	}
	for line := range strings.Lines(string(trace)) {
		name, _, _ := strings.Cut(line, ":")
		known := slices.ContainsFunc(traceFields, func(f string) bool { return strings.EqualFold(f, name) })
		if !known && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			t.Errorf("the message was given %q", line)
		}
	}
}
