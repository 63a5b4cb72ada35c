package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
	"yubin/internal/world/resolver"
)

// dnsPort is where name servers are.
const dnsPort = 53

// authTime is how long a check may take (RFC 7208 §4.6.4: 20 seconds at least).
const authTime = 20 * time.Second

// asking is the flag of commands that ask the DNS.
type asking struct {
	Resolver string `help:"Ask this name server, not those of the system." placeholder:"HOST:PORT"`
}

// resolver makes one that asks what the flag says.
func (a asking) resolver() (*resolver.Resolver, error) {
	up, err := resolver.SystemUpstream()
	if a.Resolver != "" {
		server, parseErr := netip.ParseAddrPort(a.Resolver)
		if parseErr != nil {
			ip, parseErr := netip.ParseAddr(a.Resolver)
			if parseErr != nil {
				return nil, usagef("--resolver must be an address and a port: 127.0.0.1:53 or [::1]:53, not %q", a.Resolver)
			}
			server = netip.AddrPortFrom(ip, dnsPort)
		}
		up, err = resolver.Upstream{Servers: []netip.AddrPort{server}}, nil
	}
	if err != nil {
		return nil, err
	}
	return resolver.New(resolver.Options{Upstream: up})
}

type spfCmd struct {
	Check spfCheckCmd `cmd:"" help:"Say whether a host may send mail for an address, and why: the first word is the result of RFC 7208."`
}

type spfCheckCmd struct {
	asking
	IP   netip.Addr `name:"ip" required:"" help:"The address of the client." placeholder:"ADDRESS"`
	Helo string     `required:"" help:"What the client says of itself in HELO or EHLO." placeholder:"NAME"`
	From string     `required:"" help:"The address in MAIL FROM; <> for none: then HELO is checked." placeholder:"ADDRESS"`
}

// spfAnswer is what spf check says.
type spfAnswer struct {
	Result      string `json:"result"`
	Domain      string `json:"domain"`
	Reason      string `json:"reason"`
	Explanation string `json:"explanation,omitempty"`
}

// senderOf reads an address as it comes in MAIL FROM, with its angles or without. A
// text that is no address stays what it is: the check then says so.
func senderOf(s string) mail.ReversePath {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	if a, err := mail.ParseAddress(s); err == nil {
		return mail.ReversePath(a)
	}
	at := strings.LastIndexByte(s, '@') // There may be no local part.
	return mail.ReversePath{Local: s[:max(at, 0)], Domain: mail.Domain(s[at+1:])}
}

func (c *spfCheckCmd) Run(e *env) error {
	q := spf.Query{IP: c.IP, Helo: c.Helo, Sender: senderOf(c.From), Now: time.Now()}
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	v := spf.Check(ctx, r, q)
	answer := spfAnswer{Result: v.Result.String(), Domain: v.Domain, Reason: v.Reason.String(), Explanation: v.Explanation}
	return e.show(answer, func(w io.Writer) {
		writeLine(w, "%s (%s)", answer.Result, answer.Reason)
		if answer.Explanation != "" {
			fmt.Fprintln(w, "exp:", answer.Explanation)
		}
	})
}

type dmarcCmd struct {
	Check     dmarcCheckCmd     `cmd:"" help:"Say whether mail is from the domain in its From field, and what is to be done if not: the first word is the result of RFC 9989."`
	OrgDomain dmarcOrgDomainCmd `cmd:"" name:"orgdomain" help:"Find the organizational domain of a domain."`
}

type dmarcCheckCmd struct {
	asking
	From string   `required:"" help:"The address in the From field." placeholder:"ADDRESS"`
	SPF  string   `name:"spf" help:"What SPF found, and for which domain: pass:example.org." placeholder:"RESULT:DOMAIN"`
	DKIM []string `name:"dkim" sep:"none" help:"What DKIM found for a signature, and its domain; may be repeated." placeholder:"RESULT:DOMAIN"`
}

// dmarcAnswer is what dmarc check says.
type dmarcAnswer struct {
	Result    string `json:"result"`
	Reason    string `json:"reason"`
	Domain    string `json:"domain,omitempty"`
	Published string `json:"published,omitempty"`
	Policy    string `json:"policy,omitempty"`
	SPF       bool   `json:"spf"`
	DKIM      bool   `json:"dkim"`
}

