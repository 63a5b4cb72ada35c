//go:build e2e

package ldapc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/world/netx"
)

// TestSlapd asks Debian's slapd, by STARTTLS and by ldaps: people by the address and by another one,
// with what a filter must not take for its own; passwords; groups; and what it refuses.
//
//	scripts/test-packages ldap; go test -tags e2e ./internal/session/ldapc
func TestSlapd(t *testing.T) {
	d := startSlapd(t)
	for _, security := range []Security{StartTLS, Implicit} {
		c := d.client(t, security, nil)
		for _, p := range c.Probe(t.Context()) {
			if p.Err != nil || p.TLS != "TLS 1.3" {
				t.Errorf("%+v", p)
			}
		}
		for _, w := range [][2]string{
			{"alice@example.org", "account Alice@example.org quota 2147483648"},
			{"al@example.org", "account Alice@example.org quota 2147483648"},
			{"o'brien@example.org", "account o'brien@example.org"},
			{`"a (b) * \\c"@example.org`, `account "a (b) * \\c"@example.org`},
			{"jürgen@example.org", "not found"},
			{"*@example.org", "not found"},
			{"nobody@example.org", "not found"},
			{"twin@example.org", "unavailable"},
			{"crew@example.org", "member Alice@example.org member far@elsewhere.example"},
		} {
			if got := say(c.Find(t.Context(), addr(w[0]))); got != w[1] {
				t.Errorf("%s: %s, want %s", w[0], got, w[1])
			}
		}
		for _, w := range []struct {
			address, password string
			kind              mail.Kind
		}{
			{"alice@example.org", "pw of älice", 0}, {"alice@example.org", "wrong", mail.Forbidden}, {"alice@example.org", "", mail.Forbidden},
			{`"a (b) * \\c"@example.org`, "odd", 0}, {"twin@example.org", "x", mail.Unavailable}, {"nobody@example.org", "x", mail.NotFound},
			{"o'brien@example.org", "x", mail.Forbidden}, // has no password
		} {
			_, err := c.Check(t.Context(), addr(w.address), w.password)
			if (err == nil) != (w.kind == 0) || err != nil && mail.KindOf(err) != w.kind {
				t.Errorf("%s %q: %v", w.address, w.password, err)
			}
		}
	}
	for name, change := range map[string]func(*Config){
		"wrong service": func(c *Config) { c.Password = func() (string, error) { return "wrong", nil } },
		"nobody":        func(c *Config) { c.Service = "" },
		"no base":       func(c *Config) { c.Base = "dc=elsewhere" },
		"bad base":      func(c *Config) { c.Base = "nonsense" },
	} {
		_, err := d.client(t, StartTLS, change).Check(t.Context(), addr("alice@example.org"), "pw of älice")
		if mail.KindOf(err) != mail.Unavailable {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
	}
	// By name, and then as who has just logged in.
	byName := d.client(t, Implicit, func(c *Config) {
		c.UserName, _ = ldap.ParseName("uid={local},ou=people,dc=example,dc=org", VarLocal)
		c.Service = "uid=alice,ou=people,dc=example,dc=org"
		c.Password = func() (string, error) { return "pw of älice", nil }
	})
	if got := say(byName.Check(t.Context(), addr("alice@example.org"), "pw of älice")); !strings.HasPrefix(got, "account Alice@example.org") {
		t.Error(got)
	}
	if _, err := byName.Check(t.Context(), addr(`"x,ou=people,dc=example"@example.org`), "pw of älice"); mail.KindOf(err) != mail.Forbidden {
		t.Error(err)
	}
	// It stops, and comes again.
	c := d.client(t, StartTLS, nil)
	if _, err := c.Find(t.Context(), addr("alice@example.org")); err != nil {
		t.Error(err)
	}
	d.stop()
	if _, err := c.Check(t.Context(), addr("alice@example.org"), "pw of älice"); mail.KindOf(err) != mail.Unavailable {
		t.Error(err)
	}
	d.run(t)
	waitFor(t, func() bool { _, err := c.Find(t.Context(), addr("alice@example.org")); return err == nil })
}

// slapd is a directory of Debian's slapd, unpacked by scripts/test-packages.
type slapd struct {
	root, dir   string
	ldap, ldaps netip.AddrPort
	roots       *x509.CertPool
	stop        func()
}

func startSlapd(t *testing.T) *slapd {
	t.Helper()
	cache := os.Getenv("YUBIN_PEERS")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, "yubin/peers")
	}
	d := &slapd{root: filepath.Join(cache, "slapd"), dir: t.TempDir(), ldap: freePort(t), ldaps: freePort(t)}
	if _, err := os.Stat(d.root); err != nil {
		t.Fatalf("slapd is not unpacked (scripts/test-packages ldap does it): %v", err)
	}
	d.certificate(t)
	if err := os.Mkdir(filepath.Join(d.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"slapd.conf", "people.ldif"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(d.dir, name), []byte(strings.NewReplacer("ROOT", d.root, "FOLDER", d.dir).Replace(string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add := d.command("-T", "add", "-f", filepath.Join(d.dir, "slapd.conf"), "-l", filepath.Join(d.dir, "people.ldif"))
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.run(t)
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *slapd) command(args ...string) *exec.Cmd {
	libraries, _ := filepath.Glob(filepath.Join(d.root, "usr/lib/*-linux-gnu*"))
	cmd := exec.Command(filepath.Join(d.root, "usr/sbin/slapd"), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	return cmd
}

func (d *slapd) run(t *testing.T) {
	t.Helper()
	cmd := d.command("-d", "0", "-f", filepath.Join(d.dir, "slapd.conf"), "-h", "ldap://"+d.ldap.String()+"/ ldaps://"+d.ldaps.String()+"/")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		d.stop = func() {}
	}
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", d.ldaps.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for !is() {
		select {
		case <-late:
			t.Fatal("it does not come")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(l.Addr().String())
}

// certificate makes one for 127.0.0.1.
func (d *slapd) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "slapd"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.roots = x509.NewCertPool()
	d.roots.AppendCertsFromPEM(cert)
}

func (d *slapd) client(t *testing.T, security Security, change func(*Config)) *Client {
	t.Helper()
	at := d.ldap
	if security == Implicit {
		at = d.ldaps
	}
	c := Config{Domains: []mail.Domain{"example.org"}, Servers: []Server{{Name: at.String(), Host: "127.0.0.1", Port: at.Port(), Security: security}},
		Timeout: 10 * time.Second, Connections: 2, Roots: func() (*x509.CertPool, error) { return d.roots, nil }, Service: "cn=yubin,dc=example,dc=org",
		Password: func() (string, error) { return "service", nil }, Base: "dc=example,dc=org", Filter: filter(t, "(&(objectClass=inetOrgPerson)(|(mail={address})(l={address})))"),
		Address: "mail", Quota: "employeeNumber", GroupFilter: filter(t, "(&(objectClass=groupOfNames)(o={address}))"), Member: "member",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, s Server) (*netx.Conn, error) {
			return netx.Dialer{}.DialHost(ctx, s.Host, s.Port)
		}}
	if change != nil {
		change(&c)
	}
	client := New(c)
	t.Cleanup(client.Close)
	return client
}
