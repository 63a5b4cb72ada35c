package smtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"yubin/internal/testkit/memnet"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
)

// TestMemoryRunsOut: 452 for the one that asks for more than there is, and the
// session goes on.
func TestMemoryRunsOut(t *testing.T) {
	filler := strings.Repeat("X-Filler: "+strings.Repeat("x", 60)+"\r\n", 1000)
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("RCPT TO:<alice+%d@example.org>", i)
	}
	for _, c := range []struct {
		name   string
		lines  []string
		refuse string // the answer that is to come, once at least
	}{
		{"recipients", append([]string{"MAIL FROM:<>"}, many...), "452 4.3.1"},
		{"header", []string{"MAIL FROM:<>", "RCPT TO:<alice@example.org>", "DATA", filler + "\r\nx\r\n."}, "452 4.3.1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			budget := heap.NewBudget(32 << 10)
			shelf := newShelf(t, new(cupboard))
			var count counted
			cfg := benchServer(&count).cfg
			cfg.Intake = shelf
			ln := memnet.Listen(netip.AddrPort{})
			server := netx.NewServer(netx.Listener{Name: "test", Budget: budget}, New(cfg).Serve, slog.New(slog.DiscardHandler))
			server.Use(ln)
			ctx, stop := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- server.Serve(ctx) }()
			conn, err := ln.Dial(ctx, netip.MustParseAddrPort("192.0.2.1:1"))
			if err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			say := func(line string) string {
				_, _ = io.WriteString(conn, line)
				for {
					answer, err := r.ReadString('\n')
					if err != nil {
						t.Fatalf("%s: after %.40q: %v", c.name, line, err)
					}
					if len(answer) > 3 && answer[3] == ' ' {
						return answer
					}
				}
			}
			say("")
			say("EHLO client.example\r\n")
			refused := 0
			for _, line := range c.lines {
				if strings.HasPrefix(say(line+"\r\n"), c.refuse) {
					refused++
				}
			}
			if refused == 0 {
				t.Errorf("%s: never %s", c.name, c.refuse)
			}
			say("RSET\r\n")
			if held := budget.Stats().Held; held != 0 {
				t.Errorf("%s: %d octets are held after RSET", c.name, held)
			}
			for _, line := range []string{"MAIL FROM:<>", "RCPT TO:<alice@example.org>"} {
				if got := say(line + "\r\n"); got[0] != '2' {
					t.Errorf("%s: then %s: %s", c.name, line, got)
				}
			}
			_ = conn.Close()
			stop()
			<-served
		})
	}
}
