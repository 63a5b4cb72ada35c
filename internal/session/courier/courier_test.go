package courier

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
)

// scene is one message to b@ by a hop, and what comes of it.
type scene struct {
	name   string
	hop    mail.NextHop
	hosts  map[string][]string
	prep   func(*world)
	change func(*mail.Transaction)
	want   string
	dialed string // addresses, in order
}

func play(t *testing.T, scenes []scene) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for addr, scripts := range s.hosts {
					w.host(addr, scripts...)
				}
				if s.prep != nil {
					s.prep(w)
				}
				m := post("b")
				if s.change != nil {
					s.change(&m)
				}
				ctx, cancel := context.WithCancel(t.Context())
				c := w.courier(IdleLimits{})
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				results := c.Carry(t.Context(), s.hop, m)
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if got := tell(results[0]); got != s.want {
					t.Errorf("\n got: %s\nwant: %s", got, s.want)
				}
				for _, a := range results[0].Attempts {
					if a.Ours != (a.Code == 0 || a.Phase == mail.PhaseRoute) || a.Ours && (a.Enhanced == "" || a.Text == "") {
						t.Errorf("whose words are these? %+v", a)
					}
				}
				if d := results[0].Decisive(); d.Outcome != results[0].Outcome || d.Status()[0] != "?245"[results[0].Outcome] || d.At.IsZero() {
					t.Errorf("the decisive attempt is %+v", d)
				}
				if got := strings.ReplaceAll(strings.Join(w.dialed, " ")+" ", ":25 ", " "); s.dialed != "" && got != s.dialed+" " {
					t.Errorf("dialed %s, want %s", got, s.dialed)
				}
			})
		})
	}
}

