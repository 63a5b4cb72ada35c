package ldapc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/testkit/ldappeer"
	"yubin/internal/world/certs/certstest"
	"yubin/internal/world/netx"
)

const people = `
	dc=example | | o=example
	cn=yubin,dc=example | service | cn=yubin
	uid=alice,ou=people,dc=example | pw of alice | mail=Alice@example.org; also=al@example.org; also=alice@other.example; quota=2 GiB
	uid=bob,ou=people,dc=example | pw of bob | mail=bob@example.org; quota=1000; also=al2@example.org
	uid=carol,ou=people,dc=example | | mail=carol@example.org; quota=much
	uid=dave,ou=people,dc=example | pw of dave | mail=dave@elsewhere.example; also=dave@example.org
	uid=twin,ou=people,dc=example | pw | mail=twin@example.org
	uid=twin2,ou=people,dc=example | pw | mail=twin@example.org
	uid=bare,ou=people,dc=example | pw of bare | also=bare@example.org
	cn=crew,ou=groups,dc=example | | groupmail=crew@example.org; member=uid=alice,ou=people,dc=example; member=uid=bob,ou=people,dc=example; member=uid=bare,ou=people,dc=example; member=uid=gone,dc=example; member=far@elsewhere.example
	cn=empty,ou=groups,dc=example | | groupmail=empty@example.org
`

// site is a directory with one or two servers over pipes, in a bubble.
type site struct {
	t       *testing.T
	peers   []*ldappeer.Server
	refuses []bool // the servers that are not there
	dialled []int
	log     bytes.Buffer
	*Client
	mu sync.Mutex
}

func newSite(t *testing.T, change func(*site, *Config)) *site {
	t.Helper()
	s := &site{t: t, refuses: make([]bool, 2), dialled: make([]int, 2)}
	for range 2 {
		entries, err := ldappeer.Parse(people)
		if err != nil {
			t.Fatal(err)
		}
		p := ldappeer.New(entries...)
		p.Closed = true
		s.peers = append(s.peers, p)
	}
	c := Config{Domains: []mail.Domain{"example.org"}, Servers: []Server{{Name: "one", Host: "one.test", Port: 0, Security: Plain}, {Name: "two", Host: "two.test", Port: 1, Security: Plain}},
		Timeout: 5 * time.Second, Connections: 2, Roots: func() (*x509.CertPool, error) { return nil, nil }, Service: "cn=yubin,dc=example",
		Password: func() (string, error) { return "service", nil }, Base: "dc=example", Filter: filter(t, "(|(mail={address})(also={address}))"), Address: "mail", Quota: "quota",
		GroupFilter: filter(t, "(groupmail={address})"), Member: "member", Now: time.Now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Dial: s.dial}
	if change != nil {
		change(s, &c)
	}
	s.Client = New(c)
	return s
}

func filter(t *testing.T, text string) ldap.Filter {
	t.Helper()
	f, err := ldap.ParseFilter(text, VarAddress, VarLocal, VarDomain)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *site) dial(ctx context.Context, to Server) (*netx.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses[to.Port] {
		return nil, &netx.DialError{Reason: "connection refused"}
	}
	s.dialled[to.Port]++
	ours, theirs := net.Pipe()
	go s.peers[to.Port].Talk(theirs)
	return netx.NewOutgoing(ours), nil
}

// end closes all, so that the bubble can end.
func (s *site) end() {
	s.Close()
	for _, p := range s.peers {
		p.HangUp()
	}
}

func addr(text string) mail.Address {
	a, err := mail.ParseAddress(text)
	if err != nil {
		panic(err)
	}
	return a
}

// say is what came of a question, as a test has it.
func say(f directory.Entry, err error) string {
	if err != nil {
		return mail.KindOf(err).String()
	}
	out := ""
	if !f.Account.IsZero() {
		out += " account " + f.Account.String()
	}
	if f.Quota != nil {
		out += fmt.Sprint(" quota ", *f.Quota)
	}
	for _, m := range f.Members {
		out += " member " + m.String()
	}
	return strings.TrimSpace(out)
}

