// Package setup makes a post office on a machine: looks whether the machine is fit for one,
// then makes user, folders, configuration, key, service, the first domain and the first
// account.
//
// Every step looks first at what is there. What is as it should be stays; what is missing
// is made; what is there and differs, which somebody may have written, is shown as a
// difference and changed only with consent. So it may be run again at any time: after it
// was interrupted it goes on, and later it says what differs and mends it.
//
//	step            made                                        what is there and differs
//	program         /usr/local/bin/yubin                        another yubin: shown, replaced with consent
//	user            yubin                                       -
//	configuration   /etc/yubin/yubin.toml, 0640 root:yubin      keys are changed with consent, the rest stays
//	secrets         /etc/yubin/secrets.key, 0640 root:yubin     never replaced
//	data            /var/lib/yubin, 0700 yubin:yubin            never replaced
//	service         /etc/systemd/system/yubin.service           shown, replaced with consent
//	domain, account rows in the store, and the keys of DKIM     stay
//	start           -                                           -
//
// It deliberately writes nothing into the DNS: it says what is to stand there.
package setup

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"yubin/internal/dns"
	"yubin/internal/engine/dnslist"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/machine"
)

// Web is how the web of the post office is reached, and how an authority sees that names
// are ours.
type Web string

// The ways.
const (
	WebDirect Web = "direct" // ports 80 and 443 are ours
	WebPath   Web = "path"   // another web server has them, and passes on what is ours
	WebDNS    Web = "dns"    // the web is somebody else's; the authority looks into the DNS
	WebNone   Web = "none"   // no web, no authority: a certificate of our own
)

// Where the web listeners are behind another web server.
const (
	behindHTTP      = "127.0.0.1:8080"
	behindHTTPS     = "127.0.0.1:8443"
	behindHTTPPort  = 8080
	behindHTTPSPort = 8443
)

// Answers is what somebody wants.
type Answers struct {
	Host    mail.Domain
	Domain  mail.Domain
	Account mail.Address
	Email   mail.Address // of the account with the authority; zero with WebNone
	Web     Web

	Addresses     []netip.Addr   // at which others reach this machine; none: those of its interfaces
	Authority     string         // the URL of its directory; "" is Let's Encrypt
	AuthorityRoot string         // a file; see [acme] root
	DNSServer     netip.AddrPort // that takes updates, for WebDNS
	DNSKey        string         // the file of the key for them

	Password  string // of the account; "" has one made
	AllowWeak bool
}

// Check finds what is missing. The error is of kind Invalid.
func (a Answers) Check() error {
	switch {
	case a.Host == "" || a.Host.IsLiteral():
		return mail.Errorf(mail.Invalid, "the host name must be the name of this machine in the DNS, such as mail.example.org")
	case a.Domain == "" || a.Domain.IsLiteral():
		return mail.Errorf(mail.Invalid, "the domain must be one whose mail comes here, such as example.org")
	case a.Account.Domain != a.Domain:
		return mail.Errorf(mail.Invalid, "the account %s is not of the domain %s", a.Account, a.Domain)
	case a.Web != WebNone && a.Email.IsZero():
		return mail.Errorf(mail.Invalid, "the authority that makes certificates wants an e-mail address; with --web none none is ordered")
	case a.Web == WebDNS && (!a.DNSServer.IsValid() || a.DNSKey == ""):
		return mail.Errorf(mail.Invalid, "--web dns needs the name server that takes updates of the zone of %s, and the file of a key for it: --dns-server and --dns-key", a.Host)
	}
	return nil
}

// State is what became of a step.
type State string

// The states.
const (
	OK      State = "ok"      // it is as it should be
	Made    State = "made"    // it was made, or changed
	ToMake  State = "to make" // it would be made
	Warning State = "warning" // it works, and could be better
	Wrong   State = "wrong"   // it does not work so
	Differs State = "differs" // what is there is somebody's, and stays
	Left    State = "left"    // it was not done; the text says why
)