func TestRouting(t *testing.T) {
	up := map[string][]string{"192.0.2.1": {takes}}
	second := map[string][]string{"192.0.2.2": {takes}}
	play(t, []scene{
		{name: "best first", hop: mx("example.net"), hosts: up, want: "delivered; 192.0.2.1 answer 250 2.0.0", dialed: "192.0.2.1"},
		{name: "then the second", hop: mx("example.net"), hosts: second, dialed: "192.0.2.1 192.0.2.2",
			want: "delivered; 192.0.2.1 connect 4.4.1 deferred; 192.0.2.2 answer 250 2.0.0"},
		{name: "all down", hop: mx("example.net"),
			want: "deferred; 192.0.2.1 connect 4.4.1 deferred; 192.0.2.2 connect 4.4.1 deferred"},
		{name: "IPv6 first, then IPv4", hop: mx("two.example"), hosts: up, dialed: "[2001:db8::1] 192.0.2.1",
			want: "delivered; 2001:db8::1 connect 4.4.1 deferred; 192.0.2.1 answer 250 2.0.0"},
		{name: "null MX", hop: mx("null.example"), want: "failed; route 556 5.1.10 failed"},
		{name: "no such domain", hop: mx("no.example"), want: "failed; route 5.1.2 failed"},
		{name: "implicit MX", hop: mx("implicit.example"), hosts: up, want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "no MX and no address", hop: mx("noaddr.example"), want: "failed; route 5.4.4 failed"},
		{name: "one MX without address", hop: mx("half.example"), hosts: second,
			want: "delivered; route 5.4.4 failed; 192.0.2.2 answer 250 2.0.0"},
		{name: "no MX of use", hop: mx("unusable.example"), want: "failed; route 5.4.4 failed; route 5.4.4 failed"},
		{name: "alias of a domain", hop: mx("alias.example"), hosts: up, want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "MX that is an alias", hop: mx("mxalias.example"), hosts: up, want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "aliases in a loop", hop: mx("loop.example"), want: "deferred; route 4.4.3 deferred"},
		{name: "DNS times out", hop: mx("example.net"), prep: func(w *world) { w.dns.Fail("example.net", dns.TypeMX, dns.Timeout) },
			want: "deferred; route 4.4.3 deferred"},
		{name: "DNS is garbage", hop: mx("example.net"), prep: func(w *world) { w.dns.Fail("example.net", dns.TypeMX, dns.Malformed) },
			want: "deferred; route 4.4.3 deferred"},
		{name: "DNS of the best host fails", hop: mx("example.net"), hosts: second,
			prep: func(w *world) { w.dns.Fail("mx1.example.net", 0, dns.ServFail) },
			want: "delivered; route 4.4.3 deferred; 192.0.2.2 answer 250 2.0.0"},
		{name: "address literal", hop: mx("[192.0.2.1]"), hosts: up, want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "we are the best", hop: mx("ours.example"), want: "failed; route 5.4.6 failed"},
		{name: "we are second: only the first is tried", hop: mx("backup.example"), hosts: second, dialed: "192.0.2.1",
			want: "deferred; 192.0.2.1 connect 4.4.1 deferred"},
		{name: "we are second, by address", hop: mx("byaddress.example"), hosts: second, dialed: "192.0.2.1",
			want: "deferred; 192.0.2.1 connect 4.4.1 deferred"},
		{name: "loopback of a stranger", hop: mx("loopback.example"), want: "failed; route 5.4.6 failed"},
		{name: "no address of a stranger", hop: mx("any.example"), want: "failed; route 5.4.6 failed"},
		{name: "fixed hosts, in order", hop: mail.NextHop{Kind: mail.HopHosts, Port: 2525, Hosts: []mail.HostPort{
			{Host: "[192.0.2.7]", Port: 26}, {Host: "nowhere.example"}, {Host: "relay.example"}}},
			hosts: map[string][]string{"192.0.2.9:2525": {takes}}, dialed: "192.0.2.7:26 192.0.2.9:2525",
			want: "delivered; 192.0.2.7 connect 4.4.1 deferred; route 4.4.4 deferred; 192.0.2.9 answer 250 2.0.0"},
		{name: "fixed host on loopback", hop: mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "[127.0.0.1]"}}},
			hosts: map[string][]string{"127.0.0.1": {takes}}, want: "delivered; 127.0.0.1 answer 250 2.0.0"},
		{name: "no hosts", hop: mail.NextHop{Kind: mail.HopHosts}, want: "deferred; route 4.3.5 deferred"},
		{name: "LMTP", hop: mail.NextHop{Kind: mail.HopLMTP, Hosts: []mail.HostPort{{Host: "[::1]"}}},
			hosts: map[string][]string{"[::1]:24": {"S: 220 x\nC: LHLO client.example\nS: 250-x\nS: 250 PIPELINING\n" + one + "S: 452 4.2.2 full\nhold"}},
			want:  "deferred; ::1 answer 452 4.2.2 deferred"},
	})
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.courier(IdleLimits{})
		first := map[string]int{}
		for range 50 {
			w.dialed = nil
			_ = c.Carry(t.Context(), mx("same.example"), post("b"))
			first[w.dialed[0]]++
			if len(w.dialed) != 2 {
				t.Fatalf("dialed %v", w.dialed)
			}
		}
		if len(first) != 2 || first["192.0.2.1:25"] < 10 || first["192.0.2.2:25"] < 10 {
			t.Errorf("first dialed: %v", first)
		}
	})
}

