package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

func (h *house) login(user, password string) error {
	_, err := h.Login(h.t.Context(), user, password, imapFrom(home))
	return err
}

// imapFrom is an IMAP client at an address.
func imapFrom(from netip.Addr) Client { return Client{Protocol: IMAP, Addr: from} }

func TestLogin(t *testing.T) {
	h := open(t, nil)
	id := h.account("Alice")
	for range 2 { // computed, then remembered
		p, err := h.Login(t.Context(), "ALICE@example.org", "pw of Alice", imapFrom(home))
		if want := (mail.Principal{Account: id, Address: addr("Alice"), Version: 1, Credential: mail.Credential{Number: 1}}); err != nil || p != want {
			t.Fatalf("Login = %v, %v", p, err)
		}
	}
	var texts []string
	for _, c := range [][2]string{
		{"alice@example.org", "pw of alice"}, {"nobody@example.org", "pw of Alice"}, {"alice@elsewhere.example", "pw of Alice"},
		{"alice", "pw of Alice"}, {"", "pw of Alice"}, {"alice@example.org", ""}, {"alice@example.org", "\x07"},
		{"alice+tag@example.org", "pw of Alice"}, {strings.Repeat("a", MaxUserName+1), "x"}, {"\xff", "\xff"},
		{"alice@example.org", strings.Repeat("a", MaxPassword+1)},
	} {
		p, err := h.Login(t.Context(), c[0], c[1], imapFrom(netip.Addr{}))
		wantKind(t, err, mail.Forbidden)
		if p != (mail.Principal{}) {
			t.Errorf("%q logged in as %v", c, p)
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("failures can be told apart: %q, %q", text, texts[0])
		}
	}
	if len(h.slept) != len(texts) {
		t.Errorf("slept %d times for %d failures", len(h.slept), len(texts))
	}
}

// RFC 4013: what is the same when prepared is the same password.
func TestPasswordsArePrepared(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.must(h.SetPassword(t.Context(), addr("alice"), "I\u00adX \u00aa 🐈 пароль", false))
	h.must(h.login("alice@example.org", "\u2168 a 🐈 пароль"))
	wantKind(t, h.login("alice@example.org", "ix a 🐈 пароль"), mail.Forbidden)
	h.must(h.login("ａlice＠example．org", "IX a 🐈 пароль"))
	for _, bad := range []string{"", "\x07", "a\x00b", "\u0627\u0031", "\u00ad", strings.Repeat("x", MaxPassword+1)} {
		wantKind(t, h.SetPassword(t.Context(), addr("alice"), bad, false), mail.Invalid)
	}
}

func TestPrepare(t *testing.T) { // the table of RFC 4013 §3
	for in, want := range map[string]string{"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX"} {
		if got, err := prepare(in, 99); err != nil || got != want {
			t.Errorf("prepare(%q) = %q, %v", in, got, err)
		}
	}
}

func TestPasswordChangeAndDisableEndTheMemory(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.must(h.login("alice@example.org", "pw of alice"))
	h.must(h.SetPassword(t.Context(), addr("alice"), "another", false))
	wantKind(t, h.login("alice@example.org", "pw of alice"), mail.Forbidden)
	h.must(h.login("alice@example.org", "another"))

	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if err := h.login("alice@example.org", "another"); !errors.Is(err, ErrDisabled) || mail.KindOf(err) != mail.Forbidden {
		t.Errorf("login to a disabled account: %v", err)
	}
	if err := h.login("alice@example.org", "wrong"); errors.Is(err, ErrDisabled) {
		t.Error("a stranger learns that the account is disabled")
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), false))
	h.must(h.login("alice@example.org", "another"))
	h.must(h.RemoveAccount(t.Context(), addr("alice")))
	wantKind(t, h.login("alice@example.org", "another"), mail.Forbidden)
	h.account("alice")
	wantKind(t, h.login("alice@example.org", "another"), mail.Forbidden)
}

// talkScram runs a SCRAM login as a client would, through the library.
func (h *house) talkScram(user, password string) (mail.Principal, *ScramLogin, error) {
	return h.talkScramFrom(user, password, imapFrom(home))
}

