package courier

import (
	"slices"
	"strings"

	"yubin/internal/mail"
)

// next is where a recipient goes after an answer.
type next uint8

const (
	settled  next = iota // the answer is final for this attempt
	nextHost             // another host may be tried
	stop                 // final, and no host would do better: it is our own trouble
)

// verdict is what follows from an answer.
type verdict struct {
	outcome mail.Outcome
	next    next
	lost    bool // the host may have the message all the same
}

// rule is a row of the table. Zero fields fit everything.
type rule struct {
	phases  []mail.Phase
	trouble []mail.Trouble
	codes   []int    // exact codes, or 2, 4, 5 for a class; none for an answer of trouble
	words   []string // enhanced codes, "" for none
	tls     bool     // only for messages that demand TLS (RFC 8689)
	verdict verdict
}

// rules say what follows from each answer; the first row that fits counts, and
// the last one fits all.
//
// What is a matter of the session or the host leads to the next host; what is
// a matter of the message or of one recipient is settled. Nothing is offered
// again within one attempt once a host had all of it, or once the host spoke
// about that recipient.
var rules = []rule{
	// Our own trouble.
	{trouble: []mail.Trouble{mail.Canceled}, phases: []mail.Phase{mail.PhaseAnswer}, verdict: verdict{mail.Deferred, stop, true}},
	{trouble: []mail.Trouble{mail.Canceled, mail.Unreadable}, verdict: verdict{mail.Deferred, stop, false}},
	{trouble: []mail.Trouble{mail.Unsendable}, verdict: verdict{mail.Failed, stop, false}},

	// The answer to the whole message, or the lack of one (RFC 5321 §6.1).
	{phases: []mail.Phase{mail.PhaseAnswer}, codes: []int{2}, verdict: verdict{mail.Delivered, settled, false}},
	{phases: []mail.Phase{mail.PhaseAnswer}, codes: []int{4}, verdict: verdict{mail.Deferred, settled, false}},
	{phases: []mail.Phase{mail.PhaseAnswer}, codes: []int{5}, verdict: verdict{mail.Failed, settled, false}},
	{phases: []mail.Phase{mail.PhaseAnswer}, verdict: verdict{mail.Deferred, settled, true}},

	// The session: nothing was said about the message. 421 ends it wherever it
	// stands (RFC 5321 §3.8).
	{codes: []int{421}, verdict: verdict{mail.Deferred, nextHost, false}},
	{trouble: []mail.Trouble{mail.Closed, mail.TimedOut, mail.Garbled}, verdict: verdict{mail.Deferred, nextHost, false}},

	// The host. One that takes no mail says so for good (RFC 7504), but others
	// may (RFC 5321 §5.1).
	{phases: []mail.Phase{mail.PhaseGreeting, mail.PhaseHello}, codes: []int{4}, verdict: verdict{mail.Deferred, nextHost, false}},
	{phases: []mail.Phase{mail.PhaseGreeting, mail.PhaseHello}, codes: []int{5}, verdict: verdict{mail.Failed, nextHost, false}},

	// TLS that a route demands may be repaired; that a message demands decides
	// now (RFC 8689 §4.2.1).
	{phases: []mail.Phase{mail.PhaseTLS}, tls: true, verdict: verdict{mail.Failed, nextHost, false}},
	{phases: []mail.Phase{mail.PhaseTLS}, verdict: verdict{mail.Deferred, nextHost, false}},

	// Logging in: our configuration is wrong, or the smarthost's. The sender's
	// mail waits until it is right.
	{phases: []mail.Phase{mail.PhaseAuth}, verdict: verdict{mail.Deferred, nextHost, false}},

	// What a host lacks, another may have: an extension, or room by its SIZE.
	{trouble: []mail.Trouble{mail.Lacking}, verdict: verdict{mail.Failed, nextHost, false}},

	// The message.
	{phases: []mail.Phase{mail.PhaseMail, mail.PhaseData}, codes: []int{4}, verdict: verdict{mail.Deferred, nextHost, false}},
	{phases: []mail.Phase{mail.PhaseMail, mail.PhaseData}, codes: []int{5}, verdict: verdict{mail.Failed, settled, false}},
	{phases: []mail.Phase{mail.PhaseContent}, codes: []int{4}, verdict: verdict{mail.Deferred, settled, false}},
	{phases: []mail.Phase{mail.PhaseContent}, codes: []int{5}, verdict: verdict{mail.Failed, settled, false}},

	// One recipient. 4xx is settled too: greylisting is not to be walked around.
	// 552 that says no more means too many recipients for now, as 452 does (RFC
	// 5321 §4.5.3.1.10).
	{phases: []mail.Phase{mail.PhaseRcpt}, codes: []int{552}, words: []string{"", "5.5.3"}, verdict: verdict{mail.Deferred, settled, false}},
	{phases: []mail.Phase{mail.PhaseRcpt}, codes: []int{4}, verdict: verdict{mail.Deferred, settled, false}},
	{phases: []mail.Phase{mail.PhaseRcpt}, codes: []int{5}, verdict: verdict{mail.Failed, settled, false}},

	{verdict: verdict{mail.Deferred, nextHost, false}},
}

// classify says what follows from a, which is not zero.
func classify(a mail.Answer, demandsTLS bool) verdict {
	for _, r := range rules {
		if r.fits(a, demandsTLS) {
			return r.verdict
		}
	}
	panic("courier: the last rule fits all")
}

func (r rule) fits(a mail.Answer, demandsTLS bool) bool {
	return (r.phases == nil || slices.Contains(r.phases, a.Phase)) &&
		(r.trouble == nil || slices.Contains(r.trouble, a.Trouble)) &&
		(r.codes == nil || a.Trouble == mail.NoTrouble && (slices.Contains(r.codes, a.Code) || slices.Contains(r.codes, a.Code/100))) &&
		(r.words == nil || slices.Contains(r.words, a.Enhanced)) &&
		(!r.tls || demandsTLS)
}

// mayBeInClear reports whether the same host may be tried again without TLS
// (RFC 7435): a wish for TLS that failed, where nothing demands it.
func mayBeInClear(a mail.Answer, policy mail.TLSPolicy) bool {
	return policy == mail.TLSOpportunistic && a.Phase == mail.PhaseTLS && a.Trouble != mail.Canceled
}

// isStale reports whether a is what an idle session says that the host has
// ended meanwhile. Nothing was given to it.
func isStale(a mail.Answer) bool {
	return a.Phase == mail.PhaseMail && (a.Trouble == mail.Closed || a.Code == 421)
}

// withClass gives an enhanced status code the class that the outcome has.
func withClass(enhanced string, o mail.Outcome) string {
	_, rest, ok := strings.Cut(enhanced, ".")
	if !ok {
		rest = "0.0"
	}
	return map[mail.Outcome]string{mail.Delivered: "2.", mail.Deferred: "4.", mail.Failed: "5."}[o] + rest
}
