package judge_test

import (
	"bytes"
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"yubin/internal/dns"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

var update = flag.Bool("update", false, "write what the cases come to into their files")

// deadline is that of the cases, which only those wait for whose DNS is slow.
const deadline = 300 * time.Millisecond

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// ours are the domains of the cases that are ours.
type ours struct{}

func (ours) IsLocal(_ context.Context, d mail.Domain) (bool, error) { return d == "here.test", nil }

// input is how a message of a case comes.
type input struct {
	client judge.Client
	from   mail.ReversePath
	to     []mail.Address
	zone   string
	fails  []dns.Name // the DNS does not answer
	slow   []dns.Name // or later than anybody waits

	policies judge.Policies
	msg      []byte
}

func readInput(t *testing.T, a *txtar.Archive) (in input) {
	in.client = judge.Client{Remote: netip.MustParseAddr("192.0.2.1"), Hello: "mx.sender.test"}
	for line := range strings.Lines(string(a.Comment)) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "ip":
			in.client.Remote = netip.MustParseAddr(value)
		case "helo":
			in.client.Hello = value
		case "from":
			if value != "<>" {
				in.from = mail.ReversePath(address(t, value))
			}
		case "slow":
			in.slow = append(in.slow, dns.Name(value))
		case "refuse-own":
			in.policies.RefuseOwn = map[mail.Domain]bool{mail.Domain(value): true}
		case "fails":
			in.fails = append(in.fails, dns.Name(value))
		case "to":
			in.to = append(in.to, address(t, value))
		}
	}
	for _, f := range a.Files {
		switch f.Name {
		case "zone":
			in.zone = string(f.Data)
		case "message":
			in.msg = bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n"))
		}
	}
	return in
}

func address(t *testing.T, s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try judges the message and says what came of it, as people read it.
func try(t *testing.T, in input, p judge.Policies) string {
	fake := dnstest.NewFake(in.zone)
	for _, n := range in.fails {
		fake.Fail(n, 0, dns.ServFail)
	}
	for _, n := range in.slow {
		fake.Delay(n, time.Hour)
	}
	j := judge.New(judge.Options{Deadline: deadline, Hostname: "mx.here.test", Resolver: fake, Domains: ours{}, Now: func() time.Time { return noon }})
	j.SetPolicies(p)
	c := j.Open(in.client, in.from)
	defer c.Close()
	if err := c.Forbidden(t.Context()); err != nil {
		return "at RCPT: " + err.Error() + "\n"
	}
	m := intake.NewMessage(new(store.Store).NewIncoming())
	defer m.Close()
	for part := range bytes.Lines(in.msg) {
		c.Write(part)
		if _, err := m.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	var to []intake.Recipient
	for i, a := range in.to {
		to = append(to, intake.Recipient{Address: a, Route: route.Routed{Accounts: []mail.AccountID{mail.AccountID(i + 1)}}})
	}
	e := intake.Envelope{Judge: c}
	plan, err := intake.New(intake.Options{}).Plan(t.Context(), m, e, to)
	if err != nil {
		return "refused: " + err.Error() + "\n" + strings.ReplaceAll(c.Summary(), "; ", "\n  ") + "\n"
	}
	var out strings.Builder
	for _, line := range strings.SplitAfter(string(plan.Filings[0].Prefix), "\r\n") {
		if !strings.HasPrefix(line, "Return-Path") && !strings.HasPrefix(line, "Delivered-To") {
			out.WriteString(strings.ReplaceAll(line, "\r\n", "\n"))
		}
	}
	return out.String() + plan.String()
}

func tryCase(t *testing.T, a *txtar.Archive) string {
	in := readInput(t, a)
	return try(t, in, in.policies)
}

// TestCases: the files say how a message comes, and what is thought of it.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := tryCase(t, a)
			for i := range a.Files {
				f := &a.Files[i]
				if f.Name != "verdict" || string(f.Data) == got {
					continue
				}
				if !*update {
					t.Errorf("came to\n%swant\n%s", got, f.Data)
					continue
				}
				f.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
