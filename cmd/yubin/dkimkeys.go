package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

type dkimCmd struct {
	Verify dkimVerifyCmd `cmd:"" help:"Say whether a message is as its signers signed it: the first word is the best result, then comes a line for each signature."`
	Sign   dkimSignCmd   `cmd:"" help:"Make the DKIM-Signature field of a message, to be put before it."`

	List    dkimListCmd    `cmd:"" help:"List the keys that mail is signed with, and the domains whose mail is not signed."`
	Rotate  dkimRotateCmd  `cmd:"" help:"Make new keys for a domain; they sign once they are in the DNS."`
	ShowDNS dkimShowDNSCmd `cmd:"" name:"show-dns" help:"Print the records to publish for a domain, as lines of a zone file, and look whether they are there."`
}

type dkimListCmd struct {
	place
	Domain string `arg:"" optional:"" help:"Only this one."`
}

func (c *dkimListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		var list []admin.DKIMDomain
		var err error
		if c.Domain == "" {
			list, err = client.DKIM(ctx)
		} else {
			list = make([]admin.DKIMDomain, 1)
			list[0], err = client.DKIMOf(ctx, c.Domain)
		}
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) { writeKeys(w, list) })
	})
}

// writeKeys writes a row for each key, and a line for each domain whose mail is not
// signed.
func writeKeys(w io.Writer, list []admin.DKIMDomain) {
	t := table{{"DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SINCE", "SIGNS", "NOTE"}}
	for _, d := range list {
		for _, k := range d.Keys {
			signs, selector := "no", k.Selector
			if k.Signs {
				signs = "yes"
			}
			if k.Zone != "" {
				selector += "." + k.Zone
			}
			t.add(d.Domain, selector, k.Algorithm, k.State, k.Since.Local().Format(time.DateTime), signs, k.Note)
		}
	}
	if len(t) > 1 {
		t.write(w)
	}
	for _, d := range list {
		if !d.Signed {
			writeLine(w, "mail of %s is not signed: %s; yubin dkim show-dns %s prints what is to be published", d.Domain, d.Unsigned, d.Domain)
		}
	}
}

type dkimRotateCmd struct {
	place
	Domain string `arg:"" help:"The domain; if it signs with the keys of the zone, those."`
}

func (c *dkimRotateCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.RotateDKIM(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(made, func(w io.Writer) {
			for _, k := range made {
				where := c.Domain
				if k.Zone != "" {
					where = "the zone " + k.Zone
				}
				writeLine(w, "a new %s key of %s was made: selector %s", k.Algorithm, where, k.Selector)
			}
			writeLine(w, "publish what yubin dkim show-dns %s prints; the new keys sign once they are seen in the DNS, the old ones until then", c.Domain)
		})
	})
}

type dkimShowDNSCmd struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c *dkimShowDNSCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.DKIMRecords(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) { writeZone(w, c.Domain, list) })
	})
}

// recordTTL is what the records are printed with: how long others remember them.
const recordTTL = 3600

// writeZone writes records as lines of a zone file (RFC 1035 §5.1), each below a
// comment that says whether it is there.
func writeZone(w io.Writer, domain string, list []admin.DKIMRecord) {
	for _, zone := range []bool{false, true} {
		head := "; " + domain
		if zone {
			head = "; the zone of this site, for all its domains"
		}
		for _, r := range list {
			if r.Zone != zone {
				continue
			}
			if head != "" {
				writeLine(w, "%s", head)
				head = ""
			}
			writeLine(w, "%s", comment(r))
			writeLine(w, "%s. %d IN %s %s", r.Name, recordTTL, r.Type, zoneValue(r))
		}
	}
}

// comment says of what a record is, and how it stands in the DNS.
func comment(r admin.DKIMRecord) string {
	about := "; "
	if r.State != "" {
		about += r.Algorithm + " key, " + r.State + ": "
	}
	switch {
	case r.Found:
		return about + "[x] in the DNS"
	case r.Note != "":
		return about + "[ ] not in the DNS: " + r.Note
	}
	return about + "[ ] not in the DNS"
}

// maxString is how many octets a string of a TXT record has (RFC 1035 §3.3).
const maxString = 255

func zoneValue(r admin.DKIMRecord) string {
	if r.Type != "TXT" {
		return r.Value + "."
	}
	var parts []string
	for text := r.Value; text != ""; text = text[min(len(text), maxString):] {
		parts = append(parts, fmt.Sprintf("%q", text[:min(len(text), maxString)]))
	}
	return strings.Join(parts, " ")
}
