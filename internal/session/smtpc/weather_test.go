package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/smtppeer"
)

// ready is a host that took EHLO; what it offers comes in between.
func ready(offers ...string) string {
	var b strings.Builder
	b.WriteString("S: 220 mx\nC: EHLO client.example\nS: 250-mx\n")
	for _, o := range offers {
		b.WriteString("S: 250-" + o + "\n")
	}
	return b.String() + "S: 250 HELP\n"
}

// accepted is what follows with PIPELINING up to the content.
const (
	accepted = "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
	chunked  = "C~ MAIL.*\nC~ RCPT.*\nS: 250 ok\nS: 250 ok\n"
	large    = "many=20000" // 1,100,000 octets
)

// TestWeather: each misbehaviour of a host ends in the right answer, after a
// bounded time, with the connection closed.
func TestWeather(t *testing.T) {
	const forever = 1 << 30
	tests := []struct {
		name, script, settings string
		want                   string
		from, to               time.Duration // how long it took
	}{
		{"no greeting", "hold", "", "greeting timeout 4.4.2", GreetingTimeout, GreetingTimeout},
		{"greeting drips", "drip 1m 220 a very slow host is better than none", "", "greeting timeout 4.4.2", GreetingTimeout, GreetingTimeout},
		{"greeting never ends", fmt.Sprintf("flood %d 220-x", forever), "", "greeting garbled 4.5.0", 0, 0},
		{"endless line", "S> 220 " + strings.Repeat("x", 100_000) + "\nhold", "", "greeting garbled 4.5.0", 0, 0},
		{"greets with garbage", "S: SSH-2.0-OpenSSH_9\nhold", "", "greeting garbled 4.5.0", 0, 0},
		{"greets with a bare LF", `S> 220 hi\n` + "\nhold", "", "greeting garbled 4.5.0", 0, 0},
		{"refuses at once", "S: 554 5.7.1 go away", "", "greeting 554 5.7.1 go away", 0, 0},
		{"refuses for now", "S: 421 4.3.2 busy", "", "greeting 421 4.3.2 busy", 0, 0},
		{"closes at once", "close", "", "greeting closed 4.4.2", 0, 0},
		{"354 as greeting", "S: 354 hm\nhold", "", "greeting garbled 4.5.0", 0, 0},
		{"EHLO unanswered", "S: 220 x\nhold", "", "hello timeout 4.4.2", HelloTimeout, HelloTimeout},
		{"EHLO drips for ever", "S: 220 x\ndrip 20s 250-" + strings.Repeat("X", 1000), "", "hello timeout 4.4.2", HelloTimeout, HelloTimeout},
		{"handshake hangs", ready("STARTTLS") + "C: STARTTLS\nS: 220 go\nhold", "", "tls timeout 4.4.2", HandshakeTimeout, HandshakeTimeout},
		{"closes instead of TLS", ready("STARTTLS") + "C: STARTTLS\nS: 220 go\nclose", "", "tls handshake 4.7.5", 0, 0},
		{"MAIL unanswered", ready() + "C~ MAIL.*\nhold", "", "mail timeout 4.4.2", MailTimeout, MailTimeout},
		{"closes at MAIL", ready() + "C~ MAIL.*\nclose", "", "mail closed 4.4.2", 0, 0},
		{"closes in the middle of a reply", ready() + "C~ MAIL.*\nS> 250 o\nclose", "", "mail closed 4.4.2", 0, 0},
		{"354 to MAIL", ready() + "C~ MAIL.*\nS: 354 go\nhold", "", "mail garbled 4.5.0", 0, 0},
		{"421 at RCPT", ready() + "C~ MAIL.*\nS: 250 ok\nC~ RCPT.*\nS: 421 4.3.2 bye", "", "rcpt 421 4.3.2 bye", 0, 0},
		{"RCPT unanswered", ready() + "C~ MAIL.*\nS: 250 ok\nC~ RCPT.*\nhold", "", "rcpt timeout 4.4.2", RcptTimeout, RcptTimeout},
		{"250 to DATA", ready("PIPELINING") + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nhold", "", "data garbled 4.5.0", 0, 0},
		{"DATA unanswered", ready("PIPELINING") + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nhold", "", "data timeout 4.4.2", DataTimeout, DataTimeout},
		{"closes after 354", ready("PIPELINING") + accepted + "close", large, "content closed 4.4.2", 0, EarlyTimeout},
		{"reads no content", ready("PIPELINING") + accepted + "wait 12h", large, "content timeout 4.4.2", BlockTimeout, BlockTimeout + EarlyTimeout},
		{"reads content too slowly", ready("PIPELINING") + accepted + strings.Repeat("C# 32768\nwait 2m\n", 10) + "wait 12h", large,
			"content timeout 4.4.2", BlockTimeout, BlockTimeout + 300*time.Second + EarlyTimeout},
		{"does not read the last octets", ready("PIPELINING") + accepted + "wait 12h", "many=1200", "answer timeout 4.4.2", BlockTimeout, BlockTimeout + EarlyTimeout},
		{"does not read the last octets of a chunk", ready("PIPELINING", "CHUNKING") + chunked + "C~ BDAT.*\nwait 12h", "many=1300",
			"answer timeout 4.4.2", BlockTimeout, BlockTimeout + EarlyTimeout},
		{"does not read a chunk", ready("PIPELINING", "CHUNKING") + chunked + "C~ BDAT.*\nwait 12h", large,
			"content timeout 4.4.2", BlockTimeout, BlockTimeout + EarlyTimeout},
		{"refuses in the middle and closes", ready("PIPELINING") + accepted + "C# 9999\nS: 552 5.3.4 too large, I lied\nclose", large,
			"content 552 5.3.4 too large, I lied", 0, EarlyTimeout},
		{"chunk refused in the middle", ready("PIPELINING", "CHUNKING") + chunked + "C~ BDAT.*\nC# 9999\nS: 452 4.3.1 full\nclose", large,
			"content 452 4.3.1 full", 0, EarlyTimeout},
		{"no answer to the message", ready("PIPELINING") + accepted + "C. 39\nhold", "", "answer timeout 4.4.2", AnswerTimeout, AnswerTimeout},
		{"answer drips", ready("PIPELINING") + accepted + "C. 39\ndrip 1m 250 ok, I have it now", "", "answer timeout 4.4.2", AnswerTimeout, AnswerTimeout},
		{"closes after the dot", ready("PIPELINING") + accepted + "C. 39\nclose", "", "answer closed 4.4.2", 0, 0},
		{"closes after the chunk", ready("PIPELINING", "CHUNKING") + chunked + "C~ BDAT.*\nC# 37\nclose", "", "answer closed 4.4.2", 0, 0},
		{"garbage after the dot", ready("PIPELINING") + accepted + "C. 39\nS: OK\nhold", "", "answer garbled 4.5.0", 0, 0},
		{"endless answer", ready("PIPELINING") + accepted + fmt.Sprintf("C. 39\nflood %d 250-ok", forever), "", "answer garbled 4.5.0", 0, 0},
		{"says yes before the content", ready("PIPELINING") + `C~ MAIL.*` + "\nC~ RCPT.*\nC: DATA\n" + `S> 250 ok\r\n250 ok\r\n354 go\r\n250 thanks\r\n` + "\nhold", "",
			"content garbled 4.5.0", 0, 0},
		{"two answers at once", ready("PIPELINING") + accepted + "C. 39\n" + `S> 550 no\r\n250 yes\r\n` + "\nhold", "", "answer 550 no", 0, 0},
		{"4xx for ever", ready("PIPELINING") + accepted + "C. 39\nS: 451 4.7.1 greylisted\nhold", "", "answer 451 4.7.1 greylisted", 0, 0},
		{"accepts and dies", ready("PIPELINING") + accepted + "C. 39\nS: 250 ok\nclose", "", "answer 250 ok", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, host := dial(netip.AddrPort{})
				played := make(chan error, 1)
				go func() { played <- smtppeer.New(host, cert.Server()).Play(tt.script) }()
				start := time.Now()
				got := attempt(t, c, tt.settings)
				if took := time.Since(start); got != tt.want || took < tt.from || took > tt.to {
					t.Errorf("%q after %v, want %q after %v to %v", got, took, tt.want, tt.from, tt.to)
				}
				c.Quit(t.Context())
				if err := <-played; err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			})
		})
	}
}

