package route

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
)

// Limits of the tables.
const (
	MaxRoutes   = 10000
	MaxPatterns = 20000          // of all routes
	MaxHosts    = hosts.MaxHosts // of one route
	MaxNetworks = 256
	MaxName     = 64  // octets of the name of a route
	MaxText     = 300 // octets of what a reject route says
	MaxLogin    = 255 // octets of a user name or password
)

// portSubmissions is where TLS begins at once (RFC 8314 §3.3).
const portSubmissions = 465

// Action is what a route does.
type Action string

// The actions.
const (
	MX      Action = "mx"      // SMTP to the exchangers of the recipient's domain
	SMTP    Action = "smtp"    // SMTP to Hosts, in order
	LMTP    Action = "lmtp"    // LMTP to Hosts, in order
	Reject  Action = "reject"  // refuse the recipient
	Discard Action = "discard" // accept and drop
)

// Route is one route. Without patterns it is there for an operator to choose.
type Route struct {
	Name string
	To   []Pattern // recipients
	From []Pattern // senders: addresses and domains
	// Relay lets anybody send to what To names: backup MX.
	Relay bool
	// Unknown leaves the addresses that somebody here has to them.
	Unknown bool
	Action  Action

	Hosts       []mail.HostPort // SMTP, LMTP; a port of 0 is the usual one
	Port        uint16          // MX; 0 is the usual one
	TLS         mail.TLSPolicy
	ImplicitTLS bool              // SMTP; the usual port is then 465
	Auth        *mail.Credentials // SMTP, LMTP; nil for none
	SourceIPv4  netip.Addr        // not valid: the system chooses
	SourceIPv6  netip.Addr

	Text     string // Reject: what the sender is told
	Enhanced string // Reject: its enhanced status code (RFC 3463)

	// Unreadable says what is wrong with the rows of the route, if they have a value
	// that they cannot have. SetRoute and RemoveRoute do away with it.
	Unreadable string
	broken     bool // what it does is not known: mail that it matches waits
}

// Defaults of reject routes.
const (
	defaultText     = "mail to this address is not accepted"
	defaultEnhanced = "5.7.1"
)

var (
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	enhancedForm = regexp.MustCompile(`^5\.[0-9]{1,3}\.[0-9]{1,3}$`)
	textForm     = regexp.MustCompile(`^[ -~]+$`) // of an SMTP reply (RFC 5321 §4.2)
)

// carries reports whether mail goes on by the route.
func (r *Route) carries() bool { return r.Action == MX || r.hasHosts() }

func (r *Route) hasHosts() bool { return r.Action == SMTP || r.Action == LMTP }

// hop is where the route takes mail for a. The route must carry.
func (r *Route) hop(a mail.Address) mail.NextHop {
	h := mail.NextHop{Kind: mail.HopMX, Port: r.Port, Auth: r.Auth, TLS: r.TLS, ImplicitTLS: r.ImplicitTLS,
		SourceIPv4: r.SourceIPv4, SourceIPv6: r.SourceIPv6}
	switch r.Action {
	case MX:
		h.Domain = a.Domain
	case SMTP:
		h.Kind, h.Hosts = mail.HopHosts, r.Hosts
	case LMTP:
		h.Kind, h.Hosts = mail.HopLMTP, r.Hosts
	}
	if r.ImplicitTLS && h.Port == 0 {
		h.Port = portSubmissions
	}
	return h
}

// Site is mail.NextHop.Site of a route to hosts; "" of another, for that depends on
// the recipient.
func (r *Route) Site() string {
	if r.Action != SMTP && r.Action != LMTP {
		return ""
	}
	return r.hop(mail.Address{}).Site()
}

// waits is the error about mail for a route that is broken.
func (r *Route) waits() error {
	return mail.Errorf(mail.Unavailable, "the route %s cannot be read", r.Name)
}

// refusal is the error that a Reject route gives.
func (r *Route) refusal() error {
	return &mail.Error{Kind: mail.Forbidden, Text: r.Text, Err: &Refusal{Route: r.Name, Enhanced: r.Enhanced}}
}

