package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
)

// code is that of a test.
func code(t *testing.T, s string) dns.ListCode {
	c, err := dns.ParseListCode(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestListsAndFilters(t *testing.T) {
	c, err := Parse("yubin.toml", []byte(`
hostname = "mx.test"
tls.self_signed = true
[[dns_list]]
name = "bl"
zone = "Bl.test."
about = ["client"]
[[dns_list]]
name = "multi"
zone = "multi.test"
about = ["sender", "link"]
codes = ["&2 3 black list", "127.0.0.8-127.0.0.9 -1.5 known and good"]
test = "-"
[[filter]]
name = "opendkim"
address = "unix:/run/opendkim/s"
on = ["mx", "submission"]
down = "defer"
[[filter]]
name = "rspamd"
kind = "rspamd"
address = "127.0.0.1:11333"
time = "10s"
scale = 2
password = "q1"
[[filter]]
name = "clam"
kind = "clamd"
address = "/run/clamav/clamd.ctl"
virus = "junk"
largest = "25 MiB"
`))
	if err != nil {
		t.Fatal(err)
	}
	lists := []DNSList{
		{Name: "bl", Zone: "bl.test", About: []string{"client"}, Codes: []DNSListCode{{code(t, "any"), 3, "it is listed"}}},
		{Name: "multi", Zone: "multi.test", About: []string{"sender", "link"}, Test: "-",
			Codes: []DNSListCode{{code(t, "&2"), 3, "black list"}, {code(t, "127.0.0.8-127.0.0.9"), -1.5, "known and good"}}},
	}
	filters := []Filter{
		{Name: "opendkim", Kind: Milter, Address: "/run/opendkim/s", Profiles: []Profile{ProfileMX, ProfileSubmission}, Defer: true},
		{Name: "rspamd", Kind: Rspamd, Address: "127.0.0.1:11333", Profiles: []Profile{ProfileMX}, Time: 10 * time.Second, Scale: 2, Password: "q1"},
		{Name: "clam", Kind: ClamAV, Address: "/run/clamav/clamd.ctl", Profiles: []Profile{ProfileMX}, Aside: true, Largest: 25 << 20},
	}
	if !reflect.DeepEqual(c.DNSLists, lists) || !reflect.DeepEqual(c.Filters, filters) {
		t.Errorf("%+v\n%+v", c.DNSLists, c.Filters)
	}
	for text, want := range map[string]string{
		"[[dns_list]]\nname=\"a\"\nzone=\"x\"":                                                                               "about is missing",
		"[[dns_list]]\nname=\"a\"\nzone=\"\"\nabout=[\"client\"]":                                                            "zone",
		"[[dns_list]]\nname=\"A b\"\nzone=\"x\"\nabout=[\"client\"]":                                                         "small letters",
		"[[dns_list]]\nname=\"a\"\nzone=\"x\"\nabout=[\"us\"]":                                                               `not "us"`,
		"[[dns_list]]\nname=\"a\"\nzone=\"x\"\nabout=[\"client\"]\ncodes=[\"10.0.0.1 3 x\"]":                                 "is none",
		"[[dns_list]]\nname=\"a\"\nzone=\"x\"\nabout=[\"client\"]\ncodes=[\"any 900 x\"]":                                    "is none",
		"[[dns_list]]\nname=\"a\"\nzone=\"x\"\nabout=[\"client\"]\n[[dns_list]]\nname=\"a\"\nzone=\"y\"\nabout=[\"client\"]": "another one",
		"[[filter]]\nname=\"a\"\naddress=\"localhost\"":                                                                      "an IP address and a port",
		"[[filter]]\nname=\"a\"":                                                         "address is missing",
		"[[filter]]\nname=\"a\"\naddress=\"/s\"\nkind=\"amavis\"":                        "kind",
		"[[filter]]\nname=\"a\"\naddress=\"/s\"\non=[\"imap\"]":                          `not "imap"`,
		"[[filter]]\nname=\"a\"\naddress=\"/s\"\ndown=\"drop\"":                          "down",
		"[[filter]]\nname=\"a\"\naddress=\"/s\"\n[[filter]]\nname=\"a\"\naddress=\"/t\"": "another one",
	} {
		if _, err := Parse("yubin.toml", []byte("hostname = \"mx.test\"\ntls.self_signed = true\n"+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nis %v, want %s", text, err, want)
		}
	}
}
