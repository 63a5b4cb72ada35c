package main

import (
	"context"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

type selftestCmd struct {
	place
	Account string `help:"Send mail round as this account; else as one that is made for it, yubin-selftest." placeholder:"ADDRESS"`
}

// Run has the server try itself out; the exit code is 0 if nothing is wrong.
func (c *selftestCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		tests, err := client.Selftest(ctx, c.Account)
		if err != nil {
			return err
		}
		if err := e.show(tests, func(w io.Writer) { writeTests(w, tests) }); err != nil {
			return err
		}
		for _, one := range tests {
			if one.State == admin.TestWrong {
				return errSilent
			}
		}
		return nil
	})
}

// writeTests writes a line for each, what is wrong first, and below it what to do.
func writeTests(w io.Writer, tests []admin.Test) {
	n := map[admin.TestState]int{}
	wide := 0
	for _, one := range tests {
		n[one.State]++
		wide = max(wide, len(testName(one)))
	}
	var rest []string
	for _, s := range []struct {
		state     admin.TestState
		one, many string
	}{{admin.TestWarning, "thing could be better", "things could be better"}, {admin.TestUnknown, "thing could not be found out", "things could not be found out"}} {
		if n[s.state] > 0 {
			rest = append(rest, count(n[s.state], s.one, s.many))
		}
	}
	head := "nothing is wrong"
	if n[admin.TestWrong] > 0 {
		head = count(n[admin.TestWrong], "thing is wrong", "things are wrong")
	}
	writeLine(w, "%s", strings.Join(append([]string{head}, rest...), "; "))
	wide = min(wide, 40)
	for _, state := range []admin.TestState{admin.TestWrong, admin.TestWarning, admin.TestUnknown, admin.TestOK} {
		for _, one := range tests {
			if one.State != state {
				continue
			}
			writeLine(w, "%-7s  %-*s  %s", one.State, wide, testName(one), one.Text)
			if one.Mend != "" {
				writeLine(w, "%-7s  %-*s  do: %s", "", wide, "", one.Mend)
			}
		}
	}
}

func testName(one admin.Test) string { return strings.TrimSpace(one.Check + " " + one.About) }
