// Package dmarcreport is the language of DMARC reports: the aggregate report of
// RFC 9990, as it is written, and as it is read with what the older world sends
// (RFC 7489 Appendix C), in the mail that carries it.
//
//	Attachments   which parts of a message may hold a report (attachment.go)
//	Unpack        the document out of one: gzip, zip or plain (attachment.go)
//	Parse         reads the document, record by record (parse.go, scan.go)
//	Write         writes one (write.go)
//	Letter        the mail that carries one (letter.go)
//
// A document is read in one pass, and neither it nor its records are ever in memory
// as a whole. What a stranger can make it cost is bounded by the constants below:
// octets before and after unpacking, depth, records, texts. It has no entities
// but the five of XML and numbers, no document type and no external parts, so
// nothing in it can stand for more than it is.
//
// What it does not know it passes over, as RFC 9990 §5 wants it; what the older
// world has in another order or leaves out is no fault. A document without what a
// report is about (who reports, its number, the period, the domain) is none, and
// a record without an address or a count neither.
//
// Deviation: namespaces are not looked at, for most who report still write none. Only
// the part of a name behind the colon counts, so an element of an extension is
// taken for one of the report only if it stands in its place.
//
// Failure reports (RFC 9991, RFC 6591) are recognised, so that they are not taken for
// damaged aggregate reports, and no more: they quote mail of people, this house sends
// none, and nobody who reads them here would have a use for them that the mailbox
// they come to does not serve.
//
// It has no clock, no goroutine and no network. Whether a report is to be believed
// is for who received it to say.
package dmarcreport

import (
	"net/netip"
	"time"

	"yubin/internal/mail"
)

// Limits of what is read.
const (
	MaxUnpacked   = 64 << 20 // octets of a document
	MaxDepth      = 32       // elements around an element
	MaxElements   = 4 << 20  // of a document; the largest of common ones have three million
	MaxRecords    = 500_000  // of a document; the shortest has some 150 octets
	MaxText       = 1024     // octets of a text; longer ones for people are cut, others are faults
	MaxTag        = 4 << 10  // octets between < and >
	MaxSignatures = 100      // of a record (RFC 9990 §3.1.3); others are passed over
	MaxReasons    = 16       // of a record; others are passed over
	MaxParts      = 4        // parts of one message that are looked at
)

// Report is an aggregate report without its records.
type Report struct {
	Organization string // who reports
	Contact      string // an address, mostly
	Extra        string // more about how to reach it; "" if nothing
	ID           string
	Begin, End   time.Time // the period, to the second; both belong to it
	Error        string    // what was wrong with the policy's record; "" if nothing
	Generator    string    // the program; "" if it does not say
	Published    Published
}

// Published is the policy as who reports found it. Empty texts are tags that
// the report does not repeat.
type Published struct {
	Domain         mail.Domain // where the record stands
	P, SP, NP      string      // none, quarantine, reject
	DKIM, SPF      string      // alignment: r, s
	FailureReports string      // the tag fo
	Testing        string      // n, y
	Discovery      string      // psl, treewalk
	Percent        string      // of RFC 7489; not written
}

// Record is how many messages of one source fared alike.
type Record struct {
	Source      netip.Addr
	Count       int64
	Disposition Disposition
	DKIM, SPF   bool // the method gave an aligned pass
	Reasons     []Reason

	From         mail.Domain // of the field From
	EnvelopeFrom mail.Domain // "" if the sender was null, or the report does not say
	EnvelopeTo   mail.Domain // "" if the report does not say

	Signatures []Signature
	Sender     Sender
}

// Reason is why what was done is not what the policy says.
type Reason struct {
	Type    string // see RFC 9990 §3.1.6; "other" for what is not known
	Comment string
}

// Signature is what a DKIM signature came to.
type Signature struct {
	Domain   mail.Domain
	Selector string
	Result   string // RFC 8601 §2.7.1
	Human    string
}

// Sender is what SPF came to; Result is "" if the report does not say.
type Sender struct {
	Domain mail.Domain
	Result string // RFC 8601 §2.7.2
	Human  string
}

// Disposition is what was done with messages by the policy.
type Disposition uint8

// The dispositions of RFC 9990.
const (
	Unknown    Disposition = iota // the report has a word of its own
	None                          // nothing
	Pass                          // nothing, for they passed a policy that would have had something done
	Quarantine                    // they were treated as suspicious
	Reject                        // they were refused
)

var dispositions = [...]string{"unknown", "none", "pass", "quarantine", "reject"}

func (d Disposition) String() string {
	if int(d) < len(dispositions) {
		return dispositions[d]
	}
	return dispositions[Unknown]
}

// ParseDisposition reads the word of a Disposition; Unknown for others.
func ParseDisposition(s string) Disposition {
	for d, word := range dispositions {
		if word == s {
			return Disposition(d)
		}
	}
	return Unknown
}

func invalid(format string, args ...any) error { return mail.Errorf(mail.Invalid, format, args...) }

func tooLarge(format string, args ...any) error { return mail.Errorf(mail.TooLarge, format, args...) }