func (c *dmarcCheckCmd) Run(e *env) error {
	var identifiers []dmarc.Identifier
	add := func(m dmarc.Method, flag, text string) error {
		id, err := identifierOf(m, text)
		if err != nil {
			return usagef("%s: %v", flag, err)
		}
		identifiers = append(identifiers, id)
		return nil
	}
	if c.SPF != "" {
		if err := add(dmarc.SPF, "--spf", c.SPF); err != nil {
			return err
		}
	}
	for _, text := range c.DKIM {
		if err := add(dmarc.DKIM, "--dkim", text); err != nil {
			return err
		}
	}
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	author := senderOf(c.From).Domain
	if d, err := mail.ParseDomain(string(author)); err == nil { // Without a local part.
		author = d
	}
	v := dmarc.Check(ctx, r, author, identifiers)
	answer := dmarcAnswer{Result: v.Result.String(), Reason: v.Reason, SPF: v.SPF, DKIM: v.DKIM}
	if v.Record != nil {
		answer.Domain = string(v.Domain)
	}
	if v.Result == dmarc.Fail {
		answer.Published, answer.Policy = v.Published.String(), v.Policy.String()
	}
	return e.show(answer, func(w io.Writer) {
		writeLine(w, "%s (%s)", answer.Result, answer.Reason)
		switch {
		case answer.Policy != answer.Published:
			writeLine(w, "policy: %s (%s says %s, and that it is a test)", answer.Policy, answer.Domain, answer.Published)
		case answer.Policy != "":
			writeLine(w, "policy: %s (%s says so)", answer.Policy, answer.Domain)
		}
	})
}

// identifierOf reads RESULT:DOMAIN, with the words of RFC 8601 §2.7.1 and §2.7.2.
// What is not a pass needs no domain.
func identifierOf(m dmarc.Method, text string) (dmarc.Identifier, error) {
	word, domain, _ := strings.Cut(text, ":")
	id := dmarc.Identifier{Method: m}
	switch word = strings.ToLower(word); word {
	case "pass":
		id.Outcome = dmarc.Passed
	case "temperror":
		id.Outcome = dmarc.Unknown
	case "none", "fail", "softfail", "neutral", "policy", "permerror":
	default:
		return id, fmt.Errorf("%q is no result; say for example pass:example.org", word)
	}
	var err error
	if id.Domain, err = mail.ParseDomain(domain); err != nil && id.Outcome != dmarc.NotPassed {
		return id, err
	}
	return id, nil
}

type dmarcOrgDomainCmd struct {
	asking
	Name string `arg:"" help:"A domain."`
}

// orgAnswer is what dmarc orgdomain says.
type orgAnswer struct {
	Result string `json:"result"`
	Reason string `json:"reason"`
}

func (c *dmarcOrgDomainCmd) Run(e *env) error {
	d, err := mail.ParseDomain(strings.TrimSuffix(c.Name, "."))
	if err != nil {
		return usagef("%v", err)
	}
	r, err := c.resolver()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, authTime)
	defer cancel()
	o, err := dmarc.FindOrganization(ctx, r, d)
	answer := orgAnswer{Result: string(o.Domain), Reason: "it and the domains above it have no record"}
	switch {
	case mail.KindOf(err) == mail.Invalid:
		return usagef("%v", err)
	case err != nil:
		answer = orgAnswer{Result: dmarc.TempError.String(), Reason: "the DNS cannot tell now: " + dns.FailureOf(err).String()}
	case o.PSD == dmarc.NoPublicSuffix:
		answer.Reason = string(o.Record) + " says psd=n"
	case o.PSD == dmarc.PublicSuffix && o.Record != o.Domain:
		answer.Reason = string(o.Record) + " says psd=y"
	case o.Record != "":
		answer.Reason = "the highest with a record"
	}
	return e.show(answer, func(w io.Writer) { writeLine(w, "%s (%s)", answer.Result, answer.Reason) })
}
