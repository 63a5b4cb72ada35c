package server

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/config"
	"yubin/internal/world/machine"
)

// tried is a server whose records are all in the DNS, and whose certificate is believed.
func tried(t *testing.T) (*Server, *dnstest.Zone, []admin.DNSChange) {
	t.Helper()
	zone := dnstest.NewZone("1.0.0.127.in-addr.arpa. PTR mail.near.example.\narpa. NS ns.near.example.\n")
	zone.Sign("arpa")
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
	smtp := listenerOf(s, c, "smtp")
	known := *s.store.known.Load()
	known.DeliverPort, known.Open = uint16(smtp.(*net.TCPAddr).Port), false
	s.store.known.Store(&known)
	for _, zone := range []dns.Name{"yubin.test", "near.example"} {
		ns.TakeUpdates(zone, "yubin", "hmac-sha256", secret)
	}
	changes, err := admin.InProcess(s.Admin()).PublishDNS(t.Context(), "yubin.test", admin.DNSPublish{})
	if err != nil {
		t.Fatal(err)
	}
	s.store.selftest.clock = func() machine.Clock { return machine.ClockKept }
	s.store.selftest.roots = x509.NewCertPool()
	s.store.selftest.roots.AddCert(certificateOf(t, smtp.String()))
	return s, zone, changes
}

// try runs a selftest and says what is not well, by its name.
func try(t *testing.T, s *Server, account string) (found map[string]admin.Test, all []admin.Test) {
	t.Helper()
	all, err := admin.InProcess(s.Admin()).Selftest(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	found = map[string]admin.Test{}
	for _, one := range all {
		if one.State != admin.TestOK {
			found[strings.TrimSpace(one.Check+" "+one.About)] = one
		}
	}
	return found, all
}

// TestSelftest: a server that is well is found well; then what is broken is named, with what
// to do.
func TestSelftest(t *testing.T) {
	s, zone, changes := tried(t)
	found, all := try(t, s, "")
	for name, one := range found {
		t.Errorf("%s: %+v", name, one)
	}
	for _, check := range []string{"database", "disk", "queue", "clock", "resolver", "port", "certificate", "submission", "mx", "imap", "dkim", "dns"} {
		if !slices.ContainsFunc(all, func(one admin.Test) bool { return one.Check == check }) {
			t.Errorf("nothing is said of %s: %+v", check, all)
		}
	}
	account, err := s.store.directory.Account(t.Context(), mail.Address{Local: selftestAccount, Domain: "yubin.test"})
	if err != nil {
		t.Fatal(err)
	}
	if box, err := s.store.mail.MailboxByRole(t.Context(), account.ID, mail.RoleInbox); err != nil || box.Exists != 0 {
		t.Errorf("%d messages are left, %v", box.Exists, err)
	}
	if list, err := s.store.directory.Passwords(t.Context(), account.Address); err != nil || len(list) != 1 {
		t.Errorf("passwords are left: %+v, %v", list, err)
	}
	if _, err := admin.InProcess(s.Admin()).Selftest(t.Context(), "nobody@yubin.test"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("as nobody: %v", err)
	}

	expect := func(what, name string, state admin.TestState, text, mend string) {
		t.Helper()
		found, _ := try(t, s, "bob@yubin.test")
		one := found[name]
		if one.State != state || !strings.Contains(one.Text, text) || !strings.Contains(one.Mend, mend) {
			t.Errorf("%s: %s is %+v, of %v", what, name, one, found)
		}
	}
	for _, c := range changes {
		if c.Kind == "dkim" {
			zone.Without(c.Record().Line())
		}
	}
	expect("no key in the DNS", "dkim yubin.test", admin.TestWrong, "others do not verify what is signed", "yubin dns check yubin.test")
	zone.Remove("yubin.test")
	expect("no MX", "mx", admin.TestWrong, "the DNS has no MX", "yubin dns check yubin.test says what to write")
	expect("no MX", "dns yubin.test MX", admin.TestWrong, "yubin.test MX:", "write yubin.test. 3600 IN MX 10 mail.near.example.")
	s.store.selftest.roots = x509.NewCertPool()
	expect("nobody believes it", "certificate mail.near.example", admin.TestWarning, "it was signed by nobody whom everybody knows", "as configured")
	s.store.selftest.clock = func() machine.Clock { return machine.ClockLeft }
	expect("nothing keeps the clock", "clock", admin.TestWarning, "nothing keeps the clock", "systemd-timesyncd")
	s.store.watcher.room = func(string) (uint64, uint64, bool) { return 50 << 20, 200 << 30, true }
	expect("the disk is full", "disk", admin.TestWrong, "50 MiB of 200 GiB", "")
	if err := s.store.directory.SetDisabled(t.Context(), mail.Address{Local: "bob", Domain: "yubin.test"}, true); err != nil {
		t.Fatal(err)
	}
	expect("who is disabled", "mail", admin.TestUnknown, "is disabled", "yubin account enable")
}

// TestSelftestDoors: what is wrong with a listener is told with where it is, and silence is
// not taken for a fault of the server.
func TestSelftestDoors(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := refused.Addr().(*net.TCPAddr).AddrPort()
	_ = refused.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("* OK hello\r\ny1 NO not today\r\n"))
		}
	}()
	s, _ := near(t, farZone, 1)
	st := s.store.selftest
	for _, c := range []struct {
		l    config.Listener
		at   netip.AddrPort
		want string
	}{
		{config.Listener{Protocol: config.IMAP, TLS: config.TLSImplicit}, at, "refused"},
		{config.Listener{Protocol: config.IMAP, TLS: config.TLSImplicit}, other.Addr().(*net.TCPAddr).AddrPort(), "no TLS"},
		{config.Listener{Protocol: config.IMAP, TLS: config.TLSStart}, other.Addr().(*net.TCPAddr).AddrPort(), `it says "y1 NO not today`},
		{config.Listener{Protocol: config.POP3, TLS: config.TLSStart}, other.Addr().(*net.TCPAddr).AddrPort(), `it greets with "* OK hello`},
		{config.Listener{Protocol: config.SMTP, TLS: config.TLSStart}, other.Addr().(*net.TCPAddr).AddrPort(), " "},
	} {
		k := knocked{at: c.at}
		st.knock(t.Context(), c.l, &k)
		one := doorTest(c.l, c.at, []knocked{k})
		if one.State != admin.TestWrong || !strings.Contains(one.Text, c.want) || one.Mend == "" {
			t.Errorf("%s at %s: %+v", c.l.Service(), c.at, one)
		}
	}
	silent := doorTest(config.Listener{Protocol: config.SMTP}, at, []knocked{{at: at, fault: "no answer", silent: true}})
	if silent.State != admin.TestUnknown || !strings.Contains(silent.Mend, "behind a router") {
		t.Errorf("silence: %+v", silent)
	}
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct{ at, want string }{
		{"[::]:25", "192.0.2.1:25 [2001:db8::1]:25"}, {"0.0.0.0:25", "192.0.2.1:25"}, {"127.0.0.1:8443", "127.0.0.1:8443"}, {"[::1]:8443", "[::1]:8443"},
	} {
		if got := strings.Trim(fmt.Sprint(placesOf(netip.MustParseAddrPort(c.at), []netip.Addr{v4, v6})), "[]"); got != strings.Trim(c.want, "[]") {
			t.Errorf("%s is reached at %s, want %s", c.at, got, c.want)
		}
	}
	if got := placesOf(netip.MustParseAddrPort("[::]:25"), nil); len(got) != 1 || !got[0].Addr().IsLoopback() {
		t.Errorf("without addresses: %v", got)
	}
}