// TestWeather: what a host does, and where the message goes then.
func TestWeather(t *testing.T) {
	two := func(first string) map[string][]string {
		return map[string][]string{"192.0.2.1": {first}, "192.0.2.2": {takes}}
	}
	only := func(script string) map[string][]string { return map[string][]string{"192.0.2.1": {script}} }
	hop, single := mx("example.net"), mx("implicit.example")
	const taken = "192.0.2.2 answer 250 2.0.0"
	play(t, []scene{
		{name: "no answer to SYN", hop: hop, hosts: two(silent), want: "delivered; 192.0.2.1 connect 4.4.1 deferred; " + taken},
		{name: "one byte a minute", hop: hop, hosts: two("drip 1m 220 slow is smooth and smooth is fast"), want: "delivered; 192.0.2.1 greeting 4.4.2 deferred; " + taken},
		{name: "endless greeting", hop: hop, hosts: two("flood 100000 220-x"), want: "delivered; 192.0.2.1 greeting 4.5.0 deferred; " + taken},
		{name: "no mail here, but there", hop: hop, hosts: two("S: 521 no mail here"), want: "delivered; 192.0.2.1 greeting 521 failed; " + taken},
		{name: "no mail here", hop: single, hosts: only("S: 554 5.7.1 no mail here"), want: "failed; 192.0.2.1 greeting 554 5.7.1 failed"},
		{name: "one says never, one is down", hop: hop, hosts: only("S: 554 5.7.1 no mail here"),
			want: "deferred; 192.0.2.1 greeting 554 5.7.1 failed; 192.0.2.2 connect 4.4.1 deferred"},
		{name: "421 in the middle", hop: hop, hosts: two(hello + "C~ MAIL.*\nS: 250 ok\nC~ RCPT.*\nS: 421 4.3.2 bye"), want: "delivered; 192.0.2.1 rcpt 421 4.3.2 deferred; " + taken},
		{name: "disk full at MAIL", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 452 4.3.1 full\nS: 503 x\nS: 503 x\nhold"),
			want: "delivered; 192.0.2.1 mail 452 4.3.1 deferred; " + taken},
		{name: "sender refused", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 550 5.7.1 no\nS: 503 x\nS: 503 x\nhold"),
			want: "failed; 192.0.2.1 mail 550 5.7.1 failed", dialed: "192.0.2.1"},
		{name: "greylisted", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 451 4.7.1 later\nS: 503 x\nhold"),
			want: "deferred; 192.0.2.1 rcpt 451 4.7.1 deferred", dialed: "192.0.2.1"},
		{name: "recipient refused", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 550 5.1.1 who\nS: 503 x\nhold"),
			want: "failed; 192.0.2.1 rcpt 550 5.1.1 failed", dialed: "192.0.2.1"},
		{name: "closes after DATA", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nclose"),
			want: "delivered; 192.0.2.1 data 4.4.2 deferred; " + taken},
		{name: "closes in the content", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nclose"),
			change: func(m *mail.Transaction) { *m = withContent(*m, strings.Repeat("x\r\n", 100_000)) },
			prep: func(w *world) {
				w.host("192.0.2.2", hello+"C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 300000\nS: 250 2.0.0 ok\nhold")
			},
			want: "delivered; 192.0.2.1 content 4.4.2 deferred; " + taken},
		{name: "answer lost", hop: hop, hosts: two(hello + one + "close"),
			want: "deferred; 192.0.2.1 answer 4.4.2 deferred lost", dialed: "192.0.2.1"},
		{name: "answer late", hop: hop, hosts: two(hello + one + "hold"),
			want: "deferred; 192.0.2.1 answer 4.4.2 deferred lost", dialed: "192.0.2.1"},
		{name: "answer is garbage", hop: hop, hosts: two(hello + one + "S: hm\nhold"),
			want: "deferred; 192.0.2.1 answer 4.5.0 deferred lost", dialed: "192.0.2.1"},
		{name: "message refused", hop: hop, hosts: two(hello + one + "S: 554 5.6.0 no\nhold"),
			want: "failed; 192.0.2.1 answer 554 5.6.0 failed", dialed: "192.0.2.1"},
		{name: "message deferred", hop: hop, hosts: two(hello + one + "S: 451 4.3.0 later\nhold"),
			want: "deferred; 192.0.2.1 answer 451 4.3.0 deferred", dialed: "192.0.2.1"},
		{name: "accepts and dies", hop: hop, hosts: two(hello + one + "S: 250 2.0.0 ok\nclose"),
			want: "delivered; 192.0.2.1 answer 250 2.0.0", dialed: "192.0.2.1"},
		{name: "content cannot be read", hop: hop, hosts: two(hello + bye),
			change: func(m *mail.Transaction) { m.Content = func() (io.ReadCloser, error) { return nil, errDisk } },
			prep:   func(w *world) { w.host("192.0.2.1", hello+"hold") },
			want:   "deferred; 192.0.2.1 mail 4.3.0 deferred", dialed: "192.0.2.1"},
		{name: "content is not sendable", hop: hop, hosts: two(hello + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\neof"),
			change: func(m *mail.Transaction) { *m = withContent(*m, "a\nb\r\n") },
			want:   "failed; 192.0.2.1 content 5.6.0 failed", dialed: "192.0.2.1"},
	})
}

// TestExtensions: what a host lacks is asked of the next, and nothing changes
// on the way.
func TestExtensions(t *testing.T) {
	small := "S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250 SIZE 10\nhold"
	bare := "S: 220 x\nC~ EHLO.*\nS: 250 x\nhold"
	eight := func(m *mail.Transaction) { *m = withContent(*m, "ü\r\n"); m.Body = mail.Body8BitMIME }
	play(t, []scene{
		{name: "too large for both", hop: mx("example.net"), hosts: map[string][]string{"192.0.2.1": {small}, "192.0.2.2": {small}},
			want: "failed; 192.0.2.1 mail 5.3.4 failed; 192.0.2.2 mail 5.3.4 failed"},
		{name: "too large for one", hop: mx("example.net"), hosts: map[string][]string{"192.0.2.1": {small}, "192.0.2.2": {takes}},
			want: "delivered; 192.0.2.1 mail 5.3.4 failed; 192.0.2.2 answer 250 2.0.0"},
		{name: "too large for one, the other is down", hop: mx("example.net"), hosts: map[string][]string{"192.0.2.1": {small}},
			want: "deferred; 192.0.2.1 mail 5.3.4 failed; 192.0.2.2 connect 4.4.1 deferred"},
		{name: "8-bit is converted", hop: mx("implicit.example"),
			hosts:  map[string][]string{"192.0.2.1": {strings.NewReplacer("C~ MAIL.*", "C: MAIL FROM:<a@client.example>", "C. 21", "C. 107").Replace(takes)}},
			change: eight, want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "8-bit that others signed", hop: mx("implicit.example"), hosts: map[string][]string{"192.0.2.1": {bare}},
			change: func(m *mail.Transaction) {
				*m = withContent(*m, "DKIM-Signature: v=1\r\n\r\nü\r\n")
				m.Body = mail.Body8BitMIME
			},
			want: "failed; 192.0.2.1 mail 5.6.3 failed"},
		{name: "a line over 998 octets", hop: mx("implicit.example"),
			hosts:  map[string][]string{"192.0.2.1": {strings.Replace(takes, "C. 21", "C. 1162", 1)}},
			change: func(m *mail.Transaction) { *m = withContent(*m, "Subject: x\r\n\r\n"+strings.Repeat("a", 999)+"\r\n") },
			want:   "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "a line of 998 octets", hop: mx("implicit.example"),
			hosts:  map[string][]string{"192.0.2.1": {strings.Replace(takes, "C. 21", "C. 1014", 1)}},
			change: func(m *mail.Transaction) { *m = withContent(*m, "Subject: x\r\n\r\n"+strings.Repeat("a", 998)+"\r\n") },
			want:   "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "declared 8-bit and SMTPUTF8, is ASCII", hop: mx("implicit.example"),
			hosts:  map[string][]string{"192.0.2.1": {strings.ReplaceAll(takes, "C~ MAIL.*", "C: MAIL FROM:<a@client.example>")}},
			change: func(m *mail.Transaction) { m.Body, m.UTF8 = mail.Body8BitMIME, true },
			want:   "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "declared SMTPUTF8, only its body is 8-bit", hop: mx("implicit.example"),
			hosts: map[string][]string{"192.0.2.1": {strings.NewReplacer("S: 250 PIPELINING", "S: 250-PIPELINING\nS: 250 8BITMIME",
				"C~ MAIL.*", "C: MAIL FROM:<a@client.example> BODY=8BITMIME", "C. 21", "C. 83").Replace(takes)}},
			change: func(m *mail.Transaction) {
				*m = withContent(*m, "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-A: a\r\n\r\nü\r\n--b--\r\n")
				m.Body, m.UTF8 = mail.Body8BitMIME, true
			},
			want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "the header of a part is in UTF-8", hop: mx("implicit.example"),
			hosts: map[string][]string{"192.0.2.1": {strings.ReplaceAll(bare, "S: 250 x", "S: 250-x\nS: 250 8BITMIME")}},
			change: func(m *mail.Transaction) {
				*m = withContent(*m, "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-A: ü\r\n\r\na\r\n--b--\r\n")
				m.Body, m.UTF8 = mail.Body8BitMIME, true
			},
			want: "failed; 192.0.2.1 mail 5.6.9 failed"},
		{name: "declared binary, is ASCII", hop: mx("implicit.example"), hosts: map[string][]string{"192.0.2.1": {takes}},
			change: func(m *mail.Transaction) { m.Body = mail.BodyBinaryMIME },
			want:   "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "binary is converted", hop: mx("implicit.example"),
			hosts: map[string][]string{"192.0.2.1": {strings.Replace(takes, "C. 21", "C. 95", 1)}},
			change: func(m *mail.Transaction) {
				*m = withContent(*m, "MIME-Version: 1.0\r\nContent-Type: application/x\r\n\r\n\x00\n\r\xff")
				m.Body = mail.BodyBinaryMIME
			},
			want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "address in UTF-8", hop: mx("implicit.example"), hosts: map[string][]string{"192.0.2.1": {bare}},
			change: func(m *mail.Transaction) { m.Recipients[0].Address.Local = "ä" },
			want:   "failed; 192.0.2.1 rcpt 5.6.7 failed"},
		{name: "deliver by, not promised", hop: mx("implicit.example"), hosts: map[string][]string{"192.0.2.1": {bare}},
			change: func(m *mail.Transaction) {
				m.DeliverBy = mail.DeliverBy{At: time.Now().Add(time.Hour), Return: true}
			},
			want: "failed; 192.0.2.1 mail 5.4.7 failed"},
	})
}

const (
	offersTLS = "S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250 STARTTLS\n"
	toTLS     = offersTLS + "C: STARTTLS\nS: 220 go\nstarttls\n"
	inTLS     = toTLS + "C~ EHLO.*\nS: 250-x\nS: 250 PIPELINING\n" + one + "S: 250 2.0.0 taken\nhold"
)

func TestTLS(t *testing.T) {
	only := func(scripts ...string) map[string][]string { return map[string][]string{"192.0.2.1": scripts} }
	with := func(h mail.NextHop, p mail.TLSPolicy) mail.NextHop { h.TLS = p; return h }
	demands := func(m *mail.Transaction) { m.RequireTLS = true }
	requireTLS := toTLS + "C~ EHLO.*\nS: 250-x\nS: 250-REQUIRETLS\nS: 250 PIPELINING\n" + strings.ReplaceAll(one, "C~ MAIL.*", "C~ MAIL.* REQUIRETLS") + "S: 250 2.0.0 taken\nhold"
	auth := func(p mail.TLSPolicy) mail.NextHop {
		return mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "relay.example", Port: 587}}, TLS: p, Auth: &mail.Credentials{User: "user", Password: "secret"}}
	}
	login := toTLS + "C~ EHLO.*\nS: 250-x\nS: 250-AUTH PLAIN\nS: 250 PIPELINING\nC: AUTH PLAIN AHVzZXIAc2VjcmV0\n"
	play(t, []scene{
		{name: "when offered", hop: mx("implicit.example"), hosts: only(inTLS), want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "broken, then in clear", hop: mx("implicit.example"), hosts: only(offersTLS+"C: STARTTLS\nS: 220 go\nwait 1s\nS: 220 what?\nhold", takes),
			want: "delivered; 192.0.2.1 tls 4.7.5 deferred; 192.0.2.1 answer 250 2.0.0", dialed: "192.0.2.1 192.0.2.1"},
		{name: "hangs, then in clear", hop: mx("implicit.example"), hosts: only(offersTLS+"C: STARTTLS\nhold", takes),
			want: "delivered; 192.0.2.1 tls 4.4.2 deferred; 192.0.2.1 answer 250 2.0.0"},
		{name: "broken, and refused in clear", hop: mx("implicit.example"), hosts: only(offersTLS+"C: STARTTLS\nS: 220 go\nclose", "S: 554 no"),
			want: "failed; 192.0.2.1 tls 4.7.5 deferred; 192.0.2.1 greeting 554 failed"},
		{name: "broken, and required", hop: with(mx("implicit.example"), mail.TLSRequired), hosts: only(offersTLS+"C: STARTTLS\nS: 220 go\nclose", takes),
			want: "deferred; 192.0.2.1 tls 4.7.5 deferred", dialed: "192.0.2.1"},
		{name: "not offered, and required", hop: with(mx("implicit.example"), mail.TLSRequired), hosts: only("S: 220 x\nC~ EHLO.*\nS: 250 x\nhold"),
			want: "deferred; 192.0.2.1 tls 4.7.10 deferred"},
		{name: "wrong name, and required", hop: with(mx("implicit.example"), mail.TLSRequired), hosts: only(inTLS), want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "wrong name, and verified", hop: with(mx("implicit.example"), mail.TLSVerified), hosts: only(offersTLS + "C: STARTTLS\nS: 220 go\nnottls"),
			want: "deferred; 192.0.2.1 tls 4.7.5 deferred", dialed: "192.0.2.1"},
		{name: "right name, and verified", hop: with(mx("example.net"), mail.TLSVerified), hosts: only(inTLS), want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "message demands TLS, MX not proved", hop: mx("example.net"), hosts: only(requireTLS), change: demands,
			want: "failed; route 5.7.10 failed"},
		{name: "message demands TLS", hop: mx("signed.example"), hosts: only(requireTLS), change: demands,
			want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "message demands TLS, hop does without", hop: with(mx("signed.example"), mail.TLSNone), hosts: only(requireTLS), change: demands,
			want: "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "message demands TLS, none there", hop: mx("signed.example"), hosts: only(hello+bye, takes), change: demands,
			want: "failed; 192.0.2.1 tls 5.7.10 failed", dialed: "192.0.2.1"},
		{name: "message demands TLS, no REQUIRETLS", hop: mx("signed.example"), hosts: only(toTLS + "C~ EHLO.*\nS: 250 x\nhold"), change: demands,
			want: "failed; 192.0.2.1 mail 5.7.30 failed"},
		{name: "report about such a message", hop: mx("example.net"), hosts: only(takes),
			change: func(m *mail.Transaction) { m.RequireTLS, m.ReversePath = true, mail.ReversePath{} },
			want:   "delivered; 192.0.2.1 answer 250 2.0.0"},
		{name: "smarthost", hop: auth(mail.TLSOpportunistic), hosts: map[string][]string{"192.0.2.9:587": {login + "S: 235 ok\n" + one + "S: 250 2.0.0 taken\nhold"}},
			want: "delivered; 192.0.2.9 answer 250 2.0.0"},
		{name: "smarthost refuses us", hop: auth(mail.TLSRequired), hosts: map[string][]string{"192.0.2.9:587": {login + "S: 535 5.7.8 wrong\n" + bye}},
			want: "deferred; 192.0.2.9 auth 535 5.7.8 deferred"},
		{name: "smarthost without TLS", hop: auth(mail.TLSNone), hosts: map[string][]string{"192.0.2.9:587": {"S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250 AUTH PLAIN\n" + bye}},
			want: "deferred; 192.0.2.9 auth 4.7.11 deferred"},
		{name: "smarthost without TLS, unless it is said", hop: auth(mail.TLSOpportunistic), hosts: map[string][]string{"192.0.2.9:587": {"S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250 AUTH PLAIN\n" + bye}},
			want: "deferred; 192.0.2.9 tls 4.7.10 deferred"},
	})
}