// Who is asked for is found: a person by the address and by another one, a group, nobody.
// What cannot be used is Unavailable, and never nobody.
func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.end()
		for _, c := range [][2]string{
			{"alice@example.org", "account Alice@example.org quota 2147483648"},
			{"al@example.org", "account Alice@example.org quota 2147483648"},
			{"bob@example.org", "account bob@example.org quota 1000"},
			{"carol@example.org", "account carol@example.org"},
			{"dave@example.org", "member dave@elsewhere.example"},
			{"nobody@example.org", "NotFound"},
			{"twin@example.org", "Unavailable"},
			{"bare@example.org", "Unavailable"},
			{"crew@example.org", "member Alice@example.org member bob@example.org member far@elsewhere.example"},
			{"empty@example.org", "NotFound"},
			{`"*"@example.org`, "NotFound"},
			{`"a)(mail=*"@example.org`, "NotFound"},
		} {
			if got := say(s.Find(t.Context(), addr(c[0]))); got != strings.ReplaceAll(c[1], "NotFound", mail.NotFound.String()) && got != strings.ReplaceAll(c[1], "Unavailable", mail.Unavailable.String()) {
				t.Errorf("%s: %s, want %s", c[0], got, c[1])
			}
		}
		if s.dialled[0] != 1 || s.dialled[1] != 0 || len(s.peers[0].Binds()) != 1 {
			t.Errorf("%v connections, binds %q: one does for all", s.dialled, s.peers[0].Binds())
		}
	})
}

// A password is tried as whose it is, and the connection then asks as the service account
// again.
func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*site, *Config){
		"search": nil,
		"name": func(_ *site, c *Config) {
			c.UserName, _ = ldap.ParseName("uid={local},ou=people,dc=example", VarLocal)
		},
		"name alone": func(_ *site, c *Config) {
			c.UserName, _ = ldap.ParseName("uid={local},ou=people,dc=example", VarLocal)
			c.Filter, c.GroupFilter = ldap.Filter{}, ldap.Filter{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, change)
				defer s.end()
				for range 2 {
					for _, c := range []struct {
						address, password string
						want              []mail.Kind
					}{
						{"alice@example.org", "pw of alice", nil},
						{"alice@example.org", "pw of bob", []mail.Kind{mail.Forbidden}},
						{"alice@example.org", "", []mail.Kind{mail.Forbidden}},
						{"bob@example.org", "pw of bob", nil},
						{"carol@example.org", "x", []mail.Kind{mail.Forbidden}},
						{"nobody@example.org", "x", []mail.Kind{mail.NotFound, mail.Forbidden}},
						{`"alice,ou=people,dc=example"@example.org`, "pw of alice", []mail.Kind{mail.NotFound, mail.Forbidden}},
					} {
						found, err := s.Check(t.Context(), addr(c.address), c.password)
						if c.want == nil && (err != nil || !strings.EqualFold(found.Account.String(), c.address)) || c.want != nil && (err == nil || !slices.Contains(c.want, mail.KindOf(err))) {
							t.Errorf("%s %q: %+v, %v", c.address, c.password, found, err)
						}
					}
				}
				for _, b := range s.peers[0].Binds() {
					if strings.HasPrefix(b, " ") {
						t.Errorf("somebody was nobody: %q", s.peers[0].Binds())
					}
				}
				if s.dialled[0] != 1 {
					t.Errorf("%v connections", s.dialled)
				}
			})
		})
	}
}

// An empty password never leaves, and no answer makes it right: the server here lets it in.
func TestEmptyPasswordNeverLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.end()
		if _, err := s.Check(t.Context(), addr("alice@example.org"), ""); mail.KindOf(err) != mail.Forbidden {
			t.Error(err)
		}
		if s.dialled[0] != 0 {
			t.Error("the directory was asked")
		}
		err := s.ask(t.Context(), func(k *talk) error { return k.bind("uid=alice,ou=people,dc=example", "") })
		if !errors.Is(err, errWrong) || len(s.peers[0].Binds()) != 0 {
			t.Error(err, s.peers[0].Binds())
		}
	})
}

// A service account that is refused, and a file of its password that cannot be read, is not
// that somebody's password is wrong.
func TestServiceAccountRefused(t *testing.T) {
	for name, password := range map[string]func() (string, error){
		"wrong": func() (string, error) { return "old", nil },
		"none":  func() (string, error) { return "", errors.New("bind_password_file: there is none") },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, func(_ *site, c *Config) { c.Password = password })
			defer s.end()
			for _, ask := range []func() error{
				func() error { _, err := s.Find(t.Context(), addr("alice@example.org")); return err },
				func() error { _, err := s.Check(t.Context(), addr("alice@example.org"), "pw of alice"); return err },
			} {
				if err := ask(); mail.KindOf(err) != mail.Unavailable {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n := strings.Count(s.log.String(), "an LDAP server cannot be asked"); n != 2 {
				t.Errorf("%s: told %d times:\n%s", name, n, s.log.String())
			}
		})
	}
}

