package obs

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStrangersLines: what one network causes in a minute, and what all cause, has
// a bound; of the rest the log says how much it was. Who is known, and who is on
// this machine, has none.
func TestStrangersLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := NewLogger(&b, LogOptions{NoTime: true})
		say := func(from string, known bool, lines int) int {
			t.Helper()
			before := strings.Count(b.String(), "rejection")
			for range lines {
				log.Info("rejection", Remote(netip.MustParseAddrPort(from), known), slog.String(KeyTo, "x@example.org"))
			}
			return strings.Count(b.String(), "rejection") - before
		}
		for i, c := range []struct {
			from        string
			known       bool
			lines, want int
		}{
			{"192.0.2.1:1000", false, 500, PerNetwork},
			{"192.0.2.200:1000", false, 7, 0},
			{"[2001:db8::1]:1", false, 500, PerNetwork},
			{"[2001:db8::ffff:2]:1", false, 1, 0},
			{"192.0.2.1:1000", true, 500, 500},
			{"127.0.0.1:1000", false, 500, 500},
			{"[::1]:1000", false, 500, 500},
		} {
			if got := say(c.from, c.known, c.lines); got != c.want {
				t.Errorf("%d: %d lines, want %d", i, got, c.want)
			}
		}
		log = log.With(Remote(netip.MustParseAddrPort("192.0.2.9:5"), false))
		before := b.Len()
		log.Warn("session end")
		if b.Len() != before {
			t.Error("a line whose address came by With is not bounded")
		}
		time.Sleep(Period)
		synctest.Wait()
		for _, want := range []string{"and 408 more from 192.0.2.0/24 in the last minute", "and 401 more from 2001:db8::/48 in the last minute"} {
			if strings.Count(b.String(), want) != 1 {
				t.Errorf("the log does not say %q once", want)
			}
		}
		if got := say("192.0.2.1:1000", false, 10); got != 10 {
			t.Errorf("in the next minute %d lines, want 10", got)
		}
	})
}

// TestStrangersOctets: long lines are bounded by what they take, of one network and
// of all; control characters count as what they are printed as.
func TestStrangersOctets(t *testing.T) {
	for _, c := range []struct {
		name, long string
		with       bool // the text comes by With
	}{{"text", strings.Repeat("x", 4000), false}, {"controls", strings.Repeat("\x01", 1000), false}, {"with", strings.Repeat("x", 4000), true}} {
		for _, f := range []Format{FormatText, FormatJSON} {
			var b bytes.Buffer
			log := NewLogger(&b, LogOptions{Format: f, NoTime: true})
			say := func(from string) {
				for range 30 {
					remote := Remote(netip.MustParseAddrPort(from), false)
					if c.with {
						log.With(slog.String(KeyTo, c.long)).Info("rejection", remote)
					} else {
						log.Info("rejection", remote, slog.String(KeyTo, c.long))
					}
				}
			}
			say("192.0.2.1:1000")
			if n := b.Len(); n > NetworkOctets+8000 || n < NetworkOctets/2 {
				t.Errorf("%s, %s: one network caused %d octets", c.name, f, n)
			}
			for i := range 30 {
				say(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), 1}), 5).String())
			}
			if n := b.Len(); n > OctetsOfAll+8000 || n < OctetsOfAll/2 {
				t.Errorf("%s, %s: all networks caused %d octets", c.name, f, n)
			}
		}
	}
}

// TestManyNetworks: neither lines nor memory grow with the number of networks.
func TestManyNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Excess
		s := NewStrangers(func(all []Excess) { told = all })
		allowed, asked := 0, 0
		for i := range 3 * maxNetworks {
			for range 1 + i%3 {
				asked++
				if s.Allow(netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 1}), 100) {
					allowed++
				}
			}
		}
		if allowed != OfAll || len(s.by) > maxNetworks+1 {
			t.Errorf("%d were told, %d networks are remembered", allowed, len(s.by))
		}
		time.Sleep(Period)
		synctest.Wait()
		more := 0
		for _, e := range told {
			more += e.N
		}
		if len(told) != maxToldNetworks+1 || more != asked-allowed {
			t.Errorf("%d networks with %d are told of, want %d with %d", len(told), more, maxToldNetworks+1, asked-allowed)
		}
		if got, want := told[len(told)-1].String(), "from many other networks in the last minute"; !strings.HasSuffix(got, want) {
			t.Errorf("%q does not end in %q", got, want)
		}
	})
}

func BenchmarkLineOfStranger(b *testing.B) {
	var out bytes.Buffer
	log := NewLogger(&out, LogOptions{})
	from := netip.MustParseAddrPort("192.0.2.1:1000")
	for b.Loop() {
		log.Info("rejection", Remote(from, false), slog.String(KeyTo, "x@example.org"))
		out.Reset()
	}
}
