// Package config reads yubin.toml: what a process needs to start and nothing
// that administration changes while it runs. Reading is strict. A key that is
// not known, a value of the wrong type or out of range is a fault with its
// line, and all faults of a file are told at once.
//
// Parse looks at the text only; Verify also opens the files that it names.
package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/certs"
	"yubin/internal/world/obs"
)

// Config is a whole configuration, with the defaults filled in.
type Config struct {
	Hostname        mail.Domain   // our name in greetings, Received and reports
	Postmaster      mail.Address  // who gets mail for postmaster where nobody has that name; zero chooses
	Data            string        // the data folder
	Database        string        // a URL, if the database is on a server: postgres://…
	Secrets         string        // the file of the key that seals secrets; "" leaves the place open
	Folder          string        // the configuration's own; "" if it came from no file
	ShutdownTimeout time.Duration // how long sessions may take to finish after SIGTERM
	Log             Log

	SubmissionHidesClient bool // Received does not tell from where somebody who logged in sent
	TLS                   TLS
	ACME                  ACME
	Limits                Limits
	DNS                   DNS
	Queue                 Queue
	DKIM                  DKIM
	Addresses             []netip.Addr // at which others reach this server; none: those of its interfaces
	MTASTS                MTASTS
	DNSUpdate             DNSUpdate
	Retention             Retention
	Watch                 Watch
	Judge                 Judge
	DNSLists              []DNSList
	Filters               []Filter
	LDAP                  []LDAP
	Reports               Reports
	Admin                 Admin
	Sendmail              Sendmail
	Bans                  Bans
	Sending               Sending
	OAuth                 OAuth
	Listeners             []Listener

	// Open is set by Local only: plain logins on loopback are expected, and no
	// rate limits apply.
	Open bool
	// Capture, if not zero, is the account that gets all mail for elsewhere: none
	// leaves this machine. Set by Local only.
	Capture mail.Address
	// DeliverPort is the port of mail hosts where a route names none; 0 means 25.
	DeliverPort uint16

	hostnameLine int // in the file; for warnings
}

// Log is the [log] table.
type Log struct {
	Level  slog.Level
	Format obs.Format
}

// TLS is the [tls] table and the [[certificate]] list.
type TLS struct {
	SelfSigned     bool // make a certificate and keep it in the data folder
	ChannelBinding bool // offer SCRAM-SHA-256-PLUS
	Scram          Scram
	Certificates   []Certificate
}

// Scram says whether to offer SCRAM-SHA-256.
type Scram string

// When to offer it.
const (
	ScramAuto Scram = "auto" // while it works for every account
	ScramOn   Scram = "on"
	ScramOff  Scram = "off"
)

// Certificate names the files of one certificate. The first one serves
// clients that name no host or a host that none is for.
type Certificate struct {
	Cert string // PEM, the server's certificate first, then the chain
	Key  string // PEM
	Line int    // in the file; for faults
}

// Files are those of the certificates.
func (t TLS) Files() (list []certs.Files) {
	for _, cert := range t.Certificates {
		list = append(list, certs.Files{Cert: cert.Cert, Key: cert.Key})
	}
	return list
}

// Limits is the [limits] table. Limits that no operator needs to turn are
// constants of the packages that keep them.
type Limits struct {
	MessageSize           int64         // octets of one message
	DSN                   DSN           // who may ask for reports on the mx port
	Recipients            int           // of one message
	Connections           int           // at once, of all listeners; 0: as many as there is memory for
	ConnectionsPerAddress int           // at once from one client address, without those logged in; 0 is no bound
	SessionsPerAccount    int           // at once, logged in; 0 is no bound
	QuotaGrace            time.Duration // an account may be full before mail for it is refused for good
}

// DSN says who may ask for reports without a login.
type DSN string

// The answers.
const (
	DSNTrusted DSN = "trusted" // clients in a trusted network
	DSNAll     DSN = "all"     // strangers too
)

// DNS is the [dns] table: who is asked for the hosts of other domains.
type DNS struct {
	Servers  []netip.AddrPort // recursive servers; none means those of the system
	Trust    DNSTrust         // "" means the default, or what the system says
	Timeout  time.Duration    // of the first try of a server; 0 means the default
	Attempts int              // rounds through the servers; 0 means the default
}

// DNSTrust says which servers are believed when they call an answer validated.
type DNSTrust string

// The kinds of trust.
const (
	DNSTrustLoopback DNSTrust = "loopback" // those on this machine
	DNSTrustAll      DNSTrust = "all"
	DNSTrustNone     DNSTrust = "none"
)

// Bounds of the [dns] table.
const (
	maxDNSServers  = 8
	maxDNSTimeout  = 15 * time.Second
	maxDNSAttempts = 5
)

