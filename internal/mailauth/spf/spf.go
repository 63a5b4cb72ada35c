// Package spf says whether a host may send mail for a domain: check_host of RFC
// 7208, with the internationalized addresses of RFC 8616 §4.
//
// It asks the DNS through a Resolver and does nothing else: no clock, no
// goroutine, no log. What it asks and keeps is bounded by the constants below,
// whatever records say; how long the DNS may take is for the caller's context to
// say (RFC 7208 §4.6.4 has 20 seconds at least). A failure of the DNS is TempError,
// never a refusal, but for the mechanism ptr: by RFC 7208 §5.5 it does not match then.
//
// What to do about a result is not decided here, and Received-SPF is not written.
package spf

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Limits (RFC 7208 §4.6.4). One check makes at most 1 + MaxLookups *
// (1 + MaxExchangers) + 1 lookups, and MaxNames + 1 more if %{p} stands in it.
const (
	MaxLookups    = 10 // terms that ask the DNS, all records together
	MaxVoids      = 2  // of these, terms for which the DNS has nothing
	MaxExchangers = 10 // mail exchangers of one mx
	MaxNames      = 10 // names of an address that ptr or %{p} look at; others are passed over
	// MaxRecord is how long a record may be, in octets. RFC 7208 §3.4 asks for
	// less than 450; this is what nobody has who means it.
	MaxRecord = 8 << 10
	// MaxExplanation is how long the text of an explanation may be, expanded, in
	// octets: a longer one is none. It has to fit into a reply (RFC 7208 §6.2).
	MaxExplanation = 400
)

// Result is what check_host returns (RFC 7208 §2.6).
type Result uint8

// The results.
const (
	None      Result = iota // the domain says nothing
	Neutral                 // it says that it does not say
	Pass                    // the host may
	Fail                    // the host may not
	SoftFail                // it probably may not
	TempError               // the DNS did not answer
	PermError               // the record cannot be understood
)

var resultNames = [...]string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}

func (r Result) String() string { return resultNames[r] }

// ParseResult reads the word of a result (RFC 8601 §2.7.2).
func ParseResult(word string) (Result, bool) {
	i := slices.Index(resultNames[:], strings.ToLower(word))
	return Result(max(i, 0)), i >= 0
}

