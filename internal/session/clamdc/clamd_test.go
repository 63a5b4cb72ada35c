//go:build e2e

package clamdc_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/session/clamdc"
	"yubin/internal/world/netx"
)

// TestClamd asks Debian's clamd, with a database of a single signature of its own: the
// text YUBIN-TEST.
//
//	go test -tags e2e ./internal/session/clamdc
func TestClamd(t *testing.T) {
	dir, err := os.MkdirTemp("", "clamd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	signatures, err := os.ReadFile("testdata/test.ndb")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"test.ndb": string(signatures), "conf": fmt.Sprintf(
		"LocalSocket %s\nDatabaseDirectory %s\nForeground yes\nStreamMaxLength 1M\nMaxThreads 2\n", socket, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("/usr/sbin/clamd", "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	dial := func(ctx context.Context) (*netx.Conn, error) { return netx.Dialer{}.DialUnix(ctx, socket) }
	for deadline := time.After(time.Minute); ; {
		c, err := dial(t.Context())
		if err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-ended:
			t.Fatalf("clamd ended")
		case <-deadline:
			t.Fatalf("clamd has no socket")
		case <-time.After(20 * time.Millisecond):
		}
	}
	const header = "From: a@a.test\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	for _, c := range []struct{ name, octets, want string }{
		{"clean", header + "aGVsbG8=\r\n", "continue"},
		{"as it is", "Subject: x\r\n\r\nYUBIN-TEST\r\n", "reject the message is refused: it has the virus Yubin-Test.UNOFFICIAL"},
		{"encoded", header + "WVVCSU4tVEVTVA==\r\n", "reject the message is refused: it has the virus Yubin-Test.UNOFFICIAL"},
		{"large", header + strings.Repeat("aGVsbG8=\r\n", 200_000), "error"},
	} {
		talk, _, err := clamdc.New(clamdc.Config{Dial: dial}).Open(t.Context(), filter.Connection{}, filter.Sender{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		o, err := talk.End(ctx, filter.Message{ReaderAt: strings.NewReader(c.octets), Size: int64(len(c.octets))})
		cancel()
		got := strings.TrimSpace(o.Do.String() + " " + o.Reply.Text)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}
