package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What TestPeer... use: a corner of 127.0.0.0/8 of their own, in which every
// mail server has an address and the real ports, and Debian's unbound is asked
// for the MX records.

// names is the zone: the last octet of each host's address.
var names = map[string]int{
	"mx.first.test":       2,
	"mx.second.test":      3,
	"mx.postfix.test":     4,
	"mx.exim.test":        5,
	"mx.opensmtpd.test":   6,
	"mx.dovecot.test":     7,
	"ns.example.test":     53,
	"dead.example.test":   99, // nobody is there
	"policy.example.test": 8,
	"mx.lists.test":       9,
	// Another name of Postfix, for which it has no certificate.
	"impostor.example.test": 4,
}

// zone is what names does not say.
var zone = []string{
	"first.test. MX 10 mx.first.test.",
	"second.test. MX 10 mx.second.test.",
	"postfix.test. MX 10 mx.postfix.test.",
	"exim.test. MX 10 mx.exim.test.",
	"opensmtpd.test. MX 10 mx.opensmtpd.test.",
	"null.test. MX 0 .",
	"backup.test. MX 10 dead.example.test.",
	"backup.test. MX 20 mx.second.test.",
	"late.test. MX 10 dead.example.test.",
	"local.test. MX 10 local.test.",
	"local.test. A 127.0.0.1",
}

// corner is the network of one test.
type corner struct {
	t      testing.TB
	prefix string // "127.77.1."
	dir    string // short, and open to all users
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
}

// newCorner finds addresses that nobody uses and starts the name server there.
// It needs root, for the ports and because the peers do.
func newCorner(t testing.TB) *corner {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("the peers run as root, in namespaces of their own: use `make test`, which asks sudo")
	}
	n := &corner{t: t, prefix: freePrefix(t), dir: scratch(t)}
	n.makeCA()
	n.startUnbound()
	return n
}

// freePrefix takes a /24 whose name server port is free, at random, since
// other tests do the same at the same time.
func freePrefix(t testing.TB) string {
	for range 100 {
		prefix := fmt.Sprintf("127.%d.%d.", 32+mrand.IntN(200), 1+mrand.IntN(250))
		if l, err := net.Listen("tcp", prefix+"53:53"); err == nil {
			_ = l.Close()
			return prefix
		}
	}
	t.Fatal("no address takes a name server at port 53")
	return ""
}

// scratch makes a folder whose name is short enough for sockets, and that
// programs can reach after they gave up root.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "yubin-peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (n *corner) address(host string) string {
	last, ok := names[host]
	if !ok {
		n.t.Fatalf("%s is not in the zone", host)
	}
	return fmt.Sprint(n.prefix, last)
}

func (n *corner) nameserver() string { return n.address("ns.example.test") }

func (n *corner) startUnbound() {
	n.t.Helper()
	values := struct {
		Address           string
		Records, Pointers []string
	}{Address: n.nameserver(), Records: zone}
	for host := range names {
		values.Records = append(values.Records, host+". A "+n.address(host))
		values.Pointers = append(values.Pointers, n.address(host)+" "+host)
	}
	p := n.newPeer("unbound", "ns.example.test")
	p.file("etc/unbound.conf", fill(n.t, "unbound.conf", values))
	p.start("/usr/sbin/unbound", "-d", "-p", "-c", "/etc/unbound.conf")
	p.await(53)
}

// makeCA makes the authority that the servers' certificates are from.
func (n *corner) makeCA() {
	var err error
	if n.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		n.t.Fatal(err)
	}
	n.ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the tests' authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, n.ca, n.ca, n.key.Public(), n.key)
	if err != nil {
		n.t.Fatal(err)
	}
	put(n.t, n.authority(), pemText("CERTIFICATE", der))
}

// authority is the file with the authority's certificate.
func (n *corner) authority() string { return filepath.Join(n.dir, "ca.pem") }

// certify writes cert.pem and key.pem for host, and more names, into dir.
func (n *corner) certify(dir, host string, more ...string) {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(mrand.Int64()), Subject: pkix.Name{CommonName: host}, DNSNames: append([]string{host}, more...),
		NotBefore: n.ca.NotBefore, NotAfter: n.ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, n.ca, key.Public(), n.key)
	if err != nil {
		n.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	put(n.t, filepath.Join(dir, "cert.pem"), pemText("CERTIFICATE", der))
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(pemText("PRIVATE KEY", private)), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// TestPeerNameServer: the zone is what the other tests count on.
func TestPeerNameServer(t *testing.T) {
	n := newCorner(t)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx ctx, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, n.nameserver()+":53")
	}}
	mx, err := r.LookupMX(t.Context(), "backup.test")
	if err != nil || len(mx) != 2 || mx[0].Host != "dead.example.test." || mx[1].Host != "mx.second.test." {
		t.Errorf("MX: %v, %v", mx, err)
	}
	a, err := r.LookupHost(t.Context(), "mx.postfix.test")
	if err != nil || len(a) != 1 || a[0] != n.address("mx.postfix.test") {
		t.Errorf("A: %v, %v", a, err)
	}
	_, err = r.LookupHost(t.Context(), "nowhere.example")
	if e, ok := err.(*net.DNSError); !ok || !e.IsNotFound || !strings.Contains(e.Error(), "no such host") {
		t.Errorf("a domain that does not exist: %v", err)
	}
}
