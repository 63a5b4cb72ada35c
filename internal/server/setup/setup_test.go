package setup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/dns"
	"yubin/internal/engine/dnslist"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/config"
	"yubin/internal/world/machine"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew")

// fake is a machine that is not there, with files in a folder.
type fake struct {
	t       *testing.T
	root    string
	ports   map[uint16]machine.Program
	clock   machine.Clock
	own     []netip.Addr
	zone    string
	signed  bool
	deaf    bool // no name server answers
	users   map[string]int
	systemd bool
	running bool
	listed  netip.Addr
	fails   string // what does not work

	done   []string
	orders []Order
	there  map[string]bool // domains and accounts
	given  map[string][2]int
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, root: t.TempDir(), clock: machine.ClockKept, own: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		zone:   "mail.example.org. A 192.0.2.1\nmail.example.org. AAAA 2001:db8::1\n1.2.0.192.in-addr.arpa. PTR mail.example.org.\n1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.org.\n",
		signed: true, users: map[string]int{}, systemd: true, there: map[string]bool{}, given: map[string][2]int{}}
	if err := os.WriteFile(filepath.Join(f.root, "downloaded"), []byte("the program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fake) Program() (string, error)               { return filepath.Join(f.root, "downloaded"), nil }
func (f *fake) Clock() machine.Clock                   { return f.clock }
func (f *fake) Addresses() []netip.Addr                { return f.own }
func (f *fake) Systemd() bool                          { return f.systemd }
func (f *fake) Owner(string) (int, error)              { return f.users[user], nil }
func (f *fake) Version(context.Context, string) string { return "yubin 0.1.0" }

func (f *fake) Listening(ports ...uint16) (map[uint16]machine.Program, error) {
	found := map[uint16]machine.Program{}
	for _, p := range ports {
		if who, taken := f.ports[p]; taken {
			found[p] = who
		}
	}
	return found, nil
}

func (f *fake) Names() (Names, string, error) {
	return names{dnstest.NewFake(f.zone), f.signed, f.deaf}, "127.0.0.1", nil
}

// names is a DNS that validates, or does not.
type names struct {
	*dnstest.Fake
	signed, deaf bool
}

func (n names) Validates(context.Context) (bool, error) {
	if n.deaf {
		return false, &dns.Error{Failure: dns.Timeout}
	}
	return n.signed, nil
}

func (f *fake) User(name string) (uid, gid int, found bool, err error) {
	uid, found = f.users[name]
	return uid, uid, found, nil
}

func (f *fake) Listed(_ context.Context, c config.Config, at []netip.Addr) (found dnslist.Findings, err error) {
	if f.listed.IsValid() && slices.Contains(at, f.listed) {
		found.Found = []dnslist.Finding{{List: c.DNSLists[0].Name, Subject: dnslist.Subject{About: dnslist.Client, Addr: f.listed}, Weight: 3, Meaning: "sends junk"}}
	}
	return found, nil
}

func (f *fake) MakeUser(_ context.Context, name, home string) error {
	if f.fails == "user" {
		return errors.New("useradd: Permission denied.")
	}
	f.users[name] = 987
	f.done = append(f.done, "useradd "+name+" "+home)
	return nil
}

func (f *fake) Give(path string, uid, gid int) error {
	name, err := filepath.Rel(f.root, path)
	f.given["/"+name] = [2]int{uid, gid}
	return err
}

func (f *fake) Systemctl(_ context.Context, args ...string) error {
	if args[0] == "is-active" {
		if !f.running {
			return errors.New("inactive")
		}
		return nil
	}
	f.done = append(f.done, "systemctl "+strings.Join(args, " "))
	if f.fails == "start" && args[0] == "enable" {
		return errors.New("Job for yubin.service failed.")
	}
	f.running = f.running || args[0] == "enable"
	return nil
}

func (f *fake) Open(_ context.Context, c config.Config, file, program string, uid, gid int, o Order) (got Office, err error) {
	if f.fails == "open" {
		return got, errors.New("the database cannot be opened")
	}
	if uid != 987 || gid != 987 || program != programFile || !strings.HasSuffix(file, ConfigFile) || c.Hostname == "" {
		f.t.Errorf("opened with %d, %d, %s, %s", uid, gid, program, file)
	}
	f.orders = append(f.orders, o)
	got.DomainMade, got.AccountMade = !f.there[o.Domain], !f.there[o.Account]
	f.there[o.Domain], f.there[o.Account] = true, true
	got.Records = admin.DNSWanted{Domain: o.Domain, Host: string(c.Hostname)}
	return got, nil
}

// password is what changes from one run to the next.
var passwordForm = regexp.MustCompile(`[a-z2-7]{4}(-[a-z2-7]{4}){4}`)

// run runs a setup on the machine, and returns what it told.
func (f *fake) run(a Answers, change ...func(*Options)) (told string, failed bool, err error) {
	f.t.Helper()
	var b strings.Builder
	o := Options{Root: f.root, Machine: f, Consent: func(string, Step) bool { return false }, Tell: func(st Step) {
		fmt.Fprintf(&b, "%s %s: %s\n", st.State, st.Name, st.Text)
		for _, line := range st.Diff {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if st.Mend != "" {
			fmt.Fprintf(&b, "  do: %s\n", st.Mend)
		}
		if st.Password != "" {
			fmt.Fprintf(&b, "  password: %s\n", st.Password)
		}
	}}
	for _, c := range change {
		c(&o)
	}
	s := New(o)
	known, err := s.Known()
	if err == nil {
		s.Look(f.t.Context(), a, known)
		_, err = s.Make(f.t.Context(), a, known)
	}
	text := strings.ReplaceAll(b.String(), f.root, "ROOT")
	return passwordForm.ReplaceAllString(text, "PASSWORD"), s.Failed(), err
}

func wanted() Answers {
	return Answers{Host: "mail.example.org", Domain: "example.org", Account: mail.Address{Local: "alice", Domain: "example.org"},
		Email: mail.Address{Local: "alice", Domain: "example.org"}, Web: WebDirect}
}

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s:\n%s", name, d)
	}
}

// TestSetup: from an empty machine to a post office; run again nothing is to be done.
func TestSetup(t *testing.T) {
	f := newFake(t)
	told, failed, err := f.run(wanted(), func(o *Options) { o.DryRun = true })
	if err != nil || failed {
		t.Fatalf("%v, %v\n%s", failed, err, told)
	}
	golden(t, "dry.txt", told)
	if left, _ := os.ReadDir(f.root); len(left) != 1 || len(f.done)+len(f.orders) != 0 {
		t.Errorf("a dry run did %v, %v, and left %v", f.done, f.orders, left)
	}

	told, failed, err = f.run(wanted())
	if err != nil || failed {
		t.Fatalf("%v, %v\n%s", failed, err, told)
	}
	golden(t, "first.txt", told)
	if want := []string{"useradd yubin /var/lib/yubin", "systemctl daemon-reload", "systemctl enable --now yubin"}; !cmp.Equal(f.done, want) {
		t.Errorf("did %q", f.done)
	}
	if p := f.orders[0].Password; len(p) != 24 || !passwordForm.MatchString(p) {
		t.Errorf("the password is %q", p)
	}
	for path, want := range map[string]struct {
		mode os.FileMode
		of   [2]int
	}{
		ConfigFile:               {0o640, [2]int{0, 987}},
		"/etc/yubin":             {0o750 | os.ModeDir, [2]int{0, 987}},
		"/etc/yubin/secrets.key": {0o640, [2]int{0, 987}},
		dataDir:                  {0o700 | os.ModeDir, [2]int{987, 987}},
		unitFile:                 {0o644, [2]int{0, -1}},
		programFile:              {0o755, [2]int{0, -1}},
	} {
		info, err := os.Stat(filepath.Join(f.root, path))
		if err != nil || info.Mode() != want.mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		if got, there := f.given[path]; there && got != want.of {
			t.Errorf("%s belongs to %v, not %v", path, got, want.of)
		}
	}

	f.done = nil
	f.ports = map[uint16]machine.Program{25: {Name: "yubin", PID: 4711}, 993: {Name: "yubin", PID: 4711}}
	told, failed, err = f.run(wanted())
	if err != nil || failed {
		t.Fatalf("%v, %v\n%s", failed, err, told)
	}
	golden(t, "again.txt", told)
}

// TestSetupFiles: of a machine that is elsewhere nothing is looked at, and nothing but files is made.
func TestSetupFiles(t *testing.T) {
	f := newFake(t)
	f.ports, f.deaf, f.fails = map[uint16]machine.Program{25: {Name: "exim4", PID: 812}}, true, "open"
	told, failed, _ := f.run(wanted(), func(o *Options) { o.Files = true })
	if len(f.done)+len(f.given) != 0 || strings.Contains(told, "ports") || !strings.HasPrefix(told, "made program") || !failed {
		t.Errorf("did %v and %v:\n%s", f.done, f.given, told)
	}
}

// TestSetupConfiguration: what is written is a configuration that means what was answered.
func TestSetupConfiguration(t *testing.T) {
	for web, check := range map[Web]func(c config.Config) bool{
		WebDirect: func(c config.Config) bool {
			return c.ACME.On && c.ACME.Challenge == config.ChallengeTLS && len(c.Listeners) == 9
		},
		WebPath: func(c config.Config) bool {
			return c.ACME.On && c.ACME.Challenge == config.ChallengeHTTP && len(c.Listeners) == 9 && c.Listeners[8].Address == behindHTTPS
		},
		WebDNS: func(c config.Config) bool {
			return c.ACME.Challenge == config.ChallengeDNS && len(c.Listeners) == 7 && c.DNSUpdate.KeyFile == "/etc/yubin/dns.key" && c.DNSUpdate.Zones[0] == "example.org"
		},
		WebNone: func(c config.Config) bool { return !c.ACME.On && c.TLS.SelfSigned && len(c.Listeners) == 7 },
	} {
		a := wanted()
		a.Web = web
		a.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
		a.DNSServer, a.DNSKey = netip.MustParseAddrPort("192.0.2.53:53"), "/etc/yubin/dns.key"
		a.Authority, a.AuthorityRoot = "https://acme.example.net/directory", "/etc/yubin/root.pem"
		if err := a.Check(); err != nil {
			t.Fatal(err)
		}
		text := configText(a)
		c, err := config.Parse(ConfigFile, []byte(text))
		if err != nil || c.Hostname != a.Host || c.Data != dataDir || !cmp.Equal(c.Addresses, a.Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) || !check(c) || c.Watch.Selftest < 0 {
			t.Errorf("%s: %v\n%s", web, err, text)
		}
		if web != WebNone && (c.ACME.Email != a.Email || c.ACME.Directory != a.Authority || c.ACME.Root != a.AuthorityRoot) {
			t.Errorf("%s: %+v", web, c.ACME)
		}
		if got := webOf(c); got != web {
			t.Errorf("%s is taken for %s", web, got)
		}
	}
}

// TestSetupMachines: what is wrong with a machine is named, with what to do.
func TestSetupMachines(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fake, *Answers)
		want   []string
		failed bool
	}{
		"taken": {func(f *fake, _ *Answers) {
			f.ports = map[uint16]machine.Program{25: {Name: "exim4", PID: 812}}
		}, []string{"wrong ports: taken: 25 by exim4 (process 812)\n  do: stop it (for Debian's Exim: systemctl disable --now exim4)", "left start: ports are taken: 25 by exim4 (process 812)\n  do: free them, then systemctl enable --now yubin"}, true},
		"web": {func(f *fake, _ *Answers) {
			f.ports = map[uint16]machine.Program{80: {Name: "nginx", PID: 700}, 443: {Name: "nginx", PID: 700}}
		}, []string{"wrong ports: taken: 80 by nginx (process 700), 443 by nginx (process 700)\n  do: stop it; if it is a web server that is to stay: --web path"}, true},
		"behind": {func(f *fake, a *Answers) {
			f.ports = map[uint16]machine.Program{80: {Name: "nginx", PID: 700}, 443: {Name: "nginx", PID: 700}}
			a.Web = WebPath
		}, []string{"ok ports: all free", "made start: systemctl enable --now yubin"}, false},
		"unvalidated": {func(f *fake, _ *Answers) { f.signed = false },
			[]string{"warning resolver: the name server (127.0.0.1) does not validate, or is not believed", "do: apt-get install unbound"}, false},
		"deaf":  {func(f *fake, _ *Answers) { f.deaf = true }, []string{"wrong resolver: the name server (127.0.0.1) does not answer"}, true},
		"clock": {func(f *fake, _ *Answers) { f.clock = machine.ClockLeft }, []string{"warning clock: nothing keeps the clock of this machine right"}, false},
		"reverse": {func(f *fake, _ *Answers) {
			f.zone = "mail.example.org. A 192.0.2.1\nmail.example.org. AAAA 2001:db8::1\n1.2.0.192.in-addr.arpa. PTR host-1.provider.example.\n"
		}, []string{"warning reverse DNS: 192.0.2.1 leads to host-1.provider.example, not to mail.example.org", "warning reverse DNS: 2001:db8::1 leads to no name, not to mail.example.org"}, false},
		"private": {func(f *fake, _ *Answers) { f.own, f.zone = []netip.Addr{netip.MustParseAddr("10.0.0.5")}, "" },
			[]string{"warning addresses: no interface of this machine has an address that others reach", "do: say at which others reach it: --address 192.0.2.1"}, false},
		"routed": {func(f *fake, a *Answers) {
			f.own, f.zone, a.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.5")}, "", []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		}, []string{"ok addresses: 192.0.2.1", "ok IPv6: this machine has none", "warning host name: mail.example.org does not lead to 192.0.2.1 yet"}, false},
		"no systemd":  {func(f *fake, _ *Answers) { f.systemd = false }, []string{"left start: systemd does not run here; yubin serve starts the post office"}, false},
		"no user":     {func(f *fake, _ *Answers) { f.fails = "user" }, []string{"wrong user: yubin, who cannot log in: useradd: Permission denied.\n  do: mend it and run yubin setup again"}, true},
		"not opened":  {func(f *fake, _ *Answers) { f.fails = "open" }, []string{"wrong domain: the database cannot be opened"}, true},
		"not started": {func(f *fake, _ *Answers) { f.fails = "start" }, []string{"wrong start: systemctl enable --now yubin: Job for yubin.service failed.; journalctl -u yubin says why"}, true},
		"of a package": {func(f *fake, _ *Answers) {
			f.put("/usr/bin/yubin", "the program")
			f.put("/usr/lib/systemd/system/yubin.service", "the unit")
			f.fails = "open"
		}, []string{"ok program: /usr/bin/yubin, of a package", "ok service: /usr/lib/systemd/system/yubin.service, of a package"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			a := wanted()
			c.change(f, &a)
			told, failed, _ := f.run(a)
			for _, w := range c.want {
				if !strings.Contains(told, w) {
					t.Errorf("no %q", w)
				}
			}
			if failed != c.failed {
				t.Errorf("failed: %v", failed)
			}
			if t.Failed() {
				t.Logf("told:\n%s", told)
			}
		})
	}
}

func (f *fake) put(path, text string) {
	f.t.Helper()
	path = filepath.Join(f.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) get(path string) string {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.root, path))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// TestSetupGoesOn: interrupted at any step and run again, it ends as if it had not been.
func TestSetupGoesOn(t *testing.T) {
	for _, at := range []string{"user", "open", "start"} {
		f := newFake(t)
		f.fails = at
		if told, failed, err := f.run(wanted()); err == nil || !failed {
			t.Errorf("%s: %v, %v\n%s", at, failed, err, told)
		}
		f.fails = ""
		told, failed, err := f.run(wanted())
		if err != nil || failed || !strings.Contains(told, "systemctl enable --now yubin") || !f.there["alice@example.org"] {
			t.Errorf("after %s: %v, %v\n%s", at, failed, err, told)
		}
	}
}

// TestSetupKeepsWhatIsThere: what somebody wrote is shown as a difference, changed only with
// consent, and then only where it differs.
func TestSetupKeepsWhatIsThere(t *testing.T) {
	f := newFake(t)
	if told, _, err := f.run(wanted()); err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	own := strings.Replace(f.get(ConfigFile), `hostname = "mail.example.org"`, "# ours\nhostname = \"mx.example.org\"", 1) + "\n[limits]\nrecipients = 200\n"
	f.put(ConfigFile, own)
	f.put(unitFile, "[Service]\nExecStart=/opt/yubin\n")
	f.put(programFile, "another program")
	key := f.get("/etc/yubin/secrets.key")

	told, failed, err := f.run(wanted())
	if err != nil || !failed {
		t.Errorf("%v, %v", failed, err)
	}
	for _, want := range []string{
		"differs program: /usr/local/bin/yubin is another yubin (yubin 0.1.0)\n  do: --replace puts this one there\n",
		"differs configuration: /etc/yubin/yubin.toml has another hostname\n  - hostname = \"mx.example.org\"\n  + hostname = \"mail.example.org\"\n  do: --replace changes it; the other lines stay\n",
		"differs service: /etc/systemd/system/yubin.service is another one\n  + # Made by yubin setup.",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
	if f.get(ConfigFile) != own || f.get(programFile) != "another program" || !strings.Contains(f.get(unitFile), "/opt/yubin") {
		t.Error("something was changed without consent")
	}

	var asked []string
	told, failed, err = f.run(wanted(), func(o *Options) {
		o.Consent = func(what string, _ Step) bool { asked = append(asked, what); return true }
	})
	if err != nil || failed || len(asked) != 3 {
		t.Errorf("%v, %v, asked %q\n%s", failed, err, asked, told)
	}
	now := f.get(ConfigFile)
	if want := strings.Replace(own, "mx.example.org", "mail.example.org", 1); now != want {
		t.Errorf("the configuration is\n%s", now)
	}
	if !strings.Contains(told, "made start: systemctl restart yubin") {
		t.Errorf("the service goes on with what it began with:\n%s", told)
	}
	if f.get(programFile) != "the program" || strings.Contains(f.get(unitFile), "/opt/yubin") || f.get("/etc/yubin/secrets.key") != key {
		t.Error("what was agreed to was not done, or more than that")
	}
	if told, failed, err := f.run(wanted()); err != nil || failed || strings.Contains(told, "differs") {
		t.Errorf("%v, %v\n%s", failed, err, told)
	}

	const list = "\n[[dns_list]]\nname = \"alist\"\nzone = \"list.example\"\nabout = [\"client\"]\ncodes = [\"127.0.0.2 3 sends junk\"]\n"
	f.put(ConfigFile, own+list)
	if told, _, err := f.run(wanted()); err != nil || !strings.Contains(told, "ok lists: none that is asked") {
		t.Errorf("%v\n%s", err, told)
	}
	f.listed = f.own[0]
	if told, _, err := f.run(wanted()); err != nil || !strings.Contains(told, "warning lists: 192.0.2.1 is on the list alist: sends junk\n  do: ask the list") {
		t.Errorf("%v\n%s", err, told)
	}

	f.put(ConfigFile, "hostname = 7\n")
	if _, _, err := f.run(wanted()); err == nil || !strings.Contains(err.Error(), "hostname") {
		t.Errorf("a faulty configuration: %v", err)
	}
	f.put(ConfigFile, own)
	if err := os.Chmod(filepath.Join(f.root, "etc/yubin/secrets.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if told, _, err := f.run(wanted()); err == nil || !strings.Contains(told, "others can read") {
		t.Errorf("a key that others read: %v\n%s", err, told)
	}
}

// TestWithKey: one line of a configuration changes, wherever it is.
func TestWithKey(t *testing.T) {
	for _, c := range []struct {
		text string
		k    key
		want string
	}{
		{"a = 1\n[t]\na = 2\n", key{"", "a", "9"}, "a = 9\n[t]\na = 2\n"},
		{"a = 1\n[t]\na = 2\n", key{"t", "a", "9"}, "a = 1\n[t]\na = 9\n"},
		{"b = 1\n[t]\na = 2\n", key{"", "a", "9"}, "a = 9\nb = 1\n[t]\na = 2\n"},
		{"[t]\n[u]\na = 2\n", key{"t", "a", "9"}, "[t]\na = 9\n[u]\na = 2\n"},
		{"b = 1\n", key{"t", "a", "9"}, "b = 1\n\n[t]\na = 9\n"},
		{"[t]", key{"t", "a", "9"}, "[t]\na = 9\n"},
		{"", key{"", "a", "9"}, "a = 9\n"},
	} {
		if got := withKey(c.text, c.k); got != c.want {
			t.Errorf("%q with %v: %q, want %q", c.text, c.k, got, c.want)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"a\nb\nc\n", "a\nb\nc\n", ""},
		{"a\nb\nc\n", "a\nx\nc\n", "- b+ x"},
		{"a\nb\n", "b\na\n", "- a+ a"},
		{"a\n", "a\nb\n", "+ b"},
		{strings.Repeat("a\n", maxDiff+1), "b\n", fmt.Sprintf("- %d lines+ 1 lines", maxDiff+1)},
	} {
		if got := strings.Join(diff(c.from, c.to), ""); got != c.want {
			t.Errorf("%q to %q: %q, want %q", cut(c.from), cut(c.to), got, c.want)
		}
	}
}

func cut(s string) string { return s[:min(len(s), 20)] }

// TestAnswers: what is missing is said; what is not answered is proposed.
func TestAnswers(t *testing.T) {
	for want, change := range map[string]func(*Answers){
		"host name":      func(a *Answers) { a.Host = "" },
		"domain must be": func(a *Answers) { a.Domain = "[192.0.2.1]" },
		"is not of the":  func(a *Answers) { a.Account.Domain = "example.net" },
		"e-mail address": func(a *Answers) { a.Email = mail.Address{} },
		"takes updates":  func(a *Answers) { a.Web = WebDNS },
	} {
		a := wanted()
		change(&a)
		if err := a.Check(); mail.KindOf(err) != mail.Invalid || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if a := Propose(Answers{}, "mail.example.org", nil); a.Host != "mail.example.org" || a.Web != WebDirect {
		t.Errorf("proposed: %+v", a)
	}
	if a := Propose(Answers{}, "localhost", nil); a.Host != "" {
		t.Errorf("proposed: %+v", a)
	}
	known := &Known{Host: "mx.example.org", Email: mail.Address{Local: "bob", Domain: "example.org"}, Web: WebPath}
	if a := Propose(Answers{}, "mail.example.org", known); a.Host != known.Host || a.Email != known.Email || a.Web != known.Web {
		t.Errorf("proposed: %+v", a)
	}
}