// The servers stand in for each other; one that is down is left alone for Rest, and both down
// is Unavailable at once. A connection that was closed while idle is made anew.
func TestServersStandIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.end()
		find := func(want bool) {
			t.Helper()
			_, err := s.Find(t.Context(), addr("alice@example.org"))
			if (err == nil) != want || err != nil && mail.KindOf(err) != mail.Unavailable {
				t.Fatal(err)
			}
		}
		find(true)
		s.peers[0].HangUp()
		synctest.Wait()
		find(true)
		if s.dialled[0] != 2 || s.dialled[1] != 0 {
			t.Errorf("%v connections", s.dialled)
		}
		s.refuses[0] = true
		s.peers[0].HangUp()
		synctest.Wait()
		find(true)
		if s.dialled[1] != 1 {
			t.Errorf("%v connections", s.dialled)
		}
		s.refuses[1] = true
		s.peers[1].HangUp()
		synctest.Wait()
		find(false)
		began := time.Now()
		for range 100 {
			find(false)
		}
		if time.Since(began) != 0 {
			t.Error("it was asked again and again")
		}
		s.refuses[0], s.refuses[1] = false, false
		find(false)
		time.Sleep(Rest)
		find(true)
		if log := s.log.String(); strings.Count(log, "cannot be asked") != 2 || strings.Count(log, "can be asked again") != 1 {
			t.Error(log)
		}
	})
}

// What hostile servers send ends within the time and the bounds, is Unavailable, and harms
// nobody who asks after it.
func TestHostileServers(t *testing.T) {
	raw := func(octets string) func(byte, int, io.Writer) bool {
		return func(_ byte, _ int, w io.Writer) bool { _, _ = io.WriteString(w, octets); return true }
	}
	entry := ldappeer.Entry{DN: "uid=x,dc=example", Attributes: map[string][]string{"mail": {"alice@example.org"}}}
	onSearch := func(f func(id int, w io.Writer)) func(byte, int, io.Writer) bool {
		return func(op byte, id int, w io.Writer) bool {
			if op == 0x63 {
				f(id, w)
			}
			return op == 0x63
		}
	}
	for name, odd := range map[string]func(byte, int, io.Writer) bool{
		"silent":       func(byte, int, io.Writer) bool { return true },
		"garbage":      raw("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"huge":         raw("\x30\x84\x7f\xff\xff\xff\x02\x01\x01"),
		"a part huge":  raw("\x30\x0c\x02\x01\x01\x61\x84\x7f\xff\xff\xff\x0a\x01\x00"),
		"indefinite":   raw("\x30\x80\x02\x01\x01"),
		"no operation": raw("\x30\x03\x02\x01\x01"),
		"another one":  raw("\x30\x05\x02\x01\x01\x64\x00"),
		"cut off":      raw("\x30\x0c\x02\x01"),
		"another id": func(_ byte, id int, w io.Writer) bool {
			ldappeer.Write(w, id+7, 0x61, ldappeer.Result(0, ""))
			return true
		},
		"hangs up": func(_ byte, _ int, w io.Writer) bool {
			ldappeer.Write(w, 0, 0x78, ldappeer.Result(52, "maintenance"))
			return true
		},
		"busy":          onSearch(func(id int, w io.Writer) { ldappeer.Write(w, id, 0x65, ldappeer.Result(51, "")) }),
		"sends us away": onSearch(func(id int, w io.Writer) { ldappeer.Write(w, id, 0x65, ldappeer.Result(10, "")) }),
		"no such base":  onSearch(func(id int, w io.Writer) { ldappeer.Write(w, id, 0x65, ldappeer.Result(32, "")) }),
		"never done": onSearch(func(id int, w io.Writer) {
			for range 2 {
				ldappeer.Write(w, id, 0x64, ldappeer.Found(entry, "mail"))
			}
		}),
		"without end": onSearch(func(id int, w io.Writer) {
			for range 100 {
				ldappeer.Write(w, id, 0x64, ldappeer.Found(entry, "mail"))
			}
		}),
		"references without end": onSearch(func(id int, w io.Writer) {
			for range 1 << 15 {
				ldappeer.Write(w, id, 0x73, ldappeer.Result(0, strings.Repeat("x", 60)))
			}
		}),
		"a name too long": onSearch(func(id int, w io.Writer) {
			ldappeer.Write(w, id, 0x64, ldappeer.Found(ldappeer.Entry{DN: strings.Repeat("x", ldap.MaxDN+1)}))
		}),
		"no name": onSearch(func(id int, w io.Writer) {
			ldappeer.Write(w, id, 0x64, ldappeer.Found(ldappeer.Entry{Attributes: entry.Attributes}, "mail"))
			ldappeer.Write(w, id, 0x65, ldappeer.Result(0, ""))
		}),
		"no address": onSearch(func(id int, w io.Writer) {
			ldappeer.Write(w, id, 0x64, ldappeer.Found(ldappeer.Entry{DN: "uid=x", Attributes: map[string][]string{"mail": {"al ice\x00@example.org"}}}, "mail"))
			ldappeer.Write(w, id, 0x65, ldappeer.Result(0, ""))
		}),
		"drips": func(_ byte, _ int, w io.Writer) bool {
			for _, o := range []byte("\x30\x84\x00\x01\x00\x00\x02\x01\x01") {
				time.Sleep(time.Second)
				if _, err := w.Write([]byte{o}); err != nil {
					break
				}
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil)
				defer s.end()
				for _, p := range s.peers {
					p.Odd = odd
				}
				began := time.Now()
				for _, ask := range []func() error{
					func() error { _, err := s.Find(t.Context(), addr("alice@example.org")); return err },
					func() error { _, err := s.Check(t.Context(), addr("alice@example.org"), "pw of alice"); return err },
				} {
					if err := ask(); mail.KindOf(err) != mail.Unavailable {
						t.Errorf("%v", err)
					} else {
						t.Log(err)
					}
				}
				if took := time.Since(began); took > 2*s.cfg.Timeout {
					t.Errorf("it took %v", took)
				}
				for _, p := range s.peers {
					p.HangUp()
				}
				time.Sleep(time.Minute)
				for _, p := range s.peers {
					p.Odd = nil
				}
				if got := say(s.Find(t.Context(), addr("bob@example.org"))); !strings.HasPrefix(got, "account bob") {
					t.Error(got)
				}
			})
		})
	}
}