// Step is what was seen of the machine, or done.
type Step struct {
	Name  string `json:"step"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Mend  string `json:"mend,omitempty"` // what to do

	Diff     []string `json:"diff,omitempty"`     // lines that would go (-) and come (+)
	Password string   `json:"password,omitempty"` // that was made; it is told once
}

// Order is what is wanted of the store.
type Order struct {
	Domain    string `json:"domain"`
	Account   string `json:"account"`
	Password  string `json:"password"`
	AllowWeak bool   `json:"allow_weak,omitempty"`
	Look      bool   `json:"look,omitempty"` // nothing is made
}

// Office is what the store has then.
type Office struct {
	First, FirstAccount     string // of one that was there, with Look
	DomainMade, AccountMade bool
	Records                 admin.DNSWanted
}

// Names asks the DNS.
type Names interface {
	Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	PTR(ctx context.Context, a netip.Addr) (dns.Answer[dns.Name], error)
	Validates(context.Context) (bool, error)
}

// Machine is where it is done.
type Machine interface {
	Give(path string, uid, gid int) error // makes a file or folder somebody's; -1 leaves it
	Program() (path string, err error)
	Listening(ports ...uint16) (map[uint16]machine.Program, error)
	Clock() machine.Clock
	Addresses() []netip.Addr
	Names() (n Names, servers string, err error) // servers: who is asked, for people
	Owner(path string) (uid int, err error)
	User(name string) (uid, gid int, found bool, err error)
	MakeUser(ctx context.Context, name, home string) error
	Systemd() bool
	Systemctl(ctx context.Context, args ...string) error
	Version(ctx context.Context, program string) string // of another yubin; "" is not known
	// Listed asks the lists in the DNS that a configuration has about addresses.
	Listed(ctx context.Context, c config.Config, at []netip.Addr) (dnslist.Findings, error)
	// Open opens the store of a configuration, in this process or as its user, and does there
	// what is ordered.
	Open(ctx context.Context, c config.Config, file, program string, uid, gid int, o Order) (Office, error)
}

// Options are what a Setup needs; all but Root must be given.
type Options struct {
	Root    string // the folder that is taken for /; "" is /
	Files   bool   // only files are made: no user, no service
	Machine Machine
	Tell    func(Step)                     // hears of each step when it is done
	Consent func(what string, s Step) bool // to a change of what is there: "change /etc/yubin/yubin.toml"
	DryRun  bool                           // nothing is made
	NoStart bool
}

// Setup is one run.
type Setup struct {
	o Options

	failed  bool   // a step is Wrong or Differs
	changed bool   // what a running service began with is not so any more
	taken   string // who has a port that the service needs; "" is nobody
	uid     int    // of the service's user; -1 if there is none
	gid     int
	program string // where the program is, as the service starts it
}

// New begins one.
func New(o Options) *Setup { return &Setup{o: o, uid: -1, gid: -1} }

// Failed reports whether something is not as it should be.
func (s *Setup) Failed() bool { return s.failed }

// tell passes a step on.
func (s *Setup) tell(st Step) {
	s.failed = s.failed || st.State == Wrong || st.State == Differs
	s.o.Tell(st)
}

// say tells a step without anything to mend.
func (s *Setup) say(name string, state State, format string, values ...any) {
	s.tell(Step{Name: name, State: state, Text: fmt.Sprintf(format, values...)})
}

// at is where a path of the machine is.
func (s *Setup) at(path string) string {
	if s.o.Root == "" {
		return path
	}
	return filepath.Join(s.o.Root, path)
}

// Paths on the machine.
const (
	ConfigFile  = "/etc/yubin/yubin.toml"
	configDir   = "/etc/yubin"
	dataDir     = "/var/lib/yubin"
	programFile = "/usr/local/bin/yubin"
	unitFile    = "/etc/systemd/system/yubin.service"
	service     = "yubin"
	user        = "yubin"
)

// packaged is where a package has the program and the unit.
var packaged = struct {
	programs []string
	units    []string
}{[]string{"/usr/bin/yubin"}, []string{"/usr/lib/systemd/system/yubin.service", "/lib/systemd/system/yubin.service"}}
