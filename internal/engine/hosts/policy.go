package hosts

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dane"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/tlsrpt"
)

// Policies knows what domains ask for by MTA-STS: *tlspolicy.Policies.
type Policies interface {
	Policy(ctx context.Context, d mail.Domain) (tlspolicy.Found, error)
}

// Source is who asks for TLS of a connection, and says which.
type Source uint8

// The sources.
const (
	ByNobody  Source = iota // TLS is used if it can be
	ByRoute                 // the operator
	ByMessage               // its header, which waives what others ask for (RFC 8689 §4.2.2)
	BySTS                   // the policy of the domain (RFC 8461)
	ByDANE                  // the TLSA records of the host (RFC 7672)
)

// Terms are how a host is to be spoken to, and who asks for that.
type Terms struct {
	TLS      mail.TLSPolicy
	Source   Source
	Demanded bool // by the message, REQUIRETLS, whatever else the Source asks for
	// Trust says which certificates are good, with ByDANE; nil is that they are valid for
	// the name of the host. ServerName is told the host in place of its name; may be "".
	Trust      mail.Trust
	ServerName string
	Records    int  // with ByDANE: TLSA records that can be used; with none, any certificate is good
	Proved     bool // with ByDANE: so are the exchangers, which makes the host the domain's
	// Testing says that the policy asks, with BySTS, only to be told; Unlisted that it does
	// not list the host.
	Testing, Unlisted bool
	Domain            mail.Domain // whose policy it is, with BySTS

	// Report is what reports of TLS say of the policy; nil if nothing is to be reported.
	Report *tlsrpt.Observation
}

// String is who asks for what, in a few words for the log and the history of a message;
// "" if nobody asks for anything.
func (t Terms) String() string {
	var words []string
	if t.Demanded {
		words = append(words, "REQUIRETLS")
	}
	switch {
	case t.Source == ByRoute:
		words = append(words, "route: "+t.TLS.String())
	case t.Source == ByMessage:
		words = append(words, "TLS-Required: No")
	case t.Source == BySTS && t.Testing:
		words = append(words, "MTA-STS testing")
	case t.Source == BySTS:
		words = append(words, "MTA-STS")
	case t.Source == ByDANE && t.Records == 0:
		words = append(words, "DANE without usable records")
	case t.Source == ByDANE:
		words = append(words, "DANE")
	}
	return strings.Join(words, ", ")
}

// policyTexts is in the order of the policies of TLS.
var policyTexts = [...]string{
	"if the host offers it, with any certificate; else in clear",
	"always, with any certificate",
	"always, with a valid certificate for the name of the host",
	"never",
}

// Explain is how a host is spoken to and why, in a sentence.
func (t Terms) Explain() string {
	text := policyTexts[t.TLS]
	switch {
	case t.Source == BySTS && t.Testing && t.Unlisted:
		text += "; the policy of " + string(t.Domain) + " (MTA-STS), which is only tested, does not list the host"
	case t.Source == BySTS && t.Testing:
		text += "; the policy of " + string(t.Domain) + " (MTA-STS) is only tested"
	case t.Source == BySTS:
		text += ", as the policy of " + string(t.Domain) + " asks (MTA-STS)"
	case t.Source == ByDANE && t.Records == 0:
		text += "; none of the TLSA records of the host can be used (DANE)"
	case t.Source == ByDANE:
		text = "always, with a certificate that " + counted(t.Records) + " of " + t.ServerName + " names (DANE)"
		if !t.Proved {
			text += "; nothing proves that the host is the domain's"
		}
	}
	return text
}

func counted(records int) string {
	if records == 1 {
		return "the TLSA record"
	}
	return "one of " + strconv.Itoa(records) + " TLSA records"
}

// own are the terms of hop for a message that says so of TLS. asks reports whether hosts
// and domains are asked for theirs: not where the operator said what he wants, where a
// password goes out or TLS comes before the greeting, which leaves nothing to fall back
// to, nor where there is no name to ask about.
func own(hop mail.NextHop, demand mail.TLSDemand) (t Terms, asks bool) {
	literal := hop.Kind == mail.HopMX && hop.Domain.IsLiteral()
	asks = !literal && hop.Kind != mail.HopLMTP && hop.TLS == mail.TLSOpportunistic && hop.Auth == nil && !hop.ImplicitTLS
	switch {
	case demand == mail.TLSDemanded:
		return Terms{TLS: mail.TLSVerified, Demanded: true}, asks
	case hop.TLS != mail.TLSOpportunistic:
		return Terms{TLS: hop.TLS, Source: ByRoute}, false
	case hop.Auth != nil:
		return Terms{TLS: mail.TLSVerified, Source: ByRoute}, false
	case hop.ImplicitTLS:
		return Terms{TLS: mail.TLSRequired, Source: ByRoute}, false
	case asks && demand == mail.TLSWaived:
		return Terms{Source: ByMessage}, false
	}
	return Terms{}, asks
}

