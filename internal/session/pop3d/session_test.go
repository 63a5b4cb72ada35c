package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"yubin/internal/mail"
	"yubin/internal/proto/pop3"
	"yubin/internal/testkit/memnet"
	"yubin/internal/world/netx"
)

// TestKindCodes: every kind of failure has a row, and only SYS codes after login.
func TestKindCodes(t *testing.T) {
	if len(kindCodes) != int(mail.Unavailable)+1 {
		t.Fatalf("%d rows", len(kindCodes))
	}
	tests := []struct {
		err           error
		before, after string
	}{
		{errors.New("secret path /var"), "-ERR [SYS/TEMP] internal error; please try again later", "-ERR [SYS/TEMP] internal error; please try again later"},
		{mail.Errorf(mail.Internal, "secret"), "-ERR [SYS/TEMP] internal error; please try again later", "-ERR [SYS/TEMP] internal error; please try again later"},
		{mail.Errorf(mail.Forbidden, "no"), "-ERR [AUTH] no", "-ERR no"},
		{mail.Errorf(mail.Conflict, "busy"), "-ERR [IN-USE] busy", "-ERR busy"},
		{mail.Errorf(mail.RateLimited, "wait"), "-ERR [SYS/TEMP] wait", "-ERR [SYS/TEMP] wait"},
		{mail.Errorf(mail.OverQuota, "full"), "-ERR [SYS/PERM] full", "-ERR [SYS/PERM] full"},
		{fmt.Errorf("wrapped: %w", mail.Errorf(mail.NotFound, "none")), "-ERR none", "-ERR none"},
	}
	for _, tt := range tests {
		before := (&session{state: authorization}).replyTo(t.Context(), tt.err).String()
		after := (&session{state: transaction}).replyTo(t.Context(), tt.err).String()
		if before != tt.before || after != tt.after {
			t.Errorf("%v: %q before login, %q after", tt.err, before, after)
		}
	}
}

// client is a POP3 client for what transcripts cannot say.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (p *post) dial() *client {
	p.t.Helper()
	loop := netip.MustParseAddr("127.0.0.1")
	ours, theirs := memnet.Pipe(netip.AddrPortFrom(loop, 4000), netip.AddrPortFrom(loop, 110))
	go p.serve(theirs)
	c := &client{p.t, ours, bufio.NewReader(ours)}
	p.t.Cleanup(func() { _ = ours.Close() })
	c.want("+OK mail.example.org POP3 ready")
	return c
}

func (p *post) logIn() *client {
	c := p.dial()
	c.say("USER anna@example.org")
	c.say("PASS secret")
	return c
}

func (c *client) hear() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) want(line string) {
	c.t.Helper()
	if got := c.hear(); got != line {
		c.t.Fatalf("heard %q, want %q", got, line)
	}
}

func (c *client) say(line string) string {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.hear()
}

// body reads the lines of a multi-line answer.
func (c *client) body() string {
	var b strings.Builder
	for {
		line := c.hear()
		if line == "." || line == "EOF" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
}

func (c *client) startTLS() *tls.Conn {
	c.t.Helper()
	if got := c.say("STLS"); got != "+OK begin the handshake" {
		c.t.Fatal(got)
	}
	secure := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.Conn, c.r = secure, bufio.NewReader(secure)
	return secure
}

// authenticate runs a SCRAM exchange and returns the last reply.
func (c *client) authenticate(mech string, conv *scram.ClientConversation, initial bool) string {
	c.t.Helper()
	step := func(challenge string) string {
		msg, err := conv.Step(challenge)
		if err != nil {
			c.t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(msg))
	}
	var reply string
	if initial {
		reply = c.say("AUTH " + mech + " " + step(""))
	} else if reply = c.say("AUTH " + mech); reply == "+ " {
		reply = c.say(step(""))
	}
	for {
		challenge, more := strings.CutPrefix(reply, "+ ")
		if !more {
			return reply
		}
		raw, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			c.t.Fatal(err)
		}
		reply = c.say(step(string(raw)))
	}
}

