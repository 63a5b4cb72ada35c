package courier

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/hosts"
	"yubin/internal/engine/password"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// nothing keeps nothing of accounts.
type nothing struct{}

func (nothing) CreateAccount(*sqldb.Tx, mail.AccountID) error { return nil }
func (nothing) DeleteAccount(*sqldb.Tx, mail.AccountID) error { return nil }

// router routes by w's names and addresses.
func (w *world) router() *route.Router {
	db, err := sqldb.Open(w.t.Context(), sqldb.Options{Path: filepath.Join(w.t.TempDir(), "yubin.db")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close() })
	dir, err := directory.Open(w.t.Context(), directory.Options{DB: db, Accounts: nothing{},
		Cost: password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 16, HashMemory: 256})
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := route.Open(w.t.Context(), route.Options{DB: db, Directory: dir, Hostname: "mail.client.example", Ourselves: w, Now: time.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

var addressInStep = regexp.MustCompile(`(?:[\d.]+|\[[\da-f:]+\]):\d+`)

// explained is what the steps say in the words of carried.
func explained(steps []route.Step) string {
	var dialed []string
	for _, s := range steps {
		if s.About == "host" {
			dialed = append(dialed, addressInStep.FindAllString(s.Says, -1)...)
		}
	}
	if len(dialed) > 0 {
		return "tries " + strings.Join(dialed[:min(len(dialed), hosts.MaxAddresses)], " ")
	}
	says := steps[len(steps)-1].Says
	says = strings.Replace(says, "returned to the sender: ", "failed: ", 1)
	return strings.TrimSuffix(says, "; it is tried again until the message expires")
}

// carried is what became of a message to hosts that nobody can connect to: what
// was tried, else the status and the text that the sender is told.
func (w *world) carried(r mail.Result) string {
	if len(w.dialed) > 0 {
		return "tries " + strings.Join(w.dialed, " ")
	}
	a := r.Decisive()
	return fmt.Sprintf("%s: %s %s", r.Outcome, a.Enhanced, a.Text)
}

// TestExplanationIsWhatIsDone: for the same DNS, `route explain` tells the hosts and
// addresses that the courier tries, in its order, or the words in which it fails.
func TestExplanationIsWhatIsDone(t *testing.T) {
	fails := func(n dns.Name, of dns.Type, f dns.Failure) func(*world) {
		return func(w *world) { w.dns.Fail(n, of, f) }
	}
	cases := []struct {
		name  string
		to    mail.Domain
		hosts []string // of a route
		prep  func(*world)
		want  string // how the answer begins
	}{
		{"two exchangers", "example.net", nil, nil, "tries 192.0.2.1:25 192.0.2.2:25"},
		{"two of equal preference", "same.example", nil, nil, "tries 192.0.2.1:25 192.0.2.2:25"},
		{"both families", "two.example", nil, nil, "tries [2001:db8::1]:25 192.0.2.1:25"},
		{"null MX", "null.example", nil, nil, "failed: 5.1.10 the domain null.example takes no mail"},
		{"no MX record", "implicit.example", nil, nil, "tries 192.0.2.1:25"},
		{"no MX record and no address", "noaddr.example", nil, nil, "failed: 5.4.4 "},
		{"no such domain", "no.example", nil, nil, "failed: 5.1.2 "},
		{"one without address", "half.example", nil, nil, "tries 192.0.2.2:25"},
		{"none of use", "unusable.example", nil, nil, "failed: 5.4.4 "},
		{"none of use, one perhaps later", "unusable.example", nil, fails("nowhere.example", 0, dns.ServFail), "deferred: 4.4.3 the address of nowhere.example "},
		{"an alias", "alias.example", nil, nil, "tries 192.0.2.1:25 192.0.2.2:25"},
		{"an alias as exchanger", "mxalias.example", nil, nil, "tries 192.0.2.1:25"},
		{"aliases in a loop", "loop.example", nil, nil, "deferred: 4.4.3 "},
		{"no answer", "example.net", nil, fails("example.net", dns.TypeMX, dns.Timeout), "deferred: 4.4.3 the mail servers of example.net "},
		{"no answer about the best", "example.net", nil, fails("mx1.example.net", 0, dns.Timeout), "tries 192.0.2.2:25"},
		{"we are the best", "ours.example", nil, nil, "failed: 5.4.6 "},
		{"we are in the middle", "backup.example", nil, nil, "tries 192.0.2.1:25"},
		{"we are in the middle, by address", "byaddress.example", nil, nil, "tries 192.0.2.1:25"},
		{"the one before us cannot be looked up", "byaddress.example", nil, fails("mx1.example.net", 0, dns.ServFail), "deferred: 4.4.3 "},
		{"loopback", "loopback.example", nil, nil, "failed: 5.4.6 "},
		{"no address in particular", "any.example", nil, nil, "failed: 5.4.6 "},
		{"a literal", "[192.0.2.1]", nil, nil, "tries 192.0.2.1:25"},
		{"our literal", "[127.0.0.1]", nil, nil, "failed: 5.4.6 "},
		{"more hosts than are looked up", "void.example", nil, func(w *world) {
			for i := range hosts.MaxHosts + 1 {
				if err := w.dns.Add(fmt.Sprintf("void.example. MX %d void%d.example.", i, i)); err != nil {
					t.Fatal(err)
				}
			}
		}, "deferred: 4.4.1 not all hosts could be tried"},
		{"more addresses than are tried", "wide.example", nil, func(w *world) {
			for i := range hosts.MaxAddresses + 3 {
				if err := w.dns.Add(fmt.Sprintf("wide.example. MX %d w%d.example.\nw%d.example. A 198.51.100.%d", i, i, i, i+1)); err != nil {
					t.Fatal(err)
				}
			}
		}, "tries 198.51.100.1:25 198.51.100.2:25 198.51.100.3:25 "},
		{"hosts of a route", "routed.example", []string{"192.0.2.7:26", "nowhere.example", "relay.example:2525"}, nil, "tries 192.0.2.7:26 192.0.2.9:2525"},
		{"a host of a route that does not exist", "routed.example", []string{"nowhere.example"}, nil, "deferred: 4.4.4 "},
		{"a host of a route on loopback", "routed.example", []string{"127.0.0.1:26"}, nil, "tries 127.0.0.1:26"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.prep != nil {
				c.prep(w)
			}
			r := w.router()
			if len(c.hosts) > 0 {
				way := route.Route{Name: "way", Action: route.SMTP, To: []route.Pattern{{Domain: c.to}}}
				for _, text := range c.hosts {
					h, err := route.ParseHost(text)
					if err != nil {
						t.Fatal(err)
					}
					way.Hosts = append(way.Hosts, h)
				}
				if _, err := r.SetRoute(t.Context(), way); err != nil {
					t.Fatal(err)
				}
			}
			q := route.Question{Recipient: mail.Address{Local: "b", Domain: c.to}, Account: 1}
			steps, err := r.Explain(t.Context(), q, w.dns)
			if err != nil {
				t.Fatal(err)
			}
			hop, _, err := r.NextHop(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			courier := w.courier(IdleLimits{})
			courier.cfg.Finder.Shuffle = hosts.InOrder
			result := courier.Carry(t.Context(), hop, post("b"))[0]
			said, did := explained(steps), w.carried(result)
			if said != did || !strings.HasPrefix(did, c.want) {
				t.Errorf("explained: %s\nand done: %s\nwanted:   %s", said, did, c.want)
			}
		})
	}
}
