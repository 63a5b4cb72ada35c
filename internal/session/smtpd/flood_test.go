package smtpd

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/obs"
)

// TestFloodInTheLog: 10,000 refused recipients in 1,000 sessions from five networks
// are no more than 200 KiB of log, the ends of the sessions counted in.
func TestFloodInTheLog(t *testing.T) {
	f, err := transcript.Parse("flood", "# RFC 5321\n")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, f)
		p.server.log = obs.NewLogger(lockedWriter{p}, obs.LogOptions{})
		const sessions = 1000
		for i := range sessions {
			client, server := memnet.Pipe(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i % 5), 7}), 4000), netip.AddrPort{})
			go func() {
				p.serve(server)
				_ = server.Close()
			}()
			go func() {
				_, _ = io.WriteString(client, "EHLO client.example\r\nMAIL FROM:<a@remote.example>\r\n"+
					strings.Repeat("RCPT TO:<nobody@example.org>\r\n", 10)+"QUIT\r\n")
			}()
			got, _ := io.ReadAll(client)
			if n := strings.Count(string(got), "\r\n550 5.1.1"); n != 10 {
				t.Fatalf("%d recipients were refused: %q", n, got)
			}
			_ = client.Close()
		}
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		text := p.log.String()
		if n := len(text); n > 200<<10 || strings.Count(text, "\n") != 5*obs.PerNetwork {
			t.Errorf("the log has %d octets, %d lines", n, strings.Count(text, "\n"))
		}
	})
}
