package certs

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestConcerns: certificates are told of in time, whatever their lifetime, and when none
// is for the server's name.
func TestConcerns(t *testing.T) {
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	info := func(lived, left time.Duration, names ...string) Info {
		leaf := &x509.Certificate{DNSNames: names, NotBefore: now.Add(-lived), NotAfter: now.Add(left)}
		return infoOf(Files{Cert: names[0] + ".pem"}, leaf)
	}
	for name, tt := range map[string]struct {
		list []Info
		host string
		want []string
	}{
		"fresh":           {[]Info{info(day, 89*day, "mail.example.org")}, "mail.example.org", nil},
		"ends soon":       {[]Info{info(77*day, 13*day, "mail.example.org")}, "mail.example.org", []string{"ends in 13 days, on 2026-12-14: renew it"}},
		"not yet":         {[]Info{info(75*day, 15*day, "mail.example.org")}, "mail.example.org", nil},
		"short-lived":     {[]Info{info(2*day, 4*day, "mail.example.org")}, "mail.example.org", nil},
		"short, at end":   {[]Info{info(5*day, 1*day+time.Hour, "mail.example.org")}, "mail.example.org", []string{"ends in 1 day, on 2026-12-02"}},
		"expired":         {[]Info{info(90*day, -time.Hour, "mail.example.org")}, "mail.example.org", []string{"has expired on 2026-12-01, and clients refuse it: renew it"}},
		"not begun":       {[]Info{info(-time.Hour, 90*day, "mail.example.org")}, "mail.example.org", []string{"is the clock of this machine right?"}},
		"another name":    {[]Info{info(day, 89*day, "a.example.org", "b.example.org", "c.example.org", "d.example.org")}, "mail.example.org", []string{"is for a.example.org, b.example.org, c.example.org and 1 more, and none is for the host name mail.example.org"}},
		"one is for it":   {[]Info{info(day, 89*day, "a.example.org"), info(day, 89*day, "*.example.org")}, "mail.example.org", nil},
		"no name wanted":  {[]Info{info(day, 89*day, "a.example.org")}, "", nil},
		"two things":      {[]Info{info(90*day, -day, "a.example.org")}, "mail.example.org", []string{"has expired", "have one made for mail.example.org"}},
		"no certificates": {nil, "mail.example.org", nil},
	} {
		var got []string
		for _, c := range Concerns(tt.list, tt.host, now) {
			got = append(got, c.Text)
		}
		ok := len(got) == len(tt.want)
		for i := range got {
			ok = ok && strings.Contains(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestInspect: what does not load is told with its place and what to do.
func TestInspect(t *testing.T) {
	w := newWorld(t)
	good, other := w.write("good", "mail.example.org"), w.write("other", "b.example.org")
	var faults []string
	list := Inspect([]Files{good, {Cert: good.Cert, Key: other.Key}, {Cert: w.path("none"), Key: other.Key}}, func(i int, err error) {
		faults = append(faults, fmt.Sprint(i, " ", err))
	})
	if len(list) != 1 || list[0].Names[0] != "mail.example.org" || list[0].NotAfter.Before(w.now) {
		t.Errorf("%+v", list)
	}
	want := []string{fmt.Sprintf("1 key %s belongs to another certificate than %s", other.Key, good.Cert), fmt.Sprintf("2 certificate file %s does not exist", w.path("none"))}
	if len(faults) != 2 || !strings.HasPrefix(faults[0], want[0]) || !strings.HasPrefix(faults[1], want[1]) {
		t.Errorf("%q, want %q", faults, want)
	}
}
