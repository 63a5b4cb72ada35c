package server

import (
	"encoding/base64"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
)

// TestRecordsOfARunningServer: they are put into the zones by updates, seen there, and the
// key that the MX shows is the one in the DNS.
func TestRecordsOfARunningServer(t *testing.T) {
	zone := dnstest.NewZone("1.0.0.127.in-addr.arpa. PTR mail.near.example.\n")
	ns, err := dnstest.Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	secret := base64.StdEncoding.EncodeToString([]byte("the secret of the updates of a test"))
	c := local(t)
	c.Hostname, c.Capture, c.Addresses = "mail.near.example", mail.Address{}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	c.DNS.Servers = []netip.AddrPort{ns.Addr()}
	c.DNSUpdate.Server, c.DNSUpdate.Zones = ns.Addr(), []mail.Domain{"yubin.test", "near.example"}
	c.DNSUpdate.Key, c.DNSUpdate.KeyFile = "yubin", filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(c.DNSUpdate.KeyFile, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, c)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	known := *s.store.known.Load()
	known.DeliverPort = uint16(listenerOf(s, c, "smtp").(*net.TCPAddr).Port)
	s.store.known.Store(&known)
	client := admin.InProcess(s.Admin())

	if _, err := client.PublishDNS(t.Context(), "yubin.test", admin.DNSPublish{}); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("before it may: %v", err)
	}
	ns.TakeUpdates("yubin.test", "yubin", "hmac-sha256", secret)
	ns.TakeUpdates("near.example", "yubin", "hmac-sha256", secret)
	changes, err := client.PublishDNS(t.Context(), "yubin.test", admin.DNSPublish{})
	if err != nil || ns.Updated() != 2 || !slices.ContainsFunc(changes, func(c admin.DNSChange) bool { return c.Action == "add" && c.Value == "10 mail.near.example." }) {
		t.Fatalf("%d updates, %v: %+v", ns.Updated(), err, changes)
	}
	zone.Sign("near.example")
	checked, err := client.CheckDNS(t.Context(), "yubin.test", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range checked.Findings {
		switch {
		case f.Kind == "tls" && f.State == "wrong" && f.Need == "recommended" && strings.Contains(f.Fault, "it was signed by nobody"):
		case f.Kind == "dnssec" && f.State == "missing" && f.Name == "yubin.test":
		case f.State != "right":
			t.Errorf("%+v", f)
		case f.Kind == "tlsa" && f.Advice != "":
			t.Errorf("the key in the DNS and that of the server: %s", f.Advice)
		}
	}
	if !checked.OK {
		t.Error("mail needs more")
	}

	// Another certificate than the DNS says.
	if err := zone.Add("_25._tcp.mail.near.example. TLSA 3 1 1 " + strings.Repeat("ab", 32)); err != nil {
		t.Fatal(err)
	}
	for _, r := range changes {
		if r.Kind == "tlsa" {
			zone.Without(r.Record().Line())
		}
	}
	checked, err = client.CheckDNS(t.Context(), "yubin.test", ns.Addr().String())
	if err != nil || checked.OK || !slices.ContainsFunc(checked.Findings, func(f admin.DNSFinding) bool {
		return f.Kind == "tlsa" && f.Need == "needed" && strings.Contains(f.Fault, "no key that this server shows")
	}) {
		t.Errorf("%v: %+v", err, checked)
	}
}
