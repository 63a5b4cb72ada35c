package signing

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

// site is a Signing with a DNS and a clock.
type site struct {
	*Signing
	t     testing.TB
	db    *sqldb.DB
	dns   *dnstest.Fake
	path  string // of secrets.key
	ring  *secrets.Keyring
	names []mail.Domain
	may   func(mail.Principal, mail.Address) bool

	mu  sync.Mutex
	now time.Time
}

func (s *site) Names(context.Context) ([]mail.Domain, error) { return s.names, nil }

func (s *site) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	return slices.Contains(s.names, d), nil
}

func (s *site) MayUse(_ context.Context, p mail.Principal, a mail.Address) (bool, error) {
	return s.may(p, a), nil
}

func (s *site) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	s.mu.Unlock()
}

func newSite(t testing.TB, p Policy, domains ...mail.Domain) *site {
	t.Helper()
	s := &site{t: t, db: dbtest.Open(t), dns: dnstest.NewFake(""), names: domains, now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		path: filepath.Join(t.TempDir(), secrets.FileName), may: func(mail.Principal, mail.Address) bool { return true }}
	s.ring = secrets.Open(secrets.Options{Paths: []string{s.path}})
	s.Signing = s.another("one", p)
	return s
}

// another is a Signing over the same database: of another node, or after a restart.
func (s *site) another(name string, p Policy) *Signing {
	s.t.Helper()
	other, err := Open(s.t.Context(), Options{DB: s.db, Secrets: s.ring, Directory: s, Hostname: "mail.example.org",
		Resolver: func() (Resolver, error) { return s.dns, nil }, Now: s.time, Name: name, Policy: p})
	if err != nil {
		s.t.Fatal(err)
	}
	return other
}

