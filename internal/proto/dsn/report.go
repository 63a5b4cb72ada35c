package dsn

import (
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Report is what became of one message (RFC 3464 §2.2). Zero values of all but
// ReportingMTA and Recipients mean that the report does not say.
type Report struct {
	ReportingMTA MTA
	Gateway      MTA // who translated the report from a foreign mail system
	ReceivedFrom MTA
	EnvelopeID   EnvelopeID // that the sender gave
	MessageID    string     // of the original, without angle brackets; from its header
	Arrival      time.Time  // at the reporting MTA
	DeliverBy    time.Time  // RFC 2852 §5
	HeldUntil    time.Time  // that the sender asked for (RFC 4865 §5.1.2)
	Recipients   []Recipient
}

// Recipient is what became of the message for one recipient (RFC 3464 §2.3).
type Recipient struct {
	Original       TypedAddress // as the sender gave it in ORCPT; only then
	Final          TypedAddress // of the envelope with which the reporting MTA got the message
	Action         Action
	Status         Status
	RemoteMTA      MTA // who gave the Diagnostic, if not the reporting MTA
	Diagnostic     Diagnostic
	LastAttempt    time.Time
	FinalLogID     string
	WillRetryUntil time.Time // of Delayed only
}

// MTA is the name of a mail system. Type is "dns" for a host name or an
// address literal; the zero value is no MTA.
type MTA struct{ Type, Name string }

// DNS returns the MTA that is the host called name.
func DNS(name mail.Domain) MTA {
	if name == "" {
		return MTA{}
	}
	return MTA{Type: "dns", Name: string(name)}
}

// Diagnostic is the answer of a mail transport. Of Type "smtp", Text is the
// reply as it came, its lines parted by LF, each with its code (RFC 3461 §9.2).
type Diagnostic struct{ Type, Text string }

// SMTP returns the Diagnostic that is an SMTP reply, its lines parted by LF or
// CRLF, each with its code.
func SMTP(reply string) Diagnostic {
	return Diagnostic{Type: "smtp", Text: strings.ReplaceAll(strings.TrimRight(reply, "\r\n"), "\r\n", "\n")}
}

// ownDiagnostic is the type of diagnostics in our own words.
const ownDiagnostic = "x-yubin"

// Attempted fills in what an attempt says of p: Status, RemoteMTA, Diagnostic
// and LastAttempt.
func (p *Recipient) Attempted(a mail.Attempt) {
	p.Status = attemptStatus(a)
	p.RemoteMTA = MTA{}
	if a.Host != "" {
		p.RemoteMTA = MTA{"dns", a.Host}
	}
	p.LastAttempt = a.At
	p.Diagnostic = Diagnostic{}
	switch {
	case a.Ours || a.Code == 0:
		if a.Text != "" {
			p.Diagnostic = Diagnostic{ownDiagnostic, a.Text}
		}
	default:
		p.Diagnostic = replyOf(a)
	}
}

// attemptStatus is the enhanced status of an attempt, or what its code says, if
// that is of the class of the outcome; else the class alone.
func attemptStatus(a mail.Attempt) Status {
	class, _ := mail.ParseEnhanced(mail.Attempt{Outcome: a.Outcome}.Status())
	if s, ok := mail.ParseEnhanced(a.Enhanced); ok && s.Class == class.Class {
		return s
	}
	if s := DefaultStatus(a.Code); s.Class == class.Class {
		return s
	}
	return class
}

// replyOf puts the reply of an attempt together as it came.
func replyOf(a mail.Attempt) Diagnostic {
	lines := strings.Split(a.Text, "\n")
	for i, line := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		if a.Enhanced != "" {
			line = strings.TrimSuffix(a.Enhanced+" "+line, " ")
		}
		lines[i] = strconv.Itoa(a.Code) + mark + line
	}
	return SMTP(strings.Join(lines, "\n"))
}

// Action is what the reporting MTA did (RFC 3464 §2.3.3).
type Action uint8

// The actions. The zero value is that a report does not say.
const (
	Failed    Action = 1 + iota // given up; nothing more will be tried
	Delayed                     // not yet; tried again
	Delivered                   // in the mailbox
	Relayed                     // handed to a system that does not report success
	Expanded                    // delivered, and passed on to several others
)

var actionNames = [...]string{"", "failed", "delayed", "delivered", "relayed", "expanded"}

func (a Action) String() string { return actionNames[a] }

// ParseAction reads an action-value in any case.
func ParseAction(s string) (Action, bool) {
	for a := Failed; a <= Expanded; a++ {
		if strings.EqualFold(actionNames[a], s) {
			return a, true
		}
	}
	return 0, false
}

// Asked reports whether a sender who asked for n wants to hear of a. One who
// said nothing wants to hear of failures and delays (RFC 3461 §4.1).
func (a Action) Asked(n mail.Notify) bool {
	if n == 0 {
		n = mail.NotifyFailure | mail.NotifyDelay
	}
	switch a {
	case Failed:
		return n&mail.NotifyFailure != 0
	case Delayed:
		return n&mail.NotifyDelay != 0
	}
	return n&mail.NotifySuccess != 0
}

// Leading returns the action that the report is mainly about: the one that
// matters most to the sender.
func (r *Report) Leading() Action {
	lead := Expanded
	for i := range r.Recipients {
		lead = min(lead, r.Recipients[i].Action)
	}
	return lead
}

// Returns says what of the original belongs into the report if the sender
// asked for want: all of it only with a failure (RFC 3461 §4.3). A sender who
// did not ask gets all.
func (r *Report) Returns(want mail.Ret) mail.Ret {
	if r.Leading() != Failed || want == mail.RetHeaders {
		return mail.RetHeaders
	}
	return mail.RetFull
}
