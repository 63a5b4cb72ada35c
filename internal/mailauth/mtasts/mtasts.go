// Package mtasts is the language of MTA-STS (RFC 8461): the policy by which a domain
// asks that mail for it is sent in TLS only and to named hosts (§3.2), the TXT record
// that says that there is one (§3.1), and which hosts a policy allows (§4.1).
//
// It is pure: who fetches policies and keeps them is engine/tlspolicy.
package mtasts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Limits. What goes beyond one of them is of kind mail.TooLarge.
const (
	MaxSize     = 64 << 10 // octets of a policy (§3.3)
	MaxLines    = 1024     // of a policy
	MaxPatterns = 256      // of a policy
	MaxRecord   = 4096     // octets of a TXT record
	MaxID       = 32       // characters (§3.1)
	maxName     = 32       // characters of the name of a field

	// MaxAge is the longest that a policy may be kept (§3.2). One that says more says this.
	MaxAge = 31557600 * time.Second
)

// Where things are: the label of the record and of the host below the domain, and the
// path at that host (§3.1, §3.2).
const (
	RecordLabel = "_mta-sts"
	HostLabel   = "mta-sts"
	Path        = "/.well-known/mta-sts.txt"
	MediaType   = "text/plain"
)

// Mode is what a sender does when a host is not as the policy says (§5).
type Mode uint8

// The modes.
const (
	None    Mode = iota // as if there were no policy
	Testing             // it is reported, and the mail delivered all the same
	Enforce             // the host gets no mail
)

var modeNames = [...]string{"none", "testing", "enforce"}

func (m Mode) String() string { return modeNames[m] }

// ParseMode reads what String returns.
func ParseMode(s string) (Mode, bool) {
	i := slices.Index(modeNames[:], s)
	return Mode(max(i, 0)), i >= 0
}

// Policy is what a domain asks of who sends it mail.
type Policy struct {
	Mode Mode
	// MX are the hosts that mail may be given to: "mx.example", or "*.example" for all
	// whose name has one label before that. Lower-case A-labels; none only with None.
	MX     []string
	MaxAge time.Duration // for how long it holds since it was fetched; whole seconds
}

// Parse reads a policy (§3.2). Fields that are not known are passed over; of one that is
// there twice, other than mx, the first counts. The error is of kind Invalid or TooLarge.
//
// Quirk: lines without anything in them are passed over; many files end in some.
func Parse(text []byte) (Policy, error) {
	var p Policy
	if len(text) > MaxSize {
		return p, mail.Errorf(mail.TooLarge, "the policy has more than %d octets", MaxSize)
	}
	if !utf8.Valid(text) {
		return p, mail.Errorf(mail.Invalid, "the policy is not UTF-8")
	}
	seen := map[string]bool{}
	for n := 1; len(text) > 0; n++ {
		if n > MaxLines {
			return Policy{}, mail.Errorf(mail.TooLarge, "the policy has more than %d lines", MaxLines)
		}
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		name, value, err := field(string(line))
		if err == nil && name != "" && (name == "mx" || !seen[name]) {
			err = p.set(name, value)
			seen[name] = true
		}
		if err != nil {
			return Policy{}, &mail.Error{Kind: mail.KindOf(err), Text: "line " + strconv.Itoa(n) + " of the policy: " + err.Error()}
		}
	}
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return Policy{}, mail.Errorf(mail.Invalid, "the policy has no %s", name)
		}
	}
	if p.Mode != None && len(p.MX) == 0 {
		return Policy{}, mail.Errorf(mail.Invalid, "the policy names no host (mx)")
	}
	return p, nil
}

