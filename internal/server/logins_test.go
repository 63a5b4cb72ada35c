package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// limited is a configuration that limits failed logins.
func limited(t *testing.T) config.Config {
	t.Helper()
	c := local(t)
	c.Open = false
	return c
}

// protocol is how one protocol talks of logins.
type protocol struct {
	service  string
	greeting []string // pairs of what is said, and the beginning of the last line that answers
	scram    string   // with the initial response behind it
	next     string   // before a challenge
	ok       string
	plain    string // with the response behind it
}

var protocols = []protocol{
	{"imap", []string{"", "* OK"}, "a AUTHENTICATE SCRAM-SHA-256 ", "+ ", "a OK", "a AUTHENTICATE PLAIN "},
	{"pop3", []string{"", "+OK"}, "AUTH SCRAM-SHA-256 ", "+ ", "+OK", "AUTH PLAIN "},
	{"submission", []string{"", "220 ", "EHLO client.test", "250 "}, "AUTH SCRAM-SHA-256 ", "334 ", "235 ", "AUTH PLAIN "},
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// open connects and greets.
func (x protocol) open(t *testing.T, s *Server, c config.Config) *peer {
	t.Helper()
	p := dial(t, listenerOf(s, c, x.service))
	for i := 0; i < len(x.greeting); i += 2 {
		p.say(x.greeting[i], x.greeting[i+1])
	}
	return p
}

// exchange is a login by SCRAM of which only the proof is missing.
type exchange struct {
	protocol
	peer  *peer
	proof string
}

func (x protocol) begin(t *testing.T, s *Server, c config.Config, user, password string) exchange {
	t.Helper()
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	conv := client.NewConversation()
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	p := x.open(t, s, c)
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(p.say(x.scram+b64(first), x.next), x.next)))
	if err != nil {
		t.Fatal(err)
	}
	final, err := conv.Step(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	return exchange{x, p, b64(final)}
}

// prove sends the proof and returns the first line of the answer.
func (e exchange) prove() string {
	if _, err := io.WriteString(e.peer.conn, e.proof+"\r\n"); err != nil {
		return err.Error()
	}
	line, err := e.peer.in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return line
}

// login logs in with a password, or says what the answer was.
func (x protocol) login(t *testing.T, s *Server, c config.Config, user, password string) error {
	t.Helper()
	p := x.open(t, s, c)
	if _, err := io.WriteString(p.conn, x.plain+b64("\x00"+user+"\x00"+password)+"\r\n"); err != nil {
		return err
	}
	line, err := p.in.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, x.ok) {
		err = fmt.Errorf("%s: %q", x.service, line)
	}
	return err
}