func (h *house) talkScramFrom(user, password string, from Client) (mail.Principal, *ScramLogin, error) {
	h.t.Helper()
	client, err := scram.SHA256.NewClient(user, password, "")
	h.must(err)
	var login *ScramLogin
	nobodys := scram.StoredCredentials{StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		var err error
		if login, err = h.Scram(h.t.Context(), user, from); err != nil {
			return scram.StoredCredentials{}, err
		}
		nobodys.KeyFactors = scram.KeyFactors{Salt: string(login.Salt), Iters: login.Iterations}
		return nobodys, nil
	})
	h.must(err)
	c, s := client.WithMinIterations(1).NewConversation(), server.NewConversation()
	first, _ := c.Step("")
	first, err = s.Step(first)
	if err != nil {
		return mail.Principal{}, login, err
	}
	final, err := c.Step(first)
	h.must(err)
	p, err := login.Finish(h.t.Context(), func() int {
		for i, k := range login.Keys {
			copy(nobodys.StoredKey, k.StoredKey)
			copy(nobodys.ServerKey, k.ServerKey)
			try := *s
			if _, err := try.Step(final); err == nil {
				return i
			}
		}
		return -1
	})
	return p, login, err
}

func TestScram(t *testing.T) {
	where := dbtest.Options(t)
	h := reopen(t, where, nil)
	id := h.account("alice")
	p, known, err := h.talkScram("Alice@example.org", "pw of alice")
	if err != nil || p.Account != id {
		t.Fatalf("%v, %v", p, err)
	}
	_, _, err = h.talkScram("alice@example.org", "wrong")
	wantKind(t, err, mail.Forbidden)

	_, unknown, err := h.talkScram("nobody@example.org", "pw of alice")
	wantKind(t, err, mail.Forbidden)
	if len(unknown.Salt) != len(known.Salt) || unknown.Iterations != known.Iterations {
		t.Errorf("%d octets of salt and %d iterations tell that the user is unknown", len(unknown.Salt), unknown.Iterations)
	}
	_, other, _ := h.talkScram("someone@example.org", "x")
	if string(other.Salt) == string(unknown.Salt) {
		t.Error("all unknown users have one salt")
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if _, _, err = h.talkScram("alice@example.org", "pw of alice"); !errors.Is(err, ErrDisabled) {
		t.Errorf("disabled: %v", err)
	}
	h.close()

	_, again, _ := reopen(t, where, nil).talkScram("NOBODY@example.org", "x")
	if string(again.Salt) != string(unknown.Salt) {
		t.Error("the salt of an unknown user changed with a restart")
	}
}

// An account that came with a hash only can use SCRAM after its first login.
func TestScramAfterAnImportedHash(t *testing.T) {
	h := open(t, nil)
	hashed := password.New("secret", []byte("0123456789abcdef"), password.Cost{Memory: 32, Time: 2, Threads: 2}).String()
	report := h.imports(Record{Line: 1, Address: addr("alice"), Hash: hashed})
	if report.Added != 1 {
		t.Fatalf("%+v", report)
	}
	_, _, err := h.talkScram("alice@example.org", "secret")
	wantKind(t, err, mail.Forbidden)
	h.must(h.login("alice@example.org", "secret"))
	_, _, err = h.talkScram("alice@example.org", "secret")
	h.must(err)
}

func TestLoginsAtTheSameTime(t *testing.T) {
	h := open(t, func(o *Options) { o.HashMemory = 64 })
	h.account("alice")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := mail.Kind(0)
			password := "pw of alice"
			if i%4 == 0 {
				password, want = fmt.Sprint("wrong", i), mail.Forbidden
			}
			_, err := h.Login(context.Background(), "alice@example.org", password, imapFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})))
			if (err == nil) == (want != 0) {
				t.Errorf("%q: %v", password, err)
			}
			if i%8 == 0 {
				h.must(h.SetDisabled(context.Background(), addr("alice"), false))
			}
		})
	}
	wg.Wait()
}