// Resolver is what of dns.Resolver is asked.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
	A(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	AAAA(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	MX(ctx context.Context, d mail.Domain) (dns.Answer[dns.MX], error)
	PTR(ctx context.Context, addr netip.Addr) (dns.Answer[dns.Name], error)
}

// Query is what is known of a client and its mail.
type Query struct {
	IP netip.Addr // of the client; an IPv4 address in an IPv6 one counts as IPv4
	// Helo is what the client said of itself, and may be anything.
	Helo string
	// Sender is the identity that is checked. The null sender stands for
	// postmaster at Helo (RFC 7208 §2.4): it also checks the HELO identity.
	Sender mail.ReversePath
	// Receiver is who asks, for %{r} in explanations; "" is "unknown".
	Receiver mail.Domain
	Now      time.Time // for %{t} in explanations
}

// Verdict is the outcome of a check.
type Verdict struct {
	Result Result
	// Domain is the one that was checked, in canonical form, or what stood in its
	// place.
	Domain string
	Reason Reason
	// Explanation is what the domain says about a Fail, in printable ASCII; may be
	// empty. A stranger wrote it.
	Explanation string
}

// Check evaluates check_host (RFC 7208 §4).
func Check(ctx context.Context, r Resolver, q Query) Verdict {
	c := &check{ctx: ctx, resolver: r, query: q, ip: q.IP.Unmap().WithZone(""), local: q.Sender.Local, domain: string(q.Sender.Domain)}
	if q.Sender.IsNull() {
		c.domain = q.Helo
	}
	if c.local == "" {
		c.local = "postmaster"
	}
	d, ok := startOf(c.domain)
	if !ok || !c.ip.IsValid() {
		return Verdict{Domain: c.domain, Reason: Reason{Cause: NotAName, Domain: c.domain}}
	}
	end := c.evaluate(d)
	v := Verdict{Result: end.result, Domain: string(d.name), Reason: end.reason}
	if end.result == Fail && end.exp != nil {
		v.Explanation = c.explain(end.exp, end.at)
	}
	return v
}

// target is a domain that is looked at: its text, without a dot at the end, is
// what %{d} stands for.
type target struct {
	text string
	name dns.Name
}

// startOf is the target that a check starts with: a name of several labels, no
// address literal (RFC 7208 §4.3).
func startOf(text string) (target, bool) {
	text = strings.TrimSuffix(text, ".")
	n, ok := nameOf(text)
	return target{text, n}, ok && text[0] != '[' && strings.Contains(text, ".")
}

// check is one evaluation with all records it leads to.
type check struct {
	ctx      context.Context
	resolver Resolver
	query    Query
	ip       netip.Addr
	local    string // of the sender
	domain   string

	lookups, voids int
	named          bool       // the names of ip have been looked up:
	names          []dns.Name // those that lead back to it
	namesErr       error
}

// ending is where an evaluation ends.
type ending struct {
	result Result
	reason Reason
	exp    macros // of the record that decided, whose domain is at
	at     target
}

func end(result Result, cause Cause, d target, term string) *ending {
	return &ending{result: result, reason: Reason{Cause: cause, Domain: d.text, Term: term}}
}

// lookupFailed is the ending when the DNS did not answer.
func lookupFailed(err error, d target, term string) *ending {
	e := end(TempError, LookupFailed, d, term)
	e.reason.Failure = dns.FailureOf(err)
	return e
}

// evaluate evaluates the record of one domain.
func (c *check) evaluate(d target) *ending {
	r, failed := c.record(d)
	if failed != nil {
		return failed
	}
	for _, t := range r.directives {
		matched, failed := c.matches(t, d)
		if failed != nil {
			return failed
		}
		if matched {
			e := end(t.result, Matched, d, t.text)
			e.exp, e.at = r.exp, d
			return e
		}
	}
	if r.redirect == nil {
		return end(Neutral, NothingMatched, d, "")
	}
	if failed := c.spend(d, "redirect"); failed != nil {
		return failed
	}
	next, is, failed := c.target(r.redirect, d, "redirect")
	switch {
	case failed != nil:
		return failed
	case is == toNoName:
		return end(PermError, NothingRedirected, d, "")
	case is == toNothing:
		return end(Neutral, NothingMatched, d, "")
	}
	e := c.evaluate(next)
	if e.result == None {
		return end(PermError, NothingRedirected, d, "")
	}
	return e
}

// record finds and reads the record of d (RFC 7208 §4.4, §4.5).
func (c *check) record(d target) (*record, *ending) {
	answer, err := c.resolver.TXT(c.ctx, d.name)
	switch failure := dns.FailureOf(err); {
	case failure == dns.None:
	case failure == dns.NXDomain:
		return nil, end(None, NoSuchDomain, d, "")
	case failure == dns.NoData:
		return nil, end(None, NoRecord, d, "")
	case failure == dns.BadName:
		return nil, end(None, NotAName, d, "")
	default:
		return nil, lookupFailed(err, d, "")
	}
	records := slices.DeleteFunc(answer.Records, func(txt string) bool { return !isRecord(txt) })
	switch {
	case len(records) == 0:
		return nil, end(None, NoRecord, d, "")
	case len(records) > 1:
		return nil, end(PermError, SeveralRecords, d, "")
	case len(records[0]) > MaxRecord:
		return nil, end(PermError, LongRecord, d, "")
	}
	r, wrong := parseRecord(records[0])
	if r == nil {
		return nil, end(PermError, BadTerm, d, wrong)
	}
	return r, nil
}

// spend counts a term that asks the DNS.
func (c *check) spend(d target, term string) *ending {
	if c.lookups++; c.lookups > MaxLookups {
		return end(PermError, TooManyLookups, d, term)
	}
	return nil
}

// settle turns the error of a term's own lookup into what it means: nothing, a
// void one too many, or an end.
func (c *check) settle(err error, d target, term string) *ending {
	failure := dns.FailureOf(err)
	switch {
	case failure.NotFound():
		if c.voids++; c.voids > MaxVoids {
			return end(PermError, TooManyVoids, d, term)
		}
	case failure.Temporary():
		return lookupFailed(err, d, term)
	}
	return nil
}

// matches evaluates one mechanism (RFC 7208 §5) of the record of d.
func (c *check) matches(t directive, d target) (bool, *ending) {
	switch t.name {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return t.network.Contains(c.ip), nil
	}
	if failed := c.spend(d, t.text); failed != nil {
		return false, failed
	}
	to, is, failed := c.target(t.domain, d, t.text)
	if failed != nil {
		return false, failed
	}
	if is == toNoName && t.name == "include" {
		return false, end(PermError, NothingIncluded, d, t.text)
	}
	if is != toName {
		return false, nil // RFC 7208 §4.8 leaves it open; RFC 8616 §4.
	}
	switch t.name {
	case "include":
		return c.includes(t, d, to)
	case "a":
		addresses, err := c.addresses(to.name)
		return c.within(addresses.Records, t), c.settle(err, d, t.text)
	case "mx":
		return c.exchanges(t, d, to)
	case "exists":
		_, err := c.resolver.A(c.ctx, to.name)
		return err == nil, c.settle(err, d, t.text)
	}
	// ptr: where the DNS fails, it does not match (§5.5), unless time is over (§4.6.4).
	names, err := c.ownNames()
	switch {
	case c.ctx.Err() != nil:
		return false, lookupFailed(&dns.Error{Failure: dns.Canceled}, d, t.text)
	case dns.FailureOf(err).NotFound():
		failed = c.settle(err, d, t.text)
	}
	return slices.ContainsFunc(names, func(n dns.Name) bool { return n.Within(to.name) }), failed
}

// includes is the mechanism include (RFC 7208 §5.2).
func (c *check) includes(t directive, d, to target) (bool, *ending) {
	switch e := c.evaluate(to); e.result {
	case Pass:
		return true, nil
	case TempError, PermError:
		return false, e
	case None:
		return false, end(PermError, NothingIncluded, d, t.text)
	}
	return false, nil
}

// exchanges is the mechanism mx (RFC 7208 §5.4).
func (c *check) exchanges(t directive, d, to target) (bool, *ending) {
	// The name may be one that no mail domain has; it is asked all the same.
	answer, err := c.resolver.MX(c.ctx, mail.Domain(to.name))
	if err != nil {
		return false, c.settle(err, d, t.text)
	}
	if len(answer.Records) > MaxExchangers {
		return false, end(PermError, TooManyExchangers, d, t.text)
	}
	slices.SortStableFunc(answer.Records, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	for _, mx := range answer.Records {
		addresses, err := c.addresses(mx.Host)
		if dns.FailureOf(err).Temporary() {
			return false, lookupFailed(err, d, t.text)
		}
		if c.within(addresses.Records, t) {
			return true, nil
		}
	}
	return false, nil
}

// addresses asks for those of the client's family.
func (c *check) addresses(host dns.Name) (dns.Answer[netip.Addr], error) {
	if c.ip.Is4() {
		return c.resolver.A(c.ctx, host)
	}
	return c.resolver.AAAA(c.ctx, host)
}

// within reports whether the client is in the network of one of addresses.
func (c *check) within(addresses []netip.Addr, t directive) bool {
	bits := t.bits6
	if c.ip.Is4() {
		bits = t.bits4
	}
	return slices.ContainsFunc(addresses, func(a netip.Addr) bool { return netip.PrefixFrom(a, bits).Contains(c.ip) })
}

// ownNames are the names of the client that lead back to it (RFC 7208 §5.5). They
// are looked up once. The error is that of the lookup of PTR.
func (c *check) ownNames() ([]dns.Name, error) {
	if c.named {
		return c.names, c.namesErr
	}
	c.named = true
	answer, err := c.resolver.PTR(c.ctx, c.ip)
	c.namesErr = err
	for _, n := range answer.Records[:min(len(answer.Records), MaxNames)] {
		if addresses, err := c.addresses(n); err == nil && slices.Contains(addresses.Records, c.ip) {
			c.names = append(c.names, n)
		}
	}
	return c.names, err
}

// expansion is what a domain-spec expands to.
type expansion uint8

const (
	toName    expansion = iota
	toNoName            // the DNS can have no such name
	toNothing           // it has a local part that is not ASCII: the term matches nothing (RFC 8616 §4)
)

// target expands a domain-spec of the record of d (RFC 7208 §4.8).
func (c *check) target(m macros, d target, term string) (target, expansion, *ending) {
	if m == nil {
		return d, toName, nil
	}
	if m.uses("sl") && !isASCII(c.local) {
		return target{}, toNothing, nil
	}
	if m.uses("p") && !c.named {
		if failed := c.spend(d, term); failed != nil {
			return target{}, toNoName, failed
		}
	}
	text := m.expand(func(letter byte) string { return c.value(letter, d) }, maxName+1) // With a dot at the end.
	text = shorten(strings.TrimSuffix(text, "."))
	n, ok := nameOf(text)
	if !ok {
		return target{}, toNoName, nil
	}
	return target{text, n}, toName, nil
}

// value is what a macro stands for (RFC 7208 §7.2).
func (c *check) value(letter byte, d target) string {
	switch letter {
	case 's':
		return c.local + "@" + c.domain
	case 'l':
		return c.local
	case 'o':
		return c.domain
	case 'd':
		return d.text
	case 'i':
		return dotted(c.ip)
	case 'p':
		return c.ownName(d)
	case 'v':
		if c.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return c.query.Helo
	case 'c':
		return c.ip.String()
	case 'r':
		return cmp.Or(string(c.query.Receiver), "unknown")
	}
	return strconv.FormatInt(c.query.Now.Unix(), 10) // t
}

// ownName is the name of the client for %{p}: the domain itself, else one below
// it, else any.
func (c *check) ownName(d target) string {
	names, _ := c.ownNames()
	i := slices.Index(names, d.name)
	if i < 0 {
		i = slices.IndexFunc(names, func(n dns.Name) bool { return n.Within(d.name) })
	}
	if len(names) == 0 {
		return "unknown"
	}
	return string(names[max(i, 0)])
}

// explain finds what the owner of the record of d says about a Fail (RFC 7208
// §6.2). Whatever is wrong with it, there is then none.
func (c *check) explain(exp macros, d target) string {
	if exp.uses("p") {
		_, _ = c.ownNames() // Before target counts it: the result stands.
	}
	to, is, failed := c.target(exp, d, "exp")
	if failed != nil || is != toName {
		return ""
	}
	answer, err := c.resolver.TXT(c.ctx, to.name)
	if err != nil || len(answer.Records) != 1 || len(answer.Records[0]) > MaxRecord {
		return ""
	}
	m, ok := parseMacros(answer.Records[0], anywhere)
	if !ok {
		return ""
	}
	text := m.expand(func(letter byte) string { return c.value(letter, d) }, MaxExplanation)
	if len(text) > MaxExplanation || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return text
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
