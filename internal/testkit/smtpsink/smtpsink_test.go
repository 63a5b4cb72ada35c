package smtpsink

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/testkit/memnet"
)

// talk says lines to a host and returns all that it said.
func talk(h *Host, lines ...string) string {
	client, server := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
	go h.Serve(server)
	_, _ = io.WriteString(client, strings.Join(lines, "\r\n")+"\r\n")
	_ = client.CloseWrite()
	said, _ := io.ReadAll(client)
	_ = client.Close()
	return strings.ReplaceAll(string(said), "\r\n", "|")
}

// notes writes down what a host tells.
func notes(h *Host) *[]string {
	list := &[]string{}
	h.Heard = func(l *Letter) { *list = append(*list, fmt.Sprintf("heard %s %d", l.ID, l.Size)) }
	h.Answered = func(l *Letter, to string, code int, err error) {
		*list = append(*list, fmt.Sprintf("%s %s %d %v %v", l.ID, to, code, l.Sum == crc32.ChecksumIEEE([]byte(".dot\r\n")), err))
	}
	return list
}

var transaction = []string{"EHLO c", "MAIL FROM:<a@c> SIZE=3", "RCPT TO:<b@s>", "RCPT TO:<c@s>", "DATA",
	"Subject: x", "Message-ID: <1@c>", "", "..dot", ".", "QUIT"}

func TestTakes(t *testing.T) {
	for name, tt := range map[string]struct {
		h     *Host
		lines []string
		said  string
		told  []string
	}{
		"good": {&Host{Offers: []string{"SIZE"}}, transaction,
			"220 sink ESMTP|250-sink|250 SIZE|250 ok|250 ok|250 ok|354 go|250 taken|221 bye|",
			[]string{"heard 1@c 39", "1@c b@s 250 true <nil>", "1@c c@s 250 true <nil>"}},
		"chunks": {&Host{}, []string{"HELO c", "MAIL FROM:<a@c>", "RCPT TO:<b@s>", "BDAT 19", "Message-ID: <1@c>", "BDAT 8 LAST", "", ".dot"},
			"220 sink ESMTP|250 sink|250 ok|250 ok|250 ok|250 taken|",
			[]string{"heard 1@c 27", "1@c b@s 250 true <nil>"}},
		"lmtp": {&Host{LMTP: true, Behave: func(e Event) Say {
			if e.Moment == End && e.To == "c@s" {
				return Say{Text: "550 no"}
			}
			return Say{}
		}}, transaction,
			"220 sink ESMTP|250 sink|250 ok|250 ok|250 ok|354 go|250 taken|550 no|221 bye|",
			[]string{"heard 1@c 39", "1@c b@s 250 true <nil>", "1@c c@s 550 true <nil>"}},
		"closes instead of an answer": {&Host{Behave: at(End, Say{Then: Close})}, transaction,
			"220 sink ESMTP|250 sink|250 ok|250 ok|250 ok|354 go|",
			[]string{"heard 1@c 39", "1@c b@s 0 true smtpsink: over", "1@c c@s 0 true smtpsink: over"}},
		"answers and closes": {&Host{Behave: at(End, Say{Text: "250 mine", Then: Close})}, transaction,
			"220 sink ESMTP|250 sink|250 ok|250 ok|250 ok|354 go|250 mine|",
			[]string{"heard 1@c 39", "1@c b@s 250 true <nil>", "1@c c@s 250 true <nil>"}},
		"resets within": {&Host{Behave: at(Content, Say{Eat: 5, Then: Reset})}, transaction, "", nil},
		"refuses within": {&Host{Behave: at(Content, Say{Eat: 5, Text: "552 lied", Then: Close})}, transaction,
			"220 sink ESMTP|250 sink|250 ok|250 ok|250 ok|354 go|552 lied|", nil},
		"refuses BDAT": {&Host{Behave: at(Data, Say{Text: "502 no"})},
			[]string{"HELO c", "MAIL FROM:<a@c>", "RCPT TO:<b@s>", "BDAT 3 LAST", "x", "QUIT"},
			"220 sink ESMTP|250 sink|250 ok|250 ok|502 no|221 bye|", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := notes(tt.h)
				said := talk(tt.h, tt.lines...)
				synctest.Wait()
				if said != tt.said && tt.said != "" || !slices.Equal(*told, tt.told) {
					t.Errorf("said %s\ntold %q", said, *told)
				}
			})
		})
	}
}

func at(m Moment, say Say) func(Event) Say {
	return func(e Event) Say {
		if e.Moment == m {
			return say
		}
		return Say{}
	}
}

// TestDrip: one octet at a time, and then nothing until the client is gone.
func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		h := &Host{Behave: at(Greeting, Say{Text: "220 x", Drip: time.Minute, Then: Hold})}
		go h.Serve(server)
		start := time.Now()
		line, err := bufio.NewReader(client).ReadString('\n')
		if took := time.Since(start); line != "220 x\r\n" || err != nil || took != 7*time.Minute {
			t.Errorf("%q, %v after %v", line, err, took)
		}
		_ = client.Close()
	})
}