// field takes a line apart; an empty one has no name.
func field(line string) (name, value string, err error) {
	line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
	if line == "" {
		return "", "", nil
	}
	name, value, ok := strings.Cut(line, ":")
	value = strings.TrimLeft(value, " \t")
	switch {
	case !ok:
		return "", "", mail.Errorf(mail.Invalid, "there is no colon in it")
	case !isName(name):
		return "", "", mail.Errorf(mail.Invalid, "what stands before the colon is no name of a field")
	case value == "":
		return "", "", mail.Errorf(mail.Invalid, "%s has no value", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", "", mail.Errorf(mail.Invalid, "%s has a control character", name)
	}
	return name, value, nil
}

// isName is sts-ext-name of §3.1 and sts-policy-ext-name of §3.2, which are alike.
func isName(s string) bool {
	if s == "" || len(s) > maxName || !isAlphanumeric(s[:1]) {
		return false
	}
	return isAlphanumeric(strings.Map(func(r rune) rune {
		if strings.ContainsRune("_-.", r) {
			return '0'
		}
		return r
	}, s))
}

func isAlphanumeric(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// set takes over a field; one that is not known says nothing.
func (p *Policy) set(name, value string) error {
	switch name {
	case "version":
		if value != "STSv1" {
			return mail.Errorf(mail.Invalid, "the version is not STSv1")
		}
	case "mode":
		mode, ok := ParseMode(value)
		if !ok {
			return mail.Errorf(mail.Invalid, "the mode is none of enforce, testing and none")
		}
		p.Mode = mode
	case "max_age":
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 || value[0] == '+' {
			return mail.Errorf(mail.Invalid, "max_age is no number of seconds")
		}
		p.MaxAge = time.Duration(min(seconds, uint64(MaxAge/time.Second))) * time.Second
	case "mx":
		if len(p.MX) == MaxPatterns {
			return mail.Errorf(mail.TooLarge, "there are more than %d hosts (mx)", MaxPatterns)
		}
		pattern, err := ParsePattern(value)
		if err != nil {
			return err
		}
		p.MX = append(p.MX, pattern)
	}
	return nil
}

// ParsePattern reads what can stand in Policy.MX, and returns it in its canonical form.
func ParsePattern(s string) (string, error) {
	host, wild := strings.CutPrefix(s, "*.")
	d, err := mail.ParseDomain(host)
	if err != nil || d.IsLiteral() || !strings.EqualFold(string(d), host) { // U-labels are not allowed (§3.2).
		return "", mail.Errorf(mail.Invalid, "mx is no name of a host, nor one behind \"*.\"")
	}
	if wild {
		return "*." + string(d), nil
	}
	return string(d), nil
}

// String is the policy as a file, its lines ended by CRLF. Parse reads it.
func (p Policy) String() string {
	var b strings.Builder
	b.WriteString("version: STSv1\r\nmode: " + p.Mode.String() + "\r\n")
	for _, pattern := range p.MX {
		b.WriteString("mx: " + pattern + "\r\n")
	}
	b.WriteString("max_age: " + strconv.FormatInt(int64(p.MaxAge/time.Second), 10) + "\r\n")
	return b.String()
}

// Matches reports whether mail may be given to a host of that name (§4.1): a star stands
// for exactly one label.
func (p Policy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, below, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		if suffix, wild := strings.CutPrefix(pattern, "*."); wild {
			return below == suffix && !strings.HasPrefix(host, ".")
		}
		return host == pattern
	})
}

// ID names the policy by what it says: 20 letters and digits.
func (p Policy) ID() string {
	sum := sha256.Sum256([]byte(p.String()))
	return hex.EncodeToString(sum[:10])
}

// Record is the text of the TXT record that says that there is the policy of an id.
func Record(id string) string { return "v=STSv1; id=" + id + ";" }

// ParseRecord reads the TXT records at _mta-sts.DOMAIN, and returns the id of the policy
// that there is. It is of kind NotFound if none of them is of MTA-STS, else Invalid or
// TooLarge: who sends is then to take it that there is no policy (§3.1).
func ParseRecord(txts []string) (id string, err error) {
	const version = "v=STSv1;"
	record := ""
	for _, txt := range txts {
		switch {
		case !strings.HasPrefix(txt, version):
			continue
		case record != "":
			return "", mail.Errorf(mail.Invalid, "there is more than one record")
		}
		record = txt
	}
	switch {
	case record == "":
		return "", mail.Errorf(mail.NotFound, "there is no record")
	case len(record) > MaxRecord:
		return "", mail.Errorf(mail.TooLarge, "the record has more than %d octets", MaxRecord)
	}
	fields := strings.Split(record[len(version):], ";")
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(strings.Trim(f, " \t"), "=")
		switch {
		case !isName(name) || !isValue(value):
			return "", mail.Errorf(mail.Invalid, "the record has something in it that is no field")
		case name == "id" && (len(value) > MaxID || !isAlphanumeric(value)):
			return "", mail.Errorf(mail.Invalid, "the id has something else in it than letters and digits, or more than %d", MaxID)
		case name == "id" && id == "":
			id = value
		}
	}
	if id == "" {
		return "", mail.Errorf(mail.Invalid, "the record has no id")
	}
	return id, nil
}

// isValue is sts-ext-value of §3.1.
func isValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' || r == ';' })
}

// RecordName is where the TXT record of a domain is. The error is of kind Invalid if
// there can be none: the domain is an address, or its name is too long.
func RecordName(d mail.Domain) (dns.Name, error) { return below(d, RecordLabel) }

// HostName is the host that has the policy of a domain; see RecordName for the error.
func HostName(d mail.Domain) (mail.Domain, error) {
	n, err := below(d, HostLabel)
	if err != nil {
		return "", err
	}
	return mail.ParseDomain(string(n))
}

func below(d mail.Domain, label string) (dns.Name, error) {
	n, err := dns.NameOf(d)
	if err != nil {
		return "", err
	}
	return n.Under(label)
}