// TestAttemptTellsOfTLS and of the words of the host.
func TestAttemptTellsOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.1", strings.Replace(inTLS, "S: 250 2.0.0 taken", "wait 7s\nS: 250-2.0.0 taken\nS: 250 2.0.0 gladly", 1))
		start := time.Now()
		a := w.courier(IdleLimits{}).Carry(t.Context(), mx("example.net"), post("b"))[0].Decisive()
		want := mail.Attempt{
			At: start, Took: 7 * time.Second, Host: "mx1.example.net", Remote: netip.MustParseAddrPort("192.0.2.1:25"), TLS: a.TLS,
			Verified: true, Phase: mail.PhaseAnswer, Code: 250, Enhanced: "2.0.0", Text: "taken\ngladly", Outcome: mail.Delivered,
		}
		if a != want || !strings.HasPrefix(a.TLS, "TLS1.3 TLS_") {
			t.Errorf("\n got: %+v\nwant: %+v", a, want)
		}
	})
}

// TestRecipients: each has its own fate, and hosts that take few get several
// transactions.
func TestRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.1",
			hello+"C~ MAIL.*\nC~ RCPT.*<b@.*\nC~ RCPT.*<c@.*\nC~ RCPT.*<d@.*\nC~ RCPT.*<e@.*\nC: DATA\n"+
				"S: 250 ok\nS: 250 ok\nS: 550 5.1.1 who\nS: 451 4.2.1 later\nS: 452 4.5.3 too many\nS: 354 go\nC. 21\nS: 250 2.0.0 ok\n"+
				"C~ MAIL.*\nC~ RCPT.*<e@.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 21\nclose")
		w.host("192.0.2.2", takes)
		var got []string
		for _, r := range w.courier(IdleLimits{}).Carry(t.Context(), mx("example.net"), post("b", "c", "d", "e")) {
			got = append(got, tell(r))
		}
		want := []string{"delivered; 192.0.2.1 answer 250 2.0.0", "failed; 192.0.2.1 rcpt 550 5.1.1 failed",
			"deferred; 192.0.2.1 rcpt 451 4.2.1 deferred", "deferred; 192.0.2.1 answer 4.4.2 deferred lost"}
		if !slices.Equal(got, want) {
			t.Errorf("\n got: %s\nwant: %s", strings.Join(got, "\n      "), strings.Join(want, "\n      "))
		}
	})
}

