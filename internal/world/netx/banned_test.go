package netx

import (
	"context"
	"crypto/tls"
	"net/netip"
	"testing"
	"testing/synctest"
)

// bad bans 203.0.113.7, and would ban the proxy.
func bad(a netip.Addr) (line string, banned bool) {
	return "554 banned\r\n", a.String() == "203.0.113.7" || a.String() == "192.0.2.10"
}

// TestBanned: who is banned hears a line, and of TLS nothing at all, and no handler, slot or
// budget ever knows of the connection; others are served.
func TestBanned(t *testing.T) {
	for name, mode := range map[string]TLSMode{"plain": NoTLS, "STARTTLS": StartTLS, "TLS": ImplicitTLS} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				served := 0
				h := serve(t, Listener{Name: "test", Mode: mode, TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
					t.Error("a handshake began")
					return nil, nil
				}}, Banned: bad, Slots: NewSlots(Limits{Total: 1}), Refuse: func(Refusal) string { return "full\r\n" }},
					func(context.Context, *Conn) { served++ })
				for range 3 {
					c := h.dial(t, "203.0.113.7:1")
					if mode != ImplicitTLS {
						if got := c.hear(); got != "554 banned" {
							t.Errorf("heard %q", got)
						}
					}
					if got := c.hear(); got != "EOF" {
						t.Errorf("heard %q", got)
					}
				}
				synctest.Wait()
				if got, want := h.Stats(), (Stats{Refused: 3, Banned: 3}); got != want || served != 0 {
					t.Errorf("%+v, want %+v; served %d", got, want, served)
				}
				if mode != ImplicitTLS {
					h.dial(t, "203.0.113.8:1")
					synctest.Wait()
					if got := h.Stats().Accepted; got != 1 || served != 1 {
						t.Errorf("of another address %d are accepted", got)
					}
				}
			})
		})
	}
}

// TestBannedBehindProxy: behind a proxy the client counts and never the proxy.
func TestBannedBehindProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, Listener{Name: "test", Banned: bad, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}}, address)
		c := h.dial(t, "192.0.2.10:1")
		if got := c.say(t, "PROXY TCP4 203.0.113.7 203.0.113.1 4711 25"); got != "554 banned" {
			t.Errorf("a client that is banned heard %q", got)
		}
		c = h.dial(t, "192.0.2.10:1")
		if got, want := c.say(t, "PROXY TCP4 203.0.113.8 203.0.113.1 4711 25\r\nwho"), "203.0.113.8:4711 203.0.113.1:25 false"; got != want {
			t.Errorf("another client heard %q, want %q", got, want)
		}
		if got := h.Stats(); got.Banned != 1 || got.Accepted != 1 {
			t.Errorf("%+v", got)
		}
	})
}
