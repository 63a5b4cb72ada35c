package zone

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

// publish publishes, and returns what was done, without what stays.
func (s *site) publish(how How) (done []string) {
	s.t.Helper()
	changes, err := s.Publish(s.t.Context(), "example.org", how)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range changes {
		if c.Action != Stays {
			done = append(done, fmt.Sprintf("%s %s %s %s", c.Action, c.Kind, c.Record.Name, c.Record.Type))
		}
	}
	return done
}

// rows are what is remembered.
func (s *site) rows() (list []row) {
	s.t.Helper()
	list, err := s.Zone.published(s.t.Context(), "example.org")
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestPublish: all is put into an empty zone, and a second time nothing is left to do.
func TestPublish(t *testing.T) {
	s := newSite(t)
	s.names = dnstest.NewFake("10.2.0.192.in-addr.arpa. PTR mail.example.org.\n" + dns.Reverse(s.settings.Addresses[1]).FQDN() + " PTR mail.example.org.")
	dry := s.publish(How{DryRun: true})
	if len(s.updates) != 0 || len(s.rows()) != 0 {
		t.Fatalf("a dry run did %q and remembers %d", s.updates, len(s.rows()))
	}
	done := s.publish(How{})
	if !slices.Equal(dry, done) {
		t.Errorf("said %q, did %q", dry, done)
	}
	want := len(s.want("example.org").Records) - 2 // but the reverse zones
	if len(done) != want || !slices.Equal(s.updates, []string{fmt.Sprintf("example.org: %d added, 0 removed", want)}) || len(s.rows()) != want {
		t.Errorf("%d done, %q, %d rows; want %d", len(done), s.updates, len(s.rows()), want)
	}
	if all, faults := s.check(); !all.OK() {
		t.Errorf("%+v", faults)
	}
	if again := s.publish(How{}); len(again) != 0 || len(s.updates) != 1 {
		t.Errorf("again: %q, %q", again, s.updates)
	}
}

// TestOthersRecords: what others wrote stays, unless it is to be replaced; what only looks
// like it is not touched at all.
func TestOthersRecords(t *testing.T) {
	for _, c := range []struct{ name, zone, left, replaced, stays string }{
		{"MX", "example.org. MX 5 mx.example.net.", "left mx example.org MX", "remove mx example.org MX|add mx example.org MX", ""},
		{"SPF", `example.org. TXT "v=spf1 -all"` + "\n" + `example.org. TXT "site-verification=1"`, "left spf example.org TXT", "remove spf example.org TXT|add spf example.org TXT", "site-verification=1"},
		{"SPF that is right", `example.org. TXT "v=spf1 ip4:` + four + ` ip6:` + six + ` -all"` + "\nmail.example.org. A " + four, "", "remove spf example.org TXT|add spf example.org TXT", ""},
		{"DMARC that is right", `_dmarc.example.org. TXT "v=DMARC1; p=reject"`, "", "remove dmarc _dmarc.example.org TXT|add dmarc _dmarc.example.org TXT", ""},
		{"DMARC elsewhere", "_dmarc.example.org. CNAME x.dmarc.example.net.", "left dmarc _dmarc.example.org TXT", "remove dmarc _dmarc.example.org CNAME|add dmarc _dmarc.example.org TXT", ""},
		{"a host with an address", "autoconfig.example.org. A 203.0.113.1", "left autoconfig autoconfig.example.org CNAME", "remove autoconfig autoconfig.example.org A|add autoconfig autoconfig.example.org CNAME", ""},
		{"an address of the host", "mail.example.org. A 203.0.113.1", "left address mail.example.org A", "remove address mail.example.org A|add address mail.example.org A", ""},
		{"a key that is another", `y20261201e._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p="`, "remove dkim y20261201e._domainkey.example.org TXT|add dkim y20261201e._domainkey.example.org TXT", "remove dkim y20261201e._domainkey.example.org TXT|add dkim y20261201e._domainkey.example.org TXT", ""},
		{"a TLSA more", "_25._tcp.mail.example.org. TLSA 2 1 1 " + strings.Repeat("0a", 32), "add tlsa _25._tcp.mail.example.org TLSA", "add tlsa _25._tcp.mail.example.org TLSA", ""},
		{"a CAA more", `mail.example.org. CAA 0 issue "other.example"`, "add caa mail.example.org CAA", "add caa mail.example.org CAA", ""},
	} {
		for _, replace := range []bool{false, true} {
			s := newSite(t)
			s.names = dnstest.NewFake(c.zone)
			n, kind := dns.Name(""), ""
			want := c.left
			if replace {
				want = c.replaced
			}
			if f := strings.Fields(c.replaced); true {
				kind, n = f[1], dns.Name(f[2])
			}
			var got []string
			for _, line := range s.publish(How{Replace: replace}) {
				if f := strings.Fields(line); f[1] == kind && dns.Name(f[2]) == n && (kind != "address" || f[3] == "A") {
					got = append(got, line)
				}
			}
			if strings.Join(got, "|") != want {
				t.Errorf("%s, replace %v: %q, want %q", c.name, replace, got, want)
			}
			if c.stays != "" {
				if a, err := s.names.TXT(t.Context(), "example.org"); err != nil || !slices.Contains(a.Records, c.stays) {
					t.Errorf("%s, replace %v: %q is gone", c.name, replace, c.stays)
				}
			}
		}
	}
}

// TestOutdated: what was put there goes when it is not wanted any more, and nothing else.
func TestOutdated(t *testing.T) {
	s := newSite(t)
	s.publish(How{})
	s.edit(`y20250101r._domainkey.example.org. TXT "v=DKIM1; p="` + "\n_imap._tcp.example.org. TXT x")
	s.keys[1].Key.Selector, s.keys[1].Name = "y20270101e", "y20270101e._domainkey.example.org"
	s.settings.Addresses = s.settings.Addresses[:1]
	s.settings.Web = false // No policy: senders hold to the one they have, so its records stay.
	got := s.publish(How{})
	slices.Sort(got)
	if want := []string{
		"add dkim y20270101e._domainkey.example.org TXT", "remove address mail.example.org AAAA", "remove autoconfig autoconfig.example.org CNAME",
		"remove autodiscover _autodiscover._tcp.example.org SRV", "remove autodiscover autodiscover.example.org CNAME",
		"remove dkim y20261201e._domainkey.example.org TXT",
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, r := range s.rows() {
		if !slices.ContainsFunc(s.want("example.org").Records, func(w Record) bool { return r.is(w.ZoneRecord) }) && !strings.HasPrefix(r.kind, "mta-sts") {
			t.Errorf("%s is remembered still", r.Line())
		}
	}
}

// TestPolicyGoes when there is to be none, and not before.
func TestPolicyGoes(t *testing.T) {
	s := newSite(t)
	s.publish(How{})
	s.settings.STSOff = true
	got := s.publish(How{})
	slices.Sort(got)
	if want := []string{"remove mta-sts _mta-sts.example.org TXT", "remove mta-sts-host mta-sts.example.org CNAME"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestNothingIsOutdatedUnseen: while it is not known what there should be, nothing goes.
func TestNothingIsOutdatedUnseen(t *testing.T) {
	s := newSite(t)
	s.publish(How{})
	s.keysErr = mail.Errorf(mail.Unavailable, "secrets cannot be opened")
	s.keys, s.settings.Addresses = nil, nil
	if got := s.publish(How{}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestPublishFails: what was not done is said, and can be done again.
func TestPublishFails(t *testing.T) {
	s := newSite(t)
	s.failing = mail.Errorf(mail.Forbidden, "it does not know the key")
	if _, err := s.Publish(t.Context(), "example.org", How{}); !errors.Is(err, s.failing) {
		t.Error(err)
	}
	s.failing = nil
	if got := s.publish(How{}); len(got) == 0 {
		t.Error("nothing was left to do")
	}
	s.names.Fail("example.org", dns.TypeMX, dns.Refused)
	if _, err := s.Publish(t.Context(), "example.org", How{}); mail.KindOf(err) != mail.Unavailable || !strings.Contains(err.Error(), "cannot be asked about example.org") {
		t.Error(err)
	}
	s.settings.Zones = nil
	if _, err := s.Publish(t.Context(), "example.org", How{}); mail.KindOf(err) != mail.Conflict {
		t.Error(err)
	}
}

// TestZones: names go into the longest zone that they are in, others are left to people.
func TestZones(t *testing.T) {
	s := newSite(t)
	s.settings.Host, s.settings.Zones = "mx.hosts.example.org", []dns.Name{"example.org", "hosts.example.org", "org"}
	s.publish(How{})
	if len(s.updates) != 2 || !strings.HasPrefix(s.updates[0], "example.org: ") && !strings.HasPrefix(s.updates[1], "example.org: ") {
		t.Errorf("%q", s.updates)
	}
	s = newSite(t)
	s.settings.Host = "mx.example.net"
	if got := s.publish(How{}); !slices.Contains(got, "elsewhere address mx.example.net A") {
		t.Errorf("%q", got)
	}
}

// TestRun: what was published is kept up as keys change, and nothing before.
func TestRun(t *testing.T) {
	s := newSite(t)
	told := map[mail.Domain]string{}
	s.pass(t.Context(), told)
	if len(s.updates) != 0 {
		t.Fatalf("nobody published, and there is %q", s.updates)
	}
	s.publish(How{})
	s.edit("-_dmarc.example.org") // Somebody took it away: that is no key.
	s.keys[0].Key.State, s.keys[0].Text = signing.Revoked, "v=DKIM1; k=rsa; h=sha256; p="
	s.next = [][]byte{[]byte("next")}
	s.settings.STSAge = 24 * time.Hour
	s.pass(t.Context(), told)
	if got := s.updates[1:]; !slices.Equal(got, []string{"example.org: 3 added, 2 removed"}) {
		t.Errorf("%q", got)
	}
	s.failing = errors.New("down")
	s.next = nil
	s.pass(t.Context(), told)
	if told["example.org"] != "down" {
		t.Errorf("%q", told)
	}
	if list := s.Failing(); len(list) != 1 || list[0].Domain != "example.org" || list[0].Why.Error() != "down" || list[0].Since.IsZero() {
		t.Errorf("failing: %v", list)
	}
	s.failing = nil
	s.pass(t.Context(), told)
	if got := s.updates[2:]; !slices.Equal(got, []string{"example.org: 0 added, 1 removed"}) || len(told)+len(s.Failing()) != 0 {
		t.Errorf("%q, %q, %v", got, told, s.Failing())
	}
}

// TestRunSwitchedOff: it leaves everything to people then.
func TestRunSwitchedOff(t *testing.T) {
	s := newSite(t)
	s.publish(How{})
	s.next = [][]byte{[]byte("next")}
	synctest.Test(t, func(t *testing.T) {
		s.settings.Automatic = false
		go s.Run(t.Context())
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.updates) != 1 {
			t.Errorf("%q", s.updates)
		}
	})
}
