package directory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// app makes an app password.
func (h *house) app(name string, n NewAppPassword) (text string) {
	h.t.Helper()
	text, _, err := h.AddAppPassword(h.t.Context(), addr(name), n)
	h.must(err)
	return text
}

// loginBy logs in as alice from an address.
func (h *house) loginBy(p Protocol, from, text string) (mail.Principal, error) {
	return h.Login(h.t.Context(), "alice@example.org", text, Client{Protocol: p, Addr: netip.MustParseAddr(from)})
}

func networks(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Which credential counts where, by PLAIN and by SCRAM: the client hears of one that does
// not count here what it hears of a wrong one, and the log why.
func TestWhereCredentialsCount(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := open(t, func(o *Options) { o.Now, o.NoRateLimit = func() time.Time { return now }, true })
	h.account("alice")
	h.account("bob")
	own := "pw of alice"
	all := h.app("alice", NewAppPassword{Name: "all"})
	phone := h.app("alice", NewAppPassword{Name: "phone", Scope: Scope{Protocols: []Protocol{Submission, IMAP}}})
	office := h.app("alice", NewAppPassword{Name: "office", Scope: Scope{Networks: networks("192.0.2.7/24", "2001:db8::/32")}})
	guest := h.app("alice", NewAppPassword{Name: "guest", Scope: Scope{Until: now.Add(time.Hour)}})
	bobs := h.app("bob", NewAppPassword{Name: "phone"})
	const here, away = "192.0.2.99", "198.51.100.1"
	type try struct {
		text     string
		protocol Protocol
		from     string
		want     string // a reason, or ""
	}
	tries := []try{
		{own, IMAP, here, ""}, {own, Web, away, ""}, {bobs, IMAP, here, "wrong password"}, {"x", IMAP, here, "wrong password"},
		{all, IMAP, here, ""}, {all, POP3, away, ""}, {all, Submission, "::1", ""}, {all, Web, here, "not for this protocol"},
		{phone, IMAP, away, ""}, {phone, Submission, here, ""}, {phone, POP3, here, "not for this protocol"},
		{office, POP3, here, ""}, {office, IMAP, "::ffff:192.0.2.1", ""}, {office, IMAP, "2001:db8:9::1", ""},
		{office, IMAP, away, "not from this network"}, {office, IMAP, "127.0.0.1", "not from this network"},
		{guest, IMAP, here, ""},
	}
	check := func(tries []try) {
		t.Helper()
		for _, c := range tries {
			client := Client{Protocol: c.protocol, Addr: netip.MustParseAddr(c.from)}
			_, plain := h.Login(t.Context(), "alice@example.org", c.text, client)
			_, _, byScram := h.talkScramFrom("alice@example.org", c.text, client)
			for how, err := range map[string]error{"PLAIN": plain, "SCRAM": byScram} {
				if got := Reason(err); got != c.want {
					t.Errorf("%s %s from %s by %s: %q, want %q", c.text, c.protocol, c.from, how, got, c.want)
				}
				if err != nil && err.Error() != refusal(errWrongPassword).Error() || err != nil && mail.KindOf(err) != mail.Forbidden {
					t.Errorf("the client hears %v", err)
				}
			}
		}
	}
	check(tries)
	_, err := h.loginBy(POP3, here, phone)
	if AppPassword(err) != "phone" || AppPassword(nil) != "" {
		t.Errorf("the app password is %q", AppPassword(err))
	}

	now = now.Add(time.Hour)
	h.must(h.LimitPassword(t.Context(), addr("alice"), Scope{Protocols: []Protocol{Web}, Networks: networks("192.0.2.0/24")}))
	check([]try{{guest, IMAP, here, "expired"}, {own, IMAP, here, "not for this protocol"}, {own, Web, here, ""}, {own, Web, away, "not from this network"}, {all, IMAP, here, ""}})
	h.must(h.LimitPassword(t.Context(), addr("alice"), Scope{}))
	h.must(h.SetPassword(t.Context(), addr("alice"), "another", false))
	check([]try{{own, IMAP, here, "wrong password"}, {"another", IMAP, away, ""}, {all, IMAP, here, ""}, {phone, IMAP, here, ""}})
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if _, err := h.loginBy(IMAP, here, all); !errors.Is(err, ErrDisabled) {
		t.Errorf("to a disabled account: %v", err)
	}
	h.must(h.RemoveAccount(t.Context(), addr("alice"))) // Check finds what it leaves.
}

// An app password is typed as people type; by PLAIN that does not matter.
func TestAppPasswordAsTyped(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	text := h.app("alice", NewAppPassword{Name: "phone"})
	if n := len(strings.ReplaceAll(text, "-", "")); n != AppPasswordLetters || len(text) != AppPasswordLetters+4 {
		t.Errorf("%q", text)
	}
	for _, typed := range []string{text, strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", " "), strings.ToUpper(text), " " + text} {
		h.must(h.login("alice@example.org", typed))
	}
	for _, typed := range []string{text[1:], text + "a", text + strings.Repeat(" ", 99), strings.Replace(text, "-", "_", 1)} {
		wantKind(t, h.login("alice@example.org", typed), mail.Forbidden)
	}
	// It may be somebody's own password that looks like one.
	h.must(h.SetPassword(t.Context(), addr("alice"), "abcd-efgh-ijkm-nopq-rstu", false))
	h.must(h.login("alice@example.org", "abcd-efgh-ijkm-nopq-rstu"))
	wantKind(t, h.login("alice@example.org", "abcdefghijkmnopqrstu"), mail.Forbidden)
}

// A login with an app password needs no turn among those whose hashing takes memory.
func TestAppPasswordsNeedNoHashing(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	text := h.app("alice", NewAppPassword{Name: "phone"})
	defer h.shutGate()()
	h.must(h.login("alice@example.org", text))
}

// What is right and does not count is told as late as what is wrong, whether a hash was
// computed or not.
func TestMisuseTakesAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took [3]time.Duration
		h := open(t, func(o *Options) { o.Sleep = sleep })
		h.account("alice")
		h.must(h.LimitPassword(t.Context(), addr("alice"), Scope{Protocols: []Protocol{IMAP}}))
		text := h.app("alice", NewAppPassword{Name: "phone", Scope: Scope{Protocols: []Protocol{IMAP}}})
		for i, c := range []string{"pw of alice", "wrong", text} {
			_, err := h.loginBy(IMAP, "192.0.2.9", "pw of alice") // It is remembered.
			h.must(err)
			h.limits = newLimits(h.limits.now, h.limits.sleep, false) // The delay grows with failures.
			began := time.Now()
			_, err = h.loginBy(POP3, "192.0.2.9", c)
			wantKind(t, err, mail.Forbidden)
			took[i] = time.Since(began).Round(time.Microsecond)
		}
		// The clock of a bubble stands still while a hash is computed.
		if took[0] != took[2] || took[0] != FailureStep+FirstDelay || took[1] != FirstDelay {
			t.Errorf("told after %v", took)
		}
	})
}

func TestAppPasswordsAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	h.account("alice")
	for name, n := range map[string]NewAppPassword{
		"no name": {}, "a long name": {Name: strings.Repeat("x", MaxPasswordName+1)}, "an unseen name": {Name: "a\u202eb"},
		"broken": {Name: "\xff"}, "web": {Name: "x", Scope: Scope{Protocols: []Protocol{Web}}}, "gopher": {Name: "x", Scope: Scope{Protocols: []Protocol{"gopher"}}},
		"past": {Name: "x", Scope: Scope{Until: now}}, "no network": {Name: "x", Scope: Scope{Networks: make([]netip.Prefix, 1)}},
		"many networks": {Name: "x", Scope: Scope{Networks: manyNetworks(MaxScopeNetworks + 1)}},
	} {
		if _, _, err := h.AddAppPassword(t.Context(), addr("alice"), n); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range MaxAppPasswords {
		h.app("alice", NewAppPassword{Name: fmt.Sprint("no. ", i), Scope: Scope{Networks: manyNetworks(MaxScopeNetworks)}})
	}
	_, _, err := h.AddAppPassword(t.Context(), addr("alice"), NewAppPassword{Name: "one more"})
	wantKind(t, err, mail.TooLarge)
	h.must(h.RemoveAppPassword(t.Context(), addr("alice"), "no. 3"))
	_, _, err = h.AddAppPassword(t.Context(), addr("alice"), NewAppPassword{Name: "no. 4"})
	wantKind(t, err, mail.Exists)
	last := h.app("alice", NewAppPassword{Name: "no. 3"})
	_, _, err = h.talkScram("alice@example.org", last)
	h.must(err)
	wantKind(t, h.RemoveAppPassword(t.Context(), addr("alice"), "phone"), mail.NotFound)
	_, _, err = h.AddAppPassword(t.Context(), addr("nobody"), NewAppPassword{Name: "x"})
	wantKind(t, err, mail.NotFound)
	if n, err := h.RemoveAppPasswords(t.Context(), addr("alice")); err != nil || n != MaxAppPasswords {
		t.Errorf("%d, %v", n, err)
	}
}

func manyNetworks(n int) (list []netip.Prefix) {
	for i := range n {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16))
	}
	return list
}