// TestSelftestOneAtATime: who comes while one is on hears so, and the command without a
// server too.
func TestSelftestOneAtATime(t *testing.T) {
	s, c := near(t, farZone, 1)
	s.store.selftest.on.Store(true)
	if _, err := s.store.selftest.Selftest(t.Context(), ""); mail.KindOf(err) != mail.Conflict {
		t.Errorf("while one is on: %v", err)
	}
	_ = c
	st, err := MakeStore(t.Context(), filepath.Join(t.TempDir(), "data"), deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := admin.InProcess(st.Admin()).Selftest(t.Context(), ""); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("without a server: %v", err)
	}
}

// TestSelftestDaily: at its time, once; the postmaster hears of what became different.
func TestSelftestDaily(t *testing.T) {
	s, _ := near(t, farZone, 1)
	now := time.Now()
	d := deps()
	d.Now = func() time.Time { return now }
	st := newSelftest(s.store, d)
	st.clock = func() machine.Clock { return machine.ClockLeft }
	told := func() map[string]time.Time {
		t.Helper()
		all, err := s.store.watcher.alarm.Told(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	at := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
	for _, c := range []config.Watch{{Mail: true, Summary: -1, Selftest: -1}, {Mail: true, Summary: -1, Selftest: at + time.Minute}} {
		s.store.watcher.set(c)
		if err := st.daily(t.Context()); err != nil || !told()[selftestKey].IsZero() {
			t.Errorf("too soon with %v: %v, %v", c.Selftest, err, told())
		}
	}
	s.store.watcher.set(config.Watch{Mail: true, Summary: -1, Selftest: at})
	if err := st.daily(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := holding(t, s, "alice@near.example", 1)
	if !strings.Contains(first, "New since the last selftest:") || !strings.Contains(first, "clock: nothing keeps the clock") || strings.Contains(first, "As before:") {
		t.Errorf("the first letter:\n%s", first)
	}
	if _, known := told()["selftest:clock"]; !known {
		t.Errorf("told: %v", told())
	}
	if err := st.daily(t.Context()); err != nil || newestCount(t, s) != 1 {
		t.Errorf("the same day once more: %v, %d letters", err, newestCount(t, s))
	}
}

// newestCount is how many letters alice has.
func newestCount(t *testing.T, s *Server) uint32 {
	t.Helper()
	a, err := s.store.directory.Account(t.Context(), mail.Address{Local: "alice", Domain: "near.example"})
	if err != nil {
		t.Fatal(err)
	}
	box, err := s.store.mail.MailboxByRole(t.Context(), a.ID, mail.RoleInbox)
	if err != nil {
		t.Fatal(err)
	}
	return box.Exists
}

// TestSelftestLetters: what is new, what is well again and what stays, and no letter when
// nothing changed; what could not be found out changes nothing.
func TestSelftestLetters(t *testing.T) {
	s, _ := near(t, farZone, 1)
	st := s.store.selftest
	s.store.watcher.set(config.Watch{Mail: true, Summary: -1, Selftest: -1})
	clock := func(state admin.TestState) admin.Test {
		return admin.Test{Check: "clock", State: state, Text: "the clock", Mend: "a clockmaker"}
	}
	record := func(about string, state admin.TestState) admin.Test {
		return admin.Test{Check: "dns", About: about, State: state, Text: about + " is " + string(state)}
	}
	full := admin.Test{Check: "disk", State: admin.TestWrong, Text: "the disk is full"} // The watcher tells of it.
	ends := admin.Test{Check: "certificate", About: "/etc/yubin/tls/fullchain.pem", State: admin.TestWarning, Text: "it ends"}
	doubted := admin.Test{Check: "certificate", About: "mx.near.example", State: admin.TestWrong, Text: "nobody believes it"}
	letters := uint32(0)
	due := time.Date(2031, 3, 5, 5, 0, 0, 0, time.UTC)
	day := func(what string, tests []admin.Test, want ...string) {
		t.Helper()
		due = due.AddDate(0, 0, 1)
		told, err := s.store.watcher.alarm.Told(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := st.tell(t.Context(), due, tests, told); err != nil {
			t.Fatal(err)
		}
		if len(want) > 0 {
			letters++
			text := holding(t, s, "alice@near.example", letters)
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%s: no %q in\n%s", what, w, text)
				}
			}
		}
		if n := newestCount(t, s); n != letters {
			t.Errorf("%s: %d letters, want %d", what, n, letters)
		}
	}
	day("all is well", []admin.Test{clock(admin.TestOK), record("example.org", admin.TestOK), full, ends})
	day("a certificate that nobody believes", []admin.Test{doubted, ends}, "finds what is not right: certificate", "certificate mx.near.example: nobody believes it")
	day("it is believed", nil, "finds all well again")
	day("one is new", []admin.Test{clock(admin.TestWarning), record("example.org", admin.TestOK), full},
		"Subject: mx.near.example: the selftest finds what is not right: clock", "clock: the clock. To do: a clockmaker")
	day("the same", []admin.Test{clock(admin.TestWarning), record("example.org", admin.TestOK)})
	day("one more", []admin.Test{clock(admin.TestWarning), record("example.org MX", admin.TestWrong), record("example.org MX", admin.TestWarning)}, "finds what is not right: dns", "As before:\r\nclock: the clock")
	day("not to be found out", []admin.Test{clock(admin.TestUnknown), record("example.org", admin.TestUnknown)})
	day("the same again", []admin.Test{clock(admin.TestWarning), record("example.org MX", admin.TestWrong)})
	day("one is well", []admin.Test{clock(admin.TestWarning), record("example.org", admin.TestOK)}, "finds less that is not right", "Well again:\r\ndns example.org MX")
	day("all are well", []admin.Test{clock(admin.TestOK), record("example.org", admin.TestOK)}, "finds all well again", "Well again:\r\nclock")
	day("and stay so", []admin.Test{clock(admin.TestOK), record("example.org", admin.TestOK)})
	s.store.watcher.set(config.Watch{Summary: -1, Selftest: -1})
	day("nobody wants to know", []admin.Test{clock(admin.TestWarning)})

	// The watcher, which forgets what is well for an hour, leaves these causes alone.
	w, now, _ := watching(t, s, config.Watch{Mail: true, Summary: -1, Selftest: -1})
	for range 2 {
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		*now = now.Add(2 * watchCalm)
	}
	if told, err := w.alarm.Told(t.Context()); err != nil || told["selftest:clock"].IsZero() {
		t.Errorf("%v, %v", told, err)
	}
}