func (s *site) pass() {
	s.t.Helper()
	if err := s.Pass(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Check(s.t.Context(), func(problem string) { s.t.Error(problem) }); err != nil {
		s.t.Fatal(err)
	}
}

// publish has the DNS hold what Records says of a domain, and nothing else.
func (s *site) publish(d mail.Domain) {
	s.t.Helper()
	s.zone(zoneOf(s.records(d)))
}

func (s *site) records(d mail.Domain) []Record {
	s.t.Helper()
	list, err := s.Records(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// zone has the DNS hold that and nothing else.
func (s *site) zone(text string) { s.dns = dnstest.NewFake(text) }

// zoneOf is records as a zone file has them.
func zoneOf(list []Record) string {
	var b strings.Builder
	for _, r := range list {
		switch r.Type {
		case dns.TypeCNAME:
			fmt.Fprintf(&b, "%s. CNAME %s.\n", r.Name, r.Text)
		default:
			fmt.Fprintf(&b, "%s. TXT", r.Name)
			for text := r.Text; text != ""; text = text[min(len(text), 255):] {
				fmt.Fprintf(&b, " %q", text[:min(len(text), 255)])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// has checks what Domain says: a line for each key, and one if nothing is signed.
func (s *site) has(d mail.Domain, want ...string) {
	s.t.Helper()
	one, err := s.Domain(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, k := range one.Keys {
		line := k.Selector + " " + k.State.String()
		if k.Signs {
			line += " signs"
		}
		got = append(got, line)
	}
	if one.Unsigned != "" {
		got = append(got, "unsigned: "+one.Unsigned)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s has\n  %s\nnot\n  %s", d, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	keys, err := s.signersFor(s.t.Context(), d)
	signs := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return !strings.HasSuffix(l, " signs") })
	if err != nil || len(keys) != len(signs) {
		s.t.Errorf("%d keys sign, not %d: %v", len(keys), len(signs), err)
	}
}

const (
	waits   = "unsigned: the records of its keys are not in the DNS"
	waits2  = "unsigned: its CNAME records, or the records of the zone, are not in the DNS"
	keepFor = DefaultKeep
)

// TestLife: a domain's keys from the first to the day on which they are gone.
func TestLife(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.has("example.org", "unsigned: it has no keys yet")
	s.pass()
	s.has("example.org", "y20260131r new", "y20260131e new", waits)
	s.wait(passEvery)
	s.pass()
	s.has("example.org", "y20260131r new", "y20260131e new", waits)

	s.publish("example.org")
	s.wait(passEvery)
	s.pass() // The first keys sign as soon as they are seen.
	s.has("example.org", "y20260131r active signs", "y20260131e active signs")

	s.wait(DefaultRotate)
	s.pass()
	s.has("example.org", "y20260131r active signs", "y20260131e active signs", "y20260730r new", "y20260730e new")
	s.wait(40 * 24 * time.Hour) // However long nobody publishes them.
	s.pass()
	s.has("example.org", "y20260131r active signs", "y20260131e active signs", "y20260730r new", "y20260730e new")

	s.publish("example.org")
	s.wait(lookOld)
	s.pass()
	s.has("example.org", "y20260131r active signs", "y20260131e active signs", "y20260730r published", "y20260730e published")
	s.wait(Settle)
	s.pass()
	s.has("example.org", "y20260131r retired", "y20260131e retired", "y20260730r active signs", "y20260730e active signs")
	s.wait(keepFor - time.Minute)
	s.pass()
	s.has("example.org", "y20260131r retired", "y20260131e retired", "y20260730r active signs", "y20260730e active signs")
	s.wait(time.Minute)
	s.pass()
	s.has("example.org", "y20260131r revoked", "y20260131e revoked", "y20260730r active signs", "y20260730e active signs")
	for _, r := range s.records("example.org") {
		if revoked := strings.HasPrefix(r.Name, "y20260131"); strings.HasSuffix(r.Text, "p=") != revoked {
			t.Errorf("%s %s", r.Name, r.Text)
		} else if r.Found == revoked {
			t.Errorf("%s: found %v, %s", r.Name, r.Found, r.Note)
		}
	}
	s.wait(revokedFor)
	s.pass()
	s.has("example.org", "y20260730r active signs", "y20260730e active signs")

	s.names = nil
	s.pass()
	err := s.db.Read(t.Context(), func(tx *sqldb.Tx) error {
		var keys, sights int
		if err := tx.QueryRow(`SELECT (SELECT count(*) FROM signing_key), (SELECT count(*) FROM signing_sight)`).Scan(&keys, &sights); err != nil {
			return err
		}
		if keys+sights > 0 {
			t.Errorf("%d keys and %d sights of a domain that is gone", keys, sights)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDomainComesBack: a domain that was removed and added again within a day has the keys that
// it had, for their selectors name the day.
func TestDomainComesBack(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.pass()
	s.publish("example.org")
	before := s.records("example.org")
	names := s.names
	s.names = nil
	s.wait(passEvery)
	s.pass()
	s.names = names
	s.wait(passEvery)
	s.pass()
	s.has("example.org", "y20260131r active signs", "y20260131e active signs")
	for i, r := range s.records("example.org") {
		if r.Name != before[i].Name || r.Text != before[i].Text {
			t.Errorf("%s is %s, and was %s", r.Name, r.Text, before[i].Text)
		}
	}
}

// TestVanished: a key whose record is gone signs no more, until it is back; trouble
// of the DNS changes nothing.
func TestVanished(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.pass()
	list := s.records("example.org")
	s.publish("example.org")
	s.wait(passEvery)
	s.pass()
	both := []string{"y20260131r active signs", "y20260131e active signs"}
	s.has("example.org", both...)

	name := dns.Name(list[0].Name)
	s.dns.Fail(name, dns.TypeTXT, dns.ServFail)
	for range 10 {
		s.wait(lookOld)
		s.pass()
	}
	s.has("example.org", both...)
	s.dns.Fail(name, dns.TypeTXT, dns.NXDomain)
	s.wait(lookOld)
	s.pass() // Once may be a mistake.
	s.has("example.org", both...)
	s.wait(patience)
	s.pass()
	s.has("example.org", "y20260131r active", "y20260131e active signs")
	s.dns.Fail(name, dns.TypeTXT, dns.None)
	s.wait(lookOld)
	s.pass()
	s.has("example.org", both...)

	s.zone(strings.ReplaceAll(zoneOf(list), "MCow", "MCox")) // Other keys.
	other := zoneOf(list)
	other = strings.Replace(other, "p=", "p=AAAA", 2)
	s.zone(other)
	for range 2 {
		s.wait(lookOld)
		s.pass()
	}
	s.has("example.org", "y20260131r active", "y20260131e active", waits)
	one, _ := s.Domain(t.Context(), "example.org")
	if want := "its record is not in the DNS: the record has another key"; one.Keys[0].Note != want {
		t.Errorf("%q, not %q", one.Keys[0].Note, want)
	}
}

// TestZone: all domains sign with the keys of one zone, which take turns in its
// selectors.
func TestZone(t *testing.T) {
	zone := Policy{Zone: "dkim.example.net"}
	s := newSite(t, Policy{}, "a.example", "b.example")
	s.pass()
	s.publish("a.example")
	s.wait(passEvery)
	s.pass()
	own := []string{"y20260131r active signs", "y20260131e active signs"}
	s.has("a.example", own...)
	s.has("b.example", "y20260131r new", "y20260131e new", waits)

	s.SetPolicy(zone)
	s.pass()
	s.has("a.example", append([]string{"yr1 new", "ye1 new"}, own...)...) // Its own go on.
	a, b := s.records("a.example"), s.records("b.example")
	var names []string
	for _, r := range a {
		names = append(names, r.Name+" "+r.Type.String())
	}
	want := []string{"yr1._domainkey.a.example CNAME", "yr2._domainkey.a.example CNAME", "ye1._domainkey.a.example CNAME",
		"ye2._domainkey.a.example CNAME", "y20260131r._domainkey.a.example TXT", "y20260131e._domainkey.a.example TXT",
		"yr1.dkim.example.net TXT", "ye1.dkim.example.net TXT"}
	if !slices.Equal(names, want) {
		t.Errorf("the records are %q", names)
	}
	theirs := slices.DeleteFunc(b, func(r Record) bool { return r.Zone })
	s.zone(zoneOf(append(a, theirs...)))
	s.wait(lookOld)
	s.pass()
	s.pass() // The domains' turn comes after that of the zone.
	s.has("a.example", "yr1 active signs", "ye1 active signs", "y20260131r retired", "y20260131e retired")
	s.has("b.example", "yr1 active signs", "ye1 active signs")

	// A rotation touches the zone alone.
	made, err := s.Rotate(t.Context(), "a.example")
	if err != nil || len(made) != 2 || made[0].Selector != "yr2" || made[1].Selector != "ye2" {
		t.Fatalf("%v, %v", made, err)
	}
	if _, err := s.Rotate(t.Context(), "b.example"); mail.KindOf(err) != mail.Conflict {
		t.Errorf("a second rotation: %v", err)
	}
	all := slices.Concat(s.records("a.example"), theirs)
	s.zone(zoneOf(all))
	for range 3 {
		s.wait(lookOld)
		s.pass()
	}
	s.has("b.example", "yr1 retired", "ye1 retired", "yr2 active signs", "ye2 active signs")
	if _, err := s.Rotate(t.Context(), "b.example"); mail.KindOf(err) != mail.Conflict {
		t.Errorf("a selector was taken whose key mail may be signed with: %v", err)
	}
	s.wait(keepFor)
	s.pass()
	if _, err := s.Rotate(t.Context(), "b.example"); err != nil { // One of a revoked key is free.
		t.Error(err)
	}
	s.has("b.example", "yr2 active signs", "ye2 active signs", "yr1 new", "ye1 new")

	// A domain without CNAME records is not signed, and the others are.
	s.zone(zoneOf(s.records("a.example")))
	for range 3 {
		s.wait(lookOld)
		s.pass()
	}
	one, err := s.Domain(t.Context(), "b.example")
	if err != nil || one.Unsigned != strings.TrimPrefix(waits2, "unsigned: ") {
		t.Errorf("%q, %v", one.Unsigned, err)
	}
	s.has("a.example", "yr2 retired", "ye2 retired", "yr1 active signs", "ye1 active signs", "y20260131r revoked", "y20260131e revoked")
}

// TestOtherSecrets: with another secrets.key, or none, keys do not sign, nothing is
// made by itself, and it is told; rotating makes new ones.
func TestOtherSecrets(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.pass()
	s.publish("example.org")
	s.wait(passEvery)
	s.pass()
	s.has("example.org", "y20260131r active signs", "y20260131e active signs")

	if err := os.Rename(s.path, s.path+".away"); err != nil {
		t.Fatal(err)
	}
	s.ring.Reload()
	s.Signing = s.another("two", Policy{})
	s.o.Alone = true
	s.wait(2 * DefaultRotate)
	s.pass()
	s.has("example.org", "y20260131r active", "y20260131e active", "unsigned: its keys cannot be opened")
	one, _ := s.Domain(t.Context(), "example.org")
	if want := "there is no file of secrets"; !strings.Contains(one.Keys[0].Note, want) {
		t.Errorf("%q says nothing of %q", one.Keys[0].Note, want)
	}
	if _, err := os.Stat(s.path); err == nil {
		t.Error("a new file of secrets was made by itself")
	}

	if _, err := s.Rotate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	s.has("example.org", "y20260131r retired", "y20260131e retired", "y20270126r new", "y20270126e new", waits)
	s.publish("example.org")
	s.wait(passEvery)
	s.pass()
	s.has("example.org", "y20260131r retired", "y20260131e retired", "y20270126r active signs", "y20270126e active signs")

	// New keys that cannot be opened are replaced at once.
	if _, err := s.Rotate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path+".away", s.path); err != nil {
		t.Fatal(err)
	}
	s.ring.Reload()
	s.Signing = s.another("three", Policy{})
	if made, err := s.Rotate(t.Context(), "example.org"); err != nil || len(made) != 2 {
		t.Fatal(made, err)
	}

	// A file that cannot be used is left alone.
	if err := os.Chmod(s.path, 0o644); err != nil {
		t.Fatal(err)
	}
	s.ring.Reload()
	if _, err := s.Rotate(t.Context(), "example.org"); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := s.another("four", Policy{}).signersFor(t.Context(), "example.org"); err != nil {
		t.Errorf("mail stands still: %v", err)
	}
}

// TestLease: one node looks after the keys; another one takes over when it is gone,
// and who lost the lease writes nothing more.
func TestLease(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.pass()
	two := s.another("two", Policy{})
	s.wait(DefaultRotate)
	s.publish("example.org")
	s.wait(leaseTime)
	if err := two.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if two.fence == 0 {
		t.Fatal("the lease of who is gone was not taken over")
	}
	ts := s.tending(s.policyNow(), tending{fence: s.fence, r: s.dns, all: true})
	if _, err := ts.tend(t.Context(), Owner{Name: "example.org"}); err != errLease {
		t.Errorf("who lost the lease wrote: %v", err)
	}
	s.pass()
	if s.fence != 0 {
		t.Error("two have the lease")
	}
	two.release()
	s.pass()
	if s.fence == 0 {
		t.Error("a lease that was given back is not taken")
	}
}

// TestOff: nothing is made, looked for or signed.
func TestOff(t *testing.T) {
	s := newSite(t, Policy{}, "example.org")
	s.pass()
	s.publish("example.org")
	s.wait(passEvery)
	s.pass()
	n := len(s.dns.Lookups())
	s.SetPolicy(Policy{Off: true})
	s.wait(2 * DefaultRotate)
	s.pass()
	s.has("example.org", "y20260131r active", "y20260131e active", "unsigned: signing is switched off in the configuration")
	if len(s.dns.Lookups()) != n {
		t.Error("the DNS was asked")
	}
}

// TestSteps: what the life of a key does not show.
func TestSteps(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	key := func(id int64, st State, since time.Duration, seen bool) known {
		k := known{Key: Key{ID: id, State: st, Since: ago(since)}}
		if seen {
			k.seen = ago(since)
		}
		return k
	}
	broken := func(k known) known { k.broken = true; return k }
	day := 24 * time.Hour
	p := Policy{Rotate: DefaultRotate, Keep: DefaultKeep}
	for name, c := range map[string]struct {
		keys              []known
		policy            Policy
		superseded, asked bool
		want              string
	}{
		"nothing":                  {nil, p, false, false, "[] true"},
		"nothing, superseded":      {nil, p, true, true, "[] false"},
		"in use":                   {[]known{key(1, Active, day, true)}, p, false, false, "[] false"},
		"asked":                    {[]known{key(1, Active, day, true)}, p, false, true, "[] true"},
		"asked twice":              {[]known{key(1, Active, day, true), key(2, New, day, false)}, p, false, true, "[] false"},
		"old":                      {[]known{key(1, Active, 181*day, true)}, p, false, false, "[] true"},
		"old, for ever":            {[]known{key(1, Active, 9999*day, true)}, Policy{Rotate: -1, Keep: day}, false, false, "[] false"},
		"old and broken":           {[]known{broken(key(1, Active, 181*day, true))}, p, false, false, "[] false"},
		"broken and asked":         {[]known{broken(key(1, Active, day, true))}, p, false, true, "[{1 retired}] true"},
		"new, broken and asked":    {[]known{broken(key(1, New, day, false))}, p, false, true, "[{1 }] true"},
		"new, broken and seen":     {[]known{broken(key(1, New, day, true))}, p, false, false, "[] false"},
		"first":                    {[]known{key(1, New, 0, true)}, p, false, false, "[{1 published} {1 active}] false"},
		"second":                   {[]known{key(1, Active, day, true), key(2, New, 0, true)}, p, false, false, "[{2 published}] false"},
		"second, first is gone":    {[]known{key(1, Active, day, false), key(2, New, 0, true)}, p, false, false, "[{2 published} {1 retired} {2 active}] false"},
		"second, first is broken":  {[]known{broken(key(1, Active, day, true)), key(2, New, 0, true)}, p, false, false, "[{2 published} {1 retired} {2 active}] false"},
		"published and lost again": {[]known{key(1, Active, day, true), key(2, Published, day, false)}, p, false, false, "[{2 new}] false"},
		"superseded":               {[]known{key(1, Active, day, true), key(2, New, 0, false), key(3, Retired, day, true)}, p, true, false, "[{1 retired} {2 }] false"},
		"short keep":               {[]known{key(1, Active, day, true), key(2, Retired, day, true)}, Policy{Rotate: -1, Keep: day}, false, false, "[{2 revoked}] false"},
	} {
		list, wanted := steps(c.keys, c.policy, now, c.superseded, c.asked)
		words := make([]string, len(list))
		for i, st := range list {
			words[i] = fmt.Sprintf("{%d %s}", st.key, st.to)
		}
		if got := fmt.Sprint(words, " ", wanted); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}
