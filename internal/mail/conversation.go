package mail

import (
	"context"
	"crypto/x509"
	"time"
)

// Phase is a step on the way of a message to a next hop.
type Phase uint8

// The phases, in their order.
const (
	PhaseNone     Phase = iota
	PhaseRoute          // finding the hosts and their addresses
	PhaseConnect        // the TCP connection
	PhaseGreeting       // the greeting of the host
	PhaseHello          // EHLO, HELO, LHLO
	PhaseTLS            // STARTTLS and the handshake
	PhaseAuth           // AUTH
	PhaseMail           // MAIL FROM
	PhaseRcpt           // RCPT TO
	PhaseData           // DATA: may the content come
	PhaseContent        // the content, until its last octets leave
	PhaseAnswer         // the answer to the whole message
)

var phaseNames = [...]string{"", "route", "connect", "greeting", "hello", "tls", "auth", "mail", "rcpt", "data", "content", "answer"}

func (p Phase) String() string { return phaseNames[p] }

// Trouble is why a step of a conversation got no answer that counts.
type Trouble uint8

// The kinds of trouble. The list is closed.
const (
	NoTrouble  Trouble = iota // there is an answer
	Closed                    // the connection could not be made, or ended
	TimedOut                  // no answer, or not all of it, in time
	Garbled                   // what came is no SMTP
	Handshake                 // TLS was refused or failed
	Unverified                // the certificate does not show that the host is who it should be
	Lacking                   // the host does not offer what the message or the route needs
	Unsafe                    // logging in would show the password to others
	Unreadable                // our own content could not be read
	Unsendable                // our own content is not what its envelope says
	Canceled                  // we gave up
)

var troubleNames = [...]string{"", "closed", "timeout", "garbled", "handshake", "unverified", "lacking", "unsafe",
	"unreadable", "unsendable", "canceled"}

func (t Trouble) String() string { return troubleNames[t] }

// Answer is how one step of a conversation ended, or all steps for one
// recipient. The zero value says that the step was not tried.
type Answer struct {
	Phase   Phase
	Trouble Trouble
	// Code, Enhanced and Text are the remote's words if Trouble is NoTrouble;
	// else Code is 0, and Enhanced and Text are ours.
	Code     int
	Enhanced string
	Text     string
}

// Taken reports whether the remote took over the responsibility.
func (a Answer) Taken() bool {
	return a.Phase == PhaseAnswer && a.Trouble == NoTrouble && a.Code/100 == 2
}

// CertFault is why the certificate of a host does not show that it is who it should be.
type CertFault uint8

// The faults. The list is closed.
const (
	CertGood    CertFault = iota
	CertMissing           // the host shows none
	CertName              // it is for another name
	CertExpired           // it is not valid at this time
	CertUnknown           // nobody whom we trust has signed it
	CertInvalid           // it is not valid for another reason
	CertUnnamed           // no TLSA record of the host names it (RFC 7672 §3.2)
)

var certFaultTexts = [...]string{"it is good", "the host shows none", "it is for another name", "it is not valid at this time",
	"nobody whom we trust has signed it", "it is not valid", "none of the TLSA records of the host names it"}

func (f CertFault) String() string { return certFaultTexts[f] }

// Trust says whether a host that shows chain, its own certificate first, is who it should
// be, in place of the authorities that everybody trusts. What it is made of has a text,
// which is equal for those that trust the same.
type Trust interface {
	Verify(chain []*x509.Certificate, now time.Time) CertFault
	String() string
}

// Opening is how a session with a host is begun.
type Opening struct {
	Name        Domain // what we call ourselves
	Host        string // the name that its certificate must have
	LMTP        bool
	TLS         TLSPolicy
	Trust       Trust  // nil: a certificate must be valid for Host
	ServerName  string // that the host is told in TLS; "" is Host
	ImplicitTLS bool
	Auth        *Credentials
}

// Transaction is one message for some recipients of one host.
type Transaction struct {
	Outgoing
	Recipients []OutgoingRecipient
	Content    Opener
	// Sign, if not nil, returns fields that go before the content, whole lines, made of
	// the content as it leaves; changed says that it is not the one above. An error is
	// ours, as those of an Opener are.
	Sign func(ctx context.Context, content Opener, changed bool) (fields []byte, err error)
}

// Connection is what is known of a connection to a host.
type Connection struct {
	TLS      string // version and cipher suite; "" in clear
	Verified bool
	// Certificate is why it is not verified, if there was a certificate to look at or
	// should have been.
	Certificate CertFault
	// DSN and DeliverBy say that the host offers them (RFC 3461, RFC 2852).
	DSN, DeliverBy bool
	// Spent says that the session can carry nothing more.
	Spent bool
}