// A login that waits for memory gives up with its context, or after a while; then
// it is not counted.
func TestHashingWaitsForMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		open := h.shutGate()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Login(ctx, "alice@example.org", "x", imapFrom(home)); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		for i := range 2 * NetworkFailures {
			start := time.Now()
			wantKind(t, h.login("alice@example.org", fmt.Sprint("wrong", i)), mail.Unavailable)
			if took := time.Since(start); took != GateWait {
				t.Fatalf("waited %v", took)
			}
		}
		open()
		wantKind(t, h.login("alice@example.org", "x"), mail.Forbidden)
		h.must(h.login("alice@example.org", "pw of alice"))
	})
}

// inBubble runs a test with its own clock and the directory's own sleep.
func inBubble(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Sleep = nil })
		h.account("alice")
		test(t, h)
	})
}

func TestFailuresSlowDown(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		var waits []time.Duration
		for i := range 6 {
			start := time.Now()
			wantKind(t, h.login("alice@example.org", fmt.Sprint("wrong", i)), mail.Forbidden)
			waits = append(waits, time.Since(start))
		}
		if waits[0] != FirstDelay || waits[5] != MaxDelay {
			t.Errorf("waits %v", waits)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Login(ctx, "alice@example.org", "wrong", imapFrom(home)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait with a dead context: %v", err)
		}
		start := time.Now()
		h.must(h.login("alice@example.org", "pw of alice"))
		if time.Since(start) != 0 {
			t.Errorf("a right password waited %v", time.Since(start))
		}
	})
}

func TestNetworkLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		from := netip.MustParseAddr("2001:db8::1")
		fail := func(i int) error {
			user := fmt.Sprintf("user%d@example.org", i)
			_, err := h.Login(t.Context(), user, "wrong", imapFrom(from))
			from = from.Next()
			return err
		}
		for i := range NetworkFailures + 5 { // while they wait, some are forgotten again
			if err := fail(i); mail.KindOf(err) == mail.RateLimited {
				break
			}
		}
		err := fail(99)
		wantKind(t, err, mail.RateLimited)
		if !strings.Contains(err.Error(), "try again in") {
			t.Error(err)
		}
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(from))
		wantKind(t, err, mail.RateLimited)
		_, err = h.Scram(t.Context(), "alice@example.org", imapFrom(from))
		wantKind(t, err, mail.RateLimited)
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(netip.MustParseAddr("2001:db8:0:1::1")))
		h.must(err) // the next /64 is somebody else

		time.Sleep(NetworkRecovery)
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(from))
		h.must(err)
	})
}

// flood makes n attempts at once and says how many were looked at.
func flood(t *testing.T, n int, attempt func(i int) error) int {
	var looked atomic.Int32
	for i := range n {
		go func() {
			switch err := attempt(i); mail.KindOf(err) {
			case mail.Forbidden:
				looked.Add(1)
			case mail.RateLimited, mail.Unavailable:
				var e *mail.Error
				if errors.As(err, &e) && strings.Contains(e.Text, "try again in") && len(e.Text) > len("too many failed logins; try again in 180 s") {
					t.Errorf("a wait of more than minutes: %v", err)
				}
			default:
				t.Errorf("guess %d: %v", i, err)
			}
		}()
	}
	synctest.Wait()
	time.Sleep(20 * time.Second) // those that wait for a turn
	return int(looked.Load())
}

