package zone

import (
	"fmt"

	"yubin/internal/dns"
)

// Need says how much a record matters.
type Need uint8

// The needs.
const (
	Needed      Need = iota // without it mail does not come, or is not believed
	Recommended             // without it mail is less safe, or less believed
	Optional                // with it something is more comfortable
)

var needNames = [...]string{"needed", "recommended", "optional"}

func (n Need) String() string { return needNames[n] }

// Kind is what a record is for.
type Kind uint8

// The kinds.
const (
	MX Kind = iota
	Address
	Reverse
	SPF
	SPFHost
	DKIM
	DMARC
	DMARCConsent
	STS
	STSHost
	TLSRPT
	TLSA
	CAA
	Service
	Autoconfig
	Autodiscover

	// From here on: what Check looks at beside records.
	TLS
	STSPolicy
	DNSSEC
	Servers
)

var kinds = [...]struct{ name, title, why string }{
	MX:           {"mx", "MX", "says which server takes mail for the domain"},
	Address:      {"address", "address", "says where this server is"},
	Reverse:      {"reverse", "reverse DNS", "leads from the address back to the name: many servers take no mail from an address without it; whoever gave you the address sets it"},
	SPF:          {"spf", "SPF", "says that this server may send mail for the domain; without it others take its mail for forged"},
	SPFHost:      {"spf-host", "SPF of the host", "says that this server may send in its own name, as it does with reports"},
	DKIM:         {"dkim", "DKIM", "has the key with which others verify the signatures of your mail"},
	DMARC:        {"dmarc", "DMARC", "says what others are to do with mail that pretends to be yours; big providers want it"},
	DMARCConsent: {"dmarc-consent", "DMARC elsewhere", "says that reports about the domain may go to an address elsewhere"},
	STS:          {"mta-sts", "MTA-STS", "says that there is a policy by which others send you mail in TLS only, to this server only"},
	STSHost:      {"mta-sts-host", "MTA-STS host", "is where others fetch the policy of MTA-STS"},
	TLSRPT:       {"tlsrpt", "TLSRPT", "has others tell you daily whether they could send in TLS"},
	TLSA:         {"tlsa", "TLSA (DANE)", "has others send in TLS only, to a server with this key only; it counts only where the zone is signed (DNSSEC)"},
	CAA:          {"caa", "CAA", "keeps others from having a certificate made for this server"},
	Service:      {"service", "SRV", "tells mail clients which server and port to use"},
	Autoconfig:   {"autoconfig", "autoconfig", "is where Thunderbird and others find their settings"},
	Autodiscover: {"autodiscover", "autodiscover", "is where Outlook and others find their settings"},
	TLS:          {"tls", "TLS of the MX", "is what others see who bring mail: without TLS it is read on its way"},
	STSPolicy:    {"mta-sts-policy", "MTA-STS policy", "is what others fetch and hold to: if it does not fit, mail does not come"},
	DNSSEC:       {"dnssec", "DNSSEC", "keeps records from being forged on their way, and is what TLSA stands on"},
	Servers:      {"servers", "name servers", "must all say the same: others ask any of them"},
}

// String is the word for machines.
func (k Kind) String() string { return kinds[k].name }

// Title is the word for people.
func (k Kind) Title() string { return kinds[k].title }

// Why says in a sentence without its full stop and subject why it matters.
func (k Kind) Why() string { return kinds[k].why }

// Record is one that there should be.
type Record struct {
	dns.ZoneRecord
	Kind Kind
	Need Need
	Note string // what is special about it; may be ""

	signed func(records []string) (found bool, note string) // of a key: whether records have it
	stays  bool                                             // of a key that signs no more
}

// record makes one with the usual TTL.
func record(k Kind, need Need, n dns.Name, t dns.Type, format string, values ...any) Record {
	return Record{ZoneRecord: dns.ZoneRecord{Name: n, Type: t, TTL: TTL, Value: fmt.Sprintf(format, values...)}, Kind: k, Need: need}
}
