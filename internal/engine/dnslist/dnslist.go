// Package dnslist asks lists in the DNS what they say about a client, a sender or
// a link: DNSBLs and DNSWLs (RFC 5782), and lists of domains in the manner of
// URIBL and SURBL. Lists are configured; without any, nothing is asked.
//
// # What an answer means
//
// A list answers with addresses of 127.0.0.0/8, each of which is a code. The
// configuration says what the codes of a list mean and weigh; a code that it does
// not name is ignored, so that a list that grows a new meaning changes nothing. No
// record is "not listed". Trouble in the DNS is neither: the list is named among
// those that did not answer.
//
// # Lists that are out of order
//
// A list that ends often lists everything, or answers nobody any more. So each is
// tried for the entries that it must and must not have (RFC 5782 §5, list.go), at
// the start and then by Run; and 127.255.255.0/24, by which operators refuse to
// answer, an answer outside 127.0.0.0/8 and 127.0.0.1 are never a listing. A list
// that fails is not asked until it has passed several times in a row (health.go).
// Until its first trial a list is not asked either.
//
// # Limits
//
// Lookups of one Ask are bounded, and made side by side; what is not asked for
// that reason is not listed. Answers are remembered by the resolver. From a link
// its registrable domain is asked for (link.go). Reasons of lists (their TXT
// records) are not fetched: the meaning in the configuration is what people read.
package dnslist

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Limits of one Ask.
const (
	MaxLookups = 64 // more subjects times lists than that are not asked for
	MaxAtOnce  = 16 // lookups side by side
	MaxCodes   = 16 // answers that are looked at of one lookup
)

// About is what a subject is to a message; a list may be for several.
type About uint8

// The subjects.
const (
	Client About = 1 << iota // the address that mail comes from
	Sender                   // a domain that says it is the sender: MAIL FROM, From, HELO
	Link                     // a host in a link of the text
)

func (a About) String() string {
	switch a {
	case Client:
		return "client"
	case Sender:
		return "sender"
	case Link:
		return "link"
	}
	return "several"
}

// Subject is what lists are asked about: an address or a domain.
type Subject struct {
	About  About
	Addr   netip.Addr
	Domain mail.Domain // if Addr is not valid
}

func (s Subject) String() string {
	if s.Addr.IsValid() {
		return s.Addr.String()
	}
	return string(s.Domain)
}

// Finding is a subject in a list.
type Finding struct {
	List    string
	Subject Subject
	Weight  float64 // that of the code, or the sum of several
	Meaning string
}

// Findings is what all lists say. Unknown are those of which at least one
// did not answer, by name and sorted; they are no findings.
type Findings struct {
	Found   []Finding // in the order of the lists and of the subjects
	Unknown []string
}