func TestScram(t *testing.T) {
	for _, initial := range []bool{false, true} {
		c := newPost(t).dial()
		for password, want := range map[string]string{"wrong": "-ERR [AUTH] user name or password is wrong"} {
			client, _ := scram.SHA256.NewClient("anna@example.org", password, "")
			if got := c.authenticate("SCRAM-SHA-256", client.NewConversation(), initial); got != want {
				t.Errorf("password %q: %q", password, got)
			}
		}
		client, _ := scram.SHA256.NewClient("anna@example.org", "secret", "")
		conv := client.NewConversation()
		if got := c.authenticate("SCRAM-SHA-256", conv, initial); got != "+OK 0 messages (0 octets)" || !conv.Valid() {
			t.Errorf("%q, server proved itself: %v", got, conv.Valid())
		}
	}
}

func TestScramPlus(t *testing.T) {
	c := newPost(t).dial()
	st := c.startTLS().ConnectionState()
	end, err := scram.NewTLSServerEndpointBinding(&st)
	if err != nil {
		t.Fatal(err)
	}
	exporter, err := scram.NewTLSExporterBinding(&st)
	if err != nil {
		t.Fatal(err)
	}
	client, _ := scram.SHA256.NewClient("anna@example.org", "secret", "")
	bad := end
	bad.Data = bytes.Repeat([]byte("x"), 32)
	if got := c.authenticate("SCRAM-SHA-256-PLUS", client.NewConversationWithChannelBinding(bad), true); !strings.HasPrefix(got, "-ERR [AUTH] ") {
		t.Errorf("a wrong binding: %q", got)
	}
	for _, cb := range []scram.ChannelBinding{end, exporter} {
		got := c.authenticate("SCRAM-SHA-256-PLUS", client.NewConversationWithChannelBinding(cb), true)
		if cb.Type == end.Type {
			if got != "+OK 0 messages (0 octets)" {
				t.Errorf("%s: %q", cb.Type, got)
			}
			continue
		}
		if got != "-ERR already logged in" {
			t.Errorf("second login: %q", got)
		}
	}
}

// TestManyInOrder fetches a large maildrop in every way clients do, and compares
// each octet. It also counts the reads: in order they are done in batches.
func TestManyInOrder(t *testing.T) {
	const count = 150
	p := newPost(t)
	var want []string
	for i := range count {
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat(fmt.Sprintf(".%d line\r\n", i), i%40*5))
		want = append(want, text)
		if err := p.deliver(text); err != nil {
			t.Fatal(err)
		}
	}
	c := p.logIn()
	before := p.faulty.rows.Load()
	for i := range count {
		if got := c.say(fmt.Sprintf("RETR %d", i+1)); got != fmt.Sprintf("+OK %d octets", len(want[i])) {
			t.Fatalf("RETR %d: %q", i+1, got)
		}
		if got := c.body(); got != want[i] {
			t.Fatalf("RETR %d gave %q, want %q", i+1, got, want[i])
		}
		if got := c.say(fmt.Sprintf("DELE %d", i+1)); !strings.HasPrefix(got, "+OK") {
			t.Fatal(got)
		}
	}
	if reads := p.faulty.rows.Load() - before; reads > 20 {
		t.Errorf("%d reads of the store for %d messages in order", reads, count)
	}
	c.say("RSET")
	before = p.faulty.rows.Load()
	for i := count - 1; i >= 0; i -= 7 {
		c.say(fmt.Sprintf("TOP %d 0", i+1))
		if got := c.body(); got != want[i][:strings.Index(want[i], "\r\n\r\n")+4] {
			t.Fatalf("TOP %d gave %q", i+1, got)
		}
	}
	if reads := p.faulty.rows.Load() - before; reads != (count+6)/7 {
		t.Errorf("%d reads for %d messages out of order: nothing should be read ahead", reads, (count+6)/7)
	}
}

// TestLargeMessage: one that is a file in the store, by RETR and TOP.
func TestLargeMessage(t *testing.T) {
	p := newPost(t)
	head := "Subject: large\r\n\r\n"
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000)
	for _, text := range []string{"Subject: small\r\n\r\n", head + body, "Subject: small\r\n\r\n"} {
		if err := p.deliver(text); err != nil {
			t.Fatal(err)
		}
	}
	c := p.logIn()
	for _, n := range []string{"1", "2", "3", "2"} {
		c.say("RETR " + n)
		if got := c.body(); n == "2" && got != head+body {
			t.Errorf("RETR 2 gave %d octets, want %d", len(got), len(head+body))
		}
	}
	c.say("TOP 2 4999")
	if got := c.body(); got != head+body[:72*4999] {
		t.Errorf("TOP 2 4999 gave %d octets", len(got))
	}
}

