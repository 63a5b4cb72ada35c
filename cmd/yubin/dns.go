package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/server/admin"
)

type dnsCmd struct {
	Records dnsRecordsCmd `cmd:"" help:"Print the records that a domain should have, and what each is for."`
	Check   dnsCheckCmd   `cmd:"" help:"Say of each record whether it is right, what is there, why it matters and what to write; the exit code is 0 if all that is needed is right."`
	Publish dnsPublishCmd `cmd:"" help:"Put the records into the zones that take updates ([dns_update] in the configuration)."`
}

type dnsRecordsCmd struct {
	place
	Domain   string `arg:"" help:"The domain."`
	Zone     bool   `help:"As lines of the domain's zone file." xor:"form"`
	Nsupdate bool   `help:"As input of nsupdate; nothing is removed." xor:"form"`
}

func (c *dnsRecordsCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		w, err := client.DNSRecords(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(w.Records, func(out io.Writer) {
			switch {
			case c.Zone:
				writeZoneFile(out, w)
			case c.Nsupdate:
				writeNsupdate(out, w)
			default:
				writeWanted(out, w)
			}
		})
	})
}

// writeWanted writes records for people: by how much they matter, and what each is for.
func writeWanted(w io.Writer, in admin.DNSWanted) {
	head := in.Domain + ", whose mail comes to " + in.Host
	if len(in.Addresses) > 0 {
		head += " (" + strings.Join(in.Addresses, ", ") + ")"
	}
	writeLine(w, "%s", head)
	need, title := "", ""
	for _, r := range in.Records {
		if r.Need != need {
			writeLine(w, "")
			writeLine(w, "%s", r.Need)
			need, title = r.Need, ""
		}
		if r.Title != title {
			writeLine(w, "  %s %s:", r.Title, r.Why)
			title = r.Title
		}
		line := "    " + r.Record().Line()
		if r.Note != "" {
			line += " ; " + r.Note
		}
		writeLine(w, "%s", line)
	}
	writeNotes(w, in.Notes)
}

// writeNotes writes what is left out and why.
func writeNotes(w io.Writer, notes []string) {
	for i, n := range notes {
		if i == 0 {
			writeLine(w, "")
		}
		writeLine(w, "note: %s", n)
	}
}

// writeZoneFile writes the records of a domain as its zone file has them (RFC 1035 §5);
// those of other zones as comments.
func writeZoneFile(w io.Writer, in admin.DNSWanted) {
	origin := dns.Name(in.Domain)
	writeLine(w, "$ORIGIN %s", origin.FQDN())
	var elsewhere []string
	for _, r := range in.Records {
		if !r.Name.Within(origin) {
			elsewhere = append(elsewhere, "; "+r.Record().Line())
			continue
		}
		line := r.Record().LineIn(origin)
		if r.Note != "" {
			line += " ; " + r.Note
		}
		writeLine(w, "%s", line)
	}
	if len(elsewhere) > 0 {
		writeLine(w, "; in other zones:")
	}
	for _, line := range elsewhere {
		writeLine(w, "%s", line)
	}
	for _, n := range in.Notes {
		writeLine(w, "; note: %s", n)
	}
}

// writeNsupdate writes the records as nsupdate(1) reads them: an update for those of the
// domain, and one for each name elsewhere, as that may be another zone. Reverse zones are
// somebody else's.
func writeNsupdate(w io.Writer, in admin.DNSWanted) {
	var at []dns.Name // an update each: the domain, and names elsewhere
	updates := map[dns.Name][]string{}
	for _, r := range in.Records {
		zr := r.Record()
		if zr.Type == dns.TypePTR {
			writeLine(w, "; whoever gave you the address writes: %s", zr.Line())
			continue
		}
		name := zr.Name
		if name.Within(dns.Name(in.Domain)) {
			name = dns.Name(in.Domain)
		}
		if updates[name] == nil {
			at = append(at, name)
		}
		updates[name] = append(updates[name], fmt.Sprintf("update add %s %d %s %s", zr.Name.FQDN(), r.TTL, zr.Type, zr.Data()))
	}
	for _, name := range at {
		for _, line := range updates[name] {
			writeLine(w, "%s", line)
		}
		writeLine(w, "send")
	}
}

