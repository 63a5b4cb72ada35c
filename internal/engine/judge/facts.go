package judge

import (
	"net/netip"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/extract"
	"yubin/internal/mail"
	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
	"yubin/internal/message"
)

// Client is who brings a message.
type Client struct {
	Remote netip.Addr // invalid on a local socket
	Hello  string     // what it says of itself: any octets
	TLS    bool
}

// Facts are what is known of a message. Rules go by them and by nothing else.
type Facts struct {
	Now         time.Time
	Hostname    mail.Domain // ours
	Client      Client
	ReversePath mail.ReversePath
	Recipients  []mail.Address

	// Who the client is.
	Reverse     Reverse
	ReverseName dns.Name // the name that leads back to the address, with ReversePass

	// Who wrote.
	SPF    spf.Verdict    // of MAIL FROM, or of HELO with a null sender
	DKIM   []dkim.Verdict // of each signature
	ARC    arc.Verdict
	DMARC  dmarc.Verdict
	Author mail.Address // of From, if it names one address; else zero
	From   FromFault    // what is wrong with From
	// AlignedSPF and AlignedDKIM say that SPF, or a signature, proves the author's domain,
	// whether it has a policy or not.
	AlignedSPF, AlignedDKIM bool
	// Authenticated is the domain for which the author is authenticated: that of From
	// if DMARC has an aligned pass, or would have if there were a policy. "" is none.
	Authenticated mail.Domain
	Ours          bool        // a domain in From is one of ours, or below one
	Mine          mail.Domain // that domain
	// MayBeProven says that the DNS did not answer about something that would prove the
	// author's domain.
	MayBeProven bool
	// Policed is the domain in From that DMARC speaks of: the first, or that of several
	// whose owner wants most.
	Policed mail.Domain
	Crowd   bool // From names more domains than are asked about
	Unread  bool // From may show an address that nobody can read for certain
	// Vouched is the domain that sent the message on and is believed about who wrote,
	// "" if there is none.
	Vouched mail.Domain

	// What it says.
	Message *message.Message // nil if it could not be read
	Content *extract.Content // never nil

	Returned Returned          // whose message it returns
	Lists    []dnslist.Finding // what lists in the DNS have of it

	Unknown []string // what could not be found out, in words: "SPF of example.org"
}

// FromFault is what is wrong with a From field (RFC 5322 §3.6.2, RFC 9989 §5.3.1).
type FromFault uint8

// The faults.
const (
	FromGood    FromFault = iota
	FromSeveral           // several addresses, which is allowed: Author is the first
	FromBroken            // it is no list of addresses that every reader reads alike
	FromTwice             // there are several fields
	FromMissing           // there is none
)

// Reverse is what the reverse zone says of a client's address (RFC 8601 §3).
type Reverse uint8

// The answers.
const (
	ReverseUnknown Reverse = iota // the DNS did not answer, or nobody asked
	ReversePass                   // it has a name that leads back to it
	ReverseFail                   // it has names, and none leads back
	ReverseMissing                // it has none
)

var reverseNames = [...]string{"temperror", "pass", "fail", "none"}

func (r Reverse) String() string { return reverseNames[r] }