// clean sorts and completes r and checks it by itself. Errors: Invalid, TooLarge.
func (r *Route) clean() error {
	r.To, r.From = sorted(r.To), sorted(r.From)
	r.Hosts = slices.Clone(r.Hosts)
	if r.Action == Reject {
		if r.Text == "" {
			r.Text = defaultText
		}
		if r.Enhanced == "" {
			r.Enhanced = defaultEnhanced
		}
	}
	for _, check := range []func() error{r.checkName, r.checkMatch, r.checkHosts, r.checkOptions, r.checkSources, r.checkReject} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func sorted(patterns []Pattern) []Pattern {
	s := slices.Clone(patterns)
	slices.SortFunc(s, Pattern.compare)
	return slices.Compact(s)
}

func (r *Route) invalid(format string, args ...any) error {
	return mail.Errorf(mail.Invalid, "route "+r.Name+": "+format, args...)
}

func (r *Route) checkName() error {
	if len(r.Name) > MaxName || !nameForm.MatchString(r.Name) {
		return mail.Errorf(mail.Invalid, "the name of a route is 1 to %d letters, digits and . _ -, beginning with a letter or digit", MaxName)
	}
	return nil
}

func (r *Route) checkMatch() error {
	for _, p := range r.From {
		if !p.isAddress() && !p.isDomain() {
			return r.invalid("senders are matched by address or by domain, not by %s", p)
		}
	}
	switch {
	case !r.Relay:
		return nil
	case len(r.From) > 0:
		return r.invalid("a route that relays for anybody cannot go by the sender, which anybody can forge")
	case slices.Contains(r.To, Pattern{}):
		return r.invalid("a route that relays for anybody cannot be for *: that is an open relay")
	case len(r.To) == 0:
		return r.invalid("a route that relays for anybody must say for which recipients")
	}
	return nil
}

func (r *Route) checkHosts() error {
	switch {
	case r.hasHosts() && len(r.Hosts) == 0:
		return r.invalid("%s needs at least one host", r.Action)
	case !r.hasHosts() && len(r.Hosts) > 0:
		return r.invalid("%s has no hosts", r.Action)
	case len(r.Hosts) > MaxHosts:
		return mail.Errorf(mail.TooLarge, "route %s: at most %d hosts", r.Name, MaxHosts)
	}
	return nil
}

func (r *Route) checkOptions() error {
	switch {
	case !slices.Contains([]Action{MX, SMTP, LMTP, Reject, Discard}, r.Action):
		return r.invalid("what it does must be mx, smtp, lmtp, reject or discard")
	case r.Port != 0 && r.Action != MX:
		return r.invalid("a port of its own is for mx; give it with the host")
	case r.Auth != nil && !r.hasHosts():
		return r.invalid("logging in is for hosts that the route names")
	case r.Auth != nil && !(isLogin(r.Auth.User) && isLogin(r.Auth.Password)):
		return r.invalid("logging in needs a user and a password, each of 1 to %d octets on one line", MaxLogin)
	case !r.carries() && (r.TLS != mail.TLSOpportunistic || r.ImplicitTLS || r.SourceIPv4.IsValid() || r.SourceIPv6.IsValid()):
		return r.invalid("%s makes no connections", r.Action)
	case r.ImplicitTLS && r.Action != SMTP:
		return r.invalid("TLS from the first octet is for smtp")
	case r.ImplicitTLS && r.TLS == mail.TLSNone:
		return r.invalid("TLS from the first octet, and never TLS, cannot be both")
	}
	return nil
}

func isLogin(s string) bool {
	return s != "" && len(s) <= MaxLogin && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (r *Route) checkSources() error {
	if v4 := r.SourceIPv4; v4.IsValid() && !v4.Is4() {
		return r.invalid("%s is not an IPv4 address", v4)
	}
	if v6 := r.SourceIPv6; v6.IsValid() && (!v6.Is6() || v6.Is4In6() || v6.Zone() != "") {
		return r.invalid("%s is not an IPv6 address", v6)
	}
	return nil
}

func (r *Route) checkReject() error {
	switch {
	case r.Action != Reject && (r.Text != "" || r.Enhanced != ""):
		return r.invalid("%s says nothing to the sender", r.Action)
	case r.Action != Reject:
		return nil
	case len(r.Text) > MaxText || !textForm.MatchString(r.Text):
		return r.invalid("its text is one line of up to %d printable ASCII characters", MaxText)
	case !enhancedForm.MatchString(r.Enhanced):
		return r.invalid("its status code must be of class 5, such as 5.7.1")
	}
	return nil
}
