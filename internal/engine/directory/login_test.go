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

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

func (h *house) login(user, password string) error {
	_, err := h.Login(h.t.Context(), user, password, home)
	return err
}

func TestLogin(t *testing.T) {
	h := open(t, nil)
	id := h.account("Alice")
	for range 2 { // computed, then remembered
		p, err := h.Login(t.Context(), "ALICE@example.org", "pw of Alice", home)
		if want := (mail.Principal{Account: id, Address: addr("Alice")}); err != nil || p != want {
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
		p, err := h.Login(t.Context(), c[0], c[1], netip.Addr{})
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
	h.must(h.SetPassword(t.Context(), addr("alice"), "I\u00adX \u00aa 🐈 пароль"))
	h.must(h.login("alice@example.org", "\u2168 a 🐈 пароль"))
	wantKind(t, h.login("alice@example.org", "ix a 🐈 пароль"), mail.Forbidden)
	h.must(h.login("ａlice＠example．org", "IX a 🐈 пароль"))
	for _, bad := range []string{"", "\x07", "a\x00b", "\u0627\u0031", "\u00ad", strings.Repeat("x", MaxPassword+1)} {
		wantKind(t, h.SetPassword(t.Context(), addr("alice"), bad), mail.Invalid)
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
	h.must(h.SetPassword(t.Context(), addr("alice"), "another"))
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
func (h *house) talkScram(user, password string) (mail.Principal, ScramKeys, error) {
	h.t.Helper()
	client, err := scram.SHA256.NewClient(user, password, "")
	h.must(err)
	var keys ScramKeys
	var p mail.Principal
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		var err error
		keys, p, err = h.Scram(h.t.Context(), user, home)
		return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey: keys.StoredKey, ServerKey: keys.ServerKey}, err
	})
	h.must(err)
	c, s := client.WithMinIterations(1).NewConversation(), server.NewConversation()
	first, _ := c.Step("")
	first, err = s.Step(first)
	if err != nil {
		return mail.Principal{}, keys, err
	}
	final, err := c.Step(first)
	h.must(err)
	_, _ = s.Step(final)
	return p, keys, h.ScramDone(h.t.Context(), user, home, s.Valid())
}

func TestScram(t *testing.T) {
	path := t.TempDir() + "/yubin.db"
	h := reopen(t, path, nil)
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

	_, again, _ := reopen(t, path, nil).talkScram("NOBODY@example.org", "x")
	if string(again.Salt) != string(unknown.Salt) {
		t.Error("the salt of an unknown user changed with a restart")
	}
}

// An account that came with a hash only can use SCRAM after its first login.
func TestScramAfterAnImportedHash(t *testing.T) {
	h := open(t, nil)
	hashed := newHash("secret", []byte("0123456789abcdef"), Cost{Memory: 32, Time: 2, Threads: 2}).String()
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
			_, err := h.Login(context.Background(), "alice@example.org", password, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
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

// A login that waits for memory gives up with its context.
func TestHashingWaitsForMemory(t *testing.T) {
	h := open(t, nil)
	h.must(h.enter(t.Context(), Cost{Memory: 1 << 20}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Login(ctx, "alice@example.org", "x", home); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.leave(Cost{Memory: 1 << 20})
	wantKind(t, h.login("alice@example.org", "x"), mail.Forbidden)
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
		start := time.Now()
		h.must(h.login("alice@example.org", "pw of alice"))
		if time.Since(start) != 0 {
			t.Errorf("a right password waited %v", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Login(ctx, "alice@example.org", "wrong", home); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait with a dead context: %v", err)
		}
	})
}

func TestNetworkLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		from := netip.MustParseAddr("2001:db8::1")
		fail := func(i int) error {
			user := fmt.Sprintf("user%d@example.org", i)
			_, err := h.Login(t.Context(), user, "wrong", from)
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
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", from)
		wantKind(t, err, mail.RateLimited)
		_, _, err = h.Scram(t.Context(), "alice@example.org", from)
		wantKind(t, err, mail.RateLimited)
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", netip.MustParseAddr("2001:db8:0:1::1"))
		h.must(err) // the next /64 is somebody else

		time.Sleep(NetworkRecovery)
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", from)
		h.must(err)
	})
}

// Guesses that all came in before the first had failed are limited too.
func TestNetworkLimitOfAFlood(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		one := Cost{Memory: 1 << 20}
		h.must(h.enter(t.Context(), one))
		var looked atomic.Int32
		for i := range 10 * NetworkFailures {
			go func() {
				err := h.login(fmt.Sprintf("user%d@example.org", i), "wrong")
				if mail.KindOf(err) != mail.RateLimited {
					looked.Add(1)
				}
			}()
		}
		synctest.Wait()
		h.leave(one)
		time.Sleep(time.Minute)
		if n := looked.Load(); n < NetworkFailures || n > 2*NetworkFailures {
			t.Errorf("%d guesses were looked at", n)
		}
	})
}

func TestAccountLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		h.must(h.login("alice@example.org", "pw of alice")) // home is familiar now
		stranger := netip.MustParseAddr("198.51.100.0")
		var err error
		for range 2 * AccountFailures { // a botnet: one guess from each address
			stranger = stranger.Next()
			if _, err = h.Login(t.Context(), "alice@example.org", "guess", stranger); mail.KindOf(err) == mail.RateLimited {
				break
			}
		}
		wantKind(t, err, mail.RateLimited)
		h.account("bob")
		_, err = h.Login(t.Context(), "bob@example.org", "pw of bob", stranger)
		h.must(err) // another account
		_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", netip.MustParseAddr("203.0.113.1"))
		wantKind(t, err, mail.RateLimited)
		h.must(h.login("alice@example.org", "pw of alice")) // the owner is not locked out at home
		h.must(h.SetPassword(t.Context(), addr("alice"), "new"))
		h.must(h.login("alice@example.org", "new"))

		time.Sleep(AccountRecovery)
		_, err = h.Login(t.Context(), "alice@example.org", "new", netip.MustParseAddr("203.0.113.1"))
		h.must(err)
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

func TestLoopbackHasNoNetworkLimit(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	local := netip.MustParseAddr("::1")
	for i := range 2 * NetworkFailures {
		_, err := h.Login(t.Context(), fmt.Sprint(i, "@example.org"), "wrong", local)
		wantKind(t, err, mail.Forbidden)
	}
	_, err := h.Login(t.Context(), "alice@example.org", "pw of alice", local)
	h.must(err)
	for i := range AccountFailures { // but does not make guesses at an account free
		_, err = h.Login(t.Context(), "alice@example.org", fmt.Sprint("wrong", i), local)
		wantKind(t, err, mail.Forbidden)
	}
	_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", local)
	if kind := mail.KindOf(err); kind != mail.RateLimited {
		t.Errorf("after %d guesses: %v", AccountFailures, err)
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
	l := newLimits(time.Now, false)
	for i := range 3 * maxTallies {
		a := attempt{network: networkOf(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))}
		a.user[0], a.user[1], a.user[2] = byte(i), byte(i>>8), byte(i>>16)
		l.failed(a, guess{})
		l.succeeded(a)
	}
	if l.networks.len() > maxTallies || l.users.len() > maxTallies || l.familiar.len() > maxFamiliar {
		t.Errorf("%d networks, %d users, %d familiar", l.networks.len(), l.users.len(), l.familiar.len())
	}
}

func TestNetworkOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "127.0.0.1": "invalid Prefix", "::1": "invalid Prefix", "::ffff:127.0.0.1": "invalid Prefix",
	} {
		if got := networkOf(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("networkOf(%s) = %s, want %s", in, got, want)
		}
	}
}

// An unknown user must cost what a wrong password costs.
func TestUnknownUserDoesTheSameWork(t *testing.T) {
	h := open(t, func(o *Options) {
		o.Cost = Cost{Memory: 4 << 10, Time: 3, Threads: 1}
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
	if unknown < wrong/4 || wrong < unknown/4 { // without the work it would be a thousandth
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
	h := open(b, func(o *Options) { o.Cost = Cost{}; o.ScramIterations = 0; o.NoRateLimit = true; o.HashMemory = 0 })
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
			h.must(h.SetPassword(b.Context(), addr("alice"), "pw of alice"))
		}
	})
}
