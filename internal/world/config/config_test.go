package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// TestFaults parses each testdata/*.toml and compares all faults with the
// comments in it: "#! text" stands on the line of the fault, or on a line of
// its own for the line after it; "#!0 text" is for the file as a whole.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(file, data)
		var got []Fault
		if f := (*Faults)(nil); errors.As(err, &f) {
			got = f.List
		}
		if want := wanted(string(data)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", file, got, want)
		}
	}
}

func wanted(data string) []Fault {
	var whole, lined []Fault
	for i, line := range strings.Split(data, "\n") {
		for j, text := range strings.Split(line, "#!") {
			switch {
			case j == 0:
			case strings.HasPrefix(text, "0 "):
				whole = append(whole, Fault{0, strings.TrimSpace(text[2:])})
			default:
				lined = append(lined, Fault{i + 1, strings.TrimSpace(text)})
			}
		}
	}
	return append(whole, lined...)
}

func TestValues(t *testing.T) {
	c, err := Parse("/etc/yubin/yubin.toml", []byte(`
hostname = "Mail.Example.ORG"
data = "store"
database = "postgres://yubin@db.example/yubin"
secrets = "private/key"
shutdown_timeout = "1m"
certificate = [{cert = "c.pem", key = "/k.pem"}]
[log]
level = "warn"
format = "json"
[limits]
message_size = "64 KiB"
[dns]
servers = ["192.0.2.53", "[::1]:5353"]
trust = "none"
timeout = "3s"
attempts = 1
[queue]
concurrency = 100
site_concurrency = 5
site_rate = 10
lifetime = "2d"
notice_after = "never"
history = "90d"
[dkim]
sign = false
zone = "DKIM.Example.NET"
rotate = "90d"
[retention]
expunged = "14d"
changes = "60d"
changes_size = "16 MiB"
audit = "1000d"
[admin]
address = "127.0.0.1:2590"
[[listener]]
protocol = "smtp"
profile = "lmtp"
address = "127.0.0.1:24"
[[listener]]
protocol = "imap"
address = "[::]:993"
tls = "implicit"
proxies = ["192.0.2.10", "2001:db8:7::1/64"]
[watch]
mail = false
summary = "07:30"
selftest = "05:10"
queue_oldest = "2h"
queue_length = 500
disk_free = "1 GiB"
[reports]
addresses = ["dmarc", "reports@example.org"]
send = false
organization = "Example"
contact = "boss@example.org"
keep = "30d"
[bans]
enabled = false
never = ["198.51.100.7", "2001:db8:9::/48"]
[sending]
enabled = false
messages_hour = 50
messages_day = 0
new_hour = 20
new_day = 100
breaker = false
end_sessions = true
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Hostname, want.hostnameLine = "mail.example.org", 2
	want.Data = "/etc/yubin/store"
	want.Database = "postgres://yubin@db.example/yubin"
	want.Secrets, want.Folder = "/etc/yubin/private/key", "/etc/yubin"
	want.ShutdownTimeout = time.Minute
	want.Log = Log{Level: 4, Format: obs.FormatJSON}
	want.Limits.MessageSize = 64 << 10
	want.DNS = DNS{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("[::1]:5353")},
		Trust:   DNSTrustNone, Timeout: 3 * time.Second, Attempts: 1,
	}
	want.Queue = Queue{Concurrency: 100, SiteConcurrency: 5, SiteRate: 10, Lifetime: 48 * time.Hour, NoticeAfter: -1, History: 90 * day}
	want.DKIM = DKIM{Off: true, Zone: "dkim.example.net", Rotate: 90 * day}
	want.Retention = Retention{Expunged: 14 * day, Changes: 60 * day, ChangesSize: 16 << 20, Audit: 1000 * day}
	want.Watch = Watch{Summary: 7*time.Hour + 30*time.Minute, Selftest: 5*time.Hour + 10*time.Minute, QueueOldest: 2 * time.Hour, QueueLength: 500, DiskFree: 1 << 30}
	want.Reports = Reports{Addresses: []string{"dmarc", "reports@example.org"}, Organization: "Example",
		Contact: mail.Address{Local: "boss", Domain: "example.org"}, Keep: 30 * day}
	want.Bans = Bans{Off: true, Never: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("2001:db8:9::/48")}}
	want.Sending = Sending{Off: true, MessagesHour: 50, NewHour: 20, NewDay: 100, EndSessions: true}
	want.Admin.Address = "127.0.0.1:2590"
	want.TLS.Certificates = []Certificate{{Cert: "/etc/yubin/c.pem", Key: "/k.pem", Line: 7}}
	want.Listeners = []Listener{
		{Protocol: SMTP, Profile: ProfileLMTP, Address: "127.0.0.1:24", TLS: TLSNone, Line: 36},
		{Protocol: IMAP, Address: "[::]:993", TLS: TLSImplicit, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8:7::/64")}, Line: 40},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestSecretsPaths: where the key may be that seals secrets.
func TestSecretsPaths(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         {"/etc/yubin/secrets.key", "/var/lib/yubin/secrets.key"},
		"data = \"/d\"":            {"/etc/yubin/secrets.key", "/d/secrets.key"},
		"secrets = \"/k/private\"": {"/k/private"},
		"secrets = \"my.key\"":     {"/etc/yubin/my.key"},
	} {
		c, err := Parse("/etc/yubin/yubin.toml", []byte("hostname = \"a.example\"\ntls.self_signed = true\n"+text))
		if got := c.SecretsPaths(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	c := Local("local-data", 0)
	if got := c.SecretsPaths(); !reflect.DeepEqual(got, []string{"local-data/secrets.key"}) {
		t.Errorf("localserve: %q", got)
	}
}

// TestDefaults: a host name and a certificate are all that must be said.
func TestDefaults(t *testing.T) {
	c, err := Parse("yubin.toml", []byte("hostname = \"mail.example.org\"\ntls.self_signed = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 9 || c.Data != "/var/lib/yubin" || c.ShutdownTimeout != 30*time.Second {
		t.Errorf("got %+v", c)
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "yubin.toml")
	c, err := Parse(file, []byte("hostname = \"a.example\"\ndata = \"gone/data\"\n[[certificate]]\ncert = \"c.pem\"\nkey = \"k.pem\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Verify(file)
	want := []string{
		file + ": data: the folder above " + dir + "/gone/data: " + dir + "/gone: no such file or directory",
		file + ":3: certificate file " + dir + "/c.pem does not exist: correct the path in the configuration or put the file there",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got  %v\nwant %s", err, strings.Join(want, "\n"))
	}
}

func TestLoadMissing(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLocalOffset(t *testing.T) {
	a, b := Local("a", 0), Local("b", 100)
	for i := range a.Listeners {
		if a.Listeners[i].Address == b.Listeners[i].Address {
			t.Errorf("%s is used by both", a.Listeners[i].Address)
		}
	}
	var f Faults
	if b.check(&f); len(f.List) > 0 {
		t.Errorf("local configuration is at fault: %v", &f)
	}
}

func TestSize(t *testing.T) {
	good := map[string]int64{"1 B": 1, "64KiB": 65536, "50 MiB": 50 << 20, "2 GB": 2e9, "1 kB": 1000, "1 KB": 1000}
	for s, want := range good {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
		if back, err := ParseSize(formatSize(want)); err != nil || back != want {
			t.Errorf("formatSize(%d) = %q", want, formatSize(want))
		}
	}
	for _, s := range []string{"", "5", "MiB", "-1 B", "1.5 GiB", "9999999999 GiB", "1 KiB 2"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
	}
}

// FuzzParse: whatever a file holds, there is an answer, and every fault names a
// line of the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Parse("f", data)
		var faults *Faults
		if err != nil && !errors.As(err, &faults) {
			t.Fatalf("not a fault: %v", err)
		}
		for i := 0; faults != nil && i < len(faults.List); i++ {
			if line := faults.List[i].Line; line < 0 || line > strings.Count(string(data), "\n")+1 {
				t.Errorf("line %d: %s", line, faults.List[i].Text)
			}
		}
	})
}

// TestLoadVerified: faults of the text and of the files are told together.
func TestLoadVerified(t *testing.T) {
	file := filepath.Join(t.TempDir(), "yubin.toml")
	text := "hostname = \"a.example\"\nlevel = 1\n[[certificate]]\ncert = \"c.pem\"\nkey = \"k.pem\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadVerified(file)
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != 2 || faults.List[0].Line != 2 || faults.List[1].Line != 3 {
		t.Errorf("got %v", err)
	}
}

// TestDNSValues: what the records of a domain are made of.
func TestDNSValues(t *testing.T) {
	c, err := Parse("/etc/yubin/yubin.toml", []byte(`
hostname = "mail.example.org"
tls.self_signed = true
addresses = ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"]
[mta_sts]
mode = "enforce"
max_age = "30d"
[dns_update]
server = "192.0.2.53"
zones = ["Example.ORG", "example.net"]
key = "yubin"
algorithm = "hmac-sha512"
key_file = "dns.key"
automatic = false
`))
	if err != nil {
		t.Fatal(err)
	}
	want := DNSUpdate{Server: netip.MustParseAddrPort("192.0.2.53:53"), Zones: []mail.Domain{"example.org", "example.net"}, Key: "yubin",
		Algorithm: "hmac-sha512", KeyFile: "/etc/yubin/dns.key"}
	if !reflect.DeepEqual(c.DNSUpdate, want) {
		t.Errorf("%+v", c.DNSUpdate)
	}
	if c.MTASTS != (MTASTS{STSEnforce, 30 * day}) {
		t.Errorf("%+v", c.MTASTS)
	}
	if got := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}; !reflect.DeepEqual(c.Addresses, got) {
		t.Errorf("%v", c.Addresses)
	}
	c, err = Parse("yubin.toml", []byte("hostname = \"a.example\"\ntls.self_signed = true\n"))
	if err != nil || c.MTASTS != (MTASTS{STSTesting, 7 * day}) || !c.DNSUpdate.Automatic || c.DNSUpdate.Server.IsValid() {
		t.Errorf("defaults: %+v, %+v, %v", c.MTASTS, c.DNSUpdate, err)
	}
}
