package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"yubin/internal/server/admin"
)

type accountTOTPCmd struct {
	Enable  accountTOTPEnableCmd  `cmd:"" help:"Make a secret for an app that shows one-time codes, and recovery codes. They are shown once."`
	Disable accountTOTPDisableCmd `cmd:"" help:"Take the secret and the recovery codes away."`
	Show    accountTOTPShowCmd    `cmd:"" help:"Show whether there is one, and how many recovery codes are left."`
	Codes   accountTOTPCodesCmd   `cmd:"" help:"Make new recovery codes in place of the old ones. They are shown once."`
	Verify  accountTOTPVerifyCmd  `cmd:"" help:"Check a code, from a terminal or the first line of the standard input; it is used up by that."`
}

type accountTOTPEnableCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountTOTPEnableCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.EnableSecondFactor(ctx, c.Address)
		if err != nil {
			return err
		}
		err = e.show(made, func(w io.Writer) {
			t := table{{"secret", made.Secret}, {"link", made.Link}}
			for _, code := range made.Codes {
				t.add("recovery code", code)
			}
			t.write(w)
		})
		if err != nil {
			return err
		}
		e.tell("this is shown this once")
		a, err := client.Account(ctx, c.Address)
		if err == nil && a.Limit == nil {
			e.tell("mail programs are not asked for a code: have them use app passwords with yubin account password limit %s --only web", c.Address)
		}
		return err
	})
}

type accountTOTPDisableCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountTOTPDisableCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.DisableSecondFactor(ctx, c.Address); err != nil {
			return err
		}
		return e.did(map[string]string{"address": c.Address}, "second factor of %s disabled", c.Address)
	})
}

type accountTOTPShowCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountTOTPShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		f, err := client.SecondFactor(ctx, c.Address)
		if err != nil {
			return err
		}
		if !f.Enabled {
			return e.did(f, "%s has no second factor", c.Address)
		}
		return e.did(f, "%s has a second factor since %s, and %s left", c.Address, f.Since.Local().Format(time.DateTime),
			count(f.Left, "recovery code", "recovery codes"))
	})
}

type accountTOTPCodesCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountTOTPCodesCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.NewRecoveryCodes(ctx, c.Address)
		if err != nil {
			return err
		}
		err = e.show(made, func(w io.Writer) {
			for _, code := range made.Codes {
				writeLine(w, "%s", code)
			}
		})
		if err == nil {
			e.tell("they are shown this once; the old ones are good for nothing now")
		}
		return err
	})
}

type accountTOTPVerifyCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountTOTPVerifyCmd) Run(e *env) error {
	code, err := e.readCode(c.Address)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		v, err := client.VerifySecondFactor(ctx, c.Address, code)
		if err != nil {
			return err
		}
		if v.Recovery {
			return e.did(v, "the recovery code is right, and used up")
		}
		return e.did(v, "the code is right")
	})
}

// readCode reads a code from a terminal, or the first line of the standard input.
func (e *env) readCode(whom string) (string, error) {
	if in, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		writeText(e.stderr, "code of "+whom+": ")
	}
	line, err := bufio.NewReader(io.LimitReader(e.stdin, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", usagef("there is no code on the standard input")
	}
	return line, nil
}
