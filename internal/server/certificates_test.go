package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/acmetest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/acme"
	"yubin/internal/world/config"
)

// ordering is a configuration whose certificates are ordered from an authority in this
// process, which finds mx.yubin.test and mta-sts.yubin.test on loopback.
func ordering(t *testing.T, challenge config.Challenge, o acmetest.Options) (config.Config, *acmetest.Authority) {
	t.Helper()
	dns, err := dnstest.Listen(dnstest.NewZone(`
mx.yubin.test. A 127.0.0.1
mta-sts.yubin.test. A 127.0.0.1
autoconfig.yubin.test. A 192.0.2.1
`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dns.Close() })
	if o.BadNonces = 10; o.Resolver == "" {
		o.Resolver = dns.Addr().String()
	}
	a := acmetest.Start(t, o)
	c := local(t)
	c.Hostname = "mx.yubin.test"
	c.DNS.Servers = append(c.DNS.Servers, dns.Addr())
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, a.RootPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	c.ACME = config.ACME{On: true, Directory: a.Directory, Root: root, Challenge: challenge, Email: mail.Address{Local: "bob", Domain: "yubin.test"}}
	return c, a
}

// freePort is a port of 127.0.0.1 that nobody has.
func freePort(t *testing.T) int {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().(*net.TCPAddr).Port
}

// place has a listener at a port.
func place(c *config.Config, service string, port int) {
	for i := range c.Listeners {
		if c.Listeners[i].Service() == service {
			c.Listeners[i].Address = fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
}

// page asks for a page of the host.
func page(url string) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Host = "mx.yubin.test"
	return http.DefaultClient.Do(r)
}

// eventually waits for something that the server does by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not after a minute", what)
		}
		tick := time.NewTimer(20 * time.Millisecond)
		<-tick.C
	}
}