// askDomain learns what the domain asks for, and returns a fault if the names of its
// exchangers may not be trusted: a message that demands TLS goes only where DNSSEC proves
// that they are the domain's, or its policy lists them, as anybody can have a certificate
// of his own name (RFC 8689 §4.2.1).
func (s *Search) askDomain(ctx context.Context) *Fault {
	if !s.asks && !s.own.Demanded {
		return nil
	}
	var fault *Fault
	if s.Policy, fault = s.policyOf(ctx, s.hop.Domain); fault != nil {
		return fault
	}
	switch {
	case !s.own.Demanded || s.Proof.Authentic || listsHosts(s.Policy):
		return nil
	case s.Policy.Unsure:
		return noProofYet(s.hop.Domain)
	}
	return noProof(s.hop.Domain)
}

func (s *Search) policyOf(ctx context.Context, d mail.Domain) (tlspolicy.Found, *Fault) {
	if s.finder.Policies == nil {
		return tlspolicy.Found{Domain: d}, nil
	}
	found, err := s.finder.Policies.Policy(ctx, d)
	if err != nil { // It might say that the mail must not go.
		return found, noPolicy(d)
	}
	return found, nil
}

// listsHosts reports whether a policy holds that says which hosts are the domain's.
func listsHosts(f tlspolicy.Found) bool { return f.Holds && f.Policy.Mode != mtasts.None }

// terms sets how h, whose addresses are known, is to be spoken to. A policy by which
// it must not be tried gives it a Fault.
//
// TLSA records go before a policy (RFC 8461 §2). Where nothing proves the exchangers,
// a policy that is enforced goes before TLSA records: it names the domain's hosts, and
// anybody whom the domain does not name can have records of his own. Nobody requires
// them to be looked at then (RFC 7672 §2.2.1).
func (s *Search) terms(ctx context.Context, at mail.HostPort, name dns.Name, h *Host) {
	h.Terms = s.own
	if at.Host.IsLiteral() {
		return
	}
	policy := s.Policy
	if s.named && s.asks { // RFC 8461 §3.4: a smarthost's name is the domain.
		if policy, h.Fault = s.policyOf(ctx, at.Host); h.Fault != nil {
			return
		}
	}
	proved := s.named || s.Proof.Authentic
	if s.own.Demanded && !proved && !policy.Policy.Matches(h.Name) {
		h.Fault = notListed(h.Name, policy.Domain, mail.Failed)
		return
	}
	if !s.asks {
		return
	}
	enforced := policy.Holds && policy.Policy.Mode == mtasts.Enforce
	if (proved || !enforced) && s.byDANE(ctx, at, name, h) {
		return
	}
	s.bySTS(policy, h)
}

// bySTS gives h the terms of the policy of a domain, if there is one.
func (s *Search) bySTS(f tlspolicy.Found, h *Host) {
	if !listsHosts(f) {
		h.Terms.Report = s.unprotected(f)
		return
	}
	listed := f.Policy.Matches(h.Name)
	h.Terms.Source, h.Terms.Domain = BySTS, f.Domain
	h.Terms.Report = s.told(tlsrpt.Policy{Type: tlsrpt.STS, Strings: strings.Split(strings.TrimSuffix(f.Policy.String(), "\r\n"), "\r\n"),
		Domain: f.Domain, MXHosts: f.Policy.MX})
	switch {
	case f.Policy.Mode == mtasts.Testing:
		h.Terms.Testing, h.Terms.Unlisted = true, !listed
	case listed:
		h.Terms.TLS = mail.TLSVerified
	default:
		h.Fault = notListed(h.Name, f.Domain, mail.Deferred)
		h.Told = failed(*h.Terms.Report, tlsrpt.Failure{Result: tlsrpt.ValidationFailure, MXHostname: h.Name, ReasonCode: Unlisted})
	}
}

// Unlisted is the reason code, in reports, of a host that a policy does not list.
const Unlisted = "the policy does not list the host"

// told is an observation of a policy, for who asks to hear of mail for the hop.
func (s *Search) told(p tlsrpt.Policy) *tlsrpt.Observation {
	return &tlsrpt.Observation{Policy: p, For: p.Domain}
}