// 450 SCRAM exchanges are opened, then all proofs are sent at once, over three
// protocols: no more are looked at than of one after the other, and the owner
// comes in.
func TestScramProofsAtOnce(t *testing.T) {
	c := limited(t)
	s, stop := start(t, c)
	var all []exchange
	for i := range 450 {
		all = append(all, protocols[i%3].begin(t, s, c, "bob@yubin.test", fmt.Sprint("guess", i)))
	}
	answers := make(chan string, len(all))
	for _, e := range all {
		go func() { answers <- e.prove() }()
	}
	looked, refused := 0, 0
	for range all {
		switch a := <-answers; {
		case strings.HasPrefix(a, "a NO [AUTHENTICATIONFAILED]"), strings.HasPrefix(a, "-ERR [AUTH]"), strings.HasPrefix(a, "535 "):
			looked++
		case strings.HasPrefix(a, "a NO [LIMIT]"), strings.HasPrefix(a, "-ERR [SYS/TEMP]"), strings.HasPrefix(a, "454 "):
			refused++
		default:
			t.Errorf("a proof was answered with %q", a)
		}
	}
	if looked < 1 || looked > 20 {
		t.Errorf("%d proofs were looked at, %d refused", looked, refused)
	}
	started := time.Now()
	for _, x := range protocols {
		if err := x.login(t, s, c, "bob@yubin.test", "secret"); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("the owner waited %v", took)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A login that began before a change does not outlive it.
func TestScramAcrossAChange(t *testing.T) {
	for name, change := range map[string]func(context.Context, *admin.Client) error{
		"password": func(ctx context.Context, c *admin.Client) error {
			other := "another secret"
			_, err := c.ChangeAccount(ctx, "bob@yubin.test", admin.AccountChange{Password: &other})
			return err
		},
		"disabled": func(ctx context.Context, c *admin.Client) error {
			off := false
			_, err := c.ChangeAccount(ctx, "bob@yubin.test", admin.AccountChange{Enabled: &off})
			return err
		},
		"removed": func(ctx context.Context, c *admin.Client) error { return c.RemoveAccount(ctx, "bob@yubin.test") },
	} {
		t.Run(name, func(t *testing.T) {
			c := local(t)
			s, stop := start(t, c)
			var begun []exchange
			for _, x := range protocols {
				begun = append(begun, x.begin(t, s, c, "bob@yubin.test", "secret"))
			}
			if err := change(t.Context(), admin.InProcess(s.Admin())); err != nil {
				t.Fatal(err)
			}
			for _, e := range begun {
				if a := e.prove(); strings.HasPrefix(a, e.next) {
					t.Errorf("%s: the proof of an old password was taken: %q", e.service, a)
				}
				if rest, err := io.ReadAll(e.peer.in); err != nil {
					t.Errorf("%s: the connection, which is the account's, stays: %q, %v", e.service, rest, err)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A session is registered and then confirmed: at whatever moment the password is
// changed, no session that began with the old one goes on.
func TestSessionsAreConfirmed(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	bob := mail.Address{Local: "bob", Domain: "yubin.test"}
	a := &authenticator{store: s.store, from: directory.Client{Protocol: directory.IMAP}}

	// The change comes between the check of the password and the registration.
	p, err := s.store.directory.Login(t.Context(), "bob@yubin.test", "secret", a.from)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.directory.SetPassword(t.Context(), bob, "p0", false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.end(t.Context(), p, nil); mail.KindOf(err) != mail.Forbidden || err == nil {
		t.Errorf("a session with an old password was let in: %v", err)
	}

	// And at any other moment.
	for i := range 18 {
		var wg sync.WaitGroup
		x := protocols[i%3]
		peers := make([]*peer, 6)
		for j := range peers {
			peers[j] = x.open(t, s, c)
			wg.Go(func() {
				_, _ = io.WriteString(peers[j].conn, x.plain+b64(fmt.Sprintf("\x00bob@yubin.test\x00p%d", i))+"\r\n")
			})
		}
		wg.Go(func() {
			if err := s.store.directory.SetPassword(t.Context(), bob, fmt.Sprint("p", i+1), false); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		for _, p := range peers {
			if x.service == "pop3" {
				_ = p.conn.Close() // The maildrop lets one in only.
				continue
			}
			line, _ := p.in.ReadString('\n')
			if !strings.HasPrefix(line, x.ok) {
				_ = p.conn.Close()
				continue
			}
			if _, err := io.ReadAll(p.in); err != nil { // The server ends it.
				t.Fatalf("%s: a session with an old password goes on: %v", x.service, err)
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A failed login is one line of one form in all protocols, and says why; the
// client hears no difference.
func TestFailedLoginsInTheLog(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	c := limited(t)
	d := deps()
	d.Log = slog.New(slog.NewJSONHandler(locked{&mu, &log}, nil))
	s, stop := startWith(t, c, d)
	for _, x := range protocols {
		wrong, unknown := x.login(t, s, c, "bob@yubin.test", "wrong "+x.service), x.login(t, s, c, "nobody@yubin.test", "wrong")
		if wrong == nil || unknown == nil || wrong.Error() != unknown.Error() {
			t.Errorf("%v; %v", wrong, unknown)
		}
	}
	off := false
	if _, err := admin.InProcess(s.Admin()).ChangeAccount(t.Context(), "bob@yubin.test", admin.AccountChange{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	for _, x := range protocols {
		if err := x.login(t, s, c, "bob@yubin.test", "secret"); err == nil {
			t.Error("a disabled account logged in")
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, proto := range []string{"imap", "pop3", "submission"} {
		for _, reason := range []string{"wrong password", "unknown user", "account disabled"} {
			found := 0
			for line := range strings.SplitSeq(log.String(), "\n") {
				if strings.Contains(line, `"level":"WARN","msg":"login refused","proto":"`+proto+`"`) &&
					strings.Contains(line, `"remote":"127.0.0.1:`) && strings.Contains(line, `,"reason":"`+reason+`","mech":"PLAIN",`) {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%s: %d lines with %q", proto, found, reason)
			}
		}
	}
	if t.Failed() {
		t.Log(log.String())
	}
}

// TestFail2ban: the filter of deploy/fail2ban finds who guesses, in the lines that
// the protocols write, as text and as JSON, and nobody else; what a client says
// its name is names no other address.
func TestFail2ban(t *testing.T) {
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("SKIPPED: the filter for fail2ban is not tried, as there is no fail2ban-regex here (Debian's package fail2ban)")
	}
	var mu sync.Mutex
	var text, json bytes.Buffer
	c := limited(t)
	d := deps()
	d.Log = slog.New(slog.NewMultiHandler(
		obs.NewLogger(locked{&mu, &text}, obs.LogOptions{Format: obs.FormatText}).Handler(),
		obs.NewLogger(locked{&mu, &json}, obs.LogOptions{Format: obs.FormatJSON}).Handler()))
	s, stop := startWith(t, c, d)
	var want []string
	for _, x := range protocols {
		for _, user := range []string{"bob@yubin.test", "nobody@yubin.test", `x" remote=192.0.2.66:1 reason="wrong password" ","remote":"192.0.2.66:1","reason":"wrong password",`} {
			if err := x.login(t, s, c, user, "wrong "+x.service); err == nil {
				t.Error("logged in")
			}
			want = append(want, "127.0.0.1")
		}
		_ = x.login(t, s, c, "bob@yubin.test", "wrong "+x.service) // A forgotten phone.
		if err := x.login(t, s, c, "bob@yubin.test", "secret"); err != nil {
			t.Error(err)
		}
	}
	off := false
	if _, err := admin.InProcess(s.Admin()).ChangeAccount(t.Context(), "bob@yubin.test", admin.AccountChange{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	if err := protocols[0].login(t, s, c, "bob@yubin.test", "secret"); err == nil {
		t.Error("a disabled account logged in")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, from := range []string{"192.0.2.7:4000", "[2001:db8::7]:4000"} {
		at := netip.MustParseAddrPort(from)
		obs.LogLogin(d.Log, obs.Login{Proto: "imap", Listen: "imaps", Remote: at, User: "a b", Mech: "LOGIN", Reason: "rate limited"})
		want = append(want, at.Addr().String())
	}
	var journal bytes.Buffer
	journal.WriteString("Dec 01 09:00:00 mail yubin[12]: ")
	obs.LogLogin(obs.NewLogger(&journal, obs.LogOptions{Format: obs.FormatJSON, NoTime: true}), obs.Login{Proto: "pop3", Listen: "pop3",
		Remote: netip.MustParseAddrPort("192.0.2.8:4000"), User: "a", Mech: "PASS", Reason: "unknown user"})

	for name, lines := range map[string]struct {
		log  string
		want []string
	}{"text": {text.String(), want}, "json": {json.String(), want}, "journal": {journal.String(), []string{"192.0.2.8"}}} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(lines.log), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "--out", "ip", file, "../../deploy/fail2ban/filter.d/yubin.conf").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if found := strings.Fields(string(out)); !slices.Equal(found, lines.want) {
			t.Errorf("%s: found %q, want %q in\n%s", name, found, lines.want, lines.log)
		}
	}
}

// locked is a writer that many use.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// SCRAM-SHA-256-PLUS is offered where the configuration says so.
func TestChannelBindingIsASwitch(t *testing.T) {
	for _, on := range []bool{false, true} {
		c := local(t)
		c.TLS.ChannelBinding = on
		s, stop := start(t, c)
		for service, say := range map[string][2]string{"imaps": {"a CAPABILITY", "a OK"}, "pop3s": {"CAPA", "."}, "submissions": {"EHLO client.test", "250 "}} {
			conn, err := tls.Dial("tcp", listenerOf(s, c, service).String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, conn)
			answer := p.say(say[0], say[1])
			if !strings.Contains(answer, "SCRAM-SHA-256") || strings.Contains(answer, "SCRAM-SHA-256-PLUS") != on {
				t.Errorf("%s, switched %v: %s", service, on, answer)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestSessionsOfAccount: who has as many sessions as limits.sessions_per_account
// allows hears so in the words of each protocol, and is not taken for somebody who
// guesses passwords; when a session has ended there is room for another.
func TestSessionsOfAccount(t *testing.T) {
	c := limited(t)
	c.Limits.SessionsPerAccount = 1
	s, stop := start(t, c)
	first := protocols[0].open(t, s, c)
	first.say("a LOGIN bob@yubin.test secret", "a OK")
	const text = "this account has 1 session, which is as many as it may have"
	right := b64("\x00bob@yubin.test\x00secret")
	for _, tc := range []struct {
		protocol
		line, want string
	}{
		{protocols[0], "a LOGIN bob@yubin.test secret", "a NO [LIMIT] " + text},
		{protocols[0], "a AUTHENTICATE PLAIN " + right, "a NO [LIMIT] " + text},
		{protocols[1], "AUTH PLAIN " + right, "-ERR [SYS/TEMP] " + text},
		{protocols[2], "AUTH PLAIN " + right, "454 4.7.0 " + text},
	} {
		for range 10 { // Together more than failed logins are forgiven.
			p := tc.open(t, s, c)
			p.say(tc.line, tc.want+"\r\n")
			_ = p.conn.Close()
		}
	}
	first.say("b LOGOUT", "b OK")
	_ = first.conn.Close()
	for _, x := range protocols {
		freed(t, s)
		p := x.open(t, s, c)
		p.say(x.plain+right, x.ok)
		_ = p.conn.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// freed waits until nobody is connected.
func freed(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		open := int64(0)
		for _, l := range s.connections() {
			open += int64(l.Open)
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open", open)
		}
	}
}
