package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

// addPassword makes an app password of bob.
func addPassword(t *testing.T, c *admin.Client, n admin.NewPassword) string {
	t.Helper()
	made, err := c.AddPassword(t.Context(), "bob@yubin.test", n)
	if err != nil {
		t.Fatal(err)
	}
	return made.Text
}

// On the wire a password that does not count here is a wrong one, by PLAIN and by SCRAM; the
// log says why, and which it was.
func TestAppPasswordsOnTheWire(t *testing.T) {
	c, d := local(t), deps()
	var log bytes.Buffer
	d.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, stop := startWith(t, c, d)
	a := admin.InProcess(s.Admin())
	only := map[string]string{}
	for _, x := range protocols {
		name := map[string]string{"imap": "imap", "pop3": "pop3"}[x.service]
		if name == "" {
			name = "submission"
		}
		only[x.service] = addPassword(t, a, admin.NewPassword{Name: name, Limit: admin.Limit{Only: []string{name}}})
	}
	elsewhere := addPassword(t, a, admin.NewPassword{Name: "elsewhere", Limit: admin.Limit{Networks: []string{"192.0.2.0/24"}}})
	for _, x := range protocols {
		for service, text := range only {
			if err := x.login(t, s, c, "bob@yubin.test", text); (err == nil) != (service == x.service) {
				t.Errorf("%s with the password for %s: %v", x.service, service, err)
			}
			e := x.begin(t, s, c, "bob@yubin.test", text)
			if proved := strings.HasPrefix(e.prove(), e.next); proved != (service == x.service) {
				t.Errorf("%s by SCRAM with the password for %s: %v", x.service, service, proved)
			}
			_ = e.peer.conn.Close()
		}
		if err := x.login(t, s, c, "bob@yubin.test", elsewhere); err == nil {
			t.Errorf("%s takes a password that counts elsewhere", x.service)
		}
	}
	list, err := a.Passwords(t.Context(), "bob@yubin.test")
	if err != nil || len(list) != 5 || list[1].Used == nil || list[4].Used != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`msg=login .*mech=PLAIN .*user=bob@yubin.test app_password=pop3\n`, `msg=login .* user=bob@yubin.test app_password=imap\n`,
		`msg=login .* user=bob@yubin.test app_password=submission\n`,
		`msg="login refused" proto=imap .*reason="not for this protocol" mech=PLAIN .*user=bob@yubin.test app_password=pop3\n`,
		`msg="login refused" proto=pop3 .*reason="not for this protocol" mech=SCRAM-SHA-256 .*user=bob@yubin.test app_password=imap\n`,
		`msg="login refused" .*reason="not for this protocol" .*user=bob@yubin.test app_password=pop3\n`,
		`msg="login refused" .*reason="not from this network" .*user=bob@yubin.test app_password=elsewhere\n`,
	} {
		if !regexp.MustCompile(want).Match(log.Bytes()) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, text := range append(slices.Collect(maps.Values(only)), elsewhere) {
		if bytes.Contains(log.Bytes(), []byte(text)) {
			t.Error("a password is in the log")
		}
	}
}

