package mail

import (
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outcome is how an attempt ended for one recipient; there is no fourth. The
// zero value is no outcome yet.
type Outcome uint8

// The outcomes.
const (
	Delivered Outcome = iota + 1 // the next hop has custody
	Deferred                     // it may work later
	Failed                       // it never will
)

var outcomeNames = [...]string{"", "delivered", "deferred", "failed"}

func (o Outcome) String() string { return outcomeNames[o] }

// MaxAttemptText is how many octets of a remote's words are kept.
const MaxAttemptText = 1024

// Attempt is one try to hand one recipient to one host, or to find a host.
type Attempt struct {
	At     time.Time
	Took   time.Duration
	Host   string         // name of the host; "" if none was found
	Remote netip.AddrPort // invalid if no address was tried
	TLS    string         // version and cipher suite; "" in clear
	// Verified says that the certificate was valid and had the name of the host, or was
	// the one that the host's TLSA records name.
	Verified bool
	// TLSTerms says who asked for what of TLS, in words: "MTA-STS", "DANE"; "" if nobody
	// asked for more than that it be used if it can be.
	TLSTerms string
	// Phase is the step that the words below answer.
	Phase Phase
	// Code, Enhanced and Text are the remote's words, or ours if Ours is set.
	// Code is 0 and Enhanced "" if there is none; Ours always has an Enhanced,
	// "class.subject.detail". Text is UTF-8 of at most MaxAttemptText octets,
	// lines parted by LF.
	Code     int
	Enhanced string
	Text     string
	Ours     bool
	// DSN and DeliverBy say that the host knows these extensions (RFC 3461, RFC
	// 2852) and was told what the message asks for: what it delivers, it reports.
	DSN, DeliverBy bool
	Outcome        Outcome
	// AnswerLost says that the whole message went out and no answer came: the
	// remote may have it, and the next attempt may deliver it twice. Outcome is
	// then Deferred.
	AnswerLost bool
}

// Status is Enhanced or, without one, what is known: "4.0.0" or "5.0.0" (RFC
// 3463 §2); "2.0.0" for Delivered.
func (a Attempt) Status() string {
	class := [...]string{"4", "2", "4", "5"}[a.Outcome]
	if strings.HasPrefix(a.Enhanced, class+".") {
		return a.Enhanced
	}
	return class + ".0.0"
}

// HopKind is how the hosts of a next hop are found and spoken to.
type HopKind uint8

// The kinds of next hop.
const (
	HopMX    HopKind = iota // SMTP to the mail exchangers of Domain
	HopHosts                // SMTP to Hosts, in order
	HopLMTP                 // LMTP (RFC 2033) to Hosts, in order
	HopLocal                // into mailboxes of this server, for mail that had to wait
)

var hopKindNames = [...]string{"mx", "smtp", "lmtp", "local"}

func (k HopKind) String() string { return hopKindNames[k] }

// Final reports whether the hop files mail in mailboxes, and does not carry it
// on.
func (k HopKind) Final() bool { return k == HopLMTP || k == HopLocal }

// TLSPolicy is what a route asks of a connection.
type TLSPolicy uint8

// The policies.
const (
	TLSOpportunistic TLSPolicy = iota // TLS when offered and working, with any certificate
	TLSRequired                       // never in clear; any certificate
	TLSVerified                       // never in clear; a valid certificate for the host's name
	TLSNone                           // never TLS
)

var tlsPolicyNames = [...]string{"opportunistic", "required", "verified", "none"}

func (p TLSPolicy) String() string { return tlsPolicyNames[p] }

// ParseTLSPolicy reads what String returns.
func ParseTLSPolicy(s string) (TLSPolicy, bool) {
	i := slices.Index(tlsPolicyNames[:], s)
	return TLSPolicy(max(i, 0)), i >= 0
}

// HostPort is a host, a name or an address literal, and a port.
type HostPort struct {
	Host Domain
	Port uint16
}

func (h HostPort) String() string { return string(h.Host) + ":" + strconv.Itoa(int(h.Port)) }

// Credentials are what we log in with at a smarthost.
type Credentials struct{ User, Password string }

// String hides the password.
func (c Credentials) String() string { return c.User + ":***" }

// GoString hides the password.
func (c Credentials) GoString() string { return c.String() }

// NextHop is where a courier carries mail to.
type NextHop struct {
	Kind   HopKind
	Domain Domain     // HopMX
	Hosts  []HostPort // HopHosts and HopLMTP; a port of 0 is Port
	Port   uint16     // 0 is 25, with LMTP 24
	// Auth, if not nil, logs in. A password is sent in TLS or on loopback only,
	// and TLSOpportunistic then means TLSVerified.
	Auth *Credentials
	TLS  TLSPolicy
	// ImplicitTLS starts TLS before the greeting (RFC 8314 §3.3).
	ImplicitTLS bool
	// SourceIPv4 and SourceIPv6 are our own addresses; invalid leaves them to
	// the system.
	SourceIPv4, SourceIPv6 netip.Addr
}

// Site is a key that is equal for hops to which one session can carry: what
// concurrency, pauses and reuse of connections go by.
func (h NextHop) Site() string {
	var b strings.Builder
	b.WriteString(h.Kind.String() + ":" + string(h.Domain))
	for i, host := range h.Hosts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(host.String())
	}
	if h.Port != 0 {
		b.WriteString(" port=" + strconv.Itoa(int(h.Port)))
	}
	if h.Auth != nil {
		b.WriteString(" user=" + strconv.Quote(h.Auth.User))
	}
	if h.TLS != TLSOpportunistic {
		b.WriteString(" tls=" + h.TLS.String())
	}
	if h.ImplicitTLS {
		b.WriteString(" implicit")
	}
	for _, a := range []netip.Addr{h.SourceIPv4, h.SourceIPv6} {
		if a.IsValid() {
			b.WriteString(" from=" + a.String())
		}
	}
	return b.String()
}

