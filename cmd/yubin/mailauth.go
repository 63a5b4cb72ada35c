package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"yubin/internal/mail"
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
