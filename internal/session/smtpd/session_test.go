package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/testkit/memnet"
	"yubin/internal/testkit/transcript"
	"yubin/internal/world/netx"
)

func TestEveryKindHasAReply(t *testing.T) {
	for kind := mail.Internal; kind <= mail.Unavailable; kind++ {
		r := replyTo(mail.Errorf(kind, "the text"))
		if r.Code/100 != int(r.Enhanced.Class) || r.Code < 400 {
			t.Errorf("%v gives %v", kind, r)
		}
		if shown := r.Text == "the text"; shown == (kind == mail.Internal) {
			t.Errorf("%v gives the text %q", kind, r.Text)
		}
	}
	for _, err := range []error{errors.New("secret"), fmt.Errorf("secret: %w", io.EOF), &mail.Error{Kind: 99, Text: "secret"}} {
		if r := replyTo(err); r.Code != 451 || strings.Contains(r.Text, "secret") {
			t.Errorf("%v gives %v", err, r)
		}
	}
}

// What EHLO offers, the table can do, and nothing else.
func TestOffersAreImplemented(t *testing.T) {
	for _, profile := range []string{"mx", "submission", "lmtp"} {
		p := newPost(t, settings(t, "set profile "+profile))
		s := p.server.newSession(Client{}, true)
		for line := range strings.SplitSeq(s.offers(), "\n") {
			keyword, _, _ := strings.Cut(line, " ")
			for _, row := range p.server.commands {
				if row.offer != nil && row.offer(s) == line && !row.profiles.has(s.client.Profile) {
					t.Errorf("%s offers %s without the command", profile, keyword)
				}
			}
			if keyword == "STARTTLS" && s.tls.on {
				t.Error("STARTTLS is offered inside TLS")
			}
		}
		for verb, row := range p.server.commands {
			if verb != int(smtp.Unknown) && (row.run == nil || row.states == 0 || !strings.HasPrefix(row.syntax, smtp.Verb(verb).String())) {
				t.Errorf("the row of %v is incomplete", smtp.Verb(verb))
			}
		}
	}
}

func settings(t testing.TB, lines string) *transcript.File {
	t.Helper()
	f, err := transcript.Parse("settings", "# RFC 5321\n"+lines+"\n")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDataTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, settings(t, "set clock real"))
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		go p.serve(theirs)
		_, _ = io.WriteString(ours, "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n")
		start := time.Now()
		for {
			time.Sleep(2 * time.Minute)
			if _, err := io.WriteString(ours, "drip\r\n"); err != nil {
				break
			}
		}
		if took := time.Since(start); took < time.Hour || took > time.Hour+10*time.Minute {
			t.Errorf("a message that drips in ended after %v", took)
		}
		replies, _ := io.ReadAll(ours)
		if !strings.HasSuffix(string(replies), "421 4.4.2 timeout; closing\r\n") {
			t.Errorf("the client heard %q", replies)
		}
		_ = ours.Close()
	})
}

