package bans

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// door is Bans with a clock of its own.
type door struct {
	*Bans
	t      *testing.T
	now    time.Time
	db     *sqldb.DB
	exempt map[string]string // networks that are never banned
	owners []string          // networks of owners
	seen   []Offence
}

func newDoor(t *testing.T) *door {
	d := &door{t: t, db: dbtest.Open(t), now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), exempt: map[string]string{"127.0.0.0/8": "this machine itself"}}
	d.Bans = d.open()
	return d
}

// open is another process over the same database.
func (d *door) open() *Bans {
	d.t.Helper()
	b, err := Open(d.t.Context(), Options{DB: d.db, Now: func() time.Time { return d.now },
		Exempt: func(p netip.Prefix) string {
			for n, why := range d.exempt {
				if netip.MustParsePrefix(n).Overlaps(p) {
					return why
				}
			}
			return ""
		},
		Known: func(_ context.Context, p netip.Prefix, since time.Time) (netip.Prefix, error) {
			if want := d.now.Add(-KnownFor); !since.Equal(want) {
				d.t.Errorf("asked for logins since %s, want %s", since, want)
			}
			for _, o := range d.owners {
				if n := netip.MustParsePrefix(o); n.Overlaps(p) {
					return n, nil
				}
			}
			return netip.Prefix{}, nil
		},
		Observe: func(o Offence) { d.seen = append(d.seen, o) },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	b.running.Store(true)
	return b
}

// offends counts n times, and has it decided.
func (d *door) offends(from string, what Offence, n int) {
	d.t.Helper()
	for range n {
		d.Offended(netip.MustParseAddr(from), what)
	}
	d.decides()
}

func (d *door) decides() {
	d.t.Helper()
	if err := d.round(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) isBanned(from string) bool {
	_, banned := d.Banned(netip.MustParseAddr(from))
	return banned
}

// TestWhatBans: how much of what bans an address, and one less does not.
func TestWhatBans(t *testing.T) {
	for what, enough := range map[Offence]int{WrongPassword: 25, UnknownUser: 20, LimitedLogin: 25, WebRequest: 2, SpokeFirst: 3, UnknownRecipient: 50, StrayRecipient: 400, Silent: 100} {
		d := newDoor(t)
		d.offends("203.0.113.7", what, enough-1)
		if d.isBanned("203.0.113.7") {
			t.Errorf("%s: banned after %d", what, enough-1)
		}
		d.offends("203.0.113.7", what, 1)
		if !d.isBanned("203.0.113.7") || d.isBanned("203.0.113.8") {
			t.Errorf("%s: after %d the address is banned: %t; its neighbour: %t", what, enough, d.isBanned("203.0.113.7"), d.isBanned("203.0.113.8"))
		}
		if want := []Offence{what}; !reflect.DeepEqual(d.seen, want) {
			t.Errorf("%s: observed %v", what, d.seen)
		}
	}
	if len(Offences()) != 8 {
		t.Error("a kind of offence has no row here")
	}
}

// TestHalving: what was counted halves every hour, so that a check once a minute never adds
// up to a ban, and one twice a minute does.
func TestHalving(t *testing.T) {
	for every, want := range map[time.Duration]bool{time.Minute: false, 30 * time.Second: true} {
		d := newDoor(t)
		for range 24 * 60 {
			d.offends("203.0.113.7", Silent, 1)
			d.now = d.now.Add(every)
		}
		why, err := d.Why(t.Context(), netip.MustParseAddr("203.0.113.7"))
		if got := why.Ban != nil || why.Before != nil; err != nil || got != want {
			t.Errorf("one connection every %s: banned %t (%+v, %v)", every, got, why, err)
		}
	}
}

// TestGrowth: a ban lasts, ends, and the next one is four times as long; it is forgiven a week
// after week.
func TestGrowth(t *testing.T) {
	d := newDoor(t)
	lasts := func(want time.Duration) {
		t.Helper()
		d.offends("203.0.113.7", WebRequest, 2)
		list := d.List()
		if len(list) != 1 || list[0].Until.Sub(d.now) != want {
			t.Fatalf("%+v, want one of %s", list, want)
		}
		d.now = d.now.Add(want - time.Second)
		if !d.isBanned("203.0.113.7") {
			t.Error("it ended too soon")
		}
		d.now = d.now.Add(time.Second)
		if d.isBanned("203.0.113.7") {
			t.Error("it did not end")
		}
	}
	for _, want := range []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 16 * time.Hour, 64 * time.Hour, LongestBan, LongestBan} {
		lasts(want)
	}
	d.now = d.now.Add(5 * Forgive)
	d.Bans.swept = d.now // Else it is forgotten altogether.
	lasts(4 * time.Hour)
	d.now = d.now.Add(Memory)
	d.decides()
	lasts(15 * time.Minute)
}

// TestProvider: who names unknown recipients among those whom it brings mail is no harvester; one that is banned for
// nothing else is so for a quarter of an hour each time, and its network is not.
func TestProvider(t *testing.T) {
	d := newDoor(t)
	for range 1000 {
		d.offends("203.0.113.7", UnknownRecipient, 1)
		d.Brought(netip.MustParseAddr("203.0.113.7"))
	}
	if d.isBanned("203.0.113.7") {
		t.Error("who brings as much as it names wrongly is banned")
	}
	d.offends("203.0.113.99", WrongPassword, 1)
	for range 1000 {
		d.Brought(netip.MustParseAddr("203.0.113.99"))
	}
	if d.offends("203.0.113.99", WrongPassword, 24); !d.isBanned("203.0.113.99") {
		t.Error("mail makes up for passwords")
	}
	for range 3 {
		for _, last := range []int{1, 2, 3, 4, 5} {
			d.offends(fmt.Sprintf("198.51.100.%d", last), UnknownRecipient, 50)
		}
		for _, b := range d.List() {
			if strings.HasPrefix(b.Network.String(), "198.51.100.") && !b.over(d.now) && (b.Until.Sub(d.now) != FirstBan || b.Network.Bits() != 32) {
				t.Errorf("%+v", b)
			}
		}
		if !d.isBanned("198.51.100.5") || d.isBanned("198.51.100.77") {
			t.Error("they are not banned, or their neighbour is")
		}
		d.now = d.now.Add(FirstBan)
	}
}

// TestNeverBanned: who is exempt, and the network of an owner, is not banned by counting, with
// all that is around it, nor by hand; an administrator may name the owner's.
func TestNeverBanned(t *testing.T) {
	d := newDoor(t)
	d.exempt["198.51.100.0/24"] = "a trusted network: 198.51.100.0/24"
	d.owners = []string{"203.0.113.9/32"}
	for _, from := range []string{"127.0.0.1", "::1", "198.51.100.7", "203.0.113.9"} {
		d.offends(from, WebRequest, 100)
		if d.isBanned(from) {
			t.Errorf("%s is banned", from)
		}
	}
	for _, last := range []int{1, 2, 3, 4, 5} { // The network around has the owner's in it.
		d.offends(fmt.Sprintf("203.0.113.%d", last), WebRequest, 2)
	}
	if d.isBanned("203.0.113.77") || !d.isBanned("203.0.113.5") {
		t.Error("the network of an owner is banned with its neighbours, or these are not")
	}
	why, err := d.Why(t.Context(), netip.MustParseAddr("203.0.113.9"))
	if err != nil || !strings.Contains(why.Exempt, "owner of an account logged in within 30 days: 203.0.113.9/32") {
		t.Errorf("%+v, %v", why, err)
	}
	for network, want := range map[string]mail.Kind{"198.51.100.7": mail.Forbidden, "198.51.0.0/16": mail.Forbidden, "127.1.2.3": mail.Forbidden,
		"203.0.113.0/24": mail.Forbidden, "96.0.0.0/7": mail.Invalid} {
		p, err := ParseNetwork(network)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Add(t.Context(), Order{Network: p, For: time.Hour}); err == nil || mail.KindOf(err) != want {
			t.Errorf("%s by hand: %v, want %s", network, err, want)
		}
	}
	p := netip.MustParsePrefix("203.0.113.0/24")
	if _, err := d.Add(t.Context(), Order{Network: p, OwnersToo: true}); err != nil || !d.isBanned("203.0.113.9") {
		t.Errorf("an administrator who means it: %v", err)
	}
	d.exempt["203.0.113.9/32"] = "where an administrator is logged in from"
	if d.isBanned("203.0.113.9") || !d.isBanned("203.0.113.10") {
		t.Error("who becomes exempt is let in at once, and nobody else")
	}
}

// TestWider: when enough neighbours are banned, the network around them is.
func TestWider(t *testing.T) {
	for name, c := range map[string]struct {
		offenders     []string
		banned, still string
	}{
		"three of a /24":   {[]string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}, "", "203.0.113.77"},
		"four of a /24":    {[]string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"}, "203.0.113.77", "203.0.112.1"},
		"a /64 is one":     {[]string{"2001:db8::1", "2001:db8::2", "2001:db8::3"}, "2001:db8::ffff", "2001:db8:0:1::1"},
		"four of a /56":    {[]string{"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"}, "2001:db8:0:ff::1", "2001:db8:0:100::1"},
		"eight of a /48":   {[]string{"2001:db8:0:1::1", "2001:db8:0:200::1", "2001:db8:0:300::1", "2001:db8:0:400::1", "2001:db8:0:500::1", "2001:db8:0:600::1", "2001:db8:0:700::1", "2001:db8:0:800::1"}, "2001:db8:0:ffff::1", "2001:db8:1::1"},
		"IPv4 within IPv6": {[]string{"::ffff:203.0.113.1"}, "203.0.113.1", "203.0.113.2"},
	} {
		d := newDoor(t)
		for _, from := range c.offenders {
			d.offends(from, WebRequest, 2)
		}
		if c.banned != "" && !d.isBanned(c.banned) || d.isBanned(c.still) {
			t.Errorf("%s: %s is banned: %t; %s: %t", name, c.banned, c.banned != "" && d.isBanned(c.banned), c.still, d.isBanned(c.still))
		}
	}
}

// TestShared: another process, and this one when it begins again, knows of bans and of their end.
func TestShared(t *testing.T) {
	d := newDoor(t)
	other := d.open()
	knows := func(want bool) {
		t.Helper()
		if err := other.share(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, banned := other.Banned(netip.MustParseAddr("203.0.113.7")); banned != want {
			t.Errorf("the other process: banned %t", banned)
		}
		if _, banned := d.open().Banned(netip.MustParseAddr("203.0.113.7")); banned != want {
			t.Errorf("a new process: banned %t", banned)
		}
	}
	d.offends("203.0.113.7", WebRequest, 2)
	knows(true)
	d.now = d.now.Add(time.Minute)
	lifted, err := d.Lift(t.Context(), netip.MustParsePrefix("203.0.113.0/24"))
	if err != nil || len(lifted) != 1 || lifted[0].Network.String() != "203.0.113.7/32" {
		t.Fatalf("%+v, %v", lifted, err)
	}
	knows(false)
	if _, err := d.Lift(t.Context(), netip.MustParsePrefix("203.0.113.7/32")); mail.KindOf(err) != mail.NotFound {
		t.Errorf("what is not banned is lifted: %v", err)
	}
	d.now = d.now.Add(time.Minute)
	if _, err := d.Add(t.Context(), Order{Network: netip.MustParsePrefix("203.0.113.7/32"), Reason: "a scanner"}); err != nil {
		t.Fatal(err)
	}
	knows(true)
	d.now = d.now.Add(1000 * 24 * time.Hour)
	knows(true)
	if err := d.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}

// TestWhy: what was counted is told in words.
func TestWhy(t *testing.T) {
	d := newDoor(t)
	d.offends("203.0.113.7", WrongPassword, 10)
	d.now = d.now.Add(time.Minute)
	d.offends("203.0.113.7", WebRequest, 1)
	why, err := d.Why(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || why.Counts != "10 wrong passwords, 1 web request" || why.Ban != nil || why.Score < 99 || why.Score >= 100 || !why.Last.Equal(d.now) {
		t.Errorf("%+v, %v", why, err)
	}
	d.offends("203.0.113.7", UnknownUser, 1)
	why, err = d.Why(t.Context(), netip.MustParseAddr("203.0.113.7"))
	if err != nil || why.Ban == nil || why.Ban.Reason != "10 wrong passwords, 1 login of an unknown user, 1 web request since 12:00 UTC" {
		t.Errorf("%+v, %v", why.Ban, err)
	}
	if d.isBanned("203.0.113.7"); d.List()[0].Refused != 1 {
		t.Error("connections that were turned away are not counted")
	}
}

// TestBounds: whatever comes, memory is bounded, and so are rows.
func TestBounds(t *testing.T) {
	d := newDoor(t)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 3 * MaxCounted {
		d.Offended(at(i), WebRequest)
	}
	if n := len(d.counted.young) + len(d.counted.old); n > MaxCounted {
		t.Errorf("%d addresses are counted", n)
	}
	d.mu.Lock()
	for i := range MaxBans + 10 {
		p := netip.PrefixFrom(at(i*7), 32)
		d.put(&held{Ban: Ban{Network: p, Since: d.now, Until: d.now.Add(time.Duration(i+1) * time.Minute)}})
	}
	d.mu.Unlock()
	d.decides()
	if n := len(d.all); n > MaxBans || d.isBanned(at(0).String()) || !d.isBanned(at(7*(MaxBans+9)).String()) {
		t.Errorf("%d bans; the one that ends first is there: %t, the last one: %t", n, d.isBanned(at(0).String()), d.isBanned(at(7*(MaxBans+9)).String()))
	}
}

// TestOff: nothing is counted and nobody turned away while it is off, and what there is counts
// when it is on again.
func TestOff(t *testing.T) {
	d := newDoor(t)
	d.offends("203.0.113.7", WebRequest, 2)
	d.Set(false)
	d.offends("203.0.113.8", WebRequest, 2)
	if d.isBanned("203.0.113.7") || d.isBanned("203.0.113.8") {
		t.Error("somebody is turned away")
	}
	d.Set(true)
	if !d.isBanned("203.0.113.7") || d.isBanned("203.0.113.8") {
		t.Error("it does not go on")
	}
}

// TestRun: what has enough is banned at once and written, and others' rows are read in time.
func TestRun(t *testing.T) {
	if dbtest.OnServer() {
		t.Skip("a server does not live in a bubble; TestShared reads and writes there")
	}
	db := dbtest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var all [2]*Bans
		for i := range all {
			b, err := Open(ctx, Options{DB: db})
			if err != nil {
				t.Fatal(err)
			}
			all[i] = b
			go b.Run(ctx)
		}
		synctest.Wait()
		a := netip.MustParseAddr("203.0.113.7")
		for range 2 {
			all[0].Offended(a, WebRequest)
		}
		synctest.Wait()
		if _, banned := all[0].Banned(a); !banned {
			t.Error("it is not banned at once")
		}
		time.Sleep(ShareEvery + time.Second)
		synctest.Wait()
		if _, banned := all[1].Banned(a); !banned {
			t.Error("the other process does not know")
		}
		stop()
		synctest.Wait()
		all[0].Offended(netip.MustParseAddr("203.0.113.8"), WebRequest)
		if all[0].Counts() || len(all[0].counted.young) != 0 && all[0].counted.get(netip.MustParsePrefix("203.0.113.8/32")) != nil {
			t.Error("it counts after its end")
		}
	})
}

// TestParseNetwork: what can be written.
func TestParseNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "192.0.2.1/24": "192.0.2.0/24", "2001:db8::1": "2001:db8::/64",
		"::ffff:192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1/120": "192.0.2.0/24", "127.0.0.1": "127.0.0.1/32", "x": "", "192.0.2.1/33": "", "fe80::1%eth0": "", "::ffff:0:0/90": ""} {
		p, err := ParseNetwork(in)
		if want == "" && mail.KindOf(err) == mail.Invalid && err != nil {
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%s: %s, %v, want %s", in, p, err, want)
		}
	}
}
