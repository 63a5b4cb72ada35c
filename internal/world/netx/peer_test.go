//go:build linux

package netx

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestPeer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() (*net.TCPConn, *Conn) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(s, time.Minute, time.Minute)
		t.Cleanup(func() { _ = client.Close(); _ = c.Close() })
		return client.(*net.TCPConn), c
	}
	becomes := func(c *Conn, want Peer) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); c.Peer() != want; {
			if time.Now().After(end) {
				t.Fatalf("the peer is %d, not %d", c.Peer(), want)
			}
		}
	}

	client, c := dial()
	_, err = io.WriteString(client, "a line\r\n") // What is not read yet does not hide what follows.
	if err != nil {
		t.Fatal(err)
	}
	becomes(c, Here)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	becomes(c, Silent)
	if _, err := c.WriteString("* OK\r\n"); err != nil || c.Flush() != nil {
		t.Fatal("cannot write to a peer that only sends no more")
	}
	if got, err := io.ReadAll(io.LimitReader(client, 6)); err != nil || string(got) != "* OK\r\n" || c.Peer() != Silent {
		t.Errorf("the peer heard %q, %v, and is %d", got, err, c.Peer())
	}

	client, c = dial()
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	becomes(c, Silent)
	_, _ = c.WriteString("* OK\r\n")
	_ = c.Flush()
	becomes(c, Gone)
}
