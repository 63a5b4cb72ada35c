package spf

import (
	"net/netip"
	"strconv"
	"strings"

	"yubin/internal/scan"
)

// record is a record that has been read whole (RFC 7208 §4.6).
type record struct {
	directives []directive
	redirect   macros // nil if there is none; behind an "all" it is never reached (§6.1)
	exp        macros // nil if there is none
}

// directive is a mechanism with what it makes of a match.
type directive struct {
	text    string // as it stands in the record
	result  Result
	name    string       // of the mechanism, lower-case
	domain  macros       // nil: the domain whose record it is
	network netip.Prefix // of ip4 and ip6
	bits4   int          // of a and mx: how much of an IPv4 address counts
	bits6   int          // and of an IPv6 address
}

// isRecord reports whether a TXT record is one of SPF (RFC 7208 §4.5).
func isRecord(txt string) bool {
	version, rest := txt[:min(len(txt), len("v=spf1"))], txt[min(len(txt), len("v=spf1")):]
	return strings.EqualFold(version, "v=spf1") && (rest == "" || rest[0] == ' ')
}

// parseRecord reads a record for which isRecord holds, whole, before anything of
// it is evaluated. If a term is wrong, it is returned, and the record is nil.
func parseRecord(txt string) (r *record, wrong string) {
	r = &record{}
	seen := map[string]bool{}
	for term := range strings.SplitSeq(txt[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		name, value, isModifier := cutModifier(term)
		if !isModifier {
			d, ok := parseDirective(term)
			if !ok {
				return nil, term
			}
			r.directives = append(r.directives, d)
			continue
		}
		if name != "redirect" && name != "exp" {
			if _, ok := parseMacros(value, anywhere); !ok {
				return nil, term
			}
			continue
		}
		m, ok := parseDomain(value)
		if !ok || seen[name] { // RFC 7208 §6: each at most once
			return nil, term
		}
		seen[name] = true
		if name == "exp" {
			r.exp = m
		} else {
			r.redirect = m
		}
	}
	return r, ""
}

// cutModifier parts name "=" value; the name is then lower-case.
func cutModifier(term string) (name, value string, ok bool) {
	i := strings.IndexByte(term, '=')
	if i < 1 || !scan.IsAlpha(term[0]) {
		return "", "", false
	}
	for _, c := range []byte(term[:i]) {
		if !isAlphanum(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return strings.ToLower(term[:i]), term[i+1:], true
}

func parseDirective(term string) (d directive, ok bool) {
	d = directive{text: term, result: Pass, bits4: 32, bits6: 128}
	rest := term
	switch rest[0] {
	case '+', '-', '~', '?':
		d.result = map[byte]Result{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}[rest[0]]
		rest = rest[1:]
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	d.name, rest = strings.ToLower(rest[:end]), rest[end:]
	switch d.name {
	case "all":
		return d, rest == ""
	case "ip4", "ip6":
		d.network, ok = parseNetwork(strings.TrimPrefix(rest, ":"), d.name == "ip6")
		return d, ok && rest[0] == ':'
	case "a", "mx":
		if rest, d.bits4, d.bits6, ok = cutDualCIDR(rest); !ok {
			return d, false
		}
	case "ptr":
	case "include", "exists":
		if rest == "" {
			return d, false
		}
	default:
		return d, false
	}
	if rest == "" {
		return d, true
	}
	if rest[0] != ':' {
		return d, false
	}
	d.domain, ok = parseDomain(rest[1:])
	return d, ok
}

// parseNetwork reads ip4-network or ip6-network and the length behind it.
func parseNetwork(s string, six bool) (netip.Prefix, bool) {
	address, length, hasLength := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Is6() != six || ip.Zone() != "" {
		return netip.Prefix{}, false
	}
	bits := ip.BitLen()
	if hasLength {
		var ok bool
		if bits, ok = parseLength(length, bits); !ok {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(ip, bits), true
}

// cutDualCIDR takes dual-cidr-length off the end of s.
func cutDualCIDR(s string) (rest string, bits4, bits6 int, ok bool) {
	rest, bits4, bits6, ok = s, 32, 128, true
	if before, digits, found := cutDigits(rest, "//"); found {
		if bits6, ok = parseLength(digits, 128); !ok {
			return
		}
		rest = before
	}
	if before, digits, found := cutDigits(rest, "/"); found {
		if bits4, ok = parseLength(digits, 32); !ok {
			return
		}
		rest = before
	}
	return
}

// cutDigits takes slash and the digits behind it off the end of s.
func cutDigits(s, slash string) (before, digits string, ok bool) {
	digits = s[len(strings.TrimRight(s, "0123456789")):]
	before, ok = strings.CutSuffix(s[:len(s)-len(digits)], slash)
	return before, digits, ok && digits != ""
}

// parseLength reads the length of a prefix, written without leading zeros.
func parseLength(s string, most int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && int(n) <= most && strconv.FormatUint(n, 10) == s
}

func isAlphanum(c byte) bool { return scan.IsAlpha(c) || scan.IsDigit(c) }
