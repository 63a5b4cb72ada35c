package machine

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListening finds this process at a port of its own, and nobody at a free one.
func TestListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := func(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }
	_ = free.Close()
	found, err := Listening(port(ln), port(free))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this system has no table of sockets")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := found[port(ln)]; got.PID != os.Getpid() || got.Name == "" {
		t.Errorf("at our port is %+v, not process %d", got, os.Getpid())
	}
	if got, there := found[port(free)]; there {
		t.Errorf("at a free port is %v", got)
	}
}

// TestListeningTables reads tables as kernels write them: with IPv6 alone, of programs that
// cannot be seen, and of none.
func TestListeningTables(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := listeningIn(dir, []uint16{25}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without tables: %v", err)
	}
	write("net/tcp6", `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0019 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`)
	write("812/comm", "exim4\n")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "812/fd"), 0o755), os.Symlink("socket:[4711]", filepath.Join(dir, "812/fd/3"))); err != nil {
		t.Fatal(err)
	}
	found, err := listeningIn(dir, []uint16{25, 80, 443})
	if err != nil {
		t.Fatal(err)
	}
	if got := found[25].String(); got != "exim4 (process 812)" {
		t.Errorf("port 25: %s", got)
	}
	if got := found[80].String(); got != "another program" {
		t.Errorf("port 80: %s", got)
	}
	if _, there := found[443]; there {
		t.Error("a connection is taken for a listener")
	}
}

func TestAddressesAreOthers(t *testing.T) {
	for _, a := range Addresses() {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || !a.IsValid() || a.Is4In6() {
			t.Errorf("%v is no address that others reach", a)
		}
	}
}

// TestAs gives a program its input, and tells what it says when it fails.
func TestAs(t *testing.T) {
	out, err := As(context.Background(), os.Geteuid(), os.Getegid(), []byte("in"), "/bin/sh", "-c", "cat; pwd")
	if err != nil || string(out) != "in/\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := As(context.Background(), os.Geteuid(), os.Getegid(), nil, "/bin/sh", "-c", "echo that is wrong >&2; exit 3"); err == nil || err.Error() != "that is wrong" {
		t.Errorf("got %v", err)
	}
	if _, err := As(context.Background(), os.Geteuid(), os.Getegid(), nil, "/nowhere/yubin"); err == nil || !strings.Contains(err.Error(), "/nowhere/yubin") {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if out, err := As(context.Background(), 65534, 65534, nil, "/bin/sh", "-c", "id -u; id -G"); err != nil || string(out) != "65534\n65534\n" {
		t.Errorf("as another user: %q, %v", out, err)
	}
}

func TestUser(t *testing.T) {
	if uid, _, found, err := User("root"); err != nil || !found || uid != 0 {
		t.Errorf("root: %d, %v, %v", uid, found, err)
	}
	if _, _, found, err := User("yubin-nobody-has-this-name"); err != nil || found {
		t.Errorf("nobody: %v, %v", found, err)
	}
}