// unprotected is what is told where there is no policy; that it could not be fetched is a
// failure of every session (RFC 8461 §6).
func (s *Search) unprotected(f tlspolicy.Found) *tlsrpt.Observation {
	if f.Domain == "" || s.named {
		return nil
	}
	o := s.told(tlsrpt.Policy{Type: tlsrpt.NoPolicyFound, Domain: f.Domain})
	result, found := map[tlspolicy.Trouble]tlsrpt.ResultType{
		tlspolicy.Unfetched:   tlsrpt.STSPolicyFetchError,
		tlspolicy.Uncertified: tlsrpt.STSWebPKIInvalid,
		tlspolicy.Unreadable:  tlsrpt.STSPolicyInvalid,
	}[f.Trouble]
	if found && !f.Holds {
		o.Policy.Type = tlsrpt.STS
		o.Failure = &tlsrpt.Failure{Result: result, ReasonCode: f.Why}
	}
	return o
}

// failed is o with a failure.
func failed(o tlsrpt.Observation, f tlsrpt.Failure) *tlsrpt.Observation {
	o.Failure = &f
	return &o
}

// byDANE gives h the terms of its TLSA records, and reports whether there are any, or
// whether nobody could say so, which gives it a Fault (RFC 7672 §2.2).
func (s *Search) byDANE(ctx context.Context, at mail.HostPort, name dns.Name, h *Host) bool {
	bases, fault := s.bases(ctx, name, h)
	for _, base := range bases {
		place, err := dns.TLSAName(at.Port, base)
		if err != nil {
			continue // Too long to exist.
		}
		a, err := s.finder.Resolver.TLSA(ctx, place)
		switch f := dns.FailureOf(err); {
		case f.Temporary():
			fault = noTLSA(h.Name, f)
		case err == nil && a.Authentic:
			s.held(dane.Usable(a.Records), a.Records, base, name, h)
			return true
		}
		if fault != nil {
			break
		}
	}
	if fault == nil {
		return false
	}
	h.Fault = fault
	h.Told = failed(*s.told(tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: s.mailDomain(at)}),
		tlsrpt.Failure{Result: tlsrpt.DNSSECInvalid, MXHostname: h.Name, ReasonCode: fault.Text})
	return true
}

// mailDomain is whose mail goes to a host.
func (s *Search) mailDomain(at mail.HostPort) mail.Domain {
	if s.named {
		return at.Host
	}
	return s.hop.Domain
}

// bases are the names of a host below which TLSA records may be, the first one first (RFC
// 7672 §2.2.2): what it is an alias of, and itself, if DNSSEC proves them. Without a
// proof nobody is asked, as many name servers fail then (§2.2.2).
func (s *Search) bases(ctx context.Context, name dns.Name, h *Host) ([]dns.Name, *Fault) {
	switch {
	case h.Proof.Authentic && h.Canonical != "":
		return []dns.Name{h.Canonical, name}, nil
	case h.Proof.Authentic:
		return []dns.Name{name}, nil
	case h.Canonical == "":
		return nil, nil
	}
	a, err := s.finder.Resolver.CNAME(ctx, name) // Only what it leads to may be without a proof.
	switch f := dns.FailureOf(err); {
	case f.Temporary():
		return nil, noTLSA(h.Name, f)
	case err == nil && a.Authentic:
		return []dns.Name{name}, nil
	}
	return nil, nil
}

// held gives h the terms of the TLSA records at a base domain: those of them that can be
// used name its certificate; if none can, it is spoken to in TLS all the same.
func (s *Search) held(usable []dane.Record, all []dns.TLSA, base, name dns.Name, h *Host) {
	t := &h.Terms
	t.Source, t.Records, t.ServerName, t.Proved = ByDANE, len(usable), string(base), s.named || s.Proof.Authentic
	if len(usable) > 0 {
		t.TLS, t.Trust = mail.TLSVerified, dane.Trust{Records: usable, Names: s.references(base, name)}
	} else if !t.Demanded {
		t.TLS = mail.TLSRequired
	}
	policy := tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: mail.Domain(base)}
	for _, r := range all[:min(len(all), dane.MaxRecords)] {
		policy.Strings = append(policy.Strings, dane.Record(r).String())
	}
	t.Report = s.told(policy)
	if !s.named {
		t.Report.For = s.hop.Domain
	}
	if len(usable) == 0 {
		t.Report = failed(*t.Report, tlsrpt.Failure{Result: tlsrpt.TLSAInvalid, ReasonCode: "no record can be used"})
	}
}

// references are the names that a certificate by an authority may have (RFC 7672 §3.2.2).
func (s *Search) references(base, name dns.Name) []string {
	names := []dns.Name{base}
	switch {
	case s.named || s.Implicit:
		names = append(names, name)
	case s.Proof.Authentic:
		names = append(names, dns.Name(s.hop.Domain), s.owner)
	}
	var list []string
	for _, n := range names {
		if n != "" && !slices.Contains(list, string(n)) {
			list = append(list, string(n))
		}
	}
	return list
}
