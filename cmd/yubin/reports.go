package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"yubin/internal/server/admin"
)

type reportsCmd struct {
	DMARC reportsDMARCCmd `cmd:"" name:"dmarc" help:"Who sent mail in the names of your domains, as other servers report, and what is to be done."`
	TLS   reportsTLSCmd   `cmd:"" name:"tls" help:"How TLS with your mail servers went, as other servers report, and what is to be done."`
	Sent  reportsSentCmd  `cmd:"" help:"What was reported to other domains, to whom, and why it was not."`
}

type reportsDMARCCmd struct {
	place
	Domain string `help:"The domain; without it all in a line each." placeholder:"DOMAIN"`
	Last   age    `help:"How far to look back: 36h, 7d." default:"30d" placeholder:"TIME"`
	Limit  int    `help:"How many sources to tell of: those with most messages." default:"50" placeholder:"N"`
	Names  bool   `help:"Look up the names of sources." default:"true" negatable:""`
}

func (c *reportsDMARCCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		r, err := client.DMARCReports(ctx, c.Domain, time.Now().Add(-time.Duration(c.Last)), c.Names && c.Domain != "")
		if err != nil {
			return err
		}
		more := len(r.Sources) - c.Limit
		if more > 0 {
			r.Sources = r.Sources[:c.Limit]
		}
		return e.show(r, func(w io.Writer) {
			switch {
			case len(r.Domains) == 0:
				fmt.Fprintln(w, "no reports since "+time.Now().Add(-time.Duration(c.Last)).Format(time.DateOnly))
			case c.Domain == "":
				writeReported(w, r.Domains)
			default:
				writeSources(w, r, more)
			}
		})
	})
}

// writeReported writes a line for each domain.
func writeReported(w io.Writer, all []admin.ReportedDomain) {
	t := table{{"DOMAIN", "REPORTS", "FROM", "MESSAGES", "PASSED", "POLICY"}}
	for _, d := range all {
		t.add(d.Domain, strconv.Itoa(d.Reports), strconv.Itoa(d.Organizations), strconv.FormatInt(d.Messages, 10), share(d.Passed, d.Messages), policyShown(d))
	}
	t.write(w)
	for _, d := range all {
		if d.Advice != "" {
			writeLine(w, "%s: %s", d.Domain, d.Advice)
		}
	}
}

// policyShown is the policy in the DNS, with the one that was reported if that differs.
func policyShown(d admin.ReportedDomain) string {
	if d.Reported == "" {
		return d.Policy
	}
	return fmt.Sprintf("%s (reported: %s)", d.Policy, d.Reported)
}

// writeSources writes who sent mail in the name of one domain.
func writeSources(w io.Writer, r admin.DMARC, more int) {
	d := r.Domains[0]
	writeLine(w, "%s: %s of %s passed, %s to %s (reports: %d, from %s)", d.Domain, share(d.Passed, d.Messages), messages(d.Messages),
		d.Begin.Format(time.DateOnly), d.End.Format(time.DateOnly), d.Reports, count(d.Organizations, "organization", "organizations"))
	writeLine(w, "policy: %s", policyShown(d))
	if d.Advice != "" {
		writeLine(w, "%s", d.Advice)
	}
	fmt.Fprintln(w)
	t := table{{"SOURCE", "HOST", "MESSAGES", "SPF", "DKIM", "DELIVERED", "JUNK", "REFUSED"}}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, s := range r.Sources {
		host := s.Host
		if host == "" {
			host = "-"
		}
		t.add(s.Address, host, number(s.Messages), share(s.SPF, s.Messages), share(s.DKIM, s.Messages), number(s.Delivered), number(s.Junk), number(s.Rejected))
	}
	t.write(w)
	if more > 0 {
		fmt.Fprintf(w, "... and %d more with fewer messages; see --limit\n", more)
	}
	first := true
	for _, s := range r.Sources {
		if s.Advice == "" {
			continue
		}
		if first {
			fmt.Fprintln(w)
			first = false
		}
		writeLine(w, "%s: %s", s.Address, s.Advice)
	}
}