// TestOnlyTheUnanswered go to the next host.
func TestOnlyTheUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.1", "S: 220 x\nC~ EHLO.*\nS: 250 x\nC~ MAIL.*\nS: 250 ok\nC~ RCPT.*<b@.*\nS: 550 5.1.1 who\nC~ RCPT.*<c@.*\nS: 250 ok\nC~ RCPT.*<d@.*\nclose")
		w.host("192.0.2.2", hello+"C~ MAIL.*\nC~ RCPT.*<c@.*\nC~ RCPT.*<d@.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 21\nS: 250 2.0.0 ok\nhold")
		var got []string
		for _, r := range w.courier(IdleLimits{}).Carry(t.Context(), mx("example.net"), post("b", "c", "d")) {
			got = append(got, tell(r))
		}
		const second = "delivered; 192.0.2.1 rcpt 4.4.2 deferred; 192.0.2.2 answer 250 2.0.0"
		if want := []string{"failed; 192.0.2.1 rcpt 550 5.1.1 failed", second, second}; !slices.Equal(got, want) {
			t.Errorf("\n got: %s\nwant: %s", strings.Join(got, "\n      "), strings.Join(want, "\n      "))
		}
	})
}

// TestLimits: a host of one recipient a transaction and two transactions a
// session gets as many sessions as it takes.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.1", "S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250-PIPELINING\nS: 250 LIMITS RCPTMAX=1 MAILMAX=2\n"+one+"S: 250 ok\n"+one+"S: 250 ok\n"+bye,
			"S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250-PIPELINING\nS: 250 LIMITS RCPTMAX=1 MAILMAX=2\n"+one+"S: 250 ok\n"+one+"S: 250 ok\n"+bye,
			"S: 220 x\nC~ EHLO.*\nS: 250-x\nS: 250-PIPELINING\nS: 250 LIMITS RCPTMAX=1 MAILMAX=2\n"+one+"S: 250 ok\nhold")
		for i, r := range w.courier(IdleLimits{}).Carry(t.Context(), mx("example.net"), post("b", "c", "d", "e", "f")) {
			if r.Outcome != mail.Delivered || len(r.Attempts) != 1 {
				t.Errorf("recipient %d: %s", i, tell(r))
			}
		}
		if len(w.dialed) != 3 {
			t.Errorf("dialed %v", w.dialed)
		}
	})
}

