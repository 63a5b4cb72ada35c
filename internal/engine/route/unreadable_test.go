package route

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// damaged is the house after a query went behind the router's back, opened anew,
// and what it wrote in its log.
func (h *house) damaged(query string) string {
	h.t.Helper()
	h.must(h.db.Write(h.t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(query)
		return err
	}))
	var log bytes.Buffer
	var err error
	h.Router, err = Open(h.t.Context(), Options{DB: h.db, Directory: h.dir, Hostname: "mx.yubin.test", Ourselves: ourselves{},
		Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	h.must(err)
	return log.String()
}

func (h *house) problems() (list []string) {
	h.must(h.Check(h.t.Context(), func(p string) { list = append(list, p) }))
	return list
}

// TestUnreadableRoutes: a row that cannot be read stops none of the others, opens
// nothing, is shown and told of, and can be removed.
func TestUnreadableRoutes(t *testing.T) {
	const off = "unavailable: the route bad cannot be read"
	for _, tc := range []struct {
		name, damage string
		to, want     string // of what the row was for
		left         string // what is there once it is removed
	}{
		{"action", `UPDATE route_route SET action = 'fly' WHERE name = 'bad'`, "x@bad.example", off, "good"},
		{"hosts", `UPDATE route_route SET hosts = ':' WHERE name = 'bad'`, "x@bad.example", off, "good"},
		{"number", `UPDATE route_route SET port = 'high' WHERE name = 'bad'`, "x@bad.example", off, "good"},
		{"TLS", `UPDATE route_route SET tls = 'maybe' WHERE name = 'bad'`, "x@bad.example", off, "good"},
		{"row", `DELETE FROM route_route WHERE name = 'bad'`, "x@bad.example", off, "good"},
		{"side", `UPDATE route_pattern SET side = 'up' WHERE pattern = 'bad.example'`, "x@bad.example", off, "good"},
		{"pattern", `UPDATE route_pattern SET pattern = 'bad..example' WHERE pattern = 'bad.example'`, "x@bad.example", "MX>x@bad.example", "good"},
	} {
		if tc.name == "number" && dbtest.OnServer() {
			continue // A column of numbers has nothing else there.
		}
		t.Run(tc.name, func(t *testing.T) {
			h := open(t)
			h.set("good", "good.example", "")
			h.set("bad", "bad.example other.example alice@yubin.test", "", reject)
			log := h.damaged(tc.damage)
			h.want(ask(tc.to, "", loggedIn), tc.want)
			h.want(ask("x@good.example", "", loggedIn), "good>x@good.example")
			h.want(ask("x@third.example", "", loggedIn), "MX>x@third.example")
			h.want(ask("bob", ""), "2")
			if tc.want == off {
				h.wantNext(ask(tc.to, ""), off)
			}
			bad, err := h.Lookup("bad")
			h.must(err)
			problems := h.problems()
			if bad.Unreadable == "" || len(problems) != 1 || !strings.Contains(problems[0], "route bad cannot be read") ||
				strings.Count(log, "cannot be read") != 1 || !strings.Contains(log, "route bad") {
				t.Errorf("shown %q, found %q, log %s", bad.Unreadable, problems, log)
			}
			steps, err := h.Explain(t.Context(), ask(tc.to, "", loggedIn), nil)
			if tc.want == off && (err != nil || steps[len(steps)-1].Says != "put off at RCPT: the route bad cannot be read") {
				t.Errorf("explained %+v, %v", steps, err)
			}
			h.must(h.RemoveRoute(t.Context(), "bad"))
			if got := names(h.Routes()); got != tc.left {
				t.Errorf("left %s", got)
			}
			h.want(ask(tc.to, "", loggedIn), "MX>"+tc.to)
		})
	}
}

// TestUnreadableRouteIsSetAnew: the command that makes a route makes one of what
// cannot be read.
func TestUnreadableRouteIsSetAnew(t *testing.T) {
	h := open(t)
	h.set("bad", "bad.example", "")
	h.damaged(`UPDATE route_route SET hosts = '' WHERE name = 'bad'`)
	bad, err := h.Lookup("bad")
	h.must(err)
	bad.Hosts = parseHosts("bad.example:26")
	made, err := h.SetRoute(t.Context(), bad)
	if err != nil || made.Unreadable != "" {
		t.Fatalf("%+v, %v", made, err)
	}
	h.want(ask("x@bad.example", "", loggedIn), "bad>x@bad.example")
}

// TestUnreadableRelay: what a route that cannot be read may have let through is put
// off, neither refused for good nor taken; and it reaches into no alias.
func TestUnreadableRelay(t *testing.T) {
	h := open(t)
	h.set("bad", "bad.example", "", relay)
	h.alias("team", "bob", "x@bad.example")
	h.alias("away", "x@bad.example")
	h.damaged(`UPDATE route_route SET tls = 'maybe' WHERE name = 'bad'`)
	h.want(ask("x@bad.example", ""), "unavailable: the route bad cannot be read")
	h.want(ask("x@other.example", ""), "forbidden: relaying denied")
	h.want(ask("away", ""), "unavailable: the route bad cannot be read")
	h.want(ask("team", ""), "2 bad>x@bad.example") // It waits in the queue.
	h.wantNext(ask("x@bad.example", ""), "unavailable: the route bad cannot be read")
	h.must(h.RemoveRoute(t.Context(), "bad"))
}

// TestUnreadableNetwork: a network that cannot be read is not trusted, the others
// are, and it can be removed by what stands there.
func TestUnreadableNetwork(t *testing.T) {
	for _, text := range []string{"no network", "192.0.2.0/99", "0.0.0.0/0"} {
		t.Run(text, func(t *testing.T) {
			h := open(t)
			h.must(h.Trust(t.Context(), mustNetwork("192.0.2.0/24")))
			h.must(h.Trust(t.Context(), mustNetwork("198.51.100.0/24")))
			log := h.damaged(`UPDATE route_network SET network = '` + text + `' WHERE network = '192.0.2.0/24'`)
			h.want(ask("x@a.example", "", client("192.0.2.1")), "forbidden: relaying denied")
			h.want(ask("x@a.example", "", client("198.51.100.1")), "MX>x@a.example")
			lost := h.LostNetworks()
			if len(lost) != 1 || lost[0].Name != text || lost[0].Why == "" || len(h.problems()) != 1 || !strings.Contains(log, "not trusted") {
				t.Fatalf("shown %+v, found %q, log %s", lost, h.problems(), log)
			}
			wantKind(t, h.Untrust(t.Context(), "other"), mail.NotFound)
			h.must(h.Untrust(t.Context(), text))
			if len(h.LostNetworks()) != 0 {
				t.Error("it is there still")
			}
		})
	}
}
