package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/testkit/acmetest"
	"yubin/internal/testkit/dnstest"
)

// empty is a machine without a post office, in namespaces of its own: its network has a name
// server and a certificate authority, and nothing that is written to its /etc, /var/lib and
// /usr/local/bin stays.
type empty struct {
	t      *testing.T
	dir    string
	holder *exec.Cmd // has the namespaces
}

// emptyScript makes the machine in new namespaces and keeps it.
const emptyScript = `set -e
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
cp -a /etc "$1/etc"
mkdir -p "$1/lib" "$1/local"
mount --bind "$1/etc" /etc
mount --bind "$1/lib" /var/lib
mount --bind "$1/local" /usr/local/bin
rm -f /etc/resolv.conf
echo nameserver 127.0.0.1 >/etc/resolv.conf
touch "$1/ready"
exec sleep infinity
`

// newEmpty makes one. It needs root.
func newEmpty(t *testing.T) *empty {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a machine is set up as root, in namespaces of its own: use `make test`, which asks sudo")
	}
	m := &empty{t: t, dir: scratch(t)}
	m.holder = exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", emptyScript, "sh", m.dir)
	said := &lockedBuffer{}
	m.holder.Stdout, m.holder.Stderr = said, said
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.holder.Process.Kill()
		_ = m.holder.Wait()
	})
	eventually(t, func() error {
		if _, err := os.Stat(filepath.Join(m.dir, "ready")); err != nil {
			return fmt.Errorf("the machine is not there: %w\n%s", err, said)
		}
		return nil
	})
	return m
}

// inside is a command in the machine.
func (m *empty) inside(args ...string) []string {
	return append([]string{"nsenter", "--target", fmt.Sprint(m.holder.Process.Pid), "--net", "--mount", "--"}, args...)
}

// asService is a command in the machine, as the user of the service and with its rights.
func (m *empty) asService(args ...string) []string {
	return m.inside(append([]string{"setpriv", "--reuid=yubin", "--regid=yubin", "--clear-groups", "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service",
		"env", "SSL_CERT_FILE=" + filepath.Join(m.dir, "issuer.pem")}, args...)...)
}

func (m *empty) must(args []string) string {
	m.t.Helper()
	return run(m.t, "", args[0], args[1:]...)
}

// background starts a command until the test ends.
func (m *empty) background(log *lockedBuffer, args []string, env ...string) {
	m.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// worldFolder names where TestSetupWorld finds its zone, and leaves who its authority is.
const worldFolder = "YUBIN_E2E_WORLD"

// TestSetupWorld is the network of TestSetup, in the machine's namespaces.
func TestSetupWorld(t *testing.T) {
	dir := os.Getenv(worldFolder)
	if dir == "" {
		t.Skip("TestSetup runs it")
	}
	authority := acmetest.Start(t, acmetest.Options{HTTPPort: 80, TLSPort: 443, Resolver: "127.0.0.1:53"})
	put(t, filepath.Join(dir, "authority.pem"), string(authority.RootPEM))
	put(t, filepath.Join(dir, "issuer.pem"), string(authority.IssuerPEM))
	put(t, filepath.Join(dir, "directory"), authority.Directory)
	var server *dnstest.Server
	was := ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C { // Until it is ended.
		text := read(t, filepath.Join(dir, "zone"))
		if text == was {
			continue
		}
		zone, err := dnstest.ParseZone(text)
		if err != nil {
			t.Fatal(err)
		}
		zone.Sign("arpa")
		zone.Sign("example.org")
		if server != nil {
			_ = server.Close()
		}
		if server, err = dnstest.ListenAt(zone, "127.0.0.1:53"); err != nil {
			t.Fatal(err)
		}
		was = text
		put(t, filepath.Join(dir, "served"), text)
	}
}

// publish has the DNS say something else.
func (m *empty) publish(text string) {
	m.t.Helper()
	next := filepath.Join(m.dir, "zone.new")
	put(m.t, next, text)
	if err := os.Rename(next, filepath.Join(m.dir, "zone")); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, func() error {
		if served, _ := os.ReadFile(filepath.Join(m.dir, "served")); string(served) != text {
			return errors.New("the name server has not read the zone")
		}
		return nil
	})
}

// records are those that the domain is to have, as lines of a zone.
func (m *empty) records() string {
	m.t.Helper()
	var b strings.Builder
	b.WriteString("arpa. NS ns.example.org.\n")
	for line := range strings.Lines(m.must(m.asService("/usr/local/bin/yubin", "dns", "records", "example.org", "--json"))) {
		var r admin.DNSRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			continue // A warning of the log.
		}
		b.WriteString(r.Record().Line() + "\n")
	}
	return b.String()
}

