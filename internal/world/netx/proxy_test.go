package netx

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// address answers with who the client is, and where it came to.
func address(_ context.Context, c *Conn) {
	for {
		if _, err := c.ReadLine(100); err != nil {
			return
		}
		_, _ = c.WriteString(fmt.Sprintf("%s %s %t\r\n", c.Remote(), c.Local(), c.Loopback()))
		if c.Flush() != nil {
			return
		}
	}
}

// header is one of version 2, as the library writes it.
func header(t testing.TB, from, to string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const v2Local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

func TestProxySpeaksForClients(t *testing.T) {
	for name, c := range map[string]struct{ from, header, want string }{
		"version 1":          {"192.0.2.10:1", "PROXY TCP4 198.51.100.7 203.0.113.1 4711 25\r\n", "198.51.100.7:4711 203.0.113.1:25 false"},
		"version 1, IPv6":    {"192.0.2.10:1", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "[2001:db8::7]:4711 [2001:db8::1]:25 false"},
		"version 2":          {"192.0.2.10:1", header(t, "198.51.100.7:4711", "203.0.113.1:25"), "198.51.100.7:4711 203.0.113.1:25 false"},
		"version 2, IPv6":    {"[2001:db8:7::1]:1", header(t, "[2001:db8::7]:4711", "[2001:db8::1]:25"), "[2001:db8::7]:4711 [2001:db8::1]:25 false"},
		"itself":             {"192.0.2.10:1", v2Local, "192.0.2.10:1 198.51.100.1:25 false"},
		"it does not know":   {"192.0.2.10:1", "PROXY UNKNOWN\r\n", "192.0.2.10:1 198.51.100.1:25 false"},
		"it says loopback":   {"192.0.2.10:1", "PROXY TCP4 127.0.0.1 127.0.0.1 4711 25\r\n", "127.0.0.1:4711 127.0.0.1:25 false"},
		"nobody that it was": {"192.0.2.11:1", "", "192.0.2.11:1 198.51.100.1:25 false"},
		"not named":          {"192.0.2.11:1", "PROXY TCP4 198.51.100.7 203.0.113.1 4711 25\r\n", "192.0.2.11:1 198.51.100.1:25 false"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := serveBehind(t, address)
				client := h.dial(t, c.from)
				if got := client.say(t, c.header+"who"); !strings.HasPrefix(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		})
	}
}

// serveBehind is a server behind two proxies.
func serveBehind(t *testing.T, handle func(context.Context, *Conn)) *host {
	return serve(t, Listener{Name: "test", Slots: NewSlots(Limits{Total: 100, PerAddress: 2}),
		Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8:7::/64")}}, handle)
}

// What begins without a header, or with one that is none, is closed and told of.
func TestProxyWithoutHeader(t *testing.T) {
	long := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("x", 1000)
	for name, c := range map[string]struct{ header, why string }{
		"nothing":          {"", "sent no header"},
		"a command":        {"EHLO mx.example.org\r\n", "began without a header"},
		"half a one":       {"PROXY TCP4 198.51.100.7 ", "sent no header"},
		"half of 2":        {"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0cabc", "sent no header"},
		"no end":           {"PROXY TCP4 " + strings.Repeat("1", 200), "no end"},
		"no address":       {"PROXY TCP4 198.51.100.700 203.0.113.1 4711 25\r\n", "cannot be read"},
		"too long":         {long, "more than 4096 octets"},
		"nobody's address": {"PROXY TCP4 0.0.0.0 203.0.113.1 4711 25\r\n", "no address of a client"},
		"a datagram":       {"\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x01\x12\x67\x00\x19", "not about TCP"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := serveBehind(t, address)
				client := h.dial(t, "192.0.2.10:1")
				_, _ = io.WriteString(client, c.header)
				begun := time.Now()
				if got := client.hear(); got != "EOF" {
					t.Errorf("heard %q", got)
				}
				if took := time.Since(begun); took > proxyTimeout {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if !strings.Contains(h.log.String(), c.why) {
					t.Errorf("the log does not say %q:\n%s", c.why, h.log)
				}
			})
		})
	}
}

// The client's address counts, and not the proxy's.
func TestProxyLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serveBehind(t, address)
		for i := range 3 {
			client := h.dial(t, "192.0.2.10:1")
			want := "198.51.100.7"
			if i == 2 {
				want = "EOF"
			}
			if got := client.say(t, "PROXY TCP4 198.51.100.7 203.0.113.1 4711 25\r\nwho"); !strings.HasPrefix(got, want) {
				t.Errorf("connection %d: %q, want %q", i, got, want)
			}
		}
		if got := h.dial(t, "192.0.2.10:1").say(t, "PROXY TCP4 198.51.100.8 203.0.113.1 4711 25\r\nwho"); !strings.HasPrefix(got, "198.51.100.8") {
			t.Errorf("another client: %q", got)
		}
	})
}

// Proxies that say nothing do not hold up others, nor the end of the server.
func TestProxySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serveBehind(t, address)
		for range maxUnannounced {
			h.dial(t, "192.0.2.10:1")
		}
		synctest.Wait()
		if got := h.dial(t, "192.0.2.10:2").hear(); got != "EOF" {
			t.Errorf("one too many heard %q", got)
		}
		if got := h.dial(t, "192.0.2.11:1").say(t, "who"); !strings.HasPrefix(got, "192.0.2.11") {
			t.Errorf("another heard %q", got)
		}
		begun := time.Now()
		h.stop()
		if err := <-h.served; err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{header(f, "198.51.100.7:4711", "203.0.113.1:25"), v2Local, "PROXY UNKNOWN\r\n", "PROXY TCP4 198.51.100.7 203.0.113.1 4711 25\r\n"} {
		f.Add([]byte(s + "EHLO x\r\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := strings.NewReader(string(b))
		got, err := readProxyHeader(r)
		if taken := len(b) - r.Len(); err == nil && (taken != len(got) || string(got) != string(b[:taken])) || taken > maxProxyHeader {
			t.Errorf("%d octets taken, %d are a header", taken, len(got))
		}
	})
}
