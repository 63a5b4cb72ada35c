package tlsrpt

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/mail"
)

// Parse reads the document of a report (RFC 8460 §4.4). Errors are of kind Invalid if it
// is none, TooLarge beyond a limit, or those of r.
//
// Quirk: one text where a list belongs is a list of one (mx-host, in the RFC's own
// example), null is nothing at all, a number may stand in quotation marks.
func Parse(r io.Reader) (Report, error) {
	p := &parser{d: json.NewDecoder(&bounded{r: r, left: MaxUnpacked})}
	p.d.UseNumber()
	p.report()
	if p.err == nil {
		p.whole()
	}
	if p.err != nil {
		return Report{}, p.err
	}
	return p.into, nil
}

// bounded reads no more than a document may have.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		if n, err := b.r.Read(p[:1]); n == 0 {
			return 0, err
		}
		return 0, tooLarge("the document is over %d MiB", MaxUnpacked>>20)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// parser reads a document. The first error sticks, and nothing is read after it.
type parser struct {
	d        *json.Decoder
	into     Report
	tokens   int
	depth    int
	failures int
	err      error
}

func (p *parser) fail(err error) {
	var syntax *json.SyntaxError
	switch {
	case p.err != nil:
	case errors.As(err, &syntax):
		p.err = invalid("the document is no JSON: %s", clean(syntax.Error()))
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		p.err = invalid("the document is cut short")
	default:
		p.err = err
	}
}

func (p *parser) report() {
	p.object(func(name string) {
		switch name {
		case "organization-name":
			p.into.Organization = p.text()
		case "contact-info":
			p.into.Contact = p.text()
		case "report-id":
			p.into.ID = p.text()
		case "date-range":
			p.object(func(name string) {
				switch name {
				case "start-datetime":
					p.into.Begin = p.time()
				case "end-datetime":
					p.into.End = p.time()
				default:
					p.skip()
				}
			})
		case "policies":
			p.list(func() {
				if len(p.into.Policies) == MaxPolicies {
					p.fail(tooLarge("there are more than %d policies", MaxPolicies))
					return
				}
				p.into.Policies = append(p.into.Policies, p.result())
			})
		default:
			p.skip()
		}
	})
}

// result reads what sessions under one policy came to.
func (p *parser) result() (r PolicyResult) {
	p.object(func(name string) {
		switch name {
		case "policy":
			p.object(func(name string) { p.policyField(&r.Policy, name) })
		case "summary":
			p.object(func(name string) {
				switch name {
				case "total-successful-session-count":
					r.Successful = p.count()
				case "total-failure-session-count":
					r.Failed = p.count()
				default:
					p.skip()
				}
			})
		case "failure-details":
			p.list(func() {
				if p.failures++; p.failures > MaxFailures {
					p.fail(tooLarge("there are more than %d kinds of failures", MaxFailures))
					return
				}
				var f Failures
				p.object(func(name string) { p.failureField(&f, name) })
				r.Failures = append(r.Failures, f)
			})
		default:
			p.skip()
		}
	})
	if r.Domain == "" {
		p.fail(invalid("policy %d has no policy-domain", len(p.into.Policies)+1))
	}
	return r
}

func (p *parser) policyField(into *Policy, name string) {
	switch name {
	case "policy-type":
		into.Type = ParsePolicyType(p.text())
	case "policy-string":
		into.Strings = p.texts()
	case "policy-domain":
		text := p.text()
		d, err := mail.ParseDomain(strings.TrimSuffix(text, "."))
		if err != nil {
			p.fail(invalid("the policy-domain %.60q is none", text))
		}
		into.Domain = d
	case "mx-host":
		into.MXHosts = p.texts()
	default:
		p.skip()
	}
}

func (p *parser) failureField(into *Failures, name string) {
	switch name {
	case "result-type":
		into.Result = ResultType(p.text())
	case "sending-mta-ip":
		into.SendingIP = p.address()
	case "receiving-ip":
		into.ReceivingIP = p.address()
	case "receiving-mx-hostname":
		into.MXHostname = p.text()
	case "receiving-mx-helo":
		into.HELO = p.text()
	case "failed-session-count":
		into.Sessions = p.count()
	case "additional-information":
		into.Info = p.text()
	case "failure-reason-code":
		into.ReasonCode = p.text()
	default:
		p.skip()
	}
}