type dnsCheckCmd struct {
	place
	Domain   string `arg:"" help:"The domain."`
	Resolver string `help:"Ask this name server, not those of the server." placeholder:"HOST:PORT"`
}

func (c *dnsCheckCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		checked, err := client.CheckDNS(ctx, c.Domain, c.Resolver)
		if err != nil {
			return err
		}
		if err := e.show(checked.Findings, func(w io.Writer) { writeChecked(w, checked) }); err != nil {
			return err
		}
		if !checked.OK {
			return errSilent
		}
		return nil
	})
}

// writeChecked tells what was found, what matters most first.
func writeChecked(w io.Writer, c admin.DNSChecked) {
	wrong, needed, unknown := 0, 0, 0
	for _, f := range c.Findings {
		switch {
		case f.State == "right":
		case f.State == "unknown":
			unknown++
		case f.Need == "needed":
			needed++
		default:
			wrong++
		}
	}
	head := ""
	switch {
	case needed > 0:
		head = fmt.Sprintf("%s that mail needs %s not right", count(needed, "thing", "things"), isOrAre(needed))
	case !c.OK:
		head = "it could not be found out whether all that mail needs is right"
	case wrong+unknown == 0:
		head = "all is right"
	default:
		head = fmt.Sprintf("all that is needed is right; %s could be better", count(wrong+unknown, "thing", "things"))
	}
	if unknown > 0 && needed > 0 {
		head += fmt.Sprintf(", and %d could not be found out", unknown)
	}
	writeLine(w, "%s: %s", c.Domain, head)
	need := ""
	for _, f := range c.Findings {
		if f.Need != need {
			writeLine(w, "")
			writeLine(w, "%s", f.Need)
			need = f.Need
		}
		writeFinding(w, f)
	}
	writeNotes(w, c.Notes)
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// writeFinding writes a line, and below it what helps if it is not right.
func writeFinding(w io.Writer, f admin.DNSFinding) {
	line := fmt.Sprintf("  %-7s  %s: %s %s", f.State, f.Title, f.Name, f.Type)
	if f.Fault != "" {
		line += ": " + f.Fault
	}
	writeLine(w, "%s", line)
	tell := func(what, text string) { writeLine(w, "             %-6s %s", what, text) }
	if f.Advice != "" {
		tell("better:", f.Advice)
	}
	if f.State == "right" {
		return
	}
	for _, text := range f.There {
		tell("there:", text)
	}
	for _, s := range f.Servers {
		said := strings.Join(s.Records, " | ")
		if said == "" {
			said = "nothing"
		}
		tell("there:", s.Server+" says: "+said)
	}
	if f.State != "unknown" {
		tell("why:", f.Title+" "+f.Why)
	}
	for _, r := range f.Write {
		tell("write:", r.Record().Line())
	}
}

type dnsPublishCmd struct {
	place
	Domain  string `arg:"" help:"The domain."`
	DryRun  bool   `help:"Say what would be done, and do nothing."`
	Replace bool   `help:"Put our records in the place of those that others wrote."`
}

func (c *dnsPublishCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		changes, err := client.PublishDNS(ctx, c.Domain, admin.DNSPublish{Replace: c.Replace, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return e.show(changes, func(w io.Writer) { writeChanges(w, c.Domain, changes, c.DryRun) })
	})
}

// writeChanges tells what became of records, and what is left to do.
func writeChanges(w io.Writer, domain string, changes []admin.DNSChange, dry bool) {
	n := map[string]int{}
	for _, c := range changes {
		n[c.Action]++
		if c.Action == "stays" {
			continue
		}
		line := fmt.Sprintf("%-9s  %s", c.Action, c.Record().Line())
		if c.Reason != "" {
			line += " ; " + c.Reason
		}
		writeLine(w, "%s", line)
	}
	verb := "were"
	if dry {
		verb = "would be"
	}
	writeLine(w, "%s: %d %s added, %d removed, %d stay as they are", domain, n["add"], verb, n["remove"], n["stays"])
	if left := n["left"] + n["elsewhere"]; left > 0 {
		writeLine(w, "%s left to you; yubin dns check %s says what is not right", count(left, "record is", "records are"), domain)
	}
}
