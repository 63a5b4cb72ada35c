//go:build e2e

package rspamdc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/session/milterc"
	"yubin/internal/session/rspamdc"
	"yubin/internal/world/netx"
	"yubin/internal/world/web"
)

const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// TestRspamd asks Debian's rspamd, by HTTP and as a milter by its proxy.
//
//	go test -tags e2e ./internal/session/rspamdc
func TestRspamd(t *testing.T) {
	http, milter := freePort(t), freePort(t)
	start(t, http, milter)
	service := web.NewService(http)
	defer service.Close()
	asked := rspamdc.New(rspamdc.Config{Service: service})
	proxy := milterc.New(milterc.Config{Dial: func(ctx context.Context) (*netx.Conn, error) {
		return netx.Dialer{}.Dial(ctx, netip.MustParseAddrPort(milter), netip.Addr{})
	}})
	const header = "From: s@a.test\r\nTo: r@here.test\r\nMessage-ID: <1@a.test>\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\nSubject: "
	for _, c := range []struct {
		name   string
		filter filter.Filter
		octets string
		want   string
	}{
		{"plain", asked, header + "x\r\n\r\nhello\r\n", "continue 0 [{rspamd rspamd gives it 0.0 points of 15.0 0}]"},
		{"a rule", asked, header + "yubin test\r\n\r\nhello\r\n", "continue 0 [{rspamd rspamd gives it 7.2 points of 15.0: YUBIN_TEST +7.2 6}]"},
		{"gtube", asked, header + "x\r\n\r\n" + gtube + "\r\n", "continue 0 [{rspamd rspamd gives it 15.0 points of 15.0 8}]"},
		{"large", asked, header + "yubin test\r\n\r\n" + strings.Repeat("hello\r\n", 100_000), "continue 0 [{rspamd rspamd gives it 7.2 points of 15.0: YUBIN_TEST +7.2 6}]"},
		{"milter: plain", proxy, header + "x\r\n\r\nhello\r\n", "accept 0 []"},
		{"milter: gtube", proxy, header + "x\r\n\r\n" + gtube + "\r\n", "reject 554 []"},
		{"milter: a rule", proxy, header + "yubin test\r\n\r\nhello\r\n", "accept 0 [] X-Spam: Yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if got := ask(ctx, t, c.filter, c.octets); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func ask(ctx context.Context, t *testing.T, f filter.Filter, octets string) string {
	talk, a, err := f.Open(ctx, filter.Connection{Hostname: "mx.test", Client: netip.MustParseAddrPort("192.0.2.1:1025"), Name: "client.test", Hello: "client.test", ID: "q1"},
		filter.Sender{ReversePath: mail.ReversePath{Local: "s", Domain: "a.test"}})
	if err != nil || a.Do != filter.Continue {
		t.Fatal(a, err)
	}
	defer talk.Close()
	if a, err := talk.Rcpt(ctx, filter.Recipient{Address: mail.Address{Local: "r", Domain: "here.test"}}); err != nil || a.Do != filter.Continue {
		t.Fatal(a, err)
	}
	o, err := talk.End(ctx, filter.Message{ReaderAt: strings.NewReader(octets), Size: int64(len(octets)), HeaderSize: int64(strings.Index(octets, "\r\n\r\n") + 4),
		NewBody: func() io.Writer { return io.Discard }})
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(o.Do, " ", o.Reply.Code, " ", o.Facts)
	for _, f := range o.Fields {
		said += " " + f.Name + ":" + f.Value
	}
	return said
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs rspamd until the test ends, and waits for both of its sockets.
func start(t *testing.T, http, milter string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rspamd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // It becomes another user where we are root.
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tld"), []byte("test\ncom\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rspamd.conf", "rule.lua"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer("FOLDER", dir, "HTTP", http, "MILTER", milter).Replace(string(text))), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-f", "-c", filepath.Join(dir, "rspamd.conf")}
	if os.Getuid() == 0 {
		args = append(args, "-u", "_rspamd", "-g", "_rspamd")
	}
	var said bytes.Buffer
	cmd := exec.Command("/usr/bin/rspamd", args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	deadline := time.After(2 * time.Minute)
	for _, address := range []string{http, milter} {
		for {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
				break
			}
			select {
			case <-ended:
				t.Fatal("rspamd ended")
			case <-deadline:
				t.Fatal("rspamd has no socket")
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
