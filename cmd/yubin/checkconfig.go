package main

import (
	"errors"
	"fmt"

	"yubin/internal/world/config"
	"yubin/internal/world/secrets"
)

type checkConfigCmd struct {
	Config string `help:"The configuration." env:"YUBIN_CONFIG" default:"/etc/yubin/yubin.toml" type:"path" placeholder:"FILE"`
}

// Run tells every fault on a line of its own, as compilers do.
func (c *checkConfigCmd) Run(e *env) error {
	cfg, err := config.LoadVerified(c.Config)
	var faults *config.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	switch {
	case e.json:
		return e.faultsJSON(faults)
	case faults == nil:
		if err := secrets.Open(secrets.Options{Paths: cfg.SecretsPaths()}).Err(); err != nil { // The server starts all the same.
			e.tell("%v; mail would leave without DKIM signatures", err)
		}
		return e.did(nil, "%s is good", c.Config)
	}
	fmt.Fprintln(e.stderr, faults)
	return errSilent
}

func (e *env) faultsJSON(faults *config.Faults) error {
	type fault struct {
		File string `json:"file"`
		Line int    `json:"line,omitempty"`
		Text string `json:"text"`
	}
	var out []fault
	if faults != nil {
		for _, f := range faults.List {
			out = append(out, fault{faults.File, f.Line, f.Text})
		}
	}
	if err := e.show(out, nil); err != nil || faults == nil {
		return err
	}
	return errSilent
}