// attempt opens and sends to one recipient.
func attempt(t *testing.T, c *Client, settings string) string {
	if fault := open(t, c, nil); fault != nil {
		return fault[0]
	}
	tx := transactionOf(t, append(strings.Fields(settings), "from=a@client.example", "to=b@example.net"))
	return describe(c.Send(t.Context(), tx)[0])
}

// TestFloodTakesNoMemory: gigabytes of reply leave no trace.
func TestFloodTakesNoMemory(t *testing.T) {
	c, host := dial(netip.AddrPort{})
	go func() { _ = smtppeer.New(host, nil).Play("flood 1000000000 220-" + strings.Repeat("x", 3000)) }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := attempt(t, c, ""); got != "greeting garbled 4.5.0" {
		t.Error(got)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d octets were allocated", used)
	}
	c.Quit(t.Context())
}

// TestContext: whoever gives up is heard at once, wherever the conversation is.
func TestContext(t *testing.T) {
	for want, script := range map[string]string{
		"greeting canceled 4.3.2": "hold",
		"tls canceled 4.3.2":      ready("STARTTLS") + "C: STARTTLS\nS: 220 go\nhold",
		"mail canceled 4.3.2":     ready() + "hold",
		"content canceled 4.3.2":  ready("PIPELINING") + accepted + "wait 9m",
		"answer canceled 4.3.2":   ready("PIPELINING") + accepted + "C# 1100003\nwait 9m",
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 42*time.Second)
				defer cancel()
				c, host := dial(netip.AddrPort{})
				played := make(chan error, 1)
				go func() { played <- smtppeer.New(host, cert.Server()).Play(script) }()
				start := time.Now()
				fault, ok := c.Open(ctx, mail.Opening{Name: "client.example", Host: "mx.example.net"})
				got := describe(fault)
				if ok {
					got = describe(c.Send(ctx, transactionOf(t, []string{large, "to=b@example.net"}))[0])
				}
				if got != want || time.Since(start) != 42*time.Second {
					t.Errorf("%q after %v", got, time.Since(start))
				}
				if !c.Connection().Spent {
					t.Error("the conversation could go on")
				}
				c.Quit(ctx)
				<-played
			})
		})
	}
}

