package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/memnet"
	"yubin/internal/world/certs/certstest"
)

// owner reads lines of a connection that was handed over and repeats them, with the
// deadlines that it likes.
func owner(c net.Conn, patience time.Duration) error {
	defer func() { _ = c.Close() }()
	b := make([]byte, 100)
	for {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		if err != nil {
			return err
		}
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
	}
}

// handing hands each connection to an owner and notes how that ended.
func handing(patience time.Duration, ends chan<- error) func(context.Context, *Conn) {
	return func(_ context.Context, c *Conn) {
		own := c.Hand()
		go func() { ends <- owner(own, patience) }()
		<-c.Gone()
	}
}

func TestHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 4)
		h := serve(t, Listener{}, handing(time.Minute, ends))
		a, b := h.dial(t, "192.0.2.1:1"), h.dial(t, "192.0.2.2:1")
		if got := a.say(t, "one"); got != "one" {
			t.Errorf("heard %q", got)
		}
		_ = a.Close()
		if err := <-ends; err != io.EOF {
			t.Errorf("a client that leaves: %v", err)
		}
		begun := time.Now()
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("the owner's deadline: %v after %v", err, time.Since(begun))
		}
		if got := b.hear(); got != "EOF" {
			t.Errorf("heard %q", got)
		}
		h.stop()
		if err := <-h.served; err != nil || h.Stats().Open != 0 {
			t.Errorf("%v, %d open", err, h.Stats().Open)
		}
	})
}

// TestHandDrained: who rests is let go at once, who is at work when it rests again.
func TestHandDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 2)
		conns := make(chan *Conn, 2)
		h := serve(t, Listener{DrainTimeout: time.Hour}, func(ctx context.Context, c *Conn) {
			conns <- c
			handing(24*time.Hour, ends)(ctx, c)
		})
		h.dial(t, "192.0.2.1:1")
		<-conns
		busy := h.dial(t, "192.0.2.2:1")
		c := <-conns
		c.Rests(false)
		h.stop()
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("who rests: %v", err)
		}
		if got := busy.say(t, "more"); got != "more" {
			t.Errorf("who is at work hears %q", got)
		}
		c.Rests(true)
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("who rests then: %v", err)
		}
		if err := <-h.served; err != nil {
			t.Error(err)
		}
	})
}

// TestHandDismissed: whatever deadlines the owner sets, reads and writes end.
func TestHandDismissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, secure := range []bool{false, true} {
			cert := certstest.New("mail.example.org")
			client, server := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
			if secure {
				tlsClient := tls.Client(client, cert.Client("mail.example.org", 0))
				go func() { _ = tlsClient.Handshake() }()
			}
			c := NewConn(server, time.Minute, 0)
			if secure {
				if err := c.Handshake(cert.Server(), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			own := c.Hand()
			if Of(own) != c {
				t.Errorf("Of(%T) is %v", own, Of(own))
			}
			ended := make(chan error)
			go func() { ended <- owner(own, 24*time.Hour) }()
			synctest.Wait()
			c.Dismiss(mail.Errorf(mail.Unavailable, "make room"))
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a read ends with %v", err)
			}
			<-c.Gone()
			_ = own.SetDeadline(time.Now().Add(time.Hour))
			if _, err := own.Write([]byte("x")); err == nil {
				t.Error("somebody writes to a connection that is gone")
			}
			if c.Enter() {
				t.Error("somebody enters a connection that is gone")
			}
			_ = client.Close()
		}
		if other, _ := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{}); Of(other) != nil {
			t.Error("Of a connection of others")
		}
	})
}

// TestHandGone: a connection is gone when nobody is inside any more.
func TestHandGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		c := NewConn(server, time.Minute, 0)
		own := c.Hand()
		if !c.Enter() {
			t.Fatal("nobody can enter")
		}
		_ = own.Close()
		_ = own.Close()
		synctest.Wait()
		select {
		case <-c.Gone():
			t.Error("it is gone while somebody is inside")
		default:
		}
		c.Leave()
		<-c.Gone()
	})
}

// TestHandScarce: when places run short, who rests may do so less long, whatever its owner says.
func TestHandScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 8)
		h := serve(t, Listener{Slots: NewSlots(Limits{Total: 8})}, handing(24*time.Hour, ends))
		for i := range 7 {
			h.dial(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 1}), 1).String())
		}
		synctest.Wait()
		begun := time.Now()
		if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) > scarcePatience {
			t.Errorf("the first of seven of eight ends with %v after %v", err, time.Since(begun))
		}
		h.stop()
		<-h.served
	})
}

// TestHandAnnounced: the addresses are those of the client, not of the proxy.
func TestHandAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan [2]string, 1)
		h := serve(t, Listener{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}}, func(_ context.Context, c *Conn) {
			own := c.Hand()
			got <- [2]string{own.RemoteAddr().String(), own.LocalAddr().String()}
			_ = own.Close()
			<-c.Gone()
		})
		c := h.dial(t, "192.0.2.10:1")
		_, _ = io.WriteString(c, "PROXY TCP4 203.0.113.5 198.51.100.1 4000 443\r\n")
		if addrs := <-got; addrs != [2]string{"203.0.113.5:4000", "198.51.100.1:443"} {
			t.Errorf("addresses are %q", addrs)
		}
		h.stop()
		<-h.served
	})
}
