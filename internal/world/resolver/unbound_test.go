//go:build e2e

package resolver_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/world/resolver"
)

// The tests of this file ask Debian's unbound, which validates by DNSSEC, about
// zones on this machine: signed.example is signed by a key that unbound trusts,
// bogus.example too, but one of its records was changed afterwards.
//
//	go test -tags e2e ./internal/world/resolver

const signedZone = `
$ORIGIN signed.example.
@            300 SOA ns host 1 3600 600 86400 60
@            300 NS  ns
@            300 MX  10 mx
@            300 TXT "v=spf1 mx -all"
ns           300 A   127.0.0.1
mx           300 A   192.0.2.1
mx           300 AAAA 2001:db8::1
www          300 CNAME mx
out          300 CNAME mx.plain.example.
_25._tcp.mx  300 TLSA 3 1 1 0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3
big          300 TXT %s
`

const config = `
server:
  interface: 127.0.0.1
  port: %[1]d
  directory: "%[2]s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  ede: yes
  module-config: "validator iterator"
  access-control: 127.0.0.0/8 allow
  local-zone: "plain.example." static
  local-data: "mx.plain.example. 77 IN A 192.0.2.7"
  local-data: "plain.example. IN MX 5 mx.plain.example."
  local-data: "null.plain.example. IN MX 0 ."
  local-data: "_imaps._tcp.plain.example. IN SRV 0 1 993 mx.plain.example."
  local-data-ptr: "192.0.2.7 mx.plain.example"
  local-zone: "refused.example." refuse
  %[3]s
remote-control:
  control-enable: no
`

const authority = `
auth-zone:
  name: "%[1]s"
  zonefile: "%[1]s.zone"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
`

func TestUnbound(t *testing.T) {
	r := startUnbound(t)
	ctx := t.Context()
	mx, err := r.MX(ctx, "signed.example")
	if err != nil || !mx.Authentic || !slices.Equal(mx.Records, []dns.MX{{Preference: 10, Host: "mx.signed.example"}}) {
		t.Errorf("MX: %+v, %v", mx, err)
	}
	a, err := r.Addresses(ctx, "www.signed.example")
	if err != nil || !a.Authentic || a.Name != "mx.signed.example" || len(a.Records) != 2 {
		t.Errorf("addresses through an alias: %+v, %v", a, err)
	}
	tlsa, err := r.TLSA(ctx, "_25._tcp.mx.signed.example")
	if err != nil || !tlsa.Authentic || len(tlsa.Records) != 1 || len(tlsa.Records[0].Data) != 32 {
		t.Errorf("TLSA: %+v, %v", tlsa, err)
	}
	txt, err := r.TXT(ctx, "signed.example")
	if err != nil || !txt.Authentic || txt.Records[0] != "v=spf1 mx -all" {
		t.Errorf("TXT: %+v, %v", txt, err)
	}
	big, err := r.TXT(ctx, "big.signed.example")
	if err != nil || !big.Authentic || len(big.Records[0]) != 3000 {
		t.Errorf("TXT by TCP: %v", err)
	}
	alias, err := r.CNAME(ctx, "out.signed.example")
	if err != nil || !alias.Authentic || alias.Records[0] != "mx.plain.example" {
		t.Errorf("CNAME: %+v, %v", alias, err)
	}
}

// TestUnboundAbsence: what is not there, proved or not, and what is false.
func TestUnboundAbsence(t *testing.T) {
	r := startUnbound(t)
	for _, c := range []struct {
		name      dns.Name
		want      dns.Failure
		authentic bool
		detail    string
	}{
		{"none.signed.example", dns.NXDomain, true, ""},
		{"ns.signed.example", dns.NoData, true, ""},
		{"none.plain.example", dns.NXDomain, false, ""},
		{"plain.example", dns.NoData, false, ""},
		{"bogus.example", dns.ServFail, false, "DNSSEC Bogus"},
		{"x.refused.example", dns.Refused, false, "REFUSED"},
	} {
		_, err := r.AAAA(t.Context(), c.name)
		var e *dns.Error
		if !errors.As(err, &e) || e.Failure != c.want || e.Authentic != c.authentic || !strings.Contains(e.Detail, c.detail) {
			t.Errorf("%s: %v, authentic=%v; want %s", c.name, err, e != nil && e.Authentic, c.want)
		}
	}
}

// TestUnboundPlain: zones without signatures are answered, and nothing of them
// is proved.
func TestUnboundPlain(t *testing.T) {
	r := startUnbound(t)
	ctx := t.Context()
	mx, err := r.MX(ctx, "plain.example")
	if err != nil || mx.Authentic || mx.Records[0].Host != "mx.plain.example" {
		t.Errorf("MX: %+v, %v", mx, err)
	}
	null, err := r.MX(ctx, "null.plain.example")
	if err != nil || !dns.IsNullMX(null.Records) {
		t.Errorf("null MX: %+v, %v", null, err)
	}
	ptr, err := r.PTR(ctx, netip.MustParseAddr("192.0.2.7"))
	if err != nil || ptr.Records[0] != "mx.plain.example" {
		t.Errorf("PTR: %+v, %v", ptr, err)
	}
	srv, err := r.SRV(ctx, "_imaps._tcp.plain.example")
	if err != nil || srv.Records[0] != (dns.SRV{Weight: 1, Port: 993, Target: "mx.plain.example"}) {
		t.Errorf("SRV: %+v, %v", srv, err)
	}
	a, err := r.A(ctx, "mx.plain.example")
	if left := time.Until(a.Expires); err != nil || left > 77*time.Second || left < 60*time.Second {
		t.Errorf("A lives for %s, %v", left, err)
	}
}