// TestContentIsChecked: what is not as the envelope says never arrives whole.
func TestContentIsChecked(t *testing.T) {
	broken := errors.New("disk")
	tests := []struct {
		name    string
		size    int64
		content io.Reader
		fails   error
		want    string
	}{
		{"cannot be opened", 5, nil, broken, "mail unreadable 4.3.0"},
		{"is short", 1000, strings.NewReader("a\r\n"), nil, "content unreadable 4.3.0"},
		{"is long", 3, strings.NewReader("a\r\nb\r\n"), nil, "content unreadable 4.3.0"},
		{"is long by a block", ContentBlock, strings.NewReader(strings.Repeat("a", ContentBlock) + "\r\n"), nil, "content unreadable 4.3.0"},
		{"breaks off", 10, io.MultiReader(strings.NewReader("abc"), errReader{broken}), nil, "content unreadable 4.3.0"},
		{"ends in CR", 3, strings.NewReader("ab\r"), nil, "content unsendable 5.6.0"},
		{"has a smuggled end", 9, strings.NewReader("a\n.\nMAIL\n"), nil, "content unsendable 5.6.0"},
		{"has a bare LF at the end of a block", ContentBlock, strings.NewReader(strings.Repeat("a", ContentBlock-1) + "\n"), nil, "content unsendable 5.6.0"},
	}
	for _, tt := range tests {
		for _, offers := range []string{"PIPELINING", "CHUNKING"} {
			t.Run(tt.name+" "+offers, func(t *testing.T) {
				if s, ok := tt.content.(io.Seeker); ok {
					_, _ = s.Seek(0, io.SeekStart)
				}
				if tt.name == "breaks off" {
					tt.content = io.MultiReader(strings.NewReader("abc"), errReader{broken})
				}
				c, host := dial(netip.AddrPort{})
				peer := smtppeer.New(host, nil)
				script := ready(offers) + accepted
				if offers == "CHUNKING" {
					script = ready(offers) + "C~ MAIL.*\nS: 250 ok\nC~ RCPT.*\nS: 250 ok\n"
				}
				played := make(chan error, 1)
				go func() { played <- peer.Play(script + "hold") }()
				open(t, c, nil)
				tx := transactionOf(t, []string{"to=b@example.net"})
				tx.Size, tx.Content = tt.size, func() (io.ReadCloser, error) { return io.NopCloser(tt.content), tt.fails }
				if got := describe(c.Send(t.Context(), tx)[0]); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				c.Quit(t.Context())
				<-played
				heard := peer.Heard.String()
				if strings.Contains(heard, "\r\n.\r\n") || strings.Contains(heard, "QUIT") {
					t.Errorf("the host heard the end: %.300q", heard)
				}
				if _, chunk, ok := strings.Cut(heard, "LAST\r\n"); ok && int64(len(chunk)) >= tt.size {
					t.Errorf("the host has the whole chunk")
				}
			})
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestWindow: with thousands of recipients no more is in flight than fits, and
// neither side waits for the other.
func TestWindow(t *testing.T) {
	c, host := dial(netip.AddrPort{})
	const n = 3000
	var script strings.Builder
	script.WriteString(ready("PIPELINING") + "C~ MAIL.*\nS: 250 ok\n")
	settings := []string{"from=a@client.example"}
	for i := range n {
		settings = append(settings, fmt.Sprintf("to=recipient%d@example.net", i))
		fmt.Fprintf(&script, "C~ RCPT.*\nS: %d %s\n", 250+300*(i%2), strings.Repeat("x", 300))
	}
	script.WriteString("C: DATA\nS: 354 go\nC. 39\nS: 250 ok\nC: QUIT\nS: 221 bye\n")
	played := make(chan error, 1)
	go func() { played <- smtppeer.New(host, nil).Play(script.String()) }()
	open(t, c, nil)
	for i, a := range c.Send(t.Context(), transactionOf(t, settings)) {
		if a.Taken() != (i%2 == 0) {
			t.Fatalf("recipient %d: %s", i, describe(a))
		}
	}
	c.Quit(t.Context())
	if err := <-played; err != nil {
		t.Error(err)
	}
}

// TestQuitDoesNotWait for hosts that do not say goodbye.
func TestQuitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := dial(netip.AddrPort{})
		go func() { _ = smtppeer.New(host, nil).Play(ready() + "hold") }()
		open(t, c, nil)
		start := time.Now()
		c.Quit(t.Context())
		if took := time.Since(start); took != QuitTimeout {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
	})
}
