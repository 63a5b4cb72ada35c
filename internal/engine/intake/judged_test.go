package intake_test

import (
	"context"
	"strings"
	"testing"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
)

// opinions judges by account; key 0 is elsewhere.
type opinions map[mail.AccountID]intake.Action

func (o opinions) Judge(context.Context, *intake.Message, intake.Envelope, []intake.Recipient) intake.Judgement {
	j := intake.Judgement{Prefix: []byte("Results: r\r\n"), Accounts: map[mail.AccountID]intake.Opinion{}}
	for a, action := range o {
		op := intake.Opinion{Action: action, Prefix: []byte("Verdict: " + action.String() + "\r\n")}
		switch action {
		case intake.Refuse:
			op.Why = mail.Errorf(mail.Forbidden, "it is junk")
		case intake.Defer:
			op.Why = mail.Errorf(mail.RateLimited, "later")
		}
		if j.Accounts[a] = op; a == 0 {
			j.Elsewhere = op
		}
	}
	return j
}

// TestJudged: one answer is made of all opinions, and a refusal of some is no
// report to anybody.
func TestJudged(t *testing.T) {
	two := []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), to("bea@here.test", []mail.AccountID{bea})}
	alias := []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}, "x@else.test")}
	const junk, inbox = " in Junk with $Junk\n", " in INBOX\n"
	for _, c := range []struct {
		name string
		o    opinions
		to   []intake.Recipient
		want string // the plan, or "error: " and its text
	}{
		{"nobody minds", opinions{}, two, "file for account 1" + inbox + "file for account 2" + inbox},
		{"one has it in Junk", opinions{ann: intake.Junk}, two, "file for account 1" + junk + "file for account 2" + inbox},
		{"one refuses", opinions{ann: intake.Refuse}, two, "file for account 1" + junk + "file for account 2" + inbox},
		{"one would wait", opinions{ann: intake.Defer}, two, "file for account 1" + inbox + "file for account 2" + inbox},
		{"all refuse", opinions{ann: intake.Refuse, bea: intake.Refuse}, two, "error: it is junk"},
		{"all refuse or wait", opinions{ann: intake.Refuse, bea: intake.Defer}, two, "error: later"},
		{"who is elsewhere takes it", opinions{ann: intake.Refuse}, alias, "file for account 1" + junk + "queue for x@else.test by mx:else.test, from <s@a.test>, with 28 octets in front\n"},
		{"nobody takes it", opinions{ann: intake.Refuse, 0: intake.Refuse}, alias, "error: it is junk"},
	} {
		e := from("s@a.test")
		e.Judge = c.o
		p, err := intake.New(intake.Options{}).Plan(ctx, bare(text), e, c.to)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = p.String()
		}
		if got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
	e := from("s@a.test")
	e.Judge = opinions{ann: intake.Junk}
	p, err := intake.New(intake.Options{}).Plan(ctx, bare(text), e, two)
	if err != nil {
		t.Fatal(err)
	}
	want := "Delivered-To: ann@here.test\r\nVerdict: junk\r\nResults: r\r\nReceived: here\r\n"
	if got := string(p.Filings[0].Prefix); !strings.HasSuffix(got, want) {
		t.Errorf("the copy begins with %q", got)
	}
}
