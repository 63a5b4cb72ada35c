package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"yubin/internal/dns"
	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/mail"
	"yubin/internal/world/certs"
	"yubin/internal/world/netx"
	"yubin/internal/world/resolver"
	"yubin/internal/world/sqldb"
)

const (
	document  = "../../../docs/metrics.md"
	dashboard = "../../../deploy/grafana-dashboard.json"
)

// everything gathers metrics of a server on which everything happened.
func everything(t *testing.T) (families []*dto.MetricFamily) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Now: time.Now, Version: "1"})
		q := &fakeQueue{sites: []queue.SiteStatus{{Site: "mx:example.org"}}}
		m.Watch(Sources{Queue: q, Folder: folder,
			Listeners: func() []Listener { return []Listener{{"imap", "imaps", netx.Stats{}}} },
			Bans:      func() int { return 1 }, Held: func() int { return 1 },
			Sizes:        func() (sqldb.Sizes, error) { return sqldb.Sizes{}, nil },
			Traffic:      func() sqldb.Traffic { return sqldb.Traffic{Most: 1} },
			Certificates: func() []certs.Info { return []certs.Info{{Files: certs.Files{Cert: "/tls/cert.pem"}}} },
			Memory:       func() []Memory { return []Memory{{Use: "sessions"}, {Use: "views"}} }})
		go m.Run(t.Context())
		observe(m)
		m.Record(journal.Entry{Kind: journal.Accepted, Service: "mx"})
		m.Record(journal.Entry{Kind: journal.Refused, Service: "mx", Enhanced: "5.1.1"})
		for _, err := range []error{nil, mail.Errorf(mail.Forbidden, ""), mail.Errorf(mail.RateLimited, ""), mail.Errorf(mail.Internal, "")} {
			m.Login(err)
		}
		m.Commit(sqldb.Commit{Writes: 1})
		for _, result := range []string{"continue", "accept", "discard", "defer", "reject", "down", "skipped"} {
			m.Filter("clam", result, time.Second)
		}
		for o := dnslist.NotListed; o <= dnslist.Refused; o++ {
			m.List("bl", o.String())
		}
		m.ListAsked("bl", true)
		m.Certificate("mx.example.org", nil)
		m.Ban("wrong password")
		m.SendingLimited()
		m.SendingHeld()
		for f := dns.None; f <= dns.Canceled; f++ {
			for s := resolver.Asked; s <= resolver.Cached; s++ {
				m.Lookup(resolver.Lookup{Failure: f, Source: s})
			}
		}
		var err error
		if families, err = m.registry.Gather(); err != nil {
			t.Fatal(err)
		}
	})
	return families
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var row = regexp.MustCompile("(?m)^\\| `(yubin_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")