// share is a part of n in percent, which is 100 % only if it is all.
func share(part, n int64) string {
	switch {
	case n == 0:
		return "-"
	case part == n:
		return "100 %"
	}
	return strconv.FormatFloat(float64(part*1000/n)/10, 'f', 1, 64) + " %"
}

type reportsTLSCmd struct {
	place
	Domain string `help:"The domain; without it all in a line each." placeholder:"DOMAIN"`
	Last   age    `help:"How far to look back: 36h, 7d." default:"30d" placeholder:"TIME"`
	Limit  int    `help:"How many lines of one domain to show: those with most failures." default:"50" placeholder:"N"`
}

func (c *reportsTLSCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		since := time.Now().Add(-time.Duration(c.Last))
		r, err := client.TLSReports(ctx, c.Domain, since)
		if err != nil {
			return err
		}
		more := len(r.Sources) - c.Limit
		if more > 0 {
			r.Sources = r.Sources[:c.Limit]
		}
		return e.show(r, func(w io.Writer) {
			switch {
			case len(r.Domains) == 0:
				fmt.Fprintln(w, "no reports since "+since.Format(time.DateOnly))
			case c.Domain == "":
				writeTLSDomains(w, r.Domains)
			default:
				writeTLSSources(w, r, more)
			}
		})
	})
}

// writeTLSDomains writes a line for each domain.
func writeTLSDomains(w io.Writer, all []admin.TLSDomain) {
	t := table{{"DOMAIN", "REPORTS", "FROM", "SESSIONS", "FAILED", "POLICY"}}
	for _, d := range all {
		t.add(d.Domain, strconv.Itoa(d.Reports), strconv.Itoa(d.Organizations), strconv.FormatInt(d.Sessions, 10), strconv.FormatInt(d.Failed, 10), d.Policies)
	}
	t.write(w)
}

// writeTLSSources writes who reported what of one domain, and what is to be done.
func writeTLSSources(w io.Writer, r admin.TLSReports, more int) {
	d := r.Domains[0]
	writeLine(w, "%s: %d of %s failed, %s to %s (reports: %d, from %s)", d.Domain, d.Failed, count(int(d.Sessions), "session", "sessions"),
		d.Begin.Format(time.DateOnly), d.End.Format(time.DateOnly), d.Reports, count(d.Organizations, "organization", "organizations"))
	fmt.Fprintln(w)
	t := table{{"REPORTER", "POLICY", "RESULT", "HOST", "SESSIONS", "FAILED", "SINCE", "LAST"}}
	for _, s := range r.Sources {
		result, host := s.Result, s.Host
		if result == "" {
			result = "success"
		}
		if host == "" {
			host = "-"
		}
		t.add(s.Organization, s.Policy, result, host, strconv.FormatInt(s.Sessions, 10), strconv.FormatInt(s.Failed, 10), s.Since.Format(time.DateOnly), s.Last.Format(time.DateOnly))
	}
	t.write(w)
	if more > 0 {
		fmt.Fprintf(w, "... and %d more with fewer failures; see --limit\n", more)
	}
	said := map[string]bool{} // Several may report the same.
	for _, s := range r.Sources {
		if s.Advice == "" || said[s.Advice] {
			continue
		}
		if len(said) == 0 {
			fmt.Fprintln(w)
		}
		said[s.Advice] = true
		writeLine(w, "%s: %s", s.Result, s.Advice)
	}
}

type reportsSentCmd struct {
	place
	Domain string `help:"Only reports about this domain." placeholder:"DOMAIN"`
	Last   age    `help:"How far to look back: 36h, 7d." default:"7d" placeholder:"TIME"`
}

func (c *reportsSentCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.SentReports(ctx, c.Domain, time.Now().Add(-time.Duration(c.Last)))
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) {
			t := table{{"DAY", "KIND", "DOMAIN", "MESSAGES", "REPORT"}}
			for _, s := range list {
				outcome := s.Outcome
				if outcome == "" {
					outcome = "is sent at " + moment(s.Due)
				}
				t.add(s.Day, s.Kind, s.Domain, strconv.FormatInt(s.Messages, 10), outcome)
			}
			t.write(w)
		})
	})
}