// script is a connection with prepared input; writes are counted.
type script struct {
	in  *bytes.Reader
	out int
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { s.out += len(p); return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession says anything to a server: it must come to an end, keep no
// message open, and answer in replies only.
func FuzzSession(f *testing.F) {
	paths, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for i, entry := range paths {
		text, err := os.ReadFile("testdata/" + entry.Name())
		if entry.IsDir() || err != nil {
			continue
		}
		var said strings.Builder
		for line := range strings.SplitSeq(string(text), "\n") {
			if c, ok := strings.CutPrefix(line, "C: "); ok {
				said.WriteString(c + "\r\n")
			}
		}
		f.Add([]byte(said.String()), uint8(i))
	}
	f.Fuzz(func(t *testing.T, in []byte, profile uint8) {
		name := []string{"mx", "submission", "lmtp", "submission"}[profile%4]
		p := newPost(t, settings(t, "set profile "+name+"\nset limits size=2000 header=500 recipients=5"))
		ours, theirs := memnet.Pipe(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:25"))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.serve(theirs)
		}()
		_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
		answers := bufio.NewReader(ours)
		if profile%4 == 3 {
			logIn(t, ours, answers)
		}
		go func() {
			_, _ = ours.Write(in)
			_ = ours.CloseWrite()
		}()
		out, err := io.ReadAll(answers)
		if err != nil {
			t.Fatalf("%q: the session hangs: %v", in, err)
		}
		<-ended
		_ = ours.Close()
		if bytes.Contains(bytes.ToUpper(in), []byte("STARTTLS")) {
			return // What comes then may be a TLS alert.
		}
		var replies smtp.ReplyParser
		for line := range strings.Lines(string(out)) {
			text, whole := strings.CutSuffix(line, "\r\n")
			if _, _, err := replies.Line([]byte(text)); err != nil || !whole {
				t.Fatalf("%q was answered with %q", in, line)
			}
		}
	})
}

// logIn speaks up to the reply to AUTH.
func logIn(t *testing.T, c net.Conn, answers *bufio.Reader) {
	for _, step := range []struct{ say, until string }{{"EHLO a\r\n", "250 "}, {"AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHdvbmRlcg==\r\n", "235 "}} {
		if _, err := io.WriteString(c, step.say); err != nil {
			t.Fatal(err)
		}
		for line := ""; !strings.HasPrefix(line, step.until); {
			var err error
			if line, err = answers.ReadString('\n'); err != nil {
				t.Fatalf("%q was answered with %q, %v", step.say, line, err)
			}
		}
	}
}

// An acceptor that only counts.
// counted is an Intake that counts.
type counted struct{ messages int64 }

func (c *counted) Begin(taps ...intake.Tap) *intake.Message {
	return intake.NewMessage(new(store.Store).NewIncoming(), taps...)
}

func (c *counted) Plan(context.Context, *intake.Message, intake.Envelope, []intake.Recipient) (*intake.Plan, error) {
	return nil, nil
}

func (c *counted) Commit(context.Context, *intake.Plan, ...intake.Also) (intake.Receipt, error) {
	c.messages++
	return intake.Receipt{}, nil
}

func benchServer(c *counted) *Server {
	return New(Config{
		Hostname: "mx.example.org",
		Router:   people{}, Identities: people{},
		Intake: c,
		Log:    slog.New(slog.DiscardHandler),
		Now:    time.Now,
		NewID:  func() string { return "id" },
		Limits: Limits{Transactions: 1 << 30},
	})
}

// BenchmarkTransaction is one message of 4 KiB in a session that goes on.
func BenchmarkTransaction(b *testing.B) {
	one := "MAIL FROM:<sender@remote.example> SIZE=4096\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n" +
		"Received: from a\r\nFrom: sender@remote.example\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56) + ".\r\n"
	const batch = 64
	in := []byte("EHLO client.example\r\n" + strings.Repeat(one, batch) + "QUIT\r\n")
	var c counted
	server := benchServer(&c)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n%batch == 0 {
			server.Serve(context.Background(), netx.NewConn(&script{in: bytes.NewReader(in)}, 0, 0))
		}
		n++
	}
	if c.messages < int64(n) {
		b.Fatalf("%d messages of %d arrived", c.messages, n)
	}
}

// An idle session must stay small: 10,000 of them live in one process.
func TestIdleSessionIsSmall(t *testing.T) {
	const sessions = 1000
	var c counted
	server := benchServer(&c)
	var running sync.WaitGroup
	var clients []net.Conn
	before := heapInUse()
	for range sessions {
		ours, theirs := memnet.Pipe(netip.AddrPort{}, netip.AddrPort{})
		clients = append(clients, ours)
		running.Go(func() {
			nc := netx.NewConn(theirs, 0, 0)
			server.Serve(context.Background(), nc)
		})
		for _, line := range []string{"", "EHLO a\r\n", "NOOP\r\n"} {
			_, _ = io.WriteString(ours, line)
			if _, err := ours.Read(make([]byte, 4096)); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := (heapInUse() - before) / sessions
	t.Logf("an idle session holds %d octets of heap", each)
	if each > 8<<10 {
		t.Errorf("an idle session holds %d octets of heap", each)
	}
	for _, c := range clients {
		_ = c.Close()
	}
	running.Wait()
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
