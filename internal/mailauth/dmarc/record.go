package dmarc

import (
	"net/url"
	"strings"

	"yubin/internal/scan"
)

// Policy is what the owner of a domain wants done with mail that fails (RFC 9989
// §3.2.8).
type Policy uint8

// The policies, each stronger than the one before.
const (
	NoPolicy   Policy = iota // "none": nothing
	Quarantine               // it is suspicious
	Reject                   // it is no use of the domain
)

var policyNames = [...]string{"none", "quarantine", "reject"}

func (p Policy) String() string { return policyNames[p] }

// PSD says whether a domain is one under which others register theirs.
type PSD uint8

// The values of the tag "psd".
const (
	Undeclared     PSD = iota // "u": the tree walk finds out
	PublicSuffix              // "y"
	NoPublicSuffix            // "n": it is an organizational domain
)

// FailureReports is when the owner wants reports of single messages: bits.
type FailureReports uint8

// The values of the tag "fo".
const (
	OnAllFailed  FailureReports = 1 << iota // "0": nothing gave an aligned pass
	OnAnyFailed                             // "1": something gave none
	OnDKIMFailed                            // "d"
	OnSPFFailed                             // "s"
)

// Record is a DMARC policy record (RFC 9989 §4.7), with the defaults in place of
// what is missing or not valid.
type Record struct {
	// Policy is for the domain itself; Subdomains for those below it; Nonexistent
	// for those of them that do not exist.
	Policy, Subdomains, Nonexistent Policy
	// Unusable is the first of the tags "p", "sp" and "np" that has no valid value
	// while there is nobody to report to: no DMARC then (§4.10.1). With somebody
	// to report to the policies are NoPolicy, and this is empty.
	Unusable string

	StrictSPF, StrictDKIM bool
	PSD                   PSD
	Test                  bool // a policy is to be applied one level lower
	// Aggregate and Failure are the URIs that reports go to, at most MaxURIs each,
	// without the obsolete size. A stranger wrote them; they are printable ASCII.
	Aggregate, Failure []string
	FailureReports     FailureReports
}

// ParseRecord reads a TXT record; ok is false if it is none of DMARC, or over
// MaxRecord. Tags and values that are not valid or not known are as if they were
// not there (RFC 9989 §4.8); of a tag that comes twice the first counts.
func ParseRecord(txt string) (r Record, ok bool) {
	version, rest, _ := strings.Cut(txt, ";")
	name, value, _ := strings.Cut(version, "=")
	if len(txt) > MaxRecord || !strings.EqualFold(strings.TrimRight(name, wsp), "v") || strings.Trim(value, wsp) != "DMARC1" {
		return Record{}, false
	}
	tags := map[string]string{}
	for tag := range strings.SplitSeq(rest, ";") {
		name, value, found := strings.Cut(tag, "=")
		name, value = strings.ToLower(strings.Trim(name, wsp)), strings.Trim(value, wsp)
		if _, twice := tags[name]; !found || twice || !known[name] || !isPrintable(value) {
			continue
		}
		tags[name] = value
	}
	r.read(tags)
	return r, true
}

const wsp = " \t"

// known are the tags that mean something (RFC 9989 §9.3).
var known = map[string]bool{"p": true, "sp": true, "np": true, "adkim": true, "aspf": true, "fo": true, "psd": true,
	"rua": true, "ruf": true, "t": true}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func (r *Record) read(tags map[string]string) {
	is := func(tag, value string) bool { return strings.EqualFold(tags[tag], value) }
	r.StrictDKIM, r.StrictSPF, r.Test = is("adkim", "s"), is("aspf", "s"), is("t", "y")
	switch {
	case is("psd", "y"):
		r.PSD = PublicSuffix
	case is("psd", "n"):
		r.PSD = NoPublicSuffix
	}
	r.Aggregate, r.Failure = parseURIs(tags["rua"]), parseURIs(tags["ruf"])
	r.FailureReports = OnAllFailed
	if f, ok := parseFailureReports(tags["fo"]); ok {
		r.FailureReports = f
	}
	// Without "p" a record is as if it had p=none (§4.7), and an invalid one is
	// like an invalid "sp" or "np" (§4.10.1).
	into := []struct {
		tag    string
		policy *Policy
	}{{"p", &r.Policy}, {"sp", &r.Subdomains}, {"np", &r.Nonexistent}}
	for i, t := range into {
		value, there := tags[t.tag]
		p, ok := parsePolicy(value)
		switch {
		case there && ok:
			*t.policy = p
		case !there && i > 0:
			*t.policy = *into[i-1].policy
		case there && r.Unusable == "":
			r.Unusable = t.tag
		}
	}
	if r.Unusable != "" {
		r.Policy, r.Subdomains, r.Nonexistent = NoPolicy, NoPolicy, NoPolicy
		if len(r.Aggregate) > 0 {
			r.Unusable = ""
		}
	}
}

func parsePolicy(s string) (Policy, bool) {
	for p, name := range policyNames {
		if strings.EqualFold(s, name) {
			return Policy(p), true
		}
	}
	return NoPolicy, false
}

// parseFailureReports reads dmarc-fo: each value at most once, and not both "0"
// and "1".
func parseFailureReports(s string) (f FailureReports, ok bool) {
	for value := range strings.SplitSeq(s, ":") {
		bit, ok := map[string]FailureReports{"0": OnAllFailed, "1": OnAnyFailed, "d": OnDKIMFailed, "s": OnSPFFailed}[strings.ToLower(strings.Trim(value, wsp))]
		if !ok || f&bit != 0 {
			return 0, false
		}
		f |= bit
	}
	return f, f&(OnAllFailed|OnAnyFailed) != OnAllFailed|OnAnyFailed
}

// parseURIs reads dmarc-urilist and passes over what is no URI.
func parseURIs(s string) (uris []string) {
	for text := range strings.SplitSeq(s, ",") {
		text = strings.Trim(text, wsp)
		if before, size, ok := strings.Cut(text, "!"); ok {
			unit := strings.TrimLeft(size, "0123456789")
			if unit == size || len(unit) > 1 || unit != "" && strings.IndexByte("kmgt", scan.Lower(unit[0])) < 0 {
				continue
			}
			text = before
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" || u.Opaque == "" && u.Host == "" || strings.Contains(text, " ") {
			continue
		}
		if uris = append(uris, text); len(uris) == MaxURIs {
			break
		}
	}
	return uris
}