// Whose sessions end, and which logins hold.
func TestWhoIsShownOut(t *testing.T) {
	var ended []Ended
	h := open(t, func(o *Options) { o.Revoked = func(e Ended) { ended = append(ended, e) } })
	id := h.account("alice")
	phone, tablet := h.app("alice", NewAppPassword{Name: "phone"}), h.app("alice", NewAppPassword{Name: "tablet"})
	principal := map[string]mail.Principal{}
	again := func() {
		for _, text := range []string{phone, tablet, "pw of alice"} {
			p, err := h.Login(t.Context(), "alice@example.org", text, imapFrom(home))
			h.must(err)
			h.must(h.Confirm(t.Context(), p))
			principal[text] = p
		}
	}
	for _, c := range []struct {
		change func() error
		of     []string // whose logins end
	}{
		{func() error { return h.SetPassword(t.Context(), addr("alice"), "pw of alice", false) }, []string{"pw of alice"}},
		{func() error {
			return h.LimitPassword(t.Context(), addr("alice"), Scope{Protocols: []Protocol{IMAP}})
		}, []string{"pw of alice"}},
		{func() error { return h.RemoveAppPassword(t.Context(), addr("alice"), "phone") }, []string{phone}},
	} {
		again()
		ended = nil
		h.must(c.change())
		for text, p := range principal {
			gone := slices.Contains(c.of, text)
			if err := h.Confirm(t.Context(), p); (err != nil) != gone {
				t.Errorf("%s: %v, want an error: %v", text, err, gone)
			}
			if gone && (len(ended) != 1 || ended[0].Account != id || ended[0].Credential != p.Credential.Number) {
				t.Errorf("shown out are %+v", ended)
			}
		}
	}
	// A number is never given again.
	before := principal[phone].Credential.Number
	delete(principal, phone)
	phone = h.app("alice", NewAppPassword{Name: "phone"})
	if again(); principal[phone].Credential.Number <= before || principal[phone].Credential.Name != "phone" {
		t.Errorf("%+v after %d", principal[phone].Credential, before)
	}
	ended = nil
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	for text, p := range principal {
		if !errors.Is(h.Confirm(t.Context(), p), ErrDisabled) {
			t.Errorf("%s goes on in a disabled account", text)
		}
	}
	if len(ended) != 1 || ended[0].Credential != 0 {
		t.Errorf("shown out are %+v", ended)
	}
}

