package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"yubin/internal/engine/dnslist"
	"yubin/internal/mail"
	"yubin/internal/server"
	"yubin/internal/server/admin"
	"yubin/internal/server/setup"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/machine"
	"yubin/internal/world/resolver"
)

type setupCmd struct {
	Host    string `help:"The name of this machine in the DNS: mail.example.org." placeholder:"NAME"`
	Domain  string `help:"The first domain whose mail comes here: example.org." placeholder:"DOMAIN"`
	Account string `help:"The first account: alice, or alice@example.org." placeholder:"ADDRESS"`
	Email   string `help:"Of your account with the authority that makes certificates, Let's Encrypt; who gives it agrees to its terms." placeholder:"ADDRESS"`

	Web       string   `help:"How the web is reached: direct (ports 80 and 443 are yubin's), path (another web server has them and passes on what is yubin's), dns (an authority looks into the DNS), none (no certificate is ordered)." enum:",direct,path,dns,none" default:"" placeholder:"WAY"`
	Address   []string `help:"At which others reach this machine, if they are not those of its interfaces." placeholder:"IP"`
	DNSServer string   `help:"With --web dns: the name server that takes updates of the zone." placeholder:"IP[:PORT]"`
	DNSKey    string   `name:"dns-key" help:"With --web dns: the file of the key for them (TSIG)." placeholder:"FILE"`
	Authority string   `help:"The URL of another authority's directory (ACME)." placeholder:"URL"`

	AuthorityRoot     string `help:"The file of who signs that authority's own server, if the system does not know it." placeholder:"FILE"`
	PasswordStdin     bool   `help:"Read the password of the account from the first line of the standard input. Without it one is made, and shown once."`
	AllowWeakPassword bool   `help:"Take a password that is soon guessed: short, common, or made of the address."`

	Yes     bool   `help:"Ask nothing. What is there and differs stays, unless --replace is given."`
	Replace bool   `help:"Change what is there and differs: lines of the configuration, the service, the program."`
	DryRun  bool   `help:"Look, say what would be made, and make nothing."`
	NoStart bool   `help:"Do not start the service."`
	Root    string `help:"Take this folder for the root of a machine: files are made there, no user and no service." type:"path" placeholder:"DIR"`
}

func (c *setupCmd) Run(e *env) error {
	asks := !c.Yes && !c.DryRun && !e.json
	in, terminal := e.stdin.(*os.File)
	terminal = terminal && term.IsTerminal(int(in.Fd()))
	switch {
	case asks && !terminal:
		return usagef("there is no terminal to ask; say what is wanted by flags, with --yes or --dry-run")
	case e.json && !c.Yes && !c.DryRun:
		return usagef("--json asks nothing: give --yes or --dry-run with it")
	case c.Root == "" && !c.DryRun && os.Geteuid() != 0:
		return usagef("it makes a user and a service: run it as root (sudo yubin setup), look with --dry-run, or make files elsewhere with --root DIR")
	}
	if c.Root == "/" {
		c.Root = ""
	}
	here := thisMachine{e, c.Root}
	o := setup.Options{Root: c.Root, Files: c.Root != "", Machine: here, DryRun: c.DryRun, NoStart: c.NoStart, Tell: e.tellStep,
		Consent: func(string, setup.Step) bool { return c.Replace }}
	questions := bufio.NewReader(e.stdin)
	if asks {
		o.Consent = func(what string, st setup.Step) bool {
			e.tellStep(st)
			return c.Replace || e.agrees(questions, what+"?", false)
		}
	}
	s := setup.New(o)
	known, err := s.Known()
	if err != nil {
		return err
	}
	a, err := c.answers()
	if err != nil {
		return err
	}
	a = e.proposed(here, a, known)
	if asks {
		if a, err = e.questions(questions, c, a); err != nil {
			return err
		}
	}
	if c.PasswordStdin {
		if a.Password, err = passwordLine(questions); err != nil {
			return err
		}
	}
	if err := a.Check(); err != nil {
		return err
	}
	return c.make(e, s, o, a, known, func() bool {
		return !asks || e.agrees(questions, "make all this?", true)
	})
}

