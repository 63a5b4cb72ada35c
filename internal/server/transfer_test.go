package server

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"yubin/internal/engine/transfer"
	"yubin/internal/server/admin"
	"yubin/internal/world/files"
)

// TestImportLeavesTheDatabase: a file of the database, under its own name or a second one
// elsewhere, is told and never opened: SQLite keeps its locks. (That nothing in the data
// folder may be named is the command's; see cmd/yubin.)
func TestImportLeavesTheDatabase(t *testing.T) {
	c := local(t)
	st, err := MakeStore(t.Context(), c.Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	client := admin.InProcess(st.Admin())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.AddDomain(t.Context(), "example.net")
	must(err)
	_, err = client.AddAccount(t.Context(), admin.NewAccount{Address: "carol@example.net", Password: "correct horse"})
	must(err)
	locks := func() (n int) {
		text, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Skip("this system has no list of locks")
		}
		for line := range strings.Lines(string(text)) {
			for _, name := range []string{"", "-wal", "-shm"} {
				if info, err := os.Stat(filepath.Join(c.Data, databaseFile+name)); err == nil && strings.Contains(line, ":"+inode(info)+" ") {
					n++
				}
			}
		}
		return n
	}
	before := locks()
	if before == 0 {
		t.Fatal("SQLite has no locks")
	}
	take := func(path string) transfer.Report {
		t.Helper()
		r, err := client.ImportMail(t.Context(), admin.ImportMail{Account: "carol@example.net", Kind: "mbox"}, []*files.Place{files.From(path)}, func(transfer.Progress) {})
		must(err)
		return r
	}
	link := filepath.Join(t.TempDir(), "link")
	must(os.Symlink(filepath.Join(c.Data, databaseFile), link))
	for _, path := range []string{filepath.Join(c.Data, databaseFile), link} {
		if r := take(path); r.Taken != 0 || r.Failed != 1 || !strings.Contains(r.Failures[0].Reason, "which this server works with") {
			t.Errorf("%s: %+v", path, r)
		}
	}
	dir := t.TempDir()
	must(os.WriteFile(filepath.Join(dir, "letters"), []byte("From a Tue Nov 22 01:02:03 2026\nSubject: mine\n\nmine\n"), 0o600))
	for _, name := range []string{"", "-wal", "-shm"} {
		must(os.Link(filepath.Join(c.Data, databaseFile+name), filepath.Join(dir, "x"+name)))
	}
	r := take(dir)
	if r.Taken != 1 || r.Failed != 3 || !strings.Contains(r.Failures[0].Reason, "which this server works with") {
		t.Errorf("%+v", r)
	}
	if now := locks(); now < before {
		t.Errorf("%d of %d locks are left", now, before)
	}
}

// TestServerStopsDuringImport: who imports from another server, and whose own server
// is stopped meanwhile, is told that, and not that the other one broke off.
func TestServerStopsDuringImport(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	asked := make(chan bool)
	go func() {
		c, err := other.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "* OK ready\r\n")
		for in := bufio.NewScanner(c); in.Scan(); {
			tag, command, _ := strings.Cut(in.Text(), " ")
			if strings.HasPrefix(command, "LIST") {
				close(asked) // It waits for an answer that does not come.
				continue
			}
			if command == "CAPABILITY" {
				fmt.Fprint(c, "* CAPABILITY IMAP4rev1\r\n")
			}
			fmt.Fprintf(c, "%s OK done\r\n", tag)
		}
	}()
	c := local(t)
	_, stop := start(t, c)
	client, err := admin.Dial(t.Context(), c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	done := make(chan error)
	go func() {
		_, err := client.ImportMail(t.Context(), admin.ImportMail{Account: "bob@yubin.test", Kind: "imap", IMAP: &admin.RemoteIMAP{
			Host: "127.0.0.1", Port: uint16(other.Addr().(*net.TCPAddr).Port), Security: "none", User: "bob", Password: "secret",
		}}, nil, func(transfer.Progress) {})
		done <- err
	}()
	<-asked
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || err.Error() != "this server was stopped; run it again to go on" {
		t.Errorf("got %v", err)
	}
}

// inode is the number of a file.
func inode(info fs.FileInfo) string {
	return strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Ino), 10)
}