// As many wrong passwords are looked at of 450 that come at once as of 450 that
// come one after the other, by LOGIN and by SCRAM, from anywhere; and the owner
// is not locked out anywhere else, nor at home.
func TestFloods(t *testing.T) {
	scramProof := func(h *house, from netip.Addr) func(int) error {
		logins := make([]*ScramLogin, 450)
		for i := range logins { // All exchanges are opened before the first proof.
			var err error
			logins[i], err = h.Scram(h.t.Context(), "alice@example.org", imapFrom(from))
			h.must(err)
		}
		return func(i int) error {
			_, err := logins[i].Finish(h.t.Context(), func() int { return -1 })
			return err
		}
	}
	password := func(h *house, from netip.Addr) func(int) error {
		return func(i int) error {
			_, err := h.Login(h.t.Context(), "alice@example.org", fmt.Sprint("wrong", i), imapFrom(from))
			return err
		}
	}
	stranger, local := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("127.0.0.1")
	for name, guess := range map[string]func(*house, netip.Addr) func(int) error{"SCRAM": scramProof, "LOGIN": password} {
		for _, from := range []netip.Addr{stranger, local, home} {
			t.Run(fmt.Sprint(name, " from ", from), func(t *testing.T) {
				inBubble(t, func(t *testing.T, h *house) {
					h.must(h.login("alice@example.org", "pw of alice")) // home is known now
					if n := flood(t, 450, guess(h, from)); n < OwnFailures || n > 20 {
						t.Errorf("%d guesses were looked at", n)
					}
					for _, owner := range []netip.Addr{home, local, netip.MustParseAddr("203.0.113.1")} {
						start := time.Now()
						_, err := h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(owner))
						if took := time.Since(start); err != nil || took > 5*time.Second {
							t.Errorf("the owner from %s: %v after %v", owner, err, took)
						}
					}
				})
			})
		}
	}
}

// A network whose guesses at one account fill it is not looked at for others; where
// accounts are counted by themselves they do not stand in each other's way.
func TestFloodAtManyAccounts(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		guess := func(from string) func(int) error {
			return func(i int) error {
				_, err := h.Login(t.Context(), fmt.Sprintf("user%d@example.org", i), "wrong", imapFrom(netip.MustParseAddr(from)))
				return err
			}
		}
		if n := flood(t, 10*NetworkFailures, guess("198.51.100.1")); n != NetworkFailures {
			t.Errorf("%d guesses of a network were looked at", n)
		}
		if n := flood(t, 2*NetworkFailures, guess("::1")); n != 2*NetworkFailures {
			t.Errorf("%d guesses from this machine were looked at", n)
		}
	})
}

// Many right passwords at once wait for each other, and are not refused.
func TestRightPasswordsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if err := h.login("alice@example.org", "pw of alice"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// A botnet, one guess from each address, slows the account down for strangers.
func TestAccountIsSlowedDown(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		h.must(h.login("alice@example.org", "pw of alice")) // home is known now
		stranger := netip.MustParseAddr("198.51.100.0")
		flood(t, 2*AccountFailures, func(i int) error {
			from := stranger.As4()
			from[3] = byte(i)
			_, err := h.Login(t.Context(), "alice@example.org", fmt.Sprint("guess", i), imapFrom(netip.AddrFrom4(from)))
			return err
		})
		took := func(user, password, from string) time.Duration {
			start := time.Now()
			_, err := h.Login(t.Context(), user, password, imapFrom(netip.MustParseAddr(from)))
			h.must(err)
			return time.Since(start)
		}
		h.account("bob")
		if d := took("bob@example.org", "pw of bob", "203.0.113.9"); d != 0 {
			t.Errorf("another account waited %v", d)
		}
		if d := took("alice@example.org", "pw of alice", home.String()); d != 0 {
			t.Errorf("the owner waited %v at home", d)
		}
		if d := took("alice@example.org", "pw of alice", "203.0.113.1"); d != AccountDelay {
			t.Errorf("the owner waited %v in a new network", d)
		}
		if d := took("alice@example.org", "pw of alice", "203.0.113.1"); d != 0 {
			t.Errorf("the owner waited %v in a network that is not new any more", d)
		}
		time.Sleep(AccountRecovery)
		if d := took("alice@example.org", "pw of alice", "203.0.113.2"); d != 0 {
			t.Errorf("the owner waited %v after the attack", d)
		}
	})
}

// A phone that still has the old password is slowed down, not locked out with
// its whole household.
func TestTheSameWrongPasswordCountsOnce(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	for range 3 * NetworkFailures {
		wantKind(t, h.login("alice@example.org", "of last year"), mail.Forbidden)
	}
	h.must(h.login("alice@example.org", "pw of alice"))
}