// zoneWithout is a zone without the lines that have a text.
func zoneWithout(zone, text string) string {
	var b strings.Builder
	for line := range strings.Lines(zone) {
		if !strings.Contains(line, text) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestSetup: from an empty machine, by flags alone, to a post office that finds itself well;
// then what is broken is named, with what to do.
func TestSetup(t *testing.T) {
	m := newEmpty(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(m.dir, "zone"), "arpa. NS ns.example.org.\n")
	world := &lockedBuffer{}
	m.background(world, m.inside(self, "-test.run", "^TestSetupWorld$", "-test.timeout", "10m"), worldFolder+"="+m.dir, "YUBIN_BINARY="+binary)
	eventually(t, func() error {
		if _, err := os.Stat(filepath.Join(m.dir, "served")); err != nil {
			return fmt.Errorf("no network: %w\n%s", err, world)
		}
		return nil
	})
	set := []string{binary, "setup", "--yes", "--no-start", "--host", "mail.example.org", "--domain", "example.org", "--account", "alice", "--email", "alice@example.org",
		"--authority", read(t, filepath.Join(m.dir, "directory")), "--authority-root", filepath.Join(m.dir, "authority.pem")}
	told := m.must(m.inside(set...))
	for _, want := range []string{"ok       ports ", "ok       resolver       127.0.0.1 validates", "warning  reverse DNS ", "made     program        /usr/local/bin/yubin", "made     user           yubin",
		"made     configuration ", "made     domain         example.org", "made     account        alice@example.org", "example.org. 3600 IN MX 10 mail.example.org."} {
		if !strings.Contains(told, want) {
			t.Errorf("setup does not say %q:\n%s", want, told)
		}
	}
	found := regexp.MustCompile(`password: (\S+) `).FindStringSubmatch(told)
	if found == nil {
		t.Fatalf("no password:\n%s", told)
	}
	if again := m.must(m.inside(set...)); strings.Contains(again, "made") || strings.Contains(again, "differs") {
		t.Errorf("once more something is to be done:\n%s", again)
	}

	m.publish(m.records())
	log := &lockedBuffer{}
	m.background(log, m.asService("/usr/local/bin/yubin", "serve", "--config", "/etc/yubin/yubin.toml"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log:\n%s", tail(log.String(), 8000))
		}
	})
	eventually(t, func() error {
		args := m.inside("/usr/local/bin/yubin", "cert", "list")
		list, err := try(t, "", args[0], args[1:]...)
		if err != nil || strings.Count(list, " valid ") < 2 {
			return fmt.Errorf("no certificates: %v\n%s", err, list)
		}
		return nil
	})
	all := m.records() // The key of the certificate is known now.
	m.publish(all)
	tested := func() (string, error) {
		args := m.inside("/usr/local/bin/yubin", "selftest")
		return try(t, "", args[0], args[1:]...)
	}
	out, err := tested()
	if err != nil || !strings.HasPrefix(out, "nothing is wrong") {
		t.Fatalf("selftest: %v\n%s", err, out)
	}
	for _, check := range []string{"submission", "mx", "imap", "dkim example.org", "dns example.org", "certificate mail.example.org", "resolver"} {
		if !regexp.MustCompile(`(?m)^ok +` + check + ` `).MatchString(out) {
			t.Errorf("%s is not found well:\n%s", check, out)
		}
	}
	m.must(m.inside("curl", "-sS", "--cacert", filepath.Join(m.dir, "issuer.pem"), "--resolve", "mail.example.org:993:192.0.2.1", "imaps://mail.example.org/INBOX", "-u", "alice@example.org:"+found[1]))

	for _, broken := range []struct{ what, zone, want, mend string }{
		{"the key of signatures", zoneWithout(all, "_domainkey"), `(?m)^wrong +dkim example.org `, "do: yubin dns check example.org"},
		{"the reverse DNS", zoneWithout(all, "in-addr.arpa."), `(?m)^wrong +dns example.org reverse DNS `, "have whoever gave it to you write mail.example.org"},
		{"the MX", strings.ReplaceAll(all, "MX 10 mail.example.org.", "MX 10 old.example.org.") + "old.example.org. A 192.0.2.99\n", `(?m)^wrong +mx +old.example.org`, "do: others cannot bring mail so"},
	} {
		m.publish(broken.zone)
		out, err := tested()
		if err == nil || !regexp.MustCompile(broken.want).MatchString(out) || !strings.Contains(out, broken.mend) {
			t.Errorf("%s: %v\n%s", broken.what, err, out)
		}
	}
	m.publish(all)
	put(t, filepath.Join(m.dir, "etc", "resolv.conf"), "nameserver 127.0.0.99\n")
	if out, err := tested(); err == nil || !regexp.MustCompile(`(?m)^wrong +resolver +the name servers do not answer`).MatchString(out) {
		t.Errorf("the resolver: %v\n%s", err, out)
	}
}