// TestAttemptIsBounded: many hosts that fail are not all tried, and then it
// cannot be said that it never will work.
func TestAttemptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 30 {
			if err := w.dns.Add(fmt.Sprintf("many.example. MX %d h%d.example.\nh%d.example. A 198.51.100.%d", i, i, i, i+1)); err != nil {
				t.Fatal(err)
			}
			w.host(fmt.Sprintf("198.51.100.%d", i+1), "S: 554 no")
		}
		r := w.courier(IdleLimits{}).Carry(t.Context(), mx("many.example"), post("b"))[0]
		if r.Outcome != mail.Deferred || len(w.dialed) != MaxSessions || r.Decisive().Enhanced != "4.4.1" {
			t.Errorf("%d dialed, %s", len(w.dialed), tell(r))
		}
		w.dialed, w.hosts = nil, map[string][]string{}
		r = w.courier(IdleLimits{}).Carry(t.Context(), mx("many.example"), post("b"))[0]
		if r.Outcome != mail.Deferred || len(w.dialed) != hosts.MaxAddresses {
			t.Errorf("%d dialed, %s", len(w.dialed), tell(r))
		}
	})
}

// TestHostsAreBounded: what comes after many hosts that do not exist may exist.
func TestHostsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range hosts.MaxHosts + 1 {
			if err := w.dns.Add(fmt.Sprintf("void.example. MX %d void%d.example.", i, i)); err != nil {
				t.Fatal(err)
			}
		}
		r := w.courier(IdleLimits{}).Carry(t.Context(), mx("void.example"), post("b"))[0]
		if lookups := len(w.dns.Lookups()); r.Outcome != mail.Deferred || lookups != 1+2*hosts.MaxHosts {
			t.Errorf("%d lookups, %s", lookups, tell(r))
		}
	})
}