// A webmail's address is as this machine: many people come from it.
func TestSharedNetwork(t *testing.T) {
	webmail := netip.MustParseAddr("192.0.2.80")
	h := open(t, func(o *Options) { o.Shared = func(a netip.Addr) bool { return a == webmail } })
	id := h.account("alice")
	for i := range 2 * NetworkFailures {
		_, err := h.Login(t.Context(), fmt.Sprint(i, "@example.org"), "wrong", imapFrom(webmail))
		wantKind(t, err, mail.Forbidden)
	}
	_, err := h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(webmail))
	h.must(err)
	if known, err := h.networksOf(t.Context(), id); err != nil || len(known) != 0 {
		t.Errorf("a network of many is known as alice's: %v, %v", known, err)
	}
}

func TestNoRateLimit(t *testing.T) {
	h := open(t, func(o *Options) { o.NoRateLimit = true })
	h.account("alice")
	for i := range 3 * AccountFailures {
		wantKind(t, h.login("alice@example.org", fmt.Sprint("wrong", i)), mail.Forbidden)
	}
	if len(h.slept) != 0 {
		t.Errorf("slept %v", h.slept)
	}
	h.must(h.login("alice@example.org", "pw of alice"))
}

// What strangers can make us remember is bounded.
func TestLimitsAreBounded(t *testing.T) {
	l := newLimits(time.Now, sleep, false)
	for i := range 3 * maxTallies {
		var a attempt
		a.network = obs.LoginNetwork(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))
		a.user[0], a.user[1], a.user[2] = byte(i), byte(i>>8), byte(i>>16)
		for _, a.known = range []bool{false, true} {
			in, err := l.admit(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			in.failed(guess{})
		}
	}
	if l.networks.len() > maxTallies || l.users.len() > maxTallies || l.owns.len() > maxTallies {
		t.Errorf("%d networks, %d users, %d pairs", l.networks.len(), l.users.len(), l.owns.len())
	}
}

func TestNetworkOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "127.0.0.1": "invalid Prefix", "::1": "invalid Prefix", "::ffff:127.0.0.1": "invalid Prefix",
	} {
		if got := obs.LoginNetwork(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("obs.LoginNetwork(%s) = %s, want %s", in, got, want)
		}
	}
}

// An unknown user must cost what a wrong password costs.
func TestUnknownUserDoesTheSameWork(t *testing.T) {
	h := open(t, func(o *Options) {
		o.Cost = password.Cost{Memory: 4 << 10, Time: 3, Threads: 1}
		o.NoRateLimit = true
		o.HashMemory = 0
	})
	h.account("alice")
	best := func(user string) time.Duration {
		fastest := time.Hour
		for i := range 8 {
			start := time.Now()
			_ = h.login(user, fmt.Sprint("wrong", i))
			fastest = min(fastest, time.Since(start))
		}
		return fastest
	}
	wrong, unknown := best("alice@example.org"), best("nobody@example.org")
	if unknown < wrong/30 || wrong < unknown/30 { // without the work it would be a thousandth; a busy machine makes it a quarter
		t.Errorf("wrong password %v, unknown user %v", wrong, unknown)
	}
}

func TestDamagedSecretIsInternal(t *testing.T) {
	h := open(t, nil)
	h.damaged = true
	h.account("alice")
	h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE directory_account SET password = 'x'`)
		return err
	}))
	wantKind(t, h.login("alice@example.org", "pw of alice"), mail.Internal)
}

func BenchmarkLogin(b *testing.B) {
	h := open(b, func(o *Options) {
		o.Cost = password.Cost{}
		o.ScramIterations = 0
		o.NoRateLimit = true
		o.HashMemory = 0
	})
	h.account("alice")
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.must(h.login("alice@example.org", "pw of alice"))
		}
	})
	b.Run("wrong", func(b *testing.B) {
		for b.Loop() {
			_ = h.login("alice@example.org", "wrong")
		}
	})
	b.Run("SetPassword", func(b *testing.B) {
		for b.Loop() {
			h.must(h.SetPassword(b.Context(), addr("alice"), "pw of alice", false))
		}
	})
}
