// Package tlsrpt is the language of reports about TLS between mail servers (RFC
// 8460): what a session to another server came to, who wants to hear of it, and the
// report about a day of them, as it is written and as it is read.
//
//	Observation   what TLS came to with one session (this file)
//	ParseRecord   who takes reports about a domain: the TXT record (record.go)
//	Report        a day of sessions, by policy (this file)
//	Parse         reads the document of one, JSON (parse.go)
//	Report.Write  writes one (write.go)
//	Attachments   which parts of a message may hold one (letter.go)
//	Letter        the mail that carries one (letter.go)
//
// What a stranger can make a document cost is bounded by the constants below. It is
// read token by token, so that nothing is made of what is passed over. What it does not
// know it passes over; a document without what a report is about (who reports, its
// number, the period, a policy with its domain) is none. Texts that are read have no
// control characters.
//
// Packing is not undone here: that is the same for all reports.
//
// It has no clock, no goroutine and no network. Whether a report is to be believed is
// for who received it to say.
package tlsrpt

import (
	"net/netip"
	"time"

	"yubin/internal/mail"
)

// Limits of what is read.
const (
	MaxUnpacked = 10 << 20 // octets of a document (RFC 8460 §5.2: what others take, too)
	MaxDepth    = 16       // objects and lists around a value
	MaxTokens   = 1 << 20  // names, values and brackets of a document
	MaxPolicies = 1000     // of a document
	MaxFailures = 20_000   // of a document, in all its policies
	MaxStrings  = 100      // of a policy, and patterns of hosts; others are passed over
	MaxText     = 512      // octets of a text; longer ones are cut
	MaxParts    = 4        // parts of one message that are looked at
	MaxRecord   = 4096     // octets of the TXT record
	MaxURIs     = 10       // of a record; others are passed over
)

// PolicyType is what kind of policy a session was under (RFC 8460 §4.4). The zero value
// is a kind that others have a word for.
type PolicyType uint8

// The types.
const (
	OtherPolicy   PolicyType = iota
	TLSA                     // DANE (RFC 7672)
	STS                      // MTA-STS (RFC 8461)
	NoPolicyFound            // none: what TLS there was nobody asked for
)

var policyTypes = [...]string{"other", "tlsa", "sts", "no-policy-found"}

// String is the word of a report.
func (t PolicyType) String() string {
	if int(t) < len(policyTypes) {
		return policyTypes[t]
	}
	return policyTypes[OtherPolicy]
}

// ParsePolicyType reads the word of a PolicyType; OtherPolicy for others.
func ParsePolicyType(s string) PolicyType {
	for t, word := range policyTypes {
		if word == s {
			return PolicyType(t)
		}
	}
	return OtherPolicy
}

// Policy is what a session was under.
type Policy struct {
	Type PolicyType
	// Strings are the policy (RFC 8460 §4.5): of TLSA a record each, in the form of
	// presentation; of STS the lines of the file, without their ends.
	Strings []string
	// Domain is whose policy it is: of STS the domain of the mail, of TLSA the base
	// domain of the host (RFC 7672 §2.2.3), of NoPolicyFound the domain of the mail.
	Domain  mail.Domain
	MXHosts []string // of STS: the patterns of hosts
}

// ResultType is why a session failed (RFC 8460 §4.3). Reports may have others: the list
// grows.
type ResultType string

// The result types.
const (
	// Negotiation (§4.3.1).
	StartTLSNotSupported    ResultType = "starttls-not-supported"
	CertificateHostMismatch ResultType = "certificate-host-mismatch"
	CertificateExpired      ResultType = "certificate-expired"
	CertificateNotTrusted   ResultType = "certificate-not-trusted"
	ValidationFailure       ResultType = "validation-failure" // what no other says

	// DANE (§4.3.2.1).
	TLSAInvalid   ResultType = "tlsa-invalid"
	DNSSECInvalid ResultType = "dnssec-invalid"
	DANERequired  ResultType = "dane-required"

	// MTA-STS (§4.3.2.2).
	STSPolicyFetchError ResultType = "sts-policy-fetch-error"
	STSPolicyInvalid    ResultType = "sts-policy-invalid"
	STSWebPKIInvalid    ResultType = "sts-webpki-invalid"
)

// Failure is how a session failed. Fields may be empty but Result.
type Failure struct {
	Result                 ResultType
	SendingIP, ReceivingIP netip.Addr
	MXHostname             string // of the MX record that led there
	HELO                   string // the name that the host gave itself
	ReasonCode             string // short: a code or words of TLS, as "x509: unknown authority"
	Detail                 string // more of it; in a report it stands behind ReasonCode
}

// Observation is what TLS came to with one session to another server. A session that
// ended before there could have been TLS (a timeout, a full host) is none (§4.3.4).
type Observation struct {
	Policy  Policy
	Failure *Failure // nil: successful, as the policy wants it
	// For is the domain that the mail was for, which may ask for reports; "" is
	// Policy.Domain.
	For mail.Domain
}

// Report is what an organization has to say of its sessions in a period.
type Report struct {
	Organization string
	Contact      string // an address, mostly
	ID           string
	Begin, End   time.Time // to the second
	Policies     []PolicyResult
}

// PolicyResult is what sessions under one policy came to.
type PolicyResult struct {
	Policy
	Successful, Failed int64 // sessions
	// Failures are how they failed. A session may be in several or none, so their sum
	// need not be Failed.
	Failures []Failures
}

// Failures are sessions that failed alike.
type Failures struct {
	Failure
	Sessions int64
	Info     string // a URI of the reporter with more; "" for none
}

func invalid(format string, args ...any) error { return mail.Errorf(mail.Invalid, format, args...) }

func tooLarge(format string, args ...any) error { return mail.Errorf(mail.TooLarge, format, args...) }