// startUnbound runs unbound until the test ends.
func startUnbound(t *testing.T) *resolver.Resolver {
	t.Helper()
	dir := t.TempDir()
	text := strings.TrimSpace(strings.Repeat(`"`+strings.Repeat("x", 100)+`" `, 30))
	text = fmt.Sprintf(signedZone, text)
	anchors := sign(t, dir, "signed.example", text, nil)
	anchors += sign(t, dir, "bogus.example", strings.ReplaceAll(text, "signed.example", "bogus.example"), forge)
	port := freePort(t)
	conf := fmt.Sprintf(config, port, dir, anchors) + fmt.Sprintf(authority, "signed.example") + fmt.Sprintf(authority, "bogus.example")
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, file)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	awaitServer(t, addr)
	r, err := resolver.New(resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{addr}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t *testing.T, file string) {
	t.Helper()
	program, err := exec.LookPath("unbound")
	if err != nil {
		program = "/usr/sbin/unbound"
	}
	var out strings.Builder
	cmd := exec.Command(program, "-d", "-p", "-c", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("Debian's unbound is needed: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("unbound said:\n%s", out.String())
		}
	})
}

// awaitServer returns when addr takes connections.
func awaitServer(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := new(net.Dialer).DialContext(ctx, "tcp", addr.String()); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("unbound does not listen")
		}
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// sign writes the signed zone into dir and returns the line of unbound's
// configuration that trusts its key. What falsify returns takes the place of
// the records after they are signed.
func sign(t *testing.T, dir, apex, text string, falsify func(wire.RR) wire.RR) string {
	t.Helper()
	key, private := newKey(t, apex)
	sets := rrsets(t, text)
	sets = append(sets, []wire.RR{key})
	sets = append(sets, denials(sets, apex)...)
	var b strings.Builder
	for _, set := range sets {
		sig := signature(t, key, private, set)
		for _, rr := range set {
			if falsify != nil {
				rr = falsify(rr)
			}
			fmt.Fprintln(&b, rr)
		}
		fmt.Fprintln(&b, sig)
	}
	if err := os.WriteFile(filepath.Join(dir, apex+".zone"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ds := key.ToDS(wire.SHA256)
	return fmt.Sprintf("trust-anchor: \"%s DS %d %d %d %s\"\n  ", key.Hdr.Name, ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)
}

// forge changes what the proof of absence at the apex covers.
func forge(rr wire.RR) wire.RR {
	if soa, ok := rr.(*wire.SOA); ok {
		changed := *soa
		changed.Serial++
		return &changed
	}
	return rr
}

func newKey(t *testing.T, apex string) (*wire.DNSKEY, crypto.Signer) {
	t.Helper()
	key := &wire.DNSKEY{
		Hdr:   wire.RR_Header{Name: apex + ".", Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: 300},
		Flags: wire.ZONE | wire.SEP, Protocol: 3, Algorithm: wire.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	return key, private.(crypto.Signer)
}

func rrsets(t *testing.T, text string) (sets [][]wire.RR) {
	t.Helper()
	parser := wire.NewZoneParser(strings.NewReader(text), "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		sets = append(sets, []wire.RR{rr}) // Each set of the zone has one record.
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return sets
}

// denials makes the NSEC records of the zone (RFC 4034 §4).
func denials(sets [][]wire.RR, apex string) (all [][]wire.RR) {
	types := map[string][]uint16{}
	for _, set := range sets {
		h := set[0].Header()
		types[h.Name] = append(types[h.Name], h.Rrtype)
	}
	var names []string
	for n := range types {
		names = append(names, n)
	}
	slices.SortFunc(names, canonically)
	for i, n := range names {
		bits := append(types[n], wire.TypeRRSIG, wire.TypeNSEC)
		slices.Sort(bits)
		all = append(all, []wire.RR{&wire.NSEC{
			Hdr:        wire.RR_Header{Name: n, Rrtype: wire.TypeNSEC, Class: wire.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: bits,
		}})
	}
	return all
}

// canonically compares names label by label from the right (RFC 4034 §6.1).
func canonically(a, b string) int {
	x, y := wire.SplitDomainName(a), wire.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

func signature(t *testing.T, key *wire.DNSKEY, private crypto.Signer, set []wire.RR) *wire.RRSIG {
	t.Helper()
	now := time.Now()
	sig := &wire.RRSIG{
		Hdr:       wire.RR_Header{Ttl: set[0].Header().Ttl},
		Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: key.Hdr.Name,
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix()),
	}
	if err := sig.Sign(private, set); err != nil {
		t.Fatal(err)
	}
	return sig
}
