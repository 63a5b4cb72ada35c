package main

import (
	"errors"
	"fmt"
	"time"

	"yubin/internal/server"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/secrets"
)

type checkConfigCmd struct {
	Config string `help:"The configuration." env:"YUBIN_CONFIG" default:"/etc/yubin/yubin.toml" type:"path" placeholder:"FILE"`
}

// Run tells every fault on a line of its own, as compilers do.
func (c *checkConfigCmd) Run(e *env) error {
	cfg, err := server.LoadConfig(c.Config)
	var faults *config.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	var warnings []config.Fault
	if faults == nil {
		warnings = e.warnings(cfg)
	}
	switch {
	case e.json:
		return e.faultsJSON(c.Config, faults, warnings)
	case faults != nil:
		fmt.Fprintln(e.stderr, faults)
		return errSilent
	}
	for _, w := range warnings {
		fmt.Fprintln(e.stderr, &config.Faults{File: c.Config, List: []config.Fault{{Line: w.Line, Text: "warning: " + w.Text}}})
	}
	if len(warnings) > 0 {
		return e.did(nil, "%s is good, with %s", c.Config, count(len(warnings), "warning", "warnings"))
	}
	return e.did(nil, "%s is good", c.Config)
}

// warnings are what a server would start with all the same.
func (e *env) warnings(cfg config.Config) []config.Fault {
	list := cfg.Warnings(time.Now())
	if err := secrets.Open(secrets.Options{Paths: cfg.SecretsPaths()}).Err(); err != nil {
		list = append(list, config.Fault{Text: fmt.Sprintf("%v; mail would leave without DKIM signatures", err)})
	}
	client, err := admin.Dial(e.ctx, cfg.Data) // Only who runs knows who is here; the folder is not opened for a question.
	if err != nil {
		return list
	}
	defer client.Close()
	if s, err := client.Status(e.ctx); err == nil {
		if text := cfg.NoScram(s.Foreign); text != "" {
			list = append(list, config.Fault{Text: text})
		}
	}
	if cfg.Postmaster.IsZero() {
		return list
	}
	if found, err := client.Found(e.ctx, cfg.Postmaster.String()); err == nil && (found.By == "" || found.By == "postmaster") {
		list = append(list, config.Fault{Text: config.NobodyIsPostmaster(cfg.Postmaster)})
	}
	return list
}

func (e *env) faultsJSON(file string, faults *config.Faults, warnings []config.Fault) error {
	type fault struct {
		File    string `json:"file"`
		Line    int    `json:"line,omitempty"`
		Text    string `json:"text"`
		Warning bool   `json:"warning,omitempty"` // the server starts all the same
	}
	var out []fault
	if faults != nil {
		for _, f := range faults.List {
			out = append(out, fault{faults.File, f.Line, f.Text, false})
		}
	}
	for _, w := range warnings {
		out = append(out, fault{file, w.Line, w.Text, true})
	}
	if err := e.show(out, nil); err != nil || faults == nil {
		return err
	}
	return errSilent
}
