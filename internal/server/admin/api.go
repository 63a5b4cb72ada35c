// Package admin is the administration of a yubin: an HTTP API with JSON, and a
// client for it. The server offers it on a Unix socket in the data folder that
// only its owner can open; whoever can is the administrator. The command line
// uses the same handler in its own process while no server runs.
//
//	GET    /v1/status
//	GET    /v1/domains              POST {domain}
//	GET    /v1/domains/{domain}     PATCH {quota}   DELETE
//	PUT    /v1/domains/{domain}/alias {of}   DELETE
//	GET    /v1/quota                that of the site   PATCH {octets?, messages?}
//	GET    /v1/accounts?domain&after&limit   POST {address, password}
//	POST   /v1/accounts/import      {accounts: [{line, address, password | hash}]}
//	GET    /v1/accounts/{address}   PATCH {password?, limit?, enabled?, language?, quota?}   DELETE
//	GET    /v1/accounts/{address}/passwords   POST {name, only?, networks?, expires?}   DELETE, of all app passwords
//	GET    /v1/accounts/{address}/passwords/{name}   DELETE
//	GET    /v1/accounts/{address}/totp   PUT, a new one   DELETE   POST .../totp/codes, new ones   POST .../totp/verify {code}
//	POST   /v1/accounts/{address}/restore  {mailbox?, since?, search?, ...}: a stream of {found} or {progress}, then {restored}
//	PUT    /v1/accounts/{address}/forward {to, keep}
//	POST   /v1/accounts/{address}/rename  {to, alias}
//	GET    /v1/aliases?domain&after&limit    POST {address, targets}
//	PUT    /v1/aliases/{address} {targets}   PATCH {add, drop}   DELETE
//	GET    /v1/groups               POST {name, members, addresses}
//	GET    /v1/groups/{name}        PUT {members, addresses}   PATCH {add, drop}   DELETE
//	GET    /v1/grants?who           POST {who, send_as}   DELETE ?who&send_as
//	GET    /v1/dump?secrets         POST /v1/apply/plan {declaration, prune}, /v1/apply {declaration, prune, steps}
//	GET    /v1/routes               GET, PUT {to, action, ...}, DELETE /v1/routes/{name}
//	GET    /v1/networks             POST {network}   DELETE /v1/networks/{network}
//	GET    /v1/dkim, /v1/dkim/{domain}, /v1/dkim/{domain}/records   POST /v1/dkim/{domain}/rotate
//	GET    /v1/certificates, /v1/certificates/{name}   POST /v1/certificates/renew {name}, /v1/certificates/{name}/rotate-key {now}
//	GET    /v1/dns/{domain}, /v1/dns/{domain}/check?resolver   POST /v1/dns/{domain}/publish {replace, dry_run}
//	GET    /v1/explain?address&from&as&client&via
//	GET    /v1/found/{address}      who has an address
//	GET    /v1/client-settings?address  what a client is to use for it
//	GET    /v1/reports/dmarc?domain&since&names   GET /v1/reports/sent?domain&since&limit
//	GET    /v1/retention, /v1/retention/{address}   PUT {account | domain, role, keep}   DELETE ?account&domain&role
//	POST   /v1/retention/preview    {account | domain, role, keep}
//	GET    /v1/bans                 POST {network, seconds?, reason?, owners_too?}
//	GET    /v1/bans/{address}       why it is banned, or not   DELETE /v1/bans/{network}
//	GET    /v1/accounts/{address}/sending, /v1/domains/{domain}/sending   PATCH {messages_hour?, ...}
//	POST   /v1/accounts/{address}/release {drop?}
//	POST   /v1/check?deep           a stream of {problem}, then {checked}
//	POST   /v1/move                 {folder, database}: a stream of {progress}, then {moved}; the server ends then
//	POST   /v1/backup               a stream of {progress}, then {snapshot}; see lend.go for the folder
//	POST   /v1/restore              {account, ...}: a stream of {progress}, then {returned}; likewise
//	GET    /v1/junk?account         and what else is in junk.go
//	GET    /v1/audit?since&who&what&after&limit   what was changed, the latest first
//	GET    /metrics                 for Prometheus
//	GET    /debug/pprof/            Go's profiles; on the socket only
//
// The queue of outgoing mail stands in queue.go, the memory of all mail in
// trace.go.
//
// A failure is {kind, text} with the status of the table in errors.go.
package admin

import (
	"time"
)

// Limits of requests.
const (
	MaxRequest  = 4 << 20 // octets of a body
	MaxImport   = 1000    // accounts in one import
	MaxPage     = 1000    // entries of one answer; also the default
	maxResponse = 64 << 20
)

// Status is what the server says of itself.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Process int       `json:"process"`

	// Secrets is where the key is that seals secrets in the database; "" if there is
	// none yet. SecretsFault says why it cannot be used.
	Secrets      string `json:"secrets,omitempty"`
	SecretsFault string `json:"secrets_fault,omitempty"`

	// Foreign are accounts, at most 3, of which only a hash of another server is known:
	// SCRAM does not work for them before the next login.
	Foreign []string `json:"foreign,omitempty"`
}

// Domain is a local domain.
type Domain struct {
	Domain   string   `json:"domain"`
	AliasOf  string   `json:"alias_of,omitempty"`  // the domain of which it is another name
	CatchAll []string `json:"catch_all,omitempty"` // who gets what nobody else has
	Accounts int      `json:"accounts"`
	Aliases  int      `json:"aliases"`
	Quota    Quota    `json:"quota"` // of its accounts that have none of their own

	Unreadable string `json:"unreadable,omitempty"` // what is wrong with the row, if it cannot be read
}

// Quota is what an account, a domain or the site was given: 0 is no bound, and
// -1 leaves it to what stands above.
type Quota struct {
	Octets   int64 `json:"octets"`
	Messages int64 `json:"messages"`
}