// Resolver is what of dns.Resolver is asked.
type Resolver interface {
	A(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
}

// Outcome is what came of one lookup, for those who count.
type Outcome uint8

// The outcomes.
const (
	NotListed Outcome = iota
	Listed
	NoAnswer // the DNS did not answer
	Refused  // the list says that it does not answer us, or gives a meaningless answer
)

func (o Outcome) String() string {
	return [...]string{"not listed", "listed", "no answer", "refused"}[o]
}

// Options of Lists.
type Options struct {
	Lists    []List
	Resolver Resolver
	Observe  func(list string, o Outcome) // of each lookup for a message; may be nil
	// Changed tells that a list is no longer asked, and why, or is asked again; may
	// be nil.
	Changed func(list string, asked bool, reason string)
}

// Lists asks lists. Safe for concurrent use.
type Lists struct {
	o     Options
	lists []*listed
}

// listed is a list with what is known of its health.
type listed struct {
	List
	health health
}

// New checks the lists. It starts nothing: Run does. The error is of kind
// mail.Invalid.
func New(o Options) (*Lists, error) {
	l := &Lists{o: o}
	for _, list := range o.Lists {
		if err := list.check(); err != nil {
			return nil, err
		}
		for _, other := range l.lists {
			if other.Name == list.Name {
				return nil, mail.Errorf(mail.Invalid, "two lists have the name %q", list.Name)
			}
		}
		l.lists = append(l.lists, &listed{List: list})
	}
	return l, nil
}

// lookup is one question to one list.
type lookup struct {
	list    *listed
	subject Subject
	finding Finding
	outcome Outcome
}

// Ask asks all lists in order about the subjects that they are for. It returns when
// all have answered or ctx ends; who has not answered by then is Unknown.
func (l *Lists) Ask(ctx context.Context, subjects ...Subject) Findings {
	asked := l.lookups(subjects)
	turns := make(chan struct{}, MaxAtOnce)
	var all sync.WaitGroup
	for i := range asked {
		turns <- struct{}{}
		all.Go(func() {
			l.ask(ctx, &asked[i])
			<-turns
		})
	}
	all.Wait()
	var f Findings
	for _, a := range asked {
		switch a.outcome {
		case Listed:
			f.Found = append(f.Found, a.finding)
		case NoAnswer, Refused:
			f.Unknown = append(f.Unknown, a.list.Name)
		}
	}
	slices.Sort(f.Unknown)
	f.Unknown = slices.Compact(f.Unknown)
	return f
}

// lookups lists what is to be asked, list by list, each subject once.
func (l *Lists) lookups(subjects []Subject) (all []lookup) {
	for _, list := range l.lists {
		if !list.health.inOrder() {
			continue
		}
		for i, s := range subjects {
			if list.About&s.About == 0 || slices.ContainsFunc(subjects[:i], func(o Subject) bool {
				return list.About&o.About != 0 && o.Addr == s.Addr && o.Domain == s.Domain
			}) {
				continue
			}
			if len(all) == MaxLookups {
				return all
			}
			all = append(all, lookup{list: list, subject: s})
		}
	}
	return all
}

// ask makes one lookup and counts it.
func (l *Lists) ask(ctx context.Context, a *lookup) {
	name, err := a.list.name(a.subject)
	if err != nil {
		return // It has no name in this list: not listed.
	}
	answer, err := l.o.Resolver.A(ctx, name)
	var trouble string
	a.outcome, trouble = a.list.read(a, answer.Records, err)
	if ctx.Err() == nil || a.outcome != NoAnswer { // A message that gives up says nothing about the list.
		l.tell(a.list, a.list.health.used(a.outcome, trouble))
	}
	if l.o.Observe != nil {
		l.o.Observe(a.list.Name, a.outcome)
	}
}

// read says what an answer means.
func (l *listed) read(a *lookup, records []netip.Addr, err error) (o Outcome, trouble string) {
	if err != nil {
		if dns.FailureOf(err).NotFound() {
			return NotListed, ""
		}
		return NoAnswer, "it does not answer: " + dns.FailureOf(err).String()
	}
	records = records[:min(len(records), MaxCodes)]
	for _, code := range records {
		if trouble = refusal(code); trouble != "" {
			return Refused, trouble
		}
	}
	a.finding = Finding{List: l.Name, Subject: a.subject}
	for _, c := range l.Codes {
		if slices.ContainsFunc(records, c.Matches) {
			if o == Listed {
				a.finding.Meaning += "; "
			}
			a.finding.Weight += c.Weight
			a.finding.Meaning += c.Meaning
			o = Listed
		}
	}
	return o, ""
}

// tell reports a change of health.
func (l *Lists) tell(list *listed, c change) {
	if c.happened && l.o.Changed != nil {
		l.o.Changed(list.Name, c.asked, c.reason)
	}
}

// State is the health of a list, for those who look.
type State struct {
	List   string
	Asked  bool
	Reason string // why it is not
	Tried  time.Time
}

// States are those of all lists, in order.
func (l *Lists) States() []State {
	var all []State
	for _, list := range l.lists {
		all = append(all, list.health.state(list.Name))
	}
	return all
}