// Whoever logged in with an app password that is removed, or at its end, is shown out, and
// nobody else.
func TestWhoLoggedInWithItIsShownOut(t *testing.T) {
	for name, end := range map[string]struct {
		expires time.Duration
		act     func(context.Context, *admin.Client) error
		why     string
	}{
		"removed": {act: func(ctx context.Context, c *admin.Client) error {
			return c.RemovePassword(ctx, "bob@yubin.test", "phone")
		},
			why: "this app password was removed"},
		"expired": {expires: 2 * time.Second, act: func(context.Context, *admin.Client) error { return nil }, why: "the password that you logged in with has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			c := local(t)
			s, stop := start(t, c)
			a := admin.InProcess(s.Admin())
			n := admin.NewPassword{Name: "phone"}
			if end.expires > 0 {
				until := time.Now().Add(end.expires).Truncate(time.Second).Add(time.Second)
				n.Expires = &until
			}
			phone, tablet := addPassword(t, a, n), addPassword(t, a, admin.NewPassword{Name: "tablet"})
			idle := func(text string) *peer {
				p := dial(t, listenerOf(s, c, "imap"))
				p.say("", "* OK")
				p.say("a LOGIN bob@yubin.test "+text, "a OK")
				p.say("b SELECT INBOX", "b OK")
				p.say("c IDLE", "+ ")
				return p
			}
			first, second, third := idle(phone), idle(tablet), idle("secret")
			if err := end.act(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			first.say("", "* BYE [UNAVAILABLE] "+end.why)
			for _, p := range []*peer{second, third} {
				p.say("DONE", "c OK")
				p.say("d NOOP", "d OK")
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := len(s.store.guests.here); n != 0 {
				t.Errorf("%d accounts are still thought to be here", n)
			}
		})
	}
}

// While of an account only a hash of another server is known, SCRAM is not offered, unless
// the configuration says so.
func TestScramIsOfferedWhereItWorks(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	offered := func() bool {
		p := dial(t, listenerOf(s, c, "imap"))
		p.say("", "* OK")
		defer p.conn.Close()
		return strings.Contains(p.say("a CAPABILITY", "* CAPABILITY"), "AUTH=SCRAM-SHA-256")
	}
	if !offered() {
		t.Error("not offered")
	}
	const hash = "{SSHA512}zoEO96RQA10nAzxxd1pA4qcd9dNmnnOcFbfd/0e0mCkIloMiju2d9M7PNygTXuJ+Hp1aQH+Zlrk9ocx8MwmO97a8jjY="
	a := admin.InProcess(s.Admin())
	if r, err := a.ImportAccounts(t.Context(), admin.Import{Accounts: []admin.ImportAccount{{Address: "old@yubin.test", Hash: hash}}}); err != nil || r.Added != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if offered() {
		t.Error("offered, and does not work for everybody")
	}
	status, err := a.Status(t.Context())
	if err != nil || !slices.Equal(status.Foreign, []string{"old@yubin.test"}) {
		t.Errorf("%+v, %v", status, err)
	}
	for _, mode := range []string{"on", "off", "auto"} {
		cfg := c
		cfg.TLS.Scram = config.Scram(mode)
		text := cfg.NoScram(status.Foreign)
		if (text == "") != (mode == "off") || s.offersScram(cfg)() != (mode == "on") {
			t.Errorf("%s: %q, offered %v", mode, text, s.offersScram(cfg)())
		}
	}
	if _, err := s.store.directory.Login(t.Context(), "old@yubin.test", "correct horse", directory.Client{Protocol: directory.IMAP, Addr: netip.Addr{}}); err != nil {
		t.Fatal(err)
	}
	if !offered() {
		t.Error("not offered after the login that brought the password")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A session is registered and then confirmed: at whatever moment an app password is removed,
// no session that began with it goes on.
func TestAppPasswordRemovedMeanwhile(t *testing.T) {
	c := local(t)
	s, stop := start(t, c)
	a := &authenticator{store: s.store, from: directory.Client{Protocol: directory.IMAP}}
	bob := mail.Address{Local: "bob", Domain: "yubin.test"}
	for i := range 3 {
		name := fmt.Sprint("phone ", i)
		text, _, err := s.store.directory.AddAppPassword(t.Context(), bob, directory.NewAppPassword{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.store.directory.Login(t.Context(), "bob@yubin.test", text, a.from)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.store.directory.RemoveAppPassword(t.Context(), bob, name); err != nil {
			t.Fatal(err)
		}
		if _, err := a.end(t.Context(), p, nil); mail.KindOf(err) != mail.Forbidden || err == nil {
			t.Errorf("a session with a removed app password was let in: %v", err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
