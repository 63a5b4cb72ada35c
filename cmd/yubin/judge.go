package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"yubin/internal/engine/judge"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

type judgeCmd struct {
	place
	File     string         `arg:"" help:"The message; - for the standard input." type:"path"`
	From     string         `required:"" help:"The address in MAIL FROM; <> for none." placeholder:"ADDRESS"`
	To       []mail.Address `required:"" help:"Who it is for." placeholder:"ADDRESS"`
	IP       netip.Addr     `name:"ip" required:"" help:"The address of the client that brings it." placeholder:"ADDRESS"`
	Helo     string         `required:"" help:"What the client says of itself in HELO or EHLO." placeholder:"NAME"`
	Resolver string         `help:"Ask this name server, not that of the server." placeholder:"HOST:PORT"`
}

func (c *judgeCmd) Run(e *env) error {
	in := io.Reader(e.stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	q := admin.JudgeQuestion{From: senderOf(c.From), To: c.To, Client: judge.Client{Remote: c.IP, Hello: c.Helo}, Resolver: c.Resolver}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		out, err := client.Judge(ctx, q, in)
		if err != nil {
			return err
		}
		return e.show(out, func(w io.Writer) { tellJudged(w, out) })
	})
}

// tellJudged tells of a verdict: the action first, then why, and what would have to be
// different.
func tellJudged(w io.Writer, j admin.Judged) {
	fmt.Fprintln(w, j.Action)
	if j.Reply != "" {
		fmt.Fprintf(w, "  the sender is told: %s\n", oneLine(j.Reply))
	}
	for _, p := range j.Plan {
		fmt.Fprintf(w, "  %s\n", oneLine(p))
	}
	for _, v := range j.Verdicts {
		who := "elsewhere"
		if v.Account != "" {
			who = v.Account
		}
		fmt.Fprintf(w, "for %s: %s, score %.1f (junk from %.1f, refused from %.1f)\n", who, v.Action, v.Score, v.Junk, v.Refuse)
		var t table
		for _, r := range v.Reasons {
			t.add(fmt.Sprintf("  %+.1f", r.Weight), r.Name, oneLine(r.Text))
		}
		t.write(w)
		for _, u := range v.Unknown {
			fmt.Fprintf(w, "  not known: %s\n", oneLine(u))
		}
		if v.Otherwise != "" {
			fmt.Fprintf(w, "  %s\n", v.Otherwise)
		}
	}
	if j.Results != "" {
		fmt.Fprint(w, strings.ReplaceAll(j.Results, "\r\n", "\n"))
	}
}