// believed reports whether a client that trusts the authority believes what it is shown for a
// name, and its serial number.
func believed(t *testing.T, at net.Addr, name string, roots *x509.CertPool) (serial string, err error) {
	t.Helper()
	c, err := tls.Dial("tcp", at.String(), &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return fmt.Sprintf("%x", c.ConnectionState().PeerCertificates[0].SerialNumber), nil
}

// TestCertificatesByTLS: a server on which nothing is configured but the authority has, after a
// self-signed one, a certificate that clients believe, for the names that lead to it; the
// authority sees the proof on a port of ours. A restart shows it at once.
func TestCertificatesByTLS(t *testing.T) {
	port := freePort(t)
	c, a := ordering(t, config.ChallengeTLS, acmetest.Options{TLSPort: port})
	place(&c, "imaps", port)
	s, stop := start(t, c)
	at := listenerOf(s, c, "imaps")
	client := admin.InProcess(s.Admin())
	eventually(t, "a certificate for the host", func() bool {
		_, err := believed(t, at, "mx.yubin.test", a.Issuers)
		return err == nil
	})
	eventually(t, "a certificate for the domain", func() bool {
		_, err := believed(t, at, "mta-sts.yubin.test", a.Issuers)
		return err == nil
	})
	serial, err := believed(t, at, "mx.yubin.test", a.Issuers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := believed(t, at, "autoconfig.yubin.test", a.Issuers); err == nil {
		t.Error("a name that leads elsewhere has a certificate")
	}
	st, err := client.CertificateOf(t.Context(), "yubin.test")
	if err != nil || len(st.LeftOut) != 2 || st.LeftOut[0].Why != "it leads to 192.0.2.1, which is not this server" {
		t.Errorf("%+v, %v", st, err)
	}
	o, err := client.Overview(t.Context())
	if err != nil || len(o.Certificates) != 2 || o.Certificates[0].File != "mx.yubin.test" {
		t.Errorf("%+v, %v", o.Certificates, err)
	}
	// A client that speaks IMAP is not disturbed, one that plays authority sees nothing.
	if _, err := tls.Dial("tcp", at.String(), &tls.Config{ServerName: "mx.yubin.test", NextProtos: []string{acme.ALPN}, InsecureSkipVerify: true}); err == nil {
		t.Error("a proof is shown that nobody wants")
	}
	if _, err := client.RenewCertificates(t.Context(), "mx.yubin.test"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a renewed one", func() bool {
		now, err := believed(t, at, "mx.yubin.test", a.Issuers)
		return err == nil && now != serial
	})
	if serial, err = believed(t, at, "mx.yubin.test", a.Issuers); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c.ACME.Directory = "https://127.0.0.1:1/" // Nobody is there.
	again, err := New(t.Context(), c, deps())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	cert, err := again.certs.Load().GetCertificate(&tls.ClientHelloInfo{ServerName: "mx.yubin.test"})
	if err != nil || fmt.Sprintf("%x", cert.Leaf.SerialNumber) != serial {
		t.Errorf("after a restart another one is shown, %v", err)
	}
}

// TestCertificatesByHTTP: the authority sees the proof by HTTP; what it does not like is told
// to whoever asks, with its words.
func TestCertificatesByHTTP(t *testing.T) {
	port := freePort(t)
	c, a := ordering(t, config.ChallengeHTTP, acmetest.Options{HTTPPort: port, Blocked: []string{"mta-sts.yubin.test"}})
	place(&c, "http", port)
	s, stop := start(t, c)
	defer func() { _ = stop() }()
	front := "http://" + listenerOf(s, c, "http").String()
	client := admin.InProcess(s.Admin())
	eventually(t, "a certificate", func() bool {
		_, err := believed(t, listenerOf(s, c, "imaps"), "mx.yubin.test", a.Issuers)
		return err == nil
	})
	eventually(t, "a failure", func() bool {
		st, err := client.CertificateOf(t.Context(), "yubin.test")
		return err == nil && strings.Contains(st.Fault, "(rejectedIdentifier)")
	})
	concerns := s.store.watcher.concerns(t.Context())
	if len(concerns) != 1 || concerns[0].Cause != "certificate:acme:yubin.test" || !strings.Contains(concerns[0].Text, "there is no certificate for yubin.test yet") {
		t.Errorf("%+v", concerns)
	}
	for path, want := range map[string]int{challengePath + "nothing": 404, challengePath: 404, challengePath + "a/b": 404} {
		resp, err := page(front + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// TestCertificatesByDNS: the proof is written into the zone, and taken away; the zone takes
// updates only with the key.
func TestCertificatesByDNS(t *testing.T) {
	zone := dnstest.NewZone("mx.yubin.test. A 127.0.0.1\nyubin.test. SOA ns.yubin.test. root.yubin.test. 1 1 1 1 1\n")
	dns, err := dnstest.Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	const secret = "c2VjcmV0IG9mIHNpeHRlZW4gb2N0ZXRz"
	dns.TakeUpdates("yubin.test", "acme", "hmac-sha256", secret)
	c, a := ordering(t, config.ChallengeDNS, acmetest.Options{Resolver: dns.Addr().String()})
	c.DNS.Servers = []netip.AddrPort{dns.Addr()}
	c.ACME.Names = []string{"*.mx.yubin.test"}
	key := filepath.Join(t.TempDir(), "dns.key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	c.DNSUpdate = config.DNSUpdate{Server: dns.Addr(), Zones: []mail.Domain{"yubin.test"}, Key: "acme", Algorithm: "hmac-sha256", KeyFile: key}
	s, stop := start(t, c)
	defer func() { _ = stop() }()
	at := listenerOf(s, c, "imaps")
	eventually(t, "a certificate for all names below the host's", func() bool {
		_, err := believed(t, at, "imap.mx.yubin.test", a.Issuers)
		return err == nil
	})
	if n := dns.Updated(); n < 4 || n%2 != 0 {
		t.Errorf("%d updates of the zone, want two for each proof", n)
	}
	if name, account := s.store.certificates.Issuer(); name != "ca.test" || !strings.HasPrefix(account, "https://") {
		t.Errorf("for CAA records: %q, %q", name, account)
	}
}
