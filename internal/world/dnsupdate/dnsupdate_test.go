package dnsupdate

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

var secret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// server takes updates of example.org.
func server(t *testing.T) (*dnstest.Server, *dnstest.Zone) {
	t.Helper()
	zone := dnstest.NewZone("example.org. MX 5 old.example.org.\nexample.org. TXT \"kept\"\nalias.example.org. A 192.0.2.1")
	s, err := dnstest.Listen(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.TakeUpdates("example.org", "yubin", "hmac-sha256", secret)
	return s, zone
}

func rec(n dns.Name, kind dns.Type, value string) dns.ZoneRecord {
	return dns.ZoneRecord{Name: n, Type: kind, TTL: time.Hour, Value: value}
}

func key(t *testing.T, name, algorithm, secret string) Key {
	t.Helper()
	k, err := newKey("file", name, algorithm, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestUpdate: records go and come in one step, and others stay.
func TestUpdate(t *testing.T) {
	s, zone := server(t)
	long := strings.Repeat("long ", 100) + `"quoted" \ back`
	err := (Updater{}).Update(t.Context(), s.Addr(), "example.org", key(t, "Yubin.", "hmac-sha256", secret),
		[]dns.ZoneRecord{rec("example.org", dns.TypeMX, "10 mail.example.org."), rec("example.org", dns.TypeTXT, long), rec("alias.example.org", dns.TypeCNAME, "mail.example.org."),
			rec("example.org", dns.TypeCAA, `0 issue "ca.example; accounturi=https://ca.example/1"`), rec("_25._tcp.example.org", dns.TypeTLSA, "3 1 1 "+strings.Repeat("0a", 32)),
			rec("_imaps._tcp.example.org", dns.TypeSRV, "0 0 0 .")},
		[]dns.ZoneRecord{rec("example.org", dns.TypeMX, "5 old.example.org."), rec("alias.example.org", dns.TypeA, "192.0.2.1"), rec("gone.example.org", dns.TypeA, "192.0.2.9")})
	if err != nil {
		t.Fatal(err)
	}
	fake := dnstest.NewFake("")
	fake.Zone = zone
	for _, c := range []struct {
		n    dns.Name
		t    dns.Type
		want string
	}{
		{"example.org", dns.TypeMX, "10 mail.example.org."}, {"example.org", dns.TypeTXT, "kept|" + long}, {"alias.example.org", dns.TypeCNAME, "mail.example.org."},
		{"example.org", dns.TypeCAA, `0 issue "ca.example; accounturi=https://ca.example/1"`}, {"_imaps._tcp.example.org", dns.TypeSRV, "0 0 0 ."},
		{"_25._tcp.example.org", dns.TypeTLSA, "3 1 1 " + strings.Repeat("0a", 32)},
	} {
		a, err := fake.Records(t.Context(), c.n, c.t)
		if err != nil || strings.Join(a.Records, "|") != c.want {
			t.Errorf("%s of %s: %q, %v", c.t, c.n, a.Records, err)
		}
	}
	if err := (Updater{}).Update(t.Context(), s.Addr(), "example.org", Key{}, nil, nil); err != nil || s.Updated() != 1 {
		t.Errorf("nothing to do: %v, %d updates", err, s.Updated())
	}
}

// TestRefused: who does not take it is understood.
func TestRefused(t *testing.T) {
	s, _ := server(t)
	other := base64.StdEncoding.EncodeToString([]byte("another secret, of 32 octets too"))
	one := []dns.ZoneRecord{rec("x.example.org", dns.TypeA, "192.0.2.1")}
	good := key(t, "yubin", "hmac-sha256", secret)
	for _, c := range []struct {
		name string
		at   netip.AddrPort
		zone dns.Name
		key  Key
		add  []dns.ZoneRecord
		kind mail.Kind
		says string
	}{
		{"another secret", s.Addr(), "example.org", key(t, "yubin", "hmac-sha256", other), one, mail.Forbidden, "it has another secret for the key yubin"},
		{"another key", s.Addr(), "example.org", key(t, "nobody", "hmac-sha256", secret), one, mail.Forbidden, "it does not know the key nobody"},
		{"another algorithm", s.Addr(), "example.org", key(t, "yubin", "hmac-sha512", secret), one, mail.Forbidden, "it does not know the key yubin"},
		{"another zone", s.Addr(), "example.net", good, []dns.ZoneRecord{rec("x.example.net", dns.TypeA, "192.0.2.1")}, mail.Forbidden, "it does not let the key yubin change it"},
		{"a name elsewhere", s.Addr(), "example.org", good, []dns.ZoneRecord{rec("x.example.net", dns.TypeA, "192.0.2.1")}, mail.Invalid, "x.example.net is not in the zone example.org"},
		{"no record", s.Addr(), "example.org", good, []dns.ZoneRecord{rec("x.example.org", dns.TypeA, "no address")}, mail.Invalid, "cannot be written into a zone"},
		{"too many", s.Addr(), "example.org", good, make([]dns.ZoneRecord, MaxRecords+1), mail.TooLarge, "at most 500 records"},
		{"nobody there", netip.MustParseAddrPort("127.0.0.1:1"), "example.org", good, one, mail.Unavailable, "the name server 127.0.0.1:1 cannot be reached"},
	} {
		err := (Updater{}).Update(t.Context(), c.at, c.zone, c.key, c.add, nil)
		if mail.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.name, err, c.says)
		}
	}
	if s.Updated() != 0 {
		t.Error("an update was taken")
	}
}

// TestClock: one that is wrong is told of.
func TestClock(t *testing.T) {
	s, _ := server(t)
	u := Updater{Now: func() time.Time { return time.Now().Add(-time.Hour) }}
	err := u.Update(t.Context(), s.Addr(), "example.org", key(t, "yubin", "hmac-sha256", secret), []dns.ZoneRecord{rec("x.example.org", dns.TypeA, "192.0.2.1")}, nil)
	if mail.KindOf(err) != mail.Forbidden || !strings.Contains(err.Error(), "differ by more than five minutes") {
		t.Error(err)
	}
}

// TestUnsignedAnswer: an answer that anybody could have made is not believed.
func TestUnsignedAnswer(t *testing.T) {
	s, _ := server(t)
	s.AnswerUnsigned()
	err := (Updater{}).Update(t.Context(), s.Addr(), "example.org", key(t, "yubin", "hmac-sha256", secret), []dns.ZoneRecord{rec("x.example.org", dns.TypeA, "192.0.2.1")}, nil)
	if mail.KindOf(err) != mail.Unavailable || !strings.Contains(err.Error(), "is not signed with the key") {
		t.Error(err)
	}
}

func TestReadKey(t *testing.T) {
	dir := t.TempDir()
	write := func(text string, mode os.FileMode) string {
		path := filepath.Join(dir, "key")
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bind := "key \"yubin\" {\n\talgorithm hmac-sha512;\n\tsecret \"" + secret + "\";\n};\n"
	for _, c := range []struct {
		text, name, algorithm string
		mode                  os.FileMode
		want                  Key
		says                  string
	}{
		{bind, "", "", 0o600, Key{"yubin", "hmac-sha512.", secret}, ""},
		{bind, "other.example", "hmac-sha256", 0o640, Key{"other.example", "hmac-sha256.", secret}, ""},
		{secret + "\n", "yubin.", "", 0o600, Key{"yubin", "hmac-sha256.", secret}, ""},
		{secret, "", "", 0o600, Key{}, "has no name"},
		{secret, "yubin", "hmac-md5", 0o600, Key{}, "the algorithm of the key must be"},
		{"c2hvcnQ=", "yubin", "", 0o600, Key{}, "there is no key in"},
		{"not base64!", "yubin", "", 0o600, Key{}, "there is no key in"},
		{secret, "yubin", "", 0o644, Key{}, "others can read it (mode 0644)"},
		{secret, "yubin", "", 0o660, Key{}, "is no secret"},
	} {
		got, err := ReadKey(write(c.text, c.mode), c.name, c.algorithm)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret) || mail.KindOf(err) != mail.Invalid) {
			t.Errorf("%q, %q: %+v, %v; want %s", c.name, c.algorithm, got, err, c.says)
		}
	}
	if _, err := ReadKey(filepath.Join(dir, "none"), "yubin", ""); !os.IsNotExist(err) {
		t.Error(err)
	}
}