// whole says whether there is what every report has.
func (p *parser) whole() {
	r := &p.into
	for _, missing := range []struct {
		what string
		is   bool
	}{
		{"organization-name", r.Organization == ""}, {"report-id", r.ID == ""}, {"policy", len(r.Policies) == 0},
		{"date-range", r.Begin.IsZero() || r.End.IsZero()},
	} {
		if missing.is {
			p.fail(invalid("the report has no %s", missing.what))
		}
	}
	if r.End.Before(r.Begin) {
		p.fail(invalid("the report's period ends before it begins"))
	}
}

// next is the next token; nil is JSON's null, or that there was an error.
func (p *parser) next() json.Token {
	if p.tokens++; p.tokens > MaxTokens {
		p.fail(tooLarge("there are more than %d names and values", MaxTokens))
	}
	if p.err != nil {
		return nil
	}
	t, err := p.d.Token()
	if err != nil {
		p.fail(err)
	}
	return t
}

// more reports whether the object or list goes on.
func (p *parser) more() bool { return p.err == nil && p.d.More() }

// open begins an object or a list; false if there is null instead.
func (p *parser) open(bracket json.Delim) bool {
	t := p.next()
	if t == nil {
		return false
	}
	if t != bracket {
		p.fail(invalid("a value stands where a %q should be", bracket.String()))
		return false
	}
	if p.depth++; p.depth > MaxDepth {
		p.fail(tooLarge("the document is more than %d deep", MaxDepth))
	}
	return true
}

func (p *parser) end() {
	p.next()
	p.depth--
}

// object gives the name of each member to field, which reads the value.
func (p *parser) object(field func(name string)) {
	if !p.open('{') {
		return
	}
	for p.more() {
		if name, ok := p.next().(string); ok {
			field(name)
		}
	}
	p.end()
}

// list has each read every value.
func (p *parser) list(each func()) {
	if !p.open('[') {
		return
	}
	for p.more() {
		each()
	}
	p.end()
}

// skip passes over a value.
func (p *parser) skip() {
	for depth := 0; p.err == nil; {
		switch p.next() {
		case json.Delim('{'), json.Delim('['):
			if depth++; p.depth+depth > MaxDepth {
				p.fail(tooLarge("the document is more than %d deep", MaxDepth))
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

// text is a text without control characters; "" for null.
func (p *parser) text() string {
	switch t := p.next().(type) {
	case nil:
	case string:
		return clean(t)
	default:
		p.fail(invalid("there is a value that is no text where one should be"))
	}
	return ""
}

// texts is a list of texts, or one text.
func (p *parser) texts() (list []string) {
	switch t := p.next().(type) {
	case nil:
		return nil
	case string:
		return []string{clean(t)}
	case json.Delim:
		if t == '[' {
			break
		}
		p.fail(invalid("there is an object where texts should be"))
	default:
		p.fail(invalid("there is a value that is no text where one should be"))
	}
	for p.more() {
		if s := p.text(); len(list) < MaxStrings {
			list = append(list, s)
		}
	}
	p.next()
	return list
}

// clean is a text as it is kept: without control characters, at most MaxText.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	for n := MaxText; len(s) > MaxText; n-- {
		if utf8.RuneStart(s[n]) {
			s = s[:n]
		}
	}
	return strings.TrimSpace(s)
}

// maxCount is the largest count: so many can be added up.
const maxCount = 1 << 40

// count is a number of sessions; 0 for null.
func (p *parser) count() int64 {
	var text string
	switch t := p.next().(type) {
	case nil:
		return 0
	case json.Number:
		text = t.String()
	case string:
		text = t
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		p.fail(invalid("%.30q is no number of sessions", text))
		return 0
	}
	return n
}

// time is a moment (RFC 3339).
func (p *parser) time() time.Time {
	text := p.text()
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Unix() < 0 || t.UTC().Year() > 9999 {
		p.fail(invalid("%.40q is no time of a report", text))
	}
	return t.UTC().Truncate(time.Second)
}

// address is an address of a host; none if it is damaged, which is no reason to have no
// report.
func (p *parser) address() netip.Addr {
	a, err := netip.ParseAddr(strings.Trim(p.text(), "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