// TestCarryEndsWithItsContext, and says nothing definite.
func TestCarryEndsWithItsContext(t *testing.T) {
	for name, script := range map[string]string{"connecting": silent, "greeting": "hold", "answer": hello + one + "hold"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("192.0.2.1", script)
				w.host("192.0.2.2", takes)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				r := w.courier(IdleLimits{}).Carry(ctx, mx("example.net"), post("b"))[0]
				if r.Outcome != mail.Deferred || len(w.dialed) != 1 || time.Since(start) != time.Second {
					t.Errorf("after %v: %s", time.Since(start), tell(r))
				}
				if lost := r.Decisive().AnswerLost; lost != (name == "answer") {
					t.Errorf("answer lost: %v", lost)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r := w.courier(IdleLimits{}).Carry(ctx, mx("example.net"), post("b"))[0]; r.Outcome != mail.Deferred || len(r.Attempts) == 0 || len(w.dialed) > 0 {
			t.Errorf("%s, dialed %v", tell(r), w.dialed)
		}
	})
}

// TestSource: the address of ours that the hop names, by family.
func TestSource(t *testing.T) {
	hop := mail.NextHop{SourceIPv4: netip.MustParseAddr("192.0.2.200"), SourceIPv6: netip.MustParseAddr("2001:db8::200")}
	for to, want := range map[string]netip.Addr{"192.0.2.1": hop.SourceIPv4, "2001:db8::1": hop.SourceIPv6} {
		if got := source(hop, netip.MustParseAddr(to)); got != want {
			t.Errorf("to %s from %v", to, got)
		}
	}
}