// TestOneUnreadableMessage does not keep its neighbours from being read.
func TestOneUnreadableMessage(t *testing.T) {
	p := newPost(t)
	for range 5 {
		if err := p.deliver("Subject: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	c := p.logIn()
	p.faulty.call.Store("Rows of many")
	for n := 1; n <= 5; n++ {
		if got := c.say(fmt.Sprintf("RETR %d", n)); got != "+OK 14 octets" {
			t.Errorf("RETR %d: %q", n, got)
		}
		c.body()
	}
}

// TestLineLimits: a command may have MaxLine octets; a longer one is an error,
// and the session goes on behind it.
func TestLineLimits(t *testing.T) {
	c := newPost(t).dial()
	if got := c.say("USER " + strings.Repeat("a", pop3.MaxLine-5)); got != "+OK the password, please" {
		t.Errorf("the longest line: %q", got)
	}
	if got := c.say("USER " + strings.Repeat("a", pop3.MaxLine-4)); got != "-ERR the line is too long" {
		t.Errorf("one octet more: %q", got)
	}
	if got := c.say(strings.Repeat("a", 30000)); got != "-ERR the line is too long" {
		t.Errorf("much more: %q", got)
	}
	if got := c.say("NOOP"); got != "-ERR log in first" {
		t.Errorf("behind it: %q", got)
	}
	go func() { _, _ = io.WriteString(c, strings.Repeat("a", 100_000)) }()
	c.want("-ERR the line is too long")
	c.want("EOF")
}

// TestUpdateSurvivesShutdown: a QUIT that was read is carried out.
func TestUpdateSurvivesShutdown(t *testing.T) {
	p := newPost(t)
	if err := p.deliver("Subject: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	drop, err := openMaildrop(context.Background(), p.faulty, anna, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := drop.get(1)
	if err != nil {
		t.Fatal(err)
	}
	drop.mark(m)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if removed, err := drop.update(ctx); removed != 1 || err != nil {
		t.Errorf("update under a context that is done: %d, %v", removed, err)
	}
}

func TestRefusal(t *testing.T) {
	for _, why := range []netx.Refusal{netx.TooMany, netx.TooManyFromAddress} {
		if got := Refusal(why); !strings.HasPrefix(got, "-ERR [SYS/TEMP] too many connections") || !strings.HasSuffix(got, "later\r\n") {
			t.Errorf("Refusal(%v) = %q", why, got)
		}
	}
}

// FuzzSession throws octets at a whole session: it must not panic nor hang, and
// must say nothing that is not POP3.
func FuzzSession(f *testing.F) {
	f.Add([]byte("USER anna@example.org\r\nPASS secret\r\nSTAT\r\nLIST\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nUIDL\r\nQUIT\r\n"))
	f.Add([]byte("AUTH PLAIN\r\nAGFubmFAZXhhbXBsZS5vcmcAc2VjcmV0\r\nCAPA\r\nLANG\r\nRETR 2\r\nNOOP\r\n"))
	f.Add([]byte("AUTH SCRAM-SHA-256 biwsbj1hbm5hQGV4YW1wbGUub3JnLHI9YWJj\r\n*\r\nUTF8\r\nSTLS\r\n"))
	f.Add([]byte("STLS\r\nQUIT\r\n"))
	p := newPost(f)
	for _, text := range []string{"Subject: a\r\n\r\n.\r\n", "A: b\n\n.\n"} {
		if err := p.deliver(text); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		loop := netip.MustParseAddr("127.0.0.1")
		ours, theirs := memnet.Pipe(netip.AddrPortFrom(loop, 4000), netip.AddrPortFrom(loop, 110))
		c := netx.NewConn(theirs, 0, 0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.server.Serve(context.Background(), c, p.listen)
			_ = c.Close()
		}()
		go func() {
			_, _ = ours.Write(input)
			_ = ours.CloseWrite()
		}()
		said, _ := io.ReadAll(ours)
		<-done
		if bytes.Contains(input, []byte("STLS")) {
			return // TLS alerts may follow.
		}
		for line := range strings.Lines(string(said)) {
			if !strings.HasSuffix(line, "\r\n") {
				t.Fatalf("said %q to %q", line, input)
			}
		}
		if !bytes.HasPrefix(said, []byte("+OK ")) {
			t.Fatalf("said %q", said)
		}
	})
}
