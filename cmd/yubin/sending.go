package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

// sendingFlags are those of commands that say how much may be sent.
type sendingFlags struct {
	MessagesHour string `help:"Messages in an hour: a number; none, or default for what stands above." placeholder:"N"`
	MessagesDay  string `help:"Messages in 24 hours." placeholder:"N"`
	NewHour      string `help:"Recipients in an hour to whom the account never wrote before." placeholder:"N"`
	NewDay       string `help:"The same in 24 hours." placeholder:"N"`
	Breaker      string `help:"Whether mail is held that is far from usual: on, off, or default." placeholder:"on|off|default"`
}

// change reads the flags; given says whether there are any.
func (f sendingFlags) change() (c admin.SendingChange, given bool, err error) {
	for _, b := range []struct {
		flag, text string
		to         **int64
	}{{"--messages-hour", f.MessagesHour, &c.MessagesHour}, {"--messages-day", f.MessagesDay, &c.MessagesDay}, {"--new-hour", f.NewHour, &c.NewHour}, {"--new-day", f.NewDay, &c.NewDay}} {
		if *b.to, err = bound(b.text, parseCount); err != nil {
			return c, false, usagef("%s must be a number from 1, none or default, not %q", b.flag, b.text)
		}
	}
	switch f.Breaker {
	case "":
	case "on", "off", "default":
		c.Breaker = &f.Breaker
	default:
		return c, false, usagef("--breaker must be on, off or default, not %q", f.Breaker)
	}
	return c, c != admin.SendingChange{}, nil
}

type accountSendingCmd struct {
	place
	sendingFlags
	Address string `arg:"" help:"The address."`
}

// Run shows what an account sends, or changes how much it may.
func (c *accountSendingCmd) Run(e *env) error {
	change, given, err := c.change()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if !given {
			s, err := client.SendingOf(ctx, c.Address)
			if err != nil {
				return err
			}
			return e.show(s, func(w io.Writer) { showSending(w, s) })
		}
		s, err := client.SetSending(ctx, c.Address, change)
		if err != nil {
			return err
		}
		return e.did(s, "%s may send %s", s.Account, sendingWords(s.Rule))
	})
}

// showSending tells what an account sends, in words.
func showSending(w io.Writer, s admin.SendingOf) {
	u := s.Usage
	t := table{}
	t.add("account", s.Account)
	if u.Held != nil {
		t.add("held", fmt.Sprintf("since %s: %s", moment(u.Held.Since), u.Held.Reason))
		t.add("", count(u.Held.Queued, "recipient", "recipients")+" in the queue; yubin account release "+s.Account+" lets them go, --drop removes them")
	}
	if s.Off {
		t.add("", "nothing is counted here: [sending] in the configuration says enabled = false")
	}
	t.add("may send", sendingWords(s.Rule))
	t.add("this hour", sentWords(u.Hour))
	t.add("24 hours", sentWords(u.Day))
	if !u.GoesOn.IsZero() {
		t.add("", "it may send again at "+moment(u.GoesOn))
	}
	t.add("today", sentWords(u.Today)+", counted since midnight UTC or since it was released")
	t.add("usual", usualWords(u))
	if u.Days > 0 {
		t.add("", fmt.Sprintf("sends in the hours %s (UTC), from %s", hourWords(u.Hours), networkWords(u.Networks)))
	}
	if s.Rule.Breaker == "on" {
		t.add("breaker", fmt.Sprintf("lets %d recipients a day through, %d of them new; what comes then is held", u.Recipients.Bound, u.New.Bound))
	} else {
		t.add("breaker", "off")
	}
	t.write(w)
}

func usualWords(u admin.SendingUsage) string {
	switch {
	case u.Days == 0:
		return "not known: it sent nothing on the 30 days before"
	case u.Young:
		return fmt.Sprintf("not known yet: it sent on %s of the 30 before", count(u.Days, "day", "days"))
	}
	return fmt.Sprintf("on %d days of the 30 before: %d recipients a day, seldom more than %d; %d new ones, seldom more than %d; %.0f %% bounce",
		u.Days, u.Recipients.Median, u.Recipients.Most, u.New.Median, u.New.Most, 100*u.Bounces)
}

func sentWords(c admin.SentCount) string {
	if c == (admin.SentCount{}) {
		return "nothing"
	}
	s := fmt.Sprintf("%s to %s, %d of them new", messages(c.Messages), count(int(c.Recipients), "recipient", "recipients"), c.New)
	if c.Bounced > 0 {
		s += fmt.Sprintf("; %d bounced", c.Bounced)
	}
	return s
}

// hourWords writes hours as spans: 7-9, 14.
func hourWords(hours []int) string {
	var spans []string
	for i := 0; i < len(hours); {
		j := i
		for j+1 < len(hours) && hours[j+1] == hours[j]+1 {
			j++
		}
		if i == j {
			spans = append(spans, fmt.Sprint(hours[i]))
		} else {
			spans = append(spans, fmt.Sprintf("%d-%d", hours[i], hours[j]))
		}
		i = j + 1
	}
	return strings.Join(spans, ", ")
}

func networkWords(list []string) string {
	if len(list) == 0 {
		return "no network that is known for a day"
	}
	return someOf(list)
}

// sendingWords writes how much may be sent.
func sendingWords(r admin.SendingRule) string {
	return fmt.Sprintf("messages: %s in an hour, %s in 24; new recipients: %s in an hour, %s in 24; breaker: %s",
		boundWords(r.MessagesHour), boundWords(r.MessagesDay), boundWords(r.NewHour), boundWords(r.NewDay), r.Breaker)
}

func boundWords(n int64) string {
	switch n {
	case 0:
		return "any number"
	case -1:
		return "default"
	}
	return fmt.Sprint(n)
}

type accountReleaseCmd struct {
	place
	Address string `arg:"" help:"The address."`
	Drop    bool   `help:"Remove what is held instead: somebody else had the password. Nobody is told."`
}

// Run lets go, or drops.
func (c *accountReleaseCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		r, err := client.ReleaseSending(ctx, c.Address, c.Drop)
		if err != nil {
			return err
		}
		did := "let go"
		if r.Dropped {
			did = "dropped; nobody is told"
		}
		return e.did(r, "%s may send again: %s %s", r.Account, count(r.Recipients, "recipient", "recipients"), did)
	})
}

type domainSendingCmd struct {
	place
	sendingFlags
	Domain string `arg:"" help:"The domain."`
}

// Run shows or changes how much each account of a domain may send.
func (c *domainSendingCmd) Run(e *env) error {
	change, given, err := c.change()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		call := client.DomainSending
		if given {
			call = func(ctx context.Context, domain string) (admin.SendingRule, error) {
				return client.SetDomainSending(ctx, domain, change)
			}
		}
		r, err := call(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.did(r, "each account of %s that says nothing itself may send %s", c.Domain, sendingWords(r))
	})
}