// QuotaChange says what to change of a Quota; nil leaves it.
type QuotaChange struct {
	Octets   *int64 `json:"octets,omitempty"`
	Messages *int64 `json:"messages,omitempty"`
}

// DomainChange says what to change of a domain.
type DomainChange struct {
	Quota QuotaChange `json:"quota"`
}

// AliasDomain asks for a domain to be another name of one.
type AliasDomain struct {
	Of string `json:"of"`
}

// Unaliased says of a domain that is no alias any more whether it is still here, for
// what it has itself.
type Unaliased struct {
	Domain string `json:"domain"`
	Kept   bool   `json:"kept"`
}

// NewDomain asks for a domain.
type NewDomain struct {
	Domain string `json:"domain"`
}

// Account is an account. Holds is filled for a single one only.
type Account struct {
	Address string    `json:"address"`
	Enabled bool      `json:"enabled"`
	Created time.Time `json:"created"`
	// Language is the tag of what the owner reads, for mail from this server.
	Language string    `json:"language,omitempty"`
	Forward  *Forward  `json:"forward,omitempty"`
	Quota    Quota     `json:"quota"` // its own
	Usage    Usage     `json:"usage"`
	Holds    *Holdings `json:"holds,omitempty"`
	Limit    *Limit    `json:"limit,omitempty"` // of its own password; for a single one only
	Apps     int       `json:"apps,omitempty"`  // how many app passwords it has; for a single one only
	TOTP     bool      `json:"totp,omitempty"`  // it has a second factor; for a single one only

	Unreadable string `json:"unreadable,omitempty"` // what is wrong with the row, if it cannot be read
}

// Forward says to whom an account sends its mail on, and whether it keeps a copy.
type Forward struct {
	To   []string `json:"to"`
	Keep bool     `json:"keep"`
}

// Rename asks for another address of an account; with Alias the old one stays as an
// alias.
type Rename struct {
	To    string `json:"to"`
	Alias bool   `json:"alias"`
}

// Usage is how much an account has, and how much it may have by its own quota
// and those above: 0 is no bound.
type Usage struct {
	Octets      int64      `json:"octets"`
	Messages    int64      `json:"messages"`
	MaxOctets   int64      `json:"max_octets"`
	MaxMessages int64      `json:"max_messages"`
	FullSince   *time.Time `json:"full_since,omitempty"` // since when mail is refused
}

// Holdings is how much an account has.
type Holdings struct {
	Mailboxes int   `json:"mailboxes"`
	Messages  int64 `json:"messages"`
	Unseen    int64 `json:"unseen"`
	Octets    int64 `json:"octets"`
}

// NewAccount asks for an account.
type NewAccount struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	Language string `json:"language,omitempty"`

	AllowWeakPassword bool `json:"allow_weak_password,omitempty"` // the password may be one that is soon guessed
}

// AccountChange says what to change of an account; nil leaves it.
type AccountChange struct {
	Password *string `json:"password,omitempty"`
	Limit    *Limit  `json:"limit,omitempty"` // of its own password; one without anything is none
	Enabled  *bool   `json:"enabled,omitempty"`
	Language *string `json:"language,omitempty"`

	Quota *QuotaChange `json:"quota,omitempty"`

	AllowWeakPassword bool `json:"allow_weak_password,omitempty"` // the password may be one that is soon guessed
}

// Import is many accounts at once.
type Import struct {
	Accounts []ImportAccount `json:"accounts"`

	DryRun            bool `json:"dry_run,omitempty"`             // nothing is changed: the answer says what would be
	AllowWeakHash     bool `json:"allow_weak_hash,omitempty"`     // hashes may be of schemes behind which passwords are soon found
	AllowWeakPassword bool `json:"allow_weak_password,omitempty"` // passwords may be such as are soon guessed
}

// ImportAccount is one account of an Import. Hash is what is known of the password
// instead of it: {SCHEME}text as Dovecot writes it, or one of crypt(3).
type ImportAccount struct {
	Line     int    `json:"line,omitempty"` // where it stands, for the report
	Address  string `json:"address"`
	Password string `json:"password,omitempty"`
	Hash     string `json:"hash,omitempty"`
	Language string `json:"language,omitempty"`

	Quota QuotaChange `json:"quota,omitzero"` // its own
}

// Imported says what became of an Import.
type Imported struct {
	Added    int             `json:"added"`
	Skipped  int             `json:"skipped"` // were there already, and stay as they are
	Failed   int             `json:"failed"`
	Failures []ImportFailure `json:"failures,omitempty"`
}

// ImportFailure says why an account was not imported.
type ImportFailure struct {
	Line    int    `json:"line,omitempty"`
	Address string `json:"address,omitempty"` // whose record it is, if that can be read
	Text    string `json:"text"`
}

// Alias stands for its targets. An address without a local part ("@example.org")
// is the catch-all of its domain.
type Alias struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`

	Unreadable string `json:"unreadable,omitempty"` // what is wrong with the rows, if they cannot be read
}

// AliasChange says what to change of an alias.
type AliasChange struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

// Found says whether an address is of a domain here, and by what somebody has it:
// "name", "subaddress", "postmaster", "catch-all", or "" for nobody.
type Found struct {
	Local bool   `json:"local"`
	By    string `json:"by,omitempty"`
}

// Page is part of a list; Next is what to give as "after" for more, or "".
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Finding is one line of a check: a problem, or at the end that all was checked.
type Finding struct {
	Problem string   `json:"problem,omitempty"`
	Checked bool     `json:"checked,omitempty"`
	Failure *Failure `json:"failure,omitempty"` // the check itself could not go on
}

// Failure is the body of an answer that is an error.
type Failure struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}