// No more are asked at a time than may be, each waits for its turn within its time, and who
// gives up leaves his place.
func TestBoundedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.end()
		for _, p := range s.peers {
			p.Odd = func(byte, int, io.Writer) bool { return true }
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { _, _ = s.Find(ctx, addr("alice@example.org")) })
		}
		synctest.Wait()
		began := time.Now()
		if _, err := s.Find(t.Context(), addr("bob@example.org")); mail.KindOf(err) != mail.Unavailable || time.Since(began) != s.cfg.Timeout {
			t.Error(err, time.Since(began))
		}
		if n := s.peers[0].Conns() + s.peers[1].Conns(); n > 2 {
			t.Errorf("%d connections", n)
		}
		cancel()
		all.Wait()
		for _, p := range s.peers {
			p.HangUp()
		}
		synctest.Wait()
		for _, p := range s.peers {
			p.Odd = nil
		}
		time.Sleep(Rest)
		if got := say(s.Find(t.Context(), addr("bob@example.org"))); !strings.HasPrefix(got, "account bob") {
			t.Error(got)
		}
	})
}

// TLS is spoken where it is wanted, and not with who is not the one: nothing else is said then.
func TestTLS(t *testing.T) {
	cert := certstest.New("one.test")
	for _, c := range []struct {
		name     string
		security Security
		peer     func(*ldappeer.Server)
		trusts   bool
		host     string
		want     string
	}{
		{"starttls", StartTLS, func(p *ldappeer.Server) { p.TLS = cert.Server() }, true, "one.test", ""},
		{"implicit", Implicit, func(p *ldappeer.Server) { p.TLS, p.Implicit = cert.Server(), true }, true, "one.test", ""},
		{"another name", StartTLS, func(p *ldappeer.Server) { p.TLS = cert.Server() }, true, "two.test", "its certificate is for another name"},
		{"unknown", Implicit, func(p *ldappeer.Server) { p.TLS, p.Implicit = cert.Server(), true }, false, "one.test", "nobody whom we trust has signed its certificate"},
		{"none", StartTLS, func(*ldappeer.Server) {}, true, "one.test", "it does not speak TLS: protocolError (no TLS here)"},
		{"early", StartTLS, func(p *ldappeer.Server) {
			p.Odd = func(_ byte, id int, w io.Writer) bool {
				var b bytes.Buffer
				ldappeer.Write(&b, id, 0x78, ldappeer.Result(0, ""))
				ldappeer.Write(&b, 2, 0x61, ldappeer.Result(0, ""))
				_, _ = w.Write(b.Bytes())
				return true
			}
		}, true, "one.test", "it sends something before TLS begins"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := x509.NewCertPool()
				if c.trusts {
					pool = cert.Client("one.test", tls.VersionTLS13).RootCAs
				}
				s := newSite(t, func(s *site, cfg *Config) {
					c.peer(s.peers[0])
					cfg.Servers = []Server{{Name: "one", Host: c.host, Security: c.security}}
					cfg.Roots = func() (*x509.CertPool, error) { return pool, nil }
				})
				defer s.end()
				_, err := s.Check(t.Context(), addr("alice@example.org"), "pw of alice")
				switch {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (mail.KindOf(err) != mail.Unavailable || !strings.Contains(err.Error(), c.want)):
					t.Errorf("%v, want %s", err, c.want)
				case c.want != "" && len(s.peers[0].Binds()) > 0:
					t.Errorf("somebody was let in: %q", s.peers[0].Binds())
				}
				for _, p := range s.Probe(t.Context()) {
					if (p.Err == nil) != (c.want == "") || p.Err == nil && p.TLS != "TLS 1.3" {
						t.Errorf("%+v", p)
					}
				}
			})
		})
	}
}