// Notify is when reports about a recipient are wanted (RFC 3461 §4.1). The zero
// value is that nothing was said.
type Notify uint8

// The conditions. NotifyNever stands alone.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

var notifyNames = [...]string{"SUCCESS", "FAILURE", "DELAY", "NEVER"}

// String is notify-list-element, joined by commas; "" for the zero value.
func (n Notify) String() string {
	var names []string
	for i, name := range notifyNames {
		if n&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Ret is how much of the message a report returns (RFC 3461 §4.3). The zero
// value is that nothing was said.
type Ret uint8

// The amounts.
const (
	RetFull Ret = iota + 1
	RetHeaders
)

var retNames = [...]string{"", "FULL", "HDRS"}

func (r Ret) String() string { return retNames[r] }

// OutgoingRecipient is one recipient of a message to be sent.
type OutgoingRecipient struct {
	Address Address
	// ORCPT is the original recipient, "addr-type;address" with the xtext of the
	// address decoded (RFC 3461 §4.2); "" if it is not known.
	ORCPT  string
	Notify Notify
}

// DeliverBy is a time limit (RFC 2852). The zero value is none.
type DeliverBy struct {
	At     time.Time
	Return bool // mode R: return the message when At passes; else N: notify
	Trace  bool
}

// Outgoing is the envelope of a message to be sent, without its recipients.
type Outgoing struct {
	ReversePath ReversePath
	Body        Body
	UTF8        bool  // RFC 6531
	RequireTLS  bool  // RFC 8689
	TLSOptional bool  // "TLS-Required: No" in its header (RFC 8689 §3)
	Size        int64 // octets of the content, exactly
	Ret         Ret
	EnvID       string // RFC 3461 §4.4, decoded; "" if none
	Priority    int8   // RFC 6710, -9 to 9
	DeliverBy   DeliverBy
}

// TLSDemand is what a message says of TLS on its way (RFC 8689).
type TLSDemand uint8

// The demands.
const (
	TLSUnsaid   TLSDemand = iota
	TLSDemanded           // REQUIRETLS: never without
	TLSWaived             // "TLS-Required: No": delivered whatever the recipient's domain asks for
)

// Demand is what the message says of TLS. REQUIRETLS goes before the header field (RFC
// 8689 §4.1), and a report is not lost for the sake of TLS (§5).
func (o Outgoing) Demand() TLSDemand {
	switch {
	case o.RequireTLS && !o.ReversePath.IsNull():
		return TLSDemanded
	case o.TLSOptional && !o.RequireTLS:
		return TLSWaived
	}
	return TLSUnsaid
}

// Opener opens the content of a message at its start. Its errors are ours, not
// the remote's: the outcome is then Deferred.
type Opener func() (io.ReadCloser, error)

// Result is what became of one recipient. Attempts are in the order of time.
// Outcome is that of at least one of them: Deferred, though the last host said
// that it never will, if another host may take it later.
type Result struct {
	Outcome  Outcome
	Attempts []Attempt
}

// Decisive returns the last attempt that ended in r.Outcome: the one to quote.
func (r Result) Decisive() Attempt {
	for _, a := range slices.Backward(r.Attempts) {
		if a.Outcome == r.Outcome {
			return a
		}
	}
	return Attempt{Outcome: r.Outcome}
}
