package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/ldappeer"
	"yubin/internal/world/config"
)

// ldapSite is a server whose domain ldap.test an LDAP server knows.
type ldapSite struct {
	*Server
	c     config.Config
	admin *admin.Client
	peer  *ldappeer.Server
	at    net.Listener
	log   *heard
}

// heard is a log that is read while the server writes it.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

const ldapPeople = `
	dc=test | | o=test
	cn=yubin,dc=test | service | cn=yubin
	uid=ann,dc=test | pw of ann | mail=ann@ldap.test; alias=anna@ldap.test
	uid=ben,dc=test | pw of ben | mail=ben@ldap.test
	cn=crew,dc=test | | group=crew@ldap.test; member=uid=ann,dc=test; member=uid=ben,dc=test
`

func startLDAP(t *testing.T) *ldapSite {
	t.Helper()
	entries, err := ldappeer.Parse(ldapPeople)
	if err != nil {
		t.Fatal(err)
	}
	s := &ldapSite{c: local(t), peer: ldappeer.New(entries...), log: new(heard)}
	if s.at, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go s.peer.Serve(s.at)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("service\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(s.at.Addr().String()).Port()
	s.c.LDAP = []config.LDAP{{Domains: []mail.Domain{"ldap.test"}, Servers: []config.LDAPServer{{URL: "ldap://" + s.at.Addr().String(), Host: "127.0.0.1", Port: port, Plain: true}},
		BindDN: "cn=yubin,dc=test", PasswordFile: file, Base: "dc=test", Filter: "(|(mail={address})(alias={address}))", Address: "mail",
		GroupFilter: "(group={address})", GroupMember: "member", Timeout: 2 * time.Second, Connections: 4}}
	d := deps()
	d.Log = slog.New(slog.NewTextHandler(s.log, nil))
	srv, stop := startWith(t, s.c, d)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		_ = s.at.Close()
		s.peer.HangUp()
	})
	s.Server, s.admin = srv, admin.InProcess(srv.Admin())
	if _, err := s.admin.AddDomain(t.Context(), "ldap.test"); err != nil {
		t.Fatal(err)
	}
	return s
}

// down has the LDAP server be down.
func (s *ldapSite) down() {
	_ = s.at.Close()
	s.peer.HangUp()
}

// rcpt is the answer to a recipient on the port for mail from anywhere.
func (s *ldapSite) rcpt(t *testing.T, to string) string {
	t.Helper()
	p := dial(t, listenerOf(s.Server, s.c, "smtp"))
	defer func() { _ = p.conn.Close() }()
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("MAIL FROM:<stranger@elsewhere.test>", "250 ")
	if _, err := fmt.Fprintf(p.conn, "RCPT TO:<%s>\r\n", to); err != nil {
		t.Fatal(err)
	}
	line, err := p.in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// Somebody whom LDAP knows logs in by each protocol with the password that is there and by no
// other; SCRAM is not offered; a directory that is down is "try again" and never "wrong".
func TestLDAPLogins(t *testing.T) {
	s := startLDAP(t)
	for _, x := range protocols {
		if err := x.login(t, s.Server, s.c, "ann@ldap.test", "pw of ann"); err != nil {
			t.Error(err)
		}
		for _, wrong := range [][2]string{{"ann@ldap.test", "pw of ben"}, {"nobody@ldap.test", "pw of ann"}, {"anna@ldap.test", "pw of ann"}} {
			if err := x.login(t, s.Server, s.c, wrong[0], wrong[1]); err == nil || !strings.Contains(err.Error(), map[string]string{
				"imap": "AUTHENTICATIONFAILED", "pop3": "[AUTH]", "submission": "535 5.7.8"}[x.service]) {
				t.Errorf("%s as %s: %v", x.service, wrong[0], err)
			}
		}
		if err := x.login(t, s.Server, s.c, "bob@yubin.test", "secret"); err != nil && strings.Contains(err.Error(), "454") {
			t.Errorf("an account that is ours: %v", err)
		}
	}
	p := dial(t, listenerOf(s.Server, s.c, "imap"))
	p.say("", "* OK")
	if _, err := fmt.Fprint(p.conn, "a CAPABILITY\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := p.in.ReadString('\n'); err != nil || strings.Contains(line, "SCRAM") || !strings.Contains(line, "AUTH=PLAIN") {
		t.Errorf("%q, %v", line, err)
	}
	_ = p.conn.Close()
	for _, b := range s.peer.Binds() {
		if strings.HasPrefix(b, " ") {
			t.Errorf("an empty name or password was sent: %q", s.peer.Binds())
		}
	}

	s.down()
	for _, x := range protocols {
		err := x.login(t, s.Server, s.c, "ben@ldap.test", "pw of ben")
		if err == nil || !strings.Contains(err.Error(), map[string]string{"imap": "UNAVAILABLE", "pop3": "[SYS/TEMP]", "submission": "454 4.7.0"}[x.service]) {
			t.Errorf("%s: %v", x.service, err)
		}
	}
	log := s.log.String()
	for _, want := range []string{"an LDAP server cannot be asked", "connection refused", `reason="the directory of the domain cannot be asked"`, `msg="account made, as the directory of its domain has it"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, secret := range []string{"pw of ann", "pw of ben", "service\n"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// Mail for somebody whom LDAP knows is taken, by each name, and for a group; for who has an account it
// is taken while LDAP is down, for others put off; for nobody refused.
func TestLDAPRecipients(t *testing.T) {
	s := startLDAP(t)
	for to, want := range map[string]string{"ann@ldap.test": "250 ", "ANNA@ldap.test": "250 ", "ann+list@ldap.test": "250 ", "crew@ldap.test": "250 ", "nobody@ldap.test": "550 5.1.1"} {
		if got := s.rcpt(t, to); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", to, got, want)
		}
	}
	list, err := s.admin.Accounts(t.Context(), "ldap.test")
	if err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	s.down()
	for to, want := range map[string]string{"ann@ldap.test": "250 ", "stranger@ldap.test": "451 4.3.0"} {
		got := s.rcpt(t, to)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", to, got, want)
		}
		if strings.Contains(got, "127.0.0.1") || strings.Contains(got, "LDAP") {
			t.Errorf("a stranger hears how we are made: %q", got)
		}
	}
}

// A reload takes over where LDAP is, and keeps what there was if the new filter is none.
func TestLDAPReload(t *testing.T) {
	s := startLDAP(t)
	broken := s.c
	broken.LDAP = []config.LDAP{broken.LDAP[0]}
	broken.LDAP[0].Filter = "(mail={address}"
	if _, err := s.Reload(broken); err == nil || !strings.Contains(err.Error(), "the filter is not right") {
		t.Error(err)
	}
	x := protocols[0]
	if err := x.login(t, s.Server, s.c, "ann@ldap.test", "pw of ann"); err != nil {
		t.Error(err)
	}
	without := s.c
	without.LDAP = nil
	r, err := s.Reload(without)
	if err != nil || fmt.Sprint(r.Changed) != "[ldap]" {
		t.Error(r, err)
	}
	if err := x.login(t, s.Server, s.c, "ann@ldap.test", "pw of ann"); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Error(err)
	}
	if _, err := s.Reload(s.c); err != nil {
		t.Error(err)
	}
	if err := x.login(t, s.Server, s.c, "ann@ldap.test", "pw of ann"); err != nil {
		t.Error(err)
	}
}
