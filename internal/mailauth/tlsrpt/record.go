package tlsrpt

import (
	"net/url"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Label is what stands before a domain in the name of its record (RFC 8460 §3).
const Label = "_smtp._tls"

const version = "v=TLSRPTv1"

// Record says where reports about a domain go (RFC 8460 §3).
type Record struct {
	URIs []string // of the schemes mailto and https; a stranger wrote them, in printable ASCII
}

// String is the text of the TXT record.
func (r Record) String() string {
	return version + "; rua=" + strings.Join(r.URIs, ",")
}

// ParseRecord reads the TXT records at Label of a domain. The error is of kind NotFound
// if there is none of this kind, or several, and Invalid if it says nothing that can be
// used.
func ParseRecord(txts []string) (Record, error) {
	var found []string
	for _, txt := range txts {
		if rest, ok := strings.CutPrefix(txt, version); ok && strings.HasPrefix(strings.TrimLeft(rest, wsp), ";") {
			found = append(found, rest)
		}
	}
	switch {
	case len(found) == 0:
		return Record{}, mail.Errorf(mail.NotFound, "there is no record of TLSRPT")
	case len(found) > 1:
		return Record{}, mail.Errorf(mail.NotFound, "there are %d records of TLSRPT, which are as good as none", len(found))
	case len(found[0]) > MaxRecord:
		return Record{}, tooLarge("the record is over %d octets", MaxRecord)
	}
	return parseFields(found[0])
}

const wsp = " \t"

// parseFields reads what comes behind the version.
func parseFields(fields string) (r Record, err error) {
	seen := false
	for field := range strings.SplitSeq(fields, ";") {
		if field = strings.Trim(field, wsp); field == "" {
			continue
		}
		name, value, ok := strings.Cut(field, "=")
		if !ok || !isName(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c > '~' }) {
			return Record{}, invalid("the record has a field that is none")
		}
		if name != "rua" {
			continue
		}
		if seen {
			return Record{}, invalid("the record has rua twice")
		}
		seen = true
		for uri := range strings.SplitSeq(value, ",") {
			uri = strings.Trim(uri, wsp)
			if isUsable(uri) && len(r.URIs) < MaxURIs {
				r.URIs = append(r.URIs, uri)
			}
		}
	}
	if len(r.URIs) == 0 {
		return Record{}, invalid("the record names nobody who takes reports by mail or HTTPS")
	}
	return r, nil
}

// isUsable reports whether reports can go to a URI.
func isUsable(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || strings.ContainsAny(uri, wsp) {
		return false
	}
	return u.Scheme == "mailto" && u.Opaque != "" || u.Scheme == "https" && u.Host != ""
}

// isName reports whether s is a name of a field: letters and digits, with "_", "-" and
// "." among them.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !scan.IsAlpha(c) && !scan.IsDigit(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
