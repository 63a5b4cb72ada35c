//go:build linux

package netx

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestUser(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	ln, err := ListenUnix(name, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(name, 0o666); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second server: %v", err)
	}
	accept := func() *Conn {
		t.Helper()
		client, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := NewConn(raw, time.Minute, time.Minute)
		t.Cleanup(func() { _ = client.Close(); _ = c.Close() })
		return c
	}
	first, err := ln.Accept() // That of the server that looked around.
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if uid, ok := accept().User(); !ok || int(uid) != os.Getuid() {
		t.Errorf("the user is %d, %v", uid, ok)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name stays: %v", err)
	}
}

// What a crash leaves makes room; what is no socket stays.
func TestListenUnixLeftovers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	again, err := ListenUnix(name, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(name, 0o600); err == nil {
		t.Error("a file was taken for a socket")
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestNoUser(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	if _, ok := NewConn(b, time.Minute, time.Minute).User(); ok {
		t.Error("who is at the other end of a pipe is known")
	}
}