// TestDocument: the document has a row for each metric, with its type and its
// labels, and no other row.
func TestDocument(t *testing.T) {
	var documented []string
	for _, r := range row.FindAllStringSubmatch(read(t, document), -1) {
		labels := regexp.MustCompile("[a-z]+").FindAllString(r[3], -1)
		slices.Sort(labels)
		documented = append(documented, fmt.Sprint(r[1], " ", r[2], " ", labels))
	}
	var there []string
	for _, f := range everything(t) {
		if strings.HasPrefix(f.GetName(), "yubin_") {
			var labels []string
			for _, l := range f.Metric[0].Label {
				labels = append(labels, l.GetName())
			}
			there = append(there, fmt.Sprint(f.GetName(), " ", strings.ToLower(f.GetType().String()), " ", labels))
		}
	}
	slices.Sort(documented)
	if want := slices.Compact(slices.Clone(documented)); len(want) != len(documented) {
		t.Error("a metric has two rows")
	}
	if !slices.Equal(documented, there) {
		t.Errorf("documented, but not there: %q\nthere, but not documented so: %q", without(documented, there), without(there, documented))
	}
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

// TestDocumentedValues: the document names every value of the labels that have
// a fixed list of them.
func TestDocumentedValues(t *testing.T) {
	text := read(t, document)
	for _, f := range everything(t) {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				free := []string{"service", "reason", "site", "filter", "list", "certificate", "mount", "version", "goversion"}
				if strings.HasPrefix(f.GetName(), "yubin_") && !slices.Contains(free, l.GetName()) && !strings.Contains(text, `"`+l.GetValue()+`"`) {
					t.Errorf("%s: %s=%q is not documented", f.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
}

// use is one selector in an expression: a metric and its label matchers.
var (
	use     = regexp.MustCompile(`\b((?:yubin|go|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher = regexp.MustCompile(`([a-z]+)(=~|=)"([^"]*)"`)
)

// checkExpression wants every metric of an expression, and every value that it
// asks a label for, to exist.
func checkExpression(families []*dto.MetricFamily, expr string) (wrong []string) {
	for _, u := range use.FindAllStringSubmatch(expr, -1) {
		f := familyOf(families, u[1])
		if f == nil {
			wrong = append(wrong, u[1]+" does not exist")
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(u[2], -1) {
			for _, value := range strings.Split(m[3], "|") {
				if m[1] != "job" && !strings.HasPrefix(value, "$") && !hasLabel(f, m[1], value) {
					wrong = append(wrong, fmt.Sprintf("%s has no %s=%q", u[1], m[1], value))
				}
			}
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") {
		wrong = append(wrong, "parentheses")
	}
	return wrong
}

// familyOf finds a metric by its name in expressions: those of a histogram have
// an ending.
func familyOf(families []*dto.MetricFamily, name string) *dto.MetricFamily {
	for _, f := range families {
		if f.GetName() == name && f.GetType() != dto.MetricType_HISTOGRAM {
			return f
		}
		for _, ending := range []string{"_bucket", "_sum", "_count"} {
			if f.GetName()+ending == name && f.GetType() == dto.MetricType_HISTOGRAM {
				return f
			}
		}
	}
	return nil
}

func hasLabel(f *dto.MetricFamily, name, value string) bool {
	return slices.ContainsFunc(f.Metric, func(m *dto.Metric) bool {
		return slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value })
	})
}

var ruleLine = regexp.MustCompile(`(?m)^ +expr: (.*)$`)

// TestAlerts: what the document proposes asks for what there is.
func TestAlerts(t *testing.T) {
	families := everything(t)
	families = append(families, sometimes(t)...)
	rules := ruleLine.FindAllStringSubmatch(read(t, document), -1)
	if len(rules) < 8 {
		t.Errorf("%d rules", len(rules))
	}
	for _, r := range rules {
		for _, wrong := range checkExpression(families, r[1]) {
			t.Errorf("%s: %s", r[1], wrong)
		}
	}
}

// sometimes are metrics of this process that a clock of its own hides.
func sometimes(t *testing.T) []*dto.MetricFamily {
	families, err := New(Options{Now: time.Now}).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return strings.HasPrefix(f.GetName(), "yubin_") })
}

// TestCheckExpression: the check above can fail.
func TestCheckExpression(t *testing.T) {
	families := everything(t)
	for expr, want := range map[string]int{
		`rate(yubin_commit_seconds_bucket[5m])`:                        0,
		`rate(yubin_commit_seconds[5m])`:                               1,
		`yubin_nothing`:                                                1,
		`yubin_sites{state="down"} + yubin_sites{state="nowhere"}`:     1,
		`yubin_dns_lookups_total{result=~"timeout|servfail|lost"}`:     1,
		`sum(rate(yubin_queue_attempts_total{outcome="deferred"}[5m])`: 1,
	} {
		if wrong := checkExpression(families, expr); len(wrong) != want {
			t.Errorf("%s: %q, want %d", expr, wrong, want)
		}
	}
}

// panel is what is looked at of a dashboard.
type panel struct {
	ID      int
	Title   string
	Type    string
	Targets []struct{ Expr, RefID string }
	Panels  []panel
	GridPos struct{ X, Y, W, H int }
}

// TestDashboard: it is what Grafana imports, its panels do not overlap, and
// they ask for what there is.
func TestDashboard(t *testing.T) {
	var d struct {
		UID, Title string
		Panels     []panel
		Templating struct{ List []struct{ Name, Type string } }
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 10 || len(d.Templating.List) == 0 {
		t.Errorf("%q %q has %d panels", d.UID, d.Title, len(d.Panels))
	}
	families := append(everything(t), sometimes(t)...)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 {
			t.Errorf("panel %d %q is not whole", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if there := cells[[2]int{x, y}]; there != "" {
					t.Fatalf("panels %q and %q overlap", there, p.Title)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			for _, wrong := range checkExpression(families, target.Expr) {
				t.Errorf("panel %q: %s: %s", p.Title, target.Expr, wrong)
			}
			if !use.MatchString(target.Expr) {
				t.Errorf("panel %q asks for nothing: %q", p.Title, target.Expr)
			}
		}
	}
}