// A login that goes on while its app password is removed is either not let in or found by
// Confirm, at whatever moment that comes.
func TestRemovalWhileALoginRuns(t *testing.T) {
	h := open(t, func(o *Options) { o.NoRateLimit = true })
	h.account("alice")
	for i := range 20 {
		name := fmt.Sprint("device ", i)
		text := h.app("alice", NewAppPassword{Name: name})
		var wg sync.WaitGroup
		var mu sync.Mutex
		var in []mail.Principal
		for range 4 {
			wg.Go(func() {
				if p, err := h.Login(t.Context(), "alice@example.org", text, imapFrom(home)); err == nil {
					mu.Lock()
					in = append(in, p)
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			if err := h.RemoveAppPassword(t.Context(), addr("alice"), name); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		for _, p := range in {
			if h.Confirm(t.Context(), p) == nil {
				t.Fatal("a login outlives its app password")
			}
		}
		wantKind(t, h.login("alice@example.org", text), mail.Forbidden)
	}
	// The proof was made before, and comes after.
	text := h.app("alice", NewAppPassword{Name: "late"})
	l, err := h.Scram(t.Context(), "alice@example.org", imapFrom(home))
	h.must(err)
	h.must(h.RemoveAppPassword(t.Context(), addr("alice"), "late"))
	p, err := l.Finish(t.Context(), func() int { return 1 })
	h.must(err)
	wantKind(t, h.Confirm(t.Context(), p), mail.Forbidden)
	wantKind(t, h.login("alice@example.org", text), mail.Forbidden)
}

// Keys are of one salt, whatever changes at the same time.
func TestPasswordsAtTheSameTime(t *testing.T) {
	h := open(t, func(o *Options) { o.NoRateLimit = true })
	h.account("alice")
	_, first, err := h.talkScram("alice@example.org", "pw of alice")
	h.must(err)
	for i := range 8 {
		own := fmt.Sprint("own ", i)
		var app string
		var wg sync.WaitGroup
		wg.Go(func() { h.must(h.SetPassword(t.Context(), addr("alice"), own, false)) })
		wg.Go(func() { app = h.app("alice", NewAppPassword{Name: own}) })
		wg.Wait()
		for _, text := range []string{own, app} {
			_, _, err := h.talkScram("alice@example.org", text)
			h.must(err)
			h.must(h.login("alice@example.org", text))
		}
		if i%2 == 0 {
			_, err := h.RemoveAppPasswords(t.Context(), addr("alice"))
			h.must(err)
		}
	}
	_, err = h.RemoveAppPasswords(t.Context(), addr("alice"))
	h.must(err)
	h.must(h.SetPassword(t.Context(), addr("alice"), "own 8", false)) // Nothing else needs the old salt.
	_, last, err := h.talkScram("alice@example.org", "own 8")
	if err != nil || string(last.Salt) == string(first.Salt) {
		t.Errorf("the salt never changes: %v", err)
	}
}

// An account that came with a hash only can have app passwords, and SCRAM with them, before
// its own password is known; and one that has no password at all.
func TestAppPasswordBesideAForeignHash(t *testing.T) {
	h := open(t, func(o *Options) { o.NoRateLimit = true })
	h.imports(Record{Line: 1, Address: addr("alice"), Hash: foreignHashes["ssha512"]})
	want := Declared{Domains: []DeclaredDomain{{Name: "example.org", Quota: inherits()}}, Accounts: []DeclaredAccount{{Address: addr("bob"), Quota: inherits()}}}
	steps, err := h.Compare(t.Context(), want, false)
	h.must(err)
	h.must(h.Apply(t.Context(), want, false, steps))
	for _, name := range []string{"alice", "bob"} {
		text := h.app(name, NewAppPassword{Name: "phone"})
		_, _, err := h.talkScram(name+"@example.org", text)
		h.must(err)
		h.must(h.login(name+"@example.org", text))
	}
	h.must(h.login("alice@example.org", "correct horse"))
	_, _, err = h.talkScram("alice@example.org", "correct horse")
	h.must(err)
	for _, wrong := range []string{"x", "pw of bob"} {
		wantKind(t, h.login("bob@example.org", wrong), mail.Forbidden)
	}
	list, err := h.Passwords(t.Context(), addr("bob"))
	if err != nil || len(list) != 2 || !list[0].Missing || list[1].Name != "phone" {
		t.Errorf("%+v, %v", list, err)
	}
}

// The last use is told at once and written once an hour; a login does not wait for that.
func TestLastUse(t *testing.T) {
	where := dbtest.Options(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := reopen(t, where, func(o *Options) { o.Now = func() time.Time { return now } })
	id := h.account("alice")
	text := h.app("alice", NewAppPassword{Name: "phone"})
	login := func() {
		t.Helper()
		_, err := h.loginBy(POP3, "2001:db8::9", text)
		h.must(err)
	}
	written := func() (at int64) {
		h.must(h.db.Read(t.Context(), func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT COALESCE(MAX(at), 0) FROM directory_use WHERE account = $1`, id).Scan(&at)
		}))
		return at
	}
	login()
	if at := written(); at != 0 {
		t.Errorf("a login wrote %d", at)
	}
	want := Use{At: now, Protocol: POP3, Network: "2001:db8::/64"}
	for range 2 {
		list, err := h.Passwords(t.Context(), addr("alice"))
		if err != nil || len(list) != 2 || list[1].Used != want || !list[0].Used.At.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		h.must(h.WriteUses(t.Context(), false))
		if at := written(); at != want.At.Unix() {
			t.Errorf("written is %d", at)
		}
	}
	now = now.Add(UseStep / 2)
	login()
	h.must(h.WriteUses(t.Context(), false))
	if at := written(); at != want.At.Unix() {
		t.Error("a use was written twice within an hour")
	}
	now = now.Add(UseStep / 2)
	h.must(h.WriteUses(t.Context(), false))
	if at := written(); at != now.Add(-UseStep/2).Unix() {
		t.Error("a use was not written after an hour")
	}
	now = now.Add(time.Minute)
	login()
	h.must(h.WriteUses(t.Context(), true)) // The end of the process.
	want.At = now
	h.close()
	h = reopen(t, where, nil)
	if list, err := h.Passwords(t.Context(), addr("alice")); err != nil || list[1].Used != want {
		t.Errorf("%+v, %v", list, err)
	}
	h.must(h.RemoveAppPassword(t.Context(), addr("alice"), "phone")) // Check finds a row that it leaves.
}

// What is remembered of uses is bounded, and goes when it is written.
func TestUsesAreBounded(t *testing.T) {
	var u uses
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 2 * maxUses {
		u.note(mail.Principal{Account: mail.AccountID(i), Credential: mail.Credential{Number: 1}}, Client{}, now)
	}
	if len(u.used) != maxUses {
		t.Errorf("%d are remembered", len(u.used))
	}
	for len(u.used) > 0 {
		u.done(u.due(now, false))
		now = now.Add(UseStep)
	}
}
