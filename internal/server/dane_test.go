package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"yubin/internal/mailauth/dane"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/config"
)

// TestDANE: mail goes to the host whose certificate the TLSA records name, waits where it
// is another, and goes there all the same if the sender waives it.
func TestDANE(t *testing.T) {
	there, farConfig := far(t)
	at := listenerOf(there, farConfig, "smtp")
	right := dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, certificateOf(t, at.String()))
	wrong := dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, certstest.New("mx.wrong.example").Leaf())
	zone := dnstest.NewZone(farZone + fmt.Sprintf(`
_%[1]d._tcp.mx.far.example. TLSA %[2]s
wrong.example. MX 10 mx.wrong.example.
waived.example. MX 10 mx.wrong.example.
mx.wrong.example. A 127.0.0.1
_%[1]d._tcp.mx.wrong.example. TLSA %[3]s
`, portOf(at), right, wrong))
	zone.Sign("far.example")
	zone.Sign("wrong.example")
	ns, err := dnstest.Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	s, c := near(t, farZone, portOf(at), func(c *config.Config) { c.DNS.Servers = []netip.AddrPort{ns.Addr()} })
	client := admin.InProcess(s.Admin())
	if _, err := admin.InProcess(there.Admin()).AddDomain(t.Context(), "waived.example"); err != nil {
		t.Fatal(err)
	}
	out := listenerOf(s, c, "submission")

	arrived := arrival(t, there, "carol@far.example")
	submit(t, out, "carol@far.example", "to the right host")
	arrived()

	submit(t, out, "dave@wrong.example", "to a wrong host")
	last := lastAttempt(t, client, "dave@wrong.example")
	if last.Outcome != "deferred" || last.Enhanced != "4.7.5" || last.TLSTerms != "DANE" || !strings.Contains(last.Text, "none of the TLSA records of the host names it") {
		t.Errorf("%+v", last)
	}

	back := arrival(t, s, "alice@near.example")
	submit(t, out, "nobody@waived.example", "waived\r\nTLS-Required: No")
	if got := back(); !strings.Contains(got, "5.1.1") { // The host itself says that nobody is called so.
		t.Errorf("what came back:\n%s", got)
	}
	steps, err := client.Explain(t.Context(), admin.Asked{Address: "carol@far.example", As: "alice@near.example"})
	if err != nil || !strings.Contains(fmt.Sprint(steps), "always, with a certificate that the TLSA record of mx.far.example names (DANE)") {
		t.Errorf("%v, %v", steps, err)
	}
}

// certificateOf is the certificate that an SMTP server shows.
func certificateOf(t *testing.T, addr string) *x509.Certificate {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	st, _ := c.TLSConnectionState()
	return st.PeerCertificates[0]
}

// lastAttempt waits for an attempt to deliver to somebody.
func lastAttempt(t *testing.T, client *admin.Client, to string) admin.QueueAttempt {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		page, err := client.QueueList(ctx, admin.QueueFilter{Recipient: to}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) == 1 && page.Items[0].Last != nil {
			return *page.Items[0].Last
		}
	}
}