// Queue is the [queue] table: how mail for elsewhere is carried. Zero values
// mean the defaults of the queue.
type Queue struct {
	Concurrency     int           // messages being carried at a time
	SiteConcurrency int           // of them to one site
	SiteRate        int           // messages a second to one site; 0 is no bound
	Lifetime        time.Duration // after it, mail is returned
	NoticeAfter     time.Duration // after it, the sender is told that mail is late; negative for never
	History         time.Duration // for which settled mail is remembered
}

// DKIM is the [dkim] table: how mail is signed when it leaves.
type DKIM struct {
	Off    bool          // sign = false
	Zone   mail.Domain   // in which the keys of all domains are; "" for none
	Rotate time.Duration // how long a key signs; 0 means the default, negative for ever
}

// MTASTS is the [mta_sts] table: the policy by which others send mail here in TLS only
// (RFC 8461).
type MTASTS struct {
	Mode   STSMode
	MaxAge time.Duration // for how long others hold to a policy that they fetched
}

// STSMode is what others are to do when TLS is not as the policy says.
type STSMode string

// The modes.
const (
	STSOff     STSMode = "off"  // there is no policy
	STSNone    STSMode = "none" // it says that there is none any more (RFC 8461 §8.3)
	STSTesting STSMode = "testing"
	STSEnforce STSMode = "enforce"
)

// DNSUpdate is the [dns_update] table: the zones that take updates (RFC 2136).
type DNSUpdate struct {
	Server    netip.AddrPort // the primary server of the zones; not valid: there is none
	Zones     []mail.Domain
	Key       string // its name; "" is the one in the file
	Algorithm string // "" is the one in the file, or hmac-sha256
	KeyFile   string
	Automatic bool // what was published is kept up
}

// Bounds of addresses and [dns_update].
const (
	maxAddresses   = 16
	maxUpdateZones = 1000
)

// Retention is the [retention] table: how long what nobody sees any more is kept.
type Retention struct {
	Expunged    time.Duration // messages that were expunged, to be restored
	Changes     time.Duration // what changed in an account
	ChangesSize int64         // octets of it, of one account
	Audit       time.Duration // what administrators changed; 0 means the default
}

// Watch is the [watch] table: when something needs a hand, and who is told.
type Watch struct {
	Mail        bool          // the postmaster gets a mail
	Summary     time.Duration // when the postmaster gets a summary of the day, after midnight where the server is; negative for never
	Selftest    time.Duration // when the server tries itself out each day, as Summary; negative for never
	QueueOldest time.Duration // mail that waits for so long is too old
	QueueLength int           // so many recipients are too many
	DiskFree    int64         // less is too little; 0 is a tenth of the disk, 2 GiB at most
}

// Reports is the [reports] table: reports about DMARC and TLS, from others and to them.
type Reports struct {
	Addresses    []string      // that take reports: whole, or a local part for each domain here; none takes any
	Send         bool          // reports are sent to domains that ask for them
	Organization string        // who reports; "" is the host name
	Contact      mail.Address  // for questions about reports; zero is postmaster at the host name
	Keep         time.Duration // how long reports are kept
}

// maxReportAddresses bounds Reports.Addresses.
const maxReportAddresses = 32

// Admin is the [admin] table. The administration itself is on a socket in the
// data folder; Address is for what others may see of it.
type Admin struct {
	Address string // host:port of HTTP with /metrics; "" for none
}

// Sendmail is the [sendmail] table: how users of this machine send mail without logging
// in, by `yubin sendmail`.
type Sendmail struct {
	Off     bool                // enabled = false
	Socket  string              // where they come
	Named   bool                // the configuration names Socket: it must be there
	Domain  mail.Domain         // of names without one; "" chooses a domain of ours
	Trusted []string            // users who may write as anybody: names or numbers
	Rate    int                 // messages of each other user in an hour; 0 is no bound
	Users   map[string][]string // what else a user may write from; the first is who it is
}

// SendmailSocket is the socket of a server that was installed.
const SendmailSocket = "/run/yubin/submit.sock"

// SendmailName is the name of the socket in a data folder.
const SendmailName = "submit.sock"

// Bounds of the [sendmail] table.
const (
	maxTrusted        = 64
	maxSendmailUsers  = 1000
	maxUserAddresses  = 100
	maxSendmailRate   = 1_000_000
	maxSendmailSocket = 103 // octets that every system takes for a path of a socket
)

// Bans is the [bans] table: addresses that are turned away.
type Bans struct {
	Off   bool           // enabled = false
	Never []netip.Prefix // networks that are never banned
}

// maxNever bounds Bans.Never.
const maxNever = 256

// Sending is the [sending] table: how much each account may send, if no rule says so for it
// or its domain. 0 is no bound.
type Sending struct {
	Off                       bool // enabled = false: nothing is counted
	MessagesHour, MessagesDay int
	NewHour, NewDay           int  // recipients that are new to the account
	Breaker                   bool // what is far from usual is held
	EndSessions               bool // and the account's sessions end
}