// make looks, and makes what is wanted once somebody agreed.
func (c *setupCmd) make(e *env, s *setup.Setup, o setup.Options, a setup.Answers, known *setup.Known, agreed func() bool) error {
	s.Look(e.ctx, a, known)
	if !c.Yes && !c.DryRun {
		plan := o
		plan.DryRun = true
		if _, err := setup.New(plan).Make(e.ctx, a, known); err != nil {
			return err
		}
	}
	if !agreed() {
		e.tell("nothing was made")
		return errSilent
	}
	office, err := s.Make(e.ctx, a, known)
	if err != nil {
		return err
	}
	if !e.json && !c.DryRun {
		e.sayWhatNext(a, office)
	}
	if s.Failed() {
		return errSilent
	}
	return nil
}

// answers are what the flags say.
func (c *setupCmd) answers() (a setup.Answers, err error) {
	a = setup.Answers{Web: setup.Web(c.Web), Authority: c.Authority, AllowWeak: c.AllowWeakPassword}
	if c.Host != "" {
		if a.Host, err = mail.ParseDomain(c.Host); err != nil {
			return a, usagef("--host: %v", err)
		}
	}
	if c.Domain != "" {
		if a.Domain, err = mail.ParseDomain(c.Domain); err != nil {
			return a, usagef("--domain: %v", err)
		}
	}
	if c.Email != "" {
		if a.Email, err = mail.ParseAddress(c.Email); err != nil {
			return a, usagef("--email: %v", err)
		}
	}
	if a.Account, err = accountOf(c.Account, a.Domain); err != nil {
		return a, usagef("--account: %v", err)
	}
	for _, text := range c.Address {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
			return a, usagef("--address must be an IP address, such as 192.0.2.1, not %q", text)
		}
		a.Addresses = append(a.Addresses, addr.Unmap())
	}
	if c.DNSServer != "" {
		if a.DNSServer, err = config.ParseServer(c.DNSServer); err != nil {
			return a, usagef("--dns-server must be an IP address, with a port if it is not 53, not %q", c.DNSServer)
		}
	}
	for flag, path := range map[*string]string{&a.DNSKey: c.DNSKey, &a.AuthorityRoot: c.AuthorityRoot} {
		if *flag = path; path != "" { // The configuration is in another folder.
			if *flag, err = filepath.Abs(path); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// accountOf is an address, or a name at the domain; zero if nothing was said, or the domain
// is not known yet.
func accountOf(text string, d mail.Domain) (mail.Address, error) {
	switch {
	case text == "" || !strings.Contains(text, "@") && d == "":
		return mail.Address{Local: text}, nil
	case !strings.Contains(text, "@"):
		text += "@" + string(d)
	}
	return mail.ParseAddress(text)
}

// proposed fills in what follows from what is there, and from the answers so far.
func (e *env) proposed(m thisMachine, a setup.Answers, known *setup.Known) setup.Answers {
	hostname, _ := os.Hostname()
	a = setup.Propose(a, hostname, known)
	if known != nil && a.Domain == "" {
		if o, err := m.first(e.ctx, known.Config); err == nil && o.First != "" {
			a.Domain = mail.Domain(o.First)
			if first, err := mail.ParseAddress(o.FirstAccount); err == nil && a.Account.IsZero() {
				a.Account = first
			}
		}
	}
	if a.Domain == "" && a.Host != "" {
		a.Domain = a.Host
		if _, above, _ := strings.Cut(string(a.Host), "."); strings.Contains(above, ".") {
			a.Domain = mail.Domain(above)
		}
	}
	if a.Account.Domain == "" && a.Domain != "" {
		a.Account = mail.Address{Local: cmp.Or(a.Account.Local, "postmaster"), Domain: a.Domain}
	}
	return a
}

// questions asks what no flag said.
func (e *env) questions(in *bufio.Reader, c *setupCmd, a setup.Answers) (setup.Answers, error) {
	var err error
	if c.Host == "" {
		a.Host, err = asked(e, in, "name of this machine in the DNS", string(a.Host), mail.ParseDomain)
	}
	if err == nil && c.Domain == "" {
		a = e.proposed(thisMachine{e, c.Root}, a, nil)
		was := a.Domain
		if a.Domain, err = asked(e, in, "first domain whose mail comes here", string(a.Domain), mail.ParseDomain); a.Domain != was {
			a.Account.Domain = a.Domain
		}
	}
	if err == nil && (c.Account == "" || a.Account.Domain == "") {
		a.Account, err = asked(e, in, "first account", a.Account.String(), func(text string) (mail.Address, error) { return accountOf(text, a.Domain) })
	}
	if err != nil || c.Email != "" || c.Web == string(setup.WebNone) {
		return a, err
	}
	proposal := a.Email.String()
	if a.Email.IsZero() {
		proposal = a.Account.String()
	}
	e.tell("certificates are made by %s; who gives an e-mail address agrees to its terms (none: no certificate is ordered)", cmp.Or(c.Authority, "Let's Encrypt"))
	a.Email, err = asked(e, in, "e-mail for it", proposal, func(text string) (mail.Address, error) {
		if text == "none" {
			return mail.Address{}, nil
		}
		return mail.ParseAddress(text)
	})
	if err == nil && a.Email.IsZero() {
		a.Web = setup.WebNone
	}
	return a, err
}

// asked asks until the answer can be read; an empty one is the proposal.
func asked[T any](e *env, in *bufio.Reader, question, proposal string, read func(string) (T, error)) (answer T, err error) {
	for {
		prompt := question
		if proposal != "" {
			prompt += " [" + proposal + "]"
		}
		writeText(e.stderr, prompt+": ")
		line, err := in.ReadString('\n')
		if err != nil {
			return answer, errors.New("there is no answer; nothing was made")
		}
		answer, err := read(cmp.Or(strings.TrimSpace(line), proposal))
		if err == nil {
			return answer, nil
		}
		e.tell("%v", err)
	}
}

// agrees asks for a yes; usual is what an empty answer means.
func (e *env) agrees(in *bufio.Reader, question string, usual bool) bool {
	choice := " [y/N] "
	if usual {
		choice = " [Y/n] "
	}
	writeText(e.stderr, question+choice)
	line, err := in.ReadString('\n')
	switch answer := strings.ToLower(strings.TrimSpace(line)); {
	case err != nil:
		return false
	case answer == "":
		return usual
	default:
		return answer == "y" || answer == "yes"
	}
}

// tellStep tells what was seen or done.
func (e *env) tellStep(st setup.Step) {
	_ = e.show(st, func(w io.Writer) {
		const margin = "                         "
		writeLine(w, "%-8s %-14s %s", st.State, st.Name, st.Text)
		for _, line := range st.Diff {
			writeLine(w, "%s%s", margin[1:], line)
		}
		if st.Mend != "" {
			writeLine(w, "%sdo: %s", margin[1:], st.Mend)
		}
		if st.Password != "" {
			writeLine(w, "%spassword: %s (it is shown this once)", margin[1:], st.Password)
		}
	})
}

// sayWhatNext prints the records, and what is left to do.
func (e *env) sayWhatNext(a setup.Answers, o setup.Office) {
	writeLine(e.stdout, "")
	writeWanted(e.stdout, o.Records)
	writeLine(e.stdout, "")
	writeLine(e.stdout, "next:")
	writeLine(e.stdout, "  write these records into the DNS (for a zone file: yubin dns records %s --zone)", a.Domain)
	writeLine(e.stdout, "  yubin dns check %s     says which of them are right", a.Domain)
	writeLine(e.stdout, "  yubin selftest%s  sends mail round and says what is not right yet", strings.Repeat(" ", len(a.Domain)+5))
	writeLine(e.stdout, "  enter %s and the password in a mail program (by hand: yubin client-settings %s)", a.Account, a.Account)
}

// thisMachine is what setup works on: the machine, or a folder of it.
type thisMachine struct {
	e    *env
	root string
}

func (thisMachine) Give(path string, uid, gid int) error                   { return os.Lchown(path, uid, gid) }
func (thisMachine) Program() (string, error)                               { return os.Executable() }
func (thisMachine) Clock() machine.Clock                                   { return machine.ReadClock() }
func (thisMachine) Addresses() []netip.Addr                                { return machine.Addresses() }
func (thisMachine) Systemd() bool                                          { return machine.Systemd() }
func (thisMachine) User(name string) (uid, gid int, found bool, err error) { return machine.User(name) }

func (thisMachine) Owner(path string) (int, error) {
	uid, _, err := datadir.Owner(path)
	return uid, err
}

func (thisMachine) Listening(ports ...uint16) (map[uint16]machine.Program, error) {
	return machine.Listening(ports...)
}

func (thisMachine) MakeUser(ctx context.Context, name, home string) error {
	return machine.MakeUser(ctx, name, home)
}

func (thisMachine) Systemctl(ctx context.Context, args ...string) error {
	return machine.Systemctl(ctx, args...)
}

// Names asks the name servers of the system.
func (thisMachine) Names() (setup.Names, string, error) {
	up, err := resolver.SystemUpstream()
	if err != nil {
		return nil, "", err
	}
	var servers []string
	for _, s := range up.Servers {
		servers = append(servers, s.Addr().String())
	}
	r, err := resolver.New(resolver.Options{Upstream: up, Now: time.Now})
	return r, strings.Join(servers, ", "), err
}

// Version asks another yubin.
func (thisMachine) Version(ctx context.Context, program string) string {
	out, err := machine.As(ctx, os.Geteuid(), os.Getegid(), nil, program, "version")
	if err != nil {
		return "it does not say which"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return cut(strings.TrimSpace(line), 60)
}

// Listed asks lists in the DNS.
func (thisMachine) Listed(ctx context.Context, c config.Config, at []netip.Addr) (dnslist.Findings, error) {
	return server.Listed(ctx, c, at, time.Now())
}

// Open has the store opened by the user who has it: root would leave files that the server
// cannot open.
func (m thisMachine) Open(ctx context.Context, c config.Config, file, program string, uid, gid int, o setup.Order) (got setup.Office, err error) {
	if m.root != "" || uid < 0 || uid == os.Geteuid() {
		return m.e.openOffice(c, o)
	}
	in, err := json.Marshal(o)
	if err != nil {
		return got, err
	}
	out, err := machine.As(ctx, uid, gid, in, program, "setup-office", "--config", file)
	if err != nil {
		return got, err
	}
	return got, json.Unmarshal(out, &got)
}

// first says which domain and account an office that is there has.
func (m thisMachine) first(ctx context.Context, c config.Config) (o setup.Office, err error) {
	data := c.Data
	if m.root != "" {
		c.Data = filepath.Join(m.root, data)
	}
	if !datadir.Is(c.Data) {
		return o, nil
	}
	uid, gid, err := datadir.Owner(c.Data)
	if err != nil {
		return o, err
	}
	program, err := setup.Installed(m.root)
	if err != nil {
		return o, err
	}
	return m.Open(ctx, c, setup.ConfigFile, program, uid, gid, setup.Order{Look: true})
}

// setupOfficeCmd is what setup runs as the user of the service.
type setupOfficeCmd struct {
	Config string `required:"" type:"path"`
}

func (c *setupOfficeCmd) Run(e *env) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	var o setup.Order
	if err := json.NewDecoder(io.LimitReader(e.stdin, maxPasswordLine)).Decode(&o); err != nil {
		return fmt.Errorf("the order cannot be read: %w", err)
	}
	got, err := e.openOffice(cfg, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(e.stdout).Encode(got)
}

// openOffice makes what is ordered, if it is not there, and says which records the domain
// is to have.
func (e *env) openOffice(c config.Config, o setup.Order) (got setup.Office, err error) {
	open := server.MakeConfigured
	if o.Look {
		open = server.OpenConfigured
	}
	err = e.adminAt(c, open, func(ctx context.Context, client *admin.Client) error {
		domains, err := client.Domains(ctx)
		if err != nil {
			return err
		}
		if o.Look {
			return firstOf(ctx, client, domains, &got)
		}
		if !slices.ContainsFunc(domains, func(d admin.Domain) bool { return d.Domain == o.Domain }) {
			if _, err := client.AddDomain(ctx, o.Domain); err != nil {
				return err
			}
			got.DomainMade = true
		}
		switch _, err := client.Account(ctx, o.Account); {
		case err == nil:
		case mail.KindOf(err) != mail.NotFound:
			return err
		default:
			if _, err := client.AddAccount(ctx, admin.NewAccount{Address: o.Account, Password: o.Password, AllowWeakPassword: o.AllowWeak}); err != nil {
				return err
			}
			got.AccountMade = true
		}
		got.Records, err = client.DNSRecords(ctx, o.Domain)
		return err
	})
	return got, err
}

func firstOf(ctx context.Context, client *admin.Client, domains []admin.Domain, got *setup.Office) error {
	i := slices.IndexFunc(domains, func(d admin.Domain) bool { return d.AliasOf == "" })
	if i < 0 {
		return nil
	}
	got.First = domains[i].Domain
	accounts, err := client.Accounts(ctx, got.First)
	if err == nil && len(accounts) > 0 {
		got.FirstAccount = accounts[0].Address
	}
	return err
}
