package config

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/dns"
)

// DNSList is one [[dns_list]]: a list in the DNS that is asked about mail.
type DNSList struct {
	Name  string
	Zone  dns.Name
	About []string // "client", "sender", "link"
	Codes []DNSListCode
	Test  string // a domain that the list always has; "" is that of RFC 5782, "-" none
}

// DNSListCode is what an answer of a list means.
type DNSListCode struct {
	dns.ListCode
	Weight  float64
	Meaning string
}

// FilterKind is what a filter speaks.
type FilterKind string

// The kinds of filters.
const (
	Milter FilterKind = "milter"
	Rspamd FilterKind = "rspamd"
	ClamAV FilterKind = "clamd"
)

// Filter is one [[filter]]: a program that is asked about mail.
type Filter struct {
	Name     string
	Kind     FilterKind
	Address  string // host:port, or the path of a socket
	Profiles []Profile
	Defer    bool          // mail waits for it when it is down; else it is taken without
	Time     time.Duration // for a step; 0 means the default
	Largest  int64         // octets of a message that it sees; 0 is no bound
	Aside    bool          // clamd: a virus goes into Junk; else it is refused
	Scale    float64       // rspamd: times its score; 0 means 1
	Password string        // rspamd
}

// Bounds of lists and filters.
const (
	maxDNSLists   = 50
	maxFilters    = 20
	maxListCodes  = 50
	maxListWeight = 50
	maxFilterTime = 5 * time.Minute
)

// dnsList reads a list. Codes are strings: which answers, what they weigh, what they
// mean: "127.0.0.2 3.5 sends junk".
func (t *table) dnsList(before []DNSList) DNSList {
	var l DNSList
	t.named(&l.Name, len(before) >= maxDNSLists, slices.ContainsFunc(before, func(o DNSList) bool { return t.values["name"] == o.Name }))
	zone := ""
	t.required("zone", &zone)
	if n, err := dns.ParseName(zone); err != nil || n.IsRoot() {
		t.fault("zone", "must be the zone of a list in the DNS, not %q", zone)
	} else {
		l.Zone = n
	}
	for _, about := range t.texts("about", 3) {
		if !slices.Contains([]string{"client", "sender", "link"}, about) {
			t.fault("about", `must be a list of "client", "sender" and "link", not %q`, about)
		}
		l.About = append(l.About, about)
	}
	if len(l.About) == 0 {
		t.faults.add(t.line(""), `about is missing; write about = ["client"] for a list of addresses, ["sender", "link"] for one of domains`)
	}
	_, given := t.values["codes"]
	for _, s := range t.texts("codes", maxListCodes) {
		c, ok := parseCode(s)
		if !ok {
			t.fault("codes", `must be a list of strings like "127.0.0.2 3.5 sends junk": an answer, a weight from -%[1]d to %[1]d, and what it means; %[2]q is none`, maxListWeight, s)
			continue
		}
		l.Codes = append(l.Codes, c)
	}
	if !given {
		l.Codes = []DNSListCode{{Weight: 3, Meaning: "it is listed"}}
		l.Codes[0].ListCode, _ = dns.ParseListCode("any")
	}
	t.text("test", &l.Test)
	return l
}

func parseCode(s string) (c DNSListCode, ok bool) {
	which, rest, _ := strings.Cut(s, " ")
	weight, meaning, _ := strings.Cut(rest, " ")
	code, err := dns.ParseListCode(which)
	w, errW := strconv.ParseFloat(weight, 64)
	meaning = strings.TrimSpace(meaning)
	return DNSListCode{code, w, meaning}, err == nil && errW == nil && !math.IsNaN(w) && math.Abs(w) <= maxListWeight && meaning != ""
}

// named reads the name of a list or filter.
func (t *table) named(dst *string, tooMany, taken bool) {
	t.required("name", dst)
	if strings.Trim(*dst, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(*dst) > 40 {
		t.fault("name", "must be small letters, digits and hyphens, not %q", *dst)
	}
	if taken {
		t.fault("name", "is that of another one above: %q", *dst)
	}
	if tooMany {
		t.faults.add(t.line(""), "there are too many of them")
	}
}

func (t *table) filter(before []Filter) Filter {
	f := Filter{Kind: Milter}
	t.named(&f.Name, len(before) >= maxFilters, slices.ContainsFunc(before, func(o Filter) bool { return t.values["name"] == o.Name }))
	choice(t, "kind", &f.Kind, Milter, Rspamd, ClamAV)
	t.required("address", &f.Address)
	if path, is := strings.CutPrefix(f.Address, "unix:"); is {
		f.Address = path
	}
	if _, err := netip.ParseAddrPort(f.Address); err != nil && !strings.HasPrefix(f.Address, "/") && f.Address != "" {
		t.fault("address", `must be an IP address and a port, like "127.0.0.1:11332", or the path of a socket, like "/run/opendkim/opendkim.sock", not %q`, f.Address)
	}
	f.Profiles = []Profile{ProfileMX}
	if on := t.texts("on", 3); len(on) > 0 {
		f.Profiles = nil
		for _, p := range on {
			if !slices.Contains([]Profile{ProfileMX, ProfileSubmission, ProfileLMTP}, Profile(p)) {
				t.fault("on", `must be a list of "mx", "submission" and "lmtp", not %q`, p)
			}
			f.Profiles = append(f.Profiles, Profile(p))
		}
	}
	down, virus := "accept", "refuse"
	choice(t, "down", &down, "accept", "defer")
	choice(t, "virus", &virus, "refuse", "junk")
	f.Defer, f.Aside = down == "defer", virus == "junk"
	t.duration("time", &f.Time, time.Second, maxFilterTime)
	t.size("largest", &f.Largest, 1<<10, 1<<40)
	t.score("scale", &f.Scale)
	t.text("password", &f.Password)
	return f
}