// maxSending bounds the numbers of Sending.
const maxSending = 1_000_000_000

// Protocol is what a listener speaks.
type Protocol string

// The protocols.
const (
	SMTP Protocol = "smtp"
	IMAP Protocol = "imap"
	POP3 Protocol = "pop3"
	HTTP Protocol = "http" // with TLSImplicit it is what the file calls https
)

// TLSMode says when a listener speaks TLS.
type TLSMode string

// The TLS modes.
const (
	TLSNone     TLSMode = "none"
	TLSStart    TLSMode = "starttls" // STARTTLS, or STLS for POP3
	TLSImplicit TLSMode = "implicit" // from the first octet
)

// Profile is what an SMTP listener is for.
type Profile string

// The SMTP profiles.
const (
	ProfileMX         Profile = "mx"         // mail from anywhere for our domains
	ProfileSubmission Profile = "submission" // mail from our users, logged in
	ProfileLMTP       Profile = "lmtp"       // mail for our domains from a trusted hop
	ProfileLocal      Profile = "local"      // mail from the users of this machine; not for a [[listener]]
)

// Listener is one [[listener]].
type Listener struct {
	Protocol Protocol
	Address  string // host:port; an empty host is every address
	TLS      TLSMode
	Profile  Profile // "" but for SMTP
	// Proxies are networks of those who say by the PROXY protocol for whom they speak.
	Proxies []netip.Prefix
	Line    int // in the file; 0 for the defaults
}

// Service is the name people know the listener's protocol by, for tables and
// logs: "smtp", "submission", "lmtp", "imap", "pop3", "http", with an s for implicit TLS.
func (l Listener) Service() string {
	name := string(l.Protocol)
	if l.Profile == ProfileLocal {
		return "sendmail"
	}
	if l.Profile == ProfileSubmission || l.Profile == ProfileLMTP {
		name = string(l.Profile)
	}
	if l.TLS == TLSImplicit {
		name += "s"
	}
	return name
}

// Same reports whether l and o are one listener, wherever they stand in a file.
func (l Listener) Same(o Listener) bool {
	return l.Protocol == o.Protocol && l.Address == o.Address && l.TLS == o.TLS && l.Profile == o.Profile && slices.Equal(l.Proxies, o.Proxies)
}

// Loopback reports whether only this machine can reach l.
func (l Listener) Loopback() bool {
	host, _, err := splitAddress(l.Address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Default is a configuration in which only the host name and the certificate
// are missing.
func Default() Config {
	return Config{
		Data:            "/var/lib/yubin",
		ShutdownTimeout: 30 * time.Second,
		Log:             Log{Level: slog.LevelInfo, Format: obs.FormatAuto},
		Limits: Limits{
			MessageSize:           50 << 20,
			DSN:                   DSNTrusted,
			Recipients:            1000,
			ConnectionsPerAddress: 100,
			SessionsPerAccount:    100,
			QuotaGrace:            7 * 24 * time.Hour,
		},
		Retention: Retention{Expunged: 7 * 24 * time.Hour, Changes: 30 * 24 * time.Hour, ChangesSize: 8 << 20, Audit: 400 * 24 * time.Hour},
		MTASTS:    MTASTS{Mode: STSTesting, MaxAge: 7 * 24 * time.Hour},
		DNSUpdate: DNSUpdate{Automatic: true},
		Watch:     Watch{Mail: true, Summary: -1, Selftest: -1, QueueOldest: 24 * time.Hour, QueueLength: 10000},
		Sendmail:  Sendmail{Socket: SendmailSocket, Trusted: []string{"root"}, Rate: 1000},
		Sending:   Sending{MessagesHour: 1000, MessagesDay: 5000, NewHour: 1000, NewDay: 3000, Breaker: true},
		Reports:   Reports{Addresses: []string{"dmarc-reports", "tls-reports"}, Send: true, Keep: 400 * 24 * time.Hour},
	}
}

// standardListeners are those of a configuration that names none.
func standardListeners() []Listener {
	return []Listener{
		{Protocol: SMTP, Profile: ProfileMX, Address: ":25", TLS: TLSStart},
		{Protocol: SMTP, Profile: ProfileSubmission, Address: ":587", TLS: TLSStart},
		{Protocol: SMTP, Profile: ProfileSubmission, Address: ":465", TLS: TLSImplicit},
		{Protocol: IMAP, Address: ":143", TLS: TLSStart},
		{Protocol: IMAP, Address: ":993", TLS: TLSImplicit},
		{Protocol: POP3, Address: ":110", TLS: TLSStart},
		{Protocol: POP3, Address: ":995", TLS: TLSImplicit},
		{Protocol: HTTP, Address: ":443", TLS: TLSImplicit},
		{Protocol: HTTP, Address: ":80", TLS: TLSNone},
	}
}
